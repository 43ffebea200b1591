"""Waves of unequal length share a pass and are heard as untouched transformers hears each alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from test_encoders import FAMILY, models, save_model, waves  # noqa: F401 (models is a fixture)

from tractprobe.encoders.pretrained import pretrained

LENGTHS = (16000, 9000, 400, 24111, 9000)


def alone(folder: Path, given: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return the states of each wave from a model that nobody has touched, in a pass of its own."""
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    states = []
    for wave in given:
        inputs = extractor(wave.numpy(), sampling_rate=16000, return_tensors="pt")
        inputs.pop("attention_mask", None)
        with torch.no_grad():
            output = model(**inputs, output_hidden_states=True)
        states.append(torch.cat([*output.hidden_states[:-1], output.last_hidden_state]))
    return states


@pytest.mark.parametrize("name", FAMILY)
def test_a_padded_batch_equals_untouched_transformers_wave_by_wave(models: dict[str, Path], name: str):  # noqa: F811
    encoder: Any = pretrained(str(models[name]))
    passes: list[tuple[int, ...]] = []
    encoder.model.register_forward_pre_hook(lambda module, given: passes.append(tuple(given[0].shape)))
    together = encoder(waves(*LENGTHS))
    assert passes == [(5, 24111)]
    for states, expected in zip(together, alone(models[name], waves(*LENGTHS)), strict=True):
        assert states.shape == expected.shape
        assert (states - expected).abs().max() < 1e-4


def test_zeros_behind_a_wave_would_be_heard_by_an_untouched_base_model(models: dict[str, Path]):  # noqa: F811
    """The trap itself, so that the tests above are known to be able to fail."""
    (wave,) = waves(16000)
    padded = torch.nn.functional.pad((wave - wave.mean()) / wave.std(), (0, 16000))
    for name in ("hubert base", "wav2vec2 base", "distilhubert"):
        model = transformers.AutoModel.from_pretrained(models[name]).eval()
        mask = torch.arange(32000)[None] < 16000
        with torch.no_grad():
            states = model(padded[None], attention_mask=mask).last_hidden_state[0, :49]
        assert (states - alone(models[name], [wave])[0][-1]).abs().max() > 0.01


def test_the_same_waves_in_another_order_or_company_are_the_same(models: dict[str, Path]):  # noqa: F811
    encoder = pretrained(str(models["data2vec-audio"]))
    first, second = encoder(waves(12000, 5000)), encoder([waves(12000, 5000)[1], *waves(30000)])
    assert (first[1] - second[0]).abs().max() < 1e-4


def test_w2v_bert_in_a_padded_batch_equals_untouched_transformers(tmp_path: Path):
    folder = save_w2v_bert(tmp_path)
    encoder: Any = pretrained(str(folder))
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    given = waves(16000, 9000, 720, 24111)
    for wave, states in zip(given, encoder(given), strict=True):
        inputs = extractor(wave.numpy(), sampling_rate=16000, return_tensors="pt")
        with torch.no_grad():
            output = model(**inputs, output_hidden_states=True)
        expected = torch.cat([*output.hidden_states[:-1], output.last_hidden_state])
        heard = int(inputs.attention_mask.sum())
        assert states.shape == (4, heard, 32) and heard == encoder.count_frames(len(wave))
        assert (states - expected[:, :heard]).abs().max() < 1e-4


def save_w2v_bert(folder: Path) -> Path:
    torch.manual_seed(0)
    config = transformers.Wav2Vec2BertConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64, conv_depthwise_kernel_size=5,
        output_hidden_size=32,
    )  # fmt: skip
    transformers.Wav2Vec2BertModel(config).save_pretrained(folder)
    transformers.SeamlessM4TFeatureExtractor().save_pretrained(folder)
    return folder


def test_w2v_bert_frames_are_the_centres_of_two_spectra(tmp_path: Path):
    encoder: Any = pretrained(str(save_w2v_bert(tmp_path)))
    assert (encoder.geometry.first, encoder.geometry.stride, encoder.geometry.field) == (279.5, 320, 560)
    assert [encoder.count_frames(length) for length in (559, 560, 879, 880)] == [0, 1, 1, 2]
    wave = torch.full((16000,), 1e-4)
    wave[8000:8800] = torch.sin(2 * torch.pi * 1000 * torch.arange(800) / 16000)
    spectra = encoder.extractor(
        wave.numpy(), sampling_rate=16000, return_tensors="pt", do_normalize_per_mel_bins=False
    ).input_features[0]
    energy = spectra.double().exp().sum(dim=1).numpy()
    assert (energy * encoder.geometry.times_s(49)).sum() / energy.sum() == pytest.approx(8400 / 16000, abs=0.002)


def test_models_with_an_adapter_or_another_filter_bank_are_refused(tmp_path: Path):
    from test_encoders import edit_json

    from tractprobe.system.errors import EncoderError

    folder = save_w2v_bert(tmp_path)
    edit_json(folder / "preprocessor_config.json", stride=1)
    with pytest.raises(EncoderError, match="only pairs of spectra"):
        pretrained(str(folder))
    edit_json(folder / "preprocessor_config.json", stride=2)
    edit_json(folder / "config.json", add_adapter=True)
    with pytest.raises(EncoderError, match=r"adapter|lacks"):
        pretrained(str(folder))


@pytest.mark.parametrize("normalise", [True, False])
def test_normalisation_is_of_each_wave_before_padding(tmp_path: Path, normalise: bool):
    folder = save_model(tmp_path, *FAMILY["wav2vec2 large"], normalise=normalise)
    loud = [wave * 7 + 0.3 for wave in waves(8000, 5000)]
    for one, other in zip(pretrained(str(folder))(loud), pretrained(str(folder))(waves(8000, 5000)), strict=True):
        assert (one - other).abs().max().item() < 1e-3 if normalise else (one - other).abs().max() > 1e-2
