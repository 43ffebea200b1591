"""What calibration found, as kept in ``calibrated.json``: see ``calibration`` for how to make it again."""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from vocaltract.speakers import anatomy
from vocaltract.speakers.shapes import Shapes, consonants, vowels
from vocaltract.speakers.sizes import Anatomy
from vocaltract.states import TRACT

FILE = "calibrated.json"
Values = Mapping[str, float]


@cache
def found() -> Mapping[str, Any]:
    """Read ``calibrated.json``: by speaker, values of vowels and consonants, and pushes by consonant and vowel."""
    return json.loads(resources.files(__package__).joinpath(FILE).read_text(encoding="utf-8"))


def sources_hash() -> str:
    """Hash the files that calibration starts from; kept in ``calibrated.json``, so that a stale one is noticed."""
    folder = resources.files(__package__)
    content = b"".join(folder.joinpath(name).read_bytes() for name in ("shapes.toml", "speakers.toml"))
    return hashlib.sha256(content).hexdigest()[:16]


def shapes(name: str, build: Anatomy, limits: np.ndarray, glottis_shapes: Mapping[str, np.ndarray]) -> Shapes:
    """Shapes of one speaker: JD3's and those defined beside, scaled, with what calibration changed."""
    changes = found().get(name, {"vowels": {}, "consonants": {}, "pushes_cm": {}})
    own_vowels = scaled_vowels(build)
    for key, values in changes["vowels"].items():
        own_vowels[key] = changed(own_vowels[key], values)
    own_consonants = scaled_consonants(build)
    for key, variants in changes["consonants"].items():
        own_consonants[key] = np.array([changed(s, v) for s, v in zip(own_consonants[key], variants, strict=True)])
    pushes = {key: np.array([row.get(v, 0.0) for v in own_vowels]) for key, row in changes["pushes_cm"].items()}
    return Shapes(own_vowels, own_consonants, pushes, glottis_shapes, limits)


def scaled_vowels(build: Anatomy) -> dict[str, np.ndarray]:
    """Every vowel as defined, moved to an anatomy."""
    return {key: anatomy.scaled(state, build) for key, state in vowels().items()}


def scaled_consonants(build: Anatomy) -> dict[str, np.ndarray]:
    """Every consonant's three variants as defined, moved to an anatomy."""
    return {key: anatomy.scaled(states, build) for key, states in consonants().items()}


def changed(state: np.ndarray, values: Values) -> np.ndarray:
    """Set some parameters of a state, (19,), by name."""
    result = state.copy()
    for parameter, value in values.items():
        result[TRACT.index(parameter)] = value
    return result


def changes(before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    """List the parameters that two states differ in, with the second one's values to 0.001."""
    return {p: round(float(b), 3) for p, a, b in zip(TRACT, before, after, strict=True) if abs(b - a) > 5e-4}
