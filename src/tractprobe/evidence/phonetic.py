"""Phones and their features read out of an encoder's layers, and out of measured and predicted movements."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tractprobe.data.movement_features import Movements
from tractprobe.data.splits import Split
from tractprobe.encoders.layers import Label
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.classification import (
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
from tractprobe.probes.linear.fit import fit_divisions
from tractprobe.probes.linear.moment_store import MomentStore
from tractprobe.probes.linear.selection import Division
from tractprobe.probes.states import HeadInput
from tractprobe.runs.building import build
from tractprobe.system.progress import progress

BySplit = Mapping[str, Classified]

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
        Moments of each layer with phones and features as targets.
    """

    bench: Bench
    splits: Mapping[str, Split]
    categories: Categories
    frames: Frames
    store: MomentStore
    as_they_are: np.ndarray

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
        store = bench.moments(list(splits.values()), targets)
        return cls(bench, splits, categories, Frames(unit, codes), store, targets.as_they_are)

    def sides(self, label: Label, split: Split) -> Sides:
        """Return the class moments of a layer under a split."""
        return sides_of(self.store, str(label), split, self.categories, self.as_they_are)

    def reads(self, label: Label) -> Read:
        """Return what reads an utterance's states of a layer, or of several side by side."""
        (layers,) = (read.layers for read in self.bench.inputs if read.label == label)
        return lambda id_: np.concatenate(list(self.bench.states_of(id_, layers)), axis=-1)

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
        by_layer[label] = {}
        for value, split in material.splits.items():
            found = classified(
                material.sides(label, split), PHONE, split, material.reads(label), material.frames,
                rules.shrinkages, rules.least,
            )  # fmt: skip
            if found is not None and found.test.scores():
                by_layer[label][value] = found
    chosen = {value: label for value in material.splits if (label := _chosen(by_layer, value)) is not None}
    features: dict[str, dict[str, Classified]] = {category: {} for category in material.categories.features}
    for value, label in chosen.items():
        sides, split = material.sides(label, material.splits[value]), material.splits[value]
        for category in features:
            found = classified(
                sides, category, split, material.reads(label), material.frames, rules.shrinkages, rules.least
            )
            if found is not None and found.test.scores():
                features[category][value] = found
    return Layers(by_layer, chosen, features, _ridge_r(material, chosen))


def _chosen(by_layer: Mapping[Label, BySplit], value: str) -> Label | None:
    """Return the layer that validation finds best, the first of equals; with a single layer, that one."""
    known = [(label, own[value]) for label, own in by_layer.items() if value in own]
    validated = [(found.validated, -place, label) for place, (label, found) in enumerate(known)
                 if found.validated is not None]  # fmt: skip
    if validated:
        return max(validated, key=lambda one: one[:2])[2]
    return known[0][0] if len(known) == 1 else None


def _ridge_r(material: Material, chosen: Mapping[str, Label]) -> dict[str, dict[Unit, float]]:
    """Return the mean r over the values of each category, by (language, speaker), at the chosen layers."""
    targets = targets_of(material.categories.values[PHONE])
    category_of = [name for name, columns in material.categories.columns.items() for _ in columns]
    found: dict[str, dict[Unit, list[float]]] = {name: {} for name in material.categories.columns}
    for label in sorted(set(chosen.values()), key=str):
        values = [value for value, own in chosen.items() if own == label]
        divisions = [Division.of(material.splits[value], material.store, material.as_they_are) for value in values]
        width = material.store.widths[str(label)]
        rule = Ridge(1, width, len(targets.channels), _ALPHAS)
        solved = fit_divisions(material.store, str(label), divisions, rule, material.bench.device)
        for division, (_, scores) in zip(divisions, solved, strict=True):
            for group, key in enumerate(division.test):
                for column, r in enumerate(scores.r[0, group].tolist()):
                    if np.isfinite(r):
                        unit = (key.language, key.speaker)
                        found[category_of[column]].setdefault(unit, []).append(r)
    return {name: {unit: float(np.mean(each)) for unit, each in own.items()} for name, own in found.items()}


def from_movements(material: Material, rules: Rules, around_s: tuple[float, ...]) -> dict[str, dict[str, Classified]]:
    """Read phones out of measured positions, of the frame alone and with some around it."""
    bench = material.bench
    smoothing = build(bench.settings.ema)
    features = [Movements(smoothing, (0.0,), "position"), Movements(smoothing, around_s, "context")]
    inputs = [HeadInput(each.name, (), (each.name,)) for each in features]
    targets = targets_of(material.categories.values[PHONE])
    store = bench.moments(list(material.splits.values()), targets, inputs, features)
    measured = replace(material, store=store)
    found: dict[str, dict[str, Classified]] = {}
    for each in features:

        def read(id_: str, each: Movements = each) -> np.ndarray:
            entry = bench.entries[id_]
            return each.at(bench.corpus_of(entry), entry, bench.times_s(id_))

        found[each.name] = _by_split(measured, rules, lambda _, split, each=each: measured.sides(each.name, split),
                                     lambda _, read=read: read)  # fmt: skip
    return found


def from_projections(
    material: Material, rules: Rules, weights: Mapping[str, tuple[Label, Float[Tensor, "width projection"]]]
) -> dict[str, Classified]:
    """Read phones out of a projection of a layer, such as the movements that a head predicts, by held-out value."""

    def sides(value: str, split: Split) -> Sides:
        label, weight = weights[value]
        return material.sides(label, split).projected(weight)

    def reading(value: str) -> Read:
        label, weight = weights[value]
        whole, matrix = material.reads(label), weight.cpu().double().numpy()
        return lambda id_: whole(id_) @ matrix

    known = {value: split for value, split in material.splits.items() if value in weights}
    return _by_split(replace(material, splits=known), rules, sides, reading)


def random_projection(material: Material, label: Label, split: Split, columns: int, seed: int) -> Tensor:
    """Return random directions of standardised states, as many as there are channels."""
    moments = material.sides(label, split).development[PHONE]
    n = moments.count.sum()
    variance = moments.xx.diagonal() / n - (moments.sums.sum(dim=1) / n).square()
    sd = variance.clamp(min=0).sqrt()
    drawn = torch.randn(len(sd), columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.where(sd > 0, 1 / sd, 0.0)[:, None] * drawn


def _by_split(
    material: Material, rules: Rules, sides: Callable[[str, Split], Sides], reading: Callable[[str], Read]
) -> dict[str, Classified]:
    found = {}
    for value, split in material.splits.items():
        own = classified(
            sides(value, split), PHONE, split, reading(value), material.frames, rules.shrinkages, rules.least
        )
        if own is not None and own.test.scores():
            found[value] = own
    return found


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
