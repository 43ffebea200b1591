"""Encoders against each other, speaker by speaker: a comparison that is computed, not left to the eye."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from tractprobe.evidence.record import Record
from tractprobe.evidence.statistics.inference import holm, paired, sign_flip_p
from tractprobe.report.collect import settings_of, subject_of
from tractprobe.runs.estimate import Estimate

_KEYS = ("language", "speaker", "r", "layer")  # a layer is an encoder's own
_AVERAGED = ("channel", "articulator", "fold", "sentence", "seed", "draw")
_FAMILY_LEVEL = 0.95

Key = tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """One encoder's score minus another's, within speakers of a language.

    Attributes
    ----------
    difference
        With an interval such that all comparisons under one condition hold together in 95 % of studies (Bonferroni).
    p
        Of flipping signs by speaker, two-sided, adjusted by Holm over the comparisons under one condition.
    unpaired
        How many (language, speaker) only one of the two has; these are left out.
    """

    condition: str
    one: str
    other: str
    difference: Estimate
    p: float | None
    unpaired: int

    @property
    def word(self) -> str:
        """Which is higher, as far as the interval tells."""
        low, high = self.difference.low, self.difference.high
        if low is None or high is None or low <= 0 <= high:
            return "undecided"
        return "higher" if low > 0 else "lower"


@dataclass(frozen=True)
class Comparisons:
    """All pairs of encoders in one analysis, and what could not be compared."""

    each: tuple[Comparison, ...]
    not_compared: tuple[str, ...] = ()


def compared(records: Sequence[Record]) -> Comparisons:
    """Compare every two encoders of one analysis under the same settings, condition by condition."""
    notes: list[str] = []
    scores = {(subject_of(record).label, settings_of(record)): _scores(record, notes) for record in records}
    found: list[Comparison] = []
    for condition in dict.fromkeys(condition for own in scores.values() for condition in own):
        pairs = [
            (one, other)
            for one, other in combinations([key for key, own in scores.items() if condition in own], 2)
            if one[1] == other[1]
        ]
        own, level = [], 1 - (1 - _FAMILY_LEVEL) / max(len(pairs), 1)
        for one, other in pairs:
            a, b = _means(scores[one][condition], scores[other][condition])
            if a:
                speakers = set(_by_speaker(scores[one][condition])) ^ set(_by_speaker(scores[other][condition]))
                p = sign_flip_p({key: a[key] - b[key] for key in a})
                own.append(Comparison(condition, one[0], other[0], paired(a, b, level), p, len(speakers)))
            else:
                notes.append(f"{condition or 'scores'}: {one[0]} and {other[0]} have no speaker in common")
        adjusted = holm([each.p for each in own])
        found += [replace(each, p=p) for each, p in zip(own, adjusted, strict=True)]
    return Comparisons(tuple(found), tuple(dict.fromkeys(notes)))


def _scores(record: Record, notes: list[str]) -> dict[str, dict[Key, float]]:
    """Return condition to (language, speaker, channel and the like) to r; what is there twice is no score.

    Channels, folds and the like are averaged, over what two encoders both have. Whatever else is a name is part of the
    condition, and never averaged; other numbers are further scores.
    """
    found: dict[str, dict[Key, float]] = {}
    twice: set[str] = set()
    for row in filter(_is_score, record.evidence.rows):
        named = [name for name, value in row.items() if type(value) in (str, bool) and name not in _KEYS + _AVERAGED]
        condition = ", ".join(str(row[name]) for name in sorted(named, key=lambda name: (name != "condition", name)))
        also = [f"{name}={row[name]}" for name in _AVERAGED if name in row]
        own, key = found.setdefault(condition, {}), (str(row["language"]), str(row["speaker"]), *also)
        if key in own:
            twice.add(condition)
        own[key] = float(row["r"])
    for condition in sorted(twice):
        notes.append(f"{condition or 'scores'} of {subject_of(record).label}: several scores of one speaker")
        del found[condition]
    return found


def _is_score(row: Mapping[str, Any]) -> bool:
    return type(row.get("r")) in (int, float) and "language" in row and "speaker" in row


def _means(one: Mapping[Key, float], other: Mapping[Key, float]) -> tuple[dict[tuple[str, str], float], ...]:
    """Return the mean of each (language, speaker) of two encoders, over what both have."""
    both = one.keys() & other.keys()
    sides = [_by_speaker({key: side[key] for key in both}) for side in (one, other)]
    return tuple({key: sum(values) / len(values) for key, values in side.items()} for side in sides)


def _by_speaker(scores: Mapping[Key, float]) -> dict[tuple[str, str], list[float]]:
    found: dict[tuple[str, str], list[float]] = {}
    for key, value in sorted(scores.items()):
        found.setdefault((key[0], key[1]), []).append(value)
    return found
