"""Waiting for what other processes bring about, however slow the machine."""

import time
from collections.abc import Callable
from typing import Protocol


class Started(Protocol):
    """A process that can be asked whether it has ended."""

    def poll(self) -> int | None: ...


def wait_until(condition: Callable[[], bool], *processes: Started) -> None:
    """Wait for a condition; fail only if the processes that are to bring it about end without."""
    while not condition():
        ended = [process.poll() for process in processes]
        assert None in ended or condition(), f"ended ({ended}) without what was waited for"
        time.sleep(0.01)
