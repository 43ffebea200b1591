"""Updates of weights: Muon against PyTorch's own, AdamW against PyTorch's own, and what each of them takes care of."""

import pytest
import torch
from pretrained import SMALL, composed
from torch import nn

from tractprobe.encoders.untrained import described
from tractprobe.pretraining.model import MaskedPrediction, drawn_hubert
from tractprobe.pretraining.optimiser import Optimiser, orthogonal
from tractprobe.runs.configuration import plain


@pytest.fixture
def model() -> MaskedPrediction:
    architecture = plain(composed(*SMALL))["model"]["architecture"]
    return MaskedPrediction(drawn_hubert(described(architecture, "model"), 0), 5, 0)


def with_gradients(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for own in model.parameters():
        own.grad = torch.randn(own.shape, generator=generator)


def in_blocks(model: MaskedPrediction) -> list[nn.Parameter]:
    return [own for own in model.hubert.encoder.layers.parameters() if own.ndim == 2]


def test_muon_makes_the_steps_of_pytorchs_own(model: MaskedPrediction):
    blocks = in_blocks(model)
    copies = [nn.Parameter(own.detach().clone()) for own in blocks]
    theirs = torch.optim.Muon(copies, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    ours = Optimiser(model, "muon", 0.02, 0.1, torch.bfloat16)
    for seed in range(3):
        with_gradients(model, seed)
        for copy, own in zip(copies, blocks, strict=True):
            assert own.grad is not None
            copy.grad = own.grad.clone()
        ours.step()
        theirs.step()
    for copy, own in zip(copies, blocks, strict=True):
        moved = float((copy.detach() - own.detach()).abs().max())
        assert moved < 0.02 * 0.2 * max(own.shape) ** 0.5 * 0.05  # bfloat16 adds up in another order


def test_the_rest_is_learned_by_adamw_as_pytorchs_own(model: MaskedPrediction):
    blocks = {id(own) for own in in_blocks(model)}
    names = [name for name, own in model.named_parameters() if id(own) not in blocks]
    copies = {name: nn.Parameter(own.detach().clone()) for name, own in model.named_parameters() if name in names}
    decays = {name: own.ndim > 1 and name != "codebook" for name, own in copies.items()}
    groups = [
        {"params": [own for name, own in copies.items() if decays[name] is decaying], "weight_decay": decay}
        for decaying, decay in ((True, 0.1), (False, 0.0))
    ]
    theirs, ours = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.98), eps=1e-6), Optimiser(model, "muon", 0.01, 0.1)
    for seed in range(3):
        with_gradients(model, seed)
        for name, own in model.named_parameters():
            if name in copies:
                copies[name].grad = own.grad.clone() if own.grad is not None else None
        ours.step()
        theirs.step()
    for name, own in model.named_parameters():
        if name in copies:
            torch.testing.assert_close(own, copies[name])


def test_singular_values_become_about_one():
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(3, 24, 40, generator=generator)
    for each in (matrices, matrices.mT):
        turned = orthogonal(each)
        values = torch.linalg.svdvals(turned)
        assert values.min() > 0.6 and values.max() < 1.3
        left, _, right = torch.linalg.svd(each, full_matrices=False)
        polar = left @ right  # the nearest orthogonal matrix: the same directions, each as long as the others
        alike = (turned * polar).sum(dim=(1, 2)) / (turned.norm(dim=(1, 2)) * polar.norm(dim=(1, 2)))
        assert alike.min() > 0.97


def test_adamw_alone_knows_no_muon(model: MaskedPrediction):
    optimiser = Optimiser(model, "adamw", 0.01, 0.1)
    assert all(optimiser.moments(own) == ("exp_avg", "exp_avg_sq") for own in model.parameters())
    with_gradients(model, 0)
    optimiser.step()
    assert all(set(optimiser.state[own]) == {"step", "exp_avg", "exp_avg_sq"} for own in model.parameters())


def test_a_block_without_gradients_stays_as_it_is(model: MaskedPrediction):
    optimiser = Optimiser(model, "muon", 0.01, 0.1)
    with_gradients(model, 0)
    own = in_blocks(model)[0]
    own.grad, before = None, own.detach().clone()
    optimiser.step()
    assert torch.equal(own, before) and own not in optimiser.state
