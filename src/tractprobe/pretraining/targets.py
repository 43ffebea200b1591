"""Targets of masked prediction: which cluster each frame of the clean audio belongs to, computed once and kept.

First iteration: clusters of cepstra and their slopes (Hsu et al. 2021, HuBERT, section III-A). Waves are standardised
as the encoder hears them, and each dimension has unit variance over the corpora, but nothing is normalised by
utterance: an utterance's mean spectrum holds its sounds as well as its channel. Second iteration: clusters of a
teacher's states at one layer.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Integer
from threadpoolctl import threadpool_limits

from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.mel import Mfcc
from tractprobe.encoders.pretrained import pretrained
from tractprobe.encoders.raised import Raised
from tractprobe.pretraining.clusters import found_clusters, nearest
from tractprobe.pretraining.counters import random_of
from tractprobe.pretraining.frames import HOP, WINDOW, standardised
from tractprobe.pretraining.settings import TargetPolicy
from tractprobe.pretraining.speech import Speech
from tractprobe.system.errors import ConfigError, CorpusError
from tractprobe.system.files import array_sha256, digest, read_json, read_npy
from tractprobe.system.products import INDEX, is_made_from, staged_folder, write_index
from tractprobe.system.progress import progress
from tractprobe.system.threads import concurrently

log = logging.getLogger(__name__)

_FORMAT = 1
_LABELS, _CENTROIDS = "labels.npy", "centroids.npy"
_BATCH_S = 60.0


@dataclass(frozen=True, eq=False)
class Targets:
    """The cluster of each frame.

    Attributes
    ----------
    labels
        Of all frames, in the order of ``Speech.utterances``.
    identity
        All that determines them, as plain values.
    """

    labels: Integer[np.ndarray, " frame"]
    clusters: int
    iteration: int
    identity: dict[str, Any]


@runtime_checkable
class FrameMaker(Protocol):
    """What makes the frames that are clustered."""

    iteration: int
    identity: dict[str, Any]

    def __call__(self, waves: Sequence[torch.Tensor]) -> list[Float[np.ndarray, "_frame width"]]: ...


class Cepstra:
    """Mel-frequency cepstral coefficients with slopes, of standardised waves."""

    iteration = 1

    def __init__(self, policy: TargetPolicy):
        self._mfcc = Mfcc(cepstra=policy.cepstra, deltas=policy.deltas)
        self.identity = {"features": "mfcc", "waves": "standardised", **self._mfcc.identity}

    def __call__(self, waves: Sequence[torch.Tensor]) -> list[Float[np.ndarray, "_frame width"]]:
        with _one_thread():
            return concurrently(self._frames, waves)

    def _frames(self, wave: torch.Tensor) -> Float[np.ndarray, "frame width"]:
        return self._mfcc([standardised(wave)])[0][0].numpy()


class TeacherStates:
    """States of an encoder at one layer.

    Raises
    ------
    ConfigError
        The encoder has other frames or no such layer.
    """

    def __init__(self, policy: TargetPolicy, device: torch.device):
        assert policy.teacher is not None and policy.layer is not None
        if not Path(policy.teacher).expanduser().is_dir():
            raise ConfigError(f"pretrain.targets.teacher={policy.teacher}: no such folder")
        encoder = pretrained(str(Path(policy.teacher).expanduser()), local_files_only=True)
        raised = Raised.read(Path(policy.teacher).expanduser())
        if (encoder.geometry.stride, encoder.geometry.field) != (HOP, WINDOW):
            raise ConfigError(f"pretrain.targets.teacher={policy.teacher}: its frames are not 25 ms every 20 ms")
        if not 0 <= policy.layer < encoder.num_layers:
            raise ConfigError(f"pretrain.targets.layer={policy.layer}: expected 0 to {encoder.num_layers - 1}")
        if raised is not None and not raised.is_trained:
            log.warning("%s is untrained: its clusters are those of random weights", policy.teacher)
        self.iteration = 2
        self.identity = {"features": "teacher", "layer": policy.layer, **encoder.identity}
        self._layer, self._device = policy.layer, device
        self._encoder: Encoder = encoder.truncate(policy.layer).to(device)

    def __call__(self, waves: Sequence[torch.Tensor]) -> list[Float[np.ndarray, "_frame width"]]:
        states = self._encoder([wave.to(self._device) for wave in waves])
        return [each[self._layer].float().cpu().numpy() for each in states]


def made_targets(
    speech: Speech,
    policy: TargetPolicy,
    seed: int,
    cache: Path,
    device: torch.device = torch.device("cpu"),  # noqa: B008
) -> Targets:
    """Return the targets of utterances, which are computed unless they are kept already.

    Raises
    ------
    ConfigError
        There are fewer frames than clusters.
    """
    policy.check()
    maker: FrameMaker = Cepstra(policy) if policy.teacher is None else TeacherStates(policy, device)
    details = {name: value for name, value in asdict(policy).items() if name != "teacher"}
    identity = {"format": _FORMAT, "speech": speech.identity, **details, "frames_are": maker.identity, "seed": seed}
    if speech.num_frames < policy.clusters:
        raise ConfigError(
            f"pretrain.targets.clusters={policy.clusters}: there are only {speech.num_frames} frames of speech"
        )
    folder = cache / "targets" / digest(identity)[:16]
    if not is_made_from(folder, identity):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with staged_folder(folder, lambda: is_made_from(folder, identity)) as staging:
            if staging is not None:
                _write(speech, policy, maker, seed, staging, identity)
    return Targets(_opened(folder, speech, policy), policy.clusters, maker.iteration, identity)


def _write(
    speech: Speech, policy: TargetPolicy, maker: FrameMaker, seed: int, folder: Path, identity: dict[str, Any]
) -> None:
    labels, centroids = _labelled(speech, policy, maker, seed)
    np.save(folder / _LABELS, labels)
    np.save(folder / _CENTROIDS, centroids)
    write_index(folder, identity, labels_sha256=array_sha256(labels))


def _labelled(
    speech: Speech, policy: TargetPolicy, maker: FrameMaker, seed: int
) -> tuple[Integer[np.ndarray, " frame"], Float[np.ndarray, "cluster width"]]:
    """Return the cluster of each frame, and the centroids."""
    sample = _sample(speech, policy, maker, seed)
    scale = _scale(sample, policy)
    with _one_thread():
        centroids = found_clusters(sample / scale, policy.clusters, random_of(seed, "clusters"))
    labels = np.empty(speech.num_frames, np.uint8 if policy.clusters <= 256 else np.int16)
    every = list(range(len(speech.utterances)))
    for number, frames in _made(speech, maker, every, "naming the cluster of each frame"):
        own = speech.utterances[number]
        with _one_thread():
            labels[own.frame : own.frame + own.frames] = nearest(frames / scale, centroids)
    return labels, centroids * scale


def _one_thread() -> threadpool_limits:
    """Limit small products of matrices to one thread; of several, most would wait for one another."""
    return threadpool_limits(1, user_api="blas")


def _sample(speech: Speech, policy: TargetPolicy, maker: FrameMaker, seed: int) -> Float[np.ndarray, "frame width"]:
    """Return frames of utterances in random order, until there are as many as clusters are to be found from."""
    random, order, count = random_of(seed, "sample"), list[int](), 0
    share = min(1.0, 4 * policy.frames / speech.num_frames)  # of an utterance's frames, so that many are heard
    for number in random.permutation(len(speech.utterances)).tolist():
        if count >= policy.frames:
            break
        order.append(number)
        count += max(1, int(speech.utterances[number].frames * share))
    frames = [
        own[np.sort(random.permutation(len(own))[: max(1, int(len(own) * share))])]
        for _, own in _made(speech, maker, order, "computing frames to cluster")
    ]
    together = np.concatenate(frames)
    if len(together) < policy.clusters:  # short utterances
        together = np.concatenate([own for _, own in _made(speech, maker, range(len(speech.utterances)), "")])
    return together[: max(policy.frames, policy.clusters)]


def _scale(frames: Float[np.ndarray, "frame width"], policy: TargetPolicy) -> Float[np.ndarray, " width"]:
    """Return what dimensions are divided by."""
    if policy.scaling == "none" or policy.teacher is not None:
        return np.ones(frames.shape[1], np.float32)
    deviations = frames.std(axis=0, dtype=np.float64)
    return np.where(deviations > 0, deviations, 1.0).astype(np.float32)


def _made(
    speech: Speech, maker: FrameMaker, numbers: Sequence[int], doing: str
) -> Iterator[tuple[int, Float[np.ndarray, "_frame width"]]]:
    """Yield the frames of utterances, in order; several are encoded at a time."""
    batches, length = [list[int]()], 0
    for number in numbers:
        longest = max(length, speech.utterances[number].length)
        if batches[-1] and longest * (len(batches[-1]) + 1) > _BATCH_S * 16_000:
            batches.append([])
            longest = speech.utterances[number].length
        batches[-1].append(number)
        length = longest
    for batch in progress(batches, doing, unit="batch"):
        frames = maker([torch.from_numpy(speech.samples(number)) for number in batch])
        for number, own in zip(batch, frames, strict=True):
            if len(own) != speech.utterances[number].frames:
                raise CorpusError(speech.utterances[number].entry.id, f"{len(own)} frames, not as many as HuBERT has")
            yield number, own


def _opened(folder: Path, speech: Speech, policy: TargetPolicy) -> Integer[np.ndarray, " frame"]:
    labels, index = read_npy(folder / _LABELS), read_json(folder / INDEX)
    complete = len(labels) == speech.num_frames and labels.min() >= 0 and labels.max() < policy.clusters
    if not complete or array_sha256(labels) != index.get("labels_sha256"):
        raise CorpusError(folder / _LABELS, f"damaged; remove {folder}, and it is made again")
    return labels
