"""Steering: what the layers above make of states to which something was added.

Layer k is the input of block k + 1. One wave is encoded as it is; then its states at layer k are taken in several
copies, something is added to each, and the frozen blocks above are applied to all of them. Nothing below layer k, no
position and no mask changes.

Blocks add what their sub-layers say (attention, feed-forward, convolution) to what they are given. So part of what was
added arrives at later layers whether or not any sub-layer takes notice. That part is computed by itself: the same
passes, in which every sub-layer says what it says when nothing is added, so that only sums and norms respond.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tractprobe.encoders.encoder import Encoder, Wave
from tractprobe.encoders.w2v_bert import W2vBert
from tractprobe.encoders.wav2vec2 import Wav2Vec2
from tractprobe.encoders.whisper import Whisper
from tractprobe.system.errors import EncoderError

_SUB_LAYERS = ("adapter_layer", "attention", "conv_module", "fc2", "feed_forward", "ffn1", "ffn2", "self_attn")
"""What transformers call the modules of a block whose output is added to its input."""


@dataclass(frozen=True, eq=False)
class Steered:
    """A wave's states at the layer where something was added, and at those above.

    Attributes
    ----------
    states
        Each row with something else added.
    passed_on
        The same if every sub-layer said what it says in the first row.
    """

    states: Float[Tensor, "row layer time width"]
    passed_on: Float[Tensor, "row layer time width"]


def blocks_of(encoder: Encoder) -> Sequence[nn.Module]:
    """Return the blocks of an encoder, of which block k makes layer k; none if it has no blocks, or none are known."""
    if isinstance(encoder, Wav2Vec2 | W2vBert):
        return list(encoder.model.encoder.layers)
    return list(encoder.model.layers) if isinstance(encoder, Whisper) else []


@torch.no_grad()
def steered(encoder: Encoder, wave: Wave, layer: int, added: Float[Tensor, "row time width"]) -> Steered:
    """Return a wave's states with something added at a layer, for each row.

    Parameters
    ----------
    added
        What is added to the frames of the wave, 0 where nothing is. Nothing should be in the first row.

    Raises
    ------
    EncoderError
        No block follows the layer, the wave is longer than what the encoder takes at once, or blocks are compiled.
    """
    blocks = blocks_of(encoder)[layer:]
    if not 0 <= layer < encoder.num_layers or not blocks:
        raise EncoderError(f"{encoder.label} has no block above layer {layer} that could be steered")
    if encoder.span is not None and len(wave) > encoder.span:
        raise EncoderError(f"{encoder.label} takes {encoder.span} samples at once, and this wave has {len(wave)}")
    if encoder.identity.get("compiled"):
        raise EncoderError("blocks that are compiled cannot be steered: give model.compiled=false")
    hidden, calls = _calls(encoder, wave, blocks)
    rows, frames = added.shape[:2]
    entering = hidden.repeat(rows, 1, 1)
    entering[:, :frames] += added.to(entering)

    def through() -> Float[Tensor, "row layer time width"]:
        reached = [entering]
        for block, (positional, named) in zip(blocks, calls, strict=True):
            output = block(reached[-1], *positional, **_for_rows(named, rows))
            reached.append(output[0] if isinstance(output, tuple) else output)
        if (norm := _last_norm(encoder)) is not None:
            reached[-1] = norm(reached[-1])
        return torch.stack([each[:, :frames] for each in reached], dim=1).float()

    said: dict[nn.Module, Any] = {}
    with _heard(blocks, said):
        states = through()
    with _repeated(said):
        return Steered(states, through())


def _sub_layers(blocks: Sequence[nn.Module]) -> Iterator[nn.Module]:
    for block in blocks:
        found = [module for name in _SUB_LAYERS if isinstance(module := getattr(block, name, None), nn.Module)]
        assert found, f"{type(block).__name__} has no sub-layer of a known name"
        yield from found


@contextmanager
def _heard(blocks: Sequence[nn.Module], said: dict[nn.Module, Any]) -> Iterator[None]:
    """Within the block, note what sub-layers say, with the first row's in place of every row's."""

    def keep(module: nn.Module, given: Any, output: Any) -> None:
        first, *others = output if isinstance(output, tuple) else (output,)
        alike = first[:1].expand_as(first)
        said[module] = (alike, *others) if isinstance(output, tuple) else alike

    with ExitStack() as hooks:
        for module in _sub_layers(blocks):
            hooks.callback(module.register_forward_hook(keep).remove)
        yield


@contextmanager
def _repeated(said: dict[nn.Module, Any]) -> Iterator[None]:
    """Within the block, let sub-layers say what is noted, whatever they are given."""

    def saying(output: Any) -> Callable[..., Any]:
        return lambda *positional, **named: output

    with ExitStack() as stack:
        for module, output in said.items():
            module.forward = saying(output)
            stack.callback(delattr, module, "forward")
        yield


def _calls(encoder: Encoder, wave: Wave, blocks: Sequence[nn.Module]) -> tuple[Tensor, list[tuple[tuple, dict]]]:
    """Return the states that enter the first of some blocks, and what else each of them is called with."""
    calls: list[tuple[tuple, dict]] = []
    entered: list[Tensor] = []

    def keep(module: nn.Module, positional: tuple, named: dict) -> None:
        named = dict(named)
        entered.append(positional[0] if positional else named.pop("hidden_states"))
        calls.append((positional[1:], named))

    with ExitStack() as hooks:
        for block in blocks:
            hooks.callback(block.register_forward_pre_hook(keep, with_kwargs=True).remove)
        encoder([wave])
    return entered[0].clone(), calls


def _for_rows(named: dict[str, Any], rows: int) -> dict[str, Any]:
    """Return what a block is called with, for as many rows; all but WavLM's positions is the same for every row."""
    positions = named.get("position_bias")  # (row * head, time, time)
    return named if positions is None else named | {"position_bias": positions.repeat(rows, 1, 1)}


def _last_norm(encoder: Encoder) -> nn.Module | None:
    """Return the norm that follows the last block, where a model has one there."""
    model: Any = encoder.model
    if isinstance(encoder, Whisper):
        return model.layer_norm if len(model.layers) == model.config.encoder_layers else None
    stable = getattr(model.config, "do_stable_layer_norm", False) or model.config.model_type == "wav2vec2-conformer"
    return model.encoder.layer_norm if isinstance(encoder, Wav2Vec2) and stable else None
