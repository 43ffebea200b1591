"""Where states are erased, of what, and how heads score afterwards: closed forms of ``erasure`` on a bench's moments.

A site is a split with the layer that its own validation chose. Its erasers and its penalties are learned from its
development side alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tractprobe.data.groups import GroupKey
from tractprobe.data.splits import Split
from tractprobe.data.targets import Channel, Targets
from tractprobe.encoders.layers import Label
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.damage import ITSELF
from tractprobe.evidence.methods.erasure import (
    Eraser,
    Sides,
    StateSpace,
    covariance_with,
    covariances,
    moments_of_labels,
    states_of_groups,
)
from tractprobe.evidence.methods.ridge_without import RidgeWithout
from tractprobe.evidence.tables.means import pooled
from tractprobe.probes.heads.ridge import Ridge
from tractprobe.probes.linear.fit import Solution, fit_head, score
from tractprobe.probes.linear.moment_store import MomentStore, Selection
from tractprobe.probes.linear.selection import Division, LayerMoments
from tractprobe.runs.result import Row
from tractprobe.system.errors import ConfigError

NOTHING = "nothing"
MOVEMENTS, TONGUE, LIPS_AND_JAW = "movements", "tongue", "lips and jaw"
PHONES, FEWER_PHONES, SPEAKERS = "phones", "phones, by the rank of movements", "speakers"
RANDOM, SUMS = "random directions", "random sums of features"
UNHEARD, HEARD = "movements, as the others have them", "movements, as all have them"

PARTS = {TONGUE: ("td", "tb", "tt"), LIPS_AND_JAW: ("li", "ul", "ll")}


@dataclass(frozen=True)
class Condition:
    """What is erased: something by name, or for comparison so many random directions."""

    erased: str
    rank: int = 0
    draw: int = 0


@dataclass(frozen=True, eq=False)
class Site:
    """A split at a layer, with everything that is learned from its development side."""

    name: str
    label: Label
    store: MomentStore
    channels: tuple[Channel, ...]
    moments: LayerMoments
    rule: Ridge

    @classmethod
    def of(cls, name: str, split: Split, label: Label, store: MomentStore, targets: Targets, rule: Ridge) -> "Site":
        """Return the site of a split at a layer."""
        division = Division.of(split, store, targets.as_they_are)
        return cls(name, label, store, targets.channels, LayerMoments(store, str(label), division), rule)

    @property
    def division(self) -> Division:
        """The split in terms of groups."""
        return self.moments.division

    @cached_property
    def alpha(self) -> Float[Tensor, " channel"]:
        """The penalty that validation chooses for each channel."""
        return fit_head(self.moments, self.rule).alpha

    @cached_property
    def side(self) -> Sides:
        """Moments of the development side."""
        return development_of(self.store, self.label, self.division)

    @cached_property
    def space(self) -> StateSpace:
        """How states vary over all frames of the development side."""
        return StateSpace.of(*states_of_groups(self.store, self.moments.rows, self.division.development))

    @cached_property
    def ridge(self) -> RidgeWithout:
        """Heads on the development side."""
        return RidgeWithout(self.side)

    @property
    def speakers(self) -> list[str]:
        """Who is in the development side."""
        return sorted({self.store.groups[number].speaker for number in np.flatnonzero(self.division.development)})

    @cached_property
    def of_speakers(self) -> Sides:
        """The moments of the development side with its speakers as targets."""
        labels = [group.speaker for group in self.store.groups]
        moments = moments_of_labels(self.store, self.moments.rows, self.division.development, labels, self.speakers)
        return [(range(len(self.speakers)), moments)]

    @cached_property
    def erasers(self) -> dict[str, Eraser]:
        """What can be erased: each of these with the eraser that the development side gives."""
        cross = covariances(self.side, len(self.channels))
        found = {MOVEMENTS: self.space.eraser(cross[:, columns_of(self.channels, MOVEMENTS)])}
        for part in PARTS:
            found[part] = self.space.eraser(cross[:, columns_of(self.channels, part)])
        if phones := columns_of(self.channels, PHONES):
            found[PHONES] = self.space.eraser(cross[:, phones])
            found[FEWER_PHONES] = self.space.eraser(cross[:, phones], found[MOVEMENTS].rank)
        if len(self.speakers) > 1:
            found[SPEAKERS] = self.space.eraser(covariance_with(self.of_speakers[0][1]))
        return found

    def conditions(self, draws: int, seed: int) -> Iterator[tuple[Condition, Eraser | None]]:
        """Yield nothing erased, each of the erasers, and of each of their ranks so many random directions and sums."""
        yield Condition(NOTHING), None
        for name, eraser in self.erasers.items():
            yield Condition(name, eraser.rank), eraser
        for rank in sorted({eraser.rank for eraser in self.erasers.values()}):
            for draw in range(draws):
                for name in (RANDOM, SUMS):
                    random = np.random.default_rng([seed, draw])
                    yield Condition(name, rank, draw), self.space.drawn(rank, random, as_states=name == SUMS)

    def scored(self, eraser: Eraser | None) -> list[Row]:
        """Return test scores of heads that are fitted to erased states, ``None`` for r of a head that is constant."""
        return scores(self.moments, self.channels, *self.ridge.heads(self.alpha, eraser), self.name)


def matched(site: Site, draws: int) -> Iterator[tuple[str, str, Condition]]:
    """Yield what is erased, how, and the condition that this is at a site: itself, and as many random directions."""
    yield NOTHING, ITSELF, Condition(NOTHING)
    for name, eraser in site.erasers.items():
        yield name, ITSELF, Condition(name, eraser.rank)
        for how in (RANDOM, SUMS):
            for draw in range(draws):
                yield name, how, Condition(how, eraser.rank, draw)


def scores(
    moments: LayerMoments,
    channels: Sequence[Channel],
    weight: Float[Tensor, "width channel"],
    bias: Float[Tensor, " channel"],
    held_out: str,
) -> list[Row]:
    """Return heads' scores on the test groups of a division, marked with what was held out."""
    unknown = torch.full_like(bias, torch.nan)
    reached = score(moments, Solution(weight, bias, unknown, unknown))
    rows = reached.rows([0], list(moments.division.test), channels)
    return [{"seed": 0, "run": "", "held_out": held_out, **row} for row in rows]


def targets_of(bench: Bench) -> tuple[Targets, str]:
    """Return movements and phones of a bench's corpora, or movements alone and why."""
    try:
        return bench.targets("ema", "phones"), ""
    except ConfigError as error:
        return bench.targets("ema"), str(error)


def columns_of(channels: Sequence[Channel], what: str) -> list[int]:
    """Return the columns of phones, of all movements, or of a part of the mouth."""
    if what == PHONES:
        return [number for number, channel in enumerate(channels) if channel.target == PHONES]
    points = PARTS.get(what)
    return [
        number
        for number, channel in enumerate(channels)
        if channel.target == "ema" and (points is None or channel.name.partition("_")[0] in points)
    ]


def sites_of(
    bench: Bench,
    splits: Mapping[str, Split],
    labels: Mapping[str, Label],
    store: MomentStore,
    targets: Targets,
    rule: Ridge,
) -> Iterator[Site]:
    """Yield the sites of some splits, layer by layer, so that each layer's moments are read once."""
    order = {label: number for number, label in enumerate(bench.labels)}
    for name in sorted(splits, key=lambda name: (order[labels[name]], name)):
        yield Site.of(name, splits[name], labels[name], store, targets, rule)


class Regained:
    """What heads that are fitted within what a site holds out regain of movements that were erased.

    They learn from its sentences outside a fold and are tested on those in it, on states that are erased by: nothing;
    the site's eraser, which never met what is held out; one that learned from all languages, and from the same
    sentences as the heads; as many random directions.

    Parameters
    ----------
    folds
        Splits by sentence.
    by
        Which attribute of groups the names of sites are values of.
    """

    def __init__(self, folds: Mapping[str, Split], by: str, seed: int):
        self.folds, self.by, self.seed = folds, by, seed
        self._heard: dict[tuple[str, Label], Eraser] = {}

    def at(self, site: Site, targets: Targets) -> dict[str, list[Row]]:
        """Return scores of movements by what erased them."""
        rows: dict[str, list[Row]] = {}
        own = np.array([getattr(group, self.by) == site.name for group in site.store.groups])
        movements = columns_of(site.channels, MOVEMENTS)
        for fold, split in self.folds.items():
            division = Division.of(split, site.store, targets.as_they_are)
            if (within := _within(division, own)) is None:
                continue
            side = development_of(site.store, site.label, within)
            ridge = RidgeWithout([part for part in side if set(part[0]) & set(movements)])
            moments = LayerMoments(site.store, str(site.label), within)
            for name, eraser in self._erasers(site, fold, division).items():
                heads = ridge.heads(site.alpha, eraser)
                rows.setdefault(name, []).extend(scores(moments, site.channels, *heads, fold))
        return {name: [row for row in pooled(each) if row["target"] == "ema"] for name, each in rows.items()}

    def _erasers(self, site: Site, fold: str, division: Division) -> dict[str, Eraser | None]:
        unheard, place = site.erasers[MOVEMENTS], (fold, site.label)
        if place not in self._heard:
            space = StateSpace.of(*states_of_groups(site.store, site.moments.rows, division.development))
            cross = covariances(development_of(site.store, site.label, division), len(site.channels))
            self._heard[place] = space.eraser(cross[:, columns_of(site.channels, MOVEMENTS)])
        random = site.space.drawn(unheard.rank, np.random.default_rng([self.seed, 0]))
        return {NOTHING: None, UNHEARD: unheard, HEARD: self._heard[place], RANDOM: random}


def _within(division: Division, own: Selection) -> Division | None:
    """Return a division of some groups alone; ``None`` if it leaves nothing to fit or to test."""
    test = {key: selection & own for key, selection in division.test.items() if (selection & own).any()}
    development = division.development & own
    return replace(division, development=development, folds=(), test=test) if test and development.any() else None


def development_of(store: MomentStore, label: Label, division: Division) -> Sides:
    """Return the moments of a division's development side alone."""
    return LayerMoments(store, str(label), replace(division, folds=())).to_fit()[-1]


class Hits:
    """How many frames and utterances are put down to their speaker, by what was erased."""

    def __init__(self):
        self._counts: dict[tuple[str, str], dict[tuple[str, str, str], list[int]]] = {}

    def include(self, bench: Bench, site: Site, split: Split, draws: int, alpha: float) -> None:
        """Add a site's test utterances under each condition."""
        names: dict[Condition, list[tuple[str, str]]] = {}
        for erased, how, condition in matched(site, draws):
            names.setdefault(condition, []).append((erased, how))
        for condition, key, *counts in told_apart(bench, site, split, draws, alpha):
            for name in names[condition]:
                of_erased = self._counts.setdefault(name, {})
                for channel, right, count in zip(("frames", "utterances"), counts[::2], counts[1::2], strict=True):
                    total = of_erased.setdefault((key.language, key.speaker, channel), [0, 0])
                    total[0] += right
                    total[1] += count

    def rows(self) -> dict[tuple[str, str], list[Row]]:
        """Return the share that is right for each speaker in a language, as rows of scores."""
        return {
            name: [
                {"language": language, "speaker": speaker, "target": SPEAKERS, "channel": channel, "r": right / count}
                for (language, speaker, channel), (right, count) in counts.items()
            ]
            for name, counts in self._counts.items()
        }


def told_apart(
    bench: Bench, site: Site, split: Split, draws: int, alpha: float
) -> Iterator[tuple[Condition, GroupKey, int, int, int, int]]:
    """Yield for each condition and test utterance of a site how many frames are put down to their speaker.

    That is the largest of ridge heads for every speaker, which were fitted to erased states of other sentences. An
    utterance is put down to the speaker of the mean over its frames.

    Returns
    -------
    Iterator
        Condition, group, right frames, frames, right utterances (0 or 1), 1.
    """
    alphas = torch.full((len(site.speakers),), alpha, dtype=torch.float64)
    conditions = dict(site.conditions(draws, bench.seed))
    ridge = RidgeWithout(site.of_speakers)
    heads = [ridge.heads(alphas, eraser) for eraser in conditions.values()]
    weight = torch.stack([weight for weight, _ in heads]).float()  # (condition, width, speaker)
    bias = torch.stack([bias for _, bias in heads]).float()
    layers = next(read.layers for read in bench.inputs if read.label == site.label)
    for entry in map(bench.entries.__getitem__, split.test):
        if entry.speaker in site.speakers:
            states = torch.from_numpy(bench.states_of(entry.id, layers)).movedim(0, 1).flatten(1)
            said = states @ weight + bias[:, None]  # (condition, frame, speaker)
            own = site.speakers.index(entry.speaker)
            right = (said.argmax(dim=2) == own).sum(dim=1).tolist()
            mean_right = (said.mean(dim=1).argmax(dim=1) == own).tolist()
            for number, condition in enumerate(conditions):
                yield condition, GroupKey.of(entry), right[number], len(states), int(mean_right[number]), 1
