"""Repair of single frames at which the mesh of the tongue snaps to another surface and back."""

import numpy as np

JUMP_CM = 0.05
"""How far a frame must lie from the cubic through its neighbours; movement below 20 Hz stays within a fifth of that."""


def without_jumps(points: np.ndarray, limit: float = JUMP_CM) -> tuple[np.ndarray, int]:
    """Replace single frames that jump away and back by the median of themselves and their neighbours.

    A frame jumps if it is further than ``limit`` from the cubic through the two frames on either side, and
    further than those four would make each other seem to: the neighbours of a jump are not jumps themselves.

    Parameters
    ----------
    points
        (frame, point, 2), in cm.

    Returns
    -------
    tuple
        The repaired points, and at how many frames any point was repaired.
    """
    if len(points) < 5:
        return points, 0
    cubic = (4.0 * (points[1:-3] + points[3:-1]) - (points[:-4] + points[4:])) / 6.0
    away = np.zeros(points.shape[:2])
    away[2:-2] = np.linalg.norm(points[2:-2] - cubic, axis=2)
    jump = np.zeros_like(away, dtype=bool)
    jump[1:-1] = (away[1:-1] > limit) & (away[1:-1] > away[:-2]) & (away[1:-1] > away[2:])
    median = points.copy()
    median[1:-1] = np.median(np.stack([points[:-2], points[1:-1], points[2:]]), axis=0)
    return np.where(jump[:, :, None], median, points), int(jump.any(axis=1).sum())
