"""Stands in for the synthesiser where tests are about the corpus: importable by spawned workers."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from vocaltract.corpus.folder import Made
from vocaltract.corpus.plan import Task
from vocaltract.corpus.utterance import Keep
from vocaltract.errors import VocalTractError

SECONDS = 0.5


class InThreads(ThreadPoolExecutor):
    """Stands in for the pool of processes, each of which imports everything first."""

    def __init__(self, workers, context, initializer):
        super().__init__(workers)


def tone(task: Task, keep: Keep) -> Made:
    """Half a second of a tone whose pitch is the task's seed."""
    at_s = np.arange(int(16000 * SECONDS)) / 16000
    sound = (0.1 * np.sin(2 * np.pi * (100 + task.seed % 400) * at_s)).astype(np.float32)
    if not keep.movement:
        return Made(sound, None, None, (("a", 0.1, 0.4),))
    frames = int(100 * SECONDS)
    ema = np.outer(np.arange(frames), np.linspace(-1, 1, 12)) + 0.004
    motor = np.zeros((100, 30)) if keep.motor else None
    return Made(sound, ema, np.full(frames, 100.0), (("a", 0.1, 0.4),), motor)


def refusing(task: Task, keep: Keep) -> Made:
    if task.number == 2:
        raise VocalTractError("phone 'x' is unknown")
    return tone(task, keep)


def not_finite(task: Task, keep: Keep) -> Made:
    made = tone(task, keep)
    made.ema[3, 4] = np.nan
    return made


def killed(task: Task, keep: Keep) -> Made:
    if task.number == 2:
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGKILL)
    return tone(task, keep)


def slow(task: Task, keep: Keep) -> Made:
    Path(os.environ["STARTED"]).touch()
    time.sleep(0.3)
    return tone(task, keep)
