"""EmaData: the door that Lightning takes batches from."""

from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from tractprobe.data.batches import EmaBatches
from tractprobe.data.batching import ResumableLoader


class EmaData(EmaBatches, pl.LightningDataModule):
    """Train, validation, development and test batches, divided among the trainer's ranks.

    Parameters are those of :class:`~tractprobe.data.batches.EmaBatches`.
    """

    def __init__(self, *arguments: Any, **settings: Any):
        pl.LightningDataModule.__init__(self)
        EmaBatches.__init__(self, *arguments, **settings)

    def train_dataloader(self) -> ResumableLoader:
        """Return training batches, shared among ranks."""
        return self.training(*self._rank())

    def standardisation_dataloader(self) -> "DataLoader[Any]":
        """Return each training utterance once, on every rank."""
        return self.once(self.split.train)

    def val_dataloader(self) -> "DataLoader[Any]":
        """Return each validation utterance once, on one of the ranks."""
        return self.once(self.split.validation, *self._rank())

    def test_dataloader(self) -> "DataLoader[Any]":
        """Return each test utterance once, on one of the ranks."""
        return self.once(self.split.test, *self._rank())

    def development_dataloader(self) -> "DataLoader[Any]":
        """Return each utterance that may be fitted once, on every rank."""
        return self.once(self.split.development)

    def _rank(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
