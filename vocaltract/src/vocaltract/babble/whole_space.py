"""Kind b: the whole space of postures that the physics allows, evenly over places and degrees of constriction."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import vocaltractlab_cython as vtl

from vocaltract import speakers
from vocaltract.babble import near_speech
from vocaltract.babble.phrases import Phrase, voice_of
from vocaltract.babble.walk import INTERVAL_S, Knot, edges_s
from vocaltract.manner import Manner
from vocaltract.speakers import Speaker
from vocaltract.states import TRACT

CANDIDATES = 240
BEYOND_SPEECH = 0.15
"""How far beyond the range that speech uses a parameter may go, as a share of that range: no human goes further."""
DEGREES = {"closed": 0.02, "narrow": 0.3, "open": np.inf}
"""Largest area in cm² of the narrowest section above the larynx."""
SHARES = (0.27, 0.33, 0.4)
"""Of postures by degree, as among the states of speech."""
PLACES = 6
"""Equal stretches between the larynx and the lips."""
LARYNX_CM = 2.0
SLOWER = 1.35
"""Ways are longer than in speech by about as much; so is the time they take, so that velocities are those of speech."""
OPEN_VELUM, WIDEST_VELUM_CM2 = 0.15, 0.45
STATES = {"": 0.6, "voiceless-fricative": 0.12, "open": 0.06, "h": 0.1, "stop": 0.04, "voiced-fricative": 0.08}
"""Of the glottis; "" is the voice itself. Together as often voiced as speech."""


@dataclass(frozen=True, eq=False)
class Postures:
    """Candidates, sorted.

    Attributes
    ----------
    tract
        (posture, 19), each within the tract's walls.
    cells
        For each pair of degree and place that was found, the postures' numbers.
    """

    tract: np.ndarray
    cells: dict[tuple[int, int], np.ndarray]


@lru_cache(maxsize=2)
def postures(speaker: str) -> Postures:
    """Draw postures evenly from the box of parameters, and bring those whose tongue is inside a wall up against it.

    The synthesiser's own limiting does so: it moves the tongue's body, blade, tip and root out of the walls.
    """
    own = speakers.load(speaker)
    own.activate()
    random = np.random.default_rng(np.random.SeedSequence([0xB0DE, speakers.SPEAKERS.index(speaker)]))
    low, high = box(own)
    drawn = [vtl.tract_state_to_limited_tract_state(random.uniform(low, high)) for _ in range(CANDIDATES)]
    tract = np.clip(np.stack(drawn), *own.limits.T)
    cells: dict[tuple[int, int], list[int]] = {}
    for number, state in enumerate(tract):
        cells.setdefault(constriction(state), []).append(number)
    return Postures(tract, {cell: np.array(numbers) for cell, numbers in cells.items()})


def box(speaker: Speaker) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest value of every parameter, (19,) each, with the velum shut."""
    spoken = near_speech.postures(speaker.name)[0]
    low, high = spoken.min(axis=0), spoken.max(axis=0)
    margin = BEYOND_SPEECH * (high - low)
    low, high = np.maximum(low - margin, speaker.limits[:, 0]), np.minimum(high + margin, speaker.limits[:, 1])
    velum = TRACT.index("VO")
    high[velum] = low[velum]
    return low, high


def constriction(state: np.ndarray) -> tuple[int, int]:
    """Degree and place of the narrowest section above the larynx, as indices into ``DEGREES`` and ``PLACES``."""
    sections = vtl.get_cross_sections(state)
    positions, areas = sections["positions"], sections["areas"]
    above = positions > LARYNX_CM * positions[-1] / 16.0
    narrowest = int(np.argmin(np.where(above, areas, np.inf)))
    degree = int(np.searchsorted(list(DEGREES.values()), areas[narrowest]))
    start = positions[above][0]
    place = int(PLACES * (positions[narrowest] - start) / (positions[-1] - start + 1e-9))
    return degree, place


def knots(speaker: Speaker, phrase: Phrase, random: np.random.Generator, manner: Manner) -> list[Knot]:
    """Go from posture to posture, all places being as likely; velum and glottis follow chances of their own."""
    found = postures(speaker.name)
    edges = edges_s(*phrase, SLOWER * INTERVAL_S / manner.rate, random)
    return [Knot(a, b, _posture(found, speaker, random), _glottis(speaker, random, manner)) for a, b in pairwise(edges)]


def _posture(found: Postures, speaker: Speaker, random: np.random.Generator) -> np.ndarray:
    degree = int(random.choice(len(SHARES), p=SHARES))
    places = sorted(place for d, place in found.cells if d == degree)
    state = found.tract[random.choice(found.cells[degree, random.choice(places)])].copy()
    if random.random() < OPEN_VELUM:
        velum = TRACT.index("VO")
        state[velum] = min(random.uniform(0.1, WIDEST_VELUM_CM2), speaker.limits[velum, 1])
    return state


def _glottis(speaker: Speaker, random: np.random.Generator, manner: Manner) -> np.ndarray:
    name = str(random.choice(list(STATES), p=list(STATES.values())))
    return speaker.shapes.glottis(name or voice_of(speaker, manner))
