"""Inversion: audio of any length in, movements of the articulators out, in bounded memory.

Audio is processed as a stream. It is resampled and rounded to 16 bit as prepared corpora are, cut into pieces that
overlap by what the encoder's frames depend on, and the states are cut again by what the head depends on. Where these
contexts are bounded, the result is that of one pass over the whole wave. Where they are not (attention over the whole
wave), each piece gets ``context_s`` on either side, and statistics over the whole wave (loudness, group norms) come
from a first reading of all of it; docs/inversion.md says what difference remains.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tractprobe.data.scales import SpeakerScale
from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.state_cache import rounded
from tractprobe.inversion.builtin import BUILTIN, head_path
from tractprobe.inversion.head_file import HeadFile, read_head
from tractprobe.probes.heads import Weighted
from tractprobe.probes.heads.ridge import Ridge
from tractprobe.signals.audio import RATE_HZ, Block, resampled
from tractprobe.signals.pieces import Samples, overlapping
from tractprobe.signals.track import Track
from tractprobe.system.errors import ConfigError, EncoderError, HeadError, first_line
from tractprobe.system.threads import give_back

CHUNK_S, CONTEXT_S = 30.0, 5.0
_BLOCK = 1 << 18

States = Float[Tensor, "_time width"]


@dataclass(frozen=True, eq=False)
class Inverter:
    """A head on its encoder; call it with a wave and its rate.

    Attributes
    ----------
    scale
        Mean and standard deviation in which movements are given; a channel that it lacks is NaN.
    speaker
        Whose scale it is; ``None`` for the average of all training speakers.
    chunk_s
        Audio up to this length is encoded in one piece, longer audio in pieces of this length.
    context_s
        Context of a piece on either side, where encoder or head have no bounded context.
    """

    file: HeadFile
    encoder: Encoder
    scale: SpeakerScale
    speaker: str | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    chunk_s: float = CHUNK_S
    context_s: float = CONTEXT_S

    def __post_init__(self):
        if not (0 < self.chunk_s < np.inf and 0 <= self.context_s < np.inf):
            raise EncoderError(
                f"chunk_s={self.chunk_s}, context_s={self.context_s}: expected seconds above 0, and 0 seconds or more"
            )

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the track's columns."""
        return tuple(channel.name for channel in self.file.channels)

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each column: mm, unless the head also decodes other targets than positions."""
        return tuple(channel.unit for channel in self.file.channels)

    def of_speaker(self, name: str | None) -> "Inverter":
        """Give movements with a training speaker's mean and scale; with ``None``, the average over all of them."""
        return replace(self, scale=speaker_scale(self.file, name), speaker=name)

    def __call__(self, wave: np.ndarray, rate_hz: float) -> Track:
        """Return the movements in a wave (full scale 1) at the encoder's frames, in mm or the channel's unit.

        Raises
        ------
        EncoderError
            The wave is not a one-dimensional array of finite floats up to full scale, or is shorter than a frame.
        """
        wave = np.asarray(wave)
        if wave.ndim != 1 or wave.dtype.kind != "f":
            raise EncoderError(f"a wave is one row of floats, full scale 1; not {wave.dtype} of shape {wave.shape}")
        return self.of_blocks(lambda: (wave[at : at + _BLOCK] for at in range(0, len(wave), _BLOCK)), rate_hz)

    @torch.inference_mode()
    def of_blocks(self, blocks: Callable[[], Iterable[Block]], rate_hz: float) -> Track:
        """Return the movements in a wave that comes in blocks, of which none is kept.

        Parameters
        ----------
        blocks
            Starts the wave again on each call: pieces of a long wave may need statistics of all of it.
        """
        states = self._states(lambda: map(torch.from_numpy, resampled(blocks(), rate_hz)))
        parts = []
        for predicted in self._predicted(states):
            parts.append(self._in_units(predicted.cpu().double().numpy()))
            if len(parts) > 1:  # what stays of pieces lies between what was freed, which would not be used again
                give_back()
        if not parts:
            raise EncoderError(f"audio shorter than one frame of {self.file.geometry.field / RATE_HZ * 1000:g} ms")
        values = np.concatenate(parts)
        geometry = self.file.geometry
        return Track(values, geometry.rate_hz, geometry.first / RATE_HZ, self.channels)

    def _in_units(self, standardised: Float[np.ndarray, "_time channel"]) -> Float[np.ndarray, "_time channel"]:
        with np.errstate(over="ignore", invalid="ignore"):
            values = standardised * self.scale.sd + self.scale.mean
        if np.isinf(values).any() or np.isnan(standardised[:, self._predictable]).any():
            raise HeadError(f"{self.file.path} predicts infinite positions; the head or its scale is wrong")
        return values

    @property
    def _predictable(self) -> Bool[np.ndarray, " channel"]:
        """The channels that some fitted frame had."""
        head = self.file.head
        return head.bias[0].isfinite().cpu().numpy() if isinstance(head, Ridge) else np.ones(len(self.channels), bool)

    def _states(self, samples: Callable[[], Iterable[Samples]]) -> Iterator[States]:
        geometry, span, reach = self.file.geometry, self.encoder.span, self.encoder.context_frames
        if span:
            cut = overlapping(samples(), span * max(1, round(self.chunk_s * RATE_HZ / span)), 0)
        else:
            reach = round(self.context_s * geometry.rate_hz) if reach is None else reach
            core = max(1, round(self.chunk_s * geometry.rate_hz))
            cut = overlapping(samples(), core, reach, int(geometry.stride), geometry.field)
        begin = [piece for piece in (next(cut, None), next(cut, None)) if piece is not None]
        whole = self.encoder.survey(samples()) if len(begin) > 1 else None
        for wave, own in chain(begin, cut):
            states = self.encoder.piece(wave.to(self.device), whole)
            layers = self.file.layers
            states = rounded(states[list(layers)], self.file.storage, layers, self.encoder.label)
            yield states.transpose(0, 1).flatten(1)[slice(None) if span else own]  # layers side by side

    def _predicted(self, states: Iterable[States]) -> Iterator[Float[Tensor, "_time channel"]]:
        reach = getattr(self.file.head, "context_frames", 0)
        reach = round(self.context_s * self.file.geometry.rate_hz) if reach is None else reach
        for part, own in overlapping(states, max(1, round(self.chunk_s * self.file.geometry.rate_hz)), reach):
            if isinstance(self.file.head, Weighted):  # which adds layers up
                inputs = part.unflatten(1, (len(self.file.layers), -1)).transpose(0, 1)[:, None]
            else:
                inputs = part[None, None]
            yield self.file.head(inputs)[0, 0, own]


def load_head(
    path: str | Path = BUILTIN,
    device: str | torch.device = "cpu",
    encoder: str | Path | Encoder | None = None,
    speaker: str | None = None,
    chunk_s: float = CHUNK_S,
    context_s: float = CONTEXT_S,
) -> Inverter:
    """Load a head file written by ``tractprobe export``, and the encoder that it was fitted on.

    Parameters
    ----------
    path
        The file; without one the head that is part of the package.
    encoder
        Hub id or folder of the encoder if it has moved, or the encoder itself if it is already loaded.
    speaker
        Training speaker in whose mean and scale movements are given; by default the average of all.
    chunk_s, context_s
        See :class:`Inverter`.
    """
    device = _device(device)
    file = read_head(head_path(path))
    scale = speaker_scale(file, speaker)
    if isinstance(encoder, Encoder):
        file.check_encoder(encoder)
    else:
        encoder = file.encoder(None if encoder is None else str(encoder))
        file.check_encoder(encoder)
        encoder.truncate(max(file.layers))
    file.head.to(device)
    return Inverter(file, encoder.to(device), scale, speaker, device, chunk_s, context_s)


def _device(name: str | torch.device) -> torch.device:
    """Return a device, having checked that it works."""
    try:
        torch.zeros(1, device=name).cpu()
    except (RuntimeError, AssertionError) as error:  # the latter if torch was built without CUDA
        raise ConfigError(f"device {name}: {first_line(error)}") from None
    return torch.device(name)


def speaker_scale(file: HeadFile, name: str | None = None) -> SpeakerScale:
    """Return the mean and scale of a training speaker, or their averages over all that have the channel."""
    if name is not None:
        if name not in file.scales:
            raise HeadError(f"{file.path} has no speaker {name}; it has {', '.join(sorted(file.scales))}")
        return file.scales[name]
    mean, sd = (np.stack([getattr(scale, what) for scale in file.scales.values()]) for what in ("mean", "sd"))
    has_channel = np.isfinite(mean) & np.isfinite(sd)
    count = np.maximum(has_channel.sum(axis=0), np.where(has_channel.any(axis=0), 1, np.nan))
    mean, sd = (np.where(has_channel, values, 0).sum(axis=0) / count for values in (mean, sd))
    return SpeakerScale(mean, sd, np.zeros(len(mean), bool))
