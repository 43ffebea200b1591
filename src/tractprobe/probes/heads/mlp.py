from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tractprobe.probes.heads.bank import Bank, Mask, affine, drawn
from tractprobe.probes.sizes import check_sizes


class Mlp(Bank):
    """A perceptron on single frames, GELU between its layers.

    Parameters
    ----------
    hidden
        Units of each hidden layer.
    depth
        Number of hidden layers.
    bottleneck
        Features to which a linear map reduces the input; ``None`` for no such map.
    seed
        Of the initial weights, which are the same for every member.
    """

    context_frames = 0

    def __init__(
        self,
        num_layers: int,
        width: int,
        num_channels: int,
        hidden: int = 256,
        depth: int = 1,
        bottleneck: int | None = None,
        seed: int = 0,
    ):
        check_sizes(hidden=hidden, depth=depth, bottleneck=bottleneck)
        generator = torch.Generator().manual_seed(seed)
        super().__init__(num_layers, width, num_channels, bottleneck, generator)
        widths = [self.features, *[hidden] * depth, num_channels]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in pairwise(widths):
            self.weights.append(drawn((num_layers, inputs, outputs), inputs, generator))
            self.biases.append(nn.Parameter(torch.zeros(num_layers, 1, outputs)))

    def predict(
        self, states: Float[Tensor, "member batch time feature"], mask: Mask
    ) -> Float[Tensor, "member batch time channel"]:
        values = states
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = affine(nn.functional.gelu(values) if index else values, weight, bias)
        return values
