"""What can be held out: values of an axis of the data, several values at once, or cells of several axes.

An axis is ``language``, ``speaker``, ``corpus`` or the name of a label, such as ``gender``. Axes that are joined by a
colon are crossed: of ``language:speaker``, ``it:m1`` is what m1 says in Italian. Values that are joined by ``+``, or
given as a list, are held out together.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.system.errors import ConfigError

JOINED, CROSSED = "+", ":"
OF_EVERY_UTTERANCE = ("language", "speaker", "corpus")
_AXIS = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True)
class HeldOut:
    """Ids of utterances: what may be tested, and what stays out of training although it is not tested."""

    tested: frozenset[str]
    aside: frozenset[str] = frozenset()


def axes_of(by: str) -> tuple[str, ...]:
    """Return the axes that ``split.by`` names; ConfigError if it names none, or one twice.

    >>> axes_of("gender"), axes_of("language:speaker")
    (('gender',), ('language', 'speaker'))
    """
    axes = tuple(by.split(CROSSED)) if isinstance(by, str) else ()
    if not axes or not all(map(_AXIS.fullmatch, axes)) or len(set(axes)) < len(axes):
        expected = "language, speaker, corpus, the name of a label (gender, style ...), or several of these joined by :"
        raise ConfigError(f"split.by={by}: expected {expected}")
    if len(axes) > 1 and "sentence" in axes:
        raise ConfigError(f"split.by={by}: sentences are dealt into folds and not crossed with anything")
    return axes


def labelled(entries: Sequence[Entry], by: str) -> list[Entry]:
    """Return the utterances that have a value on every axis."""
    axes = axes_of(by)
    return [entry for entry in entries if all(aliases(entry, axis) for axis in axes)]


def check_labelled(entries: Sequence[Entry], by: str) -> None:
    """Raise ConfigError that names the first utterance without a value on one of the axes."""
    for axis in axes_of(by):
        lacking = [entry.id for entry in entries if not aliases(entry, axis)]
        if len(lacking) == len(entries):
            known = sorted({name for entry in entries for name in entry.labels})
            none = "these corpora have no labels (prepared by an earlier version? prepare them again)"
            there_are = f"labels are {', '.join(known)}" if known else none
            raise ConfigError(f"split.by={by}: no utterance has the label {axis}; {there_are}")
        if lacking:
            raise ConfigError(
                f"split.by={by}: {len(lacking)} of {len(entries)} utterances have no label {axis} (the first: "
                f"{min(lacking)}); split.unlabelled=left_out does without them"
            )


def aliases(entry: Entry, axis: str) -> tuple[str, ...]:
    """Return the names of an utterance's value, the full one first, or nothing; a speaker may leave out its corpus."""
    if axis == "speaker":
        return (entry.speaker, entry.speaker.removeprefix(f"{entry.corpus}/"))
    if axis in OF_EVERY_UTTERANCE:
        return (getattr(entry, axis),)
    return (entry.labels[axis],) if axis in entry.labels else ()


def value_of(entry: Entry, by: str) -> str:
    """Return the full name of an utterance's value, or of its cell."""
    return CROSSED.join(aliases(entry, axis)[0] for axis in axes_of(by))


def values(entries: Iterable[Entry], by: str) -> list[str]:
    """Return every value, or cell, that occurs."""
    return sorted({value_of(entry, by) for entry in entries})


def held_out_of(entries: Sequence[Entry], by: str, held_out: str | None) -> HeldOut:
    """Return what ``held_out`` names; ConfigError if it is nothing, more than one value, or one value twice.

    Of crossed axes nothing that shares a value with what is tested, on any axis, may be learned from.
    """
    cells = [_Cell.named(entries, by, name) for name in _each(entries, by, held_out)]
    if twice := sorted({cell.name for cell in cells if sum(other.name == cell.name for other in cells) > 1}):
        raise ConfigError(f"held_out={held_out} names {', '.join(twice)} twice")
    tested = frozenset(id_ for cell in cells for id_ in cell.ids)
    axes = axes_of(by)
    if len(axes) == 1:
        return HeldOut(tested)
    taken = [{aliases(entry, axis)[0] for entry in entries if entry.id in tested} for axis in axes]
    touched = {
        entry.id
        for entry in entries
        if any(aliases(entry, axis)[0] in own for axis, own in zip(axes, taken, strict=True))
    }
    return HeldOut(tested, frozenset(touched - tested))


def _each(entries: Sequence[Entry], by: str, held_out: str | None) -> list[str | None]:
    """Take the values of a list apart; a value that contains the sign that joins them comes first."""
    if held_out is None or JOINED not in held_out:
        return [held_out]
    known, parts = values(entries, by), held_out.split(JOINED)
    if held_out in known and set(parts) <= set(known):
        raise ConfigError(f"held_out={held_out} is one value of {by} and also {len(parts)}: rename one of them")
    return [held_out] if held_out in known else list(parts)


@dataclass(frozen=True)
class _Cell:
    """A value, or a cell of crossed axes, with the ids of its utterances."""

    name: str
    ids: frozenset[str]

    @classmethod
    def named(cls, entries: Sequence[Entry], by: str, name: str | None) -> "_Cell":
        axes = axes_of(by)
        parts = [name] if len(axes) == 1 else str(name).split(CROSSED)
        if len(parts) != len(axes):
            raise ConfigError(
                f"held_out={name}: split.by={by} expects one value of each, such as {_first(entries, by)}"
            )
        chosen = {
            entry.id: value_of(entry, by)
            for entry in entries
            if all(part in aliases(entry, axis) for part, axis in zip(parts, axes, strict=True))
        }
        matched = sorted(set(chosen.values()))
        if len(matched) != 1:
            problem = f"more than one {by}: {', '.join(matched)}" if matched else f"no {by}"
            raise ConfigError(f"held_out={name} names {problem}; there are {', '.join(values(entries, by))}")
        return cls(matched[0], frozenset(chosen))


def _first(entries: Sequence[Entry], by: str) -> str:
    return values(entries, by)[0]
