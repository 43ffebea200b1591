"""Public names by rule: optimisers, schedules and callbacks that PyTorch and Lightning bring.

A name is the library's own, ``torch.optim.RAdam``: one module that is listed here, one identifier in it, and behind it
a class of the right kind. Nothing else of these modules can be reached.
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
        "Muon": "it takes matrices only, and the weights of a bank have an axis more",
        "SparseAdam": "it takes sparse gradients only",
    }),
    "torch.optim.lr_scheduler": _Library("schedule", "LRScheduler", {
        "ReduceLROnPlateau": "heads of a bank have each a plateau of their own; patience ends their training",
        "LambdaLR": "it takes functions", "MultiplicativeLR": "it takes functions",
        "SequentialLR": "it takes other schedules", "ChainedScheduler": "it takes other schedules",
    }),
    "pytorch_lightning.callbacks": _Library("callback", "Callback", {
        "Checkpoint": _OURS,
        "BaseFinetuning": _FROZEN, "ModelPruning": _FROZEN,
        "StochasticWeightAveraging": _FROZEN, "WeightAveraging": _FROZEN,
        "BatchSizeFinder": _TRIES, "LearningRateFinder": _TRIES,
        "LambdaCallback": "it takes functions",
    }),
}  # fmt: skip
_NAME = re.compile(rf"({'|'.join(map(re.escape, _LIBRARIES))})\.([A-Za-z]\w*)", re.ASCII)


def library_place(name: str) -> Place | None:
    """Return where a class of a library lives; ``None`` if the name is not of one of these modules.

    Raises
    ------
    ConfigError
        There is no such class, or it cannot be used here.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    module, attribute = match.groups()
    library, known = _LIBRARIES[module], library_names(module)
    if attribute not in known:
        usable = [one for one, refused in known.items() if not refused]
        raise ConfigError(f"_target_ {name}: {module} has no such {library.kind}{did_you_mean(attribute, usable)}")
    if known[attribute]:
        raise ConfigError(f"_target_ {name} cannot be used here: {known[attribute]}")
    return Place(library.kind, module, attribute)


def library_names(module: str) -> dict[str, str]:
    """Return the classes of a listed module by name, with why they are refused, if they are."""
    loaded, library = import_module(module), _LIBRARIES[module]
    base: type = getattr(loaded, library.base)
    refused = {getattr(loaded, name): why for name, why in library.refused.items() if hasattr(loaded, name)}
    return {
        name: next((why for one, why in refused.items() if issubclass(found, one)), "")
        for name, found in vars(loaded).items()
        if _is_own(name, found, base)
    }


def _is_own(name: str, found: Any, base: type) -> bool:
    return isinstance(found, type) and issubclass(found, base) and found is not base and not name.startswith("_")
