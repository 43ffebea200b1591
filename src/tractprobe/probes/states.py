"""What heads read: an encoder's hidden states, from the cache or encoded now, put together for each head."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.data.batches import Batch, StateReader
from tractprobe.data.features import FrameFeatures
from tractprobe.encoders.encoder import Encoder, Wave
from tractprobe.encoders.layers import Label, Layers, label, read_by
from tractprobe.encoders.state_cache import Storage, cached, check_finite, rounded
from tractprobe.probes.heads import Head
from tractprobe.runs.settings import Settings
from tractprobe.system.errors import ConfigError


@dataclass(frozen=True)
class HeadInput:
    """What one head reads: layers of the encoder and features besides them, side by side.

    Attributes
    ----------
    label
        What tables call it: a number for one layer, such as ``0+3`` for several.
    features
        Names of frame-wise features, which follow the layers; there may be no layers.
    """

    label: Label
    layers: Layers
    features: tuple[str, ...] = ()

    def __post_init__(self):
        if (not self.layers and not self.features) or len(set(self.features)) < len(self.features):
            raise ConfigError(f"input {self.label}: expected at least one layer or feature, and each feature once")

    @classmethod
    def of(cls, layers: Layers) -> "HeadInput":
        """Name some layers as tables do."""
        return cls(label(layers), layers)

    def width(self, encoder: Encoder, features: Mapping[str, FrameFeatures]) -> int:
        """Return how many numbers the head reads of a frame."""
        widths = [feature.width for feature in read_features([self], features).values()]
        return encoder.width * len(self.layers) + sum(widths)


def read_features(inputs: Iterable[HeadInput], features: Mapping[str, FrameFeatures]) -> dict[str, FrameFeatures]:
    """Return the features that some inputs read, once and by name; ConfigError if there are none of such a name."""
    names = sorted({name for read in inputs for name in read.features})
    if unknown := [name for name in names if name not in features]:
        raise ConfigError(f"no features {', '.join(unknown)}; there are {', '.join(sorted(features)) or 'none'}")
    return {name: features[name] for name in names}


@dataclass(frozen=True, eq=False)
class HiddenStates:
    """Hidden states of an encoder at the layers that some heads read, and what these read besides.

    Attributes
    ----------
    layers
        Which are read, in order.
    storage
        The precision that states are rounded to, cached or not.
    caches
        By corpus; ``None`` where waves are encoded as batches come.
    features
        What batches carry beside states, in this order.
    """

    encoder: Encoder
    layers: Layers
    storage: Storage
    caches: Mapping[str, StateReader] | None = None
    features: Mapping[str, FrameFeatures] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        encoder: Encoder,
        corpora: Sequence[PreparedCorpus],
        inputs: Sequence[HeadInput],
        settings: Settings,
        device: torch.device,
        features: Mapping[str, FrameFeatures] | None = None,
    ) -> "HiddenStates":
        """Open the states of corpora, having encoded what is not cached; without a cache, batches are encoded later."""
        layers, storage = read_by([read.layers for read in inputs]), settings.features.storage
        caches: Mapping[str, StateReader] | None = _stored(encoder, corpora, storage) or None
        if caches is None and settings.features.cache and layers:
            loading, cache = settings.data, settings.paths.cache
            caches = {
                corpus.name: cached(encoder, corpus, cache, storage, device, loading.batch_size, loading.num_workers)
                for corpus in corpora
            }
        return cls(encoder, layers, storage, caches, read_features(inputs, features or {}))

    def at(self, batch: Batch) -> Shaped[Tensor, "layer batch time width"]:
        """Return a batch's states: cached ones as they are, otherwise encoded now and rounded in the same way.

        Raises
        ------
        EncoderError
            A layer holds NaN or infinity, wherever it comes from.
        """
        if not self.layers:
            return self.none(*batch.present.shape).to(batch.present.device)
        if batch.states is not None:
            check_finite(batch.states, self.layers, self._named(*batch.ids))
            return batch.states
        encoded = [self.of_wave(states, id_) for id_, states in zip(batch.ids, self.encoder(batch.waves), strict=True)]
        time_first = [states.transpose(0, 1) for states in encoded]
        return torch.nn.utils.rnn.pad_sequence(time_first, batch_first=True).permute(2, 0, 1, 3)

    def none(self, *frames: int) -> Float[Tensor, "0 *frames width"]:
        """Return the states of no layer."""
        return torch.zeros(0, *frames, self.encoder.width)

    def of_wave(
        self, states: Float[Tensor, "_every_layer time width"], *ids: str
    ) -> Shaped[Tensor, "layer time width"]:
        """Return the layers that are read out of an encoder's output, rounded; ``ids`` name the wave in messages."""
        return rounded(states[list(self.layers)], self.storage, self.layers, self._named(*ids))

    def stored(self, corpus: str, utterance_id: str) -> Shaped[Tensor, "layer time width"]:
        """Return an utterance's cached states; EncoderError if a layer holds NaN or infinity."""
        assert self.caches is not None
        states = torch.from_numpy(self.caches[corpus].read(utterance_id, self.layers))
        check_finite(states, self.layers, self._named(utterance_id))
        return states

    def _named(self, *ids: str) -> str:
        return ", ".join((self.encoder.label, *ids))

    @torch.no_grad()
    def encode(self, wave: Wave) -> Shaped[Tensor, "layer time width"]:
        """Encode one wave by itself."""
        (states,) = self.encoder([wave])
        return self.of_wave(states)

    def side_by_side(
        self,
        inputs: Sequence[HeadInput],
        states: Shaped[Tensor, "layer *frames width"],
        features: Float[Tensor, "*frames width_of_features"] | None = None,
    ) -> Shaped[Tensor, "head *frames _width"]:
        """Return the input of each head out of the layers and features that were read; all are equally wide."""
        if features is None and [read.layers for read in inputs] == [(layer,) for layer in self.layers]:
            return states
        parts: dict[int | str, Tensor] = dict(zip(self.layers, states, strict=True))
        if features is not None:
            widths = [feature.width for feature in self.features.values()]
            parts |= dict(zip(self.features, features.split(widths, dim=-1), strict=True))
        return torch.stack(
            [torch.cat([parts[name] for name in (*read.layers, *read.features)], dim=-1) for read in inputs]
        )

    def read_by(
        self,
        head: Head,
        inputs: Sequence[HeadInput],
        states: Shaped[Tensor, "layer *frames width"],
        features: Float[Tensor, "*frames width_of_features"] | None = None,
    ) -> Shaped[Tensor, "head *frames _width"]:
        """Return what a bank takes: an input for each head, or the layers that its one head adds up."""
        return states if head.combines_layers else self.side_by_side(inputs, states, features)


def _stored(encoder: Encoder, corpora: Sequence[PreparedCorpus], storage: Storage) -> dict[str, StateReader]:
    """Return the states of corpora that were computed elsewhere; empty for an encoder that computes them."""
    opened = {corpus.name: encoder.open_states(corpus, storage) for corpus in corpora}
    return {name: states for name, states in opened.items() if states is not None}
