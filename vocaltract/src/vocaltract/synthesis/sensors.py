"""From movement to what an electromagnetic articulograph would see: sensors on tongue, lips and jaw, exactly."""

from dataclasses import dataclass

import numpy as np
import vocaltractlab_cython as vtl

from vocaltract.errors import VocalTractError
from vocaltract.speakers import Speaker
from vocaltract.states import GLOTTIS, STATE_HZ, TRACT, Movement
from vocaltract.synthesis.aeroacoustics import check
from vocaltract.synthesis.jumps import without_jumps
from vocaltract.synthesis.knots import knots

CHANNELS = ("td_x", "td_y", "tb_x", "tb_y", "tt_x", "tt_y", "li_x", "li_y", "ul_x", "ul_y", "ll_x", "ll_y")
TONGUE, FACE = ("td", "tb", "tt"), ("li", "ul", "ll")
TONGUE_SURFACE = 16
"""The tongue's mesh: 37 ribs of 11 points, from root to tip and from side to side."""
MIDLINE = 5
INCISOR = 19
"""Outer edge of the lower incisors in the lower outline; the last points of both outlines are the lips."""
FACE_PARAMETERS = ("JX", "JA", "LP", "LD")
FACE_TOLERANCE, FACE_TRAVEL = np.array([0.003, 0.04, 0.003, 0.003]), np.array([0.02, 0.2, 0.02, 0.02])
"""How straight and short the way of lips and jaw is between two readings, in cm and degrees (0.04: 0.003 cm)."""
MM_PER_CM = 10.0
VOICED_PRESSURE_DPA, VOICED_DISPLACEMENT_CM = 1500.0, 0.06


@dataclass(frozen=True, eq=False)
class Articulation:
    """What the articulators did, frame by frame; frame k is at k / ``rate_hz`` seconds from the start of the audio.

    Attributes
    ----------
    ema
        (frame, 12), mm, in the speaker's frame, in the order of ``CHANNELS``.
    f0_hz
        (frame,), 0 where the vocal folds do not vibrate.
    velum_cm2
        (frame,), area of the opening to the nose.
    constriction
        (frame, 2), the smallest area between larynx and lips in cm² and its distance from the glottis in cm;
        ``None`` unless it was asked for.
    jumps
        Frames at which the mesh of the tongue jumped away and back, and was repaired.
    """

    rate_hz: float
    ema: np.ndarray
    f0_hz: np.ndarray
    velum_cm2: np.ndarray
    constriction: np.ndarray | None
    jumps: int


def articulation(
    movement: Movement, speaker: Speaker, rate_hz: float = 100.0, exact: bool = False, constriction: bool = False
) -> Articulation:
    """Read the sensors of a moving tract.

    Parameters
    ----------
    rate_hz
        Frames per second. States are interpolated in time, and the tongue's mesh is read anew at every frame.
    exact
        Whether lips and jaw are read anew at every frame, too. Otherwise they are read only where their four
        parameters leave the straight line between two readings (error below 0.05 mm).
    constriction
        Whether the smallest area is found, at the cost of another reading of the geometry for every frame.

    Raises
    ------
    VocalTractError
        If a parameter is not finite or beyond its limits.
    """
    check(movement, speaker)
    speaker.activate()
    tract, glottis = at_rate(movement.tract, rate_hz), at_rate(movement.glottis, rate_hz)
    tongue, jumps = without_jumps(_tongue_cm(tract, speaker))
    ema = in_frame(np.concatenate([tongue, _face_cm(tract, exact)], axis=1), speaker)
    if not np.isfinite(ema).all():
        raise VocalTractError(f"The geometry of {speaker.name} has points that are not finite.")
    velum = np.maximum(tract[:, TRACT.index("VO")], 0.0)
    smallest = _smallest_areas(tract) if constriction else None
    return Articulation(rate_hz, ema, f0_of(glottis), velum, smallest, jumps)


def at_rate(states: np.ndarray, rate_hz: float) -> np.ndarray:
    """States in between, at ``rate_hz`` frames per second: (frame, parameter), linear as in the synthesiser itself."""
    duration_s = (len(states) - 1) / STATE_HZ
    place = np.arange(int(duration_s * rate_hz + 1e-9) + 1) / rate_hz * STATE_HZ
    before = np.minimum(place.astype(int), len(states) - 2)
    share = (place - before)[:, None]
    return (1.0 - share) * states[before] + share * states[before + 1]


def f0_of(glottis: np.ndarray) -> np.ndarray:
    """F0 in Hz, 0 where the glottis is too wide or the pressure too low for the folds to vibrate: (frame,)."""
    f0, pressure, lower, upper = (glottis[:, GLOTTIS.index(name)] for name in ("F0", "PR", "XB", "XT"))
    voiced = (pressure > VOICED_PRESSURE_DPA) & ((lower + upper) / 2 < VOICED_DISPLACEMENT_CM)
    return np.where(voiced, f0, 0.0)


def in_frame(points_cm: np.ndarray, speaker: Speaker) -> np.ndarray:
    """Sensors on points of the tract, in the speaker's head frame: (frame, 6, 2) in cm to (frame, 12) in mm."""
    offsets_mm = np.array([speaker.sensors.offsets_mm.get(name, (0.0, 0.0)) for name in TONGUE + FACE])
    return speaker.in_head_frame(points_cm * MM_PER_CM + offsets_mm).reshape(len(points_cm), len(CHANNELS))


def _tongue_cm(tract: np.ndarray, speaker: Speaker) -> np.ndarray:
    ribs = [speaker.sensors.ribs[name] for name in TONGUE]
    moved = np.r_[True, (np.diff(tract, axis=0) != 0).any(axis=1)]
    read = np.stack([vtl.get_surface_vertices(state, TONGUE_SURFACE)[ribs, MIDLINE, :2] for state in tract[moved]])
    return read[np.cumsum(moved) - 1]


def _face_cm(tract: np.ndarray, exact: bool) -> np.ndarray:
    parameters = tract[:, [TRACT.index(name) for name in FACE_PARAMETERS]]
    at = np.arange(len(tract)) if exact else knots(parameters, FACE_TOLERANCE, FACE_TRAVEL)
    read = np.stack([_face_of(state) for state in tract[at]])
    frames = np.arange(len(tract))
    columns = [np.interp(frames, at, column) for column in read.reshape(len(at), -1).T]
    return np.stack(columns, axis=1).reshape(len(tract), len(FACE), 2)


def _face_of(state: np.ndarray) -> np.ndarray:
    outlines = vtl.get_outlines(state)
    return np.stack([outlines["lower"][INCISOR], outlines["upper"][-1], outlines["lower"][-1]])


def _smallest_areas(tract: np.ndarray) -> np.ndarray:
    found = np.empty((len(tract), 2))
    for frame, state in enumerate(tract):
        sections = vtl.get_cross_sections(state)
        smallest = int(np.argmin(sections["areas"]))
        found[frame] = sections["areas"][smallest], sections["positions"][smallest]
    return found
