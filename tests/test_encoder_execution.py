"""Options that trade exactness for speed do what they say, and are the whole model otherwise."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import real
from test_encoder_padding import save_w2v_bert
from test_encoders import FAMILY, models, waves, whisper_folder  # noqa: F401 (fixtures)

from tractprobe.encoders.pretrained import pretrained
from tractprobe.system.errors import ConfigError, EncoderError

LENGTHS = (9000, 16000)


@pytest.fixture(scope="module")
def folders(models: dict[str, Path], whisper_folder: Path, tmp_path_factory: pytest.TempPathFactory):  # noqa: F811
    bert = save_w2v_bert(tmp_path_factory.mktemp("models") / "bert")
    return {**models, "w2v-bert": bert, "whisper": whisper_folder}


@pytest.mark.parametrize("name", [*FAMILY, "w2v-bert", "whisper"])
def test_a_truncated_encoder_returns_the_same_bits(folders: dict[str, Path], name: str):
    whole = pretrained(str(folders[name]))
    expected = whole(waves(*LENGTHS))
    for deepest in range(whole.num_layers - 1):
        cut = pretrained(str(folders[name])).truncate(deepest)
        assert cut.num_layers == deepest + 1 and cut.identity != whole.identity
        assert not cut.train().training
        for states, full in zip(cut(waves(*LENGTHS)), expected, strict=True):
            assert torch.equal(states, full[: deepest + 1])


def test_blocks_behind_the_deepest_layer_are_gone(models: dict[str, Path]):  # noqa: F811
    encoder: Any = pretrained(str(models["hubert large"]))
    before = dict(encoder.identity)
    assert encoder.truncate(3) is encoder and len(encoder.model.encoder.layers) == 3 and encoder.identity == before
    encoder.truncate(1)
    assert len(encoder.model.encoder.layers) == 1
    for deepest in (-1, 2):
        with pytest.raises(EncoderError, match="layers 0 to 1"):
            encoder.truncate(deepest)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["hubert base", "wavlm large", "data2vec-audio", "conformer", "w2v-bert", "whisper"])
def test_half_precision_is_near_and_named(folders: dict[str, Path], name: str, dtype: str):
    exact, fast = pretrained(str(folders[name])), pretrained(str(folders[name]), dtype=dtype)
    assert fast.identity == exact.identity | {"dtype": dtype}
    assert {parameter.dtype for parameter in fast.parameters()} == {getattr(torch, dtype)}
    for states, expected in zip(fast(waves(*LENGTHS)), exact(waves(*LENGTHS)), strict=True):
        assert states.dtype == torch.float32 and states.shape == expected.shape
        error = ((states - expected).norm() / expected.norm()).item()
        assert 0 < error < (0.1 if dtype == "bfloat16" else 0.02)


def test_an_unknown_number_format_is_named(models: dict[str, Path]):  # noqa: F811
    with pytest.raises(ConfigError, match=r"model\.dtype=float8: expected one of float32, bfloat16, float16"):
        pretrained(str(models["hubert base"]), dtype="float8")


@pytest.mark.parametrize("name", ["hubert large", "w2v-bert", "whisper"])
def test_compiled_blocks_are_called_and_change_nothing_else(
    folders: dict[str, Path], name: str, monkeypatch: pytest.MonkeyPatch
):
    """What the compiler does is its own matter; that each block goes through it once, and hooks still work, is ours."""
    compiled: list[dict[str, Any]] = []

    def pretend(function: Any, **options: Any) -> Any:
        compiled.append(options)
        return function

    monkeypatch.setattr(torch, "compile", pretend)
    plain, fast = pretrained(str(folders[name])), pretrained(str(folders[name]), compiled=True)
    assert len(compiled) == fast.num_layers - 1 and fast.identity == plain.identity | {"compiled": True}
    for states, expected in zip(fast(waves(*LENGTHS)), plain(waves(*LENGTHS)), strict=True):
        assert torch.equal(states, expected)


def test_less_silence_behind_a_wave_leaves_layer_0_alone_and_changes_the_rest(whisper_folder: Path):  # noqa: F811
    whole, all_of_it, some = (pretrained(str(whisper_folder), silence_s=silence) for silence in (None, 30.0, 0.5))
    assert some.identity == whole.identity | {"silence_s": 0.5}
    for given in (waves(40001), waves(512_000)):
        (expected,), (same,), (states,) = whole(given), all_of_it(given), some(given)
        assert torch.equal(same, expected) and states.shape == expected.shape
        assert torch.equal(states[0], expected[0])
    (expected,), (states,) = whole(waves(40001)), some(waves(40001))
    assert not torch.allclose(states[1], expected[1], atol=1e-6)


def test_silence_is_for_whisper_and_not_negative(folders: dict[str, Path]):
    with pytest.raises(EncoderError, match=r"model\.silence_s is only for Whisper"):
        pretrained(str(folders["hubert base"]), silence_s=1.0)
    with pytest.raises(ConfigError, match=r"model\.silence_s=-1"):
        pretrained(str(folders["whisper"]), silence_s=-1.0)


def test_real_whisper_with_a_second_of_silence_and_in_half_precision():
    """Figures for a noise of 3 s; benchmarks/encoders.py measures speech."""
    folder = str(real("TRACTPROBE_MODELS", "whisper-tiny.en-encoder"))
    (exact,) = pretrained(folder)(waves(48000))
    for options, limit in (({"silence_s": 1.0}, 0.5), ({"dtype": "bfloat16"}, 0.1), ({"dtype": "float16"}, 0.01)):
        (states,) = pretrained(folder, **options)(waves(48000))
        error = ((states - exact).norm(dim=(1, 2)) / exact.norm(dim=(1, 2))).max().item()
        assert error < limit, options
