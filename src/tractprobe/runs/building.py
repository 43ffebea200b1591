"""From a node of the configuration to the object that it names."""

import re
from collections.abc import Mapping
from typing import Any

from tractprobe.runs.configuration import flat
from tractprobe.runs.settings import Node
from tractprobe.system.errors import ConfigError, TractprobeError, first_line
from tractprobe.system.registry import place_of

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
        return place.checked(place.load()(**arguments, **more))
    except TractprobeError:
        raise
    except Exception as error:
        raise ConfigError(f"{target}: {first_line(error)}") from error
