import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, pad

from tractprobe.probes.heads.bank import Bank, Mask, affine, drawn
from tractprobe.probes.sizes import check_sizes


class Transformer(Bank):
    """Blocks of attention among near frames and of a perceptron, each on normalised values (pre-norm).

    Frames are cut into stretches of ``window``; a stretch attends to itself and to the stretches before and after it,
    ``near`` = 3 x ``window`` frames, of which those further away than ``window`` are masked. ``head`` among the axes of
    shapes is an attention head, ``member`` a head of the bank.

    Scores have a learned term for each attention head and distance -window ... window, which starts at the slopes of
    ALiBi (Press, Smith & Lewis 2022) and, learned as in T5 (Raffel et al. 2020), can tell before from after. Time and
    memory grow with the window, and in proportion to the length, which has no limit.

    Parameters
    ----------
    hidden, heads
        Width of the blocks, and how many attention heads share it.
    depth
        Number of blocks.
    window
        Frames to each side that a block attends to.
    bottleneck, seed
        As in ``Mlp``.
    """

    def __init__(
        self,
        num_layers: int,
        width: int,
        num_channels: int,
        hidden: int = 128,
        heads: int = 4,
        depth: int = 2,
        window: int = 50,
        bottleneck: int | None = None,
        seed: int = 0,
    ):
        check_sizes(hidden=hidden, heads=heads, depth=depth, window=window, bottleneck=bottleneck)
        generator = torch.Generator().manual_seed(seed)
        super().__init__(num_layers, width, num_channels, bottleneck, generator)
        self.context_frames = depth * window
        self.into = _Affine(num_layers, self.features, hidden, generator)
        self.blocks = nn.ModuleList(_Block(num_layers, hidden, heads, window, generator) for _ in range(depth))
        self.norm = _Norm(num_layers, hidden)
        self.out = _Affine(num_layers, hidden, num_channels, generator)

    def predict(
        self, states: Float[Tensor, "member batch time feature"], mask: Mask
    ) -> Float[Tensor, "member batch time channel"]:
        values = self.into(states)
        for block in self.blocks:
            values = block(values, mask)
        return self.out(self.norm(values))


class _Affine(nn.Module):
    def __init__(self, members: int, inputs: int, outputs: int, generator: torch.Generator):
        super().__init__()
        self.weight = drawn((members, inputs, outputs), inputs, generator)
        self.bias = nn.Parameter(torch.zeros(members, 1, outputs))

    def forward(self, values: Float[Tensor, "member *rest feature"]) -> Float[Tensor, "member *rest output"]:
        return affine(values, self.weight, self.bias)


class _Norm(nn.Module):
    def __init__(self, members: int, width: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(members, 1, 1, width))
        self.shift = nn.Parameter(torch.zeros(members, 1, 1, width))

    def forward(self, values: Float[Tensor, "member batch time width"]) -> Float[Tensor, "member batch time width"]:
        return layer_norm(values, values.shape[-1:]) * self.scale + self.shift


class _Block(nn.Module):
    def __init__(self, members: int, hidden: int, heads: int, window: int, generator: torch.Generator):
        super().__init__()
        self.heads, self.window = heads, window
        self.norms = nn.ModuleList(_Norm(members, hidden) for _ in range(2))
        self.queries_keys_values = _Affine(members, hidden, 3 * hidden, generator)
        self.attended = _Affine(members, hidden, hidden, generator)
        self.widen = _Affine(members, hidden, 4 * hidden, generator)
        self.narrow = _Affine(members, 4 * hidden, hidden, generator)
        slopes = 2 ** (-8 * torch.arange(1, heads + 1) / heads)
        initial = -slopes[:, None] * torch.arange(-window, window + 1).abs()
        self.distance = nn.Parameter(initial.repeat(members, 1, 1))

    def forward(
        self, values: Float[Tensor, "member batch time hidden"], mask: Mask
    ) -> Float[Tensor, "member batch time hidden"]:
        before, between = self.norms
        values = values + self.attended(self._attend(before(values), mask))
        return values + self.narrow(gelu(self.widen(between(values))))

    def _attend(
        self, values: Float[Tensor, "member batch time hidden"], mask: Mask
    ) -> Float[Tensor, "member batch time hidden"]:
        """Attend from each stretch to itself, the one before and the one after."""
        time, window = values.shape[2], self.window
        missing = -time % window  # to a whole last stretch
        mapped = pad(self.queries_keys_values(values), (0, 0, 0, missing)).unflatten(3, (3, self.heads, -1))
        queries, keys, values = mapped.permute(3, 0, 1, 4, 2, 5)  # member batch head time feature
        queries = queries.unflatten(3, (-1, window)) / queries.shape[-1] ** 0.5
        scores = queries @ self._around(keys) + self._bias()[:, None, :, None]
        is_frame = pad(mask, (window, missing + window)).unfold(1, 3 * window, window)[:, None, :, None]
        weights = scores.masked_fill(~(is_frame | self._itself(mask)), -torch.inf).softmax(dim=-1)
        return (weights @ self._around(values).mT).flatten(3, 4)[..., :time, :].transpose(2, 3).flatten(3)

    def _around(
        self, values: Float[Tensor, "member batch head time feature"]
    ) -> Float[Tensor, "member batch head stretch feature near"]:
        return pad(values, (0, 0, self.window, self.window)).unfold(3, 3 * self.window, self.window)

    def _bias(self) -> Float[Tensor, "member head window near"]:
        """Return the term for each frame of a stretch and each one near it; -inf beyond the window."""
        rows = pad(self.distance, (self.window - 1, self.window - 1), value=-torch.inf)
        return rows.unfold(2, 3 * self.window, 1).flip(2)

    def _itself(self, mask: Mask) -> Bool[Tensor, "window near"]:
        """Return where a frame meets itself; padding may attend to itself alone, as it must attend to something."""
        return torch.eye(3 * self.window, dtype=torch.bool, device=mask.device)[self.window : 2 * self.window]
