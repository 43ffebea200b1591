"""Phones and their features read out of an encoder's layers, and out of measured and predicted movements."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tractprobe.data.movement_features import Movements
from tractprobe.data.phone_targets import Phones
from tractprobe.data.splits import Split
from tractprobe.encoders.layers import Label
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.classification import (
    PHONE,
    Categories,
    Classified,
    Frames,
    Read,
    Sides,
    Unit,
    classified,
    sides_of,
    targets_of,
)
from tractprobe.probes.heads.ridge import Ridge
from tractprobe.probes.linear.discriminant import ClassMoments
from tractprobe.probes.linear.fit import fit_divisions
from tractprobe.probes.linear.moment_store import MomentStore
from tractprobe.probes.linear.selection import Division
from tractprobe.probes.states import HeadInput
from tractprobe.runs.building import build
from tractprobe.system.progress import progress

BySplit = Mapping[str, Classified]

_KEPT = 256  # utterances whose frames are kept in memory
_ALPHAS = (30.0, 1000.0, 30000.0)  # of ridge on one-hot targets, whose r is next to flat in alpha


@dataclass(frozen=True, eq=False)
class Rules:
    """How discriminants are fitted: candidates of shrinkage, and frames that a class needs."""

    shrinkages: tuple[float, ...]
    least: int


@dataclass(frozen=True, eq=False)
class Material:
    """What phones are read out of, and what they are.

    Attributes
    ----------
    splits
        By the value that is held out.
    store
        Moments of each layer with phones as targets.
    """

    bench: Bench
    splits: Mapping[str, Split]
    categories: Categories
    frames: Frames
    store: MomentStore

    @classmethod
    def of(cls, bench: Bench, splits: Mapping[str, Split], phones: Sequence[str]) -> "Material":
        """Label every frame, and add up the moments of every layer."""
        targets, categories = targets_of(phones), Categories.of(phones)
        ids = sorted({id_ for split in splits.values() for id_ in (*split.test, *split.development)})
        codes = {}
        for id_ in progress(ids, "labelling frames", unit="utterance"):
            entry = bench.entries[id_]
            codes[id_] = categories.codes(targets.at(bench.corpus_of(entry), entry, bench.times_s(id_)))
        unit = {id_: (bench.entries[id_].language, bench.entries[id_].speaker) for id_ in ids}
        store = bench.moments(list(splits.values()), bench.targets(Phones(tuple(phones))))
        return cls(bench, splits, categories, Frames(unit, codes), store)

    def sides(self, label: Label, values: Iterable[str]) -> dict[str, Sides]:
        """Return the phones' moments of a layer under the splits of some held-out values."""
        columns = {PHONE: self.categories.columns[PHONE]}
        as_they_are = np.ones(len(columns[PHONE]), bool)
        return sides_of(self.store, str(label), {value: self.splits[value] for value in values}, columns, as_they_are)

    def reads(self, label: Label) -> Read:
        """Return what reads an utterance's states of a layer, or of several side by side, and keeps the last ones."""
        (layers,) = (read.layers for read in self.bench.inputs if read.label == label)

        @lru_cache(maxsize=_KEPT)
        def read(id_: str) -> Float[np.ndarray, "time width"]:
            return np.concatenate(list(self.bench.states_of(id_, layers)), axis=-1)

        return read

    def classified(self, sides: Sides, category: str, split: Split, read: Read, rules: Rules) -> Classified | None:
        """Return how well a category can be told in a split's test."""
        return classified(sides, category, split, read, self.frames, rules.shrinkages, rules.least)

    def left_out(self, found: BySplit) -> dict[str, tuple[int, int]]:
        """Return for each language how many frames have a phone that could not be taken, and how many there are."""
        counts: dict[str, list[int]] = {}
        for value, split in self.splits.items():
            if value not in found:
                continue
            for id_ in split.test:
                codes = self.frames.codes[id_][PHONE]
                codes = codes[codes >= 0]
                so_far = counts.setdefault(self.frames.unit[id_][0], [0, 0])
                so_far[0] += int((~np.isin(codes, found[value].test.allowed)).sum())
                so_far[1] += len(codes)
        return {language: (left, of_all) for language, (left, of_all) in sorted(counts.items())}


@dataclass(frozen=True, eq=False)
class Layers:
    """Phones by layer and split, features at the layer that validation chose for phones, and ridge's r there."""

    by_layer: Mapping[Label, BySplit]
    chosen: Mapping[str, Label]
    features: Mapping[str, BySplit]
    r: Mapping[str, Mapping[Unit, float]]

    @property
    def phones(self) -> dict[str, Classified]:
        """Phones at the chosen layers."""
        return {value: self.by_layer[label][value] for value, label in self.chosen.items()}


def in_layers(material: Material, rules: Rules) -> Layers:
    """Read phones out of every layer, features out of the chosen ones."""
    by_layer: dict[Label, dict[str, Classified]] = {}
    for label in progress(material.bench.labels, "phones by layer", unit="layer"):
        read = material.reads(label)
        by_layer[label] = _defined(
            {
                value: material.classified(sides, PHONE, material.splits[value], read, rules)
                for value, sides in material.sides(label, material.splits).items()
            }
        )
    chosen = {value: label for value in material.splits if (label := _chosen(by_layer, value)) is not None}
    return Layers(by_layer, chosen, *_features(material, rules, chosen))


def _features(
    material: Material, rules: Rules, chosen: Mapping[str, Label]
) -> tuple[dict[str, BySplit], dict[str, dict[Unit, float]]]:
    """Return features by category and split, and r of ridge on one-hot phones and features, at the chosen layers."""
    bench, targets = material.bench, targets_of(material.categories.values[PHONE])
    inputs = [read for read in bench.inputs if read.label in chosen.values()]
    store = bench.moments(list(material.splits.values()), targets, inputs)
    columns = {name: material.categories.columns[name] for name in material.categories.features}
    found: dict[str, dict[str, Classified | None]] = {category: {} for category in columns}
    r: dict[str, dict[Unit, float]] = {category: {} for category in (PHONE, *columns)}
    for read in inputs:
        splits = {value: material.splits[value] for value, label in chosen.items() if label == read.label}
        each = sides_of(store, str(read.label), splits, columns, targets.as_they_are)
        reading = material.reads(read.label)
        for value, split in splits.items():
            for category in columns:
                found[category][value] = material.classified(each[value], category, split, reading, rules)
        for category, scores in _ridge_r(material, store, read.label, splits).items():
            r[category] |= scores
    return {category: _defined(own) for category, own in found.items()}, r


def _defined(found: Mapping[str, Classified | None]) -> dict[str, Classified]:
    """Leave out where no speaker has a score."""
    return {value: own for value, own in found.items() if own is not None and own.test.scores()}


def _chosen(by_layer: Mapping[Label, BySplit], value: str) -> Label | None:
    """Return the layer that validation finds best, the first of equals; with a single layer, that one."""
    known = [(label, own[value]) for label, own in by_layer.items() if value in own]
    validated = [(found.validated, -place, label) for place, (label, found) in enumerate(known)
                 if found.validated is not None]  # fmt: skip
    if validated:
        return max(validated, key=lambda one: one[:2])[2]
    return known[0][0] if len(known) == 1 else None


def _ridge_r(
    material: Material, store: MomentStore, label: Label, splits: Mapping[str, Split]
) -> dict[str, dict[Unit, float]]:
    """Return the mean r over the values of each category, by (language, speaker); alpha from the first fold."""
    as_they_are = np.ones(store.count.shape[1], bool)
    divisions = [Division.of(replace(split, folds=split.folds[:1]), store, as_they_are) for split in splits.values()]
    rule = Ridge(1, store.widths[str(label)], len(as_they_are), _ALPHAS)
    found: dict[str, dict[Unit, float]] = {}
    for category in (PHONE, *material.categories.features):
        found[category] = {}
    solved = fit_divisions(store, str(label), divisions, rule, material.bench.device)
    for division, (_, scores) in zip(divisions, solved, strict=True):
        for group, key in enumerate(division.test):
            for category, own in found.items():
                r = scores.r[0, group, list(material.categories.columns[category])]
                if r.isfinite().any():
                    own[key.language, key.speaker] = float(r.nanmean())
    return found


def from_movements(material: Material, rules: Rules, around_s: tuple[float, ...]) -> dict[str, dict[str, Classified]]:
    """Read phones out of measured positions, of the frame alone and with some around it."""
    bench = material.bench
    smoothing = build(bench.settings.ema)
    features = [Movements(smoothing, (0.0,), "position"), Movements(smoothing, around_s, "context")]
    inputs = [HeadInput(each.name, (), (each.name,)) for each in features]
    targets = bench.targets(Phones(material.categories.values[PHONE]))
    store = bench.moments(list(material.splits.values()), targets, inputs, features)
    measured = replace(material, store=store)
    found: dict[str, dict[str, Classified]] = {}
    for each in features:

        def read(id_: str, each: Movements = each) -> Float[np.ndarray, "time width"]:
            entry = bench.entries[id_]
            return each.at(bench.corpus_of(entry), entry, bench.times_s(id_))

        kept = lru_cache(maxsize=_KEPT)(read)
        found[each.name] = _defined(
            {
                value: measured.classified(sides, PHONE, material.splits[value], kept, rules)
                for value, sides in measured.sides(each.name, material.splits).items()
            }
        )
    return found


Weights = Float[Tensor, "width projection"]


def from_projections(
    material: Material, rules: Rules, heads: Mapping[str, tuple[Label, Weights]], seeds: Sequence[int]
) -> tuple[dict[str, Classified], list[dict[str, Classified]]]:
    """Read phones out of the movements that heads predict, and out of as many random directions of the same layer.

    Parameters
    ----------
    heads
        Layer and weights by held-out value.
    seeds
        Of the random directions; one result for each.
    """
    predicted: dict[str, Classified | None] = {}
    drawn: list[dict[str, Classified | None]] = [{} for _ in seeds]
    for label in dict.fromkeys(label for label, _ in heads.values()):
        weights_of = {value: weights for value, (own, weights) in heads.items() if own == label}
        read = material.reads(label)
        for value, sides in material.sides(label, weights_of).items():
            weights, split = weights_of[value].cpu().double(), material.splits[value]
            predicted[value] = _of_projection(material, rules, sides, split, read, weights)
            for found, seed in zip(drawn, seeds, strict=True):
                directions = random_directions(sides.development[PHONE], weights.shape[1], seed)
                found[value] = _of_projection(material, rules, sides, split, read, directions)
    return _defined(predicted), [_defined(found) for found in drawn]


def _of_projection(
    material: Material, rules: Rules, sides: Sides, split: Split, read: Read, weights: Weights
) -> Classified | None:
    matrix = weights.numpy()
    return material.classified(sides.projected(weights), PHONE, split, lambda id_: read(id_) @ matrix, rules)


def random_directions(moments: ClassMoments, columns: int, seed: int) -> Weights:
    """Return random directions of standardised states."""
    n = moments.count.sum()
    variance = moments.xx.diagonal() / n - (moments.sums.sum(dim=1) / n).square()
    sd = variance.clamp(min=0).sqrt()
    drawn = torch.randn(len(sd), columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.where(sd > 0, 1 / sd, 0.0)[:, None] * drawn


def scores_of(found: BySplit) -> dict[Unit, float]:
    """Return balanced accuracy by (language, speaker) over all splits, each of which tests units of its own."""
    merged: dict[Unit, float] = {}
    for each in found.values():
        scores = each.test.scores()
        assert not merged.keys() & scores.keys(), "a speaker is tested twice in a language"
        merged |= scores
    return merged


def chance_of(found: BySplit) -> float | None:
    """Return the mean chance level over splits; ``None`` without any."""
    levels = [each.test.chance for each in found.values() if each.test.chance is not None]
    return float(np.mean(levels)) if levels else None
