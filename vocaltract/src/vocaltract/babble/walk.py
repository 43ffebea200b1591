"""Targets at random times, and how the tract gets from one to the next."""

from dataclasses import dataclass

import numpy as np

from vocaltract.manner import Manner

TAU_S = 0.0115
"""Time constant of every articulator: between those of vowels and consonants in speech."""
INTERVAL_S, INTERVAL_SPREAD = 0.115, 0.35
"""Median time from target to target, and the standard deviation of its logarithm.

With ``TAU_S`` they give the parameters of the tract the velocities that they have in speech."""


@dataclass(frozen=True, eq=False)
class Knot:
    """What a tract heads for from ``start_s`` to ``end_s``.

    Attributes
    ----------
    tract
        (19,)
    glottis
        (11,), all but F0 and lung pressure of it; ``None`` if the folds have targets at times of their own.
    """

    start_s: float
    end_s: float
    tract: np.ndarray
    glottis: np.ndarray | None = None


def edges_s(start_s: float, end_s: float, median_s: float, random: np.random.Generator) -> np.ndarray:
    """Random times from ``start_s`` to ``end_s``, both included, at log-normal intervals."""
    edges = [start_s]
    while edges[-1] < end_s - median_s:
        edges.append(edges[-1] + median_s * float(np.exp(INTERVAL_SPREAD * random.standard_normal())))
    edges = [edge for edge in edges if edge < end_s - 0.4 * median_s] or [start_s]
    return np.array([*edges, end_s])


def tau_s(manner: Manner, slower: float = 1.0) -> float:
    """Time constant of the tract for a strength of coarticulation."""
    return TAU_S * slower * (0.6 + 0.4 * manner.coarticulation)
