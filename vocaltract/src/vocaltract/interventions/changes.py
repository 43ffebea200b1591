"""Ways to change one thing about a movement, for a while, with smooth edges."""

from dataclasses import replace

import numpy as np
import vocaltractlab_cython as vtl

from vocaltract.errors import VocalTractError
from vocaltract.movement.glottis import LIMITS as GLOTTIS_LIMITS
from vocaltract.speakers import Speaker
from vocaltract.states import GLOTTIS, STATE_HZ, TRACT, Movement
from vocaltract.synthesis.sensors import INCISOR

PARAMETERS = {
    ("tongue_tip", "x"): "TTX",
    ("tongue_tip", "y"): "TTY",
    ("tongue_body", "x"): "TCX",
    ("tongue_body", "y"): "TCY",
    ("lip_aperture", "y"): "LD",
    ("lip_protrusion", "x"): "LP",
    ("jaw", "y"): "JA",
    ("velum", ""): "VO",
}
"""The one parameter of the tract that moves an articulator in a direction."""
TIMED = {
    "tongue_tip": ("TTX", "TTY", "TBX", "TBY"),
    "tongue_body": ("TCX", "TCY"),
    "lip_aperture": ("LD",),
    "jaw": ("JX", "JA"),
}
"""Parameters that come earlier or later together; the velum has no sensor that would show it."""


def profile(states: int, first: int, last: int, edge: int) -> np.ndarray:
    """Weight (state,): 0 up to ``first`` and from ``last`` on, 1 between; raised-cosine edges of ``edge`` states."""
    state = np.arange(states)
    inside = np.clip(np.minimum(state - first, last - state) / edge, 0.0, 1.0)
    return 0.5 - 0.5 * np.cos(np.pi * inside)


def articulator(
    movement: Movement, speaker: Speaker, moved: str, direction: str, amount: float, weight: np.ndarray
) -> Movement:
    """Move one articulator by ``amount`` (cm; of the velum, cm² of its opening) times ``weight`` (state,).

    What would go beyond a limit stops there; what the articulator really did is in the change of EMA.
    """
    name = PARAMETERS[moved, direction]
    values = movement.tract[:, TRACT.index(name)]
    if moved == "jaw":
        change = amount * _degrees_per_cm(movement.tract[int(np.argmax(weight))], speaker) * weight
    elif moved == "velum" and amount > 0:
        change = (amount - np.minimum(values, 0.0)) * weight  # from where it starts to open
    else:
        change = amount * weight
    return with_tract(movement, speaker, name, values + change)


def earlier_or_later(movement: Movement, speaker: Speaker, moved: str, shift_s: float, weight: np.ndarray) -> Movement:
    """Let one articulator do what it does ``shift_s`` later (earlier if negative) where ``weight`` is 1."""
    state = np.arange(len(movement.tract), dtype=np.float64)
    source = state - shift_s * STATE_HZ * weight
    if (np.diff(source) <= 0).any():
        raise VocalTractError(f"A shift of {1000 * shift_s:g} ms within these edges would turn time back.")
    for name in TIMED[moved]:
        values = np.where(weight > 0, np.interp(source, state, movement.tract[:, TRACT.index(name)]), np.nan)
        values = np.where(np.isnan(values), movement.tract[:, TRACT.index(name)], values)
        movement = with_tract(movement, speaker, name, values)
    return movement


def pitch(movement: Movement, semitones: float, weight: np.ndarray) -> Movement:
    """Raise F0 by ``semitones`` times ``weight`` (state,), and leave the tract alone."""
    column = GLOTTIS.index("F0")
    glottis = movement.glottis.copy()
    raised = glottis[:, column] * 2.0 ** (semitones * weight / 12.0)
    glottis[:, column] = np.where(weight > 0, np.clip(raised, *GLOTTIS_LIMITS[column]), glottis[:, column])
    return replace(movement, glottis=glottis)


def with_tract(movement: Movement, speaker: Speaker, name: str, values: np.ndarray) -> Movement:
    """Give one parameter of the tract other values, within its limits."""
    column = TRACT.index(name)
    tract = movement.tract.copy()
    changed = values != tract[:, column]
    tract[changed, column] = np.clip(values[changed], *speaker.limits[column])
    return replace(movement, tract=tract)


def _degrees_per_cm(state: np.ndarray, speaker: Speaker) -> float:
    """Rotation of the jaw that raises the lower incisors by a centimetre."""
    column, step = TRACT.index("JA"), 0.5
    other = state.copy()
    other[column] += step if other[column] + step <= speaker.limits[column, 1] else -step
    rise = vtl.get_outlines(other)["lower"][INCISOR, 1] - vtl.get_outlines(state)["lower"][INCISOR, 1]
    return float((other[column] - state[column]) / rise)
