"""What steering did, for each speaker: slopes of later read-outs, and what they are compared with."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.evidence.methods.steered import PATTERN, WEIGHTS, Move, ReadOuts
from tractprobe.runs.estimate import Scores

Cells = dict[tuple[str, str, str, int], float]
"""By language, speaker, channel that is moved, and later layer."""
Numbers = Callable[[ReadOuts, Move], np.ndarray]
"""What is asked about a move, at each later layer."""


class Told:
    """What was moved in which utterance, and what follows for each speaker."""

    def __init__(self, channels: Sequence[str], later: Sequence[int]):
        self._asked, self.later = channels, tuple(later)
        self.moves: list[tuple[Entry, ReadOuts, Move]] = []

    def include(self, entry: Entry, read_outs: ReadOuts, found: Iterable[Move]) -> None:
        """Add what was moved in an utterance."""
        self.moves += [(entry, read_outs, move) for move in found]

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that were moved."""
        names = {name for _, read_outs, _ in self.moves for name in read_outs.names}
        return tuple(name for name in self._asked if name in names)

    @property
    def utterances(self) -> set[str]:
        """Ids of what was steered."""
        return {entry.id for entry, _, _ in self.moves}

    def cells(self, kind: str, is_random: bool, number: Numbers) -> Cells:
        """Return the mean over utterances of something about moves, by language, speaker, channel and later layer."""
        values: dict[tuple[str, str, str, int], list[float]] = defaultdict(list)
        for entry, read_outs, move in self.moves:
            if (move.kind, move.is_random) == (kind, is_random):
                name = read_outs.names[move.channel]
                for layer, value in zip(self.later, number(read_outs, move), strict=True):
                    values[entry.language, entry.speaker, name, layer].append(float(value))
        means = {cell: float(np.mean(each)) for cell, each in values.items()}
        return {cell: mean for cell, mean in means.items() if np.isfinite(mean)}

    def effects(self, kind: str) -> dict[str, Cells]:
        """Return what is found, by the names of findings."""
        own, phones, follow = (self.cells(kind, False, number) for number in (own_slope, _phones, _follow))
        return {
            "steering_gain": _less(own, self.cells(kind, True, own_size)),
            "steering_specificity": _less(own, self.cells(kind, False, _others_size)),
            "steering_beyond_carried": self.cells(kind, False, response),
            "steering_response": _less(self.cells(kind, False, response), self.cells(kind, True, response_size)),
            "steering_phones": _less(phones, self.cells(kind, True, _phones)),
            "steering_phones_follow": _less(follow, self.cells(kind, True, _follow_size)),
        }

    def rows(self) -> tuple[dict[str, Any], ...]:
        """Return each speaker's effects, by which encoders are paired."""
        return tuple(
            {"condition": name, "kind": kind, "language": language, "speaker": speaker, "r": value}
            for kind in (PATTERN, WEIGHTS)
            for name, cells in self.effects(kind).items()
            for (language, speaker), value in over_cells(cells).items()
        )


def own_slope(read_outs: ReadOuts, move: Move) -> np.ndarray:
    return move.slopes[:, move.channel]


def own_size(read_outs: ReadOuts, move: Move) -> np.ndarray:
    return np.abs(move.slopes[:, move.channel])


def _others_size(read_outs: ReadOuts, move: Move) -> np.ndarray:
    others = np.delete(np.abs(move.slopes), move.channel, axis=1)
    return others.mean(axis=1) if others.shape[1] else np.full(len(others), np.nan)


def carried(read_outs: ReadOuts, move: Move) -> np.ndarray:
    return move.passed_on[:, move.channel]


def response(read_outs: ReadOuts, move: Move) -> np.ndarray:
    return own_slope(read_outs, move) - carried(read_outs, move)


def response_size(read_outs: ReadOuts, move: Move) -> np.ndarray:
    return np.abs(response(read_outs, move))


def _phones(read_outs: ReadOuts, move: Move) -> np.ndarray:
    return move.phones


def _follow(read_outs: ReadOuts, move: Move) -> np.ndarray:
    return move.follow


def _follow_size(read_outs: ReadOuts, move: Move) -> np.ndarray:
    return np.abs(move.follow)


def _less(one: Cells, other: Cells) -> Cells:
    return {cell: value - other[cell] for cell, value in one.items() if cell in other}


def over_cells(cells: Cells, channel: str | None = None, layer: int | None = None) -> Scores:
    """Return the mean over channels and later layers, or of one of them, for each speaker in a language."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (language, speaker, name, at), value in cells.items():
        if channel in (None, name) and layer in (None, at):
            values[language, speaker].append(value)
    return {key: float(np.mean(each)) for key, each in values.items()}


def between(told: Told, kind: str, is_random: bool, added: str, read: str, at_once: bool = False) -> Scores:
    """Return how one channel's read-outs move when another's is moved; at later layers, or at the same."""

    def number(read_outs: ReadOuts, move: Move) -> np.ndarray:
        if read not in read_outs.names:
            return np.full(len(move.slopes), np.nan)
        column = read_outs.names.index(read)
        return np.full(len(move.slopes), move.at_once[column]) if at_once else move.slopes[:, column]

    return over_cells(told.cells(kind, is_random, number), channel=added)


def compared(told: Told, kind: str) -> dict[str, Cells]:
    """Return what is compared with the moved channel's own slope."""
    return {
        "carried": told.cells(kind, False, carried),
        "response": told.cells(kind, False, response),
        "random": told.cells(kind, True, own_size),
        "response_random": told.cells(kind, True, response_size),
    }
