"""The control that needs no download: HuBERT's architecture, made small, with weights that never saw speech."""

import torch

from tractprobe.encoders import Encoder, model_identity
from tractprobe.encoders.wav2vec2 import Wav2Vec2
from tractprobe.errors import ConfigError


def untrained(
    label: str = "random", seed: int = 0, layers: int = 4, width: int = 128, heads: int = 4, channels: int = 96
) -> Encoder:
    """Build a HuBERT (group norm, as its base model has) of so many blocks and features, with random weights.

    What can be read from it comes from the architecture and the sound alone. ``channels`` is the width of the seven
    convolutions, whose kernels and strides are HuBERT's own.
    """
    from transformers import HubertConfig, HubertModel

    if min(layers, width, heads, channels) < 1 or width % heads or width % 16:
        raise ConfigError("model.width is a multiple of model.heads and of 16; layers and channels are positive")
    config = HubertConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        conv_dim=(channels,) * 7,
        feat_extract_norm="group",
        # Weights of blocks have a deviation of 0.02 at HuBERT's width of 768; scaled so, narrower blocks do as much.
        initializer_range=0.02 * (768 / width) ** 0.5,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = HubertModel(config)
    return Wav2Vec2(model, label, normalise=True, identity=model_identity(model) | {"normalise": True})
