"""Encoders by Hub id or local folder, through transformers: safetensors weights only, never any code from the Hub."""

import logging
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tractprobe.encoders.assembly import check_readable, drawn, encoder_of, needs_extractor
from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.execution import Execution
from tractprobe.system.errors import EncoderError, first_line
from tractprobe.system.files import file_safe

log = logging.getLogger(__name__)

# Only used to mask time steps in pretraining; fine-tuned checkpoints leave it out.
_DISPENSABLE = {"masked_spec_embed"}


def pretrained(
    name: str,
    label: str | None = None,
    revision: str | None = None,
    normalise: bool | None = None,
    local_files_only: bool = False,
    dtype: str = "float32",
    compiled: bool = False,
    silence_s: float | None = None,
    random_seed: int | None = None,
    about: Mapping[str, Any] | None = None,
) -> Encoder:
    """Load a speech encoder of the wav2vec 2.0 family, a w2v-BERT or a Whisper.

    Parameters
    ----------
    name
        Hub id such as ``facebook/hubert-base-ls960``, or a local folder in transformers' format.
    label
        Name in run directories and tables; by default made from ``name``.
    revision
        Branch, tag or commit on the Hub.
    normalise
        Whether waves are standardised first; by default as in the model's own preprocessor.
    local_files_only
        Never contact the Hub.
    dtype, compiled
        See :class:`~tractprobe.encoders.execution.Execution`.
    silence_s
        See :class:`~tractprobe.encoders.whisper.Whisper`; an error for other models.
    random_seed
        Draw random weights with this seed instead of reading the trained ones: a control for any model.
    about
        Facts about the model (licence, size, training data); stored with the results, without effect here.
    """
    location = _location(name)
    options: dict[str, Any] = {"revision": revision or "main", "local_files_only": local_files_only}
    config = _ask(name, lambda t: t.AutoConfig.from_pretrained(location, trust_remote_code=False, **options))
    check_readable(config.model_type, name)
    given = normalise is not None and not needs_extractor(config.model_type)
    extractor = _extractor(name, location, options, optional=given)
    model = _weights(name, location, options) if random_seed is None else drawn(config, random_seed)
    origin = {"revision": commit} if (commit := _commit(location, options["revision"])) else {}
    execution = Execution(dtype, compiled)
    return encoder_of(model, extractor, label or file_safe(name), normalise, execution, silence_s, **origin)


def _location(name: str) -> str:
    """Return the local folder of a name, or else the name as a Hub id."""
    path = Path(name).expanduser()
    if path.is_dir():
        return str(path)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise EncoderError(f"model.name={name}: no such folder ({path.resolve()}), and not a Hub id either")
    return name


def _commit(location: str, revision: str) -> str | None:
    """Return the model's commit on the Hub, also for a folder filled by ``hf download``; None if it is unknown."""
    from huggingface_hub import try_to_load_from_cache

    folder, note = Path(location), Path(location, ".cache/huggingface/download/config.json.metadata")
    if not folder.is_dir():
        cached = try_to_load_from_cache(location, "config.json", revision=revision)
        commit = Path(cached).parent.name if isinstance(cached, str) else ""
    elif note.is_file():
        commit = next(iter(note.read_text(encoding="utf-8", errors="replace").splitlines()), "")
    else:
        commit = folder.resolve().name if folder.resolve().parent.name == "snapshots" else ""
    return commit if re.fullmatch(r"[0-9a-f]{40}", commit) else None


def _ask(name: str, load: Any) -> Any:
    import transformers
    from huggingface_hub.constants import HF_HUB_CACHE, HF_HUB_OFFLINE
    from safetensors import SafetensorError

    if not sys.stderr.isatty():
        transformers.utils.logging.disable_progress_bar()
    try:
        return load(transformers)
    except (OSError, ValueError, SafetensorError) as error:
        # Raised alike for an unreachable Hub, an unknown id and an incomplete folder; the text says which.
        offline = ", which is switched off by HF_HUB_OFFLINE" if HF_HUB_OFFLINE else ""
        raise EncoderError(
            f"cannot load {name}: looked for a folder {Path(name).expanduser().resolve()}, in the cache {HF_HUB_CACHE} "
            f"and on the Hub{offline}: {first_line(error)}\n"
            f"On a machine with a network: hf download {name} --local-dir models/{file_safe(name)}\n"
            f"then, anywhere: model=hub model.name=models/{file_safe(name)}\n"
            "Weights must be safetensors; if a repository has them only in a pull request (docs/models.md), add "
            "--revision refs/pr/<number>"
        ) from error


def _extractor(name: str, location: str, options: dict[str, Any], *, optional: bool) -> Any:
    if optional:
        return None
    try:
        return _ask(
            name, lambda t: t.AutoFeatureExtractor.from_pretrained(location, trust_remote_code=False, **options)
        )
    except EncoderError as error:
        if not Path(location).is_dir():
            raise
        raise EncoderError(
            f"{location} has no readable preprocessor_config.json, which says whether waves are standardised; "
            "copy it there or give model.normalise=true or false"
        ) from error


def _weights(name: str, location: str, options: dict[str, Any]) -> Any:
    def load(transformers: Any) -> Any:
        return transformers.AutoModel.from_pretrained(
            location,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
            **options,
        )

    model, report = _ask(name, load)
    if missing := sorted(set(report["missing_keys"]) - _DISPENSABLE):
        raise EncoderError(
            f"{name}: its file lacks {len(missing)} weights that the model needs ({', '.join(missing[:3])}, ...), "
            "which would be random"
        )
    return model
