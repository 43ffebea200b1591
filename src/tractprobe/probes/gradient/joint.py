"""Cells that differ in what is held out, trained in one bank: one pass over the frames serves all of them.

Every cell has heads of its own, which learn from its own training utterances alone: whatever else a batch holds is
masked, for them. Cells share the batches, so that their numbers are not those of cells trained one by one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tractprobe.data.datamodule import Batch, EmaData
from tractprobe.data.splits import Fold, Split
from tractprobe.probes.fitted import Cell
from tractprobe.probes.gradient.fit import fit_heads, inversion_settings
from tractprobe.probes.gradient.inversion import Inversion, Truth
from tractprobe.runs.settings import Plain
from tractprobe.runs.trainer import trainer_of
from tractprobe.system.errors import ConfigError, RunError
from tractprobe.system.files import digest

if TYPE_CHECKING:
    from pytorch_lightning.loggers import WandbLogger


class Joint(Inversion):
    """Heads of several cells: those of the first for all of its layers, then those of the next.

    Parameters
    ----------
    splits
        What each cell learns from, chooses on and must not see.
    speakers
        Of each utterance.
    mean, sd
        Each speaker's statistics as each cell may know them, in the channels' units.
    """

    mean: Tensor
    sd: Tensor

    def __init__(
        self,
        *args: Any,
        splits: Sequence[Split],
        speakers: dict[str, str],
        mean: dict[str, Float[np.ndarray, "cell channel"]],
        sd: dict[str, Float[np.ndarray, "cell channel"]],
        **more: Any,
    ):
        super().__init__(*args, **more)
        names = sorted(mean)
        self._row = {id_: names.index(speaker) for id_, speaker in speakers.items() if speaker in mean}
        self._parts = [{"train": frozenset(split.train), "validation": frozenset(split.validation)} for split in splits]
        self._hidden = [frozenset(split.test) for split in splits]
        self.layers_each = len(self.heads) // len(splits)
        for what, values in (("mean", mean), ("sd", sd)):
            table = torch.from_numpy(np.stack([values[name] for name in names], axis=1))
            self.register_buffer(what, table, persistent=False)

    def truth(self, batch: Batch, part: Literal["train", "validation", "test"]) -> Truth:
        """Return targets and statistics as each member's cell knows them; valid where the cell uses them so."""
        rows = [self._row[id_] for id_ in batch.ids]
        mean, sd = self.mean[:, rows, None], self.sd[:, rows, None]
        used = torch.tensor([[id_ in parts[part] for id_ in batch.ids] for parts in self._parts], device=mean.device)
        hidden = torch.tensor([[id_ in test for id_ in batch.ids] for test in self._hidden], device=mean.device)
        if (used & hidden).any():
            raise RunError("a cell would learn from what it is tested on: its split is at fault")
        target = (batch.target - mean) / sd
        valid: Bool[Tensor, "cell batch time channel"] = batch.valid & used[..., None, None] & target.isfinite()
        found = Truth(target.masked_fill(~valid, 0), valid, mean, sd)
        return Truth(*(value.repeat_interleave(self.layers_each, dim=0) for value in found))


def fit_jointly(cells: Sequence[Cell], settings: Plain, folder: Path, logger: "WandbLogger | None") -> list[Plain]:
    """Train the heads of cells that differ in their splits only, in one bank; return what was chosen for each.

    Parameters
    ----------
    settings, folder
        Of all of them; an interrupted fit goes on in the folder.
    """
    first, splits = cells[0], [cell.plan.split for cell in cells]
    if first.head_reads_several:
        raise ConfigError("together=true trains a head for each layer; head=weighted reads several: together=false")
    for cell in cells:
        cell.data.utterance_sums = first.data.utterance_sums  # each utterance is described once
        cell.data.setup()
    data = _union(first, splits)
    data.setup()
    heads = [head for cell in cells for head in cell.plan.heads]
    module = Joint(
        first.plan.encoder,
        first.new_head(len(heads)),
        heads=heads,
        names=[f"{cell.plan.settings['held_out']}/{name}" for cell in cells for name in cell.module.names],
        groups=data.groups,
        splits=splits,
        speakers={id_: entry.speaker for id_, entry in data.entries.items()},
        mean=_tables(cells, "mean"),
        sd=_tables(cells, "sd"),
        identity=digest([cell.module.identity for cell in cells]),
        **inversion_settings(first.plan),
    )
    found = fit_heads(module, data, trainer_of(settings, folder, logger), folder)
    each = module.layers_each
    chosen = []
    for number, cell in enumerate(cells):
        own = slice(number * each, (number + 1) * each)
        cell.module.head.load_state_dict({name: value[own] for name, value in module.head.state_dict().items()})
        chosen.append({"best_validation_r": found["best_validation_r"][own], "history": found["history"]})
    return chosen


def _union(cell: Cell, splits: Sequence[Split]) -> EmaData:
    """Return the batches of everything that some cell uses, targets in their units."""

    def every(part: str) -> tuple[str, ...]:
        return tuple(sorted({id_ for split in splits for id_ in getattr(split, part)}))

    split = Split(every("development"), (), (Fold(every("train"), every("validation")),))
    return cell.new_data(split, standardise=False)


def _tables(cells: Sequence[Cell], what: str) -> dict[str, Float[np.ndarray, "cell channel"]]:
    speakers = {name for cell in cells for name in cell.data.scales}
    nothing = np.full(len(cells[0].targets.channels), np.nan)
    return {
        name: np.stack([
            getattr(cell.data.scales[name], what) if name in cell.data.scales else nothing for cell in cells
        ])
        for name in speakers
    }  # fmt: skip
