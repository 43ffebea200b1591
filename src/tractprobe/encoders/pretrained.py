"""Encoders by Hub id or local folder, through transformers: safetensors weights only, never any code from the Hub."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tractprobe.encoders.assembly import check_described, check_readable, drawn, encoder_of, needs_extractor
from tractprobe.encoders.codec import CODECS
from tractprobe.encoders.declared import (
    check_instructions,
    check_no_adapter,
    check_no_methods,
    extractor_of,
    preprocessor_missing,
)
from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.execution import Execution
from tractprobe.encoders.model_files import CONFIG, PREPROCESSOR, ModelFiles, one_line
from tractprobe.encoders.raised import Raised
from tractprobe.system.errors import EncoderError
from tractprobe.system.files import file_safe

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
    files = ModelFiles.of(name, revision, local_files_only)
    described = files.config()
    if (folder := Path(name).expanduser()).is_dir():
        Raised.read(folder)  # records say what it says of itself: if damaged, it is refused before anything is computed
    config = _config(described, files)
    check_no_adapter(files)
    given = config.model_type in CODECS or (normalise is not None and not needs_extractor(config.model_type))
    extractor = _extractor(files, config, optional=given)
    model = _weights(files, config) if random_seed is None else drawn(config, random_seed)
    origin = {"revision": commit} if (commit := _commit(files)) else {}
    execution = Execution(dtype, compiled)
    return encoder_of(
        model, None if given else extractor, label or file_safe(name), normalise, execution, silence_s, **origin
    )


def _config(described: Mapping[str, Any], files: ModelFiles) -> Any:
    """Return transformers' configuration of a model that can be read, once nothing in it is more than a description."""
    from transformers import CONFIG_MAPPING

    where = files.place(CONFIG)
    check_readable(str(described.get("model_type")), files.name)
    check_instructions(described, where)
    kind = CONFIG_MAPPING[described["model_type"]]
    check_no_methods(described, kind, where)
    try:
        return kind.from_dict(dict(described), name_or_path=files.location)
    except Exception as error:  # transformers checks settings in many ways
        raise EncoderError(f"{where}: {one_line(error)}") from None


def _commit(files: ModelFiles) -> str | None:
    """Return the model's commit on the Hub, also for a folder filled by ``hf download``; None if it is unknown."""
    from huggingface_hub import try_to_load_from_cache

    if files.folder is None:
        cached = try_to_load_from_cache(files.location, CONFIG, revision=files.revision)
        commit = Path(cached).parent.name if isinstance(cached, str) else ""
    elif (note := files.folder / ".cache/huggingface/download/config.json.metadata").is_file():
        commit = next(iter(note.read_text(encoding="utf-8", errors="replace").splitlines()), "")
    else:
        place = files.folder.resolve()
        commit = place.name if place.parent.name == "snapshots" else ""
    return commit if re.fullmatch(r"[0-9a-f]{40}", commit) else None


def _extractor(files: ModelFiles, config: Any, *, optional: bool) -> Any:
    """Return the model's preprocessor, compared with what is done here; ``None`` if it is optional and missing."""
    declared = files.preprocessor()
    if declared is not None:
        return extractor_of(declared, config, files.place(PREPROCESSOR))
    if not optional:
        raise preprocessor_missing(files, needs_extractor(config.model_type))
    return None


def _weights(files: ModelFiles, config: Any) -> Any:
    import transformers
    from safetensors import SafetensorError

    if (size := files.weights_bytes()) is not None:
        check_described(config, size, files.location)
    if not sys.stderr.isatty():
        transformers.utils.logging.disable_progress_bar()
    try:
        model, report = transformers.AutoModel.from_pretrained(
            files.location,
            config=config,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below
            revision=files.revision,
            local_files_only=files.local_files_only,
        )
    except (OSError, ValueError, SafetensorError) as error:
        if files.folder is None:
            raise _not_on_the_hub(files, error) from error
        raise EncoderError(f"{files.location}: its weights cannot be read: {one_line(error)}") from error
    except Exception as error:  # whatever else settings make the architecture raise
        raise EncoderError(f"{files.place(CONFIG)} describes no model that can be built: {one_line(error)}") from error
    _check_complete(files, report)
    return model


def _not_on_the_hub(files: ModelFiles, error: Exception) -> EncoderError:
    return EncoderError(
        f"{files.unreachable(error)}. Weights must be safetensors; if a repository has them only in a pull request "
        "(docs/models.md), add model.revision=refs/pr/<number>, to hf download --revision refs/pr/<number>"
    )


def _check_complete(files: ModelFiles, report: Mapping[str, Any]) -> None:
    """Raise EncoderError unless the file has every weight of the model, in its shape."""
    differing: list[Any] = sorted(report["mismatched_keys"])
    if differing:
        name, in_file, in_model = differing[0]
        others = f", and {len(differing) - 1} more" if len(differing) > 1 else ""
        raise EncoderError(
            f"{files.name}: {name} has shape {tuple(in_file)} in the file of weights and {tuple(in_model)} by "
            f"{CONFIG}{others}; the two are of different models: download both again"
        )
    if missing := sorted(set(report["missing_keys"]) - _DISPENSABLE):
        others = ", ..." if len(missing) > 3 else ""
        raise EncoderError(
            f"{files.name}: its file lacks {len(missing)} weights that the model needs "
            f"({', '.join(missing[:3])}{others}), which would be random; download it again, with its own {CONFIG}"
        )
