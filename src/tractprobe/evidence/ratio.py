"""The ratio of two means over the same speakers, with Fieller's interval."""

from collections.abc import Callable

import numpy as np

from tractprobe.evidence.inference import effect
from tractprobe.runs.estimate import Scores

_FARTHEST = 64.0
_STEPS = 60


def ratio_of_means(
    numerator: Scores, denominator: Scores, level: float = 0.95
) -> tuple[float | None, float | None, float | None]:
    """Return the ratio of the means of what both have, and its interval.

    The interval holds every ratio ρ that ``effect(numerator - ρ denominator)`` does not tell from 0 (Fieller, 1954), so
    it has the coverage of that interval. Without an interval of the denominator above 0 there is no ratio.
    """
    both = [key for key in numerator if key in denominator and np.isfinite(numerator[key] - denominator[key])]
    if not both:
        return None, None, None
    below = effect({key: denominator[key] for key in both}, level)
    if below.mean <= 0 or (below.low is not None and below.low <= 0):
        return None, None, None
    ratio = effect({key: numerator[key] for key in both}, level).mean / below.mean
    if below.low is None:
        return ratio, None, None

    def end(rho: float, high: bool) -> float:
        differences = {key: numerator[key] - rho * denominator[key] for key in both}
        reached = effect(differences, level)
        value = reached.high if high else reached.low
        return reached.mean if value is None else value

    return (
        ratio,
        _root(lambda rho: -end(rho, high=False), ratio, -1.0),
        _root(lambda rho: end(rho, high=True), ratio, 1.0),
    )


def _root(value: Callable[[float], float], start: float, sign: float) -> float | None:
    """Return where a function that is 0 or more at the start falls below 0, in a direction; ``None`` if it does not."""
    step = 1e-3
    while value(start + sign * step) >= 0:
        step *= 2
        if step > _FARTHEST:
            return None
    near, far = 0.0, step
    for _ in range(_STEPS):
        middle = (near + far) / 2
        near, far = (middle, far) if value(start + sign * middle) >= 0 else (near, middle)
    return start + sign * near
