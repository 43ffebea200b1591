"""Run as a script: another one that gets a signal from itself when it calls a function for the n-th time."""

import importlib
import os
import runpy
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

IN_FIT = ("tractprobe.probes.gradient.inversion", "Inversion", "training_step")
"""Module, class (or nothing) and name of the function that is called once per batch."""


def as_signalled(where: tuple[str, str, str], count: int, signum: int, line: Sequence[str]) -> list[str]:
    """Return a line, without its interpreter, that gets a signal at its n-th call of a function."""
    return [__file__, *where, str(count), str(int(signum)), *line]


def main() -> None:
    module, owner, name, count, signum = sys.argv[1:6]
    del sys.argv[:6]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    place = importlib.import_module(module)
    place = getattr(place, owner) if owner else place
    called, left = getattr(place, name), int(count)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by whatever a shell has started with &

    def signalled(*arguments: Any, **more: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), int(signum))
        return called(*arguments, **more)

    setattr(place, name, signalled)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
