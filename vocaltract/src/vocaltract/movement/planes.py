"""Where an articulator touches: for each closure a plane in the space of tract parameters.

The area function says whether a tract is shut, but costs 2.5 ms a state and needs the synthesiser. Near its contact a
closure is well described by a plane, ``w @ x >= b`` for the parameters ``x`` that matter: of a way from a vowel to the
closure the plane is off by 1 % for lips and tongue tip and 3 % for the tongue body (median of 60 random vowels and
targets), which is 1 to 3 ms. ``contact.json`` holds the planes of the eight speakers;
``python -m vocaltract.movement.planes`` fits them again after a change of anatomy.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from vocaltract.states import TRACT

CLOSED_CM2 = 0.002
"""Area below which a tract counts as shut; VocalTractLab's smallest is 0.0001."""
GROOVED_CM = 0.22
"""Elevation of the tongue's sides TS3 from which the tract has a groove of at least 0.02 cm² along the tongue."""
_TIP, _GROOVE = TRACT.index("TTY"), TRACT.index("TS3")
_SAMPLES = 48
_VOWELS = ("a", "i", "u", "ə", "e", "o", "ɛ", "ɔ", "y", "ɪ", "æ", "ɑ")
_PARAMETERS = {"labial": ("LD", "LP", "JA"), "tongue": ("TTX", "TTY", "TBX", "TBY", "TCX", "TCY")}
_PLACES = (
    *("labial-closure", "dental-closure", "alveolar-closure", "alveolar-trill", "postalveolar-closure"),
    *(
        "retroflex-closure",
        "alveolopalatal-closure",
        "palatal-closure",
        "velar-closure",
        "uvular-closure",
        "uvular-trill",
    ),
)


@dataclass(frozen=True, eq=False)
class Plane:
    """Contact where ``weights @ state[columns] >= bias``; weights of unit length, so the excess is in cm."""

    columns: np.ndarray
    weights: np.ndarray
    bias: float

    def beyond(self, states: np.ndarray) -> np.ndarray:
        """(...,) how far states (..., 19) are on the far side of the plane, cm."""
        return states[..., self.columns] @ self.weights - self.bias

    def excess(self, states: np.ndarray) -> np.ndarray:
        """(...,) how far states (..., 19) are beyond contact; negative where they are open.

        A tongue with a groove (TS3 from ``GROOVED_CM`` on) does not shut the tract, however close it comes.
        """
        beyond = self.beyond(states)
        return np.minimum(beyond, GROOVED_CM - states[..., _GROOVE]) if _TIP in self.columns else beyond


@cache
def _file() -> dict[str, dict[str, dict[str, float]]]:
    return json.loads(resources.files(__package__).joinpath("contact.json").read_text(encoding="utf-8"))


@cache
def plane(speaker: str, place: str) -> Plane | None:
    """Plane of a closure of a speaker, or ``None`` where the place has none (fricatives, approximants)."""
    entry = dict(_file().get(speaker, {}).get(place, {}))
    if not entry:
        return None
    bias = entry.pop("bias")
    return Plane(np.array([TRACT.index(name) for name in entry]), np.array(list(entry.values())), bias)


def smallest_area_cm2(state: np.ndarray) -> float:
    """Smallest area above the larynx (the front 70 % of the tract) of the active speaker."""
    from vocaltractlab_cython import get_cross_sections

    tube = get_cross_sections(np.ascontiguousarray(state, float))
    return float(tube["areas"][tube["positions"] > 0.3 * tube["positions"][-1]].min())


def fitted(speaker, place: str, seed: int = 0) -> dict[str, float] | None:
    """Fit a plane to contacts on the way from random vowels to the closure, by bisection of the area.

    The error that is minimised is that of the share of the way, ``(w @ x - b) / (w @ d)`` for the contact ``x`` on a
    way ``d``. ``None`` where fewer than ten ways lead from an open tract to a shut one.
    """
    generator = np.random.default_rng(seed)
    names = _PARAMETERS["labial" if place.startswith("labial") else "tongue"]
    columns = np.array([TRACT.index(name) for name in names])
    found = [_contact(speaker, place, columns, generator) for _ in range(_SAMPLES)]
    points, ways = (np.array([pair[k] for pair in found if pair]) for k in (0, 1))
    if len(points) < 10:
        return None
    mean = ways.mean(0) / np.linalg.norm(ways.mean(0))

    def errors(unknown: np.ndarray) -> np.ndarray:
        weights = mean + unknown[1:]
        shares = (points @ weights - unknown[0]) / np.maximum(ways @ weights, 0.02)
        return np.concatenate([np.clip(shares, -1.0, 1.0), 0.01 * unknown[1:]])

    start = np.concatenate([[(points @ mean).mean()], np.zeros(len(columns))])
    solution = least_squares(errors, start, loss="soft_l1", f_scale=0.05).x
    length = np.linalg.norm(mean + solution[1:])
    weights = (mean + solution[1:]) / length
    return {"bias": round(solution[0] / length, 4)} | dict(zip(names, weights.round(4).tolist(), strict=True))


def _contact(speaker, place: str, columns: np.ndarray, generator) -> tuple[np.ndarray, np.ndarray] | None:
    """Where a random way from a vowel to the closure touches, and the way itself, both (column,)."""
    share = generator.dirichlet([0.5, 0.5])
    vowel = sum(a * speaker.shapes.vowel(name) for a, name in zip(share, generator.choice(_VOWELS, 2), strict=True))
    closure = vowel.copy()
    active = [TRACT.index(name) for name in speaker.shapes.active(place)]
    closure[active] = speaker.shapes.consonant(place, vowel)[active]
    jitter = np.zeros(len(TRACT))
    jitter[columns] = generator.uniform(-0.1, 0.1, len(columns))
    vowel, closure = (np.clip(state + jitter, *speaker.limits.T) for state in (vowel, closure))
    if smallest_area_cm2(vowel) < CLOSED_CM2 or smallest_area_cm2(closure) >= CLOSED_CM2:
        return None
    share = _bisected(lambda share: smallest_area_cm2(vowel + share * (closure - vowel)) < CLOSED_CM2)
    return (vowel + share * (closure - vowel))[columns], (closure - vowel)[columns]


def _bisected(shut: Callable[[float], bool], steps: int = 7) -> float:
    low, high = 0.0, 1.0
    for _ in range(steps):
        middle = (low + high) / 2.0
        low, high = (low, middle) if shut(middle) else (middle, high)
    return (low + high) / 2.0


def main(names: list[str]) -> None:
    """Fit the planes of the speakers ``names`` and put them into ``contact.json``."""
    from vocaltract import speakers

    path = Path(__file__).with_name("contact.json")
    table = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name in names or speakers.SPEAKERS:
        speaker = speakers.load(name)
        speaker.activate()
        planes = {place: fitted(speaker, place) for place in _PLACES}
        print(name, "without a plane:", [place for place, fit in planes.items() if fit is None])
        table[name] = {place: fit for place, fit in planes.items() if fit is not None}
        path.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
