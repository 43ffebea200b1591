"""What layers make of states to which something was added: known answers in small models, and in a linear one."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_encoders import FAMILY, save_model, waves
from torch import nn

from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.frames import Convolution, FrameGeometry
from tractprobe.encoders.mel import LogMel
from tractprobe.encoders.pretrained import pretrained
from tractprobe.encoders.steering import blocks_of, steered
from tractprobe.encoders.untrained import random_weights, untrained
from tractprobe.encoders.wav2vec2 import Wav2Vec2
from tractprobe.system.errors import EncoderError

WHISPER: dict[str, Any] = {"model_type": "whisper", "d_model": 32, "encoder_layers": 3, "encoder_attention_heads": 2,
                           "encoder_ffn_dim": 64, "num_mel_bins": 80, "max_source_positions": 1500}  # fmt: skip
W2V_BERT: dict[str, Any] = {"model_type": "wav2vec2-bert", "hidden_size": 32, "num_hidden_layers": 3,
                            "num_attention_heads": 2, "intermediate_size": 64}  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("steered")
    return {name: save_model(root / name.replace(" ", "-"), *kind) for name, kind in FAMILY.items()}


ENCODERS: dict[str, Callable[[dict[str, Path]], Encoder]] = {
    "random": lambda models: untrained(layers=3, width=48, channels=16),
    "whisper": lambda models: random_weights("whisper", WHISPER),
    "w2v-bert": lambda models: random_weights("w2v-bert", W2V_BERT),
    **{name: lambda models, name=name: pretrained(str(models[name])) for name in FAMILY},
}


@pytest.fixture(params=ENCODERS)
def encoder(request: pytest.FixtureRequest, models: dict[str, Path]) -> Encoder:
    return ENCODERS[request.param](models)


def test_nothing_added_changes_no_bit_and_something_added_changes_what_follows(encoder: Encoder):
    (wave,) = waves(9000)
    (plain,) = encoder([wave])
    frames = plain.shape[1]
    for layer in range(encoder.num_layers - 1):
        (same,) = steered(encoder, wave, layer, torch.zeros(1, frames, encoder.width))
        assert torch.equal(same, plain[layer:])
        added = torch.zeros(3, frames, encoder.width)
        added[1, 5:8] = added[2, 5:8] = torch.randn(3, encoder.width, generator=torch.Generator().manual_seed(layer))
        rows = steered(encoder, wave, layer, added)
        assert (rows[0] - plain[layer:]).abs().max() < 1e-4  # the rows do not see each other
        assert (rows[1] - rows[2]).abs().max() < 1e-5
        torch.testing.assert_close(rows[1, 0], plain[layer] + added[1], rtol=0, atol=1e-6)
        assert ((rows[1, 1:] - plain[layer + 1 :])[:, 5:8].flatten(1).abs().amax(dim=1) > 1e-3).all()
    assert torch.equal(encoder([wave])[0], plain)  # no hook is left


@pytest.mark.parametrize("name", ["hubert base", "wavlm large", "conformer", "whisper", "w2v-bert"])
def test_layers_above_are_those_of_a_model_whose_block_adds_it(models: dict[str, Path], name: str):
    encoder = ENCODERS[name](models)
    (wave,) = waves(9000)
    frames, shift = encoder.count_frames(len(wave)), torch.randn(encoder.width)
    rows = steered(encoder, wave, 1, shift.expand(2, frames, -1) * torch.tensor([0.0, 1.0])[:, None, None])

    def add(module: nn.Module, given: Any, output: Any) -> Any:
        hidden = (output[0] if isinstance(output, tuple) else output).clone()
        hidden[:, :frames] += shift
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    handle = blocks_of(encoder)[0].register_forward_hook(add)
    (expected,) = encoder([wave])
    handle.remove()
    torch.testing.assert_close(rows[1, 1:], expected[2:], atol=2e-5, rtol=1e-4)


class Times(nn.Module):
    """A block that multiplies by a matrix."""

    def __init__(self, matrix: torch.Tensor):
        super().__init__()
        self.matrix = matrix

    def forward(self, hidden_states: torch.Tensor, attention_mask: Any = None) -> torch.Tensor:
        return hidden_states @ self.matrix


class Linear(Wav2Vec2):
    """An encoder with blocks that multiply by known matrices."""

    def __init__(self, matrices: list[torch.Tensor]):
        Encoder.__init__(self, "linear", len(matrices) + 1, 4, FrameGeometry.of([Convolution(400, 320)]), {})
        self.model = nn.Module()
        self.model.config = SimpleNamespace(model_type="hubert")
        self.model.encoder = nn.Module()
        self.model.encoder.layers = nn.ModuleList(map(Times, matrices))

    def count_frames(self, num_samples: int) -> int:
        return max(0, 1 + (num_samples - 400) // 320)

    def encode(self, waves: Any) -> Any:
        found = []
        for wave in waves:
            states = [wave.unfold(0, 400, 320)[:, :4][None]]
            for block in blocks_of(self):
                states.append(block(states[-1]))
            found.append(torch.cat(states))
        return found


def test_a_linear_model_answers_by_its_matrices():
    generator = torch.Generator().manual_seed(0)
    matrices = [torch.randn(4, 4, generator=generator) for _ in range(3)]
    encoder, (wave,) = Linear(matrices), waves(4000)
    added = torch.randn(2, encoder.count_frames(4000), 4, generator=generator)
    (plain,) = encoder([wave])
    moved = steered(encoder, wave, 1, added) - plain[1:]
    torch.testing.assert_close(moved[:, 0], added, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(moved[:, 1], added @ matrices[1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(moved[:, 2], added @ matrices[1] @ matrices[2], atol=1e-4, rtol=1e-4)


def test_what_has_no_blocks_above_cannot_be_steered():
    (wave,) = waves(8000)
    encoder = untrained(layers=2, width=48, channels=16)
    with pytest.raises(EncoderError, match="no block above layer 2"):
        steered(encoder, wave, 2, torch.zeros(1, 24, 48))
    mel = LogMel()
    assert not blocks_of(mel)
    with pytest.raises(EncoderError, match="no block above layer 0"):
        steered(mel, wave, 0, torch.zeros(1, 24, mel.width))
    encoder.truncate(1)
    assert steered(encoder, wave, 0, torch.zeros(1, 24, 48)).shape[1] == 2
