"""Wrapping a transformers model and its preprocessor as an encoder, with trained or randomly drawn weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from typing import Any

import torch

from tractprobe.encoders.codec import CODECS, Codec
from tractprobe.encoders.encoder import Encoder, model_identity
from tractprobe.encoders.execution import Execution
from tractprobe.encoders.model_files import one_line
from tractprobe.encoders.w2v_bert import W2vBert
from tractprobe.encoders.wav2vec2 import FAMILY, Wav2Vec2
from tractprobe.encoders.whisper import Whisper
from tractprobe.system.errors import EncoderError

READABLE = (*FAMILY, "wav2vec2-bert", "whisper", *CODECS)
_most_drawn = ContextVar("_most_drawn", default=4_000_000_000)
_DISPENSABLE_WEIGHTS = 100_000  # used in pretraining alone, and left out by fine-tuned checkpoints


def check_readable(model_type: str, name: str) -> None:
    """Raise EncoderError unless a type of model is one of READABLE."""
    if model_type not in READABLE:
        raise EncoderError(f"{name} is a {model_type}; supported are {', '.join(READABLE)}")


def needs_extractor(model_type: str) -> bool:
    """Return whether a model takes spectra, made by its own preprocessor, instead of waves."""
    return model_type in ("wav2vec2-bert", "whisper")


def encoder_of(
    model: Any,
    extractor: Any,
    label: str,
    normalise: bool | None,
    execution: Execution,
    silence_s: float | None = None,
    **origin: Any,
) -> Encoder:
    """Wrap a model; ``origin`` becomes part of its identity, and ``normalise`` is by default the extractor's."""
    config = model.config
    if config.model_type == "whisper":
        model = model.encoder
    elif silence_s is not None:
        raise EncoderError(f"model.silence_s is only for Whisper; {label} gets no silence after a wave")
    identity = model_identity(model, extractor) | origin
    if config.model_type == "whisper":
        return Whisper(model, extractor, label, identity, execution, silence_s)
    if config.model_type == "wav2vec2-bert":
        return W2vBert(model, extractor, label, identity, execution)
    if config.model_type in CODECS:
        return Codec(model, label, identity, execution)
    normalise = bool(extractor.do_normalize) if normalise is None else normalise
    return Wav2Vec2(model, label, normalise, identity, execution)


def drawn(config: Any, seed: int) -> Any:
    """Return a model with initial weights drawn with a seed; the state of the global generator is unchanged."""
    from transformers import AutoModel

    if (size := count_weights(config)) > (most := _most_drawn.get()):
        raise EncoderError(f"a model of {size:.2g} weights; at most {most:.2g} can be drawn at random")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModel.from_config(config, dtype=torch.float32)


def count_weights(config: Any) -> int:
    """Return how many weights a configuration describes, without memory for them."""
    from transformers import AutoModel

    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return sum(weights.numel() for weights in AutoModel.from_config(deepcopy(config)).parameters())


def check_described(config: Any, weights_bytes: int, name: str) -> None:
    """Raise EncoderError if a model has more weights than its files can hold: the others would be drawn at random."""
    try:
        size = count_weights(config)
    except Exception as error:  # whatever settings make the architecture raise
        raise EncoderError(f"config.json of {name} describes no model that can be built: {one_line(error)}") from error
    if size > weights_bytes + _DISPENSABLE_WEIGHTS:
        raise EncoderError(
            f"{name}: config.json describes {size} weights, but the files of weights have {weights_bytes} bytes; the "
            "two are of different models: download both again"
        )


@contextmanager
def drawing_at_most(weights: int) -> Iterator[None]:
    """Within the block, let no larger model be drawn at random, whatever asks for it."""
    token = _most_drawn.set(min(weights, _most_drawn.get()))
    try:
        yield
    finally:
        _most_drawn.reset(token)
