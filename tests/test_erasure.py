"""Erasing in closed form against the same on frames, and against other maps that erase as much."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import orth, sqrtm
from sklearn.linear_model import Ridge as Sklearn
from sklearn.preprocessing import StandardScaler
from test_linear import piece, stored

from tractprobe.data.splits import Split
from tractprobe.evidence.methods.erasure import (
    Eraser,
    StateSpace,
    covariance_with,
    moments_of_labels,
    states_of_groups,
)
from tractprobe.evidence.methods.ridge_without import RidgeWithout
from tractprobe.probes.heads.ridge import Ridge
from tractprobe.probes.linear.fit import fit_head
from tractprobe.probes.linear.selection import Division, LayerMoments
from tractprobe.probes.linear.solver import FullMoments


def frames(seed: int = 0, count: int = 400, width: int = 9, targets: int = 3, shift: float = 5.0):
    """States of unequal scale far from 0, and targets that they hold with noise."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, width)) @ random.normal(size=(width, width)) * np.logspace(-2, 2, width) + shift
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    z = standard @ random.normal(size=(width, targets)) + random.normal(size=(count, targets)) + 3
    return x, z


def moments_of(x: np.ndarray, z: np.ndarray) -> FullMoments:
    x, z = torch.from_numpy(x), torch.from_numpy(z)
    return FullMoments(len(x), x.sum(dim=0), z.sum(dim=0), x.T @ z, z.square().sum(dim=0), x.T @ x)


def space_and_eraser(moments: FullMoments, rank: int | None = None) -> tuple[StateSpace, Eraser]:
    space = StateSpace.of(moments.n, moments.x, moments.xx)
    return space, space.eraser(covariance_with(moments), rank)


def correlations(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.corrcoef(x.T, z.T)[: x.shape[1], x.shape[1] :]


def leace(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The theorem on frames, with the symmetric whitening of the paper."""
    centred, targets = x - x.mean(axis=0), z - z.mean(axis=0)
    covariance = centred.T @ centred / len(x)
    unwhitening = np.real(sqrtm(covariance))
    whitening = np.linalg.inv(unwhitening)
    basis = orth(whitening @ (centred.T @ targets / len(x)))
    return x - centred @ (unwhitening @ basis @ basis.T @ whitening).T


def test_erased_states_are_those_of_the_theorem_on_frames():
    x, z = frames()
    _, eraser = space_and_eraser(moments_of(x, z))
    assert eraser.rank == z.shape[1]
    erased = eraser(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(erased, leace(x, z), atol=1e-6 * x.std())


def test_no_covariance_is_left_with_what_was_erased_and_all_of_it_with_the_rest():
    x, z = frames()
    _, eraser = space_and_eraser(moments_of(x, z[:, :1]))
    erased = eraser(torch.from_numpy(x)).numpy()
    assert np.abs(correlations(x, z)).max() > 0.3
    assert np.abs(correlations(erased, z[:, :1])).max() < 1e-10
    assert np.abs(correlations(erased, z[:, 1:])).max() > 0.1
    np.testing.assert_allclose(erased.mean(axis=0), x.mean(axis=0))


def test_moments_of_erased_states_are_those_of_erased_frames():
    x, z = frames()
    moments = moments_of(x, z)
    _, eraser = space_and_eraser(moments)
    closed, summed = eraser.of_moments(moments), moments_of(eraser(torch.from_numpy(x)).numpy(), z)
    for name in ("x", "y", "xy", "yy", "xx"):
        torch.testing.assert_close(getattr(closed, name), getattr(summed, name), rtol=1e-9, atol=1e-6)
    left = covariance_with(closed) / torch.from_numpy(x.std(axis=0))[:, None]
    assert left.abs().max() < 1e-10


def test_no_other_map_that_erases_as_much_changes_states_less():
    """I - U Vᵀ erases z if V spans Σxz whatever U is, and if U is any other left inverse's."""
    x, z = frames()
    _, eraser = space_and_eraser(moments_of(x, z))
    centred = x - x.mean(axis=0)
    moved = np.square(eraser(torch.from_numpy(x)).numpy() - x).sum()
    cross = covariance_with(moments_of(x, z)).numpy()
    random = np.random.default_rng(1)
    for size in (1e-3, 0.1, 1.0, 10.0):
        # Any B with B Σxz = Σxz leaves no covariance: B = Σxz (GΣxz)⁻¹ G, where GᵀG need not be the best.
        g = eraser.read.numpy().T * (1 + size * random.normal(size=eraser.read.numpy().T.shape))
        other = cross @ np.linalg.inv(g @ cross) @ g
        erased = x - centred @ other.T
        assert np.abs(correlations(erased, z)).max() < 1e-7
        assert np.square(erased - x).sum() > moved * (1 + 1e-12)


def test_features_that_do_not_vary_or_repeat_others_make_no_difference():
    x, z = frames()
    more = np.concatenate([x, np.full((len(x), 1), 7.0), x[:, :2] + x[:, 3:5]], axis=1)
    _, eraser = space_and_eraser(moments_of(more, z))
    erased = eraser(torch.from_numpy(more)).numpy()
    _, plain = space_and_eraser(moments_of(x, z))
    np.testing.assert_allclose(erased[:, : x.shape[1]], plain(torch.from_numpy(x)).numpy(), rtol=1e-6, atol=1e-6)
    assert (erased[:, x.shape[1]] == 7.0).all()


def test_targets_that_follow_from_others_are_no_further_directions():
    x, z = frames()
    one_hot = np.eye(4)[np.digitize(z[:, 0], [2, 3, 4])]
    _, eraser = space_and_eraser(moments_of(x, one_hot))
    assert eraser.rank == 3
    assert np.abs(correlations(eraser(torch.from_numpy(x)).numpy(), one_hot)).max() < 1e-10


def test_less_than_the_full_rank_leaves_least_of_the_first_directions():
    x, z = frames()
    space, eraser = space_and_eraser(moments_of(x, z), rank=1)
    assert eraser.rank == 1
    left = space.whitened(covariance_with(eraser.of_moments(moments_of(x, z))))
    singular = torch.linalg.svdvals(space.whitened(covariance_with(moments_of(x, z))))
    torch.testing.assert_close(torch.linalg.svdvals(left)[:2], singular[1:])


@pytest.mark.parametrize("as_states", [False, True])
def test_random_directions_are_erased_from_whitened_states_and_no_others(as_states: bool):
    x, z = frames(count=2000)
    space, _ = space_and_eraser(moments_of(x, z))
    eraser = space.drawn(4, np.random.default_rng(0), as_states)
    torch.testing.assert_close(eraser.read.T @ eraser.added, torch.eye(4, dtype=torch.float64), atol=1e-8, rtol=0)
    whitened = (x - x.mean(axis=0)) @ space._reading.numpy()
    erased = (eraser(torch.from_numpy(x)).numpy() - x.mean(axis=0)) @ space._reading.numpy()
    np.testing.assert_allclose(np.cov(whitened.T, bias=True), np.eye(9), atol=1e-6)
    values = np.linalg.eigvalsh(np.cov(erased.T, bias=True))
    np.testing.assert_allclose(values, [0] * 4 + [1] * 5, atol=1e-6)
    again = space.drawn(4, np.random.default_rng(0), as_states)
    assert torch.equal(eraser.read, again.read)


def test_random_sums_of_features_take_more_variance_than_random_directions():
    random = np.random.default_rng(0)
    x = random.normal(size=(3000, 3)) @ random.normal(size=(3, 40)) + 0.1 * random.normal(size=(3000, 40))
    space, _ = space_and_eraser(moments_of(x, x[:, :2]))
    plain, dominant = (
        np.mean([space.drawn(2, np.random.default_rng(seed), as_states).share for seed in range(50)])
        for as_states in (False, True)
    )
    assert plain == pytest.approx(2 / 40, rel=0.3)
    assert dominant > 5 * plain


def test_share_is_the_variance_that_standardised_features_lose():
    x, z = frames()
    _, eraser = space_and_eraser(moments_of(x, z))
    gone = (x - eraser(torch.from_numpy(x)).numpy()) / x.std(axis=0)
    assert eraser.share == pytest.approx(gone.var(axis=0).sum() / x.shape[1])


def test_a_head_on_erased_states_is_scikit_learns_on_erased_frames():
    """Features are standardised by what they were before anything was erased."""
    x, z = frames()
    new, _ = frames(seed=1)
    _, eraser = space_and_eraser(moments_of(x, z[:, :1]))
    alpha = torch.tensor([1.0, 10.0, 0.1], dtype=torch.float64)
    weight, bias = RidgeWithout([([0, 1, 2], moments_of(x, z))]).heads(alpha, eraser)
    scaler = StandardScaler().fit(x)
    for channel in (1, 2):
        model = Sklearn(float(alpha[channel]))
        model.fit(scaler.transform(eraser(torch.from_numpy(x)).numpy()), z[:, channel])
        expected = model.predict(scaler.transform(eraser(torch.from_numpy(new)).numpy()))
        np.testing.assert_allclose(new @ weight[:, channel].numpy() + float(bias[channel]), expected, rtol=1e-6)
    assert not weight[:, 0].any() and float(bias[0]) == pytest.approx(z[:, 0].mean())


def test_a_head_without_erasing_is_the_engines(tmp_path: Path):
    pieces = [piece(1), piece(2, "c/b"), piece(3, "c/c", "it", lost=0.2), piece(4)]
    store = stored(tmp_path, pieces)
    division = Division.of(Split(("u0", "u1", "u2"), ("u3",)), store)
    moments = LayerMoments(store, "0", division)
    alpha = torch.tensor([100.0, 100.0, 100.0, torch.nan], dtype=torch.float64)
    weight, bias = RidgeWithout(moments.to_fit()[-1]).heads(alpha)
    expected = fit_head(moments, Ridge(1, 12, 4, [100.0]))
    torch.testing.assert_close(weight[:, :3], expected.weight[:, :3])
    torch.testing.assert_close(bias[:3], expected.bias[:3])
    assert not weight[:, 3].any() and bias[3].isnan()
    x = np.concatenate([one.x[one.valid.any(axis=1)] for one in pieces[:3]])
    n, total, squares = states_of_groups(store, store.layer("0"), division.development)
    assert n == len(x)
    np.testing.assert_allclose(total, x.sum(axis=0))
    np.testing.assert_allclose(squares, x.T @ x)


def test_labels_of_groups_are_targets_at_every_frame(tmp_path: Path):
    pieces = [piece(1), piece(2, "c/b", lost=0.3), piece(3, "c/b", "it"), piece(4)]
    store = stored(tmp_path, pieces)
    chosen = np.array([True, True, True, False])
    labels = [group.speaker for group in store.groups]
    moments = moments_of_labels(store, store.layer("0"), chosen, labels, ["c/a", "c/b"])
    used = [one.valid.any(axis=1) for one in pieces[:3]]
    x = np.concatenate([one.x[kept] for one, kept in zip(pieces, used, strict=False)])
    y = np.concatenate([np.tile([one.speaker == "c/a", one.speaker == "c/b"], (kept.sum(), 1)) * 1.0
                        for one, kept in zip(pieces, used, strict=False)])  # fmt: skip
    expected = moments_of(x, y)
    for name in ("n", "x", "y", "xy", "yy", "xx"):
        np.testing.assert_allclose(getattr(moments, name), getattr(expected, name), rtol=1e-9, atol=1e-9)
