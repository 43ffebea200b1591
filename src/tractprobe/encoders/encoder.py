"""Encoder: waves in, hidden states of every layer out; frozen, and independent of the rest of the batch.

Layer 0 is the input of block 1 (for HuBERT and related models the projected convolutional features with their
positions), layer k the output of block k, the last layer the final output after the last norm (``last_hidden_state``,
because the meaning of ``hidden_states[-1]`` differs between releases of transformers). Encoders without blocks have
only layer 0.
"""

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.encoders.frames import FrameGeometry
from tractprobe.system.errors import EncoderError
from tractprobe.system.files import digest

# Keys of a transformers configuration that say where it came from and what wrote it.
_WITHOUT_EFFECT = ("_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype")

Storage = Literal["float16", "float32"]
"""Precisions that states are rounded to."""

# The underscore: waves and states of one batch differ in length.
Wave = Float[Tensor, " _sample"]
States = Float[Tensor, "layer _time width"]


@runtime_checkable
class TimedStates(Protocol):
    """States of a corpus that are there already, with frames where they say."""

    def times_s(self, utterance_id: str) -> Float[np.ndarray, " time"]:
        """Return the frames' centres in seconds from the start of the audio."""
        ...

    def read(self, utterance_id: str, layers: Sequence[int]) -> Shaped[np.ndarray, "layer time width"]:
        """Return the states of an utterance at some layers."""
        ...


class Encoder(nn.Module):
    """A frozen map from a 16 kHz wave to frames.

    Attributes
    ----------
    label
        Short name, as it appears in run directories and tables.
    num_layers
        Number of hidden states of each frame.
    width
        Number of features of each hidden state.
    geometry
        Times and receptive field of the frames.
    identity
        Plain values that name everything that determines the output; equal identities mean equal states.
    context_frames
        Number of frames on either side on which a frame depends in addition to its own field; ``None`` if it depends on
        the whole wave.
    span
        Length in samples of the windows into which longer waves are cut, each encoded separately; ``None`` if waves are
        not cut.
    """

    context_frames: int | None = None
    span: int | None = None

    def __init__(self, label: str, num_layers: int, width: int, geometry: FrameGeometry, identity: dict[str, Any]):
        super().__init__()
        self.label, self.num_layers, self.width, self.geometry = label, num_layers, width, geometry
        self.identity = identity

    def identity_on(self, corpora: Sequence[PreparedCorpus]) -> dict[str, Any]:
        """Return the identity of what the encoder makes of some corpora: its own, if it computes that."""
        return self.identity

    def open_states(self, corpus: PreparedCorpus, storage: Storage) -> TimedStates | None:
        """Open a corpus's states that were computed elsewhere; ``None``: they are computed here, from waves."""
        return None

    @abstractmethod
    def count_frames(self, num_samples: int) -> int:
        """Return how many frames a wave of ``num_samples`` samples has."""

    @abstractmethod
    def encode(self, waves: Sequence[Wave]) -> list[States]:
        """Return the states of each wave; called without gradients and in eval mode."""

    def survey(self, blocks: Iterable[Wave]) -> Any:
        """Return what a piece must know about the whole wave; ``None``, without reading it, if that is nothing."""
        return None

    def encode_piece(self, wave: Wave, whole: Any) -> States:
        """Return the states of a piece of a surveyed wave; only called if ``survey`` does not return ``None``."""
        raise NotImplementedError

    @torch.no_grad()
    def piece(self, wave: Wave, whole: Any) -> States:
        """Return the states of a piece of a longer wave, normalised by the statistics of all of it.

        Parameters
        ----------
        whole
            Result of ``survey``; with ``None`` the piece is encoded as a complete wave.
        """
        return self.encode([wave])[0] if whole is None else self.encode_piece(wave, whole)

    def truncate(self, deepest: int) -> "Encoder":
        """Drop the blocks after layer ``deepest``; the remaining states are the same to the bit.

        The identity changes, because the encoder now returns fewer states.
        """
        if not 0 <= deepest < self.num_layers:
            raise EncoderError(f"{self.label} has layers 0 to {self.num_layers - 1}, not {deepest}")
        if deepest < self.num_layers - 1:
            self._cut(deepest)
            self.num_layers = deepest + 1
            self.identity = self.identity | {"deepest": deepest}
        return self

    def _cut(self, blocks: int) -> None:
        """Keep the first ``blocks`` blocks and nothing after them; only called on encoders that have blocks."""
        raise NotImplementedError

    @torch.no_grad()
    def forward(self, waves: Sequence[Wave]) -> list[States]:
        """Return the states of each wave, independent of the other waves (to within 1e-4 in float32)."""
        return self.encode(waves)

    def train(self, mode: bool = True) -> "Encoder":
        """Stay in eval mode: frozen means without dropout, layer drop and masking, whatever mode is requested."""
        return super().train(False)

    def freeze(self) -> "Encoder":
        """Exclude the parameters from training; constructors call this last."""
        self.requires_grad_(False)
        return self.train(False)


def model_identity(model: nn.Module, extractor: Any = None) -> dict[str, Any]:
    """Return what determines a transformers model's output: type, weights, configuration and feature extractor."""
    config: Any = getattr(model, "config")  # noqa: B009
    settings = {key: value for key, value in config.to_dict().items() if key not in _WITHOUT_EFFECT}
    return {
        "encoder": config.model_type,
        "weights_sha256": weights_sha256(model),
        "config_sha256": digest(settings),
        "extractor_sha256": digest(extractor.to_dict()) if extractor is not None else None,
    }


def weights_sha256(module: nn.Module) -> str:
    """Return a hash of all parameters and buffers, by name."""
    total = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        total.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return total.hexdigest()
