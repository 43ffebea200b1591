"""Positions relative to the speaker's head, from positions relative to the device.

Reference sensors on the nose and behind the ears move with the head. For each frame (time step), the rotation R and
shift t that best bring the references p_i onto their mean configuration c_i are found (Kabsch 1976; Umeyama 1991
without scale), and applied to all sensors:

    minimise  sum_i |R p_i + t - c_i|^2,    R a proper rotation

A frame is missing if fewer than three references were measured, or if they lie on one line or do not fit.

Letters in einsum: t frame, s sensor, x and y coordinates.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float

MIN_REFERENCES = 3
_MIN_SPREAD_MM = 2.0
_STEPS = 10


@dataclass(frozen=True, eq=False)
class Motion:
    """The rigid motion of each frame onto a configuration; NaN in all attributes if a frame has none.

    Attributes
    ----------
    rotation, shift_mm
        A point p of the frame moves to ``rotation @ p + shift_mm``.
    error_mm
        Root mean square distance of the moved references from their configuration.
    """

    rotation: Float[np.ndarray, "time 3 3"]
    shift_mm: Float[np.ndarray, "time 3"]
    error_mm: Float[np.ndarray, " time"]

    def apply(self, points: Float[np.ndarray, "time sensor 3"]) -> Float[np.ndarray, "time sensor 3"]:
        """Move each frame's points (mm)."""
        return points @ self.rotation.swapaxes(1, 2) + self.shift_mm[:, None]


def rigid_motion(
    points: Float[np.ndarray, "time sensor 3"],
    configuration: Float[np.ndarray, "sensor 3"],
    max_error_mm: float = np.inf,
) -> Motion:
    """Fit the references of each frame to a configuration (mm), using those that were measured (NaN = lost)."""
    measured = np.asarray(np.isfinite(points).all(axis=2) & np.isfinite(configuration).all(axis=1))
    weights = measured / np.maximum(measured.sum(axis=1, keepdims=True), 1)
    points, target = np.where(measured[..., None], points, 0.0), np.where(measured[..., None], configuration, 0.0)
    points_centre = np.einsum("ts,tsx->tx", weights, points)
    target_centre = np.einsum("ts,tsx->tx", weights, target)
    centred = (points - points_centre[:, None]) * measured[..., None]
    covariance = np.einsum("tsx,tsy->txy", centred, target - target_centre[:, None])
    left, spread, right = np.linalg.svd(covariance)
    rotation = _proper(left, right)
    shift = target_centre - np.einsum("txy,ty->tx", rotation, points_centre)
    residual = np.einsum("txy,tsy->tsx", rotation, points) + shift[:, None] - target
    error = np.sqrt(np.einsum("ts,tsx->t", weights, residual**2))
    # The second singular value is small if the references lie on one line.
    fits = (measured.sum(axis=1) >= MIN_REFERENCES) & (spread[:, 1] >= _MIN_SPREAD_MM**2) & (error <= max_error_mm)
    return _only(fits, Motion(rotation, shift, error))


def mean_configuration(points: Float[np.ndarray, "time sensor 3"]) -> Float[np.ndarray, "sensor 3"]:
    """Return the positions (mm) of references on the head in its mean pose: the median over mutually aligned frames.

    A mean of the unaligned positions would shrink a rotating configuration. The median makes single failed fits of a
    sensor harmless.

    Raises
    ------
    ValueError
        No frame has all references, or they lie on one line.
    """
    points = points[np.isfinite(points).all(axis=(1, 2))]
    if not len(points) or points.shape[1] < MIN_REFERENCES:
        have = f"{len(points)} frames have all of {points.shape[1]} references"
        raise ValueError(f"{have}; expected a frame with all, and at least {MIN_REFERENCES} references")
    configuration = points[_most_typical(points)]
    for _ in range(_STEPS):
        moved = rigid_motion(points, configuration).apply(points)
        moved = moved[np.isfinite(moved).all(axis=(1, 2))]
        if not len(moved):
            raise ValueError("the references lie on one line")
        configuration = np.median(moved, axis=0)
    pose = rigid_motion(configuration[None], np.median(points, axis=0))
    return pose.apply(configuration[None])[0] if np.isfinite(pose.error_mm[0]) else configuration


def distance_deviations(points: Float[np.ndarray, "time sensor 3"]) -> Float[np.ndarray, "sensor sensor"]:
    """Return within how many mm of its median each distance stays in 95 % of the frames that have both sensors.

    Sensors on bone keep their distances, whatever the head does: to 0.2 mm in three real AG501 recordings. Lips, jaw
    and tongue of the same recordings do not: by 2 to 11 mm.
    """
    distances = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)
    deviations = np.zeros(distances.shape[1:])
    for pair in combinations(range(points.shape[1]), 2):
        measured = distances[(slice(None), *pair)]
        measured = measured[np.isfinite(measured)]
        if len(measured):
            low, middle, high = np.percentile(measured, [2.5, 50, 97.5])
            deviations[pair] = deviations[pair[::-1]] = max(high - middle, middle - low)
    return deviations


def midsagittal_axes(
    left: Float[np.ndarray, "3"],
    right: Float[np.ndarray, "3"],
    front: Float[np.ndarray, "3"],
    up: Float[np.ndarray, "3"],
    pitch_deg: float = 0.0,
) -> Float[np.ndarray, "3 3"]:
    """Return the axes of the midsagittal plane, as rows: towards the front, upwards, and lateral.

    Parameters
    ----------
    left, right, front
        Positions (mm) of points on both sides of the plane, such as the ears, and of a point in front of them, such as
        the bridge of the nose. Swapping left and right changes only the lateral axis.
    up
        A direction that points roughly upwards.
    pitch_deg
        Angle by which the first axis is turned down from the line between the ears' midpoint and the front point.

    Raises
    ------
    ValueError
        The three points lie on one line, or ``up`` points along it.
    """
    lateral = _unit(left - right)
    forward = front - (left + right) / 2
    forward = _unit(forward - forward @ lateral * lateral)
    upward = np.cross(lateral, forward)
    upward = upward * np.sign(_unit(up) @ upward)
    if not upward.any():
        raise ValueError("the upward direction is perpendicular to the midsagittal plane's vertical axis")
    angle = np.radians(pitch_deg)
    x = np.cos(angle) * forward - np.sin(angle) * upward
    y = np.sin(angle) * forward + np.cos(angle) * upward
    return np.stack([x, y, np.cross(x, y)])


def _proper(left: Float[np.ndarray, "time 3 3"], right: Float[np.ndarray, "time 3 3"]) -> Float[np.ndarray, "time 3 3"]:
    """Return the rotations that singular vectors give, without mirroring."""
    signs = np.ones(left.shape[:2])
    signs[:, 2] = np.sign(np.linalg.det(left) * np.linalg.det(right))
    return (right.swapaxes(1, 2) * signs[:, None]) @ left.swapaxes(1, 2)


def _only(fits: Bool[np.ndarray, " time"], motion: Motion) -> Motion:
    return Motion(
        np.where(fits[:, None, None], motion.rotation, np.nan),
        np.where(fits[:, None], motion.shift_mm, np.nan),
        np.where(fits, motion.error_mm, np.nan),
    )


def _most_typical(points: Float[np.ndarray, "time sensor 3"]) -> int:
    """Return the frame in which the distances between sensors are nearest to their medians."""
    distances = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)
    return int(np.abs(distances - np.median(distances, axis=0)).sum(axis=(1, 2)).argmin())


def _unit(vector: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    length = np.linalg.norm(vector)
    if not length > 1e-6:
        raise ValueError("two reference points coincide, or all lie on one line")
    return vector / length
