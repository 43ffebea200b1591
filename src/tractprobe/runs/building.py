"""From a node of the configuration to the object that it names."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

from tractprobe.runs.configuration import flat
from tractprobe.runs.settings import Node
from tractprobe.system.errors import ConfigError, TractprobeError, first_line
from tractprobe.system.registry import place_of

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", type(None): "null"}
_SPECIAL = re.compile(r"(^|\.)_(?!target_$)\w+_($|\.)")


def build(node: Node | Mapping[str, Any], **more: Any) -> Any:
    """Call what a node's ``_target_``, a public name, stands for.

    Its arguments are values and are not built here; the target itself may build an argument that is a node.
    """
    node = node.plain if isinstance(node, Node) else node
    target = node.get("_target_")
    place = place_of(target)
    for key, value in flat(node).items():
        if key.endswith("._target_"):
            place_of(value)
    if special := [key for key in flat(node) if _SPECIAL.search(key)]:
        raise ConfigError(f"{target} takes plain values; remove {', '.join(special)}")
    arguments = {key: value for key, value in node.items() if key != "_target_"}
    try:
        called = place.load()
        _refuse_words(target, called, arguments)
        return place.checked(called(**arguments, **more))
    except TractprobeError:
        raise
    except Exception as error:
        raise ConfigError(f"{target}: {first_line(error)}") from error


def _refuse_words(target: Any, called: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Raise ConfigError where a text is given for a number or a truth value, which Python might accept."""
    try:
        parameters = inspect.signature(called, eval_str=True).parameters
    except (AttributeError, NameError, TypeError, ValueError):  # a library annotated for type checkers only
        return
    for key, value in arguments.items():
        annotation = parameters[key].annotation if key in parameters else None
        kinds = get_args(annotation) or (annotation,)
        if isinstance(value, str) and all(kind in _WORDS for kind in kinds):
            raise ConfigError(f"{target}: {key}={value}: expected {' or '.join(_WORDS[kind] for kind in kinds)}")
