"""Layer curves: how much of the movements each layer holds, how much data it takes, and how many bits it saves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tractprobe.corpora.prepared.texts import sentence as sentence_of
from tractprobe.data.splits import Split
from tractprobe.encoders.layers import Label
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.description_length import Lengths, blocks, cutting, lengths
from tractprobe.evidence.methods.nonlinear import Finished, finished_heads
from tractprobe.evidence.methods.reached import Reached
from tractprobe.evidence.record import Column, Evidence, Figure, Finding, Level, Series, Table
from tractprobe.evidence.statistics.effects import Cells, finding, point, rows_of
from tractprobe.evidence.statistics.inference import effect
from tractprobe.probes.linear.moment_store import MomentStore
from tractprobe.system.errors import ConfigError

_INTERVAL = (Column("low", "r"), Column("high", "r"))
_AS_WELL = "languages that heads know, sentences that they do not"


@dataclass(frozen=True)
class Curves:
    """How much each layer holds for languages that heads never heard, from how much data, in how many bits.

    Attributes
    ----------
    minutes
        Of speech to learn from, besides all there is; drawn so that more include fewer. Those that are more than there
        is are left out.
    nonlinear
        Whether finished runs of nonlinear heads on the same corpora are shown.
    first_block
        The share of the speech by which the online code begins; each block ends at twice the share of the last.
    """

    minutes: Sequence[float] = (0.5, 1, 2, 4)
    nonlinear: bool = True
    first_block: float = 0.001
    name: ClassVar[str] = "curves"
    version: ClassVar[int] = 2

    def __post_init__(self):
        if not all(minutes > 0 for minutes in self.minutes) or not 0 < self.first_block < 1:
            raise ConfigError("analysis.minutes: numbers above 0; analysis.first_block: between 0 and 1")

    def __call__(self, bench: Bench) -> Evidence:
        """Return r of each layer by held-out language and sentence, by minutes, and bits saved."""
        splits = bench.splits("language")
        heads, caveats = finished_heads(bench, splits) if self.nonlinear else ([], [])
        language, sentence = Reached.of(bench, splits), Reached.of(bench, _sentences(bench, caveats))
        sizes = self.sizes(bench, language, splits, caveats)
        coded = _coded(bench, self.first_block)
        curves = {"held-out language": language, "held-out sentence": sentence, **{head.name: head for head in heads}}
        findings = [*_findings(language, sentence), *(_nonlinear(head, language) for head in heads), coded.finding()]
        tables = (_layers_table(bench.labels, curves), _sizes_table(sizes), coded.layers_table(), coded.blocks_table())
        ceiling = effect(sentence.cells.of_speakers()).mean
        figures = (_layers_figure(bench.labels, curves, ceiling), _sizes_figure(sizes, ceiling), coded.figure())
        caveats.append(
            "the ceiling, held-out sentences, knows the speakers and more utterances than held-out languages do, and r "
            "pools what its folds' heads read, which differ; the analysis crossed compares with equal minutes"
        )
        conditions = {
            "language": language.cells,
            "sentence": sentence.cells,
            **{head.name: head.cells for head in heads},
        }
        rows = (*rows_of(conditions), *rows_of({"online code": coded.cells[coded.shortest]}, "bits"))
        return Evidence(tuple(findings), tables, figures, rows, tuple(caveats))

    def sizes(
        self, bench: Bench, everything: Reached, splits: Mapping[str, Split], caveats: list[str]
    ) -> dict[float, Cells]:
        """Return r by minutes of speech to learn from, at the layers that validation chose with all of it."""
        chosen = set(everything.chosen.values())
        inputs = [read for read in bench.inputs if read.label in chosen]
        limited: dict[float, Mapping[str, Split]] = {}
        for minutes in sorted(self.minutes):
            try:
                limited[minutes] = bench.splits("language", train_min=minutes)
            except ConfigError:
                caveats.append(f"no score from {minutes:g} min, as some held-out language leaves less to learn from")
        each_split = [split for each in limited.values() for split in each.values()]
        fits = iter(bench.fit(each_split, inputs=inputs) if limited else ())
        cells = {
            minutes: Reached({value: next(fits) for value in each}, everything.chosen).cells
            for minutes, each in limited.items()
        }
        seconds = [sum(bench.entries[id_].duration_s for id_ in split.development) for split in splits.values()]
        return cells | {round(float(np.mean(seconds)) / 60, 2): everything.cells}


def _sentences(bench: Bench, caveats: list[str]) -> dict[str, Split]:
    """Return folds of sentences; fewer than usual if no language has as many sentences, which a caveat says."""
    texts: dict[str, set[str]] = {}
    for entry in bench.entries.values():
        texts.setdefault(entry.language, set()).add(sentence_of(entry))
    usual, most = bench.rule("sentence").folds, max(map(len, texts.values()))
    if most < usual:
        caveats.append(f"sentences are held out in {most} folds, not {usual}, as no language has more of them")
    return bench.splits("sentence", folds=max(2, min(usual, most)))


@dataclass(frozen=True, eq=False)
class _Coded:
    """Online description lengths of every layer.

    Attributes
    ----------
    cells
        Bits saved per frame, by layer.
    shares, minutes
        Of the speech that ends with each block.
    """

    of_layers: Mapping[Label, Lengths]
    cells: Mapping[Label, Cells]
    shares: Sequence[float]
    minutes: Sequence[float]

    @property
    def shortest(self) -> Label:
        """The layer whose code is the shortest."""
        return min(self.of_layers, key=lambda label: self.of_layers[label].head.sum())

    def finding(self) -> Finding:
        says = (
            "bits per frame and channel by which the online code of a linear head is shorter than a constant's, at the "
            f"layer with the shortest code ({self.shortest}; naming it takes {np.log2(len(self.cells)):.1f} bits)"
        )
        return finding("bits_saved", says, self.cells[self.shortest], tested=True, unit="bit/frame")

    def layers_table(self) -> Table:
        columns = (Column("layer"), Column("bits", "bit/frame", "bits saved"), Column("low", "bit/frame"),
                   Column("high", "bit/frame"), Column("length", "bit/frame", "code length"),
                   Column("constant", "bit/frame", "of a constant"))  # fmt: skip
        rows = []
        for label, cells in self.cells.items():
            code = self.of_layers[label]
            row = dict(zip(("layer", "bits", "low", "high"), point(label, cells, fisher=False), strict=True))
            frames = max(1, int(code.frames.sum()))
            rows.append(row | {"length": code.head.sum() / frames, "constant": code.constant.sum() / frames})
        return Table("bits", "online description length of each layer, per frame and channel", columns, tuple(rows))

    def blocks_table(self) -> Table:
        columns = (Column("block"), Column("share", "", "share of the speech"), Column("minutes", "min"),
                   Column("bits", "bit/frame", "bits saved"))  # fmt: skip
        saved = self.of_layers[self.shortest].by_block()
        rows = tuple(
            {"block": number, "share": share, "minutes": minutes, "bits": bits}
            for number, (share, minutes, bits) in enumerate(zip(self.shares, self.minutes, saved, strict=True))
        )
        return Table("blocks", f"bits saved in each block, layer {self.shortest}", columns, rows)

    def figure(self) -> Figure:
        points = tuple(point(label, cells, fisher=False) for label, cells in self.cells.items())
        return Figure("bits", "bits saved against a constant", "layer", "bit/frame", (Series("online code", points),))


def _coded(bench: Bench, first_block: float) -> _Coded:
    parts = blocks(bench.entries.values(), bench.seed, first_block)
    store = bench.moments(cutting(parts))
    alphas = bench.settings.head.arguments["alphas"]
    codes = {label: lengths(store, str(label), parts, alphas, str(bench.device)) for label in bench.labels}
    first = bench.problem.targets.first
    channels = [channel.name for channel in bench.problem.targets.channels[first]]
    seconds = np.cumsum([sum(bench.entries[id_].duration_s for id_ in part) for part in parts])
    return _Coded(
        {label: _of_channels(code, first) for label, code in codes.items()},
        {label: _cells(store, _of_channels(code, first), channels) for label, code in codes.items()},
        (seconds / seconds[-1]).tolist(),
        (seconds / 60).tolist(),
    )


def _of_channels(code: Lengths, chosen: slice) -> Lengths:
    return Lengths(code.frames[:, chosen], code.head[:, chosen], code.constant[:, chosen], code.block_of)


def _cells(store: MomentStore, code: Lengths, channels: Sequence[str]) -> Cells:
    """Return bits saved per frame of each speaker in a language, over all blocks."""
    values: dict[tuple[str, str, str], float] = {}
    names = [(group.language, group.speaker) for group in store.groups]
    for name in dict.fromkeys(names):
        own = [number for number, other in enumerate(names) if other == name]
        frames, saved = code.frames[own].sum(axis=0), code.saved[own].sum(axis=0)
        values |= {
            (*name, channels[place]): float(saved[place] / frames[place]) for place in np.flatnonzero(frames).tolist()
        }
    return Cells(values)


def _findings(language: Reached, sentence: Reached) -> list[Finding]:
    at = "at the layer that validation chose in each split"
    return [
        finding("r_language", f"r of positions in languages that heads never heard, {at}", language.cells),
        finding("r_sentence", f"r of positions in {_AS_WELL}, {at}", sentence.cells),
        finding("language_cost", "r in known languages minus r in languages that heads never heard",
                sentence.cells.minus(language.cells), tested=True, margin=0.03),
    ]  # fmt: skip


def _nonlinear(head: Finished, language: Reached) -> Finding:
    says = f"r of {head.name} minus r of a linear head, in languages that heads never heard, each at its chosen layer"
    return finding(f"gain_of_{head.name}", says, head.cells.minus(language.cells), tested=True, margin=0.03)


def _layers_table(labels: Sequence[Label], curves: Mapping[str, Reached | Finished]) -> Table:
    columns = (Column("split", text="held out, or head"), Column("layer"), Column("r", "r"), *_INTERVAL)
    rows = tuple(
        dict(zip((column.name for column in columns), (name, *point(label, curve.cells_at(label))), strict=True))
        for name, curve in curves.items()
        for label in (curve.labels if isinstance(curve, Finished) else labels)
    )
    return Table("layers", "r of each layer", columns, rows)


def _layers_figure(labels: Sequence[Label], curves: Mapping[str, Reached | Finished], ceiling: float) -> Figure:
    series = [
        Series(name, tuple(
            point(label, curve.cells_at(label)) for label in (curve.labels if isinstance(curve, Finished) else labels)
        ))
        for name, curve in curves.items()
    ]  # fmt: skip
    levels = (Level("ceiling: held-out sentences, chosen layers", ceiling),)
    return Figure("layers", "r against the layer", "layer", "r", tuple(series), levels=levels)


def _sizes_table(sizes: Mapping[float, Cells]) -> Table:
    columns = (Column("minutes", "min", "learned from"), Column("r", "r"), *_INTERVAL)
    names = [column.name for column in columns]
    rows = tuple(dict(zip(names, point(minutes, cells), strict=True)) for minutes, cells in sizes.items())
    return Table(
        "sizes", "r in unheard languages by minutes to learn from, at the layers chosen with all", columns, rows
    )


def _sizes_figure(sizes: Mapping[float, Cells], ceiling: float) -> Figure:
    series = Series("held-out language", tuple(point(minutes, cells) for minutes, cells in sizes.items()))
    title = "r against minutes to learn from"
    return Figure("sizes", title, "minutes of speech", "r", (series,), levels=(Level("ceiling", ceiling),))
