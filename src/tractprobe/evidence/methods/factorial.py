"""Scores of a 2 x 2 (``data.crossed``): each language and speaker under every condition, over all folds, paired.

Means of frames play no part. Where several folds are tested, deviations from each fold's own means are added up, of
predictions x and measurements y, each with n frames::

    r = Σ n r sd_x sd_y / √(Σ n sd_x² · Σ n sd_y²),    error² = Σ n (sd_x² + sd_y² - 2 r sd_x sd_y) / Σ n
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from tractprobe.data.blocks import Unit
from tractprobe.data.crossed import CONDITIONS, SPEAKER_ONLY, Arm, Condition
from tractprobe.encoders.layers import Label
from tractprobe.evidence.bench import chosen_layer
from tractprobe.evidence.statistics.effects import Cells
from tractprobe.probes.fitted import Fitted
from tractprobe.runs.result import Row

Place = tuple[str, int]
"""A channel and a fold."""
Metric = Literal["r", "error"]


@dataclass(frozen=True, eq=False)
class Factorial:
    """Scores of the design.

    Attributes
    ----------
    layer_of
        The layer that was chosen for each fold, language and speaker: by the validation of the heads that know least
        of these, and so the same under every condition.
    scored
        (condition, layer, language and speaker) to rows by channel and fold.
    """

    labels: tuple[Label, ...]
    layer_of: Mapping[tuple[int, Unit], Label]
    scored: Mapping[tuple[Condition, Label, Unit], Mapping[Place, Row]]

    @classmethod
    def of(cls, arms: Sequence[Arm], fits: Iterable[Fitted], labels: Sequence[Label]) -> "Factorial":
        """Take the rows of fitted arms, one after another; of several sets of targets, the first is compared."""
        chosen: dict[tuple[int, Unit], dict[Condition, Label]] = {}
        scored: dict[tuple[Condition, Label, Unit], dict[Place, Row]] = {}
        for arm, fitted in zip(arms, fits, strict=True):
            layer, target = chosen_layer(fitted), fitted.problem.targets.names[0]
            for unit in arm.tested:
                chosen.setdefault((arm.fold, unit), {})[arm.condition] = layer
            for row in fitted.rows():
                unit = (row["language"], row["speaker"])
                if unit in arm.tested and row["target"] == target:
                    scored.setdefault((arm.condition, row["layer"], unit), {})[row["channel"], arm.fold] = row
        layer_of = {place: layers[max(layers, key=CONDITIONS.index)] for place, layers in chosen.items()}
        return cls(tuple(labels), layer_of, scored)

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions that exist."""
        there = {condition for condition, _, _ in self.scored}
        return tuple(condition for condition in CONDITIONS if condition in there)

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """Languages and speakers that were tested."""
        return tuple(sorted({unit for _, _, unit in self.scored}))

    @cached_property
    def unit_of_error(self) -> str:
        """The unit of all channels; empty if they differ, and errors have no mean."""
        units = {row["unit"] for rows in self.scored.values() for row in rows.values()}
        return units.pop() if len(units) == 1 else ""

    def cells(self, condition: Condition, layer: Label | None = None, metric: Metric = "r") -> Cells:
        """Return scores of each channel under a condition, at a layer or at those that were chosen.

        Channels and folds in which r is undefined under any condition are left out of all, and counted as lost.
        """
        values, lost = {}, 0
        for unit in self.units:
            rows, kept = self._rows(condition, unit, layer), self._kept(unit, layer)
            by_channel: dict[str, list[Row]] = {}
            for place, row in sorted(rows.items(), key=lambda item: item[0]):
                if place in kept:
                    by_channel.setdefault(place[0], []).append(row)
            lost += len({channel for channel, _ in rows} - set(by_channel))
            values |= {(*unit, channel): pooled_over_folds(own)[metric] for channel, own in by_channel.items()}
        return Cells(values, lost)

    def difference(self, one: Condition, other: Condition, metric: Metric = "r") -> Cells:
        """Return one condition minus the other where both exist, at the chosen layers."""
        first, second = self.cells(one, metric=metric), self.cells(other, metric=metric)
        common = first.values.keys() & second.values.keys()
        return Cells({key: first.values[key] - second.values[key] for key in sorted(common)}, first.lost)

    def _rows(self, condition: Condition, unit: Unit, layer: Label | None) -> dict[Place, Row]:
        if layer is not None:
            return dict(self.scored.get((condition, layer, unit), {}))
        chosen = {fold: label for (fold, own), label in self.layer_of.items() if own == unit}
        return {
            place: row
            for fold, label in chosen.items()
            for place, row in self.scored.get((condition, label, unit), {}).items()
            if place[1] == fold
        }

    def _kept(self, unit: Unit, layer: Label | None) -> set[Place]:
        each = [rows for condition in self.conditions if (rows := self._rows(condition, unit, layer))]
        defined = [{place for place, row in rows.items() if row["r"] is not None} for rows in each]
        return set.intersection(*defined) if defined else set()

    def undefined(self) -> tuple[int, int]:
        """Return how many channels of folds are left out at the chosen layers, and of how many."""
        lost, count = 0, 0
        for unit in self.units:
            there = set().union(*(self._rows(condition, unit, None) for condition in self.conditions))
            lost, count = lost + len(there - self._kept(unit, None)), count + len(there)
        return lost, count

    def lacking(self, one: Condition, other: Condition) -> str:
        """Say why two conditions cannot be compared."""
        names = [condition.name for condition in (one, other) if condition not in self.conditions]
        if SPEAKER_ONLY.name in names and len({language for language, _ in self.units}) > 1:
            return f"there are no heads with {SPEAKER_ONLY.name}: every speaker speaks one language only"
        if names:
            return f"the corpora have no heads with {' nor '.join(names)}: one language or one speaker only"
        return f"nobody was tested both with {one.name} and with {other.name}"

    def rows(self) -> Iterable[dict[str, Any]]:
        """Yield r and error of each condition, language and speaker at the chosen layers."""
        for condition in self.conditions:
            r = self.cells(condition).of_speakers()
            error = self.cells(condition, metric="error").of_speakers() if self.unit_of_error else {}
            for language, speaker in r:
                own = {"condition": condition.name, "language": language, "speaker": speaker}
                yield own | {"r": r[language, speaker], "error": error.get((language, speaker))}


def pooled_over_folds(rows: Sequence[Row]) -> dict[str, float]:
    """Return r and error of several folds, each about its own means."""
    xy = math.fsum(row["n_frames"] * row["r"] * row["sd_predicted"] * row["sd_measured"] for row in rows)
    xx, yy = (math.fsum(row["n_frames"] * row[name] ** 2 for row in rows) for name in ("sd_predicted", "sd_measured"))
    frames = sum(row["n_frames"] for row in rows)
    error = math.sqrt(max(0.0, xx + yy - 2 * xy) / frames)
    return {"r": max(-1.0, min(1.0, xy / math.sqrt(xx * yy))), "error": error}
