"""Targets of vowels, consonants and the glottis for one speaker."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from vocaltract.errors import VocalTractError
from vocaltract.speakers import jd3
from vocaltract.speakers.context import CORNERS, shares, weights
from vocaltract.states import TRACT


@cache
def definitions() -> Mapping[str, Any]:
    """Read ``shapes.toml``."""
    return tomllib.loads(resources.files(__package__).joinpath("shapes.toml").read_text(encoding="utf-8"))


def vowels() -> dict[str, np.ndarray]:
    """Every vowel in JD3's coordinates, each (19,)."""
    return {name: _modified(_source(entry["from"]), entry) for name, entry in definitions()["vowels"].items()}


def consonants() -> dict[str, np.ndarray]:
    """Every consonant in JD3's coordinates, each (3, 19): around a, i and u."""
    return {name: _variants(entry) for name, entry in definitions()["consonants"].items()}


def _variants(entry: Mapping[str, Any]) -> np.ndarray:
    return np.array([_modified(jd3.original_shapes()[f"{entry['from']}({corner})"], entry) for corner in CORNERS])


def _source(source: str | Mapping[str, float]) -> np.ndarray:
    if isinstance(source, str):
        return jd3.original_shapes()[source]
    return sum((share * jd3.original_shapes()[name] for name, share in source.items()), np.zeros(len(TRACT)))


def _modified(state: np.ndarray, entry: Mapping[str, Any]) -> np.ndarray:
    state = state.copy()
    for name, value in entry.get("shift", {}).items():
        state[TRACT.index(name)] += value
    for name, value in entry.get("set", {}).items():
        state[TRACT.index(name)] = value
    low, high = jd3.original_limits().T
    return np.clip(state, low, high)


@cache
def closing(name: str) -> np.ndarray:
    """Give the movement that closes a consonant's constriction, (19,) for 1 cm."""
    direction = np.zeros(len(TRACT))
    for parameter, share in definitions()["closing"][definitions()["consonants"][name]["active"]].items():
        direction[TRACT.index(parameter)] = share
    direction.setflags(write=False)
    return direction


@dataclass(frozen=True, eq=False)
class Shapes:
    """Targets of one speaker.

    Attributes
    ----------
    vowels
        (19,) by name.
    consonants
        (3, 19) by name, around a, i and u.
    pushes_cm
        By consonant: how far its articulator goes on above each vowel, in the order of ``vowels``.
    glottis_shapes
        (11,) by name.
    limits
        (19, 2) of every tract parameter.
    """

    vowels: Mapping[str, np.ndarray]
    consonants: Mapping[str, np.ndarray]
    pushes_cm: Mapping[str, np.ndarray]
    glottis_shapes: Mapping[str, np.ndarray]
    limits: np.ndarray

    def vowel(self, name: str) -> np.ndarray:
        """Target of a vowel, (19,), by its quality in IPA (``"e_mid"``, ``"o_mid"`` and ``"neutral"`` beside).

        Raises VocalTractError where no such vowel is defined.
        """
        return _named(self.vowels, name, "vowel").copy()

    def consonant(self, name: str, around: np.ndarray) -> np.ndarray:
        """Target of a consonant, (19,), in the surroundings of the vowel state ``around``, (19,).

        All 19 parameters are given; those outside ``active(name)`` are JD3's in such surroundings. The
        constriction is calibrated for the others at the vowel's own values (see ``calibration``).
        Raises VocalTractError where no such consonant is defined.
        """
        target = weights(around, self.corners()) @ _named(self.consonants, name, "consonant")
        if name in self.pushes_cm:
            nearness = shares(around, np.array(list(self.vowels.values())))
            target = target + nearness @ self.pushes_cm[name] * closing(name)
        return np.clip(target, *self.limits.T)

    def corners(self) -> np.ndarray:
        """States of a, i and u, (3, 19)."""
        return np.array([self.vowels[name] for name in CORNERS])

    def glottis(self, name: str) -> np.ndarray:
        """State of the glottis, (11,), with the speaker's base F0 and full lung pressure, by name.

        Raises VocalTractError where no such state is defined.
        """
        return _named(self.glottis_shapes, name, "state of the glottis").copy()

    def active(self, name: str) -> tuple[str, ...]:
        """Which of ``TRACT``'s parameters a consonant controls; the others follow the vowels, VO the score."""
        entry = _named(definitions()["consonants"], name, "consonant")
        return tuple(definitions()["active"][entry["active"]])


def _named(table: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in table:
        raise VocalTractError(f"There is no {what} {name!r}; there are {', '.join(table)}.")
    return table[name]
