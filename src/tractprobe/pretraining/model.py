"""Masked prediction: a HuBERT of transformers that names, at masked frames, the cluster of what it does not hear.

The probability of cluster c at a frame is softmax_c(cos(A h, e_c) / 0.1), with h the encoder's last state, A a linear
map and e_c a learned vector for each cluster (Hsu et al. 2021, HuBERT, equation 3). Cosines are bounded, so that the
common clusters of silence cannot win by a large bias, and logits stay within +-10 at any learning rate: steps may be
large from the start, which a training of minutes needs.

The loss also counts frames that are not masked. Naming those is learned within minutes, and shapes front end and lower
layers before anything can be inferred from context; a loss on masked frames alone hardly learned in 20 minutes.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from tractprobe.encoders.assembly import drawn
from tractprobe.pretraining.counters import number_of

TEMPERATURE = 0.1
_WIDTH = 128  # of the space in which states and clusters are compared
_IGNORED = -100


@dataclass(frozen=True)
class LossWeights:
    """What masked and unmasked frames count in the loss."""

    masked: float = 1.0
    unmasked: float = 1.0


@dataclass(frozen=True)
class Outcome:
    """Loss and shares of frames that are named rightly; a share is NaN where there is no such frame."""

    loss: Tensor
    masked_loss: Tensor
    unmasked_loss: Tensor
    masked_accuracy: Tensor
    unmasked_accuracy: Tensor


class MaskedPrediction(nn.Module):
    """A HuBERT and what names clusters from its last states.

    Parameters
    ----------
    hubert
        Of transformers.
    clusters
        How many there are.
    seed
        Of the initial weights that are not HuBERT's.
    """

    def __init__(self, hubert: Any, clusters: int, seed: int):
        super().__init__()
        self.hubert: Any = hubert
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number_of(seed, "prediction"))
            self.projection = nn.Linear(hubert.config.hidden_size, _WIDTH)
            self.codebook = nn.Parameter(torch.randn(clusters, _WIDTH))

    def forward(
        self, waves: Float[Tensor, "crop sample"], mask: Bool[Tensor, "crop frame"]
    ) -> Float[Tensor, "crop frame cluster"]:
        """Return the logits of all frames, float32."""
        states = self.hubert(waves, mask_time_indices=mask).last_hidden_state
        projected = self.projection(states)
        with torch.autocast(waves.device.type, enabled=False):
            return cosines(projected.float(), self.codebook.float()) / TEMPERATURE


def cosines(states: Float[Tensor, "*frame width"], codebook: Float[Tensor, "cluster width"]) -> Tensor:
    """Return the cosine of each state with each cluster's vector."""
    return functional.normalize(states, dim=-1) @ functional.normalize(codebook, dim=-1).T


def outcome(
    logits: Float[Tensor, "crop frame cluster"],
    labels: Int64[Tensor, "crop frame"],
    mask: Bool[Tensor, "crop frame"],
    weights: LossWeights,
) -> Outcome:
    """Return the weighted mean of cross-entropies over masked and over unmasked frames, and how many are right."""
    parts = {"masked": mask, "unmasked": ~mask}
    losses = {name: _mean_loss(logits, labels, part) for name, part in parts.items()}
    right = logits.detach().argmax(dim=-1) == labels
    shares = {name: (right & part).sum() / part.sum() for name, part in parts.items()}
    total = weights.masked + weights.unmasked
    loss = (weights.masked * losses["masked"] + weights.unmasked * losses["unmasked"]) / total
    return Outcome(loss, losses["masked"], losses["unmasked"], shares["masked"], shares["unmasked"])


def _mean_loss(logits: Tensor, labels: Tensor, part: Tensor) -> Tensor:
    chosen = torch.where(part, labels, _IGNORED)
    total = functional.cross_entropy(logits.flatten(0, 1), chosen.flatten(), ignore_index=_IGNORED, reduction="sum")
    return total / part.sum().clamp(min=1)


def drawn_hubert(config: Any, seed: int) -> Any:
    """Return a HuBERT with initial weights, as the control with random weights of the same seed has them."""
    return drawn(config, seed)
