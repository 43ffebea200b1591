"""Checkpoints: every write is atomic, and reading executes nothing."""

import io
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import CheckpointIO

from tractprobe.system.errors import RunError, first_line
from tractprobe.system.files import atomic

_KEYS = {"state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks", "epoch", "global_step", "history"}


def remove_others(folder: Path) -> None:
    """Remove the checkpoints that Lightning wrote into a run's folder at a signal, in versions that let it."""
    for path in folder.glob("hpc_ckpt_*.ckpt"):
        path.unlink(missing_ok=True)


class WithinEpochs(ModelCheckpoint):
    """Checkpoints within epochs, none after the last batch: Lightning would resume from it without the validation."""

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not trainer.is_last_batch:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)


class AtomicCheckpoints(CheckpointIO):
    """Reads and writes Lightning's checkpoint files: written beside the target and then renamed, weights only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        content = io.BytesIO()  # torch's own writer does not say why it cannot write
        torch.save(checkpoint, content)
        with atomic(Path(path)) as temporary:
            temporary.write_bytes(content.getbuffer())

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        try:
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever the parser raises: UnicodeDecodeError, KeyError, ...
            problem = f"not a complete checkpoint of tractprobe ({first_line(error)}); remove it to start over"
            raise RunError(f"{path}: {problem}") from None
        if not isinstance(checkpoint, dict) or not _KEYS <= set(checkpoint):
            raise RunError(f"{path}: not a checkpoint of tractprobe; remove it to start over")
        return checkpoint

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)
