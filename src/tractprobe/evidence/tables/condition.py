"""Condition: the settings that tell runs from others of the same model, head and split."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, order=True)
class Condition:
    """What differs from the shipped configuration, each setting as it would be typed.

    >>> condition = Condition.of({"corpora": ["hprc", "mocha"], "patience": None})
    >>> str(condition), str(condition.without("patience")), bool(Condition())
    ('corpora=[hprc,mocha] patience=null', 'corpora=[hprc,mocha]', False)
    """

    settings: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, differences: Mapping[str, Any]) -> "Condition":
        """Take the settings from a run's identity."""
        return cls(tuple((key, _typed(value)) for key, value in differences.items()))

    def without(self, *keys: str) -> "Condition":
        """Leave out some settings, and those below them."""
        kept = [
            (name, value)
            for name, value in self.settings
            if not any(name == key or name.startswith(f"{key}.") for key in keys)
        ]
        return Condition(tuple(kept))

    def __bool__(self) -> bool:
        return bool(self.settings)

    def __str__(self) -> str:
        return " ".join(f"{key}={value}" for key, value in self.settings)


def _typed(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_typed, value))}]"
    return "null" if value is None else str(value)
