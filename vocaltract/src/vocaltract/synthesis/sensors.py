"""From movement to what an electromagnetic articulograph would see: sensors on tongue, lips and jaw, exactly."""

from dataclasses import dataclass

import numpy as np
import vocaltractlab_cython as vtl

from vocaltract.errors import VocalTractError
from vocaltract.speakers import Speaker
from vocaltract.states import GLOTTIS, STATE_HZ, TRACT, Movement
from vocaltract.synthesis.aeroacoustics import check
from vocaltract.synthesis.jumps import without_jumps
from vocaltract.synthesis.sampling import sampled

CHANNELS = ("td_x", "td_y", "tb_x", "tb_y", "tt_x", "tt_y", "li_x", "li_y", "ul_x", "ul_y", "ll_x", "ll_y")
TONGUE, FACE = ("td", "tb", "tt"), ("li", "ul", "ll")
TONGUE_SURFACE = 16
"""The tongue's mesh: 37 ribs of 11 points, from root to tip and from side to side."""
MIDLINE = 5
INCISOR = 19
"""Outer edge of the lower incisors in the lower outline; the last points of both outlines are the lips."""
FACE_PARAMETERS = ("JX", "JA", "LP", "LD")
FACE_TOLERANCE_CM = 0.01
MM_PER_CM = 10.0
VOICED_PRESSURE_DPA, VOICED_DISPLACEMENT_CM = 1500.0, (-0.005, 0.06)


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
        Whether lips and jaw are read anew at every frame, too. Otherwise they are read at every other frame, and in
        between only where they aren't smooth (root mean square error 0.01 mm, largest 0.15 mm).
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
    ema, jumps = positions(tract, speaker, exact)
    velum = np.maximum(tract[:, TRACT.index("VO")], 0.0)
    smallest = _smallest_areas(tract) if constriction else None
    return Articulation(rate_hz, ema, f0_of(glottis), velum, smallest, jumps)


def positions(tract: np.ndarray, speaker: Speaker, exact: bool) -> tuple[np.ndarray, int]:
    """Positions of the sensors in states of the active speaker: (frame, 12) in mm, and how many jumps were repaired."""
    tongue, jumps = without_jumps(_tongue_cm(tract, speaker))
    ema = in_frame(np.concatenate([tongue, _face_cm(tract, exact)], axis=1), speaker)
    if not np.isfinite(ema).all():
        raise VocalTractError(f"The geometry of {speaker.name} has points that are not finite.")
    return ema, jumps


def at_rate(states: np.ndarray, rate_hz: float) -> np.ndarray:
    """States in between, at ``rate_hz`` frames per second: (frame, parameter), linear as in the synthesiser itself."""
    duration_s = (len(states) - 1) / STATE_HZ
    place = np.arange(int(duration_s * rate_hz + 1e-9) + 1) / rate_hz * STATE_HZ
    before = np.minimum(place.astype(int), len(states) - 2)
    share = (place - before)[:, None]
    return (1.0 - share) * states[before] + share * states[before + 1]


def f0_of(glottis: np.ndarray) -> np.ndarray:
    """F0 in Hz, 0 where the folds are too far apart, pressed too hard, or without pressure to vibrate: (frame,)."""
    f0, pressure, lower, upper = (glottis[:, GLOTTIS.index(name)] for name in ("F0", "PR", "XB", "XT"))
    (tight, wide), apart = VOICED_DISPLACEMENT_CM, (lower + upper) / 2
    voiced = (pressure > VOICED_PRESSURE_DPA) & (apart > tight) & (apart < wide)
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
    known: dict[bytes, np.ndarray] = {}

    def read(frame: int) -> np.ndarray:
        key = parameters[frame].tobytes()
        if key not in known:
            known[key] = _face_of(tract[frame])
        return known[key]

    if exact:
        return np.stack([read(frame) for frame in range(len(tract))])
    return sampled(read, len(tract), FACE_TOLERANCE_CM)


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
