"""What heads read: an encoder's hidden states, from the cache or encoded now, put together for each head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.data.datamodule import Batch, StateReader
from tractprobe.encoders.encoder import Encoder, Wave
from tractprobe.encoders.layers import Label, Layers, label, read_by
from tractprobe.encoders.state_cache import Storage, cached, rounded
from tractprobe.probes.heads import Head
from tractprobe.runs.settings import Settings


@dataclass(frozen=True)
class HeadInput:
    """What one head reads: layers of the encoder, side by side.

    Attributes
    ----------
    label
        What tables call it: a number for one layer, for several such as ``0+3``.
    """

    label: Label
    layers: Layers

    @classmethod
    def of(cls, layers: Layers) -> "HeadInput":
        """Name some layers as tables do."""
        return cls(label(layers), layers)


@dataclass(frozen=True, eq=False)
class HiddenStates:
    """Hidden states of an encoder at the layers that some heads read.

    Attributes
    ----------
    layers
        Which are read, in order.
    storage
        The precision that states are rounded to, cached or not.
    caches
        By corpus; ``None`` where waves are encoded as batches come.
    """

    encoder: Encoder
    layers: Layers
    storage: Storage
    caches: Mapping[str, StateReader] | None = None

    @classmethod
    def of(
        cls,
        encoder: Encoder,
        corpora: Sequence[PreparedCorpus],
        inputs: Sequence[HeadInput],
        settings: Settings,
        device: torch.device,
    ) -> "HiddenStates":
        """Open the states of corpora, having encoded what is not cached; or, without a cache, leave that for later."""
        caches: Mapping[str, StateReader] | None = None
        storage = settings.features.storage
        if stored := _stored(encoder, corpora, storage):
            caches = stored
        elif settings.features.cache:
            loading, cache = settings.data, settings.paths.cache
            caches = {
                corpus.name: cached(encoder, corpus, cache, storage, device, loading.batch_size, loading.num_workers)
                for corpus in corpora
            }
        layers = read_by([one.layers for one in inputs])
        return cls(encoder, layers, settings.features.storage, caches)

    def at(self, batch: Batch) -> Shaped[Tensor, "layer batch time width"]:
        """Return a batch's states: cached ones as they are, otherwise encoded now and rounded alike."""
        if batch.states is not None:
            return batch.states
        encoded = [self.of_wave(states) for states in self.encoder(batch.waves)]
        time_first = [states.transpose(0, 1) for states in encoded]
        return torch.nn.utils.rnn.pad_sequence(time_first, batch_first=True).permute(2, 0, 1, 3)

    def of_wave(self, states: Float[Tensor, "_every_layer time width"]) -> Shaped[Tensor, "layer time width"]:
        """Return of an encoder's output the layers that are read, rounded."""
        return rounded(states[list(self.layers)], self.storage)

    @torch.no_grad()
    def encode(self, wave: Wave) -> Shaped[Tensor, "layer time width"]:
        """Encode one wave by itself."""
        (states,) = self.encoder([wave])
        return self.of_wave(states)


def _stored(encoder: Encoder, corpora: Sequence[PreparedCorpus], storage: Storage) -> dict[str, StateReader]:
    """Return the states of corpora that were computed elsewhere; empty for an encoder that computes them."""
    opened = {corpus.name: encoder.open_states(corpus, storage) for corpus in corpora}
    return {name: states for name, states in opened.items() if states is not None}


def side_by_side(
    states: Shaped[Tensor, "layer *frames width"], read: Sequence[int], heads: Sequence[Layers]
) -> Shaped[Tensor, "head *frames _width"]:
    """Return each head's input out of the states of the layers that were read; all read equally many."""
    if all(len(layers) == 1 for layers in heads) and [layers[0] for layers in heads] == list(read):
        return states
    place = {layer: index for index, layer in enumerate(read)}
    return torch.stack([torch.cat([states[place[layer]] for layer in layers], dim=-1) for layers in heads])


def read_by_heads(
    states: Shaped[Tensor, "layer *frames width"], layers: Sequence[int], head: Head, inputs: Sequence[HeadInput]
) -> Shaped[Tensor, "head *frames _width"]:
    """Return what a bank takes: an input for each head, or the layers that its one head adds up."""
    return states if head.combines_layers else side_by_side(states, layers, [read.layers for read in inputs])
