"""What heads learn from and are tested on: speech, and babble, which obeys the physics and belongs to no language.

Sentences of speech are dealt into folds, and so are stretches of babble, those of each kind alike. In each fold there
are two heads, one that learned speech and one that learned babble, from equally many minutes; both are tested on the
fold's speech and on each kind of its babble. So conditions differ in nothing but what was learned and what is tested:
speakers are known in all of them, and no sentence or stretch lies on both sides.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from tractprobe.corpora.languages import NO_LANGUAGE
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.corpora.prepared.texts import sentence
from tractprobe.data.splits import Split, SplitRule, in_folds
from tractprobe.evidence.record import DoesNotApply

SPEECH, OF_ANY_KIND = "speech", "babble"
_OTHER = "babble_other"


class Case(NamedTuple):
    """A head and its test, in one fold.

    Attributes
    ----------
    learned
        ``speech`` or ``babble``.
    tested
        ``speech``, or a kind of babble, such as ``babble_a``; ``babble_other`` where the kind is not labelled.
    """

    learned: str
    tested: str
    fold: int

    @property
    def condition(self) -> tuple[str, str]:
        """What several folds have in common."""
        return self.learned, self.tested


def kind_of(entry: Entry) -> str:
    """Return ``speech``, or which babble an utterance is, by its label ``kind`` if that names one."""
    if entry.language != NO_LANGUAGE:
        return SPEECH
    kind = entry.labels.get("kind", "")
    return kind if re.fullmatch("babble_[a-z0-9]{1,16}", kind) else _OTHER


@dataclass(frozen=True)
class Babbled:
    """How speech and babble are divided.

    Attributes
    ----------
    folds
        Into how many parts sentences and stretches are dealt; each part is tested once.
    train_min
        Minutes that each head learns from; ``None`` for as many as the smaller side has in every fold.
    """

    folds: int
    train_min: float | None

    def __call__(self, entries: Sequence[Entry], rule: SplitRule, seed: int) -> dict[Case, Split]:
        """Return the split of each case.

        Parameters
        ----------
        rule
            By which development sides are divided to choose layers and penalties.

        Raises
        ------
        DoesNotApply
            There is no babble, or nothing but babble.
        """
        sides = {
            SPEECH: [entry for entry in entries if entry.language != NO_LANGUAGE],
            OF_ANY_KIND: [entry for entry in entries if entry.language == NO_LANGUAGE],
        }
        for name, side in sides.items():
            if len({sentence(entry) for entry in side}) < self.folds:
                raise DoesNotApply(f"too little {name} for {self.folds} folds (language {NO_LANGUAGE} is babble)")
        parts = {id_: part for side in sides.values() for id_, part in _dealt(side, self.folds, seed).items()}
        minutes = self.train_min or min(
            _minutes(entry for entry in side if parts[entry.id] != fold)
            for side in sides.values() for fold in range(self.folds)
        )  # fmt: skip
        limited = replace(rule, train_min=minutes)
        splits: dict[Case, Split] = {}
        for fold in range(self.folds):
            test: dict[str, list[Entry]] = {}
            for entry in entries:
                if parts[entry.id] == fold:
                    test.setdefault(kind_of(entry), []).append(entry)
            for learned, side in sides.items():
                development = [entry for entry in side if parts[entry.id] != fold]
                common = limited.of_sides(development, [], seed)
                learned_texts = {sentence(entry) for entry in development}
                for tested, chosen in sorted(test.items()):
                    assert not learned_texts & {sentence(entry) for entry in chosen}
                    splits[Case(learned, tested, fold)] = replace(
                        common, test=tuple(sorted(entry.id for entry in chosen))
                    )
        return splits


def _dealt(side: Sequence[Entry], folds: int, seed: int) -> dict[str, int]:
    """Return the fold of each utterance; sentences of a language, and stretches of a kind, are dealt alike.

    A text that several kinds share is dealt once, with the first of them.
    """
    by_kind: dict[str, list[Entry]] = {}
    for entry in side:
        by_kind.setdefault(kind_of(entry), []).append(entry)
    fold_of: dict[str, int] = {}
    for _, same in sorted(by_kind.items()):
        fold_of = in_folds(same, folds, seed) | fold_of
    return {entry.id: fold_of[sentence(entry)] for entry in side}


def _minutes(entries: Iterable[Entry]) -> float:
    return sum(entry.duration_s for entry in entries) / 60


def minutes_learned(splits: Mapping[Case, Split], entries: Mapping[str, Entry]) -> dict[str, tuple[float, float]]:
    """Return the fewest and the most minutes that heads of each kind learned from."""
    learned: dict[str, list[float]] = {}
    for case, split in splits.items():
        learned.setdefault(case.learned, []).append(_minutes(entries[id_] for id_ in split.development))
    return {name: (min(of), max(of)) for name, of in learned.items()}
