"""Held out in a 2 x 2: what it matters to heads to have heard the test language, and the test speaker.

Four heads of each kind, on equally many minutes, are tested on the same utterances (``data.crossed``), and r of a
speaker in a language is compared between them (``evidence.factorial``).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from tractprobe.data.crossed import BOTH, CONDITIONS, LANGUAGE_ONLY, NEITHER, SPEAKER_ONLY, Arm, Condition, CrossedRule
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.effects import OVER, Cells, finding, none
from tractprobe.evidence.factorial import Factorial
from tractprobe.evidence.inference import FEWEST_LANGUAGES, effect, equivalence, over_languages, speakers_needed
from tractprobe.evidence.ratio import ratio_of_means
from tractprobe.evidence.record import Band, Column, Evidence, Figure, Finding, Part, Series, Table
from tractprobe.runs.estimate import Scores
from tractprobe.system.errors import ConfigError

_CONTRASTS = {"new": (LANGUAGE_ONLY, NEITHER), "known": (BOTH, SPEAKER_ONLY)}  # speakers: language known, language new
_KNOWING = "heads that know the language minus {what} of heads that do not, for {speaker} speakers"


@dataclass(frozen=True)
class Crossed:
    """What it matters, for known and for new speakers, whether heads have heard the language, at equal minutes.

    Attributes
    ----------
    margin_r
        A difference in r below this, in either direction, counts as none.
    text_folds, blocks, speaker_folds, validation_folds, train_min, disjoint_text
        How the 2 x 2 is drawn; see ``data.crossed.CrossedRule``.
    """

    margin_r: float = 0.03
    text_folds: int = 3
    blocks: int = 2
    speaker_folds: int = 8
    validation_folds: int = 3
    train_min: float | None = None
    disjoint_text: bool = True
    name: ClassVar[str] = "crossed"
    version: ClassVar[int] = 1

    def __post_init__(self):
        if not self.margin_r > 0:
            raise ConfigError(f"analysis.margin_r={self.margin_r}: must be above 0")
        _ = self.rule

    @property
    def rule(self) -> CrossedRule:
        """How the 2 x 2 is drawn."""
        return CrossedRule(
            self.text_folds, self.blocks, self.speaker_folds, self.validation_folds, self.train_min, self.disjoint_text
        )

    def __call__(self, bench: Bench) -> Evidence:
        """Return effects of language and speaker, equivalence, transfer ratios, and the profile over layers."""
        arms = self.rule(list(bench.entries.values()), bench.seed)
        scores = Factorial.of(arms, bench.fit([arm.split for arm in arms]), bench.labels)
        heard = (bench.settings.model.arguments.get("about") or {}).get("languages")
        return Evidence(
            findings=(*self._effects(scores), *_transfers(scores), _mixed(scores), *_heard(scores, heard)),
            tables=(_by_condition(scores), _training(arms), _layers(scores), _choices(scores)),
            figures=(_bars(scores), self._languages(scores), self._articulators(scores), _profile(scores)),
            rows=tuple(scores.rows()),
            caveats=tuple(_caveats(scores, arms, bench)),
        )

    def _effects(self, scores: Factorial) -> Iterator[Finding]:
        for speaker, pair in _CONTRASTS.items():
            yield self._difference(f"language_effect_{speaker}_speaker", scores, pair, speaker)
            yield self._equivalence(scores, pair, speaker)
        yield self._of_speaker(scores)
        for speaker, pair in _CONTRASTS.items() if scores.unit_of_error else ():
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
        for speaker, pair in _CONTRASTS.items():
            parts = [part for part in scores.difference(*pair).parts() if part.kind == kind]
            points = tuple([part.name, part.value, part.low, part.high] for part in parts)
            series += [Series(f"{speaker} speakers", points)] if points else []
        band = Band(f"margin of ± {self.margin_r:g}", -self.margin_r, self.margin_r)
        return Figure(name, title, kind, "difference in r", tuple(series), "points", band)


def _transfers(scores: Factorial) -> Iterator[Finding]:
    for speaker, pair in _CONTRASTS.items():
        name = "transfer_ratio" + ("" if speaker == "new" else "_known_speaker")
        known, new = (scores.cells(condition).of_speakers() for condition in pair)
        both = {key: known[key] for key in known if key in new}
        if not both:
            yield none(name, scores.lacking(*pair), "ratio")
            continue
        value, low, high = ratio_of_means(new, both)
        says = f"r of heads that have not heard the language over r of heads that have, for {speaker} speakers"
        if value is None:
            yield none(name, f"{says}: undefined, as r of heads that have heard it is not above 0", "ratio")
            continue
        by = tuple(
            Part("language", language, *ratio_of_means(*(_of(language, each) for each in (new, both))), n)
            for language, n in sorted(Counter(language for language, _ in both).items())
        )
        count = scores.difference(*pair).count()
        yield Finding(name, says, value, low, high, "ratio", OVER, count, by=by)


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


def _heard(scores: Factorial, heard: Any) -> Iterator[Finding]:
    """Compare languages that the encoder has heard with others, whatever the heads have.

    In r of heads that know neither language nor speaker, and in what knowing the language adds.
    """
    neither = scores.cells(NEITHER).of_speakers()
    effects = scores.difference(LANGUAGE_ONLY, NEITHER).of_speakers()
    there = {language for language, _ in scores.units}
    for name, says, values in (
        ("heard_languages", "r, by heads that know neither language nor speaker,", neither),
        ("heard_languages_effect", "what knowing the language adds to r for new speakers,", effects),
    ):
        if not isinstance(heard, list):
            stated = f"{heard} languages, not which" if isinstance(heard, int) else "nothing"
            yield none(name, f"which languages the encoder has heard is not known: model.about.languages says {stated}")
        elif not there & set(heard) or not there - set(heard):
            which = "none" if not there & set(heard) else "all"
            yield none(name, f"the encoder has heard {which} of the languages here, {', '.join(sorted(there))}")
        elif not values:
            yield none(name, scores.lacking(LANGUAGE_ONLY, NEITHER))
        else:
            yield _heard_minus_others(name, says, values, set(heard))


def _heard_minus_others(name: str, says: str, values: Scores, heard: set[str]) -> Finding:
    sides = [{key: value for key, value in values.items() if (key[0] in heard) is side} for side in (True, False)]
    languages = ["+".join(sorted({language for language, _ in side})) for side in sides]
    says = f"{says} in languages that the encoder has heard ({languages[0]}) minus others ({languages[1]})"
    means = [_by_speaker(side) for side in sides]
    paired = {("", speaker): means[0][speaker] - means[1][speaker] for speaker in means[0].keys() & means[1].keys()}
    count = {"speakers": len(paired), "languages": len({language for language, _ in values})}
    if paired.keys() == {("", speaker) for speaker in means[0].keys() | means[1].keys()}:
        reached = effect(paired)
        return Finding(
            name, says, reached.mean, reached.low, reached.high, "r", "mean over languages, then speakers", count
        )
    difference = effect(sides[0]).mean - effect(sides[1]).mean
    says = f"{says}; no interval, as speakers of the two differ"
    return Finding(name, says, difference, None, None, "r", OVER, count | {"speakers": len({who for _, who in values})})


def _by_speaker(values: Scores) -> dict[str, float]:
    each: dict[str, list[float]] = {}
    for (_, speaker), value in values.items():
        each.setdefault(speaker, []).append(value)
    return {speaker: sum(own) / len(own) for speaker, own in each.items()}


def _by_condition(scores: Factorial) -> Table:
    rows = []
    for condition in scores.conditions:
        cells = scores.cells(condition)
        errors = scores.cells(condition, metric="error").of_speakers() if scores.unit_of_error else {}
        for language in ("all", *sorted({language for language, _ in scores.units})):
            values = {key: value for key, value in cells.of_speakers().items() if language in ("all", key[0])}
            if values:
                reached = effect(values, fisher=True)
                error = effect({key: errors[key] for key in values}).mean if errors else None
                rows.append({"condition": condition.name, "language": language, "r": reached.mean, "low": reached.low,
                             "high": reached.high, "error": error, "speakers": reached.n})  # fmt: skip
    columns = (
        Column("condition"), Column("language"), Column("r", "r"), Column("low", "r"), Column("high", "r"),
        Column("error", scores.unit_of_error, "error, static offsets aside"), Column("speakers"),
    )  # fmt: skip
    return Table("conditions", "r by what the heads know, over known utterances of one set", columns, tuple(rows))


def _training(arms: Sequence[Arm]) -> Table:
    rows = []
    for condition in CONDITIONS:
        own = [arm for arm in arms if arm.condition == condition]
        shares = [arm.shares(unit) for arm in own for unit in arm.tested]
        for fold in sorted({arm.fold for arm in own}):
            minutes = [arm.minutes for arm in own if arm.fold == fold]
            rows.append({"condition": condition.name, "fold": fold, "sets": len(minutes), "least": min(minutes),
                         "most": max(minutes), "of_language": sum(language for language, _ in shares) / len(shares),
                         "of_speaker": sum(speaker for _, speaker in shares) / len(shares)})  # fmt: skip
    columns = (
        Column("condition"), Column("fold", "", "fold of sentences"), Column("sets", "", "training sets"),
        Column("least", "min", "minutes, the fewest"), Column("most", "min", "minutes, the most"),
        Column("of_language", "min", "of the test language, on average"),
        Column("of_speaker", "min", "of the test speaker, on average"),
    )  # fmt: skip
    return Table("training", "What heads learned from", columns, tuple(rows))


def _layers(scores: Factorial) -> Table:
    rows = []
    for layer in scores.labels:
        for condition in scores.conditions:
            if values := scores.cells(condition, layer).of_speakers():
                reached = effect(values, fisher=True)
                rows.append({"layer": layer, "condition": condition.name, "r": reached.mean, "low": reached.low,
                             "high": reached.high})  # fmt: skip
    columns = (Column("layer"), Column("condition"), Column("r", "r"), Column("low", "r"), Column("high", "r"))
    return Table("layers", "r of each layer by what the heads know", columns, tuple(rows))


def _profile(scores: Factorial) -> Figure:
    rows = _layers(scores).rows
    series = tuple(
        Series(
            condition.name,
            tuple(
                [row["layer"], row["r"], row["low"], row["high"]] for row in rows if row["condition"] == condition.name
            ),
        )
        for condition in scores.conditions
    )
    return Figure("layers", "r against the layer, by what the heads know", "layer", "r", series)


def _choices(scores: Factorial) -> Table:
    count = Counter(scores.layer_of.values())
    rows = tuple({"layer": layer, "times": count[layer]} for layer in scores.labels if layer in count)
    title = "Layers that validation chose, by the heads that know least of each language and speaker in each fold"
    return Table("choices", title, (Column("layer"), Column("times", "", "times chosen")), rows)


def _bars(scores: Factorial) -> Figure:
    points = []
    for condition in scores.conditions:
        reached = effect(scores.cells(condition).of_speakers(), fisher=True)
        points.append([condition.name, reached.mean, reached.low, reached.high])
    title = "r by what the heads know, at equal minutes on the same utterances"
    return Figure("conditions", title, "heads", "r", (Series("r", tuple(points)),), "bars")


def _caveats(scores: Factorial, arms: Sequence[Arm], bench: Bench) -> Iterator[str]:
    minutes = [arm.minutes for arm in arms]
    by_fold = [[arm.minutes for arm in arms if arm.fold == fold] for fold in {arm.fold for arm in arms}]
    apart = max(max(own) / min(own) - 1 for own in by_fold)
    speakers, languages = ({unit[place] for unit in scores.units} for place in (1, 0))
    yield (
        f"Heads learn from {min(minutes):.1f} to {max(minutes):.1f} minutes, as many as the smallest condition of a fold "
        f"of sentences has; within folds, minutes differ by up to {100 * apart:.0f} %, as whole blocks are drawn. More "
        f"minutes may change what a language adds. {len(speakers)} speakers are the unit of every interval."
    )
    yield (
        "Heads that know the language have heard one language more, and heads that know the speaker one group of "
        "speakers more, in the same minutes."
    )
    for pair in _CONTRASTS.values():
        if not scores.difference(*pair).values:
            yield f"Of the four conditions not all exist: {scores.lacking(*pair)}."
    corpora = {language: {entry.corpus for entry in bench.entries.values() if entry.language == language}
               for language in languages}  # fmt: skip
    if len(bench.corpora) > 1 and (confounded := sorted(name for name, own in corpora.items() if len(own) == 1)):
        yield f"{', '.join(confounded)} are of one corpus each: device and laboratory are known with the language."
    lost, count = scores.undefined()
    if lost:
        yield f"r is undefined in {lost} of {count} channels of folds, which are left out under every condition."
