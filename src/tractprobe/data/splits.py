"""Which utterances a head learns from, is chosen on, and is tested on. Pure: entries and a seed in, ids out.

Nothing here looks at audio or movements. A sentence never lies on two sides: texts are compared without case,
punctuation and spacing, but with accents (``texts``). The order of entries does not matter, nor do utterances of other
corpora: speakers and texts are drawn by the hash of the seed and their name.

What has no linguistic content (zxx, babble) is learned from only where nothing else is left to learn from: so
``held_out=it`` is the same with babble in the corpora as without, ``held_out=zxx`` is babble read by heads of all
languages, and with ``split.by=kind`` ``held_out=speech`` is speech read by heads of babble alone.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal

from tractprobe.corpora.languages import is_language
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.corpora.prepared.texts import drawn_as, sentence, silent
from tractprobe.data.axes import JOINED, HeldOut, aliases, axes_of, check_labelled, held_out_of, labelled, values
from tractprobe.system.errors import ConfigError

_ROUNDING_S = 1e-6


@dataclass(frozen=True)
class Fold:
    """Ids to fit on and ids to choose on, disjoint in text and, where there is more than one, in speaker."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """Ids of utterances, sorted.

    Attributes
    ----------
    development
        All that may be learned from. A closed form is refitted on it once its choices are made.
    test
        What is reported; it shares with ``development`` neither what was held out nor, by default, any text.
    folds
        Divisions of ``development`` to make choices on; each speaker is in the validation of one of them. Empty if
        ``development`` is too small to be divided. What a fold leaves out to stay disjoint is used by others.
    """

    development: tuple[str, ...]
    test: tuple[str, ...]
    folds: tuple[Fold, ...] = ()

    @property
    def train(self) -> tuple[str, ...]:
        """What is fitted on where only one division is used: the first fold's."""
        return self.folds[0].train if self.folds else self.development

    @property
    def validation(self) -> tuple[str, ...]:
        """What choices are made on where only one division is used: the first fold's."""
        return self.folds[0].validation if self.folds else ()

    def within(self, ids: Collection[str]) -> "Split":
        """Return the split of some utterances alone; folds of which a side is then empty are left out."""
        kept = set(ids)

        def of(side: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(id_ for id_ in side if id_ in kept)

        folds = tuple(Fold(of(fold.train), of(fold.validation)) for fold in self.folds)
        return Split(
            of(self.development), of(self.test), tuple(fold for fold in folds if fold.train and fold.validation)
        )


@dataclass(frozen=True)
class SplitRule:
    """How ``held_out`` is understood.

    Attributes
    ----------
    by
        ``language``, ``speaker``, ``corpus`` or the name of a label, such as ``gender``: everything of the one that
        ``held_out`` names is kept for the test, or of all that it names (``F04+M04``). Several of these joined by a
        colon are crossed: with ``language:speaker`` and ``it:m1``, what m1 says in Italian is tested, and neither
        Italian nor m1 is learned from.
        ``sentence``: the texts of one fold are, ``held_out=fold0`` to ``fold<folds - 1>``; languages and speakers then
        occur in training, which makes this the ceiling for transfer.
    default_held_out
        The value of ``held_out`` when none is given; ``None`` if one must be given.
    disjoint_text
        Whether sentences that occur on both sides are removed from one of them.
    shared_texts_tested
        The share of such sentences that stays in the test and leaves training; the others stay in training.
    folds
        Into how many parts ``by=sentence`` divides the texts.
    validation_folds
        How many divisions of the development side there are, at most one for each speaker.
    train_min
        Minutes of speech to learn from, drawn from the development side so that more minutes include fewer; ``None``
        for all.
    unlabelled
        What becomes of utterances that lack the label ``by``: an ``error``, or they are ``left_out`` of everything.
    """

    by: str
    default_held_out: str | None = None
    disjoint_text: bool = True
    shared_texts_tested: float = 1.0
    folds: int = 5
    validation_folds: int = 5
    train_min: float | None = None
    unlabelled: Literal["error", "left_out"] = "error"

    def __post_init__(self):
        if self.by == "label":
            raise ConfigError("split=label: give split.by=<the name of a label>, such as gender or style")
        axes_of(self.by)
        if self.unlabelled not in ("error", "left_out"):
            raise ConfigError(f"split.unlabelled={self.unlabelled}: expected error or left_out")
        if not 0 < self.shared_texts_tested <= 1:
            raise ConfigError(f"split.shared_texts_tested={self.shared_texts_tested}: must be above 0 and at most 1")
        if min(self.folds, self.validation_folds) < 2:
            raise ConfigError("split.folds and split.validation_folds must be at least 2")
        if self.train_min is not None and not self.train_min > 0:
            raise ConfigError(f"split.train_min={self.train_min}: must be above 0, or null")

    def __call__(self, entries: Sequence[Entry], held_out: str | None, seed: int) -> Split:
        """Divide the entries; ConfigError if ``held_out`` names nothing or leaves nothing to learn from."""
        entries = self._labelled(entries)
        if self.disjoint_text and (lacking := silent(entries)):
            raise ConfigError(
                f"{len(lacking)} utterances have no text (the first: {lacking[0]}), so no split can promise "
                "disjoint sentences; give texts, or split.disjoint_text=false"
            )
        named = self._held_out(entries, held_out, seed)
        chosen = named.tested
        entries = learned_from_speech([entry for entry in entries if entry.id not in named.aside], chosen)
        test, development = self._apart(entries, chosen, self._tested(entries, chosen, seed))
        if not development:
            reason = "every other utterance shares its sentence with the test (split.disjoint_text=false allows that)"
            if len(chosen) == len(entries):
                reason = f"all there is, {len(entries)} utterance{'s' * (len(entries) != 1)}, would be tested"
            raise ConfigError(f"held_out={held_out} leaves nothing to learn from: {reason}")
        development = self._limited(development, seed)
        split = Split(_ids(development), _ids(test), self._folds(development, seed))
        self._check(split, entries, chosen)
        return split

    def of_sides(self, development: Sequence[Entry], test: Sequence[Entry], seed: int) -> Split:
        """Return the split of two sides that are given, with ``train_min`` drawn and the divisions to choose on.

        Raises
        ------
        ConfigError
            There is less to learn from than ``train_min``.
        """
        development = self._limited(list(development), seed)
        split = Split(_ids(development), _ids(test), self._folds(development, seed))
        assert not set(split.development) & set(split.test)
        if self.disjoint_text:
            assert not {sentence(entry) for entry in development} & {sentence(entry) for entry in test}
        return split

    def values(self, entries: Sequence[Entry]) -> list[str]:
        """Return every value that ``held_out`` can have."""
        if self.by == "sentence":
            return [f"fold{number}" for number in range(self.folds)]
        return values(self._labelled(entries), self.by)

    def _labelled(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Return the utterances that have what the split is by; ConfigError if others are not to be left out."""
        if self.by == "sentence":
            return entries
        if self.unlabelled == "error" or not (own := labelled(entries, self.by)):
            check_labelled(entries, self.by)
            return entries
        return own

    def _held_out(self, entries: Sequence[Entry], held_out: str | None, seed: int) -> HeldOut:
        if self.by == "sentence":
            return HeldOut(frozenset(self._sentences(entries, held_out, seed)))
        return held_out_of(entries, self.by, held_out)

    def _sentences(self, entries: Sequence[Entry], held_out: str | None, seed: int) -> set[str]:
        names = [f"fold{number}" for number in range(self.folds)]
        asked = [] if held_out is None else held_out.split(JOINED)
        if not asked or not set(asked) <= set(names) or len(set(asked)) < len(asked):
            raise ConfigError(f"held_out={held_out}: with split=sentence expected one of {', '.join(names)}")
        texts = set().union(*(_text_fold(entries, names.index(name), self.folds, seed) for name in asked))
        chosen = {entry.id for entry in entries if sentence(entry) in texts}
        if not chosen:
            raise ConfigError(f"held_out={held_out} is empty: too few texts for {self.folds} folds (split.folds)")
        return chosen

    def _tested(self, entries: Sequence[Entry], chosen: Set[str], seed: int) -> set[str]:
        """Return which of the sentences on both sides stay in the test: the same share of each language."""
        elsewhere = {sentence(entry) for entry in entries if entry.id not in chosen}
        tested: set[str] = set()
        for same_language in _by_language(entry for entry in entries if entry.id in chosen):
            shared = {text: name for text, name in drawn_as(same_language).items() if text in elsewhere}
            tested |= set(_drawn(shared, seed)[: max(1, round(len(shared) * self.shared_texts_tested))])
        return tested

    def _apart(self, entries: Sequence[Entry], chosen: Set[str], stay: Set[str]) -> tuple[list[Entry], list[Entry]]:
        """Divide into chosen and others; a sentence on both sides stays with the chosen if it is in ``stay``."""
        inside = [entry for entry in entries if entry.id in chosen]
        outside = [entry for entry in entries if entry.id not in chosen]
        if not self.disjoint_text:
            return inside, outside
        elsewhere = {sentence(entry) for entry in outside}
        inside = [entry for entry in inside if sentence(entry) in stay or sentence(entry) not in elsewhere]
        kept = {sentence(entry) for entry in inside}
        return inside, [entry for entry in outside if sentence(entry) not in kept]

    def _limited(self, development: list[Entry], seed: int) -> list[Entry]:
        """Return as many utterances as ``train_min`` asks for; ConfigError if there are not enough."""
        if self.train_min is None:
            return development
        by_id, chosen, seconds = {entry.id: entry for entry in development}, [], 0.0
        for id_ in _drawn(by_id.keys(), seed):
            if seconds >= 60 * self.train_min - _ROUNDING_S:
                return chosen
            chosen.append(by_id[id_])
            seconds += by_id[id_].duration_s
        if seconds < 60 * self.train_min - _ROUNDING_S:
            raise ConfigError(f"split.train_min={self.train_min}: there are only {seconds / 60:.1f} min to learn from")
        return chosen

    def _folds(self, development: Sequence[Entry], seed: int) -> tuple[Fold, ...]:
        """Put every speaker, or with one speaker every sentence, into the validation of one fold."""
        speakers = _drawn({entry.speaker for entry in development}, seed)
        count = min(self.validation_folds, len(speakers)) if len(speakers) > 1 else self.validation_folds
        folds = []
        for number in range(count):
            texts = _text_fold(development, number, count, seed)
            group = set(speakers[number::count]) if len(speakers) > 1 else set(speakers)
            chosen = {entry.id for entry in development if entry.speaker in group}
            if len(speakers) == 1:
                chosen = {entry.id for entry in development if sentence(entry) in texts}
            validation, train = self._apart(development, chosen, texts)
            if train and validation:
                folds.append(Fold(_ids(train), _ids(validation)))
        return tuple(folds)

    def _check(self, split: Split, entries: Sequence[Entry], chosen: Set[str]) -> None:
        by_id = {entry.id: entry for entry in entries}
        assert split.test and set(split.test) <= chosen and not set(split.development) & chosen
        for left, right in [(split.development, split.test), *((fold.train, fold.validation) for fold in split.folds)]:
            assert not set(left) & set(right)
            if self.disjoint_text:
                assert not {sentence(by_id[id_]) for id_ in left} & {sentence(by_id[id_]) for id_ in right}
        several = len({by_id[id_].speaker for id_ in split.development}) > 1
        for fold in split.folds:
            assert set(fold.train) | set(fold.validation) <= set(split.development)
            if several:
                assert not {by_id[id_].speaker for id_ in fold.train} & {by_id[id_].speaker for id_ in fold.validation}
        for axis in () if self.by == "sentence" else axes_of(self.by):
            tested, learned = ({aliases(by_id[id_], axis) for id_ in side} for side in (split.test, split.development))
            assert not tested & learned


def learned_from_speech(entries: Sequence[Entry], tested: Collection[str]) -> list[Entry]:
    """Return what is tested and what may be learned from: babble (zxx) only if no language is left to learn from."""
    spoken = {entry.id for entry in entries if is_language(entry.language)}
    if spoken <= set(tested):
        return list(entries)
    return [entry for entry in entries if entry.id in tested or entry.id in spoken]


def _drawn(names: Iterable[str] | Mapping[str, str], seed: int) -> list[str]:
    """Return the names in an order in which each one's place depends on the seed and itself alone.

    Parameters
    ----------
    names
        Names, or what is drawn to its name.
    """
    name_of = names if isinstance(names, Mapping) else {name: name for name in names}
    return sorted(
        name_of, key=lambda drawn: (hashlib.sha256(f"{seed}:{name_of[drawn]}".encode()).digest(), name_of[drawn])
    )


def _text_fold(entries: Sequence[Entry], number: int, count: int, seed: int) -> set[str]:
    """Return the sentences of one of ``count`` folds, into which those of each language are dealt."""
    texts: set[str] = set()
    for same_language in _by_language(entries):
        texts |= set(_drawn(drawn_as(same_language), seed)[number::count])
    return texts


def _by_language(entries: Iterable[Entry]) -> list[list[Entry]]:
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.language, []).append(entry)
    return list(groups.values())


def _ids(entries: Iterable[Entry]) -> tuple[str, ...]:
    return tuple(sorted(entry.id for entry in entries))
