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
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]{0,63}")
_SEVERAL = re.compile(r"\d{1,4}([+-]\d{1,4})+")


def as_layers(value: Any, count: int, encoder: str) -> tuple[Layers, ...]:
    """Return the layers of each head from the setting ``layer``: each layer separately, one, or a list concatenated.

    >>> as_layers("all", 3, "mine"), as_layers(2, 3, "mine"), as_layers([2, 0], 3, "mine")
    (((0,), (1,), (2,)), ((2,),), ((0, 2),))
    """
    layers = check_form(value)
    if layers is None:
        return tuple((layer,) for layer in range(count))
    if beyond := [layer for layer in layers if layer >= count]:
        expected = f"expected one of its layers 0 to {count - 1}, or all" if count > 1 else "it has layer 0 only"
        raise ConfigError(f"layer={shown(value)}: {encoder} has no layer {beyond[0]}; {expected}")
    return (layers,)


def check_form(value: Any) -> Layers | None:
    """Return the layers that the setting ``layer`` names, ``None`` for all; ConfigError if it is none of these.

    >>> check_form([6, 0]), check_form("all")
    ((0, 6), None)
    """
    if value == ALL:
        return None
    layers = value if isinstance(value, list) else [value]
    if not layers or not all(type(layer) is int and layer >= 0 for layer in layers):
        raise ConfigError(f"layer={shown(value)}: expected the number of a layer, all, or a list such as [0,6]")
    if len(set(layers)) != len(layers):
        raise ConfigError(f"layer={shown(value)}: name each layer once; a list puts different layers side by side")
    return tuple(sorted(layers))


def shown(value: Any) -> str:
    """Return a value of ``layer`` as it is typed."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)


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


def is_input(value: Any) -> bool:
    """Whether a value is a label, or the name of an input that reads features alone.

    >>> is_input(3), is_input("phones"), is_input("f0+energy"), is_input("0-3/x")
    (True, True, True, False)
    """
    return is_label(value) or (isinstance(value, str) and bool(_NAME.fullmatch(value)))


def order(value: Label) -> tuple[bool, Any]:
    """Return the key by which labels are sorted: single layers first.

    >>> sorted([10, "0+10", 2, "0+2"], key=order)
    [2, 10, '0+2', '0+10']
    """
    return (False, value) if isinstance(value, int) else (True, [int(part) for part in re.findall(r"\d+", value)])


def read_by(heads: Sequence[Layers]) -> Layers:
    """Return all layers that any of the heads reads, once each and in order."""
    return tuple(sorted({layer for layers in heads for layer in layers}))
