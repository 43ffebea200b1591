"""A batch's hidden states, read from the cache or encoded now."""

from collections.abc import Sequence

import torch
from jaxtyping import Shaped

from tractprobe.data.datamodule import Batch
from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.state_cache import Storage, rounded


def states_of(
    batch: Batch, encoder: Encoder, layers: Sequence[int], storage: Storage
) -> Shaped[torch.Tensor, "layer batch time width"]:
    """Return a batch's hidden states: cached ones as they are, otherwise encoded now and rounded alike."""
    if batch.states is not None:
        return batch.states
    encoded = [rounded(states[list(layers)], storage) for states in encoder(batch.waves)]
    time_first = [states.transpose(0, 1) for states in encoded]
    return torch.nn.utils.rnn.pad_sequence(time_first, batch_first=True).permute(2, 0, 1, 3)
