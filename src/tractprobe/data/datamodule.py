"""EmaData: batches of encoder input and targets, the targets sampled where the encoder's frames sit.

Audio, movements and cached states are read when a batch asks for them; memory holds the index of utterances and the
batches under way, however many hours there are.

Targets leave here in their units. Whoever fits standardises them, by the speakers' scales that a split allows
(``EmaData.scales``), and gives predictions back in units by the same scales.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.data.batching import BatchRule, EpochBatches, ResumableLoader, StandIn, stand_in
from tractprobe.data.scales import SpeakerScale
from tractprobe.data.splits import Split
from tractprobe.data.targets import Targets
from tractprobe.encoders.encoder import TimedStates
from tractprobe.encoders.frames import FrameGeometry
from tractprobe.system.errors import ConfigError
from tractprobe.system.progress import progress

Group = tuple[str, str, str]
"""Corpus, language and speaker: what frames are pooled over in scores."""


@runtime_checkable
class StateReader(Protocol):
    """What batches take finished hidden states from, if they do not carry waves."""

    def read(self, utterance_id: str, layers: Sequence[int]) -> Shaped[np.ndarray, "layer time width"]:
        """Return the states of an utterance at some layers."""
        ...


@dataclass(frozen=True, eq=False)
class Batch:
    """Some utterances, padded at the end.

    Attributes
    ----------
    waves
        16 kHz samples of each utterance; empty if the states are there.
    states
        Hidden states as they were cached, zero where padded; ``None`` if the waves are there.
    target
        In the channels' units; 0 where not valid.
    valid
        Where target and frame exist.
    present
        Which frames are the utterance's; the others are padding.
    group
        Index of each utterance's (corpus, language, speaker) in ``EmaData.groups``.
    """

    ids: list[str]
    waves: list[Float[Tensor, " _sample"]]
    states: Shaped[Tensor, "layer batch time width"] | None
    target: Float[Tensor, "batch time channel"]
    valid: Bool[Tensor, "batch time channel"]
    present: Bool[Tensor, "batch time"]
    group: Int[Tensor, " batch"]

    def to(self, device: torch.device) -> "Batch":
        """Return the batch with its tensors on a device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, waves=[wave.to(device) for wave in self.waves], **moved)


@dataclass(frozen=True, eq=False)
class Example:
    """One utterance, before it is padded."""

    entry: Entry
    wave: Float[Tensor, " sample"] | None
    states: Shaped[Tensor, "layer time width"] | None
    target: Float[Tensor, "time channel"]


class EmaData(pl.LightningDataModule):
    """Train, validation, development and test batches of a mix of prepared corpora.

    Parameters
    ----------
    corpora
        Opened corpora.
    split
        Ids of the utterances of each part.
    geometry, count_frames
        Where the encoder's frames sit, and how many a wave has.
    states
        Cached states by corpus; batches carry waves where it is ``None``.
    layers
        Which layers of the cached states to read.
    targets
        Which channels, and how they are conditioned.
    batch_size, batch_s, temperature
        See ``sampling.BatchRule``; ``"equal"`` is an infinite temperature.
    """

    def __init__(
        self,
        corpora: Sequence[PreparedCorpus],
        split: Split,
        geometry: FrameGeometry,
        count_frames: Callable[[int], int],
        *,
        layers: Sequence[int],
        states: Mapping[str, StateReader] | None = None,
        targets: Targets | None = None,
        batch_size: int = 8,
        batch_s: float = 120.0,
        temperature: float | str = 1.0,
        num_workers: int = 0,
        seed: int = 0,
    ):
        super().__init__()
        self.corpora = {corpus.name: corpus for corpus in corpora}
        self.split, self.geometry, self.count_frames = split, geometry, count_frames
        self.layers, self.states = tuple(layers), states
        self.targets = targets or Targets()
        if num_workers < 0:
            raise ConfigError("data.num_workers is at least 0")
        self.batching = BatchRule(batch_size, batch_s, _temperature(temperature))
        self.num_workers, self.seed = num_workers, seed
        self.entries = {entry.id: entry for corpus in corpora for entry in corpus.entries}
        self.groups = tuple(sorted({group_of(self.entries[id_]) for id_ in {*split.development, *split.test}}))
        self._utterance_sums: dict[str, Float[np.ndarray, "3 channel"]] = {}

    def scales(self, split: Split | None = None) -> dict[str, SpeakerScale]:
        """Return the mean and scale of each speaker of a split, by default the data's own.

        They come from the development side; only a speaker, or a speaker's channel, that does not occur there is
        described by its own test frames, which moves and scales its numbers in units and cannot change any correlation.
        """
        split = split or self.split
        developed, tested = (self._sums(ids) for ids in (split.development, split.test))
        return {speaker: SpeakerScale.of(developed.get(speaker), tested.get(speaker)) for speaker in developed | tested}

    def train_dataloader(self) -> "ResumableLoader":
        """Return training batches, drawn anew each epoch as seed and epoch alone decide, and shared among ranks."""
        rank, ranks = self._rank()
        batches = EpochBatches(self._entries(self.split.train), self.batching, self.seed, rank=rank, ranks=ranks)
        return self._loader(batches, ResumableLoader)

    def standardisation_dataloader(self) -> "DataLoader[Any]":
        """Return each training utterance once, on every rank."""
        return self._once(self.split.train)

    def val_dataloader(self) -> "DataLoader[Any]":
        """Return each validation utterance once, on one of the ranks."""
        return self._once(self.split.validation, *self._rank())

    def test_dataloader(self) -> "DataLoader[Any]":
        """Return each test utterance once, on one of the ranks."""
        return self._once(self.split.test, *self._rank())

    def development_dataloader(self) -> "DataLoader[Any]":
        """Return each utterance that may be fitted once, on every rank."""
        return self._once(self.split.development)

    def loader(self, batches: Sequence[tuple[str, ...]]) -> "DataLoader[Any]":
        """Return given batches of ids, in their order."""
        return self._loader(list(batches), DataLoader)

    def _once(self, ids: Sequence[str], rank: int = 0, ranks: int = 1) -> "DataLoader[Any]":
        batches = self.batching.in_order(self._entries(ids))
        return self._loader(batches[rank::ranks] or [stand_in(batch) for batch in batches[-1:]], DataLoader)

    def _loader(self, batches: Any, kind: Any) -> Any:
        return kind(
            _Utterances(self),
            batch_sampler=batches,
            num_workers=self.num_workers,
            collate_fn=partial(_collate, groups=self.groups),
            persistent_workers=self.num_workers > 0,
        )

    def _entries(self, ids: Sequence[str]) -> list[Entry]:
        return [self.entries[id_] for id_ in ids]

    def _rank(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def example(self, utterance_id: str) -> Example:
        """Return one utterance with its targets at the encoder's frames."""
        entry = self.entries[utterance_id]
        target = torch.from_numpy(self._targets(entry))
        if self.states is None:
            return Example(entry, torch.from_numpy(self.corpora[entry.corpus].audio(entry.id)), None, target)
        states = torch.from_numpy(self.states[entry.corpus].read(entry.id, self.layers))
        return Example(entry, None, states, target)

    def _targets(self, entry: Entry) -> Float[np.ndarray, "time channel"]:
        """Return the targets at the encoder's frames, NaN outside either stream."""
        reader = self.states[entry.corpus] if self.states else None
        times_s = frame_times_s(entry, self.geometry, self.count_frames, reader)
        return self.targets.at(self.corpora[entry.corpus], entry, times_s)

    def _sums(self, ids: Sequence[str]) -> dict[str, Float[np.ndarray, "3 channel"]]:
        """Return each speaker's count, sum and sum of squares of the frames that count in fitting and scoring."""
        totals: dict[str, np.ndarray] = {}
        for entry in progress(self._entries(ids), "describing speakers", unit="utterance"):
            if entry.id not in self._utterance_sums:
                targets = self._targets(entry)
                valid = np.isfinite(targets)
                known = np.where(valid, targets, 0)
                sums = [valid.sum(axis=0), known.sum(axis=0), np.square(known).sum(axis=0)]
                self._utterance_sums[entry.id] = np.stack(sums)
            totals[entry.speaker] = totals.get(entry.speaker, 0) + self._utterance_sums[entry.id]
        return totals


class _Utterances(Dataset[Example]):
    """Utterances by id."""

    def __init__(self, data: EmaData):
        self.data = data

    def __getitem__(self, index: str) -> Example:
        example = self.data.example(index)
        return replace(example, target=example.target * torch.nan) if isinstance(index, StandIn) else example


def _temperature(value: Any) -> float:
    if value != "equal" and not isinstance(value, (int, float)):
        raise ConfigError(f"data.temperature={value}: a number of 1 or more, or equal")
    return math.inf if value == "equal" else float(value)


def frame_times_s(
    entry: Entry, geometry: FrameGeometry, count_frames: Callable[[int], int], reader: StateReader | None
) -> Float[np.ndarray, " frame"]:
    """Return where an utterance's frames sit: as stored states say themselves, otherwise where the encoder's do."""
    if isinstance(reader, TimedStates):
        return reader.times_s(entry.id)
    return geometry.times_s(count_frames(entry.num_samples))


def group_of(entry: Entry) -> Group:
    """Return the group that an utterance's frames are scored in."""
    return entry.corpus, entry.language, entry.speaker


def _collate(examples: Sequence[Example], groups: Sequence[Group]) -> Batch:
    lengths = torch.tensor([len(example.target) for example in examples])
    longest = int(lengths.max())
    target = torch.full((len(examples), longest, examples[0].target.shape[1]), torch.nan, dtype=torch.float64)
    for row, example in enumerate(examples):
        target[row, : len(example.target)] = example.target
    valid = torch.isfinite(target)
    return Batch(
        ids=[example.entry.id for example in examples],
        waves=[example.wave for example in examples if example.wave is not None],
        states=_padded([example.states for example in examples if example.states is not None], longest),
        target=target.masked_fill(~valid, 0),
        valid=valid,
        present=torch.arange(longest) < lengths[:, None],
        group=torch.tensor([groups.index(group_of(example.entry)) for example in examples]),
    )


def _padded(states: Sequence[Tensor], longest: int) -> Tensor | None:
    if not states:
        return None
    layers, _, width = states[0].shape
    padded = states[0].new_zeros(layers, len(states), longest, width)
    for index, one in enumerate(states):
        padded[:, index, : one.shape[1]] = one
    return padded
