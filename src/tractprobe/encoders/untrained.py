"""Controls that never saw speech and need no download: architectures with random weights."""

from collections.abc import Mapping
from typing import Any

from tractprobe.encoders.assembly import check_readable, drawn, encoder_of
from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.execution import Execution
from tractprobe.system.errors import ConfigError, first_line


def untrained(
    label: str = "random",
    seed: int = 0,
    layers: int = 4,
    width: int = 128,
    heads: int = 4,
    channels: int = 96,
    about: Mapping[str, Any] | None = None,
) -> Encoder:
    """Build a HuBERT (group norm, as its base model has) of so many blocks and features, with random weights.

    What can be read from it comes from the architecture and the sound alone. ``channels`` is the width of the seven
    convolutions, whose kernels and strides are HuBERT's own; ``about`` is kept with the results.
    """
    from transformers import HubertConfig

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
    return encoder_of(drawn(config, seed), None, label, normalise=True, execution=Execution())


def random_weights(
    label: str,
    architecture: Mapping[str, Any],
    seed: int = 0,
    normalise: bool = True,
    dtype: str = "float32",
    compiled: bool = False,
    about: Mapping[str, Any] | None = None,
) -> Encoder:
    """Build a known architecture with the weights that its own initialisation draws.

    Parameters
    ----------
    architecture
        ``model_type`` as transformers names it, and what differs from that type's defaults.
    seed
        Of the weights. Compare a trained model with several.
    normalise
        Whether waves are standardised first, as the trained model of this architecture expects;
        Whisper and w2v-BERT take spectra, and do not ask.
    dtype, compiled
        See :class:`~tractprobe.encoders.execution.Execution`.
    about
        What is known of the model; kept with the results, without effect here.
    """
    from transformers import AutoConfig

    model_type = str(architecture.get("model_type"))
    check_readable(model_type, label)
    try:
        config = AutoConfig.for_model(**architecture)
        model = drawn(config, seed)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"model.architecture: {first_line(error)}") from error
    return encoder_of(model, _extractor(config), label, normalise, Execution(dtype, compiled))


def _extractor(config: Any) -> Any:
    from transformers import SeamlessM4TFeatureExtractor, WhisperFeatureExtractor

    if config.model_type == "whisper":
        return WhisperFeatureExtractor(feature_size=config.num_mel_bins)
    return SeamlessM4TFeatureExtractor() if config.model_type == "wav2vec2-bert" else None
