"""What inverting long audio in pieces loses: python benchmarks/pieces.py

Two encoders of random weights whose attention sees the whole wave, one with layer norms and one with a group norm, each
with a ridge head on its last layer that was trained on the built-in corpus. 120 s of that corpus are inverted in one
pass and in pieces of 30 s; printed are r with the one pass (mean over channels) and distances from it in mm. Then the
same of layer 0, which sees no further than its positional convolution.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ENCODERS = {
    "layer norms": [
        "model=random_wav2vec2_large_lv60",
        "+model.architecture.conv_dim=[96,96,96,96,96,96,96]",
        *(f"model.architecture.{name}" for name in ("hidden_size=128", "num_hidden_layers=4", "num_attention_heads=4")),
        "model.architecture.intermediate_size=512",
    ],
    "a group norm": ["model=random"],
}
LAYERS = (4, 0)


def trained(root: Path, settings: list[str]) -> list[Path]:
    """Return a head file for each of LAYERS."""
    from tractprobe.inversion.export import export

    line = [sys.executable, "train.py", *settings, "held_out=it", "tracking=off", f"paths.runs={root}"]
    subprocess.run(line, cwd=Path(__file__).parents[1], check=True, stdout=subprocess.DEVNULL)
    (result,) = root.rglob("result.json")
    return [export(result.parent, layer, root / f"{layer}.safetensors") for layer in LAYERS]


def speech(seconds: float) -> tuple[np.ndarray, int]:
    """Return utterances of the built-in corpus one after the other, as many as it takes."""
    import soundfile

    from tractprobe.runs.hydra import builtin_corpus

    waves = [soundfile.read(path, dtype="float32") for path in sorted(Path(builtin_corpus("virtual")).rglob("*.flac"))]
    (rate_hz,) = {rate for _, rate in waves}
    return np.concatenate([wave for wave, _ in waves])[: round(rate_hz * seconds)], rate_hz


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--contexts", type=float, nargs="+", default=[0.0, 2.0, 5.0, 10.0], help="s on either side")
    options = parser.parse_args()
    os.environ.setdefault("TQDM_DISABLE", "1")
    from tractprobe.inversion.inverter import load_head

    with tempfile.TemporaryDirectory() as folder:
        wave, rate_hz = speech(options.seconds)
        for name, settings in ENCODERS.items():
            heads = trained(Path(folder) / name.replace(" ", "-"), settings)
            for layer, head in zip(LAYERS, heads, strict=True):
                whole = load_head(head, chunk_s=1e6)(wave, rate_hz).values
                print(f"{name}, layer {layer}: movements' sd {whole.std(axis=0).mean():.2f} mm")
                for context_s in options.contexts:
                    parts = load_head(head, context_s=context_s)(wave, rate_hz).values
                    pairs = zip(parts.T, whole.T, strict=True)
                    r = np.mean([np.corrcoef(one, other)[0, 1] for one, other in pairs])
                    apart = np.abs(parts - whole)
                    middle, most = np.percentile(apart, [50, 95])
                    print(
                        f"  context {context_s:4.1f} s: r {r:.6f}, mm median {middle:.5f}, 95 % {most:.5f}, "
                        f"largest {apart.max():.5f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
