"""From movement to sound: VocalTractLab's simulation of air in a moving tube, and its level."""

import numpy as np
import vocaltractlab_cython as vtl

from vocaltract.errors import VocalTractError
from vocaltract.speakers import Speaker
from vocaltract.states import GLOTTIS, STATE_SAMPLES, TRACT, Movement

LEVEL_RMS = 0.06
LARGEST_PEAK = 0.95
_BEYOND = 1e-9  # what rounding may add to a limit


def audio(movement: Movement, speaker: Speaker) -> np.ndarray:
    """Synthesise a movement, at the level of speech.

    Parameters
    ----------
    movement
        At least two states; the first is reached at sample 0, each other one 220 samples after the one before.
    speaker
        Whose tract moves; becomes the active speaker of this process.

    Returns
    -------
    numpy.ndarray
        (sample,), float64, 44.1 kHz, 220 samples for each step from state to state, RMS 0.06 unless the peak
        would exceed 0.95.

    Raises
    ------
    VocalTractError
        If a parameter is not finite or beyond its limits, or there is no sound.
    """
    raw = simulated(movement, speaker)
    return raw * gain(raw)


def simulated(movement: Movement, speaker: Speaker) -> np.ndarray:
    """Synthesise a movement at VocalTractLab's own level: (sample,), float64, with peaks of 0.1 to 0.2.

    A state acts on the sound only from the state before it on: two movements that agree in their first n
    states agree, bit for bit, in their first (n - 1) * 220 + 1 samples.
    """
    check(movement, speaker)
    speaker.activate()
    tract, glottis = np.ascontiguousarray(movement.tract), np.ascontiguousarray(movement.glottis)
    raw = vtl.synth_block(tract, glottis, state_samples=STATE_SAMPLES)[: (len(tract) - 1) * STATE_SAMPLES]
    if not np.isfinite(raw).all():
        raise VocalTractError(f"The synthesiser gave sound that is not finite for a movement of {movement.speaker}.")
    return raw


def gain(raw: np.ndarray) -> float:
    """Find the factor that brings sound to RMS 0.06, or to a peak of 0.95 if that is less."""
    rms, peak = float(np.sqrt(np.mean(raw**2))), float(np.abs(raw).max())
    if peak == 0.0:
        raise VocalTractError("A movement made no sound at all: is there any lung pressure?")
    return min(LEVEL_RMS / rms, LARGEST_PEAK / peak)


def check(movement: Movement, speaker: Speaker) -> None:
    """Refuse what the synthesiser would clamp in silence, or would turn into NaN or a crash.

    Raises
    ------
    VocalTractError
        With the parameter's name, the state's number and the value.
    """
    if movement.speaker != speaker.name:
        raise VocalTractError(f"A movement of {movement.speaker} cannot be made by the tract of {speaker.name}.")
    if len(movement.tract) < 2 or len(movement.tract) != len(movement.glottis):
        raise VocalTractError("A movement needs at least two states, and as many of the glottis as of the tract.")
    _within(movement.tract, TRACT, speaker.limits)
    _within(movement.glottis, GLOTTIS, glottis_limits(speaker))


def glottis_limits(speaker: Speaker) -> np.ndarray:
    """Smallest and largest value of every parameter of the glottis, (11, 2), as the synthesiser states them."""
    speaker.activate()
    return np.array([(p["min"], p["max"]) for p in vtl.get_param_info("glottis")], dtype=np.float64)


def _within(values: np.ndarray, names: tuple[str, ...], limits: np.ndarray) -> None:
    if values.dtype != np.float64 or values.ndim != 2 or values.shape[1] != len(names):
        raise VocalTractError(
            f"States must be float64 of shape (state, {len(names)}), not {values.dtype} {values.shape}."
        )
    wrong = ~np.isfinite(values) | (values < limits[:, 0] - _BEYOND) | (values > limits[:, 1] + _BEYOND)
    if wrong.any():
        state, parameter = np.argwhere(wrong)[0]
        name, value, (low, high) = names[parameter], values[state, parameter], limits[parameter]
        raise VocalTractError(f"{name} is {value:.4g} in state {state}, not within {low:.4g} to {high:.4g}.")
