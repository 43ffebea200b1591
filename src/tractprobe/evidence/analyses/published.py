"""Figures of the literature with their protocols, and ours beside them on corpora of the same name.

Without the split no r is comparable with another: each of ours is by the split of the same kind, and what else of the
protocols differs, or is not known, is said of each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tractprobe.evidence.bench import Bench, chosen_layer
from tractprobe.evidence.literature import PublishedFigure, published_figures
from tractprobe.evidence.record import Column, Evidence, Figure, Finding, Part, Series, Table
from tractprobe.evidence.statistics.inference import effect
from tractprobe.probes.fitted import Fitted
from tractprobe.runs.estimate import Estimate
from tractprobe.runs.result import Row, speaker_means
from tractprobe.system.errors import ConfigError, RunError

_COLUMNS = (
    Column("id"), Column("paper"), Column("system"), Column("corpus"), Column("split", "", "held out"),
    Column("targets"), Column("metric"), Column("r", "r", "published r"), Column("read", "", "how it was read"),
    Column("source"), Column("ours", "r"), Column("low", "r"), Column("high", "r"), Column("n", "", "our speakers"),
    Column("differs", "", "how protocols differ"),
)  # fmt: skip
_OURS = "r over all test frames of a speaker, mean over channels, speakers, languages"


@dataclass(frozen=True)
class Published:
    """What the literature reports, and what this encoder reaches on the same corpora by splits of the same kind."""

    name: ClassVar[str] = "published"
    version: ClassVar[int] = 1

    def __call__(self, bench: Bench) -> Evidence:
        """Return every published figure, with ours beside those whose corpus is among the bench's."""
        figures, names = published_figures(), {corpus.name for corpus in bench.corpora}
        matched = [figure for figure in figures if figure.split and names & set(figure.corpora)]
        reached = {by: _reached(bench, by) for by in sorted({figure.split for figure in matched})}
        ours = {figure.id: _beside(figure, reached[figure.split]) for figure in matched}
        rows = tuple(_row(figure, ours.get(figure.id), bench) for figure in figures)
        findings = [_finding(figure, ours[figure.id], bench) for figure in matched] or [_none(bench, figures)]
        title = "published correlations of articulatory inversion"
        figure = Figure("figures", title, "figure", "r", _series(figures, ours), "points")
        return Evidence(tuple(findings), (Table("figures", title, _COLUMNS, rows),), (figure,), caveats=_CAVEATS)


_CAVEATS = (
    "Published figures come with other encoders, heads, splits, channels and ways of averaging than ours; those that "
    "were read in a digest by others are marked secondary and have to be checked before they are quoted.",
    "Intervals are of our speakers; what is published has none that could be compared.",
)


def _reached(bench: Bench, by: str) -> list[Row] | str:
    """Return the rows of each held-out value at the layer that validation chose, or why there are none."""
    try:
        splits = bench.splits(by)
        return [row for fitted in bench.fit(list(splits.values())) for row in _at_chosen_layer(fitted)]
    except (ConfigError, RunError) as error:  # too few speakers, sentences or languages for this split
        return str(error)


def _at_chosen_layer(fitted: Fitted) -> list[Row]:
    layer = chosen_layer(fitted)
    return [row for row in fitted.rows() if row["layer"] == layer]


def _beside(figure: PublishedFigure, rows: list[Row] | str) -> tuple[list[Row], Estimate] | str:
    """Return our rows of a figure's corpus, languages and targets with their mean, or why there is none."""
    if isinstance(rows, str):
        return rows
    target = rows[0]["target"]
    chosen = [row for row in rows if row["corpus"] in figure.corpora and row["target"] == target]
    if figure.split != "language" and (spoken := {row["language"] for row in chosen} & set(figure.languages)):
        chosen = [row for row in chosen if row["language"] in spoken]
    values = speaker_means(chosen)
    return (chosen, effect(values, fisher=True)) if values else "no r of its corpus is defined"


def _differs(figure: PublishedFigure, rows: list[Row], bench: Bench) -> str:
    """Return what of the protocols differs, or is not known of the published one."""
    settings = bench.settings
    lowpass_hz = settings.ema.arguments.get("lowpass_hz")
    theirs_and_ours: Mapping[str, tuple[Any, Any]] = {
        "encoder": (figure.encoder, settings.id.model),
        "head": (figure.head, settings.id.head),
        "targets": (figure.targets, rows[0]["target"]),
        "channels": (figure.channels, len({row["channel"] for row in rows})),
        "speakers": (figure.speakers, len({row["speaker"] for row in rows})),
        "low-pass in Hz": (figure.lowpass_hz, lowpass_hz),
        "averaging": (figure.metric, _OURS),
    }
    other = {name: pair for name, pair in theirs_and_ours.items() if pair[0] != pair[1]}
    said = [f"{name}: {theirs if theirs not in ('', None) else 'not known'}, ours {ours}"
            for name, (theirs, ours) in other.items()]  # fmt: skip
    if len(bench.corpora) > 1:
        said.append(f"ours learned from {', '.join(corpus.name for corpus in bench.corpora)}")
    return "; ".join([*said, "sentences of the splits are others"])


def _row(figure: PublishedFigure, ours: tuple[list[Row], Estimate] | str | None, bench: Bench) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": figure.id, "paper": figure.paper, "system": figure.system, "corpus": figure.corpus,
        "split": figure.split, "targets": figure.targets, "metric": figure.metric, "r": str(figure),
        "read": figure.read, "source": figure.source,
    }  # fmt: skip
    if ours is None or isinstance(ours, str):
        return row | ({"differs": ours} if ours else {})
    rows, estimate = ours
    numbers = {"ours": estimate.mean, "low": estimate.low, "high": estimate.high, "n": estimate.n}
    return row | numbers | {"differs": _differs(figure, rows, bench)}


def _finding(figure: PublishedFigure, ours: tuple[list[Row], Estimate] | str, bench: Bench) -> Finding:
    says = f"r by held-out {figure.split}, where {figure.paper} has {figure} ({figure.system}, {figure.read})"
    over = "mean over channels, speakers, languages"
    if isinstance(ours, str):
        return Finding(figure.id, f"{says}: {ours}", None, None, None, "r", over, {})
    rows, estimate = ours
    n = {"speakers": estimate.n, "languages": estimate.languages}
    channels = {name: speaker_means(row for row in rows if row["channel"] == name)
                for name in sorted({row["channel"] for row in rows})}  # fmt: skip
    parts = tuple(_part(name, values) for name, values in channels.items())
    says = f"{says}; protocols differ in {_differs(figure, rows, bench)}"
    return Finding(figure.id, says, estimate.mean, estimate.low, estimate.high, "r", over, n, by=parts)


def _part(channel: str, values: Mapping[tuple[str, str], float]) -> Part:
    if not values:
        return Part("channel", channel, None)
    estimate = effect(values, fisher=True)
    return Part("channel", channel, estimate.mean, estimate.low, estimate.high, estimate.n)


def _none(bench: Bench, figures: tuple[PublishedFigure, ...]) -> Finding:
    known = sorted({name for figure in figures if figure.split for name in figure.corpora})
    says = f"no published figure is of corpora={bench.settings.corpora}; there are ones of {', '.join(known)}"
    return Finding("published", says, None, None, None, "r", "", {})


def _series(
    figures: tuple[PublishedFigure, ...], ours: Mapping[str, tuple[list[Row], Estimate] | str]
) -> tuple[Series, ...]:
    published = tuple(
        [figure.id, figure.r, figure.r_low, figure.r_high] for figure in figures if str(figure) != "not read"
    )
    reached = tuple(
        [name, beside[1].mean, beside[1].low, beside[1].high]
        for name, beside in ours.items()
        if not isinstance(beside, str)
    )
    return tuple(each for each in (Series("published", published), Series("ours", reached)) if each.points)
