"""Nonlinear heads, as banks: one head for each layer, trained side by side in one pass and independent of each other.

Every parameter and buffer of a bank has the layer as its first axis, so that each layer's best epoch can be kept by
itself, and training all layers gives each what training it alone would.
"""

import math
from abc import abstractmethod
from collections.abc import Iterable
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tractprobe.errors import ConfigError

States = Float[Tensor, "layer batch time width"]


class Bank(nn.Module):
    """Heads that gradients fit; inputs are standardised by what ``standardise`` saw."""

    input_mean: Tensor
    input_sd: Tensor
    known: Tensor

    def __init__(self, num_layers: int, width: int, num_channels: int):
        super().__init__()
        self.register_buffer("known", torch.ones(num_layers, num_channels, dtype=torch.bool))
        self.register_buffer("input_mean", torch.zeros(num_layers, 1, 1, width))
        self.register_buffer("input_sd", torch.ones(num_layers, 1, 1, width))

    @abstractmethod
    def predict(self, states: States) -> Float[Tensor, "layer batch time channel"]:
        """Predict standardised targets from standardised inputs."""

    def forward(self, states: States) -> Float[Tensor, "layer batch time channel"]:
        """Predict standardised targets from inputs as the encoder gives them; NaN for a channel never trained."""
        predicted = self.predict((states.to(self.input_mean) - self.input_mean) / self.input_sd)
        return torch.where(self.known[:, None, None], predicted, torch.nan)

    def standardise(self, batches: Iterable[tuple[States, Bool[Tensor, "batch time channel"]]]) -> None:
        """Take the inputs' mean and deviation, and which channels can be learned, from (states, valid) pairs."""
        count, total, squares, known = 0, 0.0, 0.0, torch.zeros_like(self.known[0])
        for states, valid in batches:
            known |= valid.any(dim=(0, 1))
            frames = states[:, valid.any(dim=2)].double()
            count += frames.shape[1]
            total = total + frames.sum(dim=1)
            squares = squares + frames.square().sum(dim=1)
        if not count:
            raise ConfigError("not one training frame has a valid target")
        mean, mean_square = torch.as_tensor(total) / count, torch.as_tensor(squares) / count
        sd = (mean_square - mean.square()).clamp(min=0).sqrt()
        sd = torch.where(sd > 1e-6 * mean_square.sqrt(), sd, 1.0)
        self.known.copy_(known.expand_as(self.known))
        self.input_mean.copy_(mean[:, None, None])
        self.input_sd.copy_(sd[:, None, None])


class Mlp(Bank):
    """A perceptron on single frames, GELU between its layers.

    Parameters
    ----------
    hidden
        Units of each hidden layer.
    depth
        Number of hidden layers.
    seed
        Of the initial weights, which are the same for every encoder layer.
    """

    def __init__(
        self, num_layers: int, width: int, num_channels: int, hidden: int = 256, depth: int = 1, seed: int = 0
    ):
        super().__init__(num_layers, width, num_channels)
        if hidden < 1 or depth < 1:
            raise ConfigError("head.hidden and head.depth are at least 1")
        widths = [width, *[hidden] * depth, num_channels]
        generator = torch.Generator().manual_seed(seed)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in pairwise(widths):
            one = (torch.rand(inputs, outputs, generator=generator) * 2 - 1) / math.sqrt(inputs)
            self.weights.append(nn.Parameter(one.repeat(num_layers, 1, 1)))
            self.biases.append(nn.Parameter(torch.zeros(num_layers, 1, outputs)))

    def predict(self, states: States) -> Float[Tensor, "layer batch time channel"]:
        layers, batch, time, width = states.shape
        values = states.reshape(layers, batch * time, width)
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = torch.baddbmm(bias, nn.functional.gelu(values) if index else values, weight)
        return values.view(layers, batch, time, -1)
