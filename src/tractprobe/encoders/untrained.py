"""Controls that were never trained and need no download: architectures with random weights."""

from collections.abc import Mapping
from typing import Any

from tractprobe.encoders.assembly import check_readable, drawn, encoder_of, needs_extractor
from tractprobe.encoders.declared import check_instructions, check_no_methods, extractor_of, window_s
from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.execution import Execution
from tractprobe.encoders.model_files import one_line
from tractprobe.encoders.sizes import check_blocks
from tractprobe.system.errors import ConfigError, EncoderError
from tractprobe.system.registry import did_you_mean

_ARCHITECTURE = "model.architecture"


def untrained(
    label: str = "random",
    seed: int = 0,
    layers: int = 4,
    width: int = 128,
    heads: int = 4,
    channels: int = 96,
    about: Mapping[str, Any] | None = None,
) -> Encoder:
    """Build a HuBERT (with a group norm, like its base model) of ``layers`` blocks and ``width`` features, untrained.

    Whatever a head reads from it comes from the architecture and the sound alone. ``channels`` is the width of the
    seven convolutions, with HuBERT's own kernels and strides; ``about`` is stored with the results.
    """
    from transformers import HubertConfig

    check_blocks(layers, width, heads, channels)
    config = HubertConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        conv_dim=(channels,) * 7,
        feat_extract_norm="group",
        # At HuBERT's width of 768 the weights of blocks have a deviation of 0.02; scaled for the same effect here.
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
    """Build an architecture of transformers with weights drawn by its own initialisation.

    Parameters
    ----------
    architecture
        ``model_type`` as transformers names it, and differences from that type's defaults.
    seed
        Seed of the weights. Compare a trained model with several seeds.
    normalise
        Whether waves are standardised first, as the trained model of this architecture expects;
        no effect on Whisper and w2v-BERT, which take spectra.
    dtype, compiled
        See :class:`~tractprobe.encoders.execution.Execution`.
    about
        Facts about the model; stored with the results, without effect here.
    """
    config = described(architecture, label)
    try:
        model = drawn(config, seed)
    except EncoderError:
        raise
    except Exception as error:  # whatever settings make the architecture raise
        raise ConfigError(f"{_ARCHITECTURE}: {one_line(error)}") from error
    return encoder_of(model, _extractor(config), label, normalise, Execution(dtype, compiled))


def described(architecture: Mapping[str, Any], label: str) -> Any:
    """Return transformers' configuration of an architecture; ConfigError for a setting that its type does not have."""
    from transformers import CONFIG_MAPPING, AutoConfig

    model_type = str(architecture.get("model_type"))
    check_readable(model_type, label)
    check_instructions(architecture, _ARCHITECTURE)
    check_no_methods(architecture, CONFIG_MAPPING[model_type], _ARCHITECTURE)
    _check_known(architecture, AutoConfig.for_model(model_type))
    try:
        return AutoConfig.for_model(**architecture)
    except Exception as error:  # transformers checks settings in many ways
        raise ConfigError(f"{_ARCHITECTURE}: {one_line(error)}") from error


def _check_known(architecture: Mapping[str, Any], default: Any) -> None:
    """Raise ConfigError for a key that the type has no use for: transformers stores whatever it is given."""
    for key in architecture:
        if not (hasattr(default, key) or hasattr(default, f"_{key}")):
            close = did_you_mean(key, default.to_dict(), listed=False, written=f"{_ARCHITECTURE}.{{}}")
            raise ConfigError(f"{_ARCHITECTURE}.{key}: {default.model_type} has no such setting{close}")


def _extractor(config: Any) -> Any:
    if not needs_extractor(config.model_type):
        return None
    of_whisper = {}
    if config.model_type == "whisper":
        of_whisper = {"feature_size": config.num_mel_bins, "chunk_length": window_s(config, _ARCHITECTURE)}
    return extractor_of(of_whisper, config, _ARCHITECTURE)
