"""Held out in a 2 x 2: what it matters to heads to have heard the test language, and the test speaker.

Four heads of each kind, on equally many minutes, are tested on the same utterances (``data.crossed``), and r of a
speaker in a language is compared between them (``evidence.factorial``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from tractprobe.data.blocks import Dealing
from tractprobe.data.crossed import BOTH, LANGUAGE_ONLY, NEITHER, SPEAKER_ONLY, Arm, Condition, CrossedRule
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.factorial import Factorial
from tractprobe.evidence.methods.factorial_report import (
    CONTRASTS,
    bars,
    by_condition,
    caveats,
    choices,
    layers,
    profile,
    training,
)
from tractprobe.evidence.methods.heard import heard_against_others, heard_here
from tractprobe.evidence.methods.in_turn import fitted_in_turn
from tractprobe.evidence.record import Band, Evidence, Figure, Finding, Part, Series
from tractprobe.evidence.statistics.effects import OVER, Cells, finding, none
from tractprobe.evidence.statistics.inference import (
    FEWEST_LANGUAGES,
    effect,
    equivalence,
    farthest,
    over_languages,
    speakers_needed,
)
from tractprobe.evidence.statistics.shares import share
from tractprobe.runs.estimate import Scores
from tractprobe.runs.stated import about_of
from tractprobe.system.errors import ConfigError

_KNOWING = "heads that know the language minus {what} of heads that do not, for {speaker} speakers"


@dataclass(frozen=True)
class Crossed(Dealing):
    """What it matters, for known and for new speakers, whether heads have heard the language, at equal minutes.

    Attributes
    ----------
    margin_r
        A difference in r below this, in either direction, counts as none.
    control
        Encoder of acoustics, an option of conf/model, against which languages that the encoder has heard are compared
        with others; empty for none.
    """

    margin_r: float = 0.03
    control: str = "mel"
    name: ClassVar[str] = "crossed"
    version: ClassVar[int] = 1

    def __post_init__(self):
        if not self.margin_r > 0:
            raise ConfigError(f"analysis.margin_r={self.margin_r}: must be above 0")
        super().__post_init__()

    @property
    def rule(self) -> CrossedRule:
        """How the 2 x 2 is drawn."""
        return CrossedRule(**self.dealing)

    def __call__(self, bench: Bench) -> Evidence:
        """Return effects of language and speaker, equivalence, transfer ratios, and the profile over layers."""
        arms = self.rule(list(bench.entries.values()), bench.seed)
        scores = Factorial.of(arms, fitted_in_turn(bench, [arm.split for arm in arms]), bench.labels)
        return Evidence(
            findings=(*self._effects(scores), *_transfers(scores), _mixed(scores), *self._heard(bench, arms, scores)),
            tables=(by_condition(scores), training(arms), layers(scores), choices(scores)),
            figures=(bars(scores), self._languages(scores), self._articulators(scores), profile(scores)),
            rows=tuple(scores.rows()),
            caveats=tuple(caveats(scores, arms, bench)),
        )

    def _heard(self, bench: Bench, arms: Sequence[Arm], scores: Factorial) -> list[Finding]:
        """Compare languages that the encoder has heard with others; the control is fitted only where there are both."""
        heard = heard_here(about_of(bench.settings.model), {language for language, _ in scores.units})
        control = None
        if not isinstance(heard, str) and self.control and self.control != bench.settings.id.model:
            other, least = bench.other(bench.option(self.control)), [arm for arm in arms if arm.condition == NEITHER]
            control = Factorial.of(least, fitted_in_turn(other, [arm.split for arm in least]), other.labels)
        return heard_against_others(scores, heard, control, self.control)

    def _effects(self, scores: Factorial) -> Iterator[Finding]:
        for speaker, pair in CONTRASTS.items():
            yield self._difference(f"language_effect_{speaker}_speaker", scores, pair, speaker)
            yield self._equivalence(scores, pair, speaker)
        yield self._in_every_language(scores, CONTRASTS["new"])
        yield self._of_speaker(scores)
        for speaker, pair in CONTRASTS.items() if scores.unit_of_error else ():
            name = f"language_effect_{speaker}_speaker_error"
            cells = scores.difference(*pair, metric="error")
            says = "error, static offsets aside, of " + _KNOWING.format(what="that", speaker=speaker)
            found = finding(name, says, cells, tested=True) if cells.values else none(name, scores.lacking(*pair))
            yield replace(found, unit=scores.unit_of_error)

    def _difference(self, name: str, scores: Factorial, pair: tuple[Condition, Condition], speaker: str) -> Finding:
        cells = scores.difference(*pair)
        if not cells.values:
            return none(name, scores.lacking(*pair))
        says = "r of " + _KNOWING.format(what="r", speaker=speaker)
        return finding(name, says, cells, tested=True, margin=self.margin_r)

    def _equivalence(self, scores: Factorial, pair: tuple[Condition, Condition], speaker: str) -> Finding:
        """Return the difference with the 90 % interval of two one-sided tests, whose larger p is given."""
        name = "language_equivalence" + ("" if speaker == "new" else "_known_speaker")
        cells = scores.difference(*pair)
        if not (values := cells.of_speakers()):
            return none(name, scores.lacking(*pair))
        tested = equivalence(values, self.margin_r)
        reached = tested.estimate90
        says = f"r of {_KNOWING.format(what='r', speaker=speaker)}, against ± {self.margin_r:g} by two one-sided tests"
        return Finding(
            name, says, reached.mean, reached.low, reached.high, "r", OVER, cells.count(), reached.level, tested.p,
            self.margin_r, speakers_needed(values, self.margin_r), cells.parts(level=reached.level),
        )  # fmt: skip

    def _in_every_language(self, scores: Factorial, pair: tuple[Condition, Condition]) -> Finding:
        """Return the effect in the language to which it matters most: a mean over languages may hide it.

        Intervals of all languages together hold their level (Bonferroni). Languages are equivalent one and all if each
        is, which takes no further correction: p is the largest of theirs (intersection-union test; Berger, 1982).
        """
        name, cells = "language_equivalence_every_language", scores.difference(*pair)
        if not (values := cells.of_speakers()):
            return none(name, scores.lacking(*pair))
        by_language = {name: _of(name, values) for name in sorted({language for language, _ in values})}
        level = 1 - 0.1 / len(by_language)
        reached = {language: effect(own, level) for language, own in by_language.items()}
        tests = {language: equivalence(own, self.margin_r) for language, own in by_language.items()}
        if alone := [language for language, each in reached.items() if each.low is None or each.high is None]:
            return none(name, f"one speaker alone was tested in {', '.join(alone)}, so there is no interval")
        worst = farthest(reached, self.margin_r)
        says = f"r of {_KNOWING.format(what='r', speaker='new')}, in the language to which it matters most ({worst})"
        needed = [speakers_needed(own, self.margin_r) for own in by_language.values()]
        most = reached[worst]
        by = (Part("language", language, each.mean, each.low, each.high, each.n) for language, each in reached.items())
        return Finding(
            name, says, most.mean, most.low, most.high, "r", f"mean over channels, then speakers of {worst}",
            {"speakers": most.n, "languages": len(reached)}, level, max(test.p or 0.0 for test in tests.values()),
            self.margin_r, None if None in needed else max(number for number in needed if number),
            tuple(by),
        )  # fmt: skip

    def _of_speaker(self, scores: Factorial) -> Finding:
        """Return what knowing the speaker adds, averaged over known and new languages where both exist."""
        name, says = "speaker_effect", "r of heads that know the speaker minus r of heads that do not"
        each = {"known": scores.difference(BOTH, LANGUAGE_ONLY), "new": scores.difference(SPEAKER_ONLY, NEITHER)}
        there = {language: cells for language, cells in each.items() if cells.values}
        if not there:
            return none(name, scores.lacking(BOTH, LANGUAGE_ONLY))
        says += f", for {' and '.join(there)} languages"
        return finding(name, says, Cells.mean(there.values()), tested=True, margin=self.margin_r)

    def _languages(self, scores: Factorial) -> Figure:
        return self._parts(scores, "language", "languages", "What knowing the language adds to r, by language")

    def _articulators(self, scores: Factorial) -> Figure:
        title = "What knowing the language adds to r, by articulator"
        return self._parts(scores, "articulator", "articulators", title)

    def _parts(self, scores: Factorial, kind: str, name: str, title: str) -> Figure:
        series = []
        for speaker, pair in CONTRASTS.items():
            parts = [part for part in scores.difference(*pair).parts() if part.kind == kind]
            points = tuple([part.name, part.value, part.low, part.high] for part in parts)
            series += [Series(f"{speaker} speakers", points)] if points else []
        band = Band(f"margin of ± {self.margin_r:g}", -self.margin_r, self.margin_r)
        return Figure(name, title, kind, "difference in r", tuple(series), "points", band)


def _transfers(scores: Factorial) -> Iterator[Finding]:
    for speaker, pair in CONTRASTS.items():
        name = "transfer_ratio" + ("" if speaker == "new" else "_known_speaker")
        known, new = (scores.cells(condition).of_speakers() for condition in pair)
        if not (cells := scores.difference(*pair)).values:
            yield none(name, scores.lacking(*pair), "ratio")
            continue
        says = f"r of heads that have not heard the language over r of heads that have, for {speaker} speakers"
        if (reached := share(new, known)) is None:
            yield none(name, f"{says}: undefined, as r of heads that have heard it may be 0", "ratio")
            continue
        by = []
        for language in sorted({language for language, _ in cells.of_speakers()}):
            own = share(_of(language, new), _of(language, known))
            by += [
                Part("language", language, own.mean, own.low, own.high, own.n)
                if own
                else Part("language", language, None)
            ]
        yield Finding(name, says, reached.mean, reached.low, reached.high, "ratio", OVER, cells.count(), by=tuple(by))


def _of(language: str, values: Scores) -> dict[tuple[str, str], float]:
    return {key: value for key, value in values.items() if key[0] == language}


def _mixed(scores: Factorial) -> Finding:
    """Return the effect of language with an interval over languages, as if these were drawn from others."""
    name = "language_effect_over_languages"
    cells = scores.difference(LANGUAGE_ONLY, NEITHER)
    if not (values := cells.of_speakers()):
        return none(name, scores.lacking(LANGUAGE_ONLY, NEITHER))
    languages = len({language for language, _ in values})
    if (reached := over_languages(values)) is None:
        return none(name, f"an interval over languages takes {FEWEST_LANGUAGES} or more; there are {languages}")
    says = "r of " + _KNOWING.format(what="r", speaker="new") + ", with an interval over languages and speakers"
    return Finding(name, says, reached.mean, reached.low, reached.high, "r", OVER, cells.count(), reached.level)
