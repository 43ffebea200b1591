"""Truth: what predictions are compared with, standardised by what each problem may know of its speakers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tractprobe.data.batches import Batch
from tractprobe.data.scales import SpeakerScale
from tractprobe.data.splits import Split
from tractprobe.system.errors import RunError

Part = Literal["train", "validation", "test"]


class Truth(NamedTuple):
    """Standardised targets of a batch, the same for all heads or with the head as first axis."""

    target: Float[Tensor, "... batch time channel"]
    valid: Bool[Tensor, "... batch time channel"]
    mean: Float[Tensor, "... batch 1 channel"]
    sd: Float[Tensor, "... batch 1 channel"]

    def in_units(
        self, standardised: Float[Tensor, "*any batch time channel"]
    ) -> Float[Tensor, "*any batch time channel"]:
        """Return standardised values in the channels' units."""
        return standardised * self.sd + self.mean


@dataclass(frozen=True, eq=False)
class View:
    """What one problem may know: its split, and its speakers' scales."""

    split: Split
    scales: Mapping[str, SpeakerScale]


class Truths(nn.Module):
    """The truth of several problems that share batches; each sees its own utterances only.

    Parameters
    ----------
    speakers
        Speaker of each utterance that batches may hold.
    heads_each
        How many heads each problem has; those of one problem stand side by side.
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, views: Sequence[View], speakers: Mapping[str, str], heads_each: int):
        super().__init__()
        names = sorted({name for view in views for name in view.scales})
        rows = {name: row for row, name in enumerate(names)}
        self.heads_each = heads_each
        self._row = {id_: rows[speaker] for id_, speaker in speakers.items() if speaker in rows}
        self._parts: list[dict[Part, frozenset[str]]] = [
            {
                "train": frozenset(view.split.train),
                "validation": frozenset(view.split.validation),
                "test": frozenset(view.split.test),
            }
            for view in views
        ]
        for what in ("mean", "sd"):
            self.register_buffer(what, _table(views, names, what), persistent=False)

    def forward(self, batch: Batch, part: Part) -> Truth:
        """Return the truth of a batch; entries are valid for the problems that use them in this part."""
        rows = [self._row[id_] for id_ in batch.ids]
        mean, sd = self.mean[:, rows, None], self.sd[:, rows, None]
        used = self._used(batch, part)
        if part != "test" and (used & self._used(batch, "test")).any():
            raise RunError("heads would learn from what they are tested on: the split is wrong, please report this")
        target = (batch.target - mean) / sd
        valid: Bool[Tensor, "problem batch time channel"] = batch.valid & used[..., None, None] & target.isfinite()
        truth = Truth(target.masked_fill(~valid, 0), valid, mean, sd)
        if len(self._parts) == 1:
            return Truth(*(value[0] for value in truth))
        return Truth(*(value.repeat_interleave(self.heads_each, dim=0) for value in truth))

    def _used(self, batch: Batch, part: Part) -> Bool[Tensor, "problem batch"]:
        return torch.tensor(
            [[id_ in parts[part] for id_ in batch.ids] for parts in self._parts], device=self.mean.device
        )


def _table(views: Sequence[View], speakers: Sequence[str], what: str) -> Float[Tensor, "problem speaker channel"]:
    """Return each problem's statistics of each speaker; NaN for a speaker whom it does not know."""
    channels = len(next(iter(views[0].scales.values())).mean)
    nothing = np.full(channels, np.nan)
    rows = [
        [getattr(view.scales[name], what) if name in view.scales else nothing for name in speakers] for view in views
    ]
    return torch.from_numpy(np.array(rows))
