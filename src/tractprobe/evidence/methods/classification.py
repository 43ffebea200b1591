"""Which phone, and which of its features, a linear discriminant takes a frame for, in languages that it never heard.

Discriminants are fitted to moments (``probes.linear.discriminant``) and judged frame by frame. A frame whose phone was
never fitted cannot be told as it: it is left out and counted. What is reported is balanced accuracy, the mean over
classes of the share of their frames that are told as them, whose chance level is 1 / number of classes that may be
taken, whatever the frames are like.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from tractprobe.data.phone_targets import Features, Phones
from tractprobe.data.splits import Split
from tractprobe.data.targets import Targets
from tractprobe.probes.linear.discriminant import ClassMoments, Discriminant, discriminants
from tractprobe.probes.linear.moment_store import MomentStore
from tractprobe.probes.linear.selection import Division, LayerMoments, full_moments

PHONE = "phone"

Unit = tuple[str, str]
"""(language, speaker), as scores are kept."""


@dataclass(frozen=True)
class Categories:
    """Columns of ``phones`` and ``features`` targets by what they are values of: the phone, its manner, and so on.

    Attributes
    ----------
    columns, values
        By category: places among the channels, and names.
    """

    columns: Mapping[str, tuple[int, ...]]
    values: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, phones: Sequence[str]) -> "Categories":
        """Return those of ``targets_of`` the same phones."""
        values = {PHONE: tuple(phones)} | {name: own for name, own in Features(tuple(phones)).values.items() if own}
        edges = np.cumsum([0, *map(len, values.values())]).tolist()
        columns = {name: tuple(range(first, first + len(own))) for (name, own), first in zip(values.items(), edges)}  # noqa: B905
        return cls(columns, values)

    @property
    def features(self) -> tuple[str, ...]:
        """The categories of features that have at least two values."""
        return tuple(name for name, values in self.values.items() if name != PHONE and len(values) > 1)

    def codes(self, targets: Float[np.ndarray, "time channel"]) -> dict[str, Int[np.ndarray, " time"]]:
        """Return each frame's class in each category, -1 where it has none."""
        found = {}
        for category, columns in self.columns.items():
            own = targets[:, list(columns)]
            has_one = np.isfinite(own).all(axis=1) & (np.nan_to_num(own).sum(axis=1) > 0)
            found[category] = np.where(has_one, np.nan_to_num(own).argmax(axis=1), -1)
        return found


def targets_of(phones: Sequence[str]) -> Targets:
    """Return the targets whose moments discriminants are fitted to."""
    return Targets([Phones(tuple(phones)), Features(tuple(phones))])


@dataclass(frozen=True)
class Sides:
    """Class moments of an input under a split, by category: of what a choice is fitted to, and of all development."""

    chosen_on: Mapping[str, ClassMoments]
    development: Mapping[str, ClassMoments]

    def projected(self, weights: torch.Tensor) -> "Sides":
        """Return the moments of the input times weights (width, projection)."""
        each = [
            {category: moments.projected(weights) for category, moments in side.items()}
            for side in (self.chosen_on, self.development)
        ]
        return Sides(*each)


def sides_of(
    store: MomentStore,
    name: str,
    splits: Mapping[str, Split],
    columns: Mapping[str, Sequence[int]],
    as_they_are: Bool[np.ndarray, " channel"],
) -> dict[str, Sides]:
    """Return the class moments of an input under each split, of the categories whose columns are given.

    What choices are fitted to is the first fold's training; without folds it is nothing.
    """
    asked, places = [], []
    for value, split in splits.items():
        division = Division.of(replace(split, folds=split.folds[:1]), store, as_they_are)
        moments = LayerMoments(store, name, division)
        for place, selection in (*((0, train) for train, _ in division.folds), (1, division.development)):
            asked.append((moments, selection))
            places.append((value, place))
    found: dict[str, list[dict[str, ClassMoments]]] = {value: [{}, {}] for value in splits}
    needed = [column for own in columns.values() for column in own]
    for (value, place), side in zip(places, full_moments(asked, needed), strict=True):
        found[value][place] = {
            category: ClassMoments.of(part, [channels.index(column) for column in own])
            for channels, part in side
            for category, own in columns.items()
            if own[0] in channels
        }
    return {value: Sides(*each) for value, each in found.items()}


@dataclass(eq=False)
class Confusions:
    """How many frames of each class are told as which, by (language, speaker)."""

    classes: int
    counts: dict[Unit, Int[np.ndarray, "true taken"]] = field(default_factory=dict)

    def add(self, unit: Unit, true: Int[np.ndarray, " frame"], taken: Int[np.ndarray, " frame"]) -> None:
        """Count frames."""
        table = self.counts.setdefault(unit, np.zeros((self.classes, self.classes), dtype=np.int64))
        np.add.at(table, (true, taken), 1)

    def balanced_accuracy(self) -> dict[Unit, float]:
        """Return the mean share of frames that are told as what they are, over the classes that a speaker has."""
        found = {}
        for unit, table in self.counts.items():
            frames = table.sum(axis=1)
            if frames.any():
                found[unit] = float((np.diag(table)[frames > 0] / frames[frames > 0]).mean())
        return found


@dataclass(frozen=True)
class Judged:
    """What discriminants of one input, category and shrinkage reach.

    Attributes
    ----------
    allowed
        Classes that may be taken: with enough frames to fit, and some to be tested on.
    """

    confusions: Confusions
    allowed: Int[np.ndarray, " class"]

    @property
    def chance(self) -> float | None:
        """The balanced accuracy of whatever does not depend on the frame."""
        return 1 / len(self.allowed) if len(self.allowed) > 1 else None

    def scores(self) -> dict[Unit, float]:
        """Return balanced accuracy by (language, speaker); none with fewer than two classes."""
        return self.confusions.balanced_accuracy() if self.chance else {}


def judge(
    found: Sequence[Discriminant],
    frames: Iterable[tuple[Unit, Float[np.ndarray, "time width"], Int[np.ndarray, " time"]]],
    occurring: np.ndarray,
) -> list[Judged]:
    """Return what discriminants take frames for, which come with their true class, -1 where they have none."""
    judged = [Judged(Confusions(len(each.bias)), np.flatnonzero(each.known.numpy() & occurring)) for each in found]
    for unit, x, true in frames:
        x = torch.from_numpy(x).double()
        for each, so_far in zip(found, judged, strict=True):
            used = np.isin(true, so_far.allowed)
            if len(so_far.allowed) > 1 and used.any():
                delta = x[torch.from_numpy(used)] @ each.weight[:, so_far.allowed] + each.bias[so_far.allowed]
                so_far.confusions.add(unit, true[used], so_far.allowed[delta.argmax(dim=1).numpy()])
    return judged


Read = Callable[[str], Float[np.ndarray, "time width"]]
"""An utterance's id to the input that is judged."""


@dataclass(frozen=True)
class Frames:
    """Utterances with the class of each frame.

    Parameters
    ----------
    codes
        By utterance and category.
    """

    unit: Mapping[str, Unit]
    codes: Mapping[str, Mapping[str, Int[np.ndarray, " time"]]]

    def of(self, ids: Sequence[str], read: Read, category: str) -> Iterable[tuple[Unit, np.ndarray, np.ndarray]]:
        """Yield (language, speaker), input and classes of each utterance, of the frames that can be judged."""
        for id_ in ids:
            x, codes = read(id_), self.codes[id_][category]
            usable = (codes >= 0) & np.isfinite(x).all(axis=1)
            yield self.unit[id_], x[usable], codes[usable]

    def occurring(self, ids: Sequence[str], category: str, classes: int) -> np.ndarray:
        """Return which classes some frame has."""
        counted = Counter(code for id_ in ids for code in np.unique(self.codes[id_][category]).tolist())
        return np.array([counted[number] > 0 for number in range(classes)], bool)


@dataclass(frozen=True)
class Classified:
    """A category as an input tells it under one split, at the shrinkage that validation chose.

    Attributes
    ----------
    validated
        Mean balanced accuracy on what the first fold keeps aside; ``None`` where nothing could be chosen.
    shrinkage
        What it was chosen at, the middle one where nothing could be.
    """

    test: Judged
    validated: float | None
    shrinkage: float


def classified(
    sides: Sides, category: str, split: Split, read: Read, frames: Frames, shrinkages: Sequence[float], least: int
) -> Classified | None:
    """Return how well a category can be told in a split's test; ``None`` if no class has enough frames to fit."""
    if category not in sides.development:
        return None
    validated: list[tuple[float, int]] = []
    if category in sides.chosen_on:
        validated = _validated(sides.chosen_on[category], category, split, read, frames, shrinkages, least)
    best = max(validated, default=None)
    chosen = sorted(shrinkages)[len(shrinkages) // 2] if best is None else shrinkages[-best[1]]
    moments = sides.development[category]
    occurring = frames.occurring(split.test, category, len(moments.count))
    (test,) = judge(discriminants(moments, [chosen], least), frames.of(split.test, read, category), occurring)
    return Classified(test, None if best is None else best[0], chosen)


def _validated(
    moments: ClassMoments,
    category: str,
    split: Split,
    read: Read,
    frames: Frames,
    shrinkages: Sequence[float],
    least: int,
) -> list[tuple[float, int]]:
    """Return what each shrinkage reaches on what the first fold keeps aside, with minus its place; the defined ones."""
    kept = split.folds[0].validation
    occurring = frames.occurring(kept, category, len(moments.count))
    judged = judge(discriminants(moments, shrinkages, least), frames.of(kept, read, category), occurring)
    means = [list(each.scores().values()) for each in judged]
    return [(float(np.mean(scores)), -place) for place, scores in enumerate(means) if scores]
