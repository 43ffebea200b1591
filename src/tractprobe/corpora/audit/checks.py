"""Checks of where sensors are and how far they move. Their limits, with reasons, are in ``limits.toml``.

Narrow margins: dfg91's lateral axis shows only in the height of the lips (5.1 mm, rare; its travel of 0.57 is usual,
while five others have 0.19 to 0.32), and a child's lips are 5.9 mm apart in one sentence. The lips' distance includes
x: with a lateral axis its AUC may take any value. If a sentence has few bilabials, the AUC is not judged.

Units: the size of the mouth is known to within a third, because heads differ by that much. A factor of 2 or 1/2 always
fails; smaller factors may be rare or usual, and cannot be told from a large or small head. Without dorsum or upper lip
no factor can.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.audit.gather import STILL, TONGUE, Gathered
from tractprobe.corpora.audit.result import Measured, short
from tractprobe.signals.channels import ARTICULATORS, CHANNELS

_LIPS, _NEIGHBOURS = "the lips were not both recorded", "fewer than two neighbours on the tongue were recorded"
_TWIN_FRAMES = 10
_LEAST_SPREAD_MM = {"ul_x": 0.15, "ul_y": 0.15, "ll_x": 0.15, "li_x": 0.15, "li_y": 0.4, "ll_y": 0.35}


def anatomy(channels: tuple[str, ...], cloud: Float[np.ndarray, "frame all_channels"]) -> Iterator[Measured]:
    """Check where sensors are."""
    at = {}
    for name, column in zip(channels, cloud.T, strict=True):
        if np.isfinite(column).any():
            at[name] = float(np.nanmedian(column))
    yield _order(at)
    gap = at["ul_y"] - at["ll_y"] if {"ul_y", "ll_y"} <= set(at) else None
    yield Measured("upper lip above lower", gap, _LIPS if gap is None else "difference of medians")
    yield _height(at)
    yield _neighbour_distance(channels, cloud)
    yield _dorsum_to_lips(channels, cloud)
    yield _twins(channels, cloud)


def _order(at: Mapping[str, float]) -> Measured:
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
    if not gaps:
        return Measured("order from back to front", None, "fewer than two sensors")
    worst = min(gaps, key=gaps.__getitem__)
    return Measured("order from back to front", gaps[worst], f"least gap, {worst}")


def _between(rank: Mapping[str, int], present: list[str], back: str, front: str) -> bool:
    return any(rank[back] < rank[name] < rank[front] for name in present)


def _height(at: Mapping[str, float]) -> Measured:
    """Check that the tongue's sensors are at the height of the mouth."""
    name = "tongue at the height of the mouth"
    middle = [at[lip] for lip in ("ul_y", "ll_y") if lip in at]
    heights = {sensor: at[f"{sensor}_y"] - sum(middle) / 2 for sensor in TONGUE if f"{sensor}_y" in at}
    if len(middle) < 2 or not heights:
        return Measured(name, None, _LIPS if len(middle) < 2 else "no sensor on the tongue")
    worst = max(heights, key=lambda sensor: abs(heights[sensor]))
    return Measured(name, heights[worst], f"{worst} above the middle of the lips")


def _neighbour_distance(channels: tuple[str, ...], cloud: np.ndarray) -> Measured:
    """Check that tongue sensors are about a fingerbreadth apart."""
    place = {name: index for index, name in enumerate(channels)}
    distances = {}
    for front, back in (("tt", "tb"), ("tb", "td")):
        x, y = (cloud[:, place[f"{front}_{axis}"]] - cloud[:, place[f"{back}_{axis}"]] for axis in "xy")
        apart = np.hypot(x, y)
        if np.isfinite(apart).any():
            distances[f"{front} to {back}"] = float(np.nanmedian(apart))
    if not distances:
        return Measured("distance of tongue sensors", None, _NEIGHBOURS)
    worst = max(distances, key=lambda pair: abs(np.log(max(distances[pair], 1e-9) / 15)))
    return Measured("distance of tongue sensors", distances[worst], f"{worst}, median")


def _dorsum_to_lips(channels: tuple[str, ...], cloud: np.ndarray) -> Measured:
    """Check the size of the mouth by the distance that differs least between speakers."""
    name = "distance of dorsum and upper lip"
    x, y = (cloud[:, channels.index(f"ul_{axis}")] - cloud[:, channels.index(f"td_{axis}")] for axis in "xy")
    apart = np.hypot(x, y)
    if not np.isfinite(apart).any():
        return Measured(name, None, "dorsum and upper lip were not both recorded")
    return Measured(name, float(np.nanmedian(apart)), "median")


def _twins(channels: tuple[str, ...], cloud: np.ndarray) -> Measured:
    """Check that no two channels are the same up to sign and offset.

    The x of the two lips is left out: it is the same in the virtual speakers, whose lips protrude together.
    """
    name, shares = "no two channels the same", {}
    for (first, a), (second, b) in combinations(zip(channels, cloud.T, strict=True), 2):
        both = np.isfinite(a) & np.isfinite(b)
        if both.sum() < _TWIN_FRAMES or {first, second} == {"ul_x", "ll_x"}:
            continue
        a, b = a[both] - a[both].mean(), b[both] - b[both].mean()
        share = min((a - b).std(), (a + b).std()) / min(a.std(), b.std())
        if np.isfinite(share):
            shares[f"{first} and {second}"] = float(share)
    if not shares:
        return Measured(name, None, f"no two channels that move, with {_TWIN_FRAMES} frames of both")
    worst = min(shares, key=shares.__getitem__)
    return Measured(name, shares[worst], f"sd of sum or difference over their own sd, {worst}")


def motion(parts: Gathered) -> Iterator[Measured]:
    """Check how far sensors move, and whether they move together as they should."""
    sd = np.sqrt(np.diag(parts.products) / np.diag(parts.n))
    spread = {name: float(value) for name, value in zip(CHANNELS, sd, strict=True) if not np.isnan(value)}
    yield _still(parts)
    yield _spread(spread)
    yield _least_spread(spread)
    yield _vertical_travel(spread)
    yield _bilabials(parts)


def _still(parts: Gathered) -> Measured:
    sds = {name: float(np.sqrt(total / n)) for name, (total, n) in parts.still.items() if n}
    if not sds:
        frames = "/".join(sorted(parts.frames))
        reason = f"no reference channels ({', '.join(STILL)}) in coordinates fixed to the head; frame: {frames}"
        return Measured("references stand still", None, reason)
    worst = max(sds, key=sds.__getitem__)
    return Measured("references stand still", sds[worst], f"{worst}, sd within utterances")


def _spread(spread: Mapping[str, float]) -> Measured:
    middle = float(np.median(list(spread.values())))
    widest = max(spread, key=spread.__getitem__)
    detail = f"sd within utterances, median of channels; most: {widest} {short(spread[widest])}"
    return Measured("spread of channels", middle, detail)


def _least_spread(spread: Mapping[str, float]) -> Measured:
    """Check that every articulator moves: the tongue by 0.8 mm at least, the x of the lips by only 0.15 mm."""
    ratios = {name: value / _LEAST_SPREAD_MM.get(name, 0.8) for name, value in spread.items()}
    worst = min(ratios, key=ratios.__getitem__)
    detail = f"{worst}: sd {short(spread[worst])} mm, at least {_LEAST_SPREAD_MM.get(worst, 0.8)} expected"
    return Measured("every channel moves", ratios[worst], detail)


def _vertical_travel(spread: Mapping[str, float]) -> Measured:
    vertical, horizontal = ("td_y", "tt_y", "ll_y"), ("td_x", "tt_x")
    if missing := [name for name in (*vertical, *horizontal) if name not in spread]:
        reason = f"needs tip, dorsum and lower lip; not recorded: {' '.join(missing)}"
        return Measured("vertical to horizontal travel", None, reason)
    horizontal = (*horizontal, "tb_x") if "tb_x" in spread else horizontal
    y, x = ([spread[name] for name in names] for names in (vertical, horizontal))
    ratio = float(np.exp(np.mean(np.log(y)) - np.mean(np.log(x))))
    detail = f"sd of {', '.join(vertical)} over sd of {', '.join(horizontal)}, geometric means"
    return Measured("vertical to horizontal travel", ratio, detail)


def _bilabials(parts: Gathered) -> Measured:
    """Check that the lips are closer in bilabials than in other phones: AUC, the probability for a random pair."""
    closed, other = np.array(parts.closed.items, dtype=float), np.sort(np.array(parts.open.items, dtype=float))
    n = f"{len(closed)} bilabials, {len(other)} others"
    if len(closed) < 3 or len(other) < 10:
        return Measured("lips close in [p b m]", None, f"{n}; needs 3 and 10")
    wider = len(other) - np.searchsorted(other, closed, side="right")
    ties = np.searchsorted(other, closed, side="right") - np.searchsorted(other, closed, side="left")
    area = float((wider + ties / 2).mean() / len(other))
    detail = f"medians {np.median(closed):.1f} and {np.median(other):.1f} mm; {n}"
    return Measured("lips close in [p b m]", area, detail)


def measured(parts: Gathered) -> Measured:
    """Check that values filled in where a sensor was lost were not read as measurements."""
    share = {
        name: float(filled / present)
        for name, filled, present in zip(ARTICULATORS, parts.filled, parts.present, strict=True)
        if present
    }
    name = "samples that were measured"
    if not share:
        return Measured(name, None, "no sensor with both axes")
    worst = max(share, key=share.__getitem__)
    detail = f"share that is zero, or repeated for {parts.stuck_s} s or next to a jump; most: {worst}"
    return Measured(name, share[worst], detail)


def valid(parts: Gathered) -> Measured:
    """Check that recorded sensors were not lost most of the time."""
    share = {name: float(n / parts.frame_count) for name, n in zip(CHANNELS, parts.valid, strict=True) if n}
    worst = min(share, key=share.__getitem__)
    absent = [name for name in CHANNELS if name not in share]
    detail = f"least: {worst}" + (f"; not recorded: {' '.join(absent)}" if absent else "")
    return Measured("valid frames", share[worst], detail)
