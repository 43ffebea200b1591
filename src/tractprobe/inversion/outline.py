"""What stands around the points of a film: a palate, measured or schematic.

Where a corpus has the speaker's palate trace, that is drawn and nothing else. Otherwise an arch of ordinary adult
proportions, stretched to the distance from the lips to the rearmost point of the tongue, is lowered until it nearly
touches the highest places that the tongue reached; the upper incisor hangs at its front, the lower one and the lips
move with their points. It helps to see which way a mouth faces, and is not the speaker's: every picture says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Points = Float[np.ndarray, "corner 2"]

TONGUE = ("td", "tb", "tt")
# mm from the edge of the upper incisor, x to the front: from the velum's end along the palate to the gum behind it.
_ARCH = np.array([
    [-62, -3], [-62, 3], [-58, 9], [-52, 14], [-44, 17.5], [-36, 19], [-28, 19], [-20, 17], [-13, 13], [-8, 10],
    [-3, 6.5],
])  # fmt: skip
_LENGTH_MM, _VELUM_MM = 52.0, -56.0  # from the incisor to above the tongue's rear; behind the latter nothing is touched
_UPPER_INCISOR = np.array([[-3.5, 7.5], [-2, 3], [-0.5, 0], [1, 0.5], [2.5, 6], [2, 9.5]])
_LOWER_INCISOR = np.array([[0, 0], [0.5, 4.5], [-0.5, 9], [-2, 8.5], [-4, 3], [-4, 0]])
_UPPER_LIP = np.array([[-6, 15], [-1.5, 11], [-2, 5], [0, 0], [-2.5, -3.5], [-6, -2.5], [-8, 3], [-8, 10]])
_LOWER_LIP = _UPPER_LIP * [1, -1]
_BEHIND_LIP_MM, _CLEARANCE_MM, _BEHIND_TONGUE_MM = 9.0, 2.0, 6.0
_SCALES = (0.7, 1.4)
_WILD_MM, _WILD_RANGES = 20.0, 6.0  # beyond the median: this, and so many interquartile ranges


@dataclass(frozen=True, eq=False)
class Shape:
    """A closed curve in mm: of the plane, or if it moves with a point, from that point."""

    corners: Points
    point: str | None = None


@dataclass(frozen=True, eq=False)
class Outline:
    """Lines around the points.

    Attributes
    ----------
    palate
        mm, back to front; without points where nothing is known of the tongue.
    schematic
        Whether it was drawn to fit the points, and not measured.
    shapes
        Teeth and lips, where they are schematic.
    """

    palate: Points
    schematic: bool = False
    shapes: tuple[Shape, ...] = ()

    @property
    def still(self) -> Points:
        """Everything that does not move."""
        return np.concatenate([self.palate, *(shape.corners for shape in self.shapes if shape.point is None)])


def outline_of(
    points: Float[np.ndarray, "time point 2"], names: Sequence[str], palate: Points | None = None
) -> Outline:
    """Return the palate that was measured, or a schematic profile that fits the points (mm)."""
    if palate is not None and np.isfinite(palate).all() and len(palate) > 1:
        return Outline(palate)
    places = {name: of_point for number, name in enumerate(names) if len(of_point := usual(points[:, number]))}
    tongue = [places[name] for name in TONGUE if name in places]
    if not tongue:
        return Outline(np.zeros((0, 2)))
    incisor_x = _incisor_x(places)
    length = incisor_x - min(np.quantile(of_point[:, 0], 0.05) for of_point in tongue) + _BEHIND_TONGUE_MM
    scale = float(np.clip(length / _LENGTH_MM, *_SCALES))
    edge = np.array([incisor_x, _height(np.concatenate(tongue), incisor_x, scale)])
    moving = {"li": _LOWER_INCISOR, "ul": _UPPER_LIP, "ll": _LOWER_LIP}
    shapes = [Shape(edge + scale * _UPPER_INCISOR)]
    shapes += [Shape(scale * corners, name) for name, corners in moving.items() if name in places]
    return Outline(edge + scale * _ARCH, schematic=True, shapes=tuple(shapes))


def usual(points: Points) -> Float[np.ndarray, "kept 2"]:
    """Return the places of a point where it was measured, without samples far from all others, which are errors."""
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return points
    low, middle, high = np.quantile(points, [0.25, 0.5, 0.75], axis=0)
    return points[(abs(points - middle) <= _WILD_MM + _WILD_RANGES * (high - low)).all(axis=1)]


def _incisor_x(places: dict[str, Points]) -> float:
    """Return where the upper incisor may be: behind the upper lip, and before where the tongue's tip mostly is."""
    front = max(np.quantile(places[name][:, 0], 0.75) for name in TONGUE if name in places) + 1
    for name, behind_mm in {"ul": _BEHIND_LIP_MM, "ll": _BEHIND_LIP_MM, "li": 0.0}.items():
        if name in places:
            return float(max(np.median(places[name][:, 0]) - behind_mm, front))
    return float(front + 4)


def _height(tongue: Points, incisor_x: float, scale: float) -> float:
    """Return the height of the incisor's edge at which the arch stays just above the tongue."""
    x = (tongue[:, 0] - incisor_x) / scale
    under = (x > _VELUM_MM) & (x < _ARCH[-1, 0])
    arch = scale * np.interp(x, *_ARCH[1:].T)
    below = tongue[:, 1] + _CLEARANCE_MM - arch
    return float(below[under].max() if under.any() else below.max())
