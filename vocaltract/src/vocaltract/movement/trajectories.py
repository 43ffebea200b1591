r"""Target approximation: how articulators get to their targets.

A parameter :math:`y` follows its target line :math:`x(t) = m t + b` as a critically damped linear system of order
:math:`N`, :math:`(1 + \tau\,\mathrm{d}/\mathrm{d}t)^N y = x`. Within one target the solution is closed:

.. math:: y(t) = m t + b + e^{-t/\tau} \sum_{k<N} c_k t^k

where the :math:`c_k` follow from the state :math:`y, y', \dots, y^{(N-1)}` at the target's start, which carries over
from the target before: no jump in position, velocity or acceleration. Order 3 is that of F0 in Xu's model (Prom-on, Xu
and Thipakorn 2009, eqs. 2 to 5); order 5 gives tongue and lips the bell-shaped velocities of Birkholz, Kröger and
Neuschaefer-Rube (2011). As in Xu's model the line itself is the asymptote, without the lag of a filter.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import comb, factorial

import numpy as np

FAR_S = 1e3
"""Longer than any utterance: start and end of targets that always hold."""


@dataclass(frozen=True, eq=False)
class Target:
    """What some parameters head for during an interval.

    Attributes
    ----------
    start_s, end_s
        When it holds.
    columns
        Indices of the parameters.
    values
        (column,) target at ``start_s``, or ``None`` to change the time constant only.
    tau_s
        Time constant of the approach.
    slopes
        (column,) change of the target per second.
    """

    start_s: float
    end_s: float
    columns: np.ndarray
    values: np.ndarray | None
    tau_s: float
    slopes: np.ndarray | float = 0.0


def approximate(targets: list[Target], initial: np.ndarray, times_s: np.ndarray, order: int) -> np.ndarray:
    """Let parameters approach their targets.

    Parameters
    ----------
    targets
        Later ones in the list override earlier ones; every parameter must have a target at every time.
    initial
        (parameter,) positions at ``times_s[0]``, at rest.
    times_s
        (state,) ascending.
    order
        Of the critically damped system.

    Returns
    -------
    (state, parameter) positions.
    """
    starts, values, slopes, taus = _lines(targets, len(initial), times_s)
    ends = np.append(starts[1:], times_s[-1] + 1.0)
    first = np.searchsorted(times_s, starts)
    last = np.searchsorted(times_s, ends)
    output = np.empty((len(times_s), len(initial)))
    state = np.zeros((len(initial), order))
    state[:, 0] = initial
    for k, start in enumerate(starts):
        slope, tau = slopes[k], taus[k]
        coefficients = _coefficients(state, values[k], slope, tau)
        t = times_s[first[k] : last[k]] - start
        transient = (t[:, None] ** np.arange(order)) @ coefficients.T
        output[first[k] : last[k]] = values[k] + t[:, None] * slope + transient * np.exp(-t[:, None] / tau)
        state = _state(coefficients, ends[k] - start, values[k], slope, tau)
    return output


def _lines(targets: list[Target], parameters: int, times_s: np.ndarray) -> tuple[np.ndarray, ...]:
    """Targets as one table: (segment,) starts and (segment, parameter) values, slopes and time constants."""
    edges = np.array([edge for target in targets for edge in (target.start_s, target.end_s)])
    starts = np.unique(np.append(edges[(edges > times_s[0]) & (edges <= times_s[-1])], times_s[0]))
    values = np.full((len(starts), parameters), np.nan)
    slopes = np.zeros((len(starts), parameters))
    taus = np.full((len(starts), parameters), np.nan)
    for target in targets:
        a, b = np.searchsorted(starts, (target.start_s, target.end_s))
        taus[a:b, target.columns] = target.tau_s
        if target.values is not None:
            values[a:b, target.columns] = target.values + np.outer(
                starts[a:b] - target.start_s, target.slopes + 0.0 * target.values
            )
            slopes[a:b, target.columns] = target.slopes
    if np.isnan(values).any() or np.isnan(taus).any():
        raise ValueError("some parameter has no target at some time")
    return starts, values, slopes, taus


@lru_cache
def _binomials(order: int) -> np.ndarray:
    return np.array([[comb(k, j) for j in range(order)] for k in range(order)], float)


def _coefficients(state: np.ndarray, value: np.ndarray, slope: np.ndarray, tau: np.ndarray) -> np.ndarray:
    """(parameter, order) coefficients ``c_k`` of the transient: ``c_k k! = sum_j C(k, j) tau**(j - k) d_j``."""
    order = state.shape[1]
    deviation = state.copy()
    deviation[:, 0] -= value
    deviation[:, 1] -= slope
    powers = tau[:, None] ** -np.arange(order)
    scaled = deviation / powers
    factorials = np.array([factorial(k) for k in range(order)])
    return (scaled @ _binomials(order).T) * powers / factorials


def _state(coefficients: np.ndarray, t: float, value: np.ndarray, slope: np.ndarray, tau: np.ndarray) -> np.ndarray:
    """(parameter, order) position and derivatives after ``t`` seconds, by the product rule on ``e**(-t/tau) p(t)``."""
    order = coefficients.shape[1]
    derivatives = np.zeros_like(coefficients)
    for i in range(order):
        for k in range(i, order):
            derivatives[:, i] += coefficients[:, k] * (factorial(k) / factorial(k - i)) * t ** (k - i)
    binomials = _binomials(order)
    state = np.zeros_like(coefficients)
    for j in range(order):
        for i in range(j + 1):
            state[:, j] += binomials[j, i] * (-1.0 / tau) ** (j - i) * derivatives[:, i]
    state *= np.exp(-t / tau)[:, None]
    state[:, 0] += value + t * slope
    state[:, 1] += slope
    return state
