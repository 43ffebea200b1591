"""When a gesture has to start and end so that its constriction is there when the label says so."""

from functools import lru_cache
from math import factorial

import numpy as np

ORDER = 5
_GRID = np.linspace(0.0, 25.0, 2501)


@lru_cache
def _response(order: int) -> np.ndarray:
    terms = sum(_GRID**k / factorial(k) for k in range(order))
    return 1.0 - np.exp(-_GRID) * terms


def reached(time: float, order: int = ORDER) -> float:
    """Share of a step that the critically damped system has done after ``time`` time constants."""
    return float(np.interp(time, _GRID, _response(order)))


def time_to(share: float, order: int = ORDER) -> float:
    """Time constants until the system has done ``share`` of a step (0.999 at most)."""
    return float(np.interp(min(share, 0.999), _response(order), _GRID))


@lru_cache(maxsize=4096)
def activation(duration_s: float, tau_s: float, on: float, off: float) -> tuple[float, float, float]:
    """Start and end of a gesture whose constriction holds for ``duration_s``.

    Parameters
    ----------
    duration_s
        From the moment that the articulator comes to ``on`` of its way until it is back at ``off`` of it.
    tau_s
        Time constant of the gesture.
    on, off
        Shares of the way, from 0 to 1, at which the constriction begins and ends.

    Returns
    -------
    Start and end of the gesture relative to the start of the constriction, and the time constant; a short constriction
    needs a quicker gesture, so that is shortened until the articulator gets there.
    """
    while True:
        start, end = -tau_s * time_to(on), duration_s - tau_s * time_to(1.0 - off)
        for _ in range(30):
            start = -tau_s * time_to(on + reached(-end / tau_s))
            end = duration_s - tau_s * time_to(max(reached((duration_s - start) / tau_s) - off, 0.0))
        begins = reached(-start / tau_s) - reached(-end / tau_s)
        ends = reached((duration_s - start) / tau_s) - reached((duration_s - end) / tau_s)
        if (abs(begins - on) < 0.02 and abs(ends - off) < 0.02 and end > start) or tau_s < 0.002:
            return start, end, tau_s
        tau_s *= 0.9
