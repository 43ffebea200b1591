"""A 2 x 2 of what heads have learned from: the test language or not, and the test speaker or not.

All four are trained on equally many minutes and tested on the same utterances, dealt as ``blocks`` says. Each learns
from the beginning of one order of parts, without what its condition excludes, up to as many minutes as the smallest of
all conditions has. So the conditions share whatever they can (they are nested), and differ in the rest alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.data.blocks import Dealing, Part, Unit, beginning, folds_of, ids_of, in_order, in_proportion, minutes_in
from tractprobe.data.splits import Split
from tractprobe.system.errors import ConfigError


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
class CrossedRule(Dealing):
    """How the 2 x 2 is drawn."""

    def __call__(self, entries: Sequence[Entry], seed: int) -> list[Arm]:
        """Return all training sets; ConfigError if utterances have no text, or if no contrast can be drawn."""
        parts = self.parts(entries, seed)
        arms = [arm for fold in range(self.text_folds) for arm in self._of_fold(parts, fold, seed)]
        if len({arm.condition for arm in arms}) < 2:
            raise ConfigError("the corpora have one speaker of one language, or too few sentences: nothing to compare")
        return arms

    def _of_fold(self, parts: Sequence[Part], fold: int, seed: int) -> list[Arm]:
        tested = [part for part in parts if self.is_tested(part, fold)]
        learned = in_proportion([part for part in parts if not self.is_tested(part, fold)], seed)
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
