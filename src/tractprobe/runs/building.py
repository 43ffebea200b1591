"""From a node of the configuration to the object that it names."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

from tractprobe.runs.configuration import flat
from tractprobe.runs.settings import Node, Settings
from tractprobe.system.errors import ConfigError, TractprobeError, first_line
from tractprobe.system.registry import Kind, Place, did_you_mean, place_of
from tractprobe.system.signatures import parameters

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", type(None): "null"}
_SPECIAL = re.compile(r"(^|\.)_(?!target_$)\w+_($|\.)")
_KINDS: Mapping[str, tuple[Kind, ...]] = {  # what may stand in each part of the configuration
    "analysis": ("analysis",),
    "model": ("encoder", "states"),
    "head": ("head", "closed-form head"),
    "split": ("split",),
    "ema": ("smoothing",),
    "objective": ("objective",),
    "optimizer": ("optimizer",),
    "schedule": ("schedule",),
    "trainer": ("trainer",),
    "tracking": ("tracking",),
    "callbacks": ("callback",),
    "tracking.loggers": ("logger",),
    "corpus": ("reader",),
}
_OURS = "tractprobe sets it"
_GIVEN = {  # arguments that no configuration gives, with what to do instead
    "head": dict.fromkeys(("num_layers", "width", "num_channels"), "it follows from encoder and targets"),
    "optimizer": {"params": _OURS},
    "schedule": {"optimizer": _OURS},
    "tracking.loggers": {"save_dir": "it is the run's directory"},
    "trainer": {
        "logger": "tracking=<option> says where runs are logged",
        "callbacks": "callbacks=<option>, or +callbacks.<name>={_target_: ...}",
        "default_root_dir": "paths.runs says where runs lie",
        "enable_checkpointing": "runs keep checkpoints, from which they resume",
        **dict.fromkeys(("plugins", "num_sanity_val_steps", "log_every_n_steps", "enable_model_summary"), _OURS),
        **dict.fromkeys(("use_distributed_sampler", "limit_test_batches"), _OURS),
    },
}


def check_nodes(settings: Settings) -> None:
    """Raise ConfigError for a part that names nothing, something of another kind, or arguments that this lacks.

    Nothing slow is imported: arguments are looked up in the source of what takes them.
    """
    for node in settings.nodes.values():
        check_node(node)


def check_node(node: Node) -> None:
    """Check one part as ``check_nodes`` does."""
    section = node.key if node.key in _KINDS else node.key.rpartition(".")[0]
    place = _place(node.key, node.target)
    kinds = _KINDS.get(section, (place.kind,))
    if place.kind not in kinds:
        raise ConfigError(f"{node.key}._target_={node.target} is not a {kinds[0]} but of the kind {place.kind}")
    for key, target in flat(node.plain).items():
        if key.endswith("._target_"):
            _place(f"{node.key}.{key.removesuffix('._target_')}", target)
    _check_arguments(node, place, _GIVEN.get(section, {}))


def _place(key: str, target: Any) -> Place:
    try:
        return place_of(target)
    except ConfigError as error:
        raise ConfigError(f"{key}.{error}") from None


def _check_arguments(node: Node, place: Place, given: Mapping[str, str]) -> None:
    for name in given.keys() & node.arguments.keys():
        raise ConfigError(f"{node.key}.{name}: remove it; {given[name]}")
    taken = parameters(place.module, place.attribute)
    if taken is None:
        return
    by_name = {parameter.name: parameter for parameter in taken if parameter.name not in given}
    for name, value in node.arguments.items():
        if name not in by_name:
            close = did_you_mean(name, by_name, written=f"{node.key}.{{}}")
            raise ConfigError(f"{node.key}.{name}: no such setting{close}")
        expected = by_name[name].expected
        if expected and isinstance(value, str | list | dict):
            raise ConfigError(f"{node.key}.{name}={value}: expected {expected}")
    for name, parameter in by_name.items():
        if parameter.required and name not in node.arguments:
            raise ConfigError(f"{node.key}.{name}: this setting is missing")


def build(node: Node | Mapping[str, Any], **more: Any) -> Any:
    """Call what a node's ``_target_``, a public name, stands for.

    Its arguments are values and are not built here; the target itself may build an argument that is a node.
    """
    key = node.key if isinstance(node, Node) else ""
    node = node.plain if isinstance(node, Node) else node
    target = node.get("_target_")
    place = place_of(target)
    for name, value in flat(node).items():
        if name.endswith("._target_"):
            place_of(value)
    if special := [name for name in flat(node) if _SPECIAL.search(name)]:
        raise ConfigError(f"{target} takes plain values; remove {', '.join(special)}")
    arguments = {name: value for name, value in node.items() if name != "_target_"}
    try:
        called = place.load()
        _refuse_words(f"{key}." if key else f"{target}: ", called, arguments)
        return place.checked(called(**arguments, **more))
    except TractprobeError:
        raise
    except Exception as error:
        raise ConfigError(f"{key or target}: {first_line(error)}") from error


def _refuse_words(prefix: str, called: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Raise ConfigError where a text is given for a number or a truth value, which Python might accept."""
    try:
        parameters = inspect.signature(called, eval_str=True).parameters
    except (AttributeError, NameError, TypeError, ValueError):  # a library annotated for type checkers only
        return
    for name, value in arguments.items():
        annotation = parameters[name].annotation if name in parameters else None
        kinds = get_args(annotation) or (annotation,)
        if isinstance(value, str) and all(kind in _WORDS for kind in kinds):
            raise ConfigError(f"{prefix}{name}={value}: expected {' or '.join(_WORDS[kind] for kind in kinds)}")
