"""Signals during a fit or a test: whoever handled them before Lightning does so again."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl

from tractprobe.system.stopping import ASKING, Stopped, as_asked


class OwnSignals(pl.Callback):
    """Puts back the handlers that Lightning replaces, and passes on to its own processes what ends this one.

    Lightning's would end a process with the status of success, and with several ranks wait within the handler for the
    others, which may be waiting for this one.
    """

    def __init__(self) -> None:
        self._before = {signum: signal.getsignal(signum) for signum in ASKING}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._put_back()

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._put_back()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        launcher: Any = trainer.strategy.launcher
        if isinstance(exception, Stopped) and launcher is not None:
            launcher.kill(exception.signum)

    def _put_back(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for signum, handler in self._before.items():
                signal.signal(signum, handler)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let what a signal has raised through, of which Lightning makes an exit with status 1, or torch another error."""
    try:
        with as_asked():
            yield
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):
            raise end.__context__ from None
        raise
