import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as Sklearn
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tractprobe.probes.heads.ridge import Ridge
from tractprobe.probes.linear.solver import (
    FullMoments,
    by_cholesky,
    by_eigenvectors,
    by_tridiagonal,
    correlation,
    solve,
)
from tractprobe.system.errors import ConfigError

ALPHAS = [0.01, 1.0, 100.0, 1e4]


def frames(seed: int = 0, count: int = 300, width: int = 20, channels: int = 4, shift: float = 0.0, noise: float = 1.0):
    """Correlated inputs of unequal scale, linear targets."""
    random = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(width, width)) * np.logspace(-1, 1, width)
    x = random.normal(size=(count, width)) @ mix + shift
    y = (x - shift) @ np.random.default_rng(7).normal(size=(width, channels)) / 30
    return x, y + shift + noise * random.normal(size=y.shape)


def sums_of(x: np.ndarray, y: np.ndarray) -> FullMoments:
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    return FullMoments(len(x), x.sum(0), y.sum(0), x.T @ y, y.square().sum(0), x.T @ x)


def sklearn_ridge(x: np.ndarray, y: np.ndarray, alpha: float):
    return make_pipeline(StandardScaler(), Sklearn(alpha)).fit(x, y)


@pytest.mark.parametrize("shift", [0.0, 10.0, 100.0])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_predictions_equal_scikit_learn(shift: float, alpha: float):
    x, y = frames(shift=shift)
    new, _ = frames(1, shift=shift)
    weights, biases = solve(sums_of(x, y), [alpha])
    ours = new @ weights[0].numpy() + biases[0].numpy()
    np.testing.assert_allclose(ours, sklearn_ridge(x, y, alpha).predict(new), rtol=1e-8, atol=1e-8)


def test_all_alphas_come_from_one_solution():
    x, y = frames()
    weights, biases = solve(sums_of(x, y), ALPHAS)
    for index, alpha in enumerate(ALPHAS):
        one, bias = solve(sums_of(x, y), [alpha])
        torch.testing.assert_close(weights[index], one[0])
        torch.testing.assert_close(biases[index], bias[0])


@pytest.mark.parametrize("width", [1, 2, 3, 40])
@pytest.mark.parametrize("rank", [1, 10, 300])
def test_all_ways_to_solve_agree(width: int, rank: int):
    x = torch.randn(rank, width, dtype=torch.float64, generator=torch.Generator().manual_seed(width))
    cross, alphas = x.T @ torch.ones(rank, 3, dtype=torch.float64), torch.tensor(ALPHAS, dtype=torch.float64)
    expected = by_eigenvectors(x.T @ x, cross, alphas)
    torch.testing.assert_close(by_cholesky(x.T @ x, cross, alphas), expected, rtol=1e-9, atol=1e-11)
    if width >= 3:
        tridiagonal = by_tridiagonal((x.T @ x).numpy(), cross.numpy(), alphas.numpy())
        torch.testing.assert_close(torch.from_numpy(tridiagonal), expected, rtol=1e-9, atol=1e-11)
    for row, alpha in enumerate(ALPHAS):
        exact = torch.linalg.solve(x.T @ x + alpha * torch.eye(width), cross)
        torch.testing.assert_close(expected[row], exact, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("shift", [0.0, 10.0, 100.0])
@pytest.mark.parametrize("singular", [False, True])
def test_a_gpus_way_to_solve_equals_scikit_learn(monkeypatch: pytest.MonkeyPatch, shift: float, singular: bool):
    """On shifted data, with features that repeat others or are constant, and in as many batches as there are alphas."""
    x, y = frames(shift=shift)
    new, _ = frames(1, shift=shift)
    if singular:
        x, new = (np.concatenate([one, one[:, :3] * 2 + 1, np.full((len(one), 1), 7.0)], axis=1) for one in (x, new))
    usual, _ = solve(sums_of(x, y), ALPHAS)
    for most_bytes in (1 << 30, 1):
        monkeypatch.setattr("tractprobe.probes.linear.solver._FACTORS_BYTES", most_bytes)
        monkeypatch.setattr("tractprobe.probes.linear.solver._shrunk", by_cholesky)
        weights, biases = solve(sums_of(x, y), ALPHAS)
        torch.testing.assert_close(weights, usual, rtol=1e-8, atol=1e-8)
        for row, alpha in enumerate(ALPHAS):
            ours = new @ weights[row].numpy() + biases[row].numpy()
            np.testing.assert_allclose(ours, sklearn_ridge(x, y, alpha).predict(new), rtol=1e-8, atol=1e-8)


def test_several_sets_are_factorised_together_as_alone():
    parts = [sums_of(*frames(seed)) for seed in range(3)]
    alphas = torch.tensor(ALPHAS, dtype=torch.float64)
    together = by_cholesky(torch.stack([part.xx for part in parts]), torch.stack([part.xy for part in parts]), alphas)
    for part, found in zip(parts, together, strict=True):
        torch.testing.assert_close(found, by_cholesky(part.xx, part.xy, alphas), rtol=1e-12, atol=1e-14)


def test_a_matrix_that_rounding_left_indefinite_is_solved_by_eigenvectors_and_others_as_they_are():
    """The eigenvalue -1 stands for 0: α = 0.01 cannot be factorised, α = 100 can."""
    vectors, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    values = torch.tensor([-1.0, 1, 2, 3, 4], dtype=torch.float64)
    gram, cross = vectors * values @ vectors.T, torch.ones(5, 2, dtype=torch.float64)
    alphas = torch.tensor([0.01, 100.0], dtype=torch.float64)
    good = torch.eye(5, dtype=torch.float64)
    found = by_cholesky(torch.stack([gram, good]), torch.stack([cross, cross]), alphas)
    torch.testing.assert_close(found[0, 0], by_eigenvectors(gram, cross, alphas)[0])
    torch.testing.assert_close(found[0, 1], torch.linalg.solve(gram + 100 * good, cross))
    torch.testing.assert_close(found[1], by_eigenvectors(good, cross, alphas))


def test_more_features_than_frames_equal_scikit_learn_too():
    x, y = frames(count=12, width=40)
    new, _ = frames(1, width=40)
    weights, biases = solve(sums_of(x, y), [1.0])
    ours = new @ weights[0].numpy() + biases[0].numpy()
    np.testing.assert_allclose(ours, sklearn_ridge(x, y, 1.0).predict(new), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
def test_a_constant_feature_gets_no_weight_and_spoils_nothing(constant: float):
    x, y = frames()
    with_constant = np.insert(x, 3, constant, axis=1)
    weights, biases = solve(sums_of(with_constant, y), [1.0])
    assert (weights[0, 3] == 0).all()
    expected, bias = solve(sums_of(x, y), [1.0])
    np.testing.assert_allclose(np.delete(weights[0].numpy(), 3, axis=0), expected[0], rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(biases, bias, rtol=1e-8)


@pytest.mark.parametrize("shift", [0.0, 10.0, 100.0])
def test_correlation_follows_from_sums_of_frames_kept_aside(shift: float):
    x, y = frames(shift=shift)
    new, truth = frames(1, shift=shift)
    weights, _ = solve(sums_of(x, y), ALPHAS)
    r = correlation(sums_of(new, truth), weights)
    for index in range(len(ALPHAS)):
        predicted = new @ weights[index].numpy()
        for channel in range(4):
            assert r[index, channel] == pytest.approx(
                np.corrcoef(predicted[:, channel], truth[:, channel])[0, 1], abs=1e-8
            )


@pytest.mark.parametrize("alphas", [[], [0.0], [-1.0, 1.0]])
def test_alphas_are_positive(alphas: list[float]):
    with pytest.raises(ConfigError, match="above 0"):
        Ridge(1, 2, 3, alphas)


def test_a_head_predicts_what_it_took_and_nothing_for_a_channel_without_a_map():
    head = Ridge(2, 3, 2, [1.0])
    head.take(1, torch.arange(6.0, dtype=torch.float64).view(3, 2), torch.tensor([1.0, torch.nan]))
    predicted = head(torch.ones(2, 1, 4, 3))
    assert predicted[0].isnan().all() and predicted[1, ..., 1].isnan().all()
    assert (predicted[1, ..., 0] == 7).all()
