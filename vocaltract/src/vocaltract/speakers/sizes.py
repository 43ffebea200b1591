"""How big the parts of a vocal tract are, relative to JD3's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Anatomy:
    """Sizes relative to JD3's.

    Attributes
    ----------
    oral
        Of mouth, tongue and jaw, front to back and upwards.
    pharynx
        Of pharynx and larynx, top to bottom.
    depth
        Side to side.
    palate, teeth, lips, fulcrum
        Height of the palate's vault and of the teeth, width of the lips and distance of the jaw's
        hinge, each beyond ``oral``.
    glottis
        Length and thickness of the vocal folds.
    """

    oral: float
    pharynx: float
    depth: float
    palate: float
    teeth: float
    lips: float
    fulcrum: float
    glottis: float

    @classmethod
    def from_description(cls, entry: Mapping[str, Any]) -> "Anatomy":
        """Take the sizes from among the entries of a speaker's description."""
        return cls(**{name: float(entry[name]) for name in cls.__dataclass_fields__})
