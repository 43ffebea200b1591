"""Shares: how much of one effect another one is, with an interval by Fieller's theorem."""

from collections.abc import Callable

from tractprobe.evidence.statistics.inference import effect
from tractprobe.runs.estimate import Estimate, Scores

_STEPS = 60  # of a bisection


def share(part: Scores, whole: Scores, level: float = 0.95) -> Estimate | None:
    """Return the mean of one effect as a share of the mean of another, over the speakers that have both.

    A share of means, not a mean of shares, which a single speaker without an effect would decide. Its interval holds
    every share θ for which the mean of ``part - θ whole`` may be 0 (Fieller, 1954); ``None`` where the whole itself may
    be 0 or less, so that there is nothing to have a share of.
    """
    keys = [key for key in part if key in whole]
    if not keys:
        return None
    of_whole = effect({key: whole[key] for key in keys}, level)
    of_part = effect({key: part[key] for key in keys}, level)
    value = of_part.mean / of_whole.mean if of_whole.mean > 0 else 0.0
    if of_whole.low is None:
        return Estimate(value, None, None, of_whole.n, level, of_whole.languages) if of_whole.mean > 0 else None
    if of_whole.low <= 0:
        return None

    def may_be(theta: float) -> bool:
        rest = effect({key: part[key] - theta * whole[key] for key in keys}, level)
        return rest.low is not None and rest.high is not None and rest.low <= 0 <= rest.high

    low, high = _end(may_be, value, -1.0), _end(may_be, value, 1.0)
    return Estimate(value, low, high, of_whole.n, level, of_whole.languages)


def _end(may_be: Callable[[float], bool], inside: float, direction: float) -> float:
    """Return where, from a share that may be, those that may be end in one direction."""
    step = direction
    while may_be(inside + step) and abs(step) < 2**_STEPS:
        step *= 2
    outside = inside + step
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if may_be(middle) else (inside, middle)
    return inside
