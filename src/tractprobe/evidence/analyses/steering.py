"""Steering: whether later layers take up what is added along an articulator's read-out."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.data.splits import Split
from tractprobe.data.targets import Targets
from tractprobe.encoders.steering import blocks_of
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.damage import part, parts
from tractprobe.evidence.methods.erased import targets_of
from tractprobe.evidence.methods.erasure import StateSpace, states_of_groups
from tractprobe.evidence.methods.steered import PATTERN, WEIGHTS, ReadOuts, columns_named, moves
from tractprobe.evidence.methods.steering_effects import (
    Cells,
    Told,
    between,
    carried,
    compared,
    over_cells,
    own_size,
    own_slope,
)
from tractprobe.evidence.record import Column, Evidence, Figure, Finding, Series, Table
from tractprobe.evidence.statistics.findings import finding, undefined
from tractprobe.evidence.statistics.inference import effect
from tractprobe.probes.fitted import Fitted
from tractprobe.probes.heads.ridge import Ridge
from tractprobe.probes.linear.moment_store import MomentStore
from tractprobe.probes.linear.selection import Division, LayerMoments
from tractprobe.signals.audio import RATE_HZ
from tractprobe.system.errors import ConfigError

_UNIT = "per unit"
_OVER = "mean over later layers, channels, speakers, languages"
_ASKED = {
    "steering_gain": "by how much later read-outs of a channel move for each unit by which its read-out was moved, "
    "minus how far vectors of the same length in random directions move them either way",
    "steering_specificity": "by how much later read-outs of the moved channel move, minus how far those of other "
    "channels do either way",
    "steering_beyond_carried": "by how much what sub-layers of the blocks above say in answer moves later read-outs of "
    "the moved channel the same way: the rest is passed on by sums and norms, whatever sub-layers say",
    "steering_response": "by how much what sub-layers say in answer moves later read-outs of the moved channel the "
    "same way, minus how far their answers to random directions of equal length move them either way",
    "steering_phones": "by how much scores of phones move at later layers, minus by how much they do along random "
    "directions of equal length (root mean square over phones, of scores from 0 to 1)",
    "steering_phones_follow": "correlation over phones between how their scores move and where the moved channel is in "
    "them, minus its size along random directions",
}
_KIND = {PATTERN: "along its pattern", WEIGHTS: "along its weights"}
_CAVEATS = (
    "A read-out that moves at later layers shows that these carry and do not undo what was added. That alone is no use "
    "of it: blocks pass on what they are given, trained or not. What sub-layers themselves add in answer is "
    "steering_beyond_carried; even that does not show that the model relies on it where nothing was added.",
    "Patterns move along whatever varies with a channel, so other articulators move with it as they do in speech; the "
    "table has what the same layer reads at once beside what later layers read.",
    "States are moved by one or two deviations of a read-out in 0.2 s, which real speech may never do.",
)


@dataclass(frozen=True)
class Steering:
    """Whether later layers take up what is added along an articulator's read-out, more than along random directions.

    Attributes
    ----------
    by
        What is held out from the heads, whose utterances are steered.
    layer
        Where; ``None`` for the middle of the encoder.
    channels
        Which read-outs are moved; those that the corpora lack are left out.
    strengths_sd
        By how much, in deviations of the read-out; one of these for each window.
    window_s, every_s
        How long states are moved, and how often.
    utterances
        How many are steered: drawn from each language and speaker in turn.
    margin
        The gain that speakers needed are counted for.
    """

    by: str = "language"
    layer: int | None = None
    channels: Sequence[str] = ("td_y", "tb_y", "tt_y", "li_y", "ul_y", "ll_y")
    strengths_sd: Sequence[float] = (1.0, 2.0)
    window_s: float = 0.2
    every_s: float = 0.6
    utterances: int = 24
    margin: float = 0.1

    name: ClassVar[str] = "steering"
    version: ClassVar[int] = 2

    def __post_init__(self):
        if not self.strengths_sd or min(self.strengths_sd) <= 0 or not 0 < self.window_s <= self.every_s:
            raise ConfigError("analysis: expected strengths_sd above 0, and 0 < window_s <= every_s")

    def __call__(self, bench: Bench) -> Evidence:
        """Return how far later read-outs and scores of phones move with what is added."""
        encoder = bench.encoder
        layers = sorted(read.layers[0] for read in bench.inputs if len(read.layers) == 1 and not read.features)
        at = (encoder.num_layers - 1) // 2 if self.layer is None else self.layer
        if not blocks_of(encoder) or encoder.num_layers < 2:
            return _none(f"{encoder.label} has no layer above another whose blocks could be steered: it does not apply")
        if at not in layers or at >= layers[-1]:
            raise ConfigError(f"analysis.layer={at}: expected one of the layers that are read, {layers}, but the last")
        targets, without_phones = targets_of(bench)
        told = self._steered(bench, targets, at, [layer for layer in layers if layer > at])
        if not told.moves:
            return _none(f"no utterance is long enough for a window of {self.window_s} s every {self.every_s} s")
        findings = [
            found
            for kind, suffix in ((PATTERN, ""), (WEIGHTS, "_along_weights"))
            for found in self._findings(told, kind, suffix, without_phones)
        ]
        tables = (_slopes(told, at), _strengths(told))
        figures = (_matrix(told, at), _layers(told))
        caveats = (
            *_CAVEATS,
            f"{len(told.utterances)} utterances were steered at layer {at}, each vector in one window.",
        )
        return Evidence(tuple(findings), tables, figures, told.rows(), caveats)

    def _steered(self, bench: Bench, targets: Targets, at: int, later: Sequence[int]) -> Told:
        """Fit heads and steer what they did not learn from."""
        splits, encoder = bench.splits(self.by), bench.encoder.to(bench.device)
        fits = dict(zip(splits, bench.fit(list(splits.values()), targets), strict=True))
        store = bench.moments(list(splits.values()), targets)
        told = Told(self.channels, later)
        for value, entries in drawn(bench, splits, self.utterances).items():
            read_outs = self._read_outs(fits[value], store, at, later)
            for entry in entries:
                wave = torch.from_numpy(bench.corpus_of(entry).audio(entry.id)).to(bench.device)
                random = np.random.default_rng([bench.seed, _number(entry.id)])
                times_s = encoder.geometry.times_s(encoder.count_frames(len(wave)))
                found = moves(encoder, wave, times_s, read_outs, self.strengths_sd, self.window_s, self.every_s, random)
                told.include(entry, read_outs, found)
        return told

    def _read_outs(self, fitted: Fitted, store: MomentStore, at: int, later: Sequence[int]) -> ReadOuts:
        """Return the heads of a split, with how states vary where it learns."""
        channels, labels = fitted.problem.targets.channels, list(fitted.problem.labels)
        head = fitted.head
        assert isinstance(head, Ridge)
        known = head.bias.isfinite().all(dim=0)
        moved = [column for column in columns_named(channels, "ema", self.channels) if known[column]]
        phones = [column for column in columns_named(channels, "phones") if known[column]]
        if not moved:
            raise ConfigError(f"analysis.channels={list(self.channels)}: the corpora have none of them")
        division = Division.of(fitted.problem.split, store, fitted.problem.targets.as_they_are)
        moments = LayerMoments(store, str(at), division)
        space = StateSpace.of(*states_of_groups(store, moments.rows, division.development))
        weight = head.weight.cpu()
        here = weight[labels.index(at)][:, moved]
        of_phones = torch.full((len(phones), len(moved)), torch.nan, dtype=torch.float64)
        for which, side in moments.of(division.development):
            own = [number for number, column in enumerate(which) if column in phones]
            of_phones[[phones.index(which[number]) for number in own]] = (side.xy[:, own] / side.y[own]).T @ here
        heard = of_phones.isfinite().all(dim=1)  # the others occur in what is held out alone
        above = torch.stack([weight[labels.index(layer)] for layer in later])
        names = tuple(channels[column].name for column in moved)
        return ReadOuts(at, names, space, here, above[:, :, moved], above[:, :, phones][:, :, heard], of_phones[heard])

    def _findings(self, told: "Told", kind: str, suffix: str, without_phones: str) -> list[Finding]:
        found = []
        for name, values in told.effects(kind).items():
            says, of_phones = f"{_ASKED[name]} ({_KIND[kind]})", name.startswith("steering_phones")
            unit = "r" if name.endswith("follow") else _UNIT
            if of_phones and without_phones:
                found.append(undefined(name + suffix, f"{says}: {without_phones}", unit, _OVER))
                continue
            by = parts(over_cells(values))
            by += [part("channel", channel, over_cells(values, channel=channel)) for channel in told.channels]
            by += [part("layer", str(layer), over_cells(values, layer=layer)) for layer in told.later]
            margin = None if of_phones else self.margin
            found.append(finding(name + suffix, says, over_cells(values), unit, _OVER, margin, by))
        return found


def drawn(bench: Bench, splits: Mapping[str, Split], count: int) -> dict[str, list[Entry]]:
    """Return so many test utterances by what is held out: from each language and speaker in turn, by hashes of a seed.

    Those that are longer than what the encoder takes at once are left out.
    """
    span_s = np.inf if bench.encoder.span is None else bench.encoder.span / RATE_HZ
    waiting: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
    for value, split in splits.items():
        for entry in map(bench.entries.__getitem__, split.test):
            if entry.duration_s <= span_s:
                waiting[value, entry.language, entry.speaker].append(entry)
    for entries in waiting.values():
        entries.sort(key=lambda entry: _number(f"{bench.seed}:{entry.id}"))
    cells = sorted(waiting, key=lambda cell: _number(f"{bench.seed}:{cell}"))
    turns = [(cell, turn) for turn in range(count) for cell in cells if turn < len(waiting[cell])]
    found: dict[str, list[Entry]] = defaultdict(list)
    for cell, turn in turns[:count]:
        found[cell[0]].append(waiting[cell][turn])
    return dict(found)


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])


def _none(reason: str) -> Evidence:
    return Evidence(tuple(undefined(name, f"{says}: {reason}", _UNIT, _OVER) for name, says in _ASKED.items()))


def _slopes(told: Told, at: int) -> Table:
    """Return a row for each channel that is moved and each that is read."""
    columns = (
        Column("kind"),
        Column("added"),
        Column("read"),
        Column("at_once", _UNIT, f"layer {at} itself"),
        Column("later", _UNIT, "later layers"),
        Column("low", _UNIT),
        Column("high", _UNIT),
        Column("carried", _UNIT, "passed on without an answer"),
        Column("response", _UNIT, "answer of sub-layers"),
        Column("random", _UNIT, "random directions, either way"),
        Column("response_random", _UNIT, "answer to these, either way"),
    )
    rows = []
    for kind in (PATTERN, WEIGHTS):
        own = compared(told, kind)
        for added in told.channels:
            for read in told.channels:
                later = effect(between(told, kind, False, added, read))
                row = {"kind": kind, "added": added, "read": read, "later": later.mean, "low": later.low,
                       "high": later.high,
                       "at_once": effect(between(told, kind, False, added, read, at_once=True)).mean}  # fmt: skip
                if added == read:
                    row |= {name: effect(over_cells(cells, channel=added)).mean for name, cells in own.items()}
                rows.append(row)
    return Table("slopes", "How far read-outs move when one is moved by a unit", columns, tuple(rows))


def _strengths(told: Told) -> Table:
    """Return the slope of the moved channel by how much it was moved: the same where layers answer linearly."""
    columns = (Column("kind"), Column("strength_sd", "SD"), Column("later", _UNIT), Column("low", _UNIT),
               Column("high", _UNIT))  # fmt: skip
    rows = []
    for kind in (PATTERN, WEIGHTS):
        for strength in sorted({move.strength_sd for _, _, move in told.moves}):
            only = Told(told.channels, told.later)
            only.moves = [each for each in told.moves if each[2].strength_sd == strength]
            if values := over_cells(only.cells(kind, False, own_slope)):
                reached = effect(values)
                rows.append({"kind": kind, "strength_sd": strength, "later": reached.mean, "low": reached.low,
                             "high": reached.high})  # fmt: skip
    return Table("strengths", "Slope of the moved channel by how far it was moved", columns, tuple(rows))


def _matrix(told: Told, at: int) -> Figure:
    series = []
    for added in told.channels:
        reached = [effect(between(told, PATTERN, False, added, read)) for read in told.channels]
        points = [(read, each.mean, each.low, each.high) for read, each in zip(told.channels, reached, strict=True)]
        series.append(Series(added, tuple(points)))
    title = f"How far later read-outs (columns) move for each unit by which one (rows) is moved at layer {at}"
    return Figure("slopes", title, "read", "moved", tuple(series), kind="matrix")


def _layers(told: Told) -> Figure:
    lines: dict[str, Cells] = {}
    for kind in (PATTERN, WEIGHTS):
        lines[f"along the {kind}"] = told.cells(kind, False, own_slope)
        lines[f"random, as long as the {kind}, either way"] = told.cells(kind, True, own_size)
    lines[f"along the {PATTERN}, passed on without an answer"] = told.cells(PATTERN, False, carried)
    series = []
    for name, cells in lines.items():
        reached = [(layer, effect(over_cells(cells, layer=layer))) for layer in told.later]
        series.append(Series(name, tuple((layer, each.mean, each.low, each.high) for layer, each in reached)))
    title = "How far the moved channel's later read-outs move for each unit"
    return Figure("layers", title, "layer", "slope", tuple(series))
