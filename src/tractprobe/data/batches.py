"""Batches of encoder input and targets, with targets sampled at the encoder's frames.

Audio, movements and cached states are read when a batch asks for them; memory holds the index of utterances and the
batches in preparation, however many hours there are.

Batches carry targets in their units. Whoever fits standardises them by the speakers' scales that a split allows
(``EmaBatches.scales``), and returns predictions to units by the same scales.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, Shaped
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.data.batching import BatchRule, EpochBatches, ResumableLoader, StandIn, stand_in
from tractprobe.data.features import FrameFeatures, side_by_side_at
from tractprobe.data.groups import GroupKey
from tractprobe.data.scales import SpeakerScale
from tractprobe.data.splits import Split
from tractprobe.data.targets import Targets
from tractprobe.encoders.encoder import TimedStates
from tractprobe.encoders.frames import FrameGeometry
from tractprobe.system.errors import ConfigError
from tractprobe.system.progress import progress


@runtime_checkable
class StateReader(Protocol):
    """Where batches read hidden states from, if they do not carry waves."""

    def read(self, utterance_id: str, layers: Sequence[int]) -> Shaped[np.ndarray, "layer time width"]:
        """Return the states of an utterance at some layers."""
        ...


@dataclass(frozen=True, eq=False)
class Batch:
    """Some utterances, padded at the end.

    Attributes
    ----------
    waves
        16 kHz samples of each utterance; empty if the batch carries states, or if no layer is read.
    states
        Hidden states as they were cached, zero where padded; ``None`` if the batch carries waves.
    target
        In the channels' units; 0 where not valid.
    valid
        Where both target and frame exist.
    present
        Which frames belong to the utterance; the others are padding.
    features
        What heads read beside the states, 0 where padded or not usable; ``None`` if nothing.
    group
        Index of each utterance's (corpus, language, speaker) in ``EmaBatches.groups``.
    """

    ids: list[str]
    waves: list[Float[Tensor, " _sample"]]
    states: Shaped[Tensor, "layer batch time width"] | None
    target: Float[Tensor, "batch time channel"]
    valid: Bool[Tensor, "batch time channel"]
    present: Bool[Tensor, "batch time"]
    group: Int[Tensor, " batch"]
    features: Float[Tensor, "batch time width_of_features"] | None = None

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
    features: Float[Tensor, "time width_of_features"] | None = None


class EmaBatches:
    """Batches of a mix of prepared corpora.

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
        Which layers are read; without any, batches carry neither states nor waves.
    targets
        Which channels, and how they are conditioned.
    features
        What batches carry beside states; a frame at which one of them is NaN has no target.
    batch_size, batch_s, temperature
        See ``batching.BatchRule``; ``"equal"`` is an infinite temperature.
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
        features: Sequence[FrameFeatures] = (),
        batch_size: int = 8,
        batch_s: float = 120.0,
        temperature: float | str = 1.0,
        num_workers: int = 0,
        seed: int = 0,
    ):
        self.corpora = {corpus.name: corpus for corpus in corpora}
        self.split, self.geometry, self.count_frames = split, geometry, count_frames
        self.layers, self.states = tuple(layers), states
        self.targets, self.features = targets or Targets(), tuple(features)
        if num_workers < 0:
            raise ConfigError(f"data.num_workers={num_workers}: must be 0 or more")
        self.batching = BatchRule(batch_size, batch_s, _temperature(temperature))
        self.num_workers, self.seed = num_workers, seed
        self.entries = {entry.id: entry for corpus in corpora for entry in corpus.entries}
        self.groups = tuple(sorted({GroupKey.of(self.entries[id_]) for id_ in {*split.development, *split.test}}))
        self._utterance_sums: dict[str, Float[np.ndarray, "3 channel"]] = {}

    def scales(self, split: Split | None = None) -> dict[str, SpeakerScale]:
        """Return the mean and scale of each speaker of a split, by default the data's own.

        They come from the development side. Only a speaker, or a speaker's channel, that does not occur there is
        described by its own test frames; this moves and scales predictions in units and cannot change a correlation.
        """
        split = split or self.split
        developed, tested = (self._sums(ids) for ids in (split.development, split.test))
        as_they_are = self.targets.as_they_are
        return {
            speaker: SpeakerScale.of(developed.get(speaker), tested.get(speaker), as_they_are)
            for speaker in developed | tested
        }

    def training(self, rank: int = 0, ranks: int = 1) -> ResumableLoader:
        """Return training batches, drawn anew in each epoch by seed and epoch alone, and shared among ranks."""
        batches = EpochBatches(self._entries(self.split.train), self.batching, self.seed, rank=rank, ranks=ranks)
        return self._loader(batches, ResumableLoader)

    def once(self, ids: Sequence[str], rank: int = 0, ranks: int = 1) -> "DataLoader[Any]":
        """Return each of these utterances once, on one of the ranks."""
        batches = self.batching.in_order(self._entries(ids))
        return self._loader(batches[rank::ranks] or [stand_in(batch) for batch in batches[-1:]], DataLoader)

    def loader(self, batches: Sequence[tuple[str, ...]]) -> "DataLoader[Any]":
        """Return these batches of ids, in their order."""
        return self._loader(list(batches), DataLoader)

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

    def example(self, utterance_id: str) -> Example:
        """Return one utterance with its targets at the encoder's frames."""
        entry = self.entries[utterance_id]
        features, target = self._at_frames(entry)
        example = Example(entry, None, None, torch.from_numpy(target))
        if self.features:
            example = replace(example, features=torch.from_numpy(features))
        if not self.layers:
            return example
        if self.states is None:
            return replace(example, wave=torch.from_numpy(self.corpora[entry.corpus].audio(entry.id)))
        return replace(example, states=torch.from_numpy(self.states[entry.corpus].read(entry.id, self.layers)))

    def _at_frames(self, entry: Entry) -> tuple[Float32[np.ndarray, "time width"], Float[np.ndarray, "time channel"]]:
        """Return features and targets at the encoder's frames; targets are NaN outside either stream."""
        reader, corpus = self.states[entry.corpus] if self.states else None, self.corpora[entry.corpus]
        times_s = frame_times_s(entry, self.geometry, self.count_frames, reader)
        features = side_by_side_at(self.features, corpus, entry, times_s)
        target = self.targets.at(corpus, entry, times_s)
        target[np.isnan(features).any(axis=1)] = np.nan
        return features, target

    def _sums(self, ids: Sequence[str]) -> dict[str, Float[np.ndarray, "3 channel"]]:
        """Return each speaker's count, sum and sum of squares of the frames that count in fitting and scoring."""
        totals: dict[str, np.ndarray] = {}
        for entry in progress(self._entries(ids), "describing speakers", unit="utterance"):
            if entry.id not in self._utterance_sums:
                _, targets = self._at_frames(entry)
                valid = np.isfinite(targets)
                filled = np.where(valid, targets, 0)
                sums = [valid.sum(axis=0), filled.sum(axis=0), np.square(filled).sum(axis=0)]
                self._utterance_sums[entry.id] = np.stack(sums)
            totals[entry.speaker] = totals.get(entry.speaker, 0) + self._utterance_sums[entry.id]
        return totals


class _Utterances(Dataset[Example]):
    """Utterances by id."""

    def __init__(self, data: EmaBatches):
        self.data = data

    def __getitem__(self, index: str) -> Example:
        example = self.data.example(index)
        return replace(example, target=example.target * torch.nan) if isinstance(index, StandIn) else example


def _temperature(value: Any) -> float:
    if value != "equal" and not isinstance(value, (int, float)):
        raise ConfigError(f"data.temperature={value}: expected a number of 1 or more, or equal")
    return math.inf if value == "equal" else float(value)


def frame_times_s(
    entry: Entry, geometry: FrameGeometry, count_frames: Callable[[int], int], reader: StateReader | None
) -> Float[np.ndarray, " frame"]:
    """Return the times of an utterance's frames: those that stored states give, otherwise the encoder's."""
    if isinstance(reader, TimedStates):
        return reader.times_s(entry.id)
    return geometry.times_s(count_frames(entry.num_samples))


def _collate(examples: Sequence[Example], groups: Sequence[GroupKey]) -> Batch:
    lengths = torch.tensor([len(example.target) for example in examples])
    longest = int(lengths.max())
    target = torch.full((len(examples), longest, examples[0].target.shape[1]), torch.nan, dtype=torch.float64)
    for row, example in enumerate(examples):
        target[row, : len(example.target)] = example.target
    valid = torch.isfinite(target)
    features = [example.features.nan_to_num() for example in examples if example.features is not None]
    return Batch(
        ids=[example.entry.id for example in examples],
        waves=[example.wave for example in examples if example.wave is not None],
        states=_padded([example.states for example in examples if example.states is not None], longest),
        target=target.masked_fill(~valid, 0),
        valid=valid,
        present=torch.arange(longest) < lengths[:, None],
        group=torch.tensor([groups.index(GroupKey.of(example.entry)) for example in examples]),
        features=torch.nn.utils.rnn.pad_sequence(features, batch_first=True) if features else None,
    )


def _padded(states: Sequence[Tensor], longest: int) -> Tensor | None:
    if not states:
        return None
    layers, _, width = states[0].shape
    padded = states[0].new_zeros(layers, len(states), longest, width)
    for index, of_utterance in enumerate(states):
        padded[:, index, : of_utterance.shape[1]] = of_utterance
    return padded
