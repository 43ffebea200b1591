"""Public names by rule: optimisers, schedules and callbacks that PyTorch and Lightning bring.

A name is the library's own, such as ``torch.optim.RAdam``: a module that is listed here and the name of a class of the
right kind in it. Nothing else in these modules can be reached.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from tractprobe.system.errors import ConfigError
from tractprobe.system.registry import Kind, Place, did_you_mean

_TOGETHER = "its steps depend on all heads of a bank at once, which would then no longer be trained as if alone"
_FROZEN = "it would change the weights that are frozen, or those that validation chose"
_OURS = "runs keep checkpoints of their own, from which they resume"
_TRIES = "it trains a trial run of its own, from which a run would not resume to the same numbers"


@dataclass(frozen=True)
class _Library:
    """Classes of one module.

    Attributes
    ----------
    refused
        Classes that cannot be used here, with their subclasses, and why.
    """

    kind: Kind
    base: str
    refused: Mapping[str, str] = field(default_factory=dict)


_LIBRARIES = {
    "torch.optim": _Library("optimizer", "Optimizer", {
        "Adafactor": _TOGETHER,
        "LBFGS": _TOGETHER,
        "Muon": "it takes matrices only, and the weights of a bank have one more axis",
        "SparseAdam": "it takes sparse gradients only",
    }),
    "torch.optim.lr_scheduler": _Library("schedule", "LRScheduler", {
        "ReduceLROnPlateau": "each head of a bank has a plateau of its own; patience ends their training",
        "LambdaLR": "it takes functions", "MultiplicativeLR": "it takes functions",
        "SequentialLR": "it takes other schedules", "ChainedScheduler": "it takes other schedules",
    }),
    "pytorch_lightning.callbacks": _Library("callback", "Callback", {
        "Checkpoint": _OURS,
        "BaseFinetuning": _FROZEN, "ModelPruning": _FROZEN,
        "StochasticWeightAveraging": _FROZEN, "WeightAveraging": _FROZEN,
        "BatchSizeFinder": _TRIES, "LearningRateFinder": _TRIES,
        "LambdaCallback": "it takes functions",
        "Timer": "it ends training by the clock, and numbers would depend on the machine; patience ends it",
    }),
}  # fmt: skip
_NAME = re.compile(rf"({'|'.join(map(re.escape, _LIBRARIES))})\.([A-Za-z]\w*)", re.ASCII)


def library_place(name: str) -> Place | None:
    """Return where a class of a library lives; ``None`` if the name is not in one of these modules.

    Raises
    ------
    ConfigError
        There is no such class, or it cannot be used here.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    module, attribute = match.groups()
    library, names = _LIBRARIES[module], library_names(module)
    if attribute not in names:
        usable = [name for name, refused in names.items() if not refused]
        raise ConfigError(f"_target_ {name}: {module} has no such {library.kind}{did_you_mean(attribute, usable)}")
    if names[attribute]:
        raise ConfigError(f"_target_ {name} cannot be used here: {names[attribute]}")
    return Place(library.kind, module, attribute)


def library_names(module: str) -> dict[str, str]:
    """Return the classes of a listed module by name, with why they are refused, if they are."""
    loaded, library = import_module(module), _LIBRARIES[module]
    base: type = getattr(loaded, library.base)
    refused = {getattr(loaded, name): reason for name, reason in library.refused.items() if hasattr(loaded, name)}
    return {
        name: next((reason for base_refused, reason in refused.items() if issubclass(value, base_refused)), "")
        for name, value in vars(loaded).items()
        if _is_own(name, value, base)
    }


def _is_own(name: str, value: Any, base: type) -> bool:
    return isinstance(value, type) and issubclass(value, base) and value is not base and not name.startswith("_")
