"""Acoustic controls of an encoder: spectra of its layer 0's width and context, and random projections of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.encoders.context import Context
from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.mel import LogMel
from tractprobe.runs.configuration import Plain
from tractprobe.signals.audio import RATE_HZ

_LEAST_S = 0.225  # 100 ms on either side of a window of 25 ms, as the shipped mel sees
_WINDOW = 400


def seen_by_layer_0(encoder: Encoder) -> float | None:
    """Return how many seconds of sound a frame of layer 0 sees; ``None`` if that is not known.

    The field of the convolutions and, in models that add positions by a convolution over frames (wav2vec 2.0, HuBERT,
    WavLM; five of them in data2vec), its kernel. Means over the whole wave, as of a group norm, are not counted.
    """
    geometry, neighbours = encoder.geometry, getattr(encoder, "neighbours", None)
    config: Any = getattr(getattr(encoder, "model", None), "config", None)
    if encoder.context_frames is not None:
        frames = 2 * encoder.context_frames
    elif config is not None:
        frames = _kernel_of_positions(config) - 1
    elif isinstance(neighbours, Context):
        frames = 2 * neighbours.reach
    else:
        return None
    return (geometry.field + frames * geometry.stride) / RATE_HZ


def _kernel_of_positions(config: Any) -> int:
    """Return the kernel, in frames, of the convolution that adds positions; 1 for a model without."""
    kernel = getattr(config, "num_conv_pos_embeddings", 1)
    if config.model_type == "data2vec-audio":
        return 1 + kernel * (config.conv_pos_kernel_size - 1)
    return 1 if config.model_type in ("wav2vec2-conformer", "wav2vec2-bert") else kernel


def matched(option: Plain, encoder: Encoder) -> Plain:
    """Return the settings of a spectrum with the frame rate, context and at least the width of an encoder's layer 0.

    Neighbours are as far apart as that width allows. A context that is too short for the width is left as it is, with
    all neighbours. What is not known stays as the option has it, which is for wav2vec 2.0.

    Parameters
    ----------
    option
        Of ``mel_matched`` or ``mfcc_matched``.
    """
    window_s = seen_by_layer_0(encoder) or option["window_s"]
    window_s = max(window_s, _WINDOW / RATE_HZ)
    hop = round(encoder.geometry.stride)  # a whole number but for some codecs
    of_frame = option.get("cepstra", option["bands"]) * (1 + option["deltas"])
    reach = Context.of(0, window_s, 1, field=_WINDOW, hop=hop).reach
    wide = [every for every in range(1, reach + 1) if (2 * -(-reach // every) + 1) * of_frame >= encoder.width]
    return dict(option) | {"window_s": window_s, "hop": hop, "every": max(wide, default=1)}


@dataclass(frozen=True)
class Projected:
    """Log-mel frames within a window, multiplied by a random matrix, at any encoder's frames.

    As wide as the encoder, from the sound alone: what a probe of that width reads from acoustics that nobody arranged.
    Entries are normal, of variance 1 / (stacked width). Between the spectrum's frames values are interpolated.

    Parameters
    ----------
    width
        Of the projection.
    window_s
        From the start of the first stacked frame to the end of the last.
    draw
        The seed of the matrix.
    """

    width: int
    window_s: float
    draw: int
    bands: int = 80

    @property
    def name(self) -> str:
        return f"projection{self.draw}"

    @property
    def identity(self) -> Any:
        return {"version": 1, "window_s": self.window_s, "draw": self.draw, "bands": self.bands}

    @cached_property
    def _spectrum(self) -> LogMel:
        return LogMel(bands=self.bands, context=0, window_s=self.window_s)

    @cached_property
    def _matrix(self) -> Float[np.ndarray, "stacked width"]:
        stacked = self._spectrum.width
        entries = np.random.default_rng(self.draw).standard_normal((stacked, self.width), dtype=np.float32)
        return entries / np.float32(np.sqrt(stacked))

    def at(
        self, corpus: PreparedCorpus, entry: Entry, times_s: Float[np.ndarray, " frame"]
    ) -> Float[np.ndarray, "frame width"]:
        """Return the projections at given times."""
        wave = torch.from_numpy(corpus.audio(entry.id))
        (stacked,) = self._spectrum.encode([torch.nn.functional.pad(wave, (0, max(0, _WINDOW - len(wave))))])
        values = stacked[0].numpy() @ self._matrix
        place = (times_s * RATE_HZ - self._spectrum.geometry.first) / self._spectrum.geometry.stride
        below = np.clip(np.floor(place).astype(int), 0, len(values) - 1)
        above = np.minimum(below + 1, len(values) - 1)
        share = np.clip(place - below, 0, 1)[:, None]
        return (1 - share) * values[below] + share * values[above]


def projections(encoder: Encoder, draws: Sequence[int]) -> list[Projected]:
    """Return random projections to an encoder's width, of what its layer 0 sees and at least 100 ms on either side."""
    window_s = max(seen_by_layer_0(encoder) or 0.0, _LEAST_S)
    return [Projected(encoder.width, window_s, draw) for draw in draws]
