"""A bar over a whole fit: epochs done, validation r so far, and how long the rest will take at most."""

import sys
from typing import Any

import pytorch_lightning as pl
from tqdm import tqdm


class FitProgress(pl.Callback):
    """Shows batches of all epochs together, on a terminal; ``patience`` may end the fit earlier."""

    def __init__(self, shown: bool = True) -> None:
        self._shown = shown
        self._bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        epochs, batches = trainer.max_epochs or 0, int(trainer.num_training_batches)
        hidden = not (self._shown and trainer.is_global_zero and sys.stderr.isatty())
        self._bar = tqdm(
            desc=f"fitting, at most {epochs} epochs",
            unit=" batch",
            total=epochs * batches,
            initial=trainer.current_epoch * batches,
            disable=hidden,
            leave=False,
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert self._bar is not None
        self._bar.update()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._bar is not None and "val/r/mean" in trainer.callback_metrics:
            self._bar.set_postfix_str(
                f"validation r {float(trainer.callback_metrics['val/r/mean']):.3f}", refresh=False
            )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
