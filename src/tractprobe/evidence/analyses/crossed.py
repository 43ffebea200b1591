"""Held out in a 2 x 2: does it matter whether heads have heard the test language, and the test speaker?

Four heads of each kind, on equally many minutes, are tested on the same utterances (``data/crossed``): r of a speaker in a
language under each condition, paired. Means of frames play no part in r: where several folds are tested, deviations from
each fold's own means are added up, of predictions x and measurements y, each with n frames::

    r = Σ n r sd_x sd_y / √(Σ n sd_x² · Σ n sd_y²),    error² = Σ n (sd_x² + sd_y² - 2 r sd_x sd_y) / Σ n
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from tractprobe.data.crossed import (
    BOTH,
    CONDITIONS,
    LANGUAGE_ONLY,
    NEITHER,
    SPEAKER_ONLY,
    Arm,
    Condition,
    CrossedRule,
    Unit,
)
from tractprobe.encoders.layers import Label
from tractprobe.evidence.analyses.ratios import ratio_of_means
from tractprobe.evidence.bench import Bench, chosen_layer
from tractprobe.evidence.inference import (
    FEWEST_LANGUAGES,
    differences,
    effect,
    equivalence,
    over_languages,
    speakers_needed,
)
from tractprobe.evidence.record import Band, Column, Evidence, Figure, Finding, Part, Series, Table
from tractprobe.probes.fitted import Fitted
from tractprobe.runs.result import Row
from tractprobe.system.errors import ConfigError

Values = Mapping[Unit, float]
_CONTRASTS = {"known": (BOTH, SPEAKER_ONLY), "new": (LANGUAGE_ONLY, NEITHER)}  # speaker: language known, language new
_ARTICULATORS = {
    "td": "tongue dorsum", "tb": "tongue blade", "tt": "tongue tip", "li": "lower incisor", "ul": "upper lip",
    "ll": "lower lip",
}  # fmt: skip


@dataclass(frozen=True)
class Crossed:
    """Does it matter for known and for new speakers whether heads have heard the language, at equal minutes?

    Attributes
    ----------
    margin_r
        A difference in r below this, in either direction, counts as none.
    text_folds, blocks, speaker_folds, validation_folds, train_min, disjoint_text
        How the 2 x 2 is drawn; see ``data.crossed.CrossedRule``.
    """

    margin_r: float = 0.03
    text_folds: int = 2
    blocks: int = 3
    speaker_folds: int = 8
    validation_folds: int = 3
    train_min: float | None = None
    disjoint_text: bool = True
    name: ClassVar[str] = "crossed"
    version: ClassVar[int] = 1

    def __post_init__(self):
        if not self.margin_r > 0:
            raise ConfigError(f"analysis.margin_r={self.margin_r}: must be above 0")
        _ = self._rule

    @property
    def _rule(self) -> CrossedRule:
        return CrossedRule(
            self.text_folds, self.blocks, self.speaker_folds, self.validation_folds, self.train_min, self.disjoint_text
        )

    def __call__(self, bench: Bench) -> Evidence:
        """Return effects of language and speaker, equivalence, transfer ratios, and the profile over layers."""
        arms = self._rule(list(bench.entries.values()), bench.seed)
        fits = bench.fit([arm.split for arm in arms])
        scores = Scores.of(arms, fits, bench.labels)
        about = bench.settings.model.arguments.get("about") or {}
        return Evidence(
            findings=tuple(self._findings(scores, about.get("languages"))),
            tables=(_cells(scores), _training(arms), _layers(scores), _choices(scores)),
            figures=(_conditions_figure(scores), self._languages_figure(scores), _layers_figure(scores)),
            rows=tuple(scores.rows()),
            caveats=tuple(_caveats(scores, arms, bench)),
        )

    def _findings(self, scores: "Scores", heard: Any) -> Iterable[Finding]:
        for speaker, pair in _CONTRASTS.items():
            yield _difference(
                f"language_effect_{speaker}_speaker", pair, scores,
                f"r of heads that know the language minus r of heads that do not, for {speaker} speakers", self.margin_r,
            )  # fmt: skip
        yield self._equivalence("language_equivalence", scores, "new")
        yield self._equivalence("language_equivalence_known_speaker", scores, "known")
        yield _speaker_effect(scores, self.margin_r)
        for speaker, pair in _CONTRASTS.items():
            yield _transfer(f"transfer_ratio{'' if speaker == 'new' else '_known_speaker'}", pair, scores, speaker)
        for speaker, pair in _CONTRASTS.items():
            yield _difference(
                f"language_effect_{speaker}_speaker_error", pair, scores,
                f"error without static offsets of heads that know the language minus that of heads that do not, for "
                f"{speaker} speakers", None, metric="error",
            )  # fmt: skip
        yield _mixed(scores)
        yield _heard(scores, heard)

    def _equivalence(self, name: str, scores: "Scores", speaker: str) -> Finding:
        pair = _CONTRASTS[speaker]
        values = scores.difference(pair)
        says = (
            f"r of heads that know the language minus r of heads that do not, for {speaker} speakers, with the 90 % "
            f"interval of two one-sided tests against ± {self.margin_r:g}"
        )
        if not values:
            return _undefined(name, scores.lacking(pair), "r")
        tested = equivalence(values, self.margin_r)
        estimate = tested.estimate90
        return Finding(
            name, says, estimate.mean, estimate.low, estimate.high, "r", _OVER, _count(values), 0.90, tested.p,
            self.margin_r, speakers_needed(values, self.margin_r),
        )  # fmt: skip

    def _languages_figure(self, scores: "Scores") -> Figure:
        series = []
        for speaker, pair in _CONTRASTS.items():
            if values := scores.difference(pair):
                points = [[part.name, part.value, part.low, part.high] for part in _by_language(values)]
                series.append(Series(f"{speaker} speakers", tuple(points)))
        band = Band(f"margin of ± {self.margin_r:g}", -self.margin_r, self.margin_r)
        title = "What knowing the language adds to r, by language"
        return Figure("languages", title, "language", "difference in r", tuple(series), "points", band)


_OVER = "mean over channels, speakers, languages"


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of the design, by condition, layer, language and speaker, and channel, over all folds.

    Attributes
    ----------
    layer_of
        The layer that was chosen for each fold, language and speaker: by the validation of the heads that know least of
        the unit, and so the same under every condition.
    cells
        (condition, layer, unit) to the rows of folds by channel.
    """

    labels: tuple[Label, ...]
    layer_of: Mapping[tuple[int, Unit], Label]
    folds: Mapping[tuple[Condition, Label, Unit], Mapping[tuple[str, int], Row]]

    @classmethod
    def of(cls, arms: Sequence[Arm], fits: Sequence[Fitted], labels: tuple[Label, ...]) -> "Scores":
        """Take the rows of fitted arms; only the first set of targets is compared."""
        layer_of: dict[tuple[int, Unit], Label] = {}
        folds: dict[tuple[Condition, Label, Unit], dict[tuple[str, int], Row]] = {}
        least_first = sorted(zip(arms, fits, strict=True), key=lambda each: CONDITIONS.index(each[0].condition))[::-1]
        for arm, fitted in least_first:
            layer = chosen_layer(fitted)
            for unit in arm.tested:
                layer_of.setdefault((arm.fold, unit), layer)
            target = fitted.problem.targets.names[0]
            for row in fitted.rows():
                unit = (row["language"], row["speaker"])
                if unit in arm.tested and row["target"] == target:
                    own = folds.setdefault((arm.condition, row["layer"], unit), {})
                    own[row["channel"], arm.fold] = row
        return cls(labels, layer_of, folds)

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions that exist, in the order of ``CONDITIONS``."""
        there = {condition for condition, _, _ in self.folds}
        return tuple(condition for condition in CONDITIONS if condition in there)

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """Languages and speakers that were tested."""
        return tuple(sorted({unit for _, _, unit in self.folds}))

    @cached_property
    def channels(self) -> tuple[str, ...]:
        """Channels that were scored."""
        return tuple(dict.fromkeys(channel for own in self.folds.values() for channel, _ in own))

    def _rows(self, condition: Condition, unit: Unit, layer: Label | None) -> dict[tuple[str, int], Row]:
        """Return a unit's rows by channel and fold, at a layer or at those that were chosen."""
        if layer is not None:
            return dict(self.folds.get((condition, layer, unit), {}))
        own = {fold: chosen for (fold, other), chosen in self.layer_of.items() if other == unit}
        return {
            key: row
            for fold, chosen in own.items()
            for key, row in self.folds.get((condition, chosen, unit), {}).items()
            if key[1] == fold
        }

    @cached_property
    def _kept(self) -> dict[tuple[Unit, Label | None], frozenset[tuple[str, int]]]:
        return {}

    def kept(self, unit: Unit, layer: Label | None) -> frozenset[tuple[str, int]]:
        """Return a unit's channels and folds in which r is defined under every condition that the unit has."""
        found = self._kept.get((unit, layer))
        if found is None:
            each = [self._rows(condition, unit, layer) for condition in self.conditions]
            defined = [{key for key, row in rows.items() if row["r"] is not None} for rows in each if rows]
            found = self._kept[unit, layer] = frozenset(set.intersection(*defined)) if defined else frozenset()
        return found

    def values(
        self, condition: Condition, layer: Label | None = None, channels: Iterable[str] | None = None, metric: str = "r"
    ) -> dict[Unit, float]:
        """Return each unit's mean over channels under a condition, at a layer or at those that were chosen.

        Parameters
        ----------
        metric
            ``r``, or ``error``: the root mean square error without static offsets, in the channels' unit.
        """
        chosen, values = set(self.channels if channels is None else channels), {}
        for unit in self.units:
            rows, kept = self._rows(condition, unit, layer), self.kept(unit, layer)
            by_channel: dict[str, list[Row]] = {}
            for (channel, fold), row in sorted(rows.items()):
                if channel in chosen and (channel, fold) in kept:
                    by_channel.setdefault(channel, []).append(row)
            if by_channel:
                each = [_pooled(own)[metric] for own in by_channel.values()]
                values[unit] = math.fsum(each) / len(each)
        return values

    def difference(
        self, pair: tuple[Condition, Condition], channels: Iterable[str] | None = None, metric: str = "r"
    ) -> dict[Unit, float]:
        """Return the difference between two conditions within each unit that has both."""
        one, other = (self.values(condition, None, channels, metric) for condition in pair)
        return differences(one, other)

    def lacking(self, pair: tuple[Condition, Condition]) -> str:
        """Say why two conditions cannot be compared."""
        names = [condition.name for condition in pair if condition not in self.conditions]
        if SPEAKER_ONLY in pair and SPEAKER_ONLY not in self.conditions:
            return f"no heads with {' nor '.join(names)}: every speaker speaks one language only"
        return f"no unit was tested both with {pair[0].name} and with {pair[1].name}"

    def undefined(self) -> int:
        """Return how many rows at the chosen layers are left out, as r is undefined under some condition."""
        left_out = 0
        for unit in self.units:
            each = [set(self._rows(condition, unit, None)) for condition in self.conditions]
            left_out += len(set().union(*each) - self.kept(unit, None))
        return left_out

    def rows(self) -> Iterable[dict[str, Any]]:
        """Yield r and error of each condition and unit, at the chosen layers."""
        for condition in self.conditions:
            r, error = self.values(condition), self.values(condition, metric="error")
            for language, speaker in r:
                yield {
                    "condition": condition.name, "language": language, "speaker": speaker,
                    "r": r[language, speaker], "error": error[language, speaker],
                }  # fmt: skip


def _pooled(rows: Sequence[Row]) -> dict[str, float]:
    """Return r and error of several folds, each about its own means."""
    xy = math.fsum(row["n_frames"] * row["r"] * row["sd_predicted"] * row["sd_measured"] for row in rows)
    xx, yy = (math.fsum(row["n_frames"] * row[name] ** 2 for row in rows) for name in ("sd_predicted", "sd_measured"))
    frames = sum(row["n_frames"] for row in rows)
    error = math.sqrt(max(0.0, xx + yy - 2 * xy) / frames)
    return {"r": max(-1.0, min(1.0, xy / math.sqrt(xx * yy))), "error": error}
