"""Where the folds are heard to vibrate, which is later than where they could: voice needs some periods to build up."""

import numpy as np
from scipy import signal

from vocaltract.states import AUDIO_HZ

HIGHEST_HZ = 1500.0
"""The sound is compared below it: friction, above, hides no voice there."""
PERIODS = 2.0
"""Length of what is compared with itself one period later."""
LIKENESS = 0.5
"""Smallest correlation of a stretch with the one a period later; noise reaches .3."""
FLOOR_DB = -40.0
"""Quieter than that, relative to the utterance's RMS, nothing counts as voice."""
DETUNING = (0.97, 1.0, 1.03)
"""Periods that are tried, since pitch moves within a stretch."""


def heard_f0(f0_hz: np.ndarray, sound: np.ndarray, rate_hz: float) -> np.ndarray:
    """Keep F0 where the sound has that period.

    The correlation of two neighbouring periods of the sound below ``HIGHEST_HZ``, at the period that is known, decides
    (normalised cross-correlation: Talkin 1995); single frames follow their two neighbours.

    Parameters
    ----------
    f0_hz
        (frame,) at ``rate_hz``, 0 where the folds cannot vibrate.
    sound
        (sample,) as it leaves the tract, 44.1 kHz.

    Returns
    -------
    (frame,) Hz, 0 where there is no voice.
    """
    low = signal.sosfiltfilt(signal.butter(4, HIGHEST_HZ, "low", fs=AUDIO_HZ, output="sos"), sound)
    floor = np.sqrt(np.mean(low**2)) * 10 ** (FLOOR_DB / 20)
    voiced = np.array([_voiced(low, frame / rate_hz, f0, floor) for frame, f0 in enumerate(f0_hz)], bool)
    alone = np.convolve(np.r_[voiced[:1], voiced, voiced[-1:]], np.ones(3), "valid") >= 2
    return np.where(alone & (f0_hz > 0), f0_hz, 0.0)


def _voiced(low: np.ndarray, at_s: float, f0_hz: float, floor: float) -> bool:
    if f0_hz <= 0:
        return False
    length = int(PERIODS / f0_hz * AUDIO_HZ)
    for detuning in DETUNING:
        lag = round(AUDIO_HZ / f0_hz * detuning)
        first = round(at_s * AUDIO_HZ) - (length + lag) // 2
        if first < 0 or first + length + lag > len(low):
            return False
        here, later = low[first : first + length], low[first + lag : first + lag + length]
        norm = np.sqrt(np.dot(here, here) * np.dot(later, later))
        if norm >= length * floor**2 and np.dot(here, later) >= LIKENESS * norm:
            return True
    return False
