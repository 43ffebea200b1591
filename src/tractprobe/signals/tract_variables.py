"""Tract variables: constrictions of the vocal tract, in terms that do not depend on the speaker's anatomy.

In: positions in the canonical space and, if there is one, the speaker's palate trace in the same coordinates, back to
front. Out: six of the tract variables of articulatory phonology (Browman & Goldstein 1992, Phonetica 49), computed from
flesh points by the geometric transformations in use since Mitra et al. (2010, IEEE JSTSP 4) and Ji (2014, thesis,
Marquette University). Those fit a circle to the tongue; here the chord between its two rear points takes its place.

====  ==========================================================================================================
LA    lip aperture, ``|ul - ll|``: distance of the lip sensors in mm; never 0, as the sensors sit on the skin
LP    lip protrusion, ``(ul_x + ll_x) / 2``: mm in front of the origin; the only variable that depends on the choice
      of coordinates
TTCD  tongue tip constriction degree, ``min |tt - p|`` over the points p of the palate trace, in mm
TTCL  tongue tip constriction location: arc length in mm along the trace, from its FRONT end to the p of TTCD;
      grows to the back
TBCD  tongue body constriction degree, ``min |b - p|`` over the points b of the chord from td to tb
TBCL  tongue body constriction location: arc length in mm from the front end to the p of TBCD
====  ==========================================================================================================

Without a palate, constrictions are undefined: the four are NaN, rather than angles that only look like constrictions.
Each variable is NaN where a channel that it needs is NaN. The other two of the eight, velum and glottis, have no
sensor. A trace ends where its measurement ended, behind the teeth and mostly short of the velum: beyond an end, the
distance to that end is given and the location stays there. A tongue above the trace has a positive distance too.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from tractprobe.signals.channels import CHANNELS
from tractprobe.signals.track import Track

VARIABLES = ("LA", "LP", "TTCL", "TTCD", "TBCL", "TBCD")
"""The order of columns."""

UNITS = ("mm",) * len(VARIABLES)

Points = Float[np.ndarray, "point 2"]

_PAIRS_AT_ONCE = 1 << 16  # pairs of a frame and a palate segment: half a megabyte for each intermediate array


def tract_variables(
    positions: Float[np.ndarray, "time channel"], palate: Points | None = None
) -> Float[np.ndarray, "time variable"]:
    """Return the tract variables (mm) of positions (mm) in the order of ``channels.CHANNELS``.

    Raises
    ------
    ValueError
        The channels are not the canonical ones, or the palate has fewer than two points, holds NaN, or runs from
        front to back.
    """
    if positions.shape[1] != len(CHANNELS):
        raise ValueError(f"{positions.shape[1]} channels; tract variables need the {len(CHANNELS)} canonical ones")
    upper, lower = _point(positions, "ul"), _point(positions, "ll")
    variables = dict.fromkeys(VARIABLES, np.full(len(positions), np.nan))
    variables["LA"] = np.hypot(*(upper - lower).T)
    variables["LP"] = (upper[:, 0] + lower[:, 0]) / 2
    if palate is not None:
        trace = _Palate(palate)
        variables["TTCD"], variables["TTCL"] = trace.constriction(_point(positions, "tt"))
        variables["TBCD"], variables["TBCL"] = trace.constriction(_point(positions, "td"), _point(positions, "tb"))
    return np.stack([variables[name] for name in VARIABLES], axis=1)


def estimate_palate(tracks: Iterable[Track]) -> Points:
    """Return the upper convex hull of a speaker's tongue positions, back to front: a substitute for a palate trace.

    No tongue sensor ever reached above the hull, so it lies below the palate wherever the tongue did not touch the
    palate, and it bridges hollows. Results that rest on it should be called estimated. A single mistracked sample can
    lift it: pass low-passed tracks that have been audited.

    Raises
    ------
    ValueError
        There are fewer than three tongue positions, or all lie on a line; or channels are not the canonical ones.
    """
    from scipy.spatial import ConvexHull, QhullError

    points = np.concatenate([np.empty((0, 2)), *(_tongue(track) for track in tracks)])
    points = points[np.isfinite(points).all(axis=1)]
    try:
        corners = points[ConvexHull(points).vertices]
    except (QhullError, ValueError):
        raise ValueError(f"{len(points)} tongue positions enclose no area: cannot estimate a palate") from None
    return _upper_chain(corners)


def _point(positions: np.ndarray, articulator: str) -> np.ndarray:
    column = CHANNELS.index(f"{articulator}_x")
    return positions[:, column : column + 2]


def _tongue(track: Track) -> np.ndarray:
    if track.channels != CHANNELS:
        raise ValueError(f"a track of {' '.join(track.channels)}; estimating a palate needs the canonical channels")
    return np.concatenate([_point(track.values, articulator) for articulator in ("td", "tb", "tt")])


def _upper_chain(corners: np.ndarray) -> np.ndarray:
    """Return the corners of the upper boundary of a convex polygon, from left to right."""
    chain: list[np.ndarray] = []
    for corner in corners[np.lexsort((-corners[:, 1], corners[:, 0]))]:
        if chain and corner[0] == chain[-1][0]:
            continue  # below a corner that is already in the chain
        while len(chain) > 1 and np.linalg.det([chain[-1] - chain[-2], corner - chain[-2]]) >= 0:
            chain.pop()
        chain.append(corner)
    return np.array(chain)


class _Palate:
    """A palate trace from front to back, relative to its own centre, for the distances of many chords at once.

    The squared distance of a point p to a + s d, 0 <= s <= 1, is ``|p - a|^2 + |d|^2 s (s - 2 u)``, where u is the s of
    the foot of the perpendicular on the unbounded line. Two matrix products give it for all pairs of point and
    segment; ``cost`` below is this distance less what does not bear on which segment is nearest.
    """

    def __init__(self, points: np.ndarray):
        if len(points) < 2 or not np.isfinite(points).all() or not points[0, 0] < points[-1, 0]:
            raise ValueError("a palate trace needs two points or more, without NaN, that run from back to front")
        moved = np.concatenate([[True], (np.diff(points, axis=0) != 0).any(axis=1)])
        self.centre = points.mean(axis=0)
        self.corners = (points[moved] - self.centre)[::-1]
        self.steps = np.diff(self.corners, axis=0)
        self.lengths = np.hypot(*self.steps.T)
        self.arc = np.concatenate([[0.0], np.cumsum(self.lengths)])

    def constriction(self, *ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return distance and arc length (mm) of the nearest place on the palate, for points or for chords.

        One array of points gives the distances of these; two give those of the chords between them. NaN where an
        end is NaN.
        """
        degree, location = np.full((2, len(ends[0])), np.nan)
        measured = np.flatnonzero(np.isfinite(np.concatenate(ends, axis=1)).all(axis=1))
        nearest = self._from_points if len(ends) == 1 else self._from_chords
        at_once = max(1, _PAIRS_AT_ONCE // len(self.corners))
        for first in range(0, len(measured), at_once):
            frames = measured[first : first + at_once]
            degree[frames], location[frames] = nearest(*(end[frames] - self.centre for end in ends))
        return degree, location

    def _from_chords(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Return (distance, arc length) x chords.

        Two segments that do not cross are nearest at an end of one of them: an end of the chord or a palate corner.
        """
        candidates = np.stack([self._from_points(start), self._from_points(end), self._from_corners(start, end)])
        best = np.argmin(candidates[:, 0], axis=0)
        nearest = np.take_along_axis(candidates, best[None, None], axis=0)[0]
        # Where a chord crosses, a corner is within half the longest segment.
        near = np.flatnonzero(candidates[2, 0] <= self.lengths.max() / 2)
        crossed, crossing = self._crossings(start[near], end[near])
        nearest[:, near[crossed]] = np.zeros_like(crossing), crossing
        return nearest

    def _from_points(self, points: np.ndarray) -> np.ndarray:
        """Return (distance, arc length) x points."""
        corners, steps = self.corners[:-1], self.steps / self.lengths[:, None] ** 2
        foot = points @ steps.T - (corners * steps).sum(axis=1)
        along = np.clip(foot, 0, 1)
        cost = points @ (-2 * corners.T) + (corners**2).sum(axis=1)
        cost += self.lengths**2 * (along * (along - 2 * foot))
        rows, segment = np.arange(len(points)), np.argmin(cost, axis=1)
        along = along[rows, segment]
        distance = np.hypot(*(points - self.corners[segment] - along[:, None] * self.steps[segment]).T)
        return np.stack([distance, self.arc[segment] + along * self.lengths[segment]])

    def _from_corners(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Return (distance, arc length) x chords, for the corner nearest to each chord."""
        chords = end - start
        squared = np.maximum((chords**2).sum(axis=1), np.finfo(float).tiny)
        scaled = chords / squared[:, None]
        foot = scaled @ self.corners.T - (scaled * start).sum(axis=1)[:, None]
        along = np.clip(foot, 0, 1)
        cost = start @ (-2 * self.corners.T) + (self.corners**2).sum(axis=1)
        cost += squared[:, None] * (along * (along - 2 * foot))
        rows, corner = np.arange(len(start)), np.argmin(cost, axis=1)
        distance = np.hypot(*(self.corners[corner] - start - along[rows, corner][:, None] * chords).T)
        return np.stack([distance, self.arc[corner]])

    def _crossings(self, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which chords cross the palate, and the arc length at which each of them first does."""
        side = _cross(end - start, start, self.corners)
        ends = [_cross(self.steps, self.corners[:-1], point).T for point in (start, end)]
        crosses = (side[:, :-1] * side[:, 1:] < 0) & (ends[0] * ends[1] < 0)
        crossed = np.flatnonzero(crosses.any(axis=1))
        segment = np.argmax(crosses[crossed], axis=1)
        before, after = side[crossed, segment], side[crossed, segment + 1]
        return crossed, self.arc[segment] + before / (before - after) * self.lengths[segment]


def _cross(directions: np.ndarray, origins: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return on which side of each directed line each point lies (line x point), as twice the signed area between."""
    normals = directions[:, ::-1] * [-1.0, 1.0]
    return normals @ points.T - (normals * origins).sum(axis=1)[:, None]
