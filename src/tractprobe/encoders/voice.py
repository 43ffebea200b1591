"""Pitch, voicing and loudness alone: the voice without any spectrum."""

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch

from tractprobe.encoders.context import Context
from tractprobe.encoders.encoder import Encoder, States, Wave
from tractprobe.encoders.frames import Convolution, FrameGeometry, count_frames
from tractprobe.signals.audio import RATE_HZ
from tractprobe.signals.voicing import source_track
from tractprobe.system.errors import EncoderError

_STACK = [Convolution(400, 320)]  # gives the times of wav2vec 2.0's frames


class Voice(Encoder):
    """F0 (semitones re 100 Hz), voicing (0 or 1) and loudness (dB) at the times of wav2vec 2.0's frames.

    Where the folds do not vibrate, F0 is interpolated linearly; it is 0 if they never vibrate.

    Parameters
    ----------
    context, window_s, every
        Neighbouring frames to include; see :meth:`~tractprobe.encoders.context.Context.of`.
    about
        Facts about the model; stored with the results, without effect here.
    """

    def __init__(
        self,
        label: str = "f0_energy",
        context: int = 0,
        window_s: float | None = None,
        every: int = 1,
        about: Mapping[str, Any] | None = None,
    ):
        geometry = FrameGeometry.of(_STACK)
        neighbours = Context.of(context, window_s, every, field=geometry.field, hop=int(geometry.stride))
        identity = {"encoder": "voice", "context": neighbours.reach, "every": every, "pyworld": _pyworld()}
        super().__init__(label, 1, 3 * neighbours.count, geometry, identity)
        self.neighbours = neighbours
        self.freeze()

    def count_frames(self, num_samples: int) -> int:
        return count_frames(_STACK, num_samples)

    def encode(self, waves: Sequence[Wave]) -> list[States]:
        return [self.neighbours.stack(self._frames(wave))[None] for wave in waves]

    def _frames(self, wave: Wave) -> torch.Tensor:
        if not (count := self.count_frames(len(wave))):
            raise EncoderError(f"{len(wave)} samples are fewer than the {self.geometry.field} of one frame")
        track = source_track(wave.cpu().double().numpy(), RATE_HZ)
        times_s = self.geometry.times_s(count)
        pitch, voicing, loudness = track.values.T
        voiced = np.isfinite(pitch)
        pitch = np.interp(times_s, track.times_s[voiced], pitch[voiced]) if voiced.any() else np.zeros(count)
        nearest = np.round(times_s * track.rate_hz).astype(int).clip(0, len(voicing) - 1)
        values = np.stack([pitch, voicing[nearest], np.interp(times_s, track.times_s, loudness)], axis=1)
        return torch.tensor(values, dtype=torch.float32, device=wave.device)


def _pyworld() -> str | None:
    for package in ("pyworld-prebuilt", "pyworld"):
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
    return None
