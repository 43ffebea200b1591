"""States of the glottis for one speaker: voice qualities, and what consonants do there."""

import numpy as np

from vocaltract.speakers import jd3
from vocaltract.states import GLOTTIS

LUNG_PRESSURE_DPA = 8000.0
SMALL_TRACT_PRESSURE = 1.6
"""Lung pressure in voiceless fricatives of the smallest tract, relative to JD3's: noise grows with flow cubed."""

WIDEST_CHINK_CM2 = 0.25

FROM_JD3 = (
    *("modal", "breathy", "pressed", "hoarse", "whisper", "stop", "h"),
    *("voiced-plosive", "voiceless-plosive", "voiced-fricative", "voiceless-fricative"),
)


def glottis_shapes(f0_hz: float, size: float) -> dict[str, np.ndarray]:
    """Every state of the glottis by name, each (11,), for folds of ``size`` times JD3's length.

    JD3's voiced plosive and fricative hold no pressure, which its score supplies; here every state holds
    the pressure of speech. ``open`` is the spread glottis of aspiration.
    """
    original = jd3.glottis_shapes(jd3.document())
    shapes = {name: original[name].copy() for name in FROM_JD3}
    shapes["open"] = original["voiceless-plosive"].copy()
    _set(shapes["open"], XB=0.12, XT=0.12, CA=0.15)
    for state in shapes.values():
        _set(state, F0=f0_hz, PR=LUNG_PRESSURE_DPA)
    _open_wider(shapes["voiceless-fricative"], size)
    return shapes


def _open_wider(fricative: np.ndarray, size: float) -> None:
    """Give short folds nearly the flow of long ones: the noise of a fricative grows with the cube of it."""
    small = np.clip((1.0 - size) / 0.5, 0.0, 1.0)
    values = dict(zip(GLOTTIS, fricative, strict=True))
    width = min(size, 1.0) ** -0.7
    _set(fricative, XB=width * values["XB"], XT=width * values["XT"], CA=min(width**2 * values["CA"], WIDEST_CHINK_CM2))
    _set(fricative, PR=LUNG_PRESSURE_DPA * (1.0 + (SMALL_TRACT_PRESSURE - 1.0) * small))


def _set(state: np.ndarray, **values: float) -> None:
    for name, value in values.items():
        state[GLOTTIS.index(name)] = value
