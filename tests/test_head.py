import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tractprobe.corpora.geometry.head_motion import mean_configuration, midsagittal_axes, rigid_motion

EARS_AND_NOSE = np.array([[-80.0, 70, 10], [-82, -68, 12], [15, 2, 60], [10, 1, 95]])


def moved(
    points: np.ndarray, frames: int = 50, degrees: float = 20, seed: int = 0
) -> tuple[np.ndarray, Rotation, np.ndarray]:
    """Return points moved as a head moves, rigidly and differently in each frame."""
    random = np.random.default_rng(seed)
    rotation = Rotation.from_rotvec(np.radians(degrees) * random.uniform(-1, 1, (frames, 3)))
    shift = random.uniform(-30, 30, (frames, 3))
    matrices = rotation.as_matrix()
    return (
        np.broadcast_to(points, (frames, *points.shape[-2:])) @ matrices.swapaxes(1, 2) + shift[:, None],
        rotation,
        shift,
    )


def test_the_fit_is_that_of_scipy():
    points, *_ = moved(EARS_AND_NOSE)
    points = points + np.random.default_rng(1).normal(size=points.shape) + 100
    motion = rigid_motion(points, EARS_AND_NOSE)
    for frame in range(len(points)):
        centred, target = points[frame] - points[frame].mean(axis=0), EARS_AND_NOSE - EARS_AND_NOSE.mean(axis=0)
        oracle, rssd = Rotation.align_vectors(target, centred)
        np.testing.assert_allclose(motion.rotation[frame], oracle.as_matrix(), atol=1e-9)
        assert motion.error_mm[frame] == pytest.approx(rssd / 2)  # of four points


def test_a_known_head_movement_is_taken_out_of_what_moves_in_the_head():
    tongue = np.random.default_rng(2).normal(size=(50, 3, 3)) * 5
    points, *_ = moved(EARS_AND_NOSE)
    in_device, *_ = moved(tongue)
    np.testing.assert_allclose(rigid_motion(points, EARS_AND_NOSE).apply(in_device), tongue, atol=1e-9)


def test_a_mirrored_configuration_is_not_fitted_by_mirroring():
    mirrored = EARS_AND_NOSE * [1, -1, 1]
    determinants = np.linalg.det(rigid_motion(mirrored[None], EARS_AND_NOSE).rotation)
    np.testing.assert_allclose(determinants, 1)


def test_one_lost_reference_of_four_is_done_without_and_two_are_not():
    points, *_ = moved(EARS_AND_NOSE)
    points[3, 1] = np.nan
    points[4, 1:3] = np.nan
    motion = rigid_motion(points, EARS_AND_NOSE)
    assert np.isnan(motion.shift_mm).all(axis=1).nonzero()[0].tolist() == [4]
    np.testing.assert_allclose(motion.apply(points)[3, 0], EARS_AND_NOSE[0], atol=1e-9)
    assert np.isnan(motion.apply(np.zeros((50, 1, 3)))[4]).all()


def test_references_that_do_not_fit_are_lost():
    points, *_ = moved(EARS_AND_NOSE)
    points[7, 2] += 40
    assert np.isnan(rigid_motion(points, EARS_AND_NOSE, 5).error_mm).nonzero()[0].tolist() == [7]
    assert np.isfinite(rigid_motion(points, EARS_AND_NOSE).error_mm).all()


def test_references_on_one_line_are_no_reference():
    line = np.outer(np.arange(4.0), [30, 1, 2])
    assert np.isnan(rigid_motion(line[None], line).rotation).all()
    with pytest.raises(ValueError, match="one line"):
        mean_configuration(np.repeat(line[None], 5, axis=0))


def test_the_mean_configuration_keeps_its_size_and_its_pose():
    turned, *_ = moved(EARS_AND_NOSE, frames=400, degrees=30)
    turned = turned - turned.mean(axis=(0, 1))
    found = mean_configuration(turned)

    def distances(points: np.ndarray) -> np.ndarray:
        return np.linalg.norm(points[:, None] - points, axis=-1)

    np.testing.assert_allclose(distances(found), distances(EARS_AND_NOSE), atol=1e-6)
    assert distances(turned.mean(axis=0)).max() < distances(EARS_AND_NOSE).max() - 2  # what a plain mean would give
    pose = rigid_motion(EARS_AND_NOSE[None], found).rotation[0]
    assert np.degrees(Rotation.from_matrix(pose).magnitude()) < 5


def test_failed_fits_of_a_sensor_do_not_bend_the_configuration():
    points, *_ = moved(EARS_AND_NOSE, frames=100)
    points[::7, 0] += 300
    points[::5, 1] = np.nan
    motion = rigid_motion(EARS_AND_NOSE[None], mean_configuration(points))
    assert motion.error_mm[0] < 1e-3


@pytest.mark.parametrize("points", [np.zeros((0, 4, 3)), np.full((5, 4, 3), np.nan), np.ones((5, 2, 3))])
def test_without_three_references_there_is_no_configuration(points: np.ndarray):
    with pytest.raises(ValueError, match="references"):
        mean_configuration(points)


@pytest.mark.parametrize("swapped", [False, True])
def test_x_runs_from_between_the_ears_to_the_nose_and_y_upwards_however_the_head_lies(swapped: bool):
    rotation = Rotation.from_euler("xyz", [10, 50, 160], degrees=True)
    left, right, nose, up = rotation.apply([[0.0, 75, 0], [0, -75, 0], [100, 0, 0], [20, 3, 50]])
    lip = rotation.apply([110.0, 2, -60])
    left, right = (right, left) if swapped else (left, right)
    axes = midsagittal_axes(left, right, nose, up)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose((axes @ lip)[:2], [110, -60], atol=1e-9)


def test_pitch_turns_the_front_downwards():
    left, right, nose, up = np.array([[0.0, 75, 0], [0, -75, 0], [100, 0, 0], [0, 0, 1]])
    x, y, _ = midsagittal_axes(left, right, nose, up, pitch_deg=30)
    np.testing.assert_allclose(x, [np.sqrt(3) / 2, 0, -0.5], atol=1e-12)
    np.testing.assert_allclose(y, [0.5, 0, np.sqrt(3) / 2], atol=1e-12)


def test_points_that_make_no_plane_are_refused():
    left, right, nose = np.array([[0.0, 75, 0], [0, -75, 0], [100, 0, 0]])
    for wrong in ((left, left, nose, nose), (left, right, np.zeros(3), nose), (left, right, nose, np.zeros(3))):
        with pytest.raises(ValueError, match="coincide"):
            midsagittal_axes(*wrong)
    with pytest.raises(ValueError, match="upward"):
        midsagittal_axes(left, right, nose, up=nose)
