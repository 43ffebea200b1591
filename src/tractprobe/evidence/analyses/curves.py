"""Layer curves: how much of the movements each layer holds, for languages that heads never heard and for known ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from tractprobe.encoders.layers import Label
from tractprobe.evidence.bench import Bench, chosen_layer
from tractprobe.evidence.record import Column, Evidence, Figure, Finding, Series, Table
from tractprobe.probes.fitted import Fitted
from tractprobe.runs.estimate import mean_over_speakers
from tractprobe.runs.result import Row, speaker_means


@dataclass(frozen=True)
class Curves:
    """How much of the movements each layer holds, in languages that heads never heard and in ones that they know."""

    name: ClassVar[str] = "curves"
    version: ClassVar[int] = 1

    def __call__(self, bench: Bench) -> Evidence:
        """Return r of each layer by held-out language and by held-out sentences, and at the layer that is chosen."""
        curves = {by: bench.fit(list(bench.splits(by).values())) for by in ("language", "sentence")}
        findings = tuple(_at_chosen_layers(by, fits) for by, fits in curves.items())
        series = tuple(_series(f"held-out {by}", bench.labels, fits) for by, fits in curves.items())
        figure = Figure("layers", "r against the layer", "layer", "r", series)
        columns = (Column("split"), Column("layer"), Column("r", "r"), Column("low", "r"), Column("high", "r"))
        names = [column.name for column in columns]
        rows = tuple(dict(zip(names, (each.name, *point), strict=True)) for each in series for point in each.points)
        return Evidence(findings, (Table("layers", "r of each layer", columns, rows),), (figure,))


def _at_chosen_layers(by: str, fits: Sequence[Fitted]) -> Finding:
    rows = [row for fit in fits for row in fit.rows() if row["layer"] == chosen_layer(fit)]
    values = speaker_means(rows)
    reached = mean_over_speakers(values)
    says = f"r of positions by held-out {by}, at the layer that validation chose in each split"
    count = {"speakers": reached.n, "languages": len({language for language, _ in values})}
    over = "mean over channels, speakers, languages"
    return Finding(f"r_{by}", says, reached.mean, reached.low, reached.high, "r", over, count)


def _series(name: str, labels: Sequence[Label], fits: Sequence[Fitted]) -> Series:
    rows: list[Row] = [row for fit in fits for row in fit.rows()]
    return Series(name, tuple(_point(layer, rows) for layer in labels))


def _point(layer: Label, rows: Sequence[Mapping]) -> list:
    reached = mean_over_speakers(speaker_means(row for row in rows if row["layer"] == layer))
    return [layer, reached.mean, reached.low, reached.high]
