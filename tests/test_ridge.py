import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge as Sklearn
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tractprobe.errors import ConfigError
from tractprobe.ridge import GroupSums, MaskedSums, Membership, Ridge, Sums, correlation, solve

ALPHAS = [0.01, 1.0, 100.0, 1e4]


def frames(seed: int = 0, count: int = 300, width: int = 20, channels: int = 4, shift: float = 0.0, noise: float = 1.0):
    """Correlated inputs of unequal scale, linear targets."""
    random = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(width, width)) * np.logspace(-1, 1, width)
    x = random.normal(size=(count, width)) @ mix + shift
    y = (x - shift) @ np.random.default_rng(7).normal(size=(width, channels)) / 30
    return x, y + shift + noise * random.normal(size=y.shape)


def sums_of(x: np.ndarray, y: np.ndarray, chunk: int = 64) -> Sums:
    total = Sums.zero(x.shape[1], y.shape[1])
    for start in range(0, len(x), chunk):
        total.include(torch.from_numpy(x[start : start + chunk]), torch.from_numpy(y[start : start + chunk]))
    return total


def masked(x: np.ndarray, y: np.ndarray, valid: np.ndarray) -> MaskedSums:
    sums = MaskedSums.zero(x.shape[1], y.shape[1])
    filled = np.where(valid, y, 1e6)  # what is not valid may hold any number
    sums.include(torch.from_numpy(x), torch.from_numpy(filled), torch.from_numpy(valid))
    return sums


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


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 100), st.integers(1, 299))
def test_sums_do_not_depend_on_chunks_and_parts_subtract(seed: int, chunk: int, cut: int):
    x, y = frames(seed, width=5)
    whole = sums_of(x, y)
    parts = sums_of(x[:cut], y[:cut], chunk) + sums_of(x[cut:], y[cut:], chunk)
    rest = whole - sums_of(x[:cut], y[:cut])
    direct = sums_of(x[cut:], y[cut:])
    for name in ("x", "y", "xx", "xy", "yy"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name), rtol=1e-10, atol=1e-8)
        torch.testing.assert_close(getattr(rest, name), getattr(direct, name), rtol=1e-8, atol=1e-8)
    assert parts.n == whole.n and rest.n == direct.n


def test_leaving_a_group_out_by_subtraction_is_fitting_the_others():
    groups = [frames(seed, count=100 + seed) for seed in range(4)]
    total = sums_of(*map(np.concatenate, zip(*groups, strict=True)))
    for held_out in range(4):
        others = [group for index, group in enumerate(groups) if index != held_out]
        x, y = map(np.concatenate, zip(*others, strict=True))
        weights, biases = solve(total - sums_of(*groups[held_out]), [10.0])
        ours = groups[held_out][0] @ weights[0].numpy() + biases[0].numpy()
        np.testing.assert_allclose(ours, sklearn_ridge(x, y, 10.0).predict(groups[held_out][0]), rtol=1e-8, atol=1e-8)


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


def ragged(seed: int, count: int = 300) -> np.ndarray:
    """Channels 0 and 1 lost together, 2 by itself, 3 always there."""
    random = np.random.default_rng(seed)
    lost = random.random((count, 2)) < 0.3
    return ~np.stack([lost[:, 0], lost[:, 0], lost[:, 1], np.zeros(count, bool)], axis=1)


@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_each_channel_is_fitted_on_all_frames_that_have_it(shift: float):
    x, y = frames(shift=shift)
    valid = ragged(3)
    sums = masked(x, y, valid)
    assert [channels for channels, _ in sorted(sums.by_channels(), key=lambda pair: pair[0])] == [[0, 1], [2], [3]]
    for channels, part in sums.by_channels():
        weights, biases = solve(part, [5.0])
        for column, channel in enumerate(channels):
            known = valid[:, channel]
            ours = x @ weights[0, :, column].numpy() + biases[0, column].item()
            expected = sklearn_ridge(x[known], y[known, channel], 5.0).predict(x)
            np.testing.assert_allclose(ours, expected, rtol=1e-8, atol=1e-8)


SPEAKERS = ("c/one", "c/two", "c/three")


def speakers(count: int = 150) -> list[tuple[np.ndarray, np.ndarray]]:
    """Frames of three speakers, with strong noise."""
    return [frames(seed, noise=8.0, count=count) for seed in range(3)]


def groups_of(lost: int | None = None) -> GroupSums:
    """A fold for each speaker, fitted on the two others."""
    groups = {}
    for index, (x, y) in enumerate(speakers()):
        valid = np.ones(y.shape, bool)
        if lost is not None:
            valid[:, lost] = False
        others = frozenset({0, 1, 2} - {index})
        groups[Membership(others, frozenset({index}), SPEAKERS[index])] = masked(x, y, valid)
    return GroupSums(groups, 3)


def fold_r(alpha: float, channel: int) -> float:
    """Mean r over folds by scikit-learn."""
    pieces, r = speakers(), []
    for index, (x, y) in enumerate(pieces):
        others = [piece for other, piece in enumerate(pieces) if other != index]
        train_x, train_y = map(np.concatenate, zip(*others, strict=True))
        predicted = sklearn_ridge(train_x, train_y[:, channel], alpha).predict(x)
        r.append(np.corrcoef(predicted, y[:, channel])[0, 1])
    return float(np.mean(r))


def test_validation_r_is_scikit_learns_over_the_folds():
    r = Ridge(1, 20, 4, ALPHAS).validation_r(groups_of())
    expected = [[fold_r(alpha, channel) for channel in range(4)] for alpha in ALPHAS]
    np.testing.assert_allclose(r, expected, atol=1e-8)


def test_a_speaker_in_several_groups_of_a_fold_is_scored_as_one():
    x, y = frames(5)
    train = masked(*frames(6), np.ones((300, 4), bool))
    halves = [masked(x[part], y[part], np.ones((150, 4), bool)) for part in (slice(150), slice(150, 300))]
    nobody, fold = frozenset[int](), frozenset({0})
    split = GroupSums(
        {
            Membership(fold, nobody, None): train,
            Membership(nobody, fold, "c/one"): halves[0],
            Membership(frozenset({1}), fold, "c/one"): halves[1],
        },
        1,
    )
    whole = GroupSums(
        {
            Membership(fold, nobody, None): train,
            Membership(nobody, fold, "c/one"): masked(x, y, np.ones((300, 4), bool)),
        },
        1,
    )
    head = Ridge(1, 20, 4, ALPHAS)
    torch.testing.assert_close(head.validation_r(split), head.validation_r(whole), rtol=1e-10, atol=1e-10)


def test_alpha_is_the_best_over_the_folds_and_the_refit_uses_everything():
    head = Ridge(1, 20, 4, ALPHAS)
    chosen = head.fit([groups_of()])[0]
    pieces = speakers()
    for channel in range(4):
        r = [fold_r(alpha, channel) for alpha in ALPHAS]
        assert chosen[channel] == ALPHAS[int(np.argmax(r))]
        x, y = map(np.concatenate, zip(*pieces, strict=True))
        expected = sklearn_ridge(x, y[:, channel], float(chosen[channel])).predict(x)
        predicted = head(torch.from_numpy(x)[None, None])[0, 0, :, channel]
        np.testing.assert_allclose(predicted, expected, rtol=1e-8, atol=1e-8)


def test_one_alpha_for_all_channels_if_asked():
    chosen = Ridge(1, 20, 4, ALPHAS, alpha_per_channel=False).fit([groups_of()])
    r = [np.mean([fold_r(alpha, channel) for channel in range(4)]) for alpha in ALPHAS]
    assert (chosen == ALPHAS[int(np.argmax(r))]).all()


def test_without_validation_the_stated_alpha_is_taken():
    alone = GroupSums({Membership(frozenset(), frozenset(), None): groups_of().development()}, 0)
    assert (Ridge(1, 20, 4, ALPHAS, alpha_without_validation=7).fit([alone]) == 7).all()


def test_a_channel_that_nobody_has_is_nan_and_the_others_are_as_without_it():
    head, full = Ridge(1, 20, 4, [3.0]), Ridge(1, 20, 4, [3.0])
    chosen = head.fit([groups_of(lost=2)])[0]
    full.fit([groups_of()])
    assert chosen.isnan().tolist() == [False, False, True, False]
    x = torch.from_numpy(frames(5)[0])[None, None]
    predicted, expected = head(x)[0, 0], full(x)[0, 0]
    assert predicted[:, 2].isnan().all()
    torch.testing.assert_close(predicted[:, [0, 1, 3]], expected[:, [0, 1, 3]], rtol=1e-9, atol=1e-9)


def test_layers_are_fitted_each_by_itself():
    both, first, second = Ridge(2, 20, 4, ALPHAS), Ridge(1, 20, 4, ALPHAS), Ridge(1, 20, 4, ALPHAS)
    other = groups_of(lost=1)
    both.fit([groups_of(), other])
    first.fit([groups_of()])
    second.fit([other])
    torch.testing.assert_close(both.weight, torch.cat([first.weight, second.weight]), equal_nan=True)


@pytest.mark.parametrize("alphas", [[], [0.0], [-1.0, 1.0]])
def test_alphas_are_positive(alphas: list[float]):
    with pytest.raises(ConfigError, match="positive"):
        Ridge(1, 2, 3, alphas)


def test_sensors_that_are_lost_together_or_one_by_one_cost_a_matrix_each_and_not_one_for_each_combination():
    x, y = frames(channels=8)
    lost = np.repeat(np.random.default_rng(0).random((300, 4)) < 0.3, 2, axis=1)
    sums = masked(x, y, ~lost)
    assert sorted(sums.lost) == [(0, 1), (2, 3), (4, 5), (6, 7)]


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 299))
def test_masked_sums_do_not_depend_on_how_frames_are_divided(seed: int, cut: int):
    """Also where one part lost both coordinates of a sensor together and another part did not."""
    x, y = frames(seed, width=5)
    valid = np.random.default_rng(seed).random((300, 4)) < 0.7
    valid[:150, 1] = valid[:150, 0]
    whole, parts = masked(x, y, valid), masked(x[:cut], y[:cut], valid[:cut]) + masked(x[cut:], y[cut:], valid[cut:])
    for sums in (whole, parts):
        found = {
            channel: part.only([column]) for some, part in sums.by_channels() for column, channel in enumerate(some)
        }
        assert set(found) == {0, 1, 2, 3}
        for channel, part in found.items():
            direct = sums_of(x[valid[:, channel]], y[valid[:, channel], channel][:, None])
            assert part.n == direct.n
            for name in ("x", "y", "xx", "xy", "yy"):
                torch.testing.assert_close(getattr(part, name), getattr(direct, name), rtol=1e-9, atol=1e-7)
