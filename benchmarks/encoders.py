"""python benchmarks/encoders.py MODEL [WAVE ...]: what an option of an encoder costs and gains.

MODEL is a Hub id or a local folder; waves are of one channel at any rate, 60 s of the built-in corpus if none is given.
Each option (half precision, compilation, less silence, batches) runs on all waves against float32 in eager mode, one
wave at a time. Printed, for the second of two passes: seconds of speech per second, the same per second of processor
time (to be read where the machine is busy with other things), the largest difference of any state, and for each layer
the norm of the difference over the norm of the states.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import soundfile
import soxr
import torch

from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.pretrained import pretrained
from tractprobe.runs.hydra import builtin_corpus
from tractprobe.signals.audio import RATE_HZ
from tractprobe.system.errors import TractprobeError

OPTIONS: dict[str, dict[str, Any]] = {
    "batches of 8": {"batch_size": 8},
    "bfloat16": {"dtype": "bfloat16"},
    "float16": {"dtype": "float16"},
    "compiled": {"compiled": True},
    "bfloat16, compiled": {"dtype": "bfloat16", "compiled": True},
    "silence_s=1": {"silence_s": 1.0},
    "silence_s=0": {"silence_s": 0.0},
}


def read(paths: Sequence[Path], longest_s: float = 60.0) -> list[torch.Tensor]:
    """Return waves at 16 kHz, until there is enough."""
    waves: list[torch.Tensor] = []
    for path in paths:
        audio, rate_hz = soundfile.read(path, dtype="float32")
        waves.append(torch.from_numpy(soxr.resample(audio, rate_hz, RATE_HZ)))
        if sum(map(len, waves)) > longest_s * RATE_HZ:
            break
    return sorted(waves, key=len)


def timed(encoder: Encoder, waves: Sequence[torch.Tensor], batch_size: int) -> tuple[list[torch.Tensor], str]:
    """Return all states and the speed of the second of two passes."""
    states, began = [], (0.0, 0.0)
    for _ in range(2):
        began, states = (time.perf_counter(), time.process_time()), []
        for first in range(0, len(waves), batch_size):
            states += [one.cpu() for one in encoder(waves[first : first + batch_size])]
    speech_s = sum(map(len, waves)) / RATE_HZ
    wall_s, processor_s = time.perf_counter() - began[0], time.process_time() - began[1]
    return states, f"{speech_s / wall_s:11.1f}  {speech_s / processor_s:11.1f}"


def main(model: str, paths: Sequence[Path]) -> None:
    """Print a row for each option."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    waves = [wave.to(device) for wave in read(paths)]
    speech_s = sum(map(len, waves)) / RATE_HZ
    exact, speed = timed(pretrained(model).to(device), waves, batch_size=1)
    print(f"{model}, {device}, {len(waves)} waves, {speech_s:.0f} s together, {torch.get_num_threads()} threads")
    print(f"{'':20}  {'x real time':>11}  {'x processor':>11}  {'largest':>9}  relative, by layer")
    print(f"{'float32, one by one':20}  {speed}")
    for name, options in OPTIONS.items():
        more = {key: value for key, value in options.items() if key != "batch_size"}
        try:
            encoder = pretrained(model, **more).to(device)
        except TractprobeError:  # silence is for Whisper
            continue
        states, speed = timed(encoder, waves, options.get("batch_size", 1))
        largest = max((one - other).abs().max().item() for one, other in zip(states, exact, strict=True))
        whole, fast = torch.cat(exact, dim=1), torch.cat(states, dim=1)
        relative = (fast - whole).norm(dim=(1, 2)) / whole.norm(dim=(1, 2))
        layers = " ".join(f"{value:.1e}" for value in relative.tolist())
        print(f"{name:20}  {speed}  {largest:9.1e}  {layers}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], [Path(name) for name in sys.argv[2:]] or sorted(Path(builtin_corpus("virtual")).rglob("*.flac")))
