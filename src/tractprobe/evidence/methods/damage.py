"""What is read of states after something was erased, beside what is read after erasing random directions instead."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from tractprobe.evidence.record import Part
from tractprobe.evidence.statistics.inference import effect
from tractprobe.runs.estimate import Scores
from tractprobe.runs.result import Row

ITSELF = "itself"
"""What is named was erased; otherwise as many random directions were, of the kind that is named instead."""

Cell = tuple[str, str, str, str]
"""Language, speaker, set of targets, and channel."""
Reads = Callable[[str, str], bool]
"""Whether a channel (set of targets, name) belongs to what is read."""


class Readings:
    """Scores by what was erased and what is read, averaged over draws; ``None`` for a head that is constant."""

    def __init__(self):
        self._values: dict[tuple[str, str], dict[Cell, list[float | None]]] = defaultdict(lambda: defaultdict(list))

    def include(self, erased: str, how: str, rows: Iterable[Row]) -> None:
        """Add r of heads after something was erased; further rows of the same are further draws."""
        cells = self._values[erased, how]
        for row in rows:
            cells[row["language"], row["speaker"], row["target"], row["channel"]].append(row["r"])

    def cells(self, erased: str, how: str, reads: Reads) -> dict[Cell, float]:
        """Return what is read, where every draw has a number."""
        return {
            cell: float(np.mean([value for value in values if value is not None]))
            for cell, values in self._values.get((erased, how), {}).items()
            if reads(*cell[2:]) and None not in values
        }

    def level(self, erased: str, how: str, reads: Reads) -> Scores:
        """Return the mean over channels for each speaker in a language."""
        return over_channels(self.cells(erased, how, reads))

    def damage(self, erased: str, against: str, reads: Reads) -> dict[Cell, float]:
        """Return by how much less is read after erasing something than after erasing random directions ``against`` it.

        Channels that either leaves without a number are left out.
        """
        control, left = self.cells(erased, against, reads), self.cells(erased, ITSELF, reads)
        return {cell: value - left[cell] for cell, value in control.items() if cell in left}


def over_channels(cells: Mapping[Cell, float]) -> Scores:
    """Return the mean over channels for each speaker in a language."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (language, speaker, *_), value in cells.items():
        values[language, speaker].append(value)
    return {key: float(np.mean(each)) for key, each in values.items()}


def mean_of(each: Sequence[Scores]) -> Scores:
    """Return the mean of several scores of every speaker in a language who has them all."""
    keys = set.intersection(*(set(scores) for scores in each))
    return {key: float(np.mean([scores[key] for scores in each])) for key in sorted(keys)}


def parts(values: Scores) -> list[Part]:
    """Return the mean of each language with its interval, and each speaker's mean over languages."""
    languages, speakers = (sorted({key[place] for key in values}) for place in (0, 1))
    found = [part("language", name, {key: values[key] for key in values if key[0] == name}) for name in languages]
    for name in speakers:
        own = [value for (_, speaker), value in values.items() if speaker == name]
        found.append(Part("speaker", name, float(np.mean(own)), n=1))
    return found


def part(kind: str, name: str, values: Scores) -> Part:
    """Return an effect in one part of what it is over."""
    if not values:
        return Part(kind, name, None)
    reached = effect(values)
    return Part(kind, name, reached.mean, reached.low, reached.high, reached.n)
