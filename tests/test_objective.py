import pytest
import torch
from scipy.stats import pearsonr
from torch import Tensor
from torchmetrics.functional import pearson_corrcoef

from tractprobe.probes.gradient.objective import Both, Mse, Objective, Pearson, masked_mse, pearson_loss
from tractprobe.system.errors import ConfigError

OBJECTIVES: dict[str, Objective] = {"mse": Mse(), "pearson": Pearson(), "both": Both(0.3)}


def example(members: int = 2, shift: float = 0.0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Return predictions, targets that resemble them, and what of it is valid."""
    generator = torch.Generator().manual_seed(0)
    prediction = torch.randn(members, 3, 20, 4, generator=generator, dtype=torch.float64)
    noise = torch.randn(3, 20, 4, generator=generator, dtype=torch.float64)
    valid = torch.rand(3, 20, 4, generator=generator) > 0.3
    return (prediction + shift).to(dtype), (prediction[0] + noise + shift).to(dtype), valid


@pytest.mark.parametrize(("dtype", "shift", "atol"), [(torch.float64, 100.0, 1e-9), (torch.float32, 10.0, 1e-5)])
def test_pearson_is_scipys_and_torchmetrics_pooled_over_the_batch(dtype: torch.dtype, shift: float, atol: float):
    prediction, target, valid = example(shift=shift, dtype=dtype)
    losses = pearson_loss(prediction, target, valid)
    for member in range(2):
        pairs = [(prediction[member, ..., c][valid[..., c]], target[..., c][valid[..., c]]) for c in range(4)]
        by_scipy = sum(pearsonr(one.double(), other.double()).statistic for one, other in pairs) / 4
        by_torchmetrics = sum(pearson_corrcoef(one.double(), other.double()).item() for one, other in pairs) / 4
        assert 1 - losses[member].item() == pytest.approx(by_scipy, abs=atol)
        assert by_torchmetrics == pytest.approx(by_scipy, abs=1e-9)


def test_pearson_does_not_see_scale_and_shift_of_predictions_and_squared_errors_do():
    prediction, target, valid = example()
    torch.testing.assert_close(pearson_loss(prediction * 3 - 7, target, valid), pearson_loss(prediction, target, valid))
    assert (masked_mse(prediction * 3 - 7, target, valid) > 10 * masked_mse(prediction, target, valid)).all()


def test_pearson_sees_whether_utterances_differ_in_level_as_the_reported_r_does():
    _, target, valid = example()
    levels = torch.tensor([-2.0, 0.0, 2.0])[:, None, None]
    right, wrong = (target + levels)[None], (target - levels)[None]
    assert pearson_loss(right, target + levels, valid).item() == pytest.approx(0, abs=1e-9)
    assert pearson_loss(wrong, target + levels, valid).item() > 1


@pytest.mark.parametrize("name", OBJECTIVES)
def test_each_member_can_have_targets_and_frames_of_its_own(name: str):
    prediction, target, valid = example()
    targets, valids = torch.stack([target, target.flip(1)]), torch.stack([valid, ~valid])
    together = OBJECTIVES[name](prediction, targets, valids)
    for member in range(2):
        alone = OBJECTIVES[name](prediction[[member]], targets[member], valids[member])
        torch.testing.assert_close(together[[member]], alone)
    shared = OBJECTIVES[name](prediction, target[None].expand(2, -1, -1, -1), valid[None].expand(2, -1, -1, -1))
    torch.testing.assert_close(shared, OBJECTIVES[name](prediction, target, valid))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_what_is_not_valid_may_hold_anything_and_has_no_gradient(name: str):
    prediction, target, valid = example()
    losses = OBJECTIVES[name](prediction, target, valid)
    spoiled = prediction.masked_fill(~valid, torch.nan).requires_grad_()
    again = OBJECTIVES[name](spoiled, target.masked_fill(~valid, torch.inf), valid)
    torch.testing.assert_close(again, losses)
    again.sum().backward()
    assert spoiled.grad is not None and torch.isfinite(spoiled.grad).all()
    assert (spoiled.grad[:, ~valid] == 0).all() and (spoiled.grad[:, valid] != 0).all()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients_are_those_of_finite_differences(name: str):
    prediction, target, valid = example()
    prediction = prediction[:, :, :5].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda one: OBJECTIVES[name](one, target[:, :5], valid[:, :5]), prediction)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("what", ["prediction", "target", "both", "two frames", "nothing valid"])
def test_stretches_without_a_correlation_have_a_finite_loss_and_gradient(what: str, dtype: torch.dtype):
    prediction, target, valid = example(dtype=dtype)
    if what in ("prediction", "both"):
        prediction = torch.full_like(prediction, 0.3)
    if what in ("target", "both"):
        target = torch.full_like(target, 0.3)
    if what == "two frames":
        valid[:, 2:], valid[1:] = False, False
    if what == "nothing valid":
        valid[:] = False
    prediction.requires_grad_()
    losses = pearson_loss(prediction, target, valid)
    losses.sum().backward()
    assert prediction.grad is not None and torch.isfinite(prediction.grad).all()
    torch.testing.assert_close(losses, torch.full_like(losses, 1.0 if what == "prediction" else 0.0))
    assert bool(prediction.grad.any()) == (what == "prediction")  # so that a constant prediction can still learn


def test_a_channel_without_a_correlation_leaves_the_others_as_they_are():
    prediction, target, valid = example()
    whole = pearson_loss(prediction[..., :3], target[..., :3], valid[..., :3])
    target[..., 3] = 1.0
    torch.testing.assert_close(pearson_loss(prediction, target, valid), whole)


@pytest.mark.parametrize(("weight", "same"), [(0.0, Mse()), (1.0, Pearson())])
def test_both_lies_between_its_parts(weight: float, same: Objective):
    entries = example()
    torch.testing.assert_close(Both(weight)(*entries), same(*entries))
    half = (masked_mse(*entries) + pearson_loss(*entries)) / 2
    torch.testing.assert_close(Both()(*entries), half)


@pytest.mark.parametrize("weight", [-0.1, 1.1])
def test_a_weight_outside_0_to_1_is_refused(weight: float):
    with pytest.raises(ConfigError, match=r"objective\.weight"):
        Both(weight)
