"""Memory of inverting long audio: python benchmarks/long.py [hours ...] [--model random ...]

A WAV file of the built-in corpus's speech, repeated, is inverted by `tractprobe invert` with a ridge head that was
trained on that corpus. Printed are resident memory (MiB) at every tenth of the time that it took, its peak, and how
many times faster than speech it was. Linux only.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RATE_HZ = 16000


def write_wave(path: Path, hours: float) -> None:
    import soundfile

    from tractprobe.runs.hydra import builtin_corpus

    waves = [
        soundfile.read(source, dtype="int16") for source in sorted(Path(builtin_corpus("virtual")).rglob("*.flac"))
    ]
    speech = np.concatenate([wave for wave, _ in waves])
    left = round(hours * 3600 * RATE_HZ)
    with soundfile.SoundFile(path, "w", RATE_HZ, 1, "PCM_16") as file:
        while left:
            file.write(speech[:left])
            left -= min(left, len(speech))


def trained(root: Path, model: str) -> Path:
    """Return a head file on the deepest layer of a model."""
    from tractprobe.inversion.export import export
    from tractprobe.runs.result import read_result

    line = [sys.executable, "train.py", f"model={model}", "held_out=it", "tracking=off", f"paths.runs={root / model}"]
    subprocess.run(line, cwd=Path(__file__).parents[1], check=True, stdout=subprocess.DEVNULL)
    (result,) = (root / model).rglob("result.json")
    deepest = max(row["layer"] for row in read_result(result.parent)["scores"])
    return export(result.parent, deepest, root / f"{model}.safetensors")


def resident_mib(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def watched(line: list[str]) -> tuple[list[float], float]:
    """Run a command; return its memory every half second, and the seconds that it took."""
    began, memory = time.perf_counter(), []
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while process.poll() is None:
        memory.append(resident_mib(process.pid))
        time.sleep(0.5)
    if process.returncode:
        sys.exit(process.stderr.read().decode() if process.stderr else "")
    return memory, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hours", type=float, nargs="*", default=[0.5, 1.0, 3.0])
    parser.add_argument("--model", nargs="+", default=["random"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for model in options.model:
            head = trained(root, model)
            for hours in options.hours:
                write_wave(root / "long.wav", hours)
                line = [sys.executable, "-m", "tractprobe", "invert", str(root / "long.wav"), "--head", str(head)]
                memory, seconds = watched([*line, "--output", str(root / f"{model}-{hours}")])
                tenths = [memory[round(index * (len(memory) - 1) / 10)] for index in range(11)]
                each = " ".join(f"{mib:.0f}" for mib in tenths)
                speed = hours * 3600 / seconds
                print(f"{model}, {hours:g} h: {each}, peak {max(memory):.0f} MiB, {speed:.0f} x", flush=True)


if __name__ == "__main__":
    main()
