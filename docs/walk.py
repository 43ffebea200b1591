"""List the modules of tractprobe in the order in which a job first calls a function of theirs.

    python docs/walk.py held_out            python train.py study=held_out model=mel_frame, on the built-in corpus
    python docs/walk.py wave HEAD           tractprobe.load_head(HEAD), called with a second of noise

With ROOT=<checkout> in the environment, another checkout's code is walked through.
"""

import contextlib
import os
import runpy
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(os.environ.get("ROOT", Path(__file__).parents[1])).resolve()
_OF_FUNCTIONS = 1  # CO_OPTIMIZED, which bodies of modules and classes lack

walked: dict[str, None] = {}


def profile(frame: FrameType, event: str, argument: Any) -> None:
    """Note the module of a function that is called."""
    name = _module(frame)
    if event == "call" and name not in walked and name and frame.f_code.co_flags & _OF_FUNCTIONS:
        if not _importing(frame):
            walked[name] = None


def _module(frame: FrameType) -> str:
    name = frame.f_globals.get("__name__", "")
    return name.removeprefix("tractprobe.") if name.startswith("tractprobe.") else ""


def _importing(frame: FrameType | None) -> bool:
    """Return whether a call is made by the body of one of our modules, which is being imported."""
    while frame is not None:
        if frame.f_code.co_name == "<module>" and _module(frame):
            return True
        frame = frame.f_back
    return False


def held_out() -> None:
    """Run a study of every held-out value."""
    places = [f"paths.{name}={name}" for name in ("data", "runs", "cache")]
    sys.argv = ["train.py", "study=held_out", "model=mel_frame", "tracking=off", *places]
    start()
    with contextlib.suppress(SystemExit):
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")


def wave(head: str) -> None:
    """Invert a second of noise."""
    import numpy as np

    import tractprobe

    noise = np.random.default_rng(0).normal(size=22050).astype(np.float32) * 0.1
    start()
    tractprobe.load_head(head)(noise, 22050)


def start() -> None:
    """Begin to note, in threads too."""
    threading.setprofile(profile)
    sys.setprofile(profile)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "src"))
    job, arguments = (
        {"held_out": held_out, "wave": wave}[sys.argv[1]],
        [str(Path(one).resolve()) for one in sys.argv[2:]],
    )
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        job(*arguments)
        sys.setprofile(None)
    print(len(walked), "modules:", ", ".join(walked))
