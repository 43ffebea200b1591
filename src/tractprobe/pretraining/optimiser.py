"""Updates of weights: Muon for the matrices of blocks, AdamW for all else.

Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) replaces the momentum M = U S V' of a matrix by about U V',
so that directions in which gradients are small are learned as fast as those in which they are large. Scaled as in Liu
et al. 2025 (arXiv 2502.16982, equation 4), its steps are as large as AdamW's, and one learning rate serves both.
``torch.optim.Muon`` always computes in bfloat16, which is very slow on processors that do not have it, and takes one
matrix at a time; here the precision is that of training, and matrices of one shape are taken together.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

_BETAS, _EPSILON = (0.9, 0.98), 1e-6  # Hsu et al. 2021, HuBERT, section IV-B
_MOMENTUM, _SCALE = 0.95, 0.2
_STEPS = ((3.4445, -4.7750, 2.0315),) * 5  # of Newton and Schulz's iteration: Jordan et al.
_TINY = 1e-7
_ADAMW, _MUON = ("exp_avg", "exp_avg_sq"), ("momentum_buffer",)

Name = Literal["muon", "adamw"]


class Optimiser(torch.optim.Optimizer):
    """AdamW, with Muon for the matrices of blocks where that is asked for.

    Parameters
    ----------
    model
        Has a HuBERT of transformers as ``hubert``, and ``codebook``, the vectors of clusters.
    weight_decay
        Of weights; biases, norms and vectors of clusters do not decay.
    dtype
        In which Muon multiplies matrices.
    """

    def __init__(
        self, model: nn.Module, name: Name, rate: float, weight_decay: float, dtype: torch.dtype = torch.float32
    ):
        blocks = {id(own) for own in _matrices_of_blocks(model)} if name == "muon" else set[int]()
        parts: dict[str, list[nn.Parameter]] = {"decaying": [], "others": [], "muon": []}
        for own_name, own in model.named_parameters():
            decays = own.ndim > 1 and own_name != "codebook"
            parts["muon" if id(own) in blocks else "decaying" if decays else "others"].append(own)
        groups = [{"params": parts["decaying"], "weight_decay": weight_decay}]
        groups.append({"params": parts["others"], "weight_decay": 0.0})
        self._adamw = torch.optim.AdamW(groups, lr=rate, betas=_BETAS, eps=_EPSILON)
        self._muon = _same_shapes(parts["muon"])
        self._dtype = dtype
        super().__init__([*self._adamw.param_groups, *_group(parts["muon"], rate, weight_decay)], {"lr": rate})
        self._adamw.param_groups = [group for group in self.param_groups if not group.get("muon")]
        self._adamw.state = self.state

    def moments(self, parameter: nn.Parameter) -> tuple[str, ...]:
        """Return the names of what is kept of a parameter's gradients."""
        return _MUON if any(parameter is own for same in self._muon for own in same) else _ADAMW

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Make an update, after calling what computes gradients; return what that returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._adamw.step()
        for group in self.param_groups:
            if group.get("muon"):
                for same in self._muon:
                    self._step_by_muon(same, group["lr"], group["weight_decay"])
        return loss

    def _step_by_muon(self, same: Sequence[nn.Parameter], rate: float, weight_decay: float) -> None:
        moved = [own for own in same if own.grad is not None]  # a block that was dropped has no gradient
        if not moved:
            return
        directions = list[Tensor]()
        for own in moved:
            assert own.grad is not None
            buffer = self.state[own].setdefault("momentum_buffer", torch.zeros_like(own))
            buffer.lerp_(own.grad, 1 - _MOMENTUM)
            directions.append(own.grad.lerp(buffer, _MOMENTUM))
        turned = orthogonal(torch.stack(directions), self._dtype)
        scale = rate * _SCALE * max(moved[0].shape) ** 0.5
        for own, each in zip(moved, turned, strict=True):
            own.mul_(1 - rate * weight_decay).sub_(each.to(own.dtype), alpha=scale)


def orthogonal(
    matrices: Float[Tensor, "matrix row column"], dtype: torch.dtype = torch.float32
) -> Float[Tensor, "matrix row column"]:
    """Return about U V' of each matrix U S V': singular values from 0.7 to 1.2, by Newton and Schulz's iteration."""
    found = matrices.to(dtype)
    tall = found.shape[-2] > found.shape[-1]
    if tall:
        found = found.mT
    found = found / found.norm(dim=(-2, -1), keepdim=True).clamp(min=_TINY)
    for a, b, c in _STEPS:
        gram = found @ found.mT
        found = a * found + (b * gram + c * gram @ gram) @ found
    return found.mT if tall else found


def _matrices_of_blocks(model: nn.Module) -> list[nn.Parameter]:
    blocks: Any = model.hubert.encoder.layers  # pyright: ignore[reportAttributeAccessIssue]
    return [own for own in blocks.parameters() if own.ndim == 2]


def _same_shapes(matrices: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    by_shape: dict[torch.Size, list[nn.Parameter]] = {}
    for own in matrices:
        by_shape.setdefault(own.shape, []).append(own)
    return list(by_shape.values())


def _group(matrices: Sequence[nn.Parameter], rate: float, weight_decay: float) -> list[dict[str, Any]]:
    return [{"params": list(matrices), "lr": rate, "weight_decay": weight_decay, "muon": True}] if matrices else []
