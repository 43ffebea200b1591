"""A 2 x 2 of what heads have learned from: the test language or not, and the test speaker or not.

All four are trained on equally many minutes and tested on the same utterances. Sentences of each language are dealt
into blocks; what one speaker says of one block is the smallest part that is drawn, so that a corpus of any size needs
few groups of moments. A fold of blocks is tested at a time, and no sentence of it is learned from, in any language.

Parts are drawn from one order, in which every speaker and language comes up in proportion: with ``T`` minutes of a
speaker in a language, of which ``t`` come before a part of ``d`` minutes, it stands at ``(t + d / 2) / T``. What is
learned from is the beginning of this order, without what a condition excludes, up to as many minutes as the smallest of
all conditions has. So the conditions share whatever they can (they are nested), and differ in the rest alone.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.corpora.prepared.texts import drawn_as, sentence, silent
from tractprobe.data.splits import Fold, Split
from tractprobe.system.errors import ConfigError

Unit = tuple[str, str]
"""A language and a speaker."""


@dataclass(frozen=True)
class Condition:
    """What the heads know of what they are tested on."""

    language: bool
    speaker: bool

    @property
    def name(self) -> str:
        """Such as ``known language, new speaker``."""
        return f"{'known' if self.language else 'new'} language, {'known' if self.speaker else 'new'} speaker"


CONDITIONS = tuple(Condition(language, speaker) for language in (True, False) for speaker in (True, False))
BOTH, LANGUAGE_ONLY, SPEAKER_ONLY, NEITHER = CONDITIONS


@dataclass(frozen=True)
class Arm:
    """One training set of the design, and what is tested under it.

    Attributes
    ----------
    fold
        Which fold of sentences is tested.
    tested
        Languages and speakers for which the training set is one of the condition.
    minutes
        Learned from.
    minutes_of
        Of these, by language and speaker.
    """

    condition: Condition
    fold: int
    split: Split
    tested: frozenset[Unit]
    minutes: float
    minutes_of: dict[Unit, float] = field(hash=False)

    def shares(self, unit: Unit) -> tuple[float, float]:
        """Return the minutes of a unit's language, and of its speaker, in any language."""
        language, speaker = unit
        return (
            sum(minutes for (own, _), minutes in self.minutes_of.items() if own == language),
            sum(minutes for (_, own), minutes in self.minutes_of.items() if own == speaker),
        )


@dataclass(frozen=True)
class Part:
    """What one speaker says of one block of one language's sentences."""

    unit: Unit
    block: int
    ids: tuple[str, ...]
    minutes: float


@dataclass(frozen=True)
class CrossedRule:
    """How the 2 x 2 is drawn.

    Attributes
    ----------
    text_folds
        Into how many folds sentences are dealt, each of which is tested in turn.
    blocks
        Into how many blocks the sentences of a fold are dealt.
    speaker_folds
        Into how many folds speakers are dealt at most, which are new together.
    validation_folds
        Divisions of each training set to make choices on, disjoint in speaker and sentence.
    train_min
        Minutes to learn from; ``None`` for as many as there can be.
    disjoint_text
        Whether utterances without a text are an error, as no design can then promise what it says of sentences;
        otherwise each of these is a sentence of its own.
    """

    text_folds: int = 3
    blocks: int = 2
    speaker_folds: int = 8
    validation_folds: int = 3
    train_min: float | None = None
    disjoint_text: bool = True

    def __post_init__(self):
        if min(self.text_folds, self.speaker_folds, self.validation_folds) < 2 or self.blocks < 1:
            raise ConfigError("text_folds, speaker_folds and validation_folds must be at least 2, blocks at least 1")
        if self.train_min is not None and not self.train_min > 0:
            raise ConfigError(f"train_min={self.train_min}: must be above 0, or null")

    def __call__(self, entries: Sequence[Entry], seed: int) -> list[Arm]:
        """Return all training sets; ConfigError if utterances have no text, or if no contrast can be drawn."""
        if self.disjoint_text and (lacking := silent(entries)):
            raise no_text(lacking)
        parts = dealt(entries, self.text_folds * self.blocks, seed)
        arms = [arm for fold in range(self.text_folds) for arm in self._of_fold(parts, fold, seed)]
        if len({arm.condition for arm in arms}) < 2:
            raise ConfigError("the corpora have one speaker of one language, or too few sentences: nothing to compare")
        return arms

    def _of_fold(self, parts: Sequence[Part], fold: int, seed: int) -> list[Arm]:
        tested = [part for part in parts if part.block % self.text_folds == fold]
        learned = in_proportion([part for part in parts if part.block % self.text_folds != fold], seed)
        asked = _conditions(parts, self.speaker_folds, seed)
        pools = [(condition, [part for part in learned if may(part)], of) for condition, may, of in asked]
        pools = [(condition, pool, of) for condition, pool, of in pools if pool]
        most = min((minutes_in(pool) for _, pool, _ in pools), default=0.0)
        if self.train_min is not None:
            if self.train_min > most:
                raise ConfigError(
                    f"train_min={self.train_min}: there are only {most:.2f} min in the smallest condition"
                )
            most = self.train_min
        arms = [self._arm(condition, fold, beginning(pool, most), tested, of, seed) for condition, pool, of in pools]
        return [arm for arm in arms if arm.tested and arm.split.development]

    def _arm(
        self, condition: Condition, fold: int, learned: list[Part], tested: Sequence[Part],
        of: Callable[[Unit], bool], seed: int,
    ) -> Arm:  # fmt: skip
        minutes_of: dict[Unit, float] = {}
        for part in learned:
            minutes_of[part.unit] = minutes_of.get(part.unit, 0.0) + part.minutes
        units = {unit for unit in {part.unit for part in tested} if of(unit) and _holds(condition, unit, minutes_of)}
        test = [part for part in tested if part.unit in units]
        split = Split(ids_of(learned), ids_of(test), folds_of(learned, self.validation_folds, seed))
        return Arm(condition, fold, split, frozenset(units), minutes_in(learned), minutes_of)


def no_text(lacking: Sequence[str]) -> ConfigError:
    """Return the error for utterances without a text."""
    return ConfigError(
        f"{len(lacking)} utterances have no text (the first: {min(lacking)}), so no design can promise "
        "disjoint sentences; give texts, or disjoint_text=false"
    )


def folds_of(learned: Sequence[Part], most: int, seed: int) -> tuple[Fold, ...]:
    """Divide a training set by speakers and blocks into ``most`` folds at most, or of one speaker by blocks alone."""
    speakers = in_order({part.unit[1] for part in learned}, seed)
    count = min(most, len(speakers)) if len(speakers) > 1 else most
    places = {block: place for place, block in enumerate(sorted({part.block for part in learned}))}
    folds = []
    for number in range(count):
        own = set(speakers[number::count]) if len(speakers) > 1 else set(speakers)
        kept = [part for part in learned if part.unit[1] in own and places[part.block] % count == number]
        others = set(speakers) - own if len(speakers) > 1 else own
        fitted = [part for part in learned if part.unit[1] in others and places[part.block] % count != number]
        if kept and fitted:
            folds.append(Fold(ids_of(fitted), ids_of(kept)))
    return tuple(folds)


def _conditions(
    parts: Sequence[Part], speaker_folds: int, seed: int
) -> list[tuple[Condition, Callable[[Part], bool], Callable[[Unit], bool]]]:
    """Return each condition with what may be learned from, and for what units that is the condition.

    Heads that know the language serve for all languages at once, those that know the speaker for all speakers.
    """
    languages = sorted({part.unit[0] for part in parts})
    speakers = in_order({part.unit[1] for part in parts}, seed)
    count = min(speaker_folds, len(speakers))
    groups = [frozenset(speakers[number::count]) for number in range(count)]
    asked: list[tuple[Condition, Callable[[Part], bool], Callable[[Unit], bool]]] = [
        (BOTH, lambda part: True, lambda unit: True)
    ]
    for group in groups:
        asked.append((LANGUAGE_ONLY, lambda part, g=group: part.unit[1] not in g, lambda unit, g=group: unit[1] in g))
    for name in languages:
        asked.append((SPEAKER_ONLY, lambda part, n=name: part.unit[0] != n, lambda unit, n=name: unit[0] == n))
    for name in languages:
        for group in groups:
            asked.append(
                (
                    NEITHER,
                    lambda part, n=name, g=group: part.unit[0] != n and part.unit[1] not in g,
                    lambda unit, n=name, g=group: unit[0] == n and unit[1] in g,
                )
            )
    return [each for each in asked if any(each[2](part.unit) for part in parts)]


def _holds(condition: Condition, unit: Unit, minutes_of: dict[Unit, float]) -> bool:
    """Whether what is learned from knows of a unit what the condition says, and no more."""
    language, speaker = unit
    knows_language = any(own == language for own, _ in minutes_of)
    knows_speaker = any(own == speaker for _, own in minutes_of)
    return (knows_language, knows_speaker) == (condition.language, condition.speaker)


def dealt(entries: Sequence[Entry], blocks: int, seed: int) -> list[Part]:
    """Deal the sentences of each language into blocks; a sentence of several languages lies in one block."""
    by_language: dict[str, list[Entry]] = {}
    for entry in entries:
        by_language.setdefault(entry.language, []).append(entry)
    block_of: dict[str, int] = {}
    for _, own in sorted(by_language.items()):
        names = drawn_as(own)
        for place, text in enumerate(in_order(names, seed, lambda text, names=names: names[text])):
            block_of.setdefault(text, place % blocks)
    parts: dict[tuple[Unit, int], list[Entry]] = {}
    for entry in entries:
        parts.setdefault(((entry.language, entry.speaker), block_of[sentence(entry)]), []).append(entry)
    return [
        Part(unit, block, tuple(sorted(one.id for one in own)), sum(sorted(one.duration_s for one in own)) / 60)
        for (unit, block), own in sorted(parts.items())
    ]


def in_proportion(parts: Sequence[Part], seed: int) -> list[Part]:
    """Return parts in an order of which any beginning has every unit in proportion."""
    by_unit: dict[Unit, list[Part]] = {}
    for part in parts:
        by_unit.setdefault(part.unit, []).append(part)
    placed: list[tuple[float, bytes, Part]] = []
    for own in by_unit.values():
        order = sorted(own, key=lambda part: _hash(_name(part), seed))
        ends = list(accumulate(part.minutes for part in order))
        placed += [
            ((end - part.minutes / 2) / ends[-1], _hash(_name(part), seed), part)
            for part, end in zip(order, ends, strict=True)
        ]
    return [part for *_, part in sorted(placed, key=lambda each: each[:2])]


def beginning(parts: Sequence[Part], minutes: float) -> list[Part]:
    """Return the first parts, up to where they are closest to so many minutes."""
    taken, total = list[Part](), 0.0
    for part in parts:
        if abs(total + part.minutes - minutes) > abs(total - minutes):
            break
        taken.append(part)
        total += part.minutes
    return taken


def _name(part: Part) -> str:
    return f"{part.unit[0]}:{part.unit[1]}:{part.block}"


def _hash(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def in_order(names: Iterable[str], seed: int, name_of: Callable[[str], str] = str) -> list[str]:
    return sorted(names, key=lambda name: (_hash(name_of(name), seed), name))


def minutes_in(parts: Iterable[Part]) -> float:
    return sum(part.minutes for part in parts)


def ids_of(parts: Iterable[Part]) -> tuple[str, ...]:
    return tuple(sorted(id_ for part in parts for id_ in part.ids))
