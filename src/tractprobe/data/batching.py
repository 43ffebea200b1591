"""Which utterances make a batch, and in which order batches come: pure, a function of entries, seed and epoch alone.

Utterances of like length share a batch, so that little is padded. Languages can be balanced: language l with the share
p of the utterances is drawn in proportion to p^(1/T) (T the temperature; 1 leaves the shares as they are, infinity
makes them equal; Arivazhagan et al. 2019, arXiv 1907.05019). Draws run through one shuffled order of a language's
utterances after another, over epochs, so that no utterance is drawn twice before all others have been drawn once.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Sampler

from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.system.errors import ConfigError

_JITTER = 0.1


@dataclass(frozen=True)
class BatchRule:
    """How many utterances a batch holds, and how languages are balanced.

    Attributes
    ----------
    size
        Utterances, at most.
    seconds
        Length of the longest utterance times their number, at most; a longer utterance has a batch to itself.
    temperature
        Of the balance between languages; from 1 to infinity.
    """

    size: int = 8
    seconds: float = 120.0
    temperature: float = 1.0

    def __post_init__(self):
        if self.size < 1 or not self.seconds > 0 or not self.temperature >= 1:
            raise ConfigError(
                f"data: batch_size must be 1 or more, batch_s above 0 and temperature 1 or more, not {self.size}, "
                f"{self.seconds} and {self.temperature}"
            )

    def in_order(self, entries: Sequence[Entry]) -> list[tuple[str, ...]]:
        """Return batches that hold each utterance once, longest first."""
        return self._cut(sorted(entries, key=lambda entry: (-entry.num_samples, entry.id)))

    def of_epoch(self, entries: Sequence[Entry], seed: int, epoch: int) -> list[tuple[str, ...]]:
        """Return the batches of an epoch: as many utterances as there are, drawn with languages balanced."""
        random = _random(seed, "epoch", epoch)
        drawn = sorted(self._drawn(entries, seed, epoch), key=lambda entry: entry.id)
        blurred_s = [entry.duration_s * (1 + _JITTER * random.random()) for entry in drawn]
        by_length = [drawn[index] for index in np.argsort(blurred_s, kind="stable")[::-1]]
        batches = self._cut(by_length)
        return [batches[index] for index in random.permutation(len(batches))]

    def _drawn(self, entries: Sequence[Entry], seed: int, epoch: int) -> Iterator[Entry]:
        languages: dict[str, list[Entry]] = {}
        for entry in sorted(entries, key=lambda entry: entry.id):
            languages.setdefault(entry.language, []).append(entry)
        weights = [(len(same) / len(entries)) ** (1 / self.temperature) for same in languages.values()]
        for (language, same), weight in zip(languages.items(), weights, strict=True):
            count = max(1, round(len(entries) * weight / sum(weights)))
            first, last = epoch * count, (epoch + 1) * count
            for number in range(first // len(same), -(-last // len(same))):
                order = _random(seed, language, number).permutation(len(same))
                begin, end = (min(max(bound - number * len(same), 0), len(same)) for bound in (first, last))
                yield from (same[index] for index in order[begin:end])

    def _cut(self, entries: Sequence[Entry]) -> list[tuple[str, ...]]:
        batches: list[list[str]] = []
        longest_s = 0.0
        for entry in entries:
            longest_s = max(longest_s, entry.duration_s)
            if not batches or len(batches[-1]) == self.size or (len(batches[-1]) + 1) * longest_s > self.seconds:
                batches.append([])
                longest_s = entry.duration_s
            batches[-1].append(entry.id)
        return [tuple(batch) for batch in batches]


class StandIn(str):
    """The id of an utterance of another rank, for a rank that would have none; it counts nowhere."""


def stand_in(batch: Sequence[str]) -> tuple[str, ...]:
    """Return a batch's shortest utterance for a rank that has none of its own."""
    return (StandIn(batch[-1]),)


class EpochBatches(Sampler[tuple[str, ...]]):
    """The batches of one epoch after another, starting anywhere in an epoch; Lightning sets the epoch.

    Several ranks share each batch, so that a step has the utterances that it has in one process.
    """

    def __init__(self, entries: Sequence[Entry], rule: BatchRule, seed: int, *, rank: int = 0, ranks: int = 1):
        self.entries, self.rule, self.seed = tuple(entries), rule, seed
        self.rank, self.ranks = rank, ranks
        self.epoch, self.start = 0, 0

    @property
    def sampler(self) -> "EpochBatches":
        """What Lightning looks for in a batch sampler to set the epoch."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; an epoch other than the present one starts with its first batch."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def batches(self) -> list[tuple[str, ...]]:
        """Return this rank's part of each batch of the epoch."""
        batches = self.rule.of_epoch(self.entries, self.seed, self.epoch)
        return [batch[self.rank :: self.ranks] or stand_in(batch) for batch in batches]

    def __len__(self) -> int:
        return len(self.batches())

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return iter(self.batches()[self.start :])


class ResumableLoader(DataLoader[Any]):
    """Training batches that resume in the middle of an epoch; Lightning keeps the loader's state in the checkpoint.

    Batches count once they are handed out, not when workers have read them ahead.
    """

    def __iter__(self) -> Any:
        batches = self._batches
        self._handed_out = batches.start
        iterator = super().__iter__()  # has its batches by now
        batches.start = 0
        for batch in iterator:
            self._handed_out += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and how many of its batches were handed out."""
        return {"epoch": self._batches.epoch, "batches": getattr(self, "_handed_out", 0)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Resume after the batches that were handed out."""
        self._batches.epoch, self._batches.start = state["epoch"], state["batches"]

    @property
    def _batches(self) -> EpochBatches:
        assert isinstance(self.batch_sampler, EpochBatches)
        return self.batch_sampler


def padding(batches: Sequence[Sequence[str]], entries: Sequence[Entry]) -> float:
    """Return the share of padding in the batches."""
    lengths = {entry.id: entry.num_samples for entry in entries}
    samples = sum(lengths[id_] for batch in batches for id_ in batch)
    taken = sum(len(batch) * max(lengths[id_] for id_ in batch) for batch in batches)
    return 1 - samples / taken if taken else math.nan


def _random(seed: int, name: str, number: int) -> np.random.Generator:
    key = hashlib.sha256(f"{seed}:{name}:{number}".encode()).digest()[:8]
    return np.random.default_rng(int.from_bytes(key, "big"))
