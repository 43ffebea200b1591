"""Heads of several inputs from one pass, of which validation chooses one for each channel.

Channels of the voice source live in different layers, so that one layer for all of them would be a compromise.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tractprobe.data.features import FrameFeatures
from tractprobe.data.splits import Split
from tractprobe.data.targets import Targets
from tractprobe.encoders.layers import Label
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.statistics.effects import Cells
from tractprobe.probes.heads.ridge import Ridge
from tractprobe.probes.linear.fit import fit_divisions
from tractprobe.probes.linear.selection import Division
from tractprobe.probes.states import HeadInput
from tractprobe.runs.building import build
from tractprobe.runs.result import Row, ScoreRow

Choice = Mapping[str, Label]
"""Channel to the input that was chosen for it."""


@dataclass(frozen=True, eq=False)
class ChannelFits:
    """Heads under several splits.

    Attributes
    ----------
    validation_r
        For each split, of each input the mean over folds and speakers of each channel's r; NaN where there is none.
    rows
        For each split, the test scores of each input.
    """

    channels: tuple[str, ...]
    validation_r: Sequence[Mapping[Label, np.ndarray]]
    rows: Sequence[Mapping[Label, Sequence[ScoreRow]]]

    def chosen(self) -> list[dict[str, Label]]:
        """Return the best input of each channel under each split, by validation; the first of equals."""
        return [self._best(of_split) for of_split in self.validation_r]

    def _best(self, of_split: Mapping[Label, np.ndarray]) -> dict[str, Label]:
        labels = list(of_split)
        r = np.stack([of_split[label] for label in labels])
        usable = np.isfinite(r).any(axis=0) | np.full(len(self.channels), len(labels) == 1)
        best = np.argmax(np.where(np.isfinite(r), r, -np.inf), axis=0)
        return {name: labels[best[place]] for place, name in enumerate(self.channels) if usable[place]}

    def at(self, choices: Sequence[Choice]) -> list[ScoreRow]:
        """Return the test scores of each channel at the input that was chosen for it under each split."""
        return [
            row
            for choice, by_label in zip(choices, self.rows, strict=True)
            for channel, label in choice.items()
            for row in by_label[label]
            if row["channel"] == channel
        ]

    def of(self, label: Label) -> list[ScoreRow]:
        """Return the test scores of one input."""
        return [row for by_label in self.rows for row in by_label[label]]


def fit_channels(
    bench: Bench,
    splits: Sequence[Split],
    targets: Targets,
    inputs: Sequence[HeadInput] | None = None,
    features: Sequence[FrameFeatures] = (),
) -> ChannelFits:
    """Fit ridge heads by the settings' rule; inputs may differ in width, and by default are the layers."""
    store = bench.moments(splits, targets, inputs, features)
    divisions = [Division.of(split, store, targets.as_they_are) for split in splits]
    channels = tuple(channel.name for channel in targets.channels)
    r: list[dict[Label, np.ndarray]] = [{} for _ in splits]
    rows: list[dict[Label, Sequence[ScoreRow]]] = [{} for _ in splits]
    for label in [read.label for read in inputs or bench.inputs]:
        width = store.widths[str(label)]
        rule = build(bench.settings.head, num_layers=1, width=width, num_channels=len(channels))
        assert isinstance(rule, Ridge)
        solved = fit_divisions(store, str(label), divisions, rule, bench.device)
        for place, (solution, scores) in enumerate(solved):
            r[place][label] = solution.validation_r.cpu().numpy()
            rows[place][label] = scores.rows([label], tuple(divisions[place].test), targets.channels)
    return ChannelFits(channels, r, rows)


def explained(row: Row) -> float | None:
    """Return R² of one row about the means of predictions and measurements; ``None`` where nothing varies.

    With k the deviation of predictions over that of measurements, R² = 2 r k - k². A constant offset of a speaker in a
    language is no error, as in ``partition``; predictions that do not vary explain nothing.

    >>> explained({"r": 0.5, "sd_predicted": 1.0, "sd_measured": 2.0})
    0.25
    """
    if not row["sd_measured"]:
        return None
    if row["r"] is None:
        return 0.0 if row["sd_predicted"] is not None else None
    k = row["sd_predicted"] / row["sd_measured"]
    return 2 * row["r"] * k - k**2


def explained_by(rows: Iterable[Row]) -> Cells:
    """Return R² about the means of each channel of a speaker in a language."""
    return Cells.of([{**row, "explained": explained(row)} for row in rows], "explained")
