"""Sentences dealt into blocks, from which analyses draw what heads learn from and what they are tested on.

Sentences of each language are dealt into blocks; what one speaker says of one block is the smallest part that is drawn,
so that a corpus of any size needs few groups of moments. A fold of blocks is tested at a time, and no sentence of it is
learned from, in any language.

Parts are drawn from one order, in which every speaker and language comes up in proportion: with ``T`` minutes of a
speaker in a language, of which ``t`` come before a part of ``d`` minutes, it stands at ``(t + d / 2) / T``. What is
learned from is the beginning of this order, without what a condition excludes.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import Any

from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.corpora.prepared.texts import drawn_as, sentence, silent
from tractprobe.data.splits import Fold
from tractprobe.system.errors import ConfigError

Unit = tuple[str, str]
"""A language and a speaker."""


@dataclass(frozen=True)
class Part:
    """What one speaker says of one block of one language's sentences."""

    unit: Unit
    block: int
    ids: tuple[str, ...]
    minutes: float


@dataclass(frozen=True)
class Dealing:
    """How sentences and speakers are dealt.

    Attributes
    ----------
    text_folds
        Into how many folds sentences are dealt, each of which is tested in turn.
    blocks
        Into how many blocks the sentences of a fold are dealt: what is drawn.
    speaker_folds
        Into how many groups speakers are dealt at most; those of one are new together.
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

    @property
    def dealing(self) -> dict[str, Any]:
        """These settings alone, without those of a class that has more."""
        return {each.name: getattr(self, each.name) for each in fields(Dealing)}

    def parts(self, entries: Sequence[Entry], seed: int) -> list[Part]:
        """Return all parts; ConfigError if utterances have no text where they must."""
        if self.disjoint_text and (lacking := silent(entries)):
            raise ConfigError(
                f"{len(lacking)} utterances have no text (the first: {min(lacking)}), so no design can promise "
                "disjoint sentences; give texts, or disjoint_text=false"
            )
        return dealt(entries, self.text_folds * self.blocks, seed)

    def is_tested(self, part: Part, fold: int) -> bool:
        """Whether a part is of the fold of sentences that is tested."""
        return part.block % self.text_folds == fold


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
