"""Low resource: what minutes of a language add to heads that know other languages, and what they are worth alone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.corpora.prepared.texts import sentence
from tractprobe.data.splits import Split, SplitRule
from tractprobe.encoders.layers import Label
from tractprobe.evidence.bench import Bench, chosen_layer, is_validated
from tractprobe.evidence.methods.in_turn import fitted_in_turn
from tractprobe.evidence.methods.voices import parts_of
from tractprobe.evidence.record import Column, DoesNotApply, Evidence, Figure, Finding, Level, Part, Series, Table
from tractprobe.evidence.statistics.findings import finding
from tractprobe.evidence.statistics.inference import differences, effect
from tractprobe.probes.fitted import Fitted
from tractprobe.runs.estimate import Scores
from tractprobe.runs.result import ScoreRow
from tractprobe.signals.channels import ARTICULATORS
from tractprobe.system.errors import ConfigError

_TESTED = (0, 1)  # parts of the sentences, of five
OTHERS, ADDED, ALONE = "others", "others + minutes", "minutes alone"
_OVER = "mean over channels, speakers, languages"


class _Case(NamedTuple):
    """What one head learns from: other languages, minutes of the target language, or both; 0 minutes: others only."""

    condition: str
    minutes: float
    language: str


@dataclass(frozen=True)
class LowResource:
    """What minutes of a language add to heads that know other languages, and what they are worth alone.

    Attributes
    ----------
    minutes
        Of the language, nested; those that languages have are used.
    held_out_speakers
        Whether nothing is learned from the tested speakers, in any language. Otherwise the minutes come from them, too,
        and where each speaker has one language, they teach the speaker as well as the language.
    speaker_folds
        In how many groups a language's speakers are held out in turn.
    validation_folds
        Divisions by which each head's layer and penalty are chosen.
    margin_r
        The difference in r that speakers needed are counted for.
    """

    minutes: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 5.0)
    held_out_speakers: bool = True
    speaker_folds: int = 4
    validation_folds: int = 3
    margin_r: float = 0.03

    name: ClassVar[str] = "low_resource"
    version: ClassVar[int] = 1

    def __post_init__(self):
        if not self.minutes or min(self.minutes) <= 0 or self.speaker_folds < 2:
            raise ConfigError("analysis=low_resource: expected minutes above 0, and speaker_folds of 2 or more")

    def __call__(self, bench: Bench) -> Evidence:
        """Return r against minutes for heads on other languages and minutes of the language, together and alone."""
        rule = bench.rule("sentence", validation_folds=self.validation_folds)
        parts = parts_of(bench)
        cases = [case for language in _languages(bench) for case in self._cases(bench, language, parts, rule)]
        if not any(case.minutes for case, _ in cases):
            raise ConfigError(
                f"no language has {min(self.minutes):g} min that can be learned from (three fifths of the sentences of "
                "the speakers that are not tested): give analysis.minutes=[<fewer>] or analysis.held_out_speakers=false"
            )
        fits = fitted_in_turn(bench, [split for _, split in cases])
        read = _Read(((case, fit) for (case, _), fit in zip(cases, fits, strict=True)), self.margin_r)
        caveats = (*self._caveats(bench, cases), *read.caveats())
        return Evidence(read.findings(), (read.table(),), (read.figure(),), read.tidy(), caveats)

    def _cases(
        self, bench: Bench, language: str, parts: Mapping[str, int], rule: SplitRule
    ) -> Iterator[tuple[_Case, Split]]:
        """Yield what heads learn from for each group of the language's speakers that is tested."""
        entries = list(bench.entries.values())
        of_language = [entry for entry in entries if entry.language == language]
        groups = self._groups(sorted({entry.speaker for entry in of_language}))
        sides = []
        for tested in groups:
            apart = tested if self.held_out_speakers else ()
            test = [entry for entry in of_language if entry.speaker in tested and parts[entry.id] in _TESTED]
            pool = [entry for entry in of_language if entry.speaker not in apart and parts[entry.id] not in _TESTED]
            said = {sentence(entry) for entry in test}
            others = [
                entry for entry in entries
                if entry.language != language and entry.speaker not in apart and sentence(entry) not in said
            ]  # fmt: skip
            if not test or not others:
                return
            sides.append((test, pool, others))
        there_are = min((_minutes(pool) for _, pool, _ in sides), default=0.0)
        for test, pool, others in sides:
            yield _Case(OTHERS, 0.0, language), rule.of_sides(others, test, bench.seed)
            for minutes in sorted(each for each in map(float, self.minutes) if each <= there_are):
                alone = replace(rule, train_min=minutes).of_sides(pool, test, bench.seed)
                both = [*others, *(bench.entries[id_] for id_ in alone.development)]
                yield _Case(ALONE, minutes, language), alone
                yield _Case(ADDED, minutes, language), rule.of_sides(both, test, bench.seed)

    def _groups(self, speakers: Sequence[str]) -> list[Sequence[str]]:
        """Return the speakers that are tested together; none where a single one cannot be held out."""
        if not self.held_out_speakers:
            return [speakers]
        count = min(self.speaker_folds, len(speakers))
        return [speakers[number::count] for number in range(count)] if count > 1 else []

    def _caveats(self, bench: Bench, cases: Sequence[tuple[_Case, Split]]) -> tuple[str, ...]:
        languages: dict[float, set[str]] = {}
        for case, _ in cases:
            languages.setdefault(case.minutes, set()).add(case.language)
        counts = {minutes: len(of) for minutes, of in sorted(languages.items())}
        told = ["Languages by minutes: " + ", ".join(f"{minutes:g} min {n}" for minutes, n in counts.items()) + "."]
        told.append(
            "Tested speakers are unknown in every condition, so minutes teach the language alone."
            if self.held_out_speakers
            else "Tested speakers can be known: where each has one language, minutes teach the speaker as well."
        )
        minutes = [
            _minutes([bench.entries[id_] for id_ in split.development]) for case, split in cases if not case.minutes
        ]
        told.append(f"Heads on other languages know {min(minutes):.1f} to {max(minutes):.1f} min of these.")
        if left := sorted(set(_languages(bench)) - languages[0.0]):
            told.append(f"Left out, since no speaker can be held out: {', '.join(left)}.")
        return tuple(told)


def _languages(bench: Bench) -> list[str]:
    languages = sorted({entry.language for entry in bench.entries.values()})
    if len(languages) < 2:
        raise DoesNotApply(f"low resource needs two languages; there is one, {', '.join(languages)}")
    return languages


def _minutes(entries: Sequence[Entry]) -> float:
    return sum(entry.duration_s for entry in entries) / 60


class _Read:
    """Scores of every case at the layer that its own validation chose.

    Heads of too few sentences to validate, which there are of minutes alone, are read at the layer that was chosen for
    heads of other languages and the same tested speakers.

    Attributes
    ----------
    unvalidated
        Minutes of which some head was not validated.
    """

    def __init__(self, fits: Iterable[tuple[_Case, Fitted]], margin_r: float):
        self.margin_r = margin_r
        self.rows: list[tuple[_Case, ScoreRow]] = []
        self.unvalidated: set[float] = set()
        layer: Label = ""
        for case, fit in fits:  # heads of other languages come first of those that are tested on the same speakers
            if case.condition == OTHERS or is_validated(fit):
                own = chosen_layer(fit)
                layer = own if case.condition == OTHERS else layer
            else:
                own = layer
                self.unvalidated.add(case.minutes)
            self.rows += [(case, row) for row in fit.rows() if row["layer"] == own]

    def scores(self, condition: str, minutes: float, channels: str = "") -> Scores:
        """Return each speaker's mean r over channels, of all or of those that begin so; without those undefined."""
        values: dict[tuple[str, str], list[float]] = {}
        for case, row in self.rows:
            if (case.condition, case.minutes) == (condition, minutes) and row["channel"].startswith(channels):
                if row["target"] == "ema" and row["r"] is not None:
                    values.setdefault((row["language"], row["speaker"]), []).append(row["r"])
        return {key: sum(of) / len(of) for key, of in values.items()}

    def caveats(self) -> tuple[str, ...]:
        """Say for what minutes nothing could be chosen by validation."""
        if not self.unvalidated:
            return ()
        few = ", ".join(f"{minutes:g}" for minutes in sorted(self.unvalidated))
        return (
            f"{few} min alone are too few speakers and sentences for a validation of every head: where there was none, "
            f"layers are those chosen for {OTHERS} and the penalty is the default.",
        )

    @property
    def minutes(self) -> list[float]:
        """The minutes that some language has."""
        return sorted({case.minutes for case, _ in self.rows if case.minutes})

    def findings(self) -> tuple[Finding, ...]:
        """Return what minutes add to other languages, and what other languages are worth in minutes."""
        fewest, most = self.minutes[0], self.minutes[-1]
        others, minus = (OTHERS, 0.0), "r of heads that know other languages only minus r of heads that know only"
        return (
            finding("others_r", "r of heads that know other languages only", self.scores(*others), "r", _OVER),
            self._gain("gain_fewest", f"r that {fewest:g} min of the language add to others", (ADDED, fewest), others),
            self._gain("gain_most", f"r that {most:g} min of the language add to others", (ADDED, most), others),
            self._gain("others_over_fewest", f"{minus} {fewest:g} min of the language", others, (ALONE, fewest)),
            self._gain("others_over_most", f"{minus} {most:g} min of the language", others, (ALONE, most)),
        )

    def _gain(self, name: str, says: str, one: tuple[str, float], other: tuple[str, float]) -> Finding:
        values = differences(self.scores(*one), self.scores(*other))
        parts = []
        for language in sorted({language for language, _ in values}):
            parts.append(
                _part("language", language, {key: value for key, value in values.items() if key[0] == language})
            )
        for articulator in ARTICULATORS:
            of = differences(self.scores(*one, f"{articulator}_"), self.scores(*other, f"{articulator}_"))
            parts += [_part("articulator", articulator, of)] if of else []
        return finding(name, says, values, "r", _OVER, self.margin_r, parts)

    def _points(self) -> dict[str, list[tuple[float, Any]]]:
        each = {condition: [0.0] if condition == OTHERS else self.minutes for condition in (OTHERS, ADDED, ALONE)}
        return {
            name: [(minutes, effect(scores)) for minutes in each[name] if (scores := self.scores(name, minutes))]
            for name in each
        }

    def table(self) -> Table:
        """Return r by condition and minutes."""
        names = {"condition": "", "minutes": "min", "r": "r", "low": "r", "high": "r", "speakers": "", "languages": ""}
        columns = tuple(Column(name, unit) for name, unit in names.items())
        rows = [
            {"condition": name, "minutes": minutes, "r": reached.mean, "low": reached.low, "high": reached.high,
             "speakers": reached.n, "languages": reached.languages}
            for name, points in self._points().items() for minutes, reached in points
        ]  # fmt: skip
        return Table("minutes", "r by what heads know of the language", columns, tuple(rows))

    def figure(self) -> Figure:
        """Return r against minutes."""
        points: Mapping[str, list[tuple[float, Any]]] = self._points()
        series = tuple(
            Series(name, tuple([minutes, reached.mean, reached.low, reached.high] for minutes, reached in points[name]))
            for name in (ADDED, ALONE)
        )
        levels = tuple(Level("others, no minutes", reached.mean) for _, reached in points[OTHERS])
        return Figure("minutes", "r by minutes of the tested language", "minutes", "r", series, levels=levels)

    def tidy(self) -> tuple[dict[str, Any], ...]:
        """Return each speaker's score by condition, with the layer that was read."""
        kinds = dict.fromkeys((case.condition, case.minutes) for case, _ in self.rows)
        layers = {
            (case.condition, case.minutes, row["language"], row["speaker"]): row["layer"] for case, row in self.rows
        }
        return tuple(
            {"condition": condition, "minutes": minutes, "language": language, "speaker": speaker,
             "layer": layers[condition, minutes, language, speaker], "r": r}
            for condition, minutes in kinds
            for (language, speaker), r in sorted(self.scores(condition, minutes).items())
        )  # fmt: skip


def _part(kind: str, name: str, values: Scores) -> Part:
    reached = effect(values)
    return Part(kind, name, reached.mean, reached.low, reached.high, reached.n)
