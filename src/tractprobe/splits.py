"""Which utterances a head learns from, is chosen on, and is tested on. Pure: entries and a seed in, ids out.

Nothing here looks at audio or movements. A sentence never lies on two sides: texts are compared without case, accents
kept, punctuation and spacing dropped. The order of entries does not matter, nor do utterances that other corpora add:
speakers and texts are drawn by the hash of the seed and their name.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tractprobe.errors import ConfigError
from tractprobe.prepared import Entry


@dataclass(frozen=True)
class Split:
    """Ids of utterances, sorted.

    Attributes
    ----------
    train
        What heads are fitted on while something is being chosen.
    validation
        What choices (alpha, epoch) are made on; disjoint from ``train`` in speaker, where there is more than one, and
        in text. Empty where the development side is too small to be divided.
    development
        All that is not kept from the fit: ``train``, ``validation`` and what keeping them apart leaves unused. A closed
        form is refitted on it once its choices are made.
    test
        What is reported; it shares with ``development`` neither what was held out nor, by default, any text.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    development: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class SplitRule:
    """How ``held_out`` is understood.

    Attributes
    ----------
    by
        ``language``, ``speaker`` or ``corpus``: all of the one that ``held_out`` names is kept for the test.
        ``sentence``: the texts of one fold, ``held_out=fold0`` to ``fold<folds - 1>``, are; languages and speakers are
        then known from training, which makes it the ceiling for transfer.
    default_held_out
        The value of ``held_out`` when none is given; ``None`` if it must be.
    disjoint_text
        Whether sentences that occur on both sides are taken from one of them.
    shared_texts_tested
        The part of such sentences that stays with the test and leaves training; the others go the other way.
    validation_speakers, validation_texts
        The part of the development side's speakers, and of the texts they share with others, that make the validation.
    folds
        Into how many parts ``by=sentence`` divides the texts.
    """

    by: Literal["language", "speaker", "sentence", "corpus"]
    default_held_out: str | None = None
    disjoint_text: bool = True
    shared_texts_tested: float = 1.0
    validation_speakers: float = 0.25
    validation_texts: float = 0.2
    folds: int = 5

    def __post_init__(self):
        if self.by not in ("language", "speaker", "sentence", "corpus"):
            raise ConfigError(f"split.by={self.by}: language, speaker, sentence or corpus")
        for name in ("shared_texts_tested", "validation_speakers", "validation_texts"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"split.{name}={getattr(self, name)}: more than 0, at most 1")
        if self.folds < 2:
            raise ConfigError(f"split.folds={self.folds}: at least 2")

    def __call__(self, entries: Sequence[Entry], held_out: str | None, seed: int) -> Split:
        """Divide the entries; ConfigError if ``held_out`` names nothing or leaves nothing to learn from."""
        if self.disjoint_text and (silent := [entry.id for entry in entries if not _normal(entry.text)]):
            raise ConfigError(
                f"{len(silent)} utterances have no text (the first: {silent[0]}), so that no split can promise "
                "disjoint sentences; give texts, or split.disjoint_text=false"
            )
        chosen = self._held_out(entries, held_out, seed)
        test, development = self._apart(entries, chosen, self.shared_texts_tested, seed)
        if not development:
            raise ConfigError(
                f"held_out={held_out} leaves nothing to learn from"
                + (": every other utterance shares its sentence with the test (split.disjoint_text=false allows that)"
                   if self.disjoint_text and len(chosen) < len(entries) else "")
            )  # fmt: skip
        validation, train = self._validation(development, seed)
        split = Split(*(_ids(part) for part in (train, validation, development, test)))
        self._check(split, entries, chosen)
        return split

    def _held_out(self, entries: Sequence[Entry], held_out: str | None, seed: int) -> set[str]:
        if self.by == "sentence":
            return self._fold(entries, held_out, seed)
        values = {entry.id: _aliases(entry, self.by) for entry in entries}
        chosen = {id_ for id_, names in values.items() if held_out in names}
        matched = {values[id_][0] for id_ in chosen}
        if len(matched) != 1:
            known = ", ".join(sorted({names[0] for names in values.values()}))
            problem = f"more than one {self.by}: {', '.join(sorted(matched))}" if matched else f"no {self.by}"
            raise ConfigError(f"held_out={held_out} names {problem}; there are {known}")
        return chosen

    def _fold(self, entries: Sequence[Entry], held_out: str | None, seed: int) -> set[str]:
        names = [f"fold{number}" for number in range(self.folds)]
        if held_out not in names:
            raise ConfigError(f"held_out={held_out}: with split=sentence it is one of {', '.join(names)}")
        number, chosen = names.index(held_out), set()
        for same_language in _by_language(entries).values():
            texts = _drawn({sentence(entry) for entry in same_language}, seed)
            tested = set(texts[number :: self.folds])
            chosen |= {entry.id for entry in same_language if sentence(entry) in tested}
        if not chosen:
            raise ConfigError(f"held_out={held_out} is empty: too few texts for {self.folds} folds (split.folds)")
        return chosen

    def _apart(
        self, entries: Sequence[Entry], chosen: set[str], fraction: float, seed: int
    ) -> tuple[list[Entry], list[Entry]]:
        """Divide into chosen and others; of the texts on both sides, ``fraction`` stays with the chosen."""
        inside = [entry for entry in entries if entry.id in chosen]
        outside = [entry for entry in entries if entry.id not in chosen]
        if not self.disjoint_text:
            return inside, outside
        elsewhere = {sentence(entry) for entry in outside}
        kept: set[str] = set()
        for same_language in _by_language(inside).values():
            shared = {sentence(entry) for entry in same_language} & elsewhere
            kept |= set(_drawn(shared, seed)[: _part(len(shared), fraction)])
        return (
            [entry for entry in inside if sentence(entry) in kept or sentence(entry) not in elsewhere],
            [entry for entry in outside if sentence(entry) not in kept],
        )

    def _validation(self, development: Sequence[Entry], seed: int) -> tuple[list[Entry], list[Entry]]:
        speakers = {entry.speaker for entry in development}
        if len(speakers) > 1:
            drawn = set(_drawn(speakers, seed)[: _part(len(speakers), self.validation_speakers)])
            if drawn == speakers:
                drawn = set(_drawn(speakers, seed)[:1])
            chosen = {entry.id for entry in development if entry.speaker in drawn}
        else:
            texts = {sentence(entry) for entry in development}
            few = set(_drawn(texts, seed)[: _part(len(texts), self.validation_texts)])
            chosen = {entry.id for entry in development if sentence(entry) in few}
        validation, train = self._apart(development, chosen, self.validation_texts, seed)
        return (validation, train) if train else ([], list(development))

    def _check(self, split: Split, entries: Sequence[Entry], chosen: set[str]) -> None:
        by_id = {entry.id: entry for entry in entries}
        assert set(split.test) <= chosen and not set(split.development) & chosen
        assert set(split.train) | set(split.validation) <= set(split.development)
        sides = [(split.development, split.test), (split.train, split.validation)]
        for left, right in sides:
            assert not set(left) & set(right)
            if self.disjoint_text:
                assert not _texts(by_id, left) & _texts(by_id, right)
        if len({by_id[id_].speaker for id_ in split.development}) > 1:
            assert not {by_id[id_].speaker for id_ in split.train} & {by_id[id_].speaker for id_ in split.validation}
        if self.by in ("language", "speaker", "corpus"):
            held = {getattr(by_id[id_], self.by) for id_ in split.test}
            assert not held & {getattr(by_id[id_], self.by) for id_ in split.development}


def _aliases(entry: Entry, by: str) -> tuple[str, ...]:
    """Return what ``held_out`` may call an entry by, the full name first; a speaker also goes without its corpus."""
    name = getattr(entry, by)
    return (name, name.removeprefix(f"{entry.corpus}/")) if by == "speaker" else (name,)


def _normal(text: str) -> str:
    """Return a text as sentences are compared.

    >>> _normal("The  Birch-canoe, slid!") == _normal("the birch canoe slid")
    True
    """
    folded = unicodedata.normalize("NFC", text).casefold()
    # Letters, numbers and marks: the vowel signs of many scripts are marks.
    kept = (letter if unicodedata.category(letter)[0] in "LNM" else " " for letter in folded)
    return " ".join("".join(kept).split())


def sentence(entry: Entry) -> str:
    """Return what makes two utterances the same sentence; one without text is like no other."""
    return _normal(entry.text) or f" {entry.id}"


def _drawn(names: Iterable[str], seed: int) -> list[str]:
    """Return the names in an order that depends on the seed and on nothing but each name itself."""
    return sorted(names, key=lambda name: (hashlib.sha256(f"{seed}:{name}".encode()).digest(), name))


def _part(count: int, fraction: float) -> int:
    return max(1, round(count * fraction)) if count else 0


def _by_language(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.language, []).append(entry)
    return groups


def _ids(entries: Iterable[Entry]) -> tuple[str, ...]:
    return tuple(sorted(entry.id for entry in entries))


def _texts(by_id: dict[str, Entry], ids: Iterable[str]) -> set[str]:
    return {sentence(by_id[id_]) for id_ in ids}
