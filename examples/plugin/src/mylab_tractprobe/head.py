import torch

from tractprobe.probes.heads.bank import Bank, affine, drawn


class Linear(Bank):
    """A linear map of single frames, by gradients. Each parameter has the member of the bank as its first axis."""

    context_frames = 0

    def __init__(self, num_layers: int, width: int, num_channels: int, bottleneck: int | None = None, seed: int = 0):
        generator = torch.Generator().manual_seed(seed)
        super().__init__(num_layers, width, num_channels, bottleneck, generator)
        self.weight = drawn((num_layers, self.features, num_channels), self.features, generator)
        self.bias = torch.nn.Parameter(torch.zeros(num_layers, 1, num_channels))

    def predict(self, states, mask):
        return affine(states, self.weight, self.bias)
