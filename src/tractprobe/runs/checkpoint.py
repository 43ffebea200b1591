"""Checkpoints: every write is atomic, and reading executes nothing."""

import hashlib
import io
import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import CheckpointIO

from tractprobe.system.errors import RunError, first_line
from tractprobe.system.files import atomic

log = logging.getLogger(__name__)
_KEYS = {"state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks", "epoch", "global_step", "history"}
_TRAILER = b"tractprobe sha256 "  # and 64 digits, as the comment that ends a zip archive
_END, _END_SIZE = b"PK\x05\x06", 22  # zip's last record, where it has no comment


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
        _add_checksum(content)
        with atomic(Path(path)) as temporary:
            temporary.write_bytes(content.getbuffer())

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        try:
            _check(Path(path))
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever the parser raises: UnicodeDecodeError, KeyError, ...
            problem = f"not a complete checkpoint of tractprobe ({first_line(error)}); remove it to start over"
            raise RunError(f"{path}: {problem}") from None
        if not isinstance(checkpoint, dict) or not _KEYS <= set(checkpoint):
            raise RunError(f"{path}: not a checkpoint of tractprobe; remove it to start over")
        return checkpoint

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)


def _add_checksum(content: io.BytesIO) -> None:
    """Append the SHA-256 of an archive as its comment, which readers of zip archives skip."""
    size = len(_TRAILER) + 64
    content.seek(-2, io.SEEK_END)
    content.write(size.to_bytes(2, "little"))
    content.write(_TRAILER + hashlib.sha256(content.getbuffer()).hexdigest().encode())


def _check(path: Path) -> None:
    """Raise ValueError if a checkpoint is not what its checksum says; those of earlier versions carry none."""
    content = memoryview(path.read_bytes())
    archive, trailer = content[: -len(_TRAILER) - 64], bytes(content[-len(_TRAILER) - 64 :])
    if trailer.startswith(_TRAILER):
        if hashlib.sha256(archive).hexdigest().encode() != trailer[len(_TRAILER) :]:
            raise ValueError("damaged: its checksum does not match its contents")
    elif not bytes(content[-_END_SIZE:]).startswith(_END):
        raise ValueError("damaged at its end")
    else:
        log.info("%s was written by an earlier version, without a checksum: damage would not be noticed", path)
