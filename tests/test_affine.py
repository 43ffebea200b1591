"""Maps between read-outs: from moments as from frames, and as scipy and numpy find them."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes

from tractprobe.evidence.methods.affine import FAMILIES, AffineMap, ReadMoments, ReadOut, fitted_map, read_moments
from tractprobe.evidence.methods.mapped import METRICS
from tractprobe.probes.linear.group_moments import GroupMoments
from tractprobe.probes.linear.moment_store import Group, MomentStore

CHANNELS = 12
WIDTH = 7


def frames(seed: int, count: int = 300, noise: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Read-outs in mm, far from the origin, and movements that are an affine map of them with noise."""
    random = np.random.default_rng(seed)
    predicted = random.normal(size=(count, CHANNELS)) @ random.normal(size=(CHANNELS, CHANNELS)) - 40
    matrix, offset = random.normal(size=(CHANNELS, CHANNELS)), random.normal(size=CHANNELS) * 30
    return predicted, predicted @ matrix + offset + noise * random.normal(size=(count, CHANNELS))


def with_ones(columns: np.ndarray) -> np.ndarray:
    return np.column_stack([columns, np.ones(len(columns))])


def by_numpy(family: str, predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Fit the families that are regressions, channel by channel over its own frames."""
    mapped = np.empty_like(measured)
    for channel in range(CHANNELS):
        sources = {
            "scale": [channel],
            "articulator": [channel - channel % 2, channel - channel % 2 + 1],
            "affine": list(range(CHANNELS)),
        }[family]
        known = np.isfinite(measured[:, channel])
        x = with_ones(predicted[:, sources])
        mapped[:, channel] = x @ np.linalg.lstsq(x[known], measured[known, channel], rcond=None)[0]
    return mapped


@pytest.mark.parametrize("family", ["scale", "articulator", "affine"])
@pytest.mark.parametrize("lost", [0.0, 0.3])
def test_regressions_are_numpys_on_the_frames_that_each_channel_has(family, lost):
    predicted, measured = frames(1)
    measured[np.random.default_rng(2).random(measured.shape) < lost] = np.nan
    ours = fitted_map(family, ReadMoments.of_frames(predicted, measured))(predicted)
    np.testing.assert_allclose(ours, by_numpy(family, predicted, measured), rtol=1e-7, atol=1e-7)


def test_the_rotation_is_scipys():
    predicted, measured = frames(3)
    p, y = predicted - predicted.mean(axis=0), measured - measured.mean(axis=0)
    rotation, singular = orthogonal_procrustes(p, y)
    found = fitted_map("orthogonal", ReadMoments.of_frames(predicted, measured))
    scale = singular / (p**2).sum()
    np.testing.assert_allclose(found.matrix, scale * rotation, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found(predicted) - measured.mean(axis=0), p @ (scale * rotation), rtol=1e-7, atol=1e-7)


def test_an_offset_moves_means_and_nothing_else():
    predicted, measured = frames(4)
    found = fitted_map("offset", ReadMoments.of_frames(predicted, measured))
    np.testing.assert_allclose(found(predicted), predicted - predicted.mean(axis=0) + measured.mean(axis=0))
    same = fitted_map("identity", ReadMoments.of_frames(predicted, measured))
    np.testing.assert_array_equal(same(predicted), predicted)


@given(seed=st.integers(0, 1000), lost=st.sampled_from([0.0, 0.2]))
def test_scores_from_sums_are_those_of_the_frames(seed, lost):
    predicted, measured = frames(seed, count=80, noise=5.0)
    measured[np.random.default_rng(seed).random(measured.shape) < lost] = np.nan
    moments = ReadMoments.of_frames(predicted, measured)
    for family in FAMILIES:
        own_map = fitted_map(family, moments)
        sums, mapped = own_map.sums(moments), own_map(predicted)
        for channel in range(CHANNELS):
            known = np.isfinite(measured[:, channel])
            q, y = mapped[known, channel], measured[known, channel]
            assert METRICS["r"](sums)[channel] == pytest.approx(np.corrcoef(q, y)[0, 1], abs=1e-6)
            assert METRICS["rmse"](sums)[channel] == pytest.approx(np.sqrt(np.mean((q - y) ** 2)), rel=1e-5)
            assert METRICS["rmse_about_means"](sums)[channel] == pytest.approx(np.std(q - y), rel=1e-5)


@given(seed=st.integers(0, 1000))
def test_families_are_nested(seed):
    """A larger family has no larger error on the frames that it was fitted to; offset and scale leave |r| as it is."""
    predicted, measured = frames(seed, count=60, noise=3.0)
    moments = ReadMoments.of_frames(predicted, measured)
    error = {family: np.sum(METRICS["rmse"](fitted_map(family, moments).sums(moments)) ** 2) for family in FAMILIES}
    chains = [("identity", "offset", "scale", "articulator", "affine"), ("offset", "orthogonal", "affine")]
    for chain in chains:
        for smaller, larger in pairwise(chain):
            assert error[larger] <= error[smaller] * (1 + 1e-9)
    r = {family: METRICS["r"](fitted_map(family, moments).sums(moments)) for family in FAMILIES}
    np.testing.assert_allclose(r["offset"], r["identity"], atol=1e-9)
    np.testing.assert_allclose(np.abs(r["scale"]), np.abs(r["identity"]), atol=1e-9)


def test_a_channel_that_is_not_read_or_not_measured_is_not_mapped_nor_used():
    predicted, measured = frames(5)
    predicted[:, 3], measured[:, 8] = np.nan, np.nan
    moments = ReadMoments.of_frames(predicted, measured)
    rest = [channel for channel in range(CHANNELS) if channel not in (3, 8)]
    for family in FAMILIES:
        found = fitted_map(family, moments)
        assert np.isnan(found(predicted)[:, [3, 8]]).all() and np.isfinite(found(predicted)[:, rest]).all()
        assert not found.matrix[[3, 8]].any()
        assert not found.sums(moments)[:, [3, 8]].any()


def stored(folder: Path, pieces: list[tuple[np.ndarray, np.ndarray]], long: bool) -> MomentStore:
    """Sum each piece as a group; long groups are kept as Σxxᵀ, short ones as frames."""
    files, groups = [], []
    for number, (x, y) in enumerate(pieces):
        sums = GroupMoments({"0": WIDTH}, CHANNELS)
        repeat = 1 if long else len(x)
        for first in range(0, len(x), repeat if not long else 20):
            part = slice(first, first + (20 if long else repeat))
            known = np.isfinite(y[part])
            sums.include(
                {"0": torch.from_numpy(x[part])},
                torch.from_numpy(np.nan_to_num(y[part], nan=1e9)),
                torch.from_numpy(known),
            )
        files.append(folder / f"{number}.safetensors")
        sums.save(files[-1])
        groups.append(Group("c", "en", "c/a", (f"u{number}",)))
    return MomentStore(groups, files, {"0": WIDTH})


@pytest.mark.parametrize("count", [10, 90])
@pytest.mark.parametrize("lost", [0.0, 0.3])
def test_moments_of_read_outs_follow_from_those_of_states(tmp_path: Path, count, lost):
    random = np.random.default_rng(6)
    pieces = []
    for number in range(3):
        y = random.normal(size=(count, CHANNELS)) * 3 + 20
        gone = np.repeat(random.random((count, CHANNELS // 2)) < lost, 2, axis=1)
        gone[0] = False
        y[gone] = np.nan
        if number == 1 and lost:
            y[:, 4:6] = np.nan  # a sensor that one group lacks altogether
        pieces.append((random.normal(size=(count, WIDTH)) + 5, y))
    store = stored(tmp_path, pieces, long=count > 2 * WIDTH)
    heads = [ReadOut("0", random.normal(size=(WIDTH, CHANNELS)), random.normal(size=CHANNELS) * 9) for _ in range(2)]
    heads[1].bias[2] = np.nan
    selections = [np.array([True, True, False]), np.array([False, False, True])]
    found = read_moments(store, store.layer("0"), selections, heads)
    for selection, of_heads in zip(selections, found, strict=True):
        x, y = (np.concatenate([pieces[number][part] for number in np.flatnonzero(selection)]) for part in (0, 1))
        for head, moments in zip(heads, of_heads, strict=True):
            expected = ReadMoments.of_frames(x @ head.weight + head.bias, y)
            for name, value in vars(expected).items():
                ours = getattr(moments, name)
                if name in ("p", "py"):
                    ours, value = ours[:, expected.read], value[:, expected.read]
                if name == "pp":
                    ours, value = (of[:, expected.read][:, :, expected.read] for of in (ours, value))
                known = expected.n > 0 if name != "read" else slice(None)
                np.testing.assert_allclose(ours[known], value[known], rtol=1e-8, atol=1e-6, err_msg=name)


def test_moments_add_up():
    predicted, measured = frames(7)
    whole = ReadMoments.of_frames(predicted, measured)
    parts = ReadMoments.of_frames(predicted[:100], measured[:100]) + ReadMoments.of_frames(
        predicted[100:], measured[100:]
    )
    np.testing.assert_allclose(fitted_map("affine", parts).matrix, fitted_map("affine", whole).matrix, atol=1e-4)


def test_a_known_affine_map_is_recovered_and_of_unrelated_movements_none():
    predicted, measured = frames(8, count=4000, noise=0.0)
    other = np.random.default_rng(9).normal(size=measured.shape)
    new, truth = frames(8, count=4000, noise=0.0)
    known, unrelated = (fitted_map("affine", ReadMoments.of_frames(predicted, y)) for y in (measured, other))
    np.testing.assert_allclose(known(new), truth, rtol=1e-6, atol=1e-6)
    fresh = np.random.default_rng(10).normal(size=measured.shape)
    sums = unrelated.sums(ReadMoments.of_frames(predicted, fresh))
    assert np.abs(METRICS["r"](sums)).max() < 0.08
    assert isinstance(unrelated, AffineMap)
