"""What a model's files declare, compared with what is done here: nothing is passed over in silence.

A configuration describes an architecture. Keys by which transformers is told to fetch, run, patch or quantise something
are refused, whoever wrote them; so are numbers that only a mistake or an attack explains. A preprocessor declares the
rate, channels and spectra that a model was trained on, which are compared before anything is built from them.
"""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from tractprobe.encoders.model_files import PREPROCESSOR, ModelFiles, one_line
from tractprobe.signals.audio import RATE_HZ
from tractprobe.system.errors import EncoderError

_BUILT_IN = (None, "eager", "sdpa")
_INSTRUCTIONS = {
    "auto_map": "code of its own",
    "custom_pipelines": "code of its own",
    "custom_generate": "code of its own",
    "trust_remote_code": "code of its own",
    "configuration_files": "another configuration",
    "transformers_weights": "other files of weights",
    "gguf_file": "other files of weights",
    "extra_files": "other files of weights",
    "quantization_config": "quantised weights",
    "compression_config": "quantised weights",
    "adapter_kwargs": "an adapter",
    "peft_config": "an adapter",
    "fusion_config": "patched modules",
    "per_layer_config": "patched modules",
    "mtp_per_layer_config": "patched modules",
    "distributed_config": "a distribution over devices",
    "device_map": "a distribution over devices",
    "use_kernels": "kernels from elsewhere",
    "allow_all_kernels": "kernels from elsewhere",
}
"""Keys of a configuration that transformers (5.23) or its integrations act on, and what they ask for."""
_MOST = {"layers": 512, "labels": 100_000, "mel_bins": 1024, "source_positions": 30_000}
"""Greatest numbers, by the end of a key's name: transformers builds lists and modules of them before any weight."""
_ADAPTER = "adapter_config.json"


def check_instructions(config: Mapping[str, Any], where: str) -> None:
    """Raise EncoderError for a configuration that asks for more than an architecture.

    Parameters
    ----------
    where
        The file, or the setting, that messages name.
    """
    for key, value in _entries(config):
        asked = _INSTRUCTIONS.get(key.lstrip("_"))
        if asked is None and key.endswith("_implementation") and value not in _BUILT_IN:
            asked = "an implementation that is not built in"
        if asked is None and "kernel" in key and isinstance(value, (str, bool, Mapping)):
            asked = "kernels from elsewhere"
        if asked is None and key.endswith(("tp_plan", "pp_plan", "ep_plan", "fsdp_plan")):
            asked = "a distribution over devices"
        if asked is not None and value is not None and value is not False:
            raise EncoderError(
                f"{where}: {key} asks for {asked}, which is never followed; if the model is an unchanged architecture "
                "of transformers with plain weights, remove the key, otherwise use another model"
            )
        limit = next((most for end, most in _MOST.items() if key.endswith(end)), None)
        if limit is not None and isinstance(value, (int, float)) and not 0 <= value <= limit:
            raise EncoderError(f"{where}: {key}={value!r:.20} is beyond any model; expected 0 to {limit}")


def _entries(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        yield str(key), value
        if isinstance(value, Mapping):
            yield from _entries(value)


def check_no_methods(config: Mapping[str, Any], kind: type, where: str) -> None:
    """Raise EncoderError if a key would take the place of one of the configuration's methods."""
    if names := [key for key in config if key.startswith("__") or callable(getattr(kind, key, None))]:
        raise EncoderError(f"{where}: {names[0]} is no setting of a {kind.__name__}; remove the key")


def check_no_adapter(files: ModelFiles) -> None:
    """Raise EncoderError if an adapter lies beside a model: it would be added where peft is installed, else not."""
    if files.folder and (files.folder / _ADAPTER).exists():
        raise EncoderError(
            f"{files.place(_ADAPTER)}: adapters are not applied; merge it into the weights with peft's "
            "merge_and_unload, or remove it to use the model without"
        )


def extractor_of(declared: Mapping[str, Any], config: Any, where: str) -> Any:
    """Build a model's preprocessor, once what it declares is what is done here.

    Parameters
    ----------
    declared
        Content of its file.
    config
        The model's configuration.
    where
        The file, for messages.

    Raises
    ------
    EncoderError
        It declares another rate, other channels or other spectra, or is not the preprocessor of such a model.
    """
    kind = _kind(config.model_type)
    named = declared.get("feature_extractor_type")
    if named is not None and named != kind.__name__:
        raise EncoderError(f"{where} describes a {named!r:.60}; a {config.model_type} has a {kind.__name__}")
    check_instructions(declared, where)
    defaults = {name: each.default for name, each in inspect.signature(kind.__init__).parameters.items()}
    expected = _expected(config, where)
    for key, (number, remedy) in expected.items():
        if (value := declared.get(key, defaults.get(key, number))) != number:
            raise EncoderError(f"{where}: {key}={value!r:.20}, but {remedy}")
    if type(normalise := declared.get("do_normalize", True)) is not bool:
        raise EncoderError(f"{where}: do_normalize={normalise!r:.20}; expected true or false")
    try:
        return kind.from_dict({key: expected[key][0] if key in expected else value for key, value in declared.items()})
    except Exception as error:  # transformers checks settings in many ways
        raise EncoderError(f"{where}: {one_line(error)}") from None


def preprocessor_missing(files: ModelFiles, needed: bool) -> EncoderError:
    """Return the error for a model without a preprocessor; ``needed``: its spectra cannot be made without one."""
    which = "which spectra it was trained on" if needed else "whether waves are standardised"
    folder = files.location if files.folder else "<folder of the model>"
    copy = f"copy it from the model's original: hf download <id> {PREPROCESSOR} --local-dir {folder}"
    instead = "" if needed else ", or give model.normalise=true or false"
    return EncoderError(f"{files.place(PREPROCESSOR)} is missing, which says {which}; {copy}{instead}")


def window_s(config: Any, where: str) -> int:
    """Return how long a Whisper's windows are, in seconds; EncoderError unless they are whole seconds."""
    seconds, rest = divmod(config.max_source_positions, 50)
    if rest or not seconds:
        problem = f"max_source_positions={config.max_source_positions}; expected a multiple of 50, which are a second"
        raise EncoderError(f"{where}: {problem}")
    return seconds


def _kind(model_type: str) -> Any:
    import transformers

    kinds = {"whisper": "WhisperFeatureExtractor", "wav2vec2-bert": "SeamlessM4TFeatureExtractor"}
    kinds |= {"encodec": "EncodecFeatureExtractor", "mimi": "EncodecFeatureExtractor", "dac": "DacFeatureExtractor"}
    return getattr(transformers, kinds.get(model_type, "Wav2Vec2FeatureExtractor"))


def _expected(config: Any, where: str) -> dict[str, tuple[Any, str]]:
    """Return what a preprocessor has to declare, and what to say if it does not."""
    rate = (
        RATE_HZ,
        f"encoders hear {RATE_HZ} Hz and audio is not resampled for one model: use a model of {RATE_HZ} Hz",
    )
    if config.model_type == "whisper":
        seconds = window_s(config, where)
        return {
            "sampling_rate": rate,
            "feature_size": (config.num_mel_bins, f"config.json has num_mel_bins={config.num_mel_bins}: one is wrong"),
            "chunk_length": (
                seconds,
                f"config.json has max_source_positions={config.max_source_positions}, which are {seconds} s: one of "
                "the two is wrong",
            ),
            "hop_length": (160, "only spectra with hop_length=160 (10 ms) are made here: use another model"),
            "n_fft": (400, "only spectra with n_fft=400 (25 ms) are made here: use another model"),
            "dither": (0.0, "states must not depend on chance: set dither=0.0"),
            "padding_side": ("right", "waves begin at the start of a window: set padding_side=right"),
        }
    if config.model_type == "wav2vec2-bert":
        return {
            "sampling_rate": rate,
            "num_mel_bins": (80, "only spectra of 80 filters are made here: use another model"),
            "feature_size": (80, "only spectra of 80 filters are made here: use another model"),
            "stride": (2, "only pairs of spectra (stride=2) are made here: use another model"),
            "padding_side": ("right", "waves begin at the first frame: set padding_side=right"),
            "return_attention_mask": (True, "padding is masked here: set return_attention_mask=true"),
        }
    if config.model_type in ("dac", "encodec", "mimi"):  # waves are resampled to a codec's own rate
        own_rate = (config.sampling_rate, f"config.json has sampling_rate={config.sampling_rate}: one is wrong")
        rate = own_rate
    return {
        "sampling_rate": rate,
        "feature_size": (1, "audio of one channel is encoded here: use another model"),
    }
