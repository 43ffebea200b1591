"""What layers make of states to which something was added: known answers in small models, and in a linear one."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
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
from tractprobe.evidence.analyses.steering import Steering
from tractprobe.evidence.conduct import conducted
from tractprobe.evidence.methods.erasure import StateSpace
from tractprobe.evidence.methods.steered import PATTERN, WEIGHTS, ReadOuts, dealt, moves
from tractprobe.evidence.record import Evidence
from tractprobe.runs.configuration import plain
from tractprobe.runs.settings import Settings
from tractprobe.system.errors import ConfigError, EncoderError

WHISPER: dict[str, Any] = {
    "model_type": "whisper", "d_model": 32, "encoder_layers": 3, "encoder_attention_heads": 2, "encoder_ffn_dim": 64,
    "num_mel_bins": 80, "decoder_attention_heads": 2, "decoder_layers": 1,
}  # fmt: skip
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
        same = steered(encoder, wave, layer, torch.zeros(1, frames, encoder.width))
        assert torch.equal(same.states[0], plain[layer:]) and torch.equal(same.passed_on[0], plain[layer:])
        added = torch.zeros(3, frames, encoder.width)
        added[1, 5:8] = added[2, 5:8] = torch.randn(3, encoder.width, generator=torch.Generator().manual_seed(layer))
        found = steered(encoder, wave, layer, added)
        rows = found.states
        assert (found.passed_on[0] - plain[layer:]).abs().max() < 1e-4
        assert (found.passed_on[1] - rows[1])[1:].abs().max() > 1e-3
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
    rows = steered(encoder, wave, 1, shift.expand(2, frames, -1) * torch.tensor([0.0, 1.0])[:, None, None]).states

    def add(module: nn.Module, given: Any, output: Any) -> Any:
        hidden = (output[0] if isinstance(output, tuple) else output).clone()
        hidden[:, :frames] += shift
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    handle = blocks_of(encoder)[0].register_forward_hook(add)
    (expected,) = encoder([wave])
    handle.remove()
    torch.testing.assert_close(rows[1, 1:], expected[2:], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["hubert large", "wavlm large", "whisper", "hubert base"])
def test_what_is_passed_on_is_what_sums_and_norms_make_of_it(models: dict[str, Path], name: str):
    """Norms within blocks: the stream carries it unchanged. Norms between blocks: they see it."""
    encoder: Any = ENCODERS[name](models)
    (wave,) = waves(9000)
    frames = encoder.count_frames(len(wave))
    added = torch.zeros(2, frames, encoder.width)
    added[1] = torch.randn(encoder.width, generator=torch.Generator().manual_seed(0))
    found = steered(encoder, wave, 1, added)
    said: list[torch.Tensor] = []
    block = blocks_of(encoder)[1]
    sub_layers = [block.self_attn, block.fc2] if name == "whisper" else [block.attention, block.feed_forward]
    for module in sub_layers:
        module.register_forward_hook(
            lambda _, given, output: said.append((output[0] if isinstance(output, tuple) else output)[0, :frames])
        )
    (plain,) = encoder([wave])
    expected = plain[1] + added[1]
    if name == "hubert base":
        expected = block.final_layer_norm(block.layer_norm(expected + said[0]) + said[1])
    else:
        expected = expected + said[0] + said[1]
        torch.testing.assert_close(expected, plain[2] + added[1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.passed_on[1, 1], expected, atol=1e-4, rtol=1e-4)


class Times(nn.Module):
    """A block that multiplies by a matrix: what it is given, and a sub-layer that adds the rest."""

    def __init__(self, matrix: torch.Tensor):
        super().__init__()
        self.attention = nn.Linear(4, 4, bias=False)
        self.attention.weight.data = matrix.T - torch.eye(4)

    def forward(self, hidden_states: torch.Tensor, attention_mask: Any = None) -> torch.Tensor:
        return hidden_states + self.attention(hidden_states)


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
    added[0] = 0
    found = steered(encoder, wave, 1, added)
    moved = found.states - plain[1:]
    torch.testing.assert_close(found.passed_on - plain[1:], added[:, None].expand(2, 3, -1, -1), atol=1e-4, rtol=1e-4)
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
    assert steered(encoder, wave, 0, torch.zeros(1, 24, 48)).states.shape[1] == 2


def read_outs(layer: int, matrices: list[torch.Tensor]) -> ReadOuts:
    """Two read-outs at a layer of the linear model, and heads above that read what blocks make of their weights."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(500, 4, generator=generator, dtype=torch.float64) @ torch.randn(4, 4, generator=generator).double()
    space = StateSpace.of(500, x.sum(dim=0), x.T @ x)
    weight = torch.randn(4, 2, generator=generator).double()
    later = torch.randn(len(matrices) - layer, 4, 2, generator=generator).double()
    phones = torch.randn(len(matrices) - layer, 4, 3, generator=generator).double()
    return ReadOuts(layer, ("tt_y", "ll_y"), space, weight, later, phones, torch.randn(3, 2).double())


def test_vectors_move_a_read_out_by_its_deviation_and_weights_are_the_shortest():
    given = read_outs(0, [torch.eye(4)])
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(500, 4, generator=generator, dtype=torch.float64) @ torch.randn(4, 4, generator=generator).double()
    torch.testing.assert_close(given.deviation, (x @ given.weight).std(dim=0, correction=0))
    for kind in (PATTERN, WEIGHTS):
        vectors = given.vectors(kind)
        torch.testing.assert_close((vectors * given.weight.T).sum(dim=1), given.deviation)
        drawn = given.drawn(kind, np.random.default_rng(0))
        torch.testing.assert_close(torch.linalg.vector_norm(drawn, dim=1), torch.linalg.vector_norm(vectors, dim=1))
    lengths = [torch.linalg.vector_norm(given.vectors(kind), dim=1) for kind in (WEIGHTS, PATTERN)]
    assert (lengths[0] <= lengths[1]).all()
    # The pattern is the regression of states on the read-out (Haufe et al. 2014).
    y = (x - x.mean(dim=0)) @ given.weight
    slope = y.T @ (x - x.mean(dim=0)) / y.square().sum(dim=0)[:, None]
    torch.testing.assert_close(given.vectors(PATTERN), slope * given.deviation[:, None])


def test_random_vectors_have_the_covariance_of_states():
    given = read_outs(0, [torch.eye(4)])
    drawn = torch.cat([given.drawn(WEIGHTS, np.random.default_rng(seed))[:1] for seed in range(3000)])
    drawn = drawn / torch.linalg.vector_norm(drawn, dim=1, keepdim=True)
    space = given.space
    states = torch.randn(30000, space.width, dtype=torch.float64) * space.values.sqrt() @ space.vectors.T
    states = states * space.deviation
    states = states / torch.linalg.vector_norm(states, dim=1, keepdim=True)
    torch.testing.assert_close(drawn.T @ drawn / 3000, states.T @ states / 30000, atol=0.03, rtol=0)


def test_later_read_outs_of_a_linear_model_move_by_what_its_matrices_say():
    generator = torch.Generator().manual_seed(0)
    matrices = [torch.randn(4, 4, generator=generator) for _ in range(3)]
    encoder, given = Linear(matrices), read_outs(1, matrices)
    (wave,) = waves(40000)
    times_s = encoder.geometry.times_s(encoder.count_frames(len(wave)))
    found = list(moves(encoder, wave, times_s, given, [0.5, 2.0], 0.2, 0.6, np.random.default_rng(0)))
    assert len(found) == 8 and {move.strength_sd for move in found} == {0.5, 2.0}
    own = [move for move in found if not move.is_random]
    assert {(move.kind, move.channel) for move in own} == {(kind, c) for kind in (PATTERN, WEIGHTS) for c in (0, 1)}
    for move in own:
        vector = given.vectors(move.kind)[move.channel]
        at_once = vector @ given.weight / given.deviation[move.channel]
        np.testing.assert_allclose(move.at_once, at_once)
        assert move.at_once[move.channel] == pytest.approx(1)
        for later, passed in enumerate((matrices[1], matrices[1] @ matrices[2])):
            at = vector @ passed.double()
            expected = (at @ given.later[later]) / given.deviation[move.channel]
            np.testing.assert_allclose(move.slopes[later], expected, rtol=1e-3, atol=1e-4)
            alone = (vector @ given.later[later]) / given.deviation[move.channel]
            np.testing.assert_allclose(move.passed_on[later], alone, rtol=1e-3, atol=1e-4)
            phones = (at @ given.phones[later]) / given.deviation[move.channel]
            assert move.phones[later] == pytest.approx(float(phones.square().mean().sqrt()), rel=1e-3)
            r = np.corrcoef(phones, given.of_phones[:, move.channel])[0, 1]
            assert move.follow[later] == pytest.approx(r, abs=1e-3)


def test_each_vector_is_dealt_once_and_the_first_row_is_left_alone():
    for count, windows in ((24, 5), (3, 7), (8, 1)):
        places = dealt(count, windows, np.random.default_rng(0))
        assert (places[0] == -1).all() and places.shape == (1 + -(-count // windows), windows)
        assert sorted(places[places >= 0]) == list(range(count))
    assert not list(moves(Linear([torch.eye(4)]), waves(4000)[0], np.arange(12) / 50, read_outs(0, [torch.eye(4)]),
                          [1.0], 0.2, 0.6, np.random.default_rng(0)))  # fmt: skip


def conduct(configure: Callable[..., Any], *overrides: str) -> Evidence:
    settings = Settings.of(plain(configure("study=steering", "head.alphas=[1.0,100.0]", *overrides)))
    return conducted(settings).evidence


def test_the_analysis_finds_what_an_encoder_of_blocks_passes_on(configure: Callable[..., Any]):
    small = ["model=random", "model.layers=3", "model.width=32", "model.heads=2", "model.channels=16"]
    evidence = conduct(configure, *small, "analysis.utterances=9", "analysis.every_s=0.4")
    names = [finding.name for finding in evidence.findings]
    assert names[:6] == ["steering_gain", "steering_specificity", "steering_beyond_carried", "steering_response",
                         "steering_phones", "steering_phones_follow"]  # fmt: skip
    gain = evidence.finding("steering_gain")
    assert gain is not None and gain.value is not None and gain.n == {"speakers": 3, "languages": 3}
    assert {part.name for part in gain.by if part.kind == "layer"} == {"2", "3"}
    of_two_phones = [finding for finding in evidence.findings if "follow" in finding.name]
    assert [finding for finding in evidence.findings if finding.value is None] == of_two_phones  # no correlation
    assert gain.value > 0  # blocks with small random weights pass on what they are given
    slopes = next(table for table in evidence.tables if table.name == "slopes")
    own = [row for row in slopes.rows if row["added"] == row["read"]]
    assert all(row["at_once"] == pytest.approx(1) for row in own)
    assert "9 utterances were steered at layer 1" in evidence.caveats[-1]


def test_an_encoder_without_blocks_is_told_so(configure: Callable[..., Any]):
    evidence = conduct(configure, "model=mel_frame")
    assert {finding.value for finding in evidence.findings} == {None}
    assert all("it does not apply" in finding.says for finding in evidence.findings)


def test_layers_that_cannot_be_steered_are_refused(configure: Callable[..., Any]):
    small = ["model=random", "model.layers=2", "model.width=32", "model.heads=2", "model.channels=16"]
    with pytest.raises(ConfigError, match=r"analysis.layer=2: expected one of"):
        conduct(configure, *small, "analysis.layer=2")
    with pytest.raises(ConfigError, match="window_s"):
        Steering(window_s=0.7)
