"""What is drawn of a track: the midsagittal plane at each moment of a film, for both the page and the video."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tractprobe.signals.channels import ARTICULATORS
from tractprobe.signals.track import Track
from tractprobe.system.errors import CorpusError

TONGUE = ("td", "tb", "tt")
TRAIL_S, FILM_HZ = 0.1, 100.0
NAMES = {"td": "dorsum", "tb": "blade", "tt": "tip", "li": "lower incisor", "ul": "upper lip", "ll": "lower lip"}
# Okabe and Ito's colours, which colour-blind readers can tell apart; points also bear their names.
COLOURS = {"td": "#0072B2", "tb": "#56B4E9", "tt": "#009E73", "li": "#555555", "ul": "#CC79A7", "ll": "#D55E00"}
_MARGIN_MM, _LEAST_MM = 8.0, 20.0


@dataclass(frozen=True, eq=False)
class Film:
    """Points over time, and the part of the plane that holds them all.

    Attributes
    ----------
    points
        mm, x to the front and y up; NaN where a point is missing.
    bounds
        Left, right, bottom and top, mm.
    """

    points: Float[np.ndarray, "time point 2"]
    names: tuple[str, ...]
    rate_hz: float
    start_s: float
    bounds: tuple[float, float, float, float]

    @classmethod
    def of(cls, track: Track, rate_hz: float) -> "Film":
        """Return the points of a track at a rate; CorpusError if it has no articulator's x and y."""
        track = track.resampled(rate_hz)
        if not len(track.values):
            raise CorpusError("the track", f"is too short for a picture; pictures are {1000 / rate_hz:g} ms apart")
        place = {name: column for column, name in enumerate(track.channels)}
        names = tuple(name for name in ARTICULATORS if {f"{name}_x", f"{name}_y"} <= set(place))
        columns = [[place[f"{name}_x"], place[f"{name}_y"]] for name in names]
        points = track.values[:, columns] if names else np.zeros((len(track.values), 0, 2))
        if not np.isfinite(points).any():
            raise CorpusError("the track", "has no articulator's x and y to be drawn")
        return cls(points, names, track.rate_hz, track.start_s, _bounds(points))

    def tongue(self, frame: int) -> Float[np.ndarray, "sample 2"]:
        """Return a smooth curve through the points of the tongue that are there."""
        points = [self.points[frame, self.names.index(name)] for name in TONGUE if name in self.names]
        return smooth(np.array([point for point in points if np.isfinite(point).all()]).reshape(-1, 2))

    def trail(self, frame: int) -> Float[np.ndarray, "time point 2"]:
        """Return the points of the last 100 ms, the present ones last."""
        return self.points[max(0, frame - round(TRAIL_S * self.rate_hz)) : frame + 1]


def smooth(points: Float[np.ndarray, "point 2"], steps: int = 12) -> Float[np.ndarray, "sample 2"]:
    """Return a Catmull-Rom curve through points, whose ends are repeated."""
    if len(points) < 3:
        return points
    ends = np.concatenate([points[:1], points, points[-1:]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    parts = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False)
    ]
    return np.concatenate([*parts, points[-1:]])


def _bounds(points: Float[np.ndarray, "time point 2"]) -> tuple[float, float, float, float]:
    """Return the box around all points with a margin, never so small that rounding would fill it."""
    low, high = np.nanmin(points, axis=(0, 1)), np.nanmax(points, axis=(0, 1))
    spare = np.maximum(_LEAST_MM - (high - low), 0) / 2 + _MARGIN_MM
    (left, bottom), (right, top) = low - spare, high + spare
    return float(left), float(right), float(bottom), float(top)
