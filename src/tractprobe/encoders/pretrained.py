"""Encoders by Hub id or local folder, through transformers: safetensors weights only, no code of theirs ever run."""

import logging
import sys
from pathlib import Path
from typing import Any

import torch

from tractprobe.encoders import Encoder, model_identity
from tractprobe.encoders.wav2vec2 import FAMILY, Wav2Vec2
from tractprobe.encoders.whisper import Whisper
from tractprobe.errors import EncoderError, first_line
from tractprobe.files import file_safe

log = logging.getLogger(__name__)

# Only used to mask time steps in pretraining; fine-tuned checkpoints leave it out.
_DISPENSABLE = {"masked_spec_embed"}


def pretrained(
    name: str,
    label: str | None = None,
    revision: str | None = None,
    normalise: bool | None = None,
    local_files_only: bool = False,
) -> Encoder:
    """Load a speech encoder of the wav2vec 2.0 family or a Whisper.

    Parameters
    ----------
    name
        Hub id such as ``facebook/hubert-base-ls960``, or a local folder in transformers' format.
    label
        Name in run directories and tables; made from ``name`` if not given.
    revision
        Branch, tag or commit on the Hub.
    normalise
        Whether waves are standardised first; the model's own preprocessor says so if not given.
    local_files_only
        Never ask the Hub.
    """
    source = _source(name)
    options: dict[str, Any] = {"revision": revision, "local_files_only": local_files_only}
    config = _ask(name, lambda t: t.AutoConfig.from_pretrained(source, trust_remote_code=False, **options))
    if config.model_type not in (*FAMILY, "whisper"):
        raise EncoderError(f"{name} is a {config.model_type}; these can be read: {', '.join((*FAMILY, 'whisper'))}")
    extractor = _extractor(name, source, options, optional=normalise is not None and config.model_type != "whisper")
    model = _weights(name, source, options)
    label = label or file_safe(name)
    heard = model.encoder if config.model_type == "whisper" else model
    identity = model_identity(heard, extractor)
    if config.model_type == "whisper":
        return Whisper(heard, extractor, label, identity)
    normalise = bool(extractor.do_normalize) if normalise is None else normalise
    return Wav2Vec2(model, label, normalise, identity | {"normalise": normalise})


def _source(name: str) -> str:
    path = Path(name).expanduser()
    if path.is_dir():
        return str(path)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise EncoderError(f"model.name={name}: no such folder ({path.resolve()}), and no Hub id either")
    return name


def _ask(name: str, load: Any) -> Any:
    import transformers
    from huggingface_hub.constants import HF_HUB_CACHE, HF_HUB_OFFLINE
    from safetensors import SafetensorError

    if not sys.stderr.isatty():
        transformers.utils.logging.disable_progress_bar()
    try:
        return load(transformers)
    except (OSError, ValueError, SafetensorError) as error:
        # Both are raised for an unreachable Hub, an unknown id and a folder that lacks a file; the text tells which.
        offline = ", which is switched off by HF_HUB_OFFLINE" if HF_HUB_OFFLINE else ""
        raise EncoderError(
            f"cannot load {name}: looked for a folder {Path(name).expanduser().resolve()}, in the cache {HF_HUB_CACHE} "
            f"and on the Hub{offline}: {first_line(error)}\n"
            f"Where there is a network: hf download {name} --local-dir models/{file_safe(name)}\n"
            f"then, anywhere: model=hub model.name=models/{file_safe(name)}"
        ) from error


def _extractor(name: str, source: str, options: dict[str, Any], *, optional: bool) -> Any:
    if optional:
        return None
    try:
        return _ask(name, lambda t: t.AutoFeatureExtractor.from_pretrained(source, trust_remote_code=False, **options))
    except EncoderError as error:
        if not Path(source).is_dir():
            raise
        raise EncoderError(
            f"{source} has no readable preprocessor_config.json, which says whether waves are standardised; "
            "copy it there or give model.normalise=true or false"
        ) from error


def _weights(name: str, source: str, options: dict[str, Any]) -> Any:
    def load(transformers: Any) -> Any:
        return transformers.AutoModel.from_pretrained(
            source,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
            **options,
        )

    model, report = _ask(name, load)
    if missing := sorted(set(report["missing_keys"]) - _DISPENSABLE):
        raise EncoderError(
            f"{name}: its file lacks {len(missing)} weights that the model needs ({', '.join(missing[:3])}, ...); "
            "they would be random"
        )
    return model
