"""Hidden states that somebody else computed, in the place of an encoder: no model, no foreign code, no other audio."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.encoders.encoder import Encoder, States, Wave
from tractprobe.encoders.feature_files import DESCRIPTION, FeatureFile, FrameRate, any_file, content_sha256, frame_rate
from tractprobe.encoders.frames import FrameGeometry
from tractprobe.encoders.state_cache import Storage, rounded
from tractprobe.signals.audio import RATE_HZ
from tractprobe.system.errors import EncoderError
from tractprobe.system.files import file_safe

_TOLERANCE_S, _TOLERANCE_FRAMES = 0.06, 3
_NAMED = 3


class Precomputed(Encoder):
    """States by utterance, laid out as ``feature_files`` says.

    Parameters
    ----------
    root
        Their folder.
    label
        What tables call them; the folder's name if not given.
    about
        What is known of the model; kept with the results, without effect here.
    """

    def __init__(self, root: str | Path, label: str | None = None, about: Mapping[str, Any] | None = None):
        self.root = Path(root).expanduser().resolve()
        if not self.root.is_dir():
            raise EncoderError(f"model.root={root}: no such folder ({self.root})")
        rate, example = frame_rate(self.root), any_file(self.root)
        if example is None:
            raise EncoderError(f"{self.root} holds no <corpus>/<utterance>.npy or .safetensors; see docs/extending.md")
        if rate is None and example.times_s() is None:
            raise EncoderError(
                f"{example.path}: neither frame times nor a rate: write {self.root / DESCRIPTION} "
                'with {"rate_hz": ..., "start_s": <centre of frame 0>}'
            )
        layers, _, width = example.shape()
        super().__init__(label or file_safe(str(self.root)), layers, width, _geometry(rate, example), {})
        self.rate = rate
        where = {} if rate is None else {"rate_hz": rate.rate_hz, "start_s": rate.start_s}
        self.identity = {"encoder": "precomputed", "layers": layers, "width": width, **where}
        self.freeze()

    def identity_on(self, corpora: Sequence[PreparedCorpus]) -> dict[str, Any]:
        return self.identity | {"sha256": {corpus.name: content_sha256(self.root, corpus.name) for corpus in corpora}}

    def count_frames(self, num_samples: int) -> int:
        return max(0, round((num_samples - self.geometry.first) / self.geometry.stride))

    def encode(self, waves: Sequence[Wave]) -> list[States]:
        raise EncoderError(f"{self.label} is a folder of features, by utterance: no other audio can be encoded")

    def open_states(self, corpus: PreparedCorpus, storage: Storage) -> "PrecomputedStates":
        """Open the states of a corpus; EncoderError names utterances that lack them, and what of others is wrong."""
        files = {entry.id: FeatureFile.find(self.root, entry.id) for entry in corpus.entries}
        if missing := sorted(id_ for id_, file in files.items() if file is None):
            named = ", ".join(missing[:_NAMED]) + (", ..." if len(missing) > _NAMED else "")
            raise EncoderError(
                f"{self.root} has no features of {len(missing)} of {len(files)} utterances of {corpus.name}: {named}"
            )
        present = {id_: file for id_, file in files.items() if file is not None}
        return PrecomputedStates({entry.id: self._times_s(present[entry.id], entry) for entry in corpus.entries},
                                 present, storage)  # fmt: skip

    def _times_s(self, file: FeatureFile, entry: Entry) -> Float[np.ndarray, " time"]:
        """Return where an utterance's frames sit, once layers, width and length are what they should be."""
        layers, count, width = file.shape()
        if (layers, width) != (self.identity["layers"], self.width):
            expected = f"{self.identity['layers']} layers of {self.width}, as other files have"
            raise EncoderError(f"{file.path}: {layers} layers of {width} features; expected {expected}")
        times_s = file.times_s()
        if times_s is not None:
            return _checked_times(file, times_s, count, entry.duration_s)
        if self.rate is None:
            raise EncoderError(f"{file.path}: no frame times, which other files have; add {DESCRIPTION} or the times")
        expected = (entry.duration_s - self.rate.start_s) * self.rate.rate_hz
        if abs(count - expected) > max(_TOLERANCE_FRAMES, _TOLERANCE_S * self.rate.rate_hz):
            raise EncoderError(
                f"{file.path}: {count} frames; expected about {expected:.0f}, for {entry.duration_s:.2f} s of audio at "
                f"{self.rate.rate_hz:g} Hz"
            )
        return self.rate.start_s + np.arange(count) / self.rate.rate_hz

    def _cut(self, blocks: int) -> None:
        """Do nothing: the layers that are not read cost nothing."""


class PrecomputedStates:
    """The states of one corpus, read by utterance and rounded like all others."""

    def __init__(
        self, times_s: Mapping[str, Float[np.ndarray, " _time"]], files: Mapping[str, FeatureFile], storage: Storage
    ):
        self._times_s, self._files = times_s, files
        self._storage: Storage = storage

    def times_s(self, utterance_id: str) -> Float[np.ndarray, " time"]:
        """Return the frames' centres in seconds from the start of the audio."""
        return self._times_s[utterance_id]

    def read(self, utterance_id: str, layers: Sequence[int]) -> Shaped[np.ndarray, "layer time width"]:
        """Read an utterance's states at some layers."""
        file = self._files[utterance_id]
        states = file.states(tuple(layers))
        if states.shape[1] != len(self._times_s[utterance_id]):
            raise EncoderError(f"{file.path} has changed since it was opened")
        return rounded(torch.from_numpy(states), self._storage, layers, str(file.path)).numpy()


def _checked_times(
    file: FeatureFile, times_s: Float[np.ndarray, " time"], count: int, duration_s: float
) -> Float[np.ndarray, " time"]:
    if len(times_s) != count:
        raise EncoderError(f"{file.path}: {count} frames, but {len(times_s)} frame times")
    period_s = float(np.median(np.diff(times_s))) if count > 1 else duration_s
    tolerance_s = max(_TOLERANCE_S, _TOLERANCE_FRAMES * period_s)
    if abs(times_s[0]) > tolerance_s or abs(times_s[-1] - duration_s) > tolerance_s:
        span = f"{times_s[0]:.2f} to {times_s[-1]:.2f} s"
        raise EncoderError(f"{file.path}: frames from {span}; expected them to span {duration_s:.2f} s of audio")
    return times_s


def _geometry(rate: FrameRate | None, example: FeatureFile) -> FrameGeometry:
    """Return frames about as far apart as these, for what only asks roughly; each utterance knows its own times."""
    if rate is None:
        times_s = example.times_s()
        assert times_s is not None
        period_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 1.0
        rate = FrameRate(1 / period_s, float(times_s[0]))
    stride = max(1, round(RATE_HZ / rate.rate_hz))
    return FrameGeometry(stride, rate.start_s * RATE_HZ, stride)
