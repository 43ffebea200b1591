from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm
from torch.nn.utils.rnn import pad_sequence

from tractprobe.probes.heads import Bank, Conv, Gru, Mlp, Transformer, Weighted
from tractprobe.system.errors import ConfigError

WIDTH, CHANNELS = 6, 3
SMALL: dict[str, tuple[type[Bank], dict[str, Any]]] = {
    "mlp": (Mlp, {"hidden": 8, "depth": 2}),
    "mlp_bottleneck": (Mlp, {"hidden": 8, "bottleneck": 2}),
    "conv": (Conv, {"hidden": 8, "kernel": 3, "dilations": [1, 2]}),
    "conv_bottleneck": (Conv, {"hidden": 8, "kernel": 5, "dilations": [2], "bottleneck": 3}),
    "gru": (Gru, {"hidden": 5, "depth": 2}),
    "gru_bottleneck": (Gru, {"hidden": 5, "bottleneck": 2}),
    "transformer": (Transformer, {"hidden": 8, "heads": 2, "depth": 2, "window": 3}),
    "transformer_bottleneck": (Transformer, {"hidden": 8, "heads": 2, "depth": 1, "window": 4, "bottleneck": 2}),
}
INNER = {"_target_": "tractprobe.heads.Conv", "hidden": 8, "kernel": 3, "dilations": [1], "bottleneck": 3}


def bank(name: str, members: int = 3, **more: Any) -> Bank:
    """Return a small bank in float64; its weights are alike for every member."""
    if name == "weighted":
        return Weighted(members, WIDTH, CHANNELS, head=INNER).double()
    kind, settings = SMALL[name]
    return kind(members, WIDTH, CHANNELS, **settings, **more).double()


def scattered(head: Bank, seed: int = 1) -> Bank:
    """Give every parameter a value of its own, so that members and biases differ."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in head.parameters():
            value.add_(0.3 * torch.randn(value.shape, generator=generator, dtype=value.dtype))
    return head


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def utterances(lengths: Iterable[int], members: int = 3) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return states by themselves and as a batch whose padding holds rubbish, and the mask."""
    alone = [random(members, length, WIDTH, seed=number) for number, length in enumerate(lengths)]
    batch = pad_sequence([one.transpose(0, 1) for one in alone], batch_first=True, padding_value=1e4)
    mask = torch.arange(batch.shape[1]) < torch.tensor([one.shape[1] for one in alone])[:, None]
    return alone, batch.permute(2, 0, 1, 3).contiguous(), mask


def fit(head: Bank, states: Tensor, target: Tensor, mask: Tensor, steps: int, lr: float = 1e-2) -> Tensor:
    """Train with the sum of the members' squared errors; return the last ones."""
    optimizer = torch.optim.AdamW(head.parameters(), lr=lr, weight_decay=0.01)
    losses = torch.empty(0)
    for _ in range(steps):
        residual = (head(states, mask) - target).masked_fill(~mask[..., None], 0)
        losses = residual.square().sum(dim=(1, 2, 3)) / mask.sum()
        optimizer.zero_grad()
        losses.sum().backward()
        optimizer.step()
    return losses.detach()


@pytest.mark.parametrize("name", SMALL)
def test_training_all_members_gives_each_what_training_it_alone_would(name: str):
    _, states, mask = utterances([11, 7])
    target = random(2, 11, CHANNELS)
    together = bank(name)
    fit(together, states, target, mask, steps=4)
    for index in range(3):
        alone = bank(name, members=1)
        fit(alone, states[[index]], target, mask, steps=4)
        for key, value in alone.state_dict().items():
            torch.testing.assert_close(together.state_dict()[key][[index]], value, rtol=1e-9, atol=1e-12)
    moved = next(iter(together.parameters())).detach()
    assert not torch.allclose(moved[0], moved[1])


@pytest.mark.parametrize("name", SMALL)
def test_a_member_can_be_cut_out(name: str):
    whole, cut = scattered(bank(name)), bank(name, members=1)
    states = random(3, 2, 9, WIDTH)
    whole.standardise([(states, torch.ones(2, 9, CHANNELS, dtype=torch.bool))])
    cut.load_state_dict({key: value[1:2] for key, value in whole.state_dict().items()})
    torch.testing.assert_close(cut(states[1:2]), whole(states)[1:2])


@pytest.mark.parametrize("name", [*SMALL, "weighted"])
def test_every_parameter_and_buffer_has_the_member_first_and_members_start_alike(name: str):
    head = bank(name)
    members = 1 if name == "weighted" else 3
    assert head.num_members == members
    for key, value in head.state_dict().items():
        assert value.shape[0] == members, key
        assert all(torch.equal(value[0], one) for one in value), key
    assert {key for key, _ in head.named_parameters()} == {key for key, value in head.named_parameters() if value.ndim}


@pytest.mark.parametrize("name", SMALL)
def test_weights_follow_from_the_seed_and_leave_the_global_generator_alone(name: str):
    before = torch.get_rng_state()
    one, same, other = bank(name, seed=1), bank(name, seed=1), bank(name, seed=2)
    assert torch.equal(before, torch.get_rng_state())
    for (key, value), again in zip(one.named_parameters(), same.parameters(), strict=True):
        assert torch.equal(value, again), key
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("name", [*SMALL, "weighted"])
def test_an_utterance_does_not_depend_on_what_it_is_batched_with(name: str):
    head = scattered(bank(name))
    alone, states, mask = utterances([13, 5, 1, 8])
    padded = head(states, mask)
    for number, one in enumerate(alone):
        torch.testing.assert_close(padded[:, number, : one.shape[1]], head(one[:, None])[:, 0], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("rubbish", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", [*SMALL, "weighted"])
def test_what_padding_holds_reaches_neither_predictions_nor_gradients(name: str, rubbish: float):
    gradients = []
    for filling in (0.0, rubbish):
        head = scattered(bank(name))
        _, states, mask = utterances([9, 4])
        states[:, ~mask] = filling
        predicted = torch.where(mask[..., None], head(states, mask), 0)
        predicted.square().sum().backward()
        gradients.append([value.grad for value in head.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert one is not None and other is not None and torch.isfinite(one).all()
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", [*SMALL, "weighted"])
def test_an_impulse_reaches_as_far_as_the_context_says(name: str):
    head, time = scattered(bank(name)), 41
    states = random(3, 1, time, WIDTH)
    struck = states.clone()
    struck[:, :, 20] += 1.0
    changed = (head(struck) - head(states)).abs().amax(dim=(0, 1, 3)) > 1e-12
    reach = 20 if head.context_frames is None else head.context_frames
    assert changed.nonzero().flatten()[[0, -1]].tolist() == [20 - reach, 20 + reach]


@pytest.mark.parametrize("name", [name for name in [*SMALL, "weighted"] if "gru" not in name])
def test_with_its_context_a_stretch_is_predicted_as_in_the_whole(name: str):
    head, states = scattered(bank(name)), random(3, 1, 60, WIDTH)
    assert head.context_frames is not None
    start, end = 25 - head.context_frames, 35 + head.context_frames
    stretch = head(states[:, :, start:end])[:, :, head.context_frames : head.context_frames + 10]
    torch.testing.assert_close(stretch, head(states)[:, :, 25:35], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", [*SMALL, "weighted"])
def test_training_twice_gives_the_same_bits(name: str):
    _, states, mask = utterances([11, 7])
    target = random(2, 11, CHANNELS)
    heads = [bank(name).float(), bank(name).float()]
    for head in heads:
        fit(head, states.float(), target.float(), mask, steps=3)
    for one, other in zip(*(head.state_dict().values() for head in heads), strict=True):
        assert torch.equal(one, other)


def conv1d_stack(head: Conv, member: int, states: Tensor) -> Tensor:
    """Return what torch's own layers make of one utterance (time, width)."""
    weights = [weight[member] for weight in head.weights]
    biases = [bias[member, 0] for bias in head.biases]
    values = (states @ weights[0] + biases[0]).T[None]
    for block, dilation in enumerate(head.dilations):
        hidden = values.shape[1]
        layer = nn.Conv1d(
            hidden, hidden, head.kernel, dilation=dilation, padding=dilation * (head.kernel // 2), dtype=torch.float64
        )
        taps = weights[1 + 2 * block].view(head.kernel, hidden, hidden)
        with torch.no_grad():
            layer.weight.copy_(taps.permute(2, 1, 0))
            layer.bias.copy_(biases[1 + 2 * block])  # type: ignore[union-attr]
        mixed = gelu(layer(values)).transpose(1, 2) @ weights[2 + 2 * block] + biases[2 + 2 * block]
        values = values + mixed.transpose(1, 2)
    return values[0].T @ weights[-1] + biases[-1]


@pytest.mark.parametrize(("kernel", "dilations"), [(3, (1, 2, 4)), (5, (3,)), (1, (1,)), (3, (20,))])
def test_conv_is_a_stack_of_torchs_conv1d(kernel: int, dilations: tuple[int, ...]):
    head = Conv(2, WIDTH, CHANNELS, hidden=7, kernel=kernel, dilations=dilations).double()
    scattered(head)
    states = random(2, 3, 17, WIDTH)
    predicted = head(states)
    for member in range(2):
        for number in range(3):
            expected = conv1d_stack(head, member, states[member, number])
            torch.testing.assert_close(predicted[member, number], expected)


@pytest.mark.parametrize("depth", [1, 2])
def test_gru_is_torchs_gru_one_utterance_at_a_time(depth: int):
    head = Gru(2, WIDTH, CHANNELS, hidden=5, depth=depth).double()
    scattered(head)
    alone, states, mask = utterances([12, 3, 7], members=2)
    predicted = head(states, mask)
    for member in range(2):
        oracle = nn.GRU(WIDTH, 5, depth, batch_first=True, bidirectional=True, dtype=torch.float64)
        with torch.no_grad():
            for value, stacked in zip(oracle.parameters(), head.recurrent, strict=True):
                value.copy_(stacked[member])
        for number, one in enumerate(alone):
            expected = oracle(one[member][None])[0][0] @ head.weight[member] + head.bias[member, 0]
            torch.testing.assert_close(predicted[member, number, : one.shape[1]], expected)


def attention_by_hand(head: Transformer, member: int, states: Tensor) -> Tensor:
    """Return what the blocks make of one utterance (time, width), frame by frame with all scores in sight."""
    own = {key: value[member] for key, value in head.named_parameters()}

    def mapped(name: str, values: Tensor) -> Tensor:
        return values @ own[f"{name}.weight"] + own[f"{name}.bias"][0]

    def normed(name: str, values: Tensor) -> Tensor:
        return layer_norm(values, values.shape[-1:], own[f"{name}.scale"].flatten(), own[f"{name}.shift"].flatten())

    values, time = mapped("into", states), len(states)
    for block in range(len(head.blocks)):
        here = f"blocks.{block}"
        distance = own[f"{here}.distance"]
        heads, window = distance.shape[0], distance.shape[1] // 2
        size = values.shape[1] // heads
        queries, keys, given = mapped(f"{here}.queries_keys_values", normed(f"{here}.norms.0", values)).chunk(3, dim=1)
        attended = torch.zeros_like(values)
        for one in range(heads):
            part = slice(one * size, (one + 1) * size)
            for i in range(time):
                near = range(max(0, i - window), min(time, i + window + 1))
                scores = [queries[i, part] @ keys[j, part] / size**0.5 + distance[one, j - i + window] for j in near]
                weights = torch.stack(scores).softmax(dim=0)
                attended[i, part] = weights @ given[near.start : near.stop, part]
        values = values + mapped(f"{here}.attended", attended)
        wide = gelu(mapped(f"{here}.widen", normed(f"{here}.norms.1", values)))
        values = values + mapped(f"{here}.narrow", wide)
    return mapped("out", normed("norm", values))


@pytest.mark.parametrize("window", [1, 3, 5, 40])
def test_transformer_is_attention_worked_out_by_hand(window: int):
    """Lengths below, at and above the window and its multiples."""
    head = Transformer(2, WIDTH, CHANNELS, hidden=8, heads=2, depth=2, window=window).double()
    scattered(head)
    alone, states, mask = utterances([1, 3, 6, 13], members=2)
    with torch.no_grad():
        predicted = head(states, mask)
        for member in range(2):
            for number, one in enumerate(alone):
                expected = attention_by_hand(head, member, one[member])
                torch.testing.assert_close(predicted[member, number, : one.shape[1]], expected)


def test_attention_starts_at_the_slopes_of_alibi():
    head = Transformer(1, WIDTH, CHANNELS, hidden=8, heads=4, window=2)
    distance = head.get_parameter("blocks.0.distance")[0]
    slopes = [2**-2, 2**-4, 2**-6, 2**-8]
    expected = -torch.tensor(slopes)[:, None] * torch.tensor([2, 1, 0, 1, 2])
    torch.testing.assert_close(distance, expected)


def test_a_long_utterance_takes_memory_in_proportion_to_its_length():
    """Scores of all pairs of 20,000 frames would take 3.2 GB; no tensor here holds more than the near ones."""
    head = Transformer(1, WIDTH, CHANNELS, hidden=4, heads=1, depth=1, window=10)
    sizes: list[int] = []

    class Sizes(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            sizes.extend([out.untyped_storage().nbytes()] if isinstance(out, Tensor) else [])
            return out

    with torch.no_grad(), Sizes():
        head(torch.randn(1, 1, 20_000, WIDTH))
    assert 0 < max(sizes) <= 20_000 * 30 * 4 * 1.01


DELAY = 2


@pytest.mark.parametrize(
    ("name", "settings", "steps"),
    [
        ("conv", {"hidden": 16, "kernel": 3, "dilations": [1, 2]}, 60),
        ("gru", {"hidden": 16, "depth": 1}, 60),
        ("transformer", {"hidden": 16, "heads": 2, "depth": 1, "window": 6}, 100),
        ("mlp", {"hidden": 16, "depth": 1}, 60),
    ],
)
def test_what_came_before_is_learned_by_heads_that_see_it(name: str, settings: dict[str, Any], steps: int):
    """The target is the input of two frames ago, in which the input of now has no part."""
    head = SMALL[name][0](1, 2, 1, **settings)
    _, states, mask = utterances([12] * 8, members=1)
    states = states[..., :2].float()
    target = nn.functional.pad(states[0, :, :-DELAY, :1], (0, 0, DELAY, 0))
    loss = fit(head, states, target, mask, steps, lr=2e-2).item()
    assert loss > 0.8 if name == "mlp" else loss < 0.1


@pytest.mark.parametrize("bottleneck", [1, 2, 3])
def test_a_bottleneck_passes_so_many_linear_features(bottleneck: int):
    """The Jacobian with respect to a frame has the bottleneck's rank."""
    head = Mlp(1, WIDTH, 5, hidden=16, bottleneck=bottleneck).double()
    scattered(head)
    states = random(20, WIDTH)

    def single(frame: Tensor) -> Tensor:
        return head(frame[None, None, None])[0, 0, 0]

    jacobians = torch.cat([torch.autograd.functional.jacobian(single, frame) for frame in states])
    assert torch.linalg.matrix_rank(jacobians) == bottleneck


def test_weighted_is_its_head_on_the_sum_of_standardised_layers():
    head = Weighted(3, WIDTH, CHANNELS, head=INNER).double()
    scattered(head)
    states = torch.stack([random(2, 9, WIDTH, seed=seed) * 10**seed + seed for seed in range(3)])
    head.standardise([(states, torch.ones(2, 9, CHANNELS, dtype=torch.bool))])
    alike = (states - states.mean(dim=(1, 2), keepdim=True)) / states.std(dim=(1, 2), keepdim=True, unbiased=False)
    weights = torch.softmax(head.logits[0], dim=0)
    inner = Conv(1, WIDTH, CHANNELS, hidden=8, kernel=3, dilations=[1], bottleneck=3).double()
    inner.load_state_dict(head.head.state_dict())
    expected = inner((weights[:, None, None, None] * alike).sum(dim=0)[None])
    torch.testing.assert_close(head(states), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(head.layer_weights, weights.detach())


def test_weights_start_alike_and_find_the_layer_that_matters():
    head = Weighted(4, 2, 1, head={"_target_": "tractprobe.heads.Mlp", "hidden": 16})
    torch.testing.assert_close(head.layer_weights, torch.full((4,), 0.25))
    _, states, mask = utterances([20] * 4, members=4)
    states = states[..., :2].float()
    fit(head, states, states[2, ..., :1] * 2, mask, steps=80, lr=0.1)
    assert head.layer_weights[2] > 0.9
    assert head.layer_weights.sum().item() == pytest.approx(1, abs=1e-6)


def test_members_that_learn_from_different_frames_are_standardised_by_them():
    head, states = Mlp(2, WIDTH, CHANNELS).double(), random(2, 3, 8, WIDTH)
    valid = torch.rand(2, 3, 8, CHANNELS, generator=torch.Generator().manual_seed(0)) > 0.6
    valid[1, ..., 2] = False
    head.standardise([(states[:, :2], valid[:, :2]), (states[:, 2:], valid[:, 2:])])
    for member in range(2):
        frames = states[member][valid[member].any(dim=2)]
        torch.testing.assert_close(head.input_mean[member, 0, 0], frames.mean(dim=0), rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(head.input_sd[member, 0, 0], frames.std(dim=0, unbiased=False), rtol=1e-6, atol=1e-7)
    assert head.known.tolist() == [[True] * 3, [True, True, False]]
    assert head(states)[1, ..., 2].isnan().all() and torch.isfinite(head(states)[0]).all()


def test_a_member_without_a_training_frame_is_an_error():
    valid = torch.ones(2, 1, 4, CHANNELS, dtype=torch.bool)
    valid[1] = False
    for batches in ([], [(random(2, 1, 4, WIDTH), valid)]):
        with pytest.raises(ConfigError, match="no training frame"):
            Mlp(2, WIDTH, CHANNELS).standardise(batches)


REFUSED: dict[str, Callable[[], Bank]] = {
    r"head\.bottleneck=0": lambda: Mlp(1, WIDTH, CHANNELS, bottleneck=0),
    r"head\.kernel=4: expected an odd": lambda: Conv(1, WIDTH, CHANNELS, kernel=4),
    r"head\.dilations=\[1, 0\]": lambda: Conv(1, WIDTH, CHANNELS, dilations=[1, 0]),
    r"head\.depth=0: expected": lambda: Gru(1, WIDTH, CHANNELS, depth=0),
    r"multiple of head\.heads": lambda: Transformer(1, WIDTH, CHANNELS, hidden=10, heads=4),
    r"head\.window=0": lambda: Transformer(1, WIDTH, CHANNELS, window=0),
    r"a nonlinear head of one layer": lambda: Weighted(
        2, WIDTH, CHANNELS, head={"_target_": "tractprobe.ridge.Ridge", "alphas": [1]}
    ),
    r"_target_ os\.system": lambda: Weighted(2, WIDTH, CHANNELS, head={"_target_": "os.system"}),
}


@pytest.mark.parametrize("message", REFUSED)
def test_settings_that_make_no_head_are_refused(message: str):
    with pytest.raises(ConfigError, match=message):
        REFUSED[message]()
