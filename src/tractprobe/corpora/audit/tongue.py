"""Checks of which tongue sensor is which, and which way is up, by how sensors move together.

Sensors on one tongue move with their neighbours, keep their distances, and are carried by the jaw. Limits, with
reasons, are in ``limits.toml``.

Noticed, in single real sentences (of 9) and in virtual speakers (of 4): y of tip and blade exchanged 8 and 4, of blade
and dorsum 7 and 4, of tip and dorsum 7 and 4; y negated of tip, blade or dorsum 6 to 9 and 4, of the whole tongue 7 and
4. In the others the two trajectories are similar: the tongue is carried by the jaw, or tip and dorsum move alike.
Not noticed: y upside down if the lips' names are exchanged as well, and y of lower lip and jaw exchanged.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.audit.gather import TONGUE, Gathered
from tractprobe.corpora.audit.result import Measured
from tractprobe.signals.channels import CHANNELS

_THREE = "tip, blade and dorsum were not all recorded, or do not move"


def tongue(
    parts: Gathered, channels: tuple[str, ...], cloud: Float[np.ndarray, "frame all_channels"]
) -> Iterator[Measured]:
    """Check which tongue sensor is which, and which way is up."""
    variances = parts.squares / parts.n
    r = _Correlations(parts.products / parts.n / np.sqrt(variances * variances.T))
    yield _neighbours(r)
    yield _heights(r)
    yield _distances(channels, cloud)
    yield _jaw(r)


class _Correlations:
    """Correlations of channels within utterances, by name; NaN if one was not recorded or does not move."""

    def __init__(self, matrix: Float[np.ndarray, "channel channel"]):
        self.matrix = matrix

    def __call__(self, first: str, second: str) -> float:
        return float(self.matrix[CHANNELS.index(first), CHANNELS.index(second)])


def _neighbours(r: _Correlations) -> Measured:
    """Check that tongue sensors follow their neighbours rather than the upper lip."""
    margins = {
        f"r({end}, tb_x) {r(end, 'tb_x'):.2f}, r({end}, ul_x) {r(end, 'ul_x'):.2f}": r(end, "tb_x") - r(end, "ul_x")
        for end in ("tt_x", "td_x")
    }
    recorded = {detail: margin for detail, margin in margins.items() if not np.isnan(margin)}
    if not recorded:
        reason = "the upper lip and two neighbours on the tongue were not all recorded, or do not move"
        return Measured("tongue follows its neighbours", None, reason)
    worst = min(recorded, key=recorded.__getitem__)
    return Measured("tongue follows its neighbours", recorded[worst], worst)


def _heights(r: _Correlations) -> Measured:
    """Check that in height, too, the blade moves with tip and dorsum more than these two move with each other."""
    name = "tongue follows its neighbours in height"
    across = r("tt_y", "td_y")
    margins = {end: r(end, "tb_y") - across for end in ("tt_y", "td_y")}
    if np.isnan(list(margins.values())).any():
        return Measured(name, None, _THREE)
    worst = min(margins, key=margins.__getitem__)
    detail = f"r({worst}, tb_y) {r(worst, 'tb_y'):.2f}, r(tt_y, td_y) {across:.2f}"
    return Measured(name, margins[worst], detail)


def _distances(channels: tuple[str, ...], cloud: Float[np.ndarray, "frame all_channels"]) -> Measured:
    """Check that the tongue's sensors keep their distances better than they would with y of two of them exchanged."""
    name = "tongue keeps its distances"
    x, y = ({sensor: cloud[:, channels.index(f"{sensor}_{axis}")] for sensor in TONGUE} for axis in "xy")
    as_read = _change_mm(x, y)
    if not 0 < as_read < np.inf:
        return Measured(name, None, _THREE)
    ratios = {
        f"{first} and {second}": _change_mm(x, {**y, first: y[second], second: y[first]}) / as_read
        for first, second in combinations(TONGUE, 2)
    }
    worst = min(ratios, key=ratios.__getitem__)
    detail = f"distances change by {as_read:.2f} mm (sd), with y of {worst} exchanged by {ratios[worst] * as_read:.2f}"
    return Measured(name, ratios[worst], detail)


def _change_mm(x: dict[str, np.ndarray], y: dict[str, np.ndarray]) -> float:
    """Return how much the distances of neighbours change (mm): root of the sum of their variances."""
    pairs = (("tt", "tb"), ("tb", "td"))
    distances = [np.hypot(x[front] - x[back], y[front] - y[back]) for front, back in pairs]
    finite = [distance[np.isfinite(distance)] for distance in distances]
    return float(np.sqrt(sum(distance.var() for distance in finite))) if all(map(len, finite)) else np.nan


def _jaw(r: _Correlations) -> Measured:
    """Check that the tongue rises with the lower incisor."""
    name = "tongue rises with the jaw"
    correlations = {sensor: r(f"{sensor}_y", "li_y") for sensor in TONGUE if not np.isnan(r(f"{sensor}_y", "li_y"))}
    if len(correlations) < 2:
        return Measured(name, None, "no lower incisor, or fewer than two sensors on the tongue")
    detail = ", ".join(f"r({sensor}_y, li_y) {value:.2f}" for sensor, value in correlations.items())
    return Measured(name, sum(correlations.values()) / len(correlations), detail)
