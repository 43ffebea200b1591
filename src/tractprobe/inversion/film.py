"""What is drawn of a track: the midsagittal plane at each moment of a film, for both the page and the video."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tractprobe.inversion.outline import TONGUE, Outline, Points, outline_of, usual
from tractprobe.signals.channels import ARTICULATORS
from tractprobe.signals.track import Track
from tractprobe.system.errors import CorpusError

TRAIL_S, FILM_HZ = 0.1, 100.0
EDGE_S = 0.03
"""How long before its first and after its last sample a film still shows it: an encoder's frames begin after 12 ms."""

MAX_SHOWN_S = 1200.0
"""Longer audio would make pages of more than 50 MB."""

_MARGIN_MM, _LEAST_MM = 6.0, 20.0


@dataclass(frozen=True, eq=False)
class Film:
    """Points over time, and the part of the plane that holds them.

    Attributes
    ----------
    points
        mm, x to the front and y up; NaN where a point is missing.
    bounds
        Left, right, bottom and top, mm. A few wild samples may lie outside.
    outline
        What stands around the points.
    predicted
        The same points as a head predicts them, if it is to be compared.
    """

    points: Float[np.ndarray, "time point 2"]
    names: tuple[str, ...]
    rate_hz: float
    start_s: float
    bounds: tuple[float, float, float, float]
    outline: Outline
    predicted: Float[np.ndarray, "time point 2"] | None = None

    @classmethod
    def of(
        cls,
        track: Track,
        rate_hz: float = FILM_HZ,
        palate: Points | None = None,
        predicted: Track | None = None,
    ) -> "Film":
        """Return the points of a track at a rate.

        Parameters
        ----------
        palate
            The speaker's trace in mm, back to front; without it a schematic profile is drawn.
        predicted
            Another track, to be shown together with the first.

        Raises
        ------
        CorpusError
            The track has no articulator's x and y, or is too short.
        """
        track = track.resampled(rate_hz)
        if not len(track.values):
            raise CorpusError("the track", f"is too short for a picture; pictures are {1000 / rate_hz:g} ms apart")
        names = tuple(name for name in ARTICULATORS if {f"{name}_x", f"{name}_y"} <= set(track.channels))
        points = _points(track.values, track.channels, names)
        if not np.isfinite(points).any():
            raise CorpusError("the track", "has no articulator's x and y to be drawn")
        over = None if predicted is None else _points(predicted.at(track.times_s), predicted.channels, names)
        outline = outline_of(points, names, palate)
        bounds = _bounds([points] if over is None else [points, over], outline)
        return cls(points, names, track.rate_hz, track.start_s, bounds, outline, over)

    def frame_at(self, time_s: float) -> int | None:
        """Return the nearest sample to a time; ``None`` before the first and after the last."""
        place = (time_s - self.start_s) * self.rate_hz
        slack = EDGE_S * self.rate_hz
        if not -slack <= place <= len(self.points) - 1 + slack:
            return None
        return int(np.clip(round(place), 0, len(self.points) - 1))

    def tongue(self, points: Float[np.ndarray, "point 2"]) -> Float[np.ndarray, "sample 2"]:
        """Return a smooth curve through those of the film's points that are the tongue's and not missing."""
        tongue = [points[self.names.index(name)] for name in TONGUE if name in self.names]
        return smooth(np.array([point for point in tongue if np.isfinite(point).all()]).reshape(-1, 2))

    def trail(self, frame: int) -> Float[np.ndarray, "time point 2"]:
        """Return the points of the last 100 ms, the present ones last."""
        return self.points[max(0, frame - round(TRAIL_S * self.rate_hz)) : frame + 1]


def smooth(
    points: Float[np.ndarray, "point 2"], steps: int = 12, *, closed: bool = False
) -> Float[np.ndarray, "sample 2"]:
    """Return a Catmull-Rom curve through points; ends are repeated, a closed one returns to its first point."""
    if len(points) < 3:
        return points
    points = np.concatenate([points, points[:1]]) if closed else points
    ends = np.concatenate([points[-2:-1], points, points[1:2]] if closed else [points[:1], points, points[-1:]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    parts = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False)
    ]
    return np.concatenate([*parts, points[-1:]])


def _points(
    values: Float[np.ndarray, "time channel"], channels: Sequence[str], names: Sequence[str]
) -> Float[np.ndarray, "time point 2"]:
    """Return the named points, NaN where a channel is missing."""
    points = np.full((len(values), len(names), 2), np.nan)
    for number, name in enumerate(names):
        for axis, letter in enumerate("xy"):
            if f"{name}_{letter}" in channels:
                points[:, number, axis] = values[:, list(channels).index(f"{name}_{letter}")]
    return points


def _bounds(
    several: Sequence[Float[np.ndarray, "time point 2"]], outline: Outline
) -> tuple[float, float, float, float]:
    """Return the box around all but wild samples, with a margin, never so small that rounding would fill it."""
    each = [usual(points[:, number]) for points in several for number in range(points.shape[1])]
    corners = np.concatenate([outline.still, *each])
    low, high = corners.min(axis=0), corners.max(axis=0)
    spare = np.maximum(_LEAST_MM - (high - low), 0) / 2 + _MARGIN_MM
    (left, bottom), (right, top) = low - spare, high + spare
    return float(left), float(right), float(bottom), float(top)
