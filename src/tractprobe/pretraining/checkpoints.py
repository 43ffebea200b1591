"""Checkpoints of a pretraining: safetensors and JSON, complete or not there.

``<name>.json`` names the file of tensors, with its hash, and is replaced last, so that a process that is killed while
it writes leaves the checkpoint before.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tractprobe.pretraining.optimiser import Optimiser
from tractprobe.system.errors import CorpusError, RunError, first_line
from tractprobe.system.files import atomic, clear_temporaries, file_sha256, is_there, read_json, write_json

log = logging.getLogger(__name__)

LAST, STABLE = "last", "stable"
"""The newest checkpoint, and the one before the cooldown."""
_SCHEMA = 1


@dataclass(frozen=True)
class Progressed:
    """How far a pretraining is.

    Attributes
    ----------
    update
        Updates made.
    identity
        Hash of what determines the weights.
    cooling
        The number of updates before the cooldown and of its own, once it has begun.
    heard_s
        Seconds of audio that were heard.
    stretches
        Of training without a break: precision, device, threads, updates and seconds of each.
    """

    update: int
    identity: str
    cooling: tuple[int, int] | None = None
    heard_s: float = 0.0
    stretches: tuple[dict[str, Any], ...] = field(default_factory=tuple)


def save_checkpoint(folder: Path, name: str, progressed: Progressed, model: nn.Module, optimiser: Optimiser) -> None:
    """Write weights, and the optimiser's moments and counts, in place of the checkpoint of this name."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in _tensors(model, optimiser).items()}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{progressed.update:08d}.safetensors"
    with atomic(path) as temporary:
        save_file(tensors, temporary)
    described = {"schema": _SCHEMA, "file": path.name, "sha256": file_sha256(path), **asdict(progressed)}
    write_json(folder / f"{name}.json", described)
    for other in folder.glob(f"{name}-*.safetensors"):
        if other != path:
            other.unlink(missing_ok=True)
    clear_temporaries(folder)


def read_progress(folder: Path, name: str) -> Progressed | None:
    """Return how far a checkpoint is; ``None`` if there is none of this name."""
    path = folder / f"{name}.json"
    if not is_there(path):
        return None
    return _described(path)[0]


def load_checkpoint(folder: Path, name: str, model: nn.Module, optimiser: Optimiser) -> Progressed:
    """Put a checkpoint into a model and its optimiser, whose parameters have to be those that were saved.

    Raises
    ------
    RunError
        The checkpoint is damaged, or of another model.
    """
    path = folder / f"{name}.json"
    progressed, file, sha256 = _described(path)
    try:
        if file_sha256(folder / file) != sha256:
            raise RunError(f"{folder / file}: changed since it was written; {_advice(folder)}")
        tensors = load_file(folder / file)
    except (OSError, SafetensorError) as error:
        raise RunError(f"{folder / file}: {first_line(error)}; {_advice(folder)}") from None
    expected = _shapes(model, optimiser)
    if {key: tuple(value.shape) for key, value in tensors.items()} != expected:
        raise RunError(f"{folder / file}: of another model; {_advice(folder)}")
    model.load_state_dict(
        {key.removeprefix("model."): value for key, value in tensors.items() if key.startswith("model.")}
    )
    for parameter_name, parameter in model.named_parameters():
        names = optimiser.moments(parameter)
        moments = {each: tensors[f"{each}.{parameter_name}"].to(parameter.device) for each in names}
        optimiser.state[parameter] = {"step": tensors[f"step.{parameter_name}"], **moments}
    return progressed


def _tensors(model: nn.Module, optimiser: Optimiser) -> dict[str, Tensor]:
    tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        state = optimiser.state.get(parameter) or {}
        for each in optimiser.moments(parameter):
            tensors[f"{each}.{name}"] = state.get(each, torch.zeros_like(parameter))
        tensors[f"step.{name}"] = state.get("step", torch.tensor(0.0))  # fewer where a layer was dropped
    return {key: value.clone() for key, value in tensors.items()}


def _shapes(model: nn.Module, optimiser: Optimiser) -> dict[str, tuple[int, ...]]:
    shapes = {f"model.{key}": tuple(value.shape) for key, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        shapes |= {f"{each}.{name}": tuple(parameter.shape) for each in optimiser.moments(parameter)}
        shapes[f"step.{name}"] = ()
    return shapes


def _described(path: Path) -> tuple[Progressed, str, str]:
    """Read a checkpoint's description strictly: progress, the file of tensors and its hash."""
    try:
        plain = read_json(path)
        return _typed(plain), _file_name(plain["file"]), str(plain["sha256"])
    except (CorpusError, LookupError, TypeError, ValueError) as error:
        problem = error.problem if isinstance(error, CorpusError) else first_line(error)
        raise RunError(f"{path}: not a checkpoint of tractprobe ({problem}); {_advice(path.parent)}") from None


def _typed(plain: Mapping[str, Any]) -> Progressed:
    kinds = {"update": int, "identity": str, "heard_s": float, "stretches": list}
    names = {each.name for each in fields(Progressed)} | {"schema", "file", "sha256"}
    if set(plain) != names or plain["schema"] != _SCHEMA:
        raise ValueError("other keys than expected")
    for name, kind in kinds.items():
        if type(plain[name]) is not kind or (kind in (int, float) and not plain[name] >= 0):
            raise ValueError(f"{name}={plain[name]!r:.40}")
    cooling = plain["cooling"]
    if cooling is not None:
        if not (isinstance(cooling, list) and len(cooling) == 2 and all(type(each) is int for each in cooling)):
            raise ValueError(f"cooling={cooling!r:.40}")
        cooling = (cooling[0], cooling[1])
    if not all(isinstance(each, dict) for each in plain["stretches"]):
        raise ValueError("stretches")
    return Progressed(plain["update"], plain["identity"], cooling, plain["heard_s"], tuple(plain["stretches"]))


def _file_name(value: Any) -> str:
    if not isinstance(value, str) or Path(value).name != value or not value.endswith(".safetensors"):
        raise ValueError(f"file={value!r:.40}")
    return value


def _advice(folder: Path) -> str:
    return f"remove {folder} to start over"
