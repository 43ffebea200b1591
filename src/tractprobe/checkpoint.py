"""Checkpoints written whole or not at all, and read without executing anything."""

import pickle
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO

from tractprobe.errors import RunError, first_line
from tractprobe.files import atomic


class AtomicCheckpoints(CheckpointIO):
    """Lightning's reading and writing of checkpoint files: beside the target and then renamed, weights only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        with atomic(Path(path)) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
            problem = f"not a whole checkpoint of ours ({first_line(error)}); remove it to start over"
            raise RunError(f"{path}: {problem}") from None

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)
