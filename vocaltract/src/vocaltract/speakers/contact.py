"""How far a consonant's articulator must go for its constriction, in every surrounding.

Every function that measures needs the state's speaker to be active.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vocaltract.speakers.acoustics import constriction
from vocaltract.speakers.shapes import closing, definitions
from vocaltract.states import TRACT

FLOOR_CM2 = {"closure": 0.0, "trill": 0.0, "fricative": 0.15, "lateral": 0.25}
"""What the model leaves open at least: nothing in a closure, a channel in a fricative, the sides in a lateral."""
SEALED_CM2 = 0.005
OVERCLOSED_CM2 = 0.02
SHORT, LONG = 0.8, 1.8
"""A contact between these shares of its goal stays as it is."""
STEP_CM, FARTHEST_CM, BACK_CM = 0.06, 0.96, 0.6
HALVINGS = 4


@dataclass(frozen=True, eq=False)
class Goal:
    """What calibration brings about for one consonant of one speaker.

    Attributes
    ----------
    length_cm
        Of a closure's contact or a fricative's channel; ``None`` for an approximant.
    area_cm2
        Smallest area of an approximant; ``None`` for the others.
    floor_cm2
        Area inside the contact.
    region
        ``"tongue"`` or ``"lips"``.
    direction
        (19,) movement that closes, in cm.
    active
        Columns of the parameters that the consonant owns.
    """

    length_cm: float | None
    area_cm2: float | None
    floor_cm2: float
    region: str
    direction: np.ndarray
    active: np.ndarray

    def closeness(self, state: np.ndarray) -> float:
        """Measure how close a state comes: length of contact in cm, or minus the area that is left to close.

        Infinity where a channel is shut that should stay open.
        """
        found = constriction(state, self.region, self.floor_cm2)
        if self.area_cm2 is not None:
            return -found.area_cm2
        open_cm2 = found.area_cm2 - self.floor_cm2
        if open_cm2 < -OVERCLOSED_CM2:
            return np.inf
        return found.length_cm if open_cm2 <= SEALED_CM2 else -open_cm2

    @property
    def least(self) -> float:
        """Closeness that will do."""
        return SHORT * self.length_cm if self.length_cm is not None else -1.25 * float(self.area_cm2 or 0.0)

    @property
    def most(self) -> float:
        """Closeness beyond which the articulator is drawn back."""
        return LONG * self.length_cm if self.length_cm is not None else -0.75 * float(self.area_cm2 or 0.0)


def goal(name: str, length: float, area: float) -> Goal | None:
    """Read the goal of a consonant; ``None`` for one that is fitted to formants.

    ``length`` and ``area`` are the speaker's sizes relative to JD3's.
    """
    entry = definitions()["consonants"][name]
    if "formants_hz" in entry:
        return None
    return Goal(
        length_cm=entry["contact_cm"] * length if "contact_cm" in entry else None,
        area_cm2=entry["area_cm2"] * area if "area_cm2" in entry else None,
        floor_cm2=FLOOR_CM2.get(name.rsplit("-", 1)[1], 0.0),
        region=entry.get("region", "tongue"),
        direction=closing(name),
        active=np.array([TRACT.index(p) for p in definitions()["active"][entry["active"]]]),
    )


def above(vowel: np.ndarray, target: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Put a consonant's own parameters above a vowel's state, (19,)."""
    state = vowel.copy()
    state[active] = target[active]
    return state


def push_cm(vowel: np.ndarray, target: np.ndarray, wanted: Goal, limits: np.ndarray, size: float) -> float:
    """Find the shortest way along ``wanted.direction`` that makes the constriction above a vowel.

    Steps of 0.06 cm, at most 0.96 cm on or 0.6 cm back, times the speaker's size, and then halvings between
    the last two. Where nothing reaches the goal, the closest that there is.
    """

    def closeness(push: float) -> float:
        moved = np.clip(target + push * wanted.direction, *limits.T)
        return wanted.closeness(above(vowel, moved, wanted.active))

    at_rest = closeness(0.0)
    if at_rest > wanted.most:
        return _back(closeness, wanted, size)
    if at_rest >= wanted.least:
        return 0.0
    steps = np.arange(STEP_CM, FARTHEST_CM + STEP_CM / 2, STEP_CM) * size
    best, best_push, before = at_rest, 0.0, 0.0
    for push in steps:
        found = closeness(push)
        if np.isinf(found):
            break
        if found >= wanted.least:
            return _between(closeness, before, push, wanted.least)
        if found > best + 1e-6:
            best, best_push = found, push
        before = push
    return float(best_push)


def _back(closeness: Any, wanted: Goal, size: float) -> float:
    last = 0.0
    for push in -np.arange(STEP_CM, BACK_CM + STEP_CM / 2, STEP_CM) * size:
        found = closeness(push)
        if found < wanted.least:
            break
        last = float(push)
        if found <= wanted.most:
            break
    return last


def _between(closeness: Any, short: float, enough: float, least: float) -> float:
    for _ in range(HALVINGS):
        middle = 0.5 * (short + enough)
        short, enough = (short, middle) if closeness(middle) >= least else (middle, enough)
    return float(enough)
