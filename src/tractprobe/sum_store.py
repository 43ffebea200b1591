"""The sums of all groups of a pass, read from disk as they are needed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from tractprobe.sums import SavedSums

_BLOCK = 16  # groups whose matrices are added at a time
_KEPT_BYTES = 1 << 29  # of one layer's matrices; where there are more, they are read again for every sum

Selection = Bool[np.ndarray, " group"]


@dataclass(frozen=True)
class Group:
    """Utterances whose sums are kept together: of one speaker in one language, on the same side of every split."""

    corpus: str
    language: str
    speaker: str
    ids: tuple[str, ...]


class SumStore:
    """The sums of all groups, read from disk as they are needed.

    Attributes
    ----------
    count, y, yy
        (group, channel): valid frames, and sums of targets and of their squares.
    group_of, lost
        For each row of Σx and Σxxᵀ its group, and the channels that it is to be subtracted for; none: all its frames.
    """

    def __init__(self, groups: Sequence[Group], files: Sequence[Path], widths: Mapping[str, int]):
        self.groups, self.widths = tuple(groups), dict(widths)
        self._files = [SavedSums(path) for path in files]
        parts = [file.read("count", "y", "yy", "lost", "frames") for file in self._files]
        self.count: Int[np.ndarray, "group channel"] = np.stack([part[0].numpy() for part in parts])
        self.y, self.yy = (np.stack([part[index].numpy() for part in parts]) for index in (1, 2))
        masks = [np.concatenate([np.zeros((1, self.count.shape[1]), bool), part[3].numpy()]) for part in parts]
        self.lost: Bool[np.ndarray, "row channel"] = np.concatenate(masks)
        self.frames: Int[np.ndarray, " row"] = np.concatenate([part[4].numpy() for part in parts])
        self.group_of = np.repeat(np.arange(len(parts)), [len(mask) for mask in masks])
        self._last: LayerRows | None = None

    def layer(self, name: str) -> "LayerRows":
        """Return the rows of an input; the last one that was asked for is kept."""
        if self._last is None or self._last.name != name:
            self._last = None  # before the next is read
            self._last = LayerRows(name, self.widths[name], self._files, self.group_of)
        return self._last

    @cached_property
    def _group_of_id(self) -> dict[str, int]:
        return {id_: number for number, group in enumerate(self.groups) for id_ in group.ids}

    def selection(self, ids: Sequence[str]) -> Selection:
        """Return the groups that utterances make up; they have to be whole groups."""
        chosen = np.zeros(len(self.groups), bool)
        chosen[[self._group_of_id[id_] for id_ in ids]] = True
        assert sum(len(group.ids) for group, one in zip(self.groups, chosen, strict=True) if one) == len(ids)
        return chosen


class LayerRows:
    """One input's sums, a row for all frames of a group and for those that each of its lost sensors lacks.

    Attributes
    ----------
    x
        Σx of each row.
    xy
        Σxyᵀ of each group, where lost targets count as 0.
    """

    def __init__(self, name: str, width: int, files: Sequence[SavedSums], group_of: Int[np.ndarray, " row"]):
        self.name, self.width, self._files, self._group_of = name, width, files, group_of
        self.x: Float[np.ndarray, "row width"] = np.concatenate([file.read(f"x {name}")[0].numpy() for file in files])
        self.xy: Float[np.ndarray, "group width channel"] = np.stack(
            [file.read(f"xy {name}")[0].numpy() for file in files]
        )
        self._half = width * (width + 1) // 2
        self._kept = self._read(files) if 8 * self._half * len(group_of) <= _KEPT_BYTES else None

    def _read(self, files: Sequence[SavedSums]) -> Float[np.ndarray, "row half"]:
        return np.concatenate([file.scatter(self.name).numpy() for file in files])

    def scatter(self, weights: Float[np.ndarray, "set row"]) -> Float[np.ndarray, "set half"]:
        """Return Σxxᵀ of weighted sums of rows, as upper triangles."""
        if self._kept is not None:
            return weights @ self._kept
        total = np.zeros((len(weights), self._half))
        for first in range(0, len(self._files), _BLOCK):
            rows = np.flatnonzero((self._group_of >= first) & (self._group_of < first + _BLOCK))
            if weights[:, rows].any():
                total += weights[:, rows] @ self._read(self._files[first : first + _BLOCK])
        return total
