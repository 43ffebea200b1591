"""The moments of all groups of a pass, read from disk as they are needed.

A row stands for frames of one group: all of them, or those that one of its sensors lacks (``group_moments``). Whatever
a split asks for is a weighted sum of rows: 1 for frames to be included, -1 for those to be taken out again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tractprobe.data.groups import GroupKey
from tractprobe.probes.linear.group_moments import SavedMoments
from tractprobe.probes.linear.scatter import Scatter
from tractprobe.system.threads import concurrently

_BLOCK = 16  # matrices that are multiplied at a time
_KEPT_BYTES = 1 << 29  # of one layer's groups; what goes beyond is read again for every sum
_CPU = torch.device("cpu")

Selection = Bool[np.ndarray, " group"]


@dataclass(frozen=True)
class Group:
    """Utterances whose moments are kept together: of one speaker in one language, on the same side of every split."""

    corpus: str
    language: str
    speaker: str
    ids: tuple[str, ...]

    @property
    def key(self) -> GroupKey:
        """What its frames are scored in."""
        return GroupKey(self.corpus, self.language, self.speaker)


class MomentStore:
    """The moments of all groups, read from disk as they are needed.

    Attributes
    ----------
    count, y, yy
        (group, channel): valid frames, and sums of targets and of their squares.
    group_of, lost
        For each row its group, and the channels that it is to be subtracted for; no channel: all frames of the group.
    """

    def __init__(self, groups: Sequence[Group], files: Sequence[Path], widths: Mapping[str, int]):
        self.groups, self.widths = tuple(groups), dict(widths)
        self._files = [SavedMoments(path) for path in files]
        parts = [file.read("count", "y", "yy", "lost", "frames") for file in self._files]
        self.count: Int[np.ndarray, "group channel"] = np.stack([part[0].numpy() for part in parts])
        self.y, self.yy = (np.stack([part[index].numpy() for part in parts]) for index in (1, 2))
        masks = [np.concatenate([np.zeros((1, self.count.shape[1]), bool), part[3].numpy()]) for part in parts]
        self.lost: Bool[np.ndarray, "row channel"] = np.concatenate(masks)
        self.frames: Int[np.ndarray, " row"] = np.concatenate([part[4].numpy() for part in parts])
        self.group_of = np.repeat(np.arange(len(parts)), [len(mask) for mask in masks])
        self._last: LayerRows | None = None

    def layer(self, name: str, device: torch.device = _CPU) -> "LayerRows":
        """Return the rows of an input, with Σxxᵀ on a device; those of the last input asked for are kept."""
        if self._last is None or (self._last.name, self._last.device) != (name, device):
            self._last = None  # before the next is read
            self._last = LayerRows(name, self.widths[name], self._files, self.group_of, device)
        return self._last

    @cached_property
    def _group_of_id(self) -> dict[str, int]:
        return {id_: number for number, group in enumerate(self.groups) for id_ in group.ids}

    def selection(self, ids: Sequence[str]) -> Selection:
        """Return the groups that utterances make up; they have to be whole groups."""
        chosen = np.zeros(len(self.groups), bool)
        chosen[[self._group_of_id[id_] for id_ in ids]] = True
        assert sum(len(self.groups[number].ids) for number in np.flatnonzero(chosen)) == len(ids)
        return chosen


class LayerRows:
    """One input's moments: for each group a row of all its frames, then one of those that each lost sensor lacks.

    Attributes
    ----------
    x
        Σx of each row.
    xy
        Σxyᵀ of each group, where lost targets count as 0.
    """

    def __init__(
        self,
        name: str,
        width: int,
        files: Sequence[SavedMoments],
        group_of: Int[np.ndarray, " row"],
        device: torch.device = _CPU,
    ):
        self.name, self.width, self.device, self._files, self._group_of = name, width, device, files, group_of
        self.x: Float[np.ndarray, "row width"] = np.concatenate([file.read(f"x {name}")[0].numpy() for file in files])
        self.xy: Float[np.ndarray, "group width channel"] = np.stack(
            [file.read(f"xy {name}")[0].numpy() for file in files]
        )
        self._row_in_group = np.arange(len(group_of)) - np.searchsorted(group_of, group_of)
        self._kept: dict[int, Scatter] = {}
        self._kept_bytes, self._most_bytes = 0, _room(device)

    def _scatter(self, group: int) -> Scatter:
        """Return a group's Σxxᵀ, from memory while there is room for it."""
        kept = self._kept.get(group)
        if kept is None:
            kept = self._files[group].scatter(self.name).to(self.device)
            if self._kept_bytes + kept.size_bytes <= self._most_bytes:
                self._kept[group] = kept
                self._kept_bytes += kept.size_bytes
        return kept

    def triangles(self, sets: Sequence[Float[np.ndarray, "_set row"]]) -> list[Float[np.ndarray, "_set half"]]:
        """Return Σxxᵀ of weighted sums of rows, as upper triangles.

        On the CPU each is the same, to the bit, as if it were asked for alone.
        """
        if self.device.type != "cpu":
            return self.triangles_by_torch(sets)
        total = [np.zeros((len(weights), self.width * (self.width + 1) // 2)) for weights in sets]
        for first in range(0, len(self._group_of), _BLOCK):
            rows = range(first, min(first + _BLOCK, len(self._group_of)))
            parts = [(of_set, weights[:, rows.start : rows.stop]) for of_set, weights in zip(total, sets, strict=True)]
            using = [(of_set, weights) for of_set, weights in parts if weights.any()]
            if using:
                block = np.stack(concurrently(self._triangle, rows))
                concurrently(_add_product, *zip(*using, strict=True), [block] * len(using))
        return total

    def triangles_by_torch(self, sets: Sequence[Float[np.ndarray, "_set row"]]) -> list[Float[np.ndarray, "_set half"]]:
        """Return the same, added up where the rows are."""
        weights = torch.from_numpy(np.concatenate(sets)).to(self.device)
        total = weights.new_zeros(len(weights), self.width * (self.width + 1) // 2)
        for first in range(0, len(self._group_of), _BLOCK):
            rows = range(first, min(first + _BLOCK, len(self._group_of)))
            total.addmm_(weights[:, rows.start : rows.stop], torch.stack([self._half(row) for row in rows]))
        return [triangles.numpy() for triangles in total.cpu().split([len(weights) for weights in sets])]

    def _half(self, row: int) -> Float[Tensor, " half"]:
        return self._scatter(int(self._group_of[row])).triangle(int(self._row_in_group[row]))

    def _triangle(self, row: int) -> Float[np.ndarray, " half"]:
        return self._half(row).numpy()

    def squares(
        self,
        by_group: Mapping[int, Float[np.ndarray, " _row"]],
        weights: Float[Tensor, "*some width channel"],
        centre: Float[Tensor, "*some channel"],
    ) -> Float[Tensor, "*some channel"]:
        """Return Σ(xw - c)² over the frames of a weighted sum of rows, which are given ``by_group``."""
        total = torch.zeros_like(centre)
        for group, row_weights in by_group.items():
            total += self._scatter(group).squares(row_weights, weights, centre)
        return total

    def by_group(self, row_weights: Float[np.ndarray, " row"]) -> dict[int, Float[np.ndarray, " _row"]]:
        """Return the weights of each group's rows, for the groups that a weighted sum needs."""
        needed = np.unique(self._group_of[row_weights != 0])
        return {int(group): row_weights[self._group_of == group] for group in needed}


def _room(device: torch.device) -> int:
    """Return how many bytes of a layer's groups may be kept: on a GPU a quarter of what is free there."""
    return torch.cuda.mem_get_info(device)[0] // 4 if device.type == "cuda" else _KEPT_BYTES


def _add_product(total: np.ndarray, weights: np.ndarray, block: np.ndarray) -> None:
    total += weights @ block
