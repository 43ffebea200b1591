"""Limits of the audit: a table with a reason for each, which calibration on good corpora extends.

``limits.toml`` is the table, and says what its fields mean.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from tractprobe.system.errors import CorpusError
from tractprobe.system.files import read_text
from tractprobe.system.registry import did_you_mean

Interval = tuple[float, float]
_MAX_BYTES, _MAX_LETTERS = 1 << 20, 400


@dataclass(frozen=True)
class Limits:
    """From where on one number is a failure, or something to look at.

    Attributes
    ----------
    fail, look
        Closed intervals outside which the number is no living mouth's, or rare; ``look`` lies within ``fail``.
    enough_s
        Seconds of movements below which nothing is called rare.
    seen, mistakes
        What was measured in good recordings, and after mistakes.
    """

    unit: str
    fail: Interval
    look: Interval
    why_fail: str
    cause: str
    seen: str = ""
    mistakes: str = ""
    enough_s: float = 0.0


Table = Mapping[str, Limits]
"""The limits by the name of what is checked."""


@cache
def own_limits() -> Table:
    """Return the table that is part of the package."""
    text = (resources.files("tractprobe.corpora.audit") / "limits.toml").read_text(encoding="utf-8")
    return {name: Limits(**_checked(name, entry)) for name, entry in tomllib.loads(text).items()}


def read_limits(path: Path) -> Table:
    """Return our table with the entries of a file in place of ours; CorpusError if it is not such a table."""
    try:
        given = tomllib.loads(read_text(path, max_bytes=_MAX_BYTES))
        table = dict(own_limits())
        for name, entry in given.items():
            if name not in table:
                raise ValueError(f"[{name!r:.80}] is not checked{did_you_mean(name, table)}")
            table[name] = replace(table[name], **_checked(name, entry))
            _check_order(name, table[name])
    except (ValueError, RecursionError) as error:
        if isinstance(error, CorpusError):
            raise
        raise CorpusError(path, f"not a table of limits: {error}") from None
    return table


def _checked(name: str, entry: Any) -> dict[str, Any]:
    """Return an entry's fields; ValueError if one is unknown or of another kind."""
    known = {field.name: field.type for field in fields(Limits)}
    if not isinstance(entry, dict):
        raise ValueError(f"[{name}]: no table")
    if unknown := sorted(set(entry) - set(known)):
        raise ValueError(f"[{name}]: unknown field {unknown[0]}")
    return {field: _value(f"[{name}] {field}", known[field], value) for field, value in entry.items()}


def _value(place: str, kind: Any, value: Any) -> Any:
    match value:
        case str() if kind is str and len(value) <= _MAX_LETTERS:
            return value
        case [low, high] if kind is Interval and all(map(_is_limit, (low, high))) and low <= high:
            return float(low), float(high)
        case int() | float() if kind is float and _is_limit(value) and 0 <= value < math.inf:
            return float(value)
    wanted = {str: "a short text", float: "a number of seconds"}.get(kind, "[low, high], two numbers")
    raise ValueError(f"{place}: {value!r:.60}; expected {wanted}")


def _is_limit(value: Any) -> bool:
    return type(value) in (int, float) and not math.isnan(value) and (math.isinf(value) or abs(value) < 1e9)


def _check_order(name: str, limits: Limits) -> None:
    if not limits.fail[0] <= limits.look[0] or not limits.look[1] <= limits.fail[1]:
        raise ValueError(f"[{name}]: look {list(limits.look)} reaches beyond fail {list(limits.fail)}; give both")
