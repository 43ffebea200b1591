"""Checks of where sensors are and how far they move, each with its limits.

Limits lie between the values of good recordings and those after mistakes seen in public code, both measured. They were
set on the recordings on which they are tested; no recordings were reserved for testing. Good: 8 real speakers with one
or two sentences each (HPRC F01 and M01, EMU mo1 and dfg91, MOCHA fsew0, XRMB jw11, AG501 sf2 and another), and the 4
speakers of the built-in corpus, as whole speakers and by single sentences (240, including those from which the corpus
was chosen). Mistakes were made artificially in these; for the lateral axis there are an artificial one and the real
ones in 6 of the real recordings. Where there are two limits, the second one is for less speech than
``amount.ENOUGH_S``.

=====================================  =================  =======================================  ==============
what                                   good               mistakes                                 limits
=====================================  =================  =======================================  ==============
still reference, sd below 15 Hz        0.07 to 0.33 mm    4.2 to 5.3, a moving sensor's columns    <= 0.5 mm
least gap from back to front           2.5 to 14 mm       -28 to -19, x with the wrong sign        >= 2 mm
upper above lower lip                  5.9 to 43 mm       -2.1 to 5.1, a lateral axis              >= 5.5 mm
tongue above the middle of the lips    -5 to 19 mm        100, a forehead as the tongue's tip      -40 to 35 mm
distance of tongue sensors             8.6 to 28 mm       0.9 to 2.0 and 119 to 283, 10 x units    5 to 45 mm
distance of dorsum and upper lip       44 to 67 mm        22 to 33 and 88 to 134, 2 x units        35 to 78 mm
sd of difference over sd, two columns  0.10 to 0.61       0 to 1e-6, one column read twice         >= 0.03
spread, median of channels             1.6 to 4.5 mm      0.2 to 0.4 and 22 to 42, 10 x units      0.8 to 8 mm
least spread over what is expected     1.24 to 4.8 x      0 to 0.13, a flag or a reference read    >= 1 x
vertical to horizontal travel          0.34 to 2.0        0.12 to 0.57, a lateral axis             >= 0.37/0.3
samples that no sensor measures        0                  0.02 to 1, losses filled                 <= 0.002
lips closer in [p b m], AUC            0.88 to 1          0.33 to 0.67, other columns as the lips  >= 0.75
=====================================  =================  =======================================  ==============

Narrow margins: dfg91's lateral axis fails only by the height of the lips (5.1 mm, limit 5.5; its travel of 0.57 passes,
while the other five have 0.19 to 0.32), and a child's lips are 5.9 mm apart in one sentence. The lips' distance
includes x: with a lateral axis its AUC may take any value. If a sentence has few bilabials, the AUC is not judged.

Units: the size of the mouth is known to within a third, because heads differ by that much. A factor of 2 or 1/2 is
always caught; a factor of 1.5 in 7 of the 9 real sentences and 1 of the 4 virtual speakers, 1/1.5 in 2 and 3 of them.
Smaller factors cannot be told from a large or small head, and without dorsum or upper lip no factor can.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.audit.amount import forgiving
from tractprobe.corpora.audit.gather import STILL, TONGUE, Gathered
from tractprobe.corpora.audit.result import Check, short
from tractprobe.corpora.audit.stuck import STUCK_S
from tractprobe.signals.channels import ARTICULATORS, CHANNELS

_LIPS, _NEIGHBOURS = "the lips were not both recorded", "fewer than two neighbours on the tongue were recorded"
_TWIN_FRAMES = 10
_LEAST_SPREAD_MM = {"ul_x": 0.15, "ul_y": 0.15, "ll_x": 0.15, "li_x": 0.15, "li_y": 0.4, "ll_y": 0.35}


def anatomy(channels: tuple[str, ...], cloud: Float[np.ndarray, "frame all_channels"]) -> Iterator[Check]:
    """Check where sensors are."""
    at = {}
    for name, column in zip(channels, cloud.T, strict=True):
        if np.isfinite(column).any():
            at[name] = float(np.nanmedian(column))
    yield _order(at)
    gap = at["ul_y"] - at["ll_y"] if {"ul_y", "ll_y"} <= set(at) else None
    cause = "A lateral axis read as the vertical one, y upside down, or the lips swapped."
    yield Check("upper lip above lower", gap, "mm", 5.5, None, _LIPS if gap is None else "difference of medians", cause)
    yield _height(at)
    yield _neighbour_distance(channels, cloud)
    yield _dorsum_to_lips(channels, cloud)
    yield _twins(channels, cloud)


def _order(at: Mapping[str, float]) -> Check:
    """Check that lips, tip, blade and dorsum follow from front to back, and that the lower incisor is in between."""
    present = [name for name in (*TONGUE, "ul", "ll") if f"{name}_x" in at]
    rank = {"td": 0, "tb": 1, "tt": 2, "ul": 3, "ll": 3}
    gaps = {
        f"{front} - {back}": at[f"{front}_x"] - at[f"{back}_x"]
        for back in present
        for front in present
        if rank[front] - rank[back] == 1 or (rank[front] > rank[back] and not _between(rank, present, back, front))
    }
    if "li_x" in at:
        # The gums may be slightly in front of retracted lips, and the tip near the gums: 5 and 2 mm are allowed.
        gaps |= {f"{lip} - li + 5": at[f"{lip}_x"] - at["li_x"] + 5 for lip in ("ul", "ll") if lip in present}
        gaps |= {"li - tt + 2": at["li_x"] - at["tt_x"] + 2} if "tt" in present else {}
    cause = "x with the wrong sign, sensors assigned to the wrong names (shifted by one), or shifted columns."
    if not gaps:
        return Check("order from back to front", None, "mm", 2.0, None, "fewer than two sensors", cause)
    worst = min(gaps, key=gaps.__getitem__)
    return Check("order from back to front", gaps[worst], "mm", 2.0, None, f"least gap, {worst}", cause)


def _between(rank: Mapping[str, int], present: list[str], back: str, front: str) -> bool:
    return any(rank[back] < rank[name] < rank[front] for name in present)


def _height(at: Mapping[str, float]) -> Check:
    """Check that the tongue's sensors are at the height of the mouth."""
    name, cause = "tongue at the height of the mouth", "A sensor of the head (nose, forehead) under a tongue's name."
    middle = [at[lip] for lip in ("ul_y", "ll_y") if lip in at]
    heights = {sensor: at[f"{sensor}_y"] - sum(middle) / 2 for sensor in TONGUE if f"{sensor}_y" in at}
    if len(middle) < 2 or not heights:
        return Check(name, None, "mm", -40.0, 35.0, _LIPS if len(middle) < 2 else "no sensor on the tongue", cause)
    worst = max(heights, key=lambda sensor: abs(heights[sensor]))
    return Check(name, heights[worst], "mm", -40.0, 35.0, f"{worst} above the middle of the lips", cause)


def _neighbour_distance(channels: tuple[str, ...], cloud: np.ndarray) -> Check:
    """Check that tongue sensors are about a fingerbreadth apart."""
    place = {name: index for index, name in enumerate(channels)}
    distances = {}
    for front, back in (("tt", "tb"), ("tb", "td")):
        x, y = (cloud[:, place[f"{front}_{axis}"]] - cloud[:, place[f"{back}_{axis}"]] for axis in "xy")
        apart = np.hypot(x, y)
        if np.isfinite(apart).any():
            distances[f"{front} to {back}"] = float(np.nanmedian(apart))
    cause = "cm or 1/100 mm read as mm, or a sensor from elsewhere under a tongue's name."
    if not distances:
        return Check("distance of tongue sensors", None, "mm", 5.0, 45.0, _NEIGHBOURS, cause)
    worst = max(distances, key=lambda pair: abs(np.log(max(distances[pair], 1e-9) / 15)))
    return Check("distance of tongue sensors", distances[worst], "mm", 5.0, 45.0, f"{worst}, median", cause)


def _dorsum_to_lips(channels: tuple[str, ...], cloud: np.ndarray) -> Check:
    """Check the size of the mouth by the distance that differs least between speakers."""
    name, cause = (
        "distance of dorsum and upper lip",
        "A unit that is wrong by 1.5 or more, or a sensor under another's name.",
    )
    x, y = (cloud[:, channels.index(f"ul_{axis}")] - cloud[:, channels.index(f"td_{axis}")] for axis in "xy")
    apart = np.hypot(x, y)
    if not np.isfinite(apart).any():
        return Check(name, None, "mm", 35.0, 78.0, "dorsum and upper lip were not both recorded", cause)
    return Check(name, float(np.nanmedian(apart)), "mm", 35.0, 78.0, "median", cause)


def _twins(channels: tuple[str, ...], cloud: np.ndarray) -> Check:
    """Check that no two channels are the same up to sign and offset.

    The x of the two lips is left out: it is the same in the virtual speakers, whose lips protrude together.
    """
    name, cause = "no two channels the same", "One column read under two names."
    shares = {}
    for (first, a), (second, b) in combinations(zip(channels, cloud.T, strict=True), 2):
        both = np.isfinite(a) & np.isfinite(b)
        if both.sum() < _TWIN_FRAMES or {first, second} == {"ul_x", "ll_x"}:
            continue
        a, b = a[both] - a[both].mean(), b[both] - b[both].mean()
        share = min((a - b).std(), (a + b).std()) / min(a.std(), b.std())
        if np.isfinite(share):
            shares[f"{first} and {second}"] = float(share)
    if not shares:
        reason = f"no two channels that move, with {_TWIN_FRAMES} frames of both"
        return Check(name, None, "", 0.03, None, reason, cause)
    worst = min(shares, key=shares.__getitem__)
    return Check(name, shares[worst], "", 0.03, None, f"sd of sum or difference over their own sd, {worst}", cause)


def motion(parts: Gathered) -> Iterator[Check]:
    """Check how far sensors move, and whether they move together as they should."""
    sd = np.sqrt(np.diag(parts.products) / np.diag(parts.n))
    spread = {name: float(value) for name, value in zip(CHANNELS, sd, strict=True) if not np.isnan(value)}
    yield _still(parts)
    yield _spread(spread)
    yield _least_spread(spread)
    yield forgiving(_vertical_travel(spread), parts.track_s, low=0.3)
    yield _bilabials(parts)


def _still(parts: Gathered) -> Check:
    cause = "Shifted columns, or positions that were not corrected for head movement."
    sds = {name: float(np.sqrt(total / n)) for name, (total, n) in parts.still.items() if n}
    if not sds:
        frames = "/".join(sorted(parts.frames))
        reason = f"no reference channels ({', '.join(STILL)}) in coordinates fixed to the head; frame: {frames}"
        return Check("references stand still", None, "mm", None, 0.5, reason, cause)
    worst = max(sds, key=sds.__getitem__)
    return Check("references stand still", sds[worst], "mm", None, 0.5, f"{worst}, sd within utterances", cause)


def _spread(spread: Mapping[str, float]) -> Check:
    middle = float(np.median(list(spread.values())))
    widest = max(spread, key=spread.__getitem__)
    detail = f"sd within utterances, median of channels; most: {widest} {short(spread[widest])}"
    cause = "cm, µm or 1/100 mm read as mm, or positions standardised to sd 1."
    return Check("spread of channels", middle, "mm", 0.8, 8.0, detail, cause)


def _least_spread(spread: Mapping[str, float]) -> Check:
    """Check that every articulator moves: the tongue by 0.8 mm at least, the x of the lips by only 0.15 mm."""
    ratios = {name: value / _LEAST_SPREAD_MM.get(name, 0.8) for name, value in spread.items()}
    worst = min(ratios, key=ratios.__getitem__)
    detail = f"{worst}: sd {short(spread[worst])} mm, at least {_LEAST_SPREAD_MM.get(worst, 0.8)} expected"
    cause = "A flag, a reference or an unplugged sensor read as an articulator: shifted columns."
    return Check("every channel moves", ratios[worst], "x", 1.0, None, detail, cause)


def _vertical_travel(spread: Mapping[str, float]) -> Check:
    vertical, horizontal = ("td_y", "tt_y", "ll_y"), ("td_x", "tt_x")
    cause = "A lateral axis read as the vertical one."
    if missing := [name for name in (*vertical, *horizontal) if name not in spread]:
        reason = f"needs tip, dorsum and lower lip; not recorded: {' '.join(missing)}"
        return Check("vertical to horizontal travel", None, "", 0.37, None, reason, cause)
    horizontal = (*horizontal, "tb_x") if "tb_x" in spread else horizontal
    y, x = ([spread[name] for name in names] for names in (vertical, horizontal))
    ratio = float(np.exp(np.mean(np.log(y)) - np.mean(np.log(x))))
    detail = f"sd of {', '.join(vertical)} over sd of {', '.join(horizontal)}, geometric means"
    return Check("vertical to horizontal travel", ratio, "", 0.37, None, detail, cause)


def _bilabials(parts: Gathered) -> Check:
    """Check that the lips are closer in bilabials than in other phones: AUC, the probability for a random pair."""
    closed, other = np.array(parts.closed.items, dtype=float), np.sort(np.array(parts.open.items, dtype=float))
    n = f"{len(closed)} bilabials, {len(other)} others"
    cause = "A lateral axis read as a lip's vertical one, lips under other sensors' names, or labels of other audio."
    if len(closed) < 3 or len(other) < 10:
        reason = f"{n}; needs 3 and 10"
        return Check("lips close in [p b m]", None, "AUC", 0.75, None, reason, cause)
    wider = len(other) - np.searchsorted(other, closed, side="right")
    ties = np.searchsorted(other, closed, side="right") - np.searchsorted(other, closed, side="left")
    area = float((wider + ties / 2).mean() / len(other))
    detail = f"medians {np.median(closed):.1f} and {np.median(other):.1f} mm; {n}"
    return Check("lips close in [p b m]", area, "AUC", 0.75, None, detail, cause)


def measured(parts: Gathered) -> Check:
    """Check that values filled in where a sensor was lost were not read as measurements."""
    share = {
        name: float(filled / present)
        for name, filled, present in zip(ARTICULATORS, parts.filled, parts.present, strict=True)
        if present
    }
    name, cause = "samples that were measured", "Losses filled with zeros, a mean or the last value instead of NaN."
    if not share:
        return Check(name, None, "", None, 0.002, "no sensor with both axes", cause)
    worst = max(share, key=share.__getitem__)
    detail = f"share that is zero, or repeated for {STUCK_S} s or next to a jump; most: {worst}"
    return Check(name, share[worst], "", None, 0.002, detail, cause)


def valid(parts: Gathered) -> Check:
    """Check that recorded sensors were not lost most of the time."""
    share = {name: float(n / parts.frame_count) for name, n in zip(CHANNELS, parts.valid, strict=True) if n}
    worst = min(share, key=share.__getitem__)
    absent = [name for name in CHANNELS if name not in share]
    detail = f"least: {worst}" + (f"; not recorded: {' '.join(absent)}" if absent else "")
    cause = "Detached sensors, valid values read as missing, or times beyond the track's."
    return Check("valid frames", share[worst], "", 0.7, None, detail, cause)
