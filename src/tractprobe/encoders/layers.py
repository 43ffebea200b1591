"""The layers that a head reads: one layer of an encoder, or several concatenated."""

import re
from collections.abc import Sequence
from typing import Any

from tractprobe.system.errors import ConfigError

Layers = tuple[int, ...]
"""The layers that one head reads, concatenated."""
Label = int | str
"""Their name in tables: a number for one layer, otherwise such as ``0+3`` and ``0-12``."""

ALL = "all"
_DEEPEST = 9999
_SEVERAL = re.compile(r"\d{1,4}([+-]\d{1,4})+")


def as_layers(value: Any, count: int, encoder: str) -> tuple[Layers, ...]:
    """Return the layers of each head from the setting ``layer``: each layer separately, one, or a list concatenated.

    >>> as_layers("all", 3, "mine"), as_layers(2, 3, "mine"), as_layers([2, 0], 3, "mine")
    (((0,), (1,), (2,)), ((2,),), ((0, 2),))
    """
    if value == ALL:
        return tuple((layer,) for layer in range(count))
    layers = value if isinstance(value, list) else [value]
    exist = all(type(layer) is int and 0 <= layer < count for layer in layers)
    if not exist or not layers or len(set(layers)) != len(layers):
        expected = (
            f"expected one of {encoder}'s layers 0 to {count - 1}, or all, or a list to concatenate such as [0,1]"
        )
        raise ConfigError(f"layer={value}: {expected}")
    return (tuple(sorted(layers)),)


def label(layers: Layers) -> Label:
    """Return the name of layers in tables.

    >>> label((3,)), label((0, 3)), label((0, 1, 2, 3, 6, 7))
    (3, '0+3', '0-3+6+7')
    """
    if len(layers) == 1:
        return layers[0]
    parts: list[list[int]] = []
    for layer in layers:
        if parts and parts[-1][-1] == layer - 1:
            parts[-1].append(layer)
        else:
            parts.append([layer])
    return "+".join(f"{part[0]}-{part[-1]}" if len(part) > 2 else "+".join(map(str, part)) for part in parts)


def of_label(value: Label) -> Layers:
    """Return the layers that a label names.

    >>> of_label("0-3+6+7")
    (0, 1, 2, 3, 6, 7)
    """
    ends = [[int(end) for end in part.split("-")] for part in str(value).split("+")]
    return tuple(layer for part in ends for layer in range(part[0], part[-1] + 1))


def is_label(value: Any) -> bool:
    """Whether a value is a label."""
    if type(value) is int:
        return 0 <= value <= _DEEPEST
    return isinstance(value, str) and bool(_SEVERAL.fullmatch(value))


def order(value: Label) -> tuple[bool, Any]:
    """Return the key by which labels are sorted: single layers first.

    >>> sorted([10, "0+10", 2, "0+2"], key=order)
    [2, 10, '0+2', '0+10']
    """
    return (False, value) if isinstance(value, int) else (True, [int(part) for part in re.findall(r"\d+", value)])


def read_by(heads: Sequence[Layers]) -> Layers:
    """Return all layers that any of the heads reads, once each and in order."""
    return tuple(sorted({layer for layers in heads for layer in layers}))
