"""Loggers other than W&B's: a table of metrics in the run's directory, and TensorBoard."""

import csv
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

from tractprobe.system.errors import ConfigError, CorpusError, first_line
from tractprobe.system.files import atomic

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

_SECONDS = 1.0  # between two writes: each writes the whole file


class MetricsFile(Logger):
    """``metrics.csv``: a row for each step of training that logged something, and one for each layer's scores.

    A resumed run adds to what is there; a step that is trained again takes the place of its row.
    """

    def __init__(self, save_dir: Path):
        super().__init__()
        self.file = Path(save_dir) / "metrics.csv"
        self._rows = _read(self.file) if self.file.exists() else {}
        self._written_s = 0.0

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the run's directory has its settings."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._add((str(step), ""), metrics)

    def log_layer(self, layer: int | str, metrics: Mapping[str, float]) -> None:
        """Note the scores of a layer, or of several side by side."""
        self._add(("", str(layer)), metrics)

    def _add(self, key: tuple[str, str], metrics: Mapping[str, float]) -> None:
        self._rows[key] = self._rows.get(key, {}) | {name: str(value) for name, value in metrics.items()}

    @rank_zero_only
    def save(self) -> None:
        if time.monotonic() - self._written_s > _SECONDS:
            self._write()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self._rows:
            self._write()

    def _write(self) -> None:
        columns = dict.fromkeys(["epoch", *(name for row in self._rows.values() for name in row)])
        with atomic(self.file) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["step", "layer", *columns])
            writer.writeheader()
            for (step, layer), row in self._rows.items():
                writer.writerow({"step": step, "layer": layer, **row})
        self._written_s = time.monotonic()


def _read(file: Path) -> dict[tuple[str, str], dict[str, str]]:
    try:
        with open(file, newline="", encoding="utf-8") as opened:
            rows = list(csv.DictReader(opened))
        return {(row.pop("step"), row.pop("layer")): {name: row[name] for name in row if row[name]} for row in rows}
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise CorpusError(file, f"not a table of metrics ({first_line(error)}); move or remove it") from None


class _TensorBoard(TensorBoardLogger):
    """Lightning's, with the pictures that W&B gets."""

    def log_image(self, key: str, images: Sequence[str]) -> None:
        from matplotlib.image import imread

        writer: SummaryWriter = self.experiment
        for number, path in enumerate(images):
            writer.add_image(key, np.asarray(imread(path))[..., :3], number, dataformats="HWC")


def tensorboard(save_dir: Path, **options: Any) -> TensorBoardLogger:
    """Return TensorBoard's logger, whose files lie in ``tensorboard`` in the run's directory."""
    try:
        return _TensorBoard(save_dir, name="", version="tensorboard", **options)
    except ModuleNotFoundError as error:
        raise ConfigError('tracking=tensorboard needs pip install "tractprobe[tensorboard]"') from error
