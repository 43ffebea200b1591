import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn.metrics import r2_score, root_mean_squared_error
from torchmetrics.regression import ConcordanceCorrCoef

from tractprobe.data.groups import GroupKey
from tractprobe.data.targets import Targets
from tractprobe.probes.gradient.inversion import comparable_r, mean_r
from tractprobe.probes.gradient.objective import masked_mse
from tractprobe.probes.gradient.score_sums import ScoreSums

LAYERS, GROUPS, CHANNELS = 2, 3, 4


def example(seed: int, batch: int = 6, time: int = 40, shift: float = 0.0):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    target = draw(batch, time, CHANNELS) * 3 + shift
    prediction = 0.7 * target + draw(LAYERS, batch, time, CHANNELS) + 1
    valid = torch.rand(batch, time, CHANNELS, generator=generator) < 0.8
    group = torch.arange(batch) % GROUPS
    return prediction, target, valid, group


def all_scores(*batches):
    moments = ScoreSums(LAYERS, GROUPS, CHANNELS)
    for batch in batches:
        moments.update(*batch)
    return moments.take()


@pytest.mark.parametrize("shift", [0.0, 70.0, 1e4])
def test_scores_equal_scipy_and_scikit_learn(shift: float):
    prediction, target, valid, group = example(0, shift=shift)
    scores = all_scores((prediction, target, valid, group))
    for layer in range(LAYERS):
        for one in range(GROUPS):
            for channel in range(CHANNELS):
                used = valid[..., channel] & (group == one)[:, None]
                x, y = prediction[layer][..., channel][used], target[..., channel][used]
                at = (layer, one, channel)
                assert scores.n_frames[at] == len(x)
                assert scores.r[at] == pytest.approx(pearsonr(x, y).statistic, abs=1e-7)
                assert scores.rmse[at] == pytest.approx(root_mean_squared_error(y, x), rel=1e-6)
                assert scores.r2[at] == pytest.approx(r2_score(y, x), rel=1e-6, abs=1e-6)


def test_ccc_equals_torchmetrics():
    prediction, target, _, _ = example(1)
    everything = torch.ones_like(target, dtype=torch.bool)
    scores = all_scores((prediction, target, everything, torch.zeros(6, dtype=torch.long)))
    oracle = ConcordanceCorrCoef(num_outputs=CHANNELS)
    expected = oracle(prediction[0].reshape(-1, CHANNELS).float(), target.reshape(-1, CHANNELS).float())
    np.testing.assert_allclose(scores.ccc[0, 0], expected, atol=2e-3)  # torchmetrics takes the unbiased variance


@given(st.integers(0, 1000), st.integers(1, 5))
def test_no_number_depends_on_how_the_frames_were_divided(seed: int, chunks: int):
    whole = example(seed)
    prediction, target, valid, group = whole
    pieces = torch.arange(6).tensor_split(chunks)
    divided = all_scores(*((prediction[:, p], target[p], valid[p], group[p]) for p in reversed(pieces)))
    together = all_scores(whole)
    for name, values in vars(together).items():
        torch.testing.assert_close(getattr(divided, name), values, equal_nan=True, rtol=1e-10, atol=1e-10)


def test_what_is_not_valid_counts_for_nothing():
    prediction, target, valid, group = example(2)
    expected = all_scores((prediction, target, valid, group))
    prediction = torch.where(valid, prediction, torch.nan)
    target = torch.where(valid, target, 1e30)
    for name, values in vars(all_scores((prediction, target, valid, group))).items():
        torch.testing.assert_close(values, getattr(expected, name), equal_nan=True)


def test_one_wild_frame_leaves_r_defined():
    """torchmetrics' float32 sums give NaN here."""
    y = torch.randn(1, 5000, CHANNELS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = y.clone()[None].repeat(LAYERS, 1, 1, 1)
    x[:, 0, 0] = 300
    r = all_scores((x, y, torch.ones_like(y, dtype=torch.bool), torch.zeros(1, dtype=torch.long))).r[0, 0]
    expected = np.corrcoef(x[0, 0, :, 0], y[0, :, 0])[0, 1]
    np.testing.assert_allclose(r[0], expected, atol=1e-10)


@pytest.mark.parametrize("constant", [0.0, 0.1, 71.3, -1e5])
def test_a_constant_has_no_correlation_rather_than_some(constant: float):
    prediction, target, valid, group = example(3)
    scores = all_scores((torch.full_like(prediction, constant), target, valid, group))
    assert scores.r.isnan().all() and not scores.rmse.isnan().any()
    scores = all_scores((prediction, torch.full_like(target, constant), valid, group))
    assert scores.r.isnan().all() and scores.r2.isnan().all()


def test_a_group_without_frames_and_with_one_has_no_row_and_no_r():
    prediction, target, valid, _ = example(4, batch=1, time=1)
    scores = all_scores((prediction, target, torch.ones_like(valid), torch.tensor([1])))
    rows = scores.rows((0, 5), [GroupKey("c", "it", f"c/{name}") for name in "abd"], Targets().channels[:CHANNELS])
    assert {row["speaker"] for row in rows} == {"c/b"} and {row["layer"] for row in rows} == {0, 5}
    assert all(row["r"] is None and row["n_frames"] == 1 and row["rmse"] is not None for row in rows)


def test_taking_scores_starts_anew():
    moments = ScoreSums(LAYERS, GROUPS, CHANNELS)
    moments.update(*example(5))
    first = moments.take()
    moments.update(*example(5))
    torch.testing.assert_close(moments.take().n_frames, first.n_frames)


def test_loss_is_the_mean_over_valid_entries_and_others_have_no_gradient():
    prediction, target, valid, _ = (value.float() if value.is_floating_point() else value for value in example(6))
    prediction.requires_grad_()
    losses = masked_mse(prediction, target, valid)
    for layer in range(LAYERS):
        expected = (prediction[layer][valid] - target[valid]).square().mean()
        torch.testing.assert_close(losses[layer], expected)
    losses.sum().backward()
    assert prediction.grad is not None and (prediction.grad[:, ~valid] == 0).all()


def test_loss_of_nothing_is_zero():
    prediction, target, valid, _ = example(7)
    assert masked_mse(prediction, target, torch.zeros_like(valid)).tolist() == [0, 0]


@pytest.mark.parametrize("still", [1, CHANNELS - 1])
def test_a_prediction_that_does_not_vary_cannot_win_the_choice_of_an_epoch(still: int):
    prediction, target, valid, group = example(3)
    target[..., 0] = 5  # a channel that never moves counts for nobody
    prediction[1] = target + 0.01 * prediction[1]
    prediction[1, ..., CHANNELS - still :] = 2  # of all channels that it follows, it follows them best
    scores = all_scores((prediction, target, valid, group))
    r, groups = comparable_r(scores), [GroupKey("c", "en", f"c/{name}") for name in "abd"]
    assert r[..., 0].isnan().all() and torch.equal(r[0, :, 1:], scores.r[0, :, 1:])
    if still == CHANNELS - 1:
        assert r[1].isnan().all()  # it has no r, rather than an r of 0
    else:
        assert mean_r(scores.r, groups)[1] > mean_r(scores.r, groups)[0] > mean_r(r, groups)[1]
