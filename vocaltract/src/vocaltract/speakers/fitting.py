"""Fitting a tract shape to formants, starting from a shape that is nearly right.

Every function needs the shape's speaker to be active.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import least_squares

from vocaltract.speakers.acoustics import formants_hz, smallest_area_cm2
from vocaltract.states import TRACT

FREE = ("TCX", "TCY", "TTX", "TTY", "TBX", "TBY", "LP", "LD", "HX")
"""What a fit may change: the tongue, the lips and the width of the pharynx."""
FORMANT_TOLERANCE = 0.02
SHIFT_TOLERANCE_CM = 0.35
STEP_CM = 0.02
MOST_STEPS = 12
MISSING = 1.0
"""Residual, as the logarithm of a ratio, for a formant that cannot be told from its neighbour."""


def fit(
    start: np.ndarray,
    targets_hz: Sequence[float],
    limits: np.ndarray,
    size: float,
    least_area_cm2: float,
    free: Sequence[str] = FREE,
    tolerance: float = FORMANT_TOLERANCE,
) -> np.ndarray:
    """Move a shape as little as need be to bring its formants to their targets.

    Minimises the sum of squares of (log F - log target) / ``tolerance``, of every parameter's shift / 0.35 cm times the
    speaker's size, and of whatever area the narrowest place lacks; Gauss-Newton within the limits.

    Parameters
    ----------
    start
        (19,)
    targets_hz
        F1 and following; 0 leaves a formant free.
    size
        Of the mouth, relative to JD3's.
    least_area_cm2
        Of any place above the larynx.

    Returns
    -------
    numpy.ndarray
        (19,)
    """
    columns = [TRACT.index(name) for name in free]
    low, high = limits[columns].T
    margin = 1e-3 * (high - low)
    origin = np.clip(start[columns], low + margin, high - margin)

    def state(values: np.ndarray) -> np.ndarray:
        moved = start.copy()
        moved[columns] = values
        return moved

    def residuals(values: np.ndarray) -> np.ndarray:
        shape = state(values)
        shift = (values - origin) / (SHIFT_TOLERANCE_CM * size)
        return np.concatenate([_formant_errors(shape, targets_hz) / tolerance, shift, [_lack(shape, least_area_cm2)]])

    found = least_squares(residuals, origin, bounds=(low, high), diff_step=STEP_CM / 2.0, max_nfev=MOST_STEPS)
    return state(found.x)


def _formant_errors(shape: np.ndarray, targets_hz: Sequence[float]) -> np.ndarray:
    found = formants_hz(shape, len(targets_hz))
    wanted = np.asarray(targets_hz, np.float64)
    errors = np.log(found / np.where(wanted > 0, wanted, 1.0))
    return np.where(np.isnan(errors), MISSING, errors) * (wanted > 0)


def _lack(shape: np.ndarray, least_area_cm2: float) -> float:
    narrowest = smallest_area_cm2(shape)
    return max(0.0, least_area_cm2 - narrowest) / 0.02
