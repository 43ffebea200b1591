"""Signals that ask a command to end: it ends in order, says so in one line, and its status is not that of success.

A signal raises ``Stopped`` wherever the main thread is, as Ctrl-C raises KeyboardInterrupt. Neither is an Exception, so
nothing that handles failures continues after it. A signal that whoever started this process handles or ignores (Slurm's
launcher, nohup) is left to them.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ASKING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
"""What schedulers send before they kill, and what users tell them to send earlier."""


_asked: list[int] = []  # signals that have come since a command began


class Stopped(BaseException):
    """A signal asked this process to end."""

    def __init__(self, signum: int):
        super().__init__(signum)
        self.signum = signum


@contextmanager
def stoppable(advice: str = "") -> Iterator[None]:
    """Let signals end what runs within: one line on standard error, and exit status 128 + the signal's number.

    Parameters
    ----------
    advice
        What to do next.
    """
    try:
        with _handled(), as_asked():
            yield
        return
    except KeyboardInterrupt:
        signum = signal.SIGINT
    except Stopped as stop:
        signum = signal.Signals(stop.signum)
    print(f"tractprobe: stopped by {signum.name}{advice and f'; {advice}'}", file=sys.stderr, flush=True)
    sys.exit(128 + signum)


@contextmanager
def as_asked() -> Iterator[None]:
    """Raise what a signal has raised, whatever became of it within.

    Those who clean up after it may fail in turn: Lightning asks for the length of a loader that it has not begun, and
    torch reports workers that the same signal has ended. What follows would handle that as a failure of the job.
    """
    try:
        yield
    except Exception as error:
        if (asked := _behind(error)) is not None:
            raise asked from error
        raise


def _behind(error: BaseException) -> BaseException | None:
    """Return what a signal has raised before an exception, if one has."""
    earlier: BaseException | None = error
    while earlier is not None and not isinstance(earlier, (Stopped, KeyboardInterrupt)):
        earlier = earlier.__context__
    return earlier or (Stopped(_asked[0]) if _asked else None)


@contextmanager
def _handled() -> Iterator[None]:
    in_main = threading.current_thread() is threading.main_thread()
    ours = [signum for signum in ASKING if in_main and signal.getsignal(signum) is signal.SIG_DFL]
    owner = os.getpid()

    def stop(signum: int, _: FrameType | None) -> None:
        if os.getpid() != owner:  # a worker forked off this process has nothing to end in order
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        _asked.append(signum)
        raise Stopped(signum)

    _asked.clear()
    try:
        for signum in ours:
            signal.signal(signum, stop)
        yield
    finally:
        for signum in ours:
            signal.signal(signum, signal.SIG_DFL)
