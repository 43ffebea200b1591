"""Run the present code on what an earlier version wrote.

::

    python tests/golden/replay.py <repository root> <copy of before/> <output.json>


The output is JSON: for each step what its command printed, in order. Called with ``--write`` and an empty folder it
writes ``before/`` instead. That was done once, by the version before the modules moved (2e6bcf3), and is not to be done
again: what it wrote is the past that has to stay readable.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

from record import TRANSFORMERS, Commands, settle

PATHS = ("paths.data=prepared", "paths.runs=finished", "paths.cache=states", "tracking=off")
CELL = ("model=mel_frame", "model.bands=8", "corpora=[old]", "held_out=it", *PATHS)
MLP = ("head=mlp", "head.hidden=8", "trainer.max_epochs=4", "data.batch_size=2")
RIDGE_LINE, MLP_LINE = CELL, (*CELL, *MLP)
INTERRUPTED_LINE = (*CELL, *MLP, "seed=1")
HEAD, SOUND, EXPECTED = "head.safetensors", "prepared/old/audio/f1_it_004.flac", "expected.json"
INVERT_LINE = ("invert", SOUND, "--head", HEAD, "--output", "inverted")
_STEMS = [f"{speaker}_{text}" for speaker in ("c2", "f1") for text in ("de_000", "de_002", "it_003", "it_004")]
_SECONDS = 1.2


def replay(do: Commands) -> None:
    """Run the steps that the tests look at."""
    (ridge,) = Path("finished").glob("mel_frame/all/ridge/it/s0-*")
    (mlp,) = Path("finished").glob("mel_frame/all/mlp/it/s0-*")
    do.train(*RIDGE_LINE)
    do.train(*MLP_LINE)
    for run in (ridge, mlp):
        do.evaluate(f"run={run}", "paths.data=prepared", "paths.cache=states")
    do.tractprobe("table", "finished", "--csv", "table.csv")
    do.tractprobe("export", str(mlp), "--output", "exported.safetensors")
    do.tractprobe(*INVERT_LINE)
    for run in (ridge, mlp):
        (run / "result.json").rename(run / "result-before.json")
    do.train(*RIDGE_LINE)
    do.train(*MLP_LINE)
    do.train(*INTERRUPTED_LINE)
    for name, known in json.loads(Path(__file__).with_name("readers.json").read_text(encoding="utf-8")).items():
        if not name.startswith("virtual"):  # prepared by themselves
            _prepare_known(do, name, **known)
    _write_raw(Path("raw/mine"))
    known = fingerprint("tractprobe.corpora.folder.Folder", "{'name': 'mine'}", Path("raw/mine"))
    Path("fingerprint.json").write_text(json.dumps(known))
    do.tractprobe(
        "prepare", "corpus=folder", "corpus.name=mine", "corpus.root=raw/mine", "paths.data=made", "workers=1"
    )


def _prepare_known(do: Commands, name: str, overrides: dict[str, Any], kind: str, settings: str) -> None:
    """Prepare what is prepared, under the fingerprint of then; the reader's source is not to be read."""
    from omegaconf import OmegaConf

    from tractprobe.corpora.prepared.manifest import content_hash
    from tractprobe.system.files import digest
    from tractprobe.system.registry import place_of

    raw, corpus = Path("raw", name), overrides.get("name", name)
    raw.mkdir(parents=True)
    (raw / "some.file").write_text("of a corpus")
    description = json.loads(Path("prepared/old/corpus.json").read_text())
    cuts = Path("prepared/old/cuts.jsonl").read_bytes().replace(b'"old/', f'"{corpus}/'.encode())
    content = content_hash([digest(json.loads(line)) for line in cuts.splitlines()], description["palates"])
    manifest = hashlib.sha256(cuts).hexdigest()
    description |= {"name": corpus, "manifest_sha256": manifest, "content_hash": content}
    description |= {"fingerprint": fingerprint(kind, settings.replace("<root>", str(raw)), raw)}
    Path("known", name, corpus).mkdir(parents=True)
    Path("known", name, corpus, "corpus.json").write_text(json.dumps(description))
    Path("known", name, corpus, "cuts.jsonl").write_bytes(cuts)
    reader = place_of(OmegaConf.load(do.root / f"conf/corpus/{name}.yaml")._target_).load()
    sources, reader.sources = reader.sources, lambda self: ["not to be read"]
    values = [f"corpus.{key}={json.dumps(value).replace(chr(34), '')}" for key, value in overrides.items()]
    line = ("prepare", f"corpus={name}", f"corpus.root={raw}", *values, f"paths.data=known/{name}", "workers=1")
    try:
        do.tractprobe(*line)
    except SystemExit as error:  # told by the test
        do.note(f"$ tractprobe {' '.join(line)}", str(error))
    reader.sources = sources


def fingerprint(kind: str, settings: str, root: Path) -> str:
    """Return what ``corpus.json`` calls a raw corpus: SHA-256 of the canonical JSON of what it depends on."""
    import tractprobe

    form = json.loads(Path("prepared/old/corpus.json").read_text())["format"]
    stats = [(path.relative_to(root).as_posix(), path.stat().st_size, path.stat().st_mtime_ns)
             for path in sorted(root.rglob("*")) if path.is_file()]  # fmt: skip
    value = [form, tractprobe.__version__, kind, settings, False, str(root.resolve()), [stats]]
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def write(root: Path, do: Commands) -> None:
    """Write what ``before/`` holds."""
    _write_raw(Path("raw"))
    prepare = ("prepare", "corpus=folder", "corpus.name=old", "corpus.root=raw", "paths.data=prepared", "workers=1")
    do.tractprobe(*prepare)
    do.train(*RIDGE_LINE)
    do.train(*MLP_LINE)
    do.train(*INTERRUPTED_LINE)
    (mlp,) = Path("finished").glob("mel_frame/all/mlp/it/s0-*")
    (whole,) = Path("finished").glob("mel_frame/all/mlp/it/s1-*")
    expected = {"interrupted": json.loads((whole / "result.json").read_text())["scores"]}
    shutil.rmtree(whole)
    shutil.rmtree(mlp / "checkpoints")
    do.tractprobe("export", str(mlp), "--output", HEAD)
    do.tractprobe(*INVERT_LINE)
    expected["inverted"] = Path("inverted/f1_it_004.csv").read_text().splitlines()
    Path(EXPECTED).write_text(json.dumps(expected, indent=1) + "\n")
    # Killed when it has saved its second epoch.
    patch = f"""
import os, runpy, sys, transformers
from tractprobe.runs.checkpoint import AtomicCheckpoints
transformers.__version__, save, saved = {TRANSFORMERS!r}, AtomicCheckpoints.save_checkpoint, []
def save_twice(self, checkpoint, path, storage_options=None):
    save(self, checkpoint, path)
    saved.append(path)
    if len(saved) == 2:
        os._exit(9)
AtomicCheckpoints.save_checkpoint, sys.argv[0] = save_twice, "train.py"
runpy.run_path({str(root / "train.py")!r}, run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", patch, *INTERRUPTED_LINE], check=False)
    assert done.returncode == 9 and list(whole.glob("checkpoints/last.ckpt")) and not (whole / "result.json").exists()
    for place in ("raw", "inverted"):
        shutil.rmtree(place)
    for path in [*Path().rglob(".*.lock"), *Path().rglob(".hydra"), *Path().rglob("*.log")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _write_raw(raw: Path) -> None:
    """Write the beginnings of a few utterances."""
    import numpy as np
    import soundfile

    speech = Path(__file__).parents[1] / "speech"

    raw.mkdir(parents=True)
    for stem in _STEMS:
        audio, rate_hz = soundfile.read(speech / f"{stem}.flac", dtype="int16")
        about = json.loads((speech / f"{stem}.json").read_text(encoding="utf-8"))
        track = np.load(speech / f"{stem}.ema.npy")
        soundfile.write(raw / f"{stem}.flac", audio[: int(_SECONDS * rate_hz)], rate_hz)
        np.save(raw / f"{stem}.ema.npy", track[: int(_SECONDS * about["ema_rate_hz"])])
        about["phones"] = [phone for phone in about["phones"] if phone[2] < _SECONDS]
        about.pop("duration_s")
        (raw / f"{stem}.json").write_text(json.dumps(about), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="a checkout")
    parser.add_argument("work", type=Path, help="a copy of before/, or the empty folder that becomes it")
    parser.add_argument("output", type=Path, nargs="?", help="JSON file to write")
    parser.add_argument("--write", action="store_true", help="write what before/ holds")
    parsed = parser.parse_args()
    root, output = parsed.root.resolve(), parsed.output and parsed.output.resolve()
    settle(root)
    os.chdir(parsed.work)
    steps: list[tuple[str, str]] = []
    warnings.simplefilter("ignore")
    if parsed.write:
        write(root, Commands(root, lambda *_: None))
    else:
        replay(Commands(root, lambda *step: steps.append(step)))
        output.write_text(json.dumps(steps, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
