"""Checks of which tongue sensor is which, and which way is up, by how sensors move together.

Sensors on one tongue move with their neighbours, keep their distances, and are carried by the jaw. Measured like the
limits in ``checks``; single: 9 real sentences of 2 to 5 s and 240 virtual ones; speakers: the 4 virtual ones, because
no real one has more than two sentences here. The second limit is for less speech than ``amount.ENOUGH_S``.

=====================================  =================  ================  ===========================  ==============
what                                   good, single       good, speakers    mistakes                     limits
=====================================  =================  ================  ===========================  ==============
r of neighbours less r with the lip    0.41 to 1.8        1.28 to 1.51      -0.5 to 0.03, columns off    >= 0.15
in y, r of neighbours less tip-dorsum  -0.07 to 0.85      0.44 to 0.59      -1.1 to 0.07, below          >= -0.15/-0.25
distances, y exchanged over as read    0.90 to 2.8 x      1.27 to 2.2 x     0.35 to 1.1 x, y exchanged   >= 0.83/0.78
r of tongue and jaw in y, mean         -0.22 to 0.84      0.24 to 0.41      the same with the other sign  >= -0.15/-0.35
=====================================  =================  ================  ===========================  ==============

Caught, in single real sentences (of 9) and in virtual speakers (of 4): y of tip and blade exchanged 8 and 4, of blade
and dorsum 7 and 4, of tip and dorsum 7 and 4; y negated of tip, blade or dorsum 6 to 9 and 4, of the whole tongue 7 and
4. In the others the two trajectories are similar: the tongue is carried by the jaw, or tip and dorsum move alike.
Not caught: y upside down if the lips' names are exchanged as well, and y of lower lip and jaw exchanged.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.audit.amount import forgiving
from tractprobe.corpora.audit.gather import TONGUE, Gathered
from tractprobe.corpora.audit.result import Check
from tractprobe.signals.channels import CHANNELS


def tongue(
    parts: Gathered, channels: tuple[str, ...], cloud: Float[np.ndarray, "frame all_channels"]
) -> Iterator[Check]:
    """Check which tongue sensor is which, and which way is up."""
    variances = parts.squares / parts.n
    r = _Correlations(parts.products / parts.n / np.sqrt(variances * variances.T))
    yield _neighbours(r)
    yield forgiving(_heights(r), parts.track_s, low=-0.25)
    yield forgiving(_distances(channels, cloud), parts.track_s, low=0.78)
    yield forgiving(_jaw(r), parts.track_s, low=-0.35)


class _Correlations:
    """Correlations of channels within utterances, by name; NaN if one was not recorded or does not move."""

    def __init__(self, matrix: Float[np.ndarray, "channel channel"]):
        self.matrix = matrix

    def __call__(self, first: str, second: str) -> float:
        return float(self.matrix[CHANNELS.index(first), CHANNELS.index(second)])


def _neighbours(r: _Correlations) -> Check:
    """Check that tongue sensors follow their neighbours rather than the upper lip."""
    margins = {
        f"r({end}, tb_x) {r(end, 'tb_x'):.2f}, r({end}, ul_x) {r(end, 'ul_x'):.2f}": r(end, "tb_x") - r(end, "ul_x")
        for end in ("tt_x", "td_x")
    }
    recorded = {detail: margin for detail, margin in margins.items() if not np.isnan(margin)}
    cause = "Shifted columns, or sensors assigned to the wrong names."
    if not recorded:
        reason = "the upper lip and two neighbours on the tongue were not all recorded, or do not move"
        return Check("tongue follows its neighbours", None, "", 0.15, None, reason, cause)
    worst = min(recorded, key=recorded.__getitem__)
    return Check("tongue follows its neighbours", recorded[worst], "", 0.15, None, worst, cause)


def _heights(r: _Correlations) -> Check:
    """Check that in height, too, the blade moves with tip and dorsum more than these two move with each other."""
    name, cause = (
        "tongue follows its neighbours in height",
        "y exchanged between two sensors of the tongue, or negated.",
    )
    across = r("tt_y", "td_y")
    margins = {end: r(end, "tb_y") - across for end in ("tt_y", "td_y")}
    if np.isnan(list(margins.values())).any():
        return Check(name, None, "", -0.15, None, "tip, blade and dorsum were not all recorded, or do not move", cause)
    worst = min(margins, key=margins.__getitem__)
    detail = f"r({worst}, tb_y) {r(worst, 'tb_y'):.2f}, r(tt_y, td_y) {across:.2f}"
    return Check(name, margins[worst], "", -0.15, None, detail, cause)


def _distances(channels: tuple[str, ...], cloud: Float[np.ndarray, "frame all_channels"]) -> Check:
    """Check that the tongue's sensors keep their distances better than they would with y of two of them exchanged."""
    name, cause = "tongue keeps its distances", "y exchanged between two sensors of the tongue."
    x, y = ({sensor: cloud[:, channels.index(f"{sensor}_{axis}")] for sensor in TONGUE} for axis in "xy")
    as_read = _change_mm(x, y)
    if not 0 < as_read < np.inf:
        return Check(name, None, "x", 0.83, None, "tip, blade and dorsum were not all recorded, or do not move", cause)
    ratios = {
        f"{first} and {second}": _change_mm(x, {**y, first: y[second], second: y[first]}) / as_read
        for first, second in combinations(TONGUE, 2)
    }
    worst = min(ratios, key=ratios.__getitem__)
    detail = f"distances change by {as_read:.2f} mm (sd), with y of {worst} exchanged by {ratios[worst] * as_read:.2f}"
    return Check(name, ratios[worst], "x", 0.83, None, detail, cause)


def _change_mm(x: dict[str, np.ndarray], y: dict[str, np.ndarray]) -> float:
    """Return how much the distances of neighbours change (mm): root of the sum of their variances."""
    pairs = (("tt", "tb"), ("tb", "td"))
    distances = [np.hypot(x[front] - x[back], y[front] - y[back]) for front, back in pairs]
    finite = [distance[np.isfinite(distance)] for distance in distances]
    return float(np.sqrt(sum(distance.var() for distance in finite))) if all(map(len, finite)) else np.nan


def _jaw(r: _Correlations) -> Check:
    """Check that the tongue rises with the lower incisor."""
    name, cause = "tongue rises with the jaw", "y of the tongue or of the lower incisor with the wrong sign."
    correlations = {sensor: r(f"{sensor}_y", "li_y") for sensor in TONGUE if not np.isnan(r(f"{sensor}_y", "li_y"))}
    if len(correlations) < 2:
        return Check(name, None, "", -0.15, None, "no lower incisor, or fewer than two sensors on the tongue", cause)
    detail = ", ".join(f"r({sensor}_y, li_y) {value:.2f}" for sensor, value in correlations.items())
    return Check(name, sum(correlations.values()) / len(correlations), "", -0.15, None, detail, cause)
