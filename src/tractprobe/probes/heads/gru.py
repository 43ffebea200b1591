import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tractprobe.probes.heads.bank import Bank, Mask, affine, drawn
from tractprobe.probes.sizes import check_sizes


class Gru(Bank):
    """Gated recurrent units in both directions, then a linear map to the channels; padding ends an utterance.

    Members take turns, since torch runs one recurrence at a time.

    Parameters
    ----------
    hidden
        Units of each direction.
    depth
        Number of recurrent layers.
    bottleneck, seed
        As in ``Mlp``.
    """

    context_frames = None

    def __init__(
        self,
        num_layers: int,
        width: int,
        num_channels: int,
        hidden: int = 128,
        depth: int = 1,
        bottleneck: int | None = None,
        seed: int = 0,
    ):
        check_sizes(hidden=hidden, depth=depth, bottleneck=bottleneck)
        generator = torch.Generator().manual_seed(seed)
        super().__init__(num_layers, width, num_channels, bottleneck, generator)
        self.depth, gates = depth, 3 * hidden
        self.recurrent = nn.ParameterList()  # in torch's order: each layer, each direction
        for inputs in [self.features] * 2 + [2 * hidden] * 2 * (depth - 1):
            for shape in ((gates, inputs), (gates, hidden), (gates,), (gates,)):
                self.recurrent.append(drawn((num_layers, *shape), hidden, generator))
        self.weight = drawn((num_layers, 2 * hidden, num_channels), 2 * hidden, generator)
        self.bias = nn.Parameter(torch.zeros(num_layers, 1, num_channels))

    def predict(
        self, states: Float[Tensor, "member batch time feature"], mask: Mask
    ) -> Float[Tensor, "member batch time channel"]:
        by_member = zip(*(parameter.unbind() for parameter in self.recurrent), strict=True)
        lengths = mask.sum(dim=1)
        assert torch.equal(mask.long().cumprod(dim=1).sum(dim=1), lengths), "padding comes after the frames"
        lengths = lengths.clamp(min=1).cpu()
        passed = [self._run(of_member, lengths, weights) for of_member, weights in zip(states, by_member, strict=True)]
        return affine(torch.stack(passed), self.weight, self.bias)

    def _run(
        self, states: Float[Tensor, "batch time feature"], lengths: Tensor, weights: tuple[Tensor, ...]
    ) -> Float[Tensor, "batch time hidden"]:
        """Run one member's recurrence over utterances of different lengths."""
        packed = pack_padded_sequence(states, lengths, batch_first=True, enforce_sorted=False)
        hidden = weights[1].shape[1]
        start = states.new_zeros(2 * self.depth, len(states), hidden)
        values, _ = torch.gru(
            packed.data, packed.batch_sizes, start, weights, True, self.depth, 0.0, self.training, True
        )
        ran, _ = pad_packed_sequence(packed._replace(data=values), batch_first=True, total_length=states.shape[1])
        return ran
