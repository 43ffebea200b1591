import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from conftest import real
from safetensors.torch import load_file, save_file

from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.mel import LogMel
from tractprobe.encoders.pretrained import pretrained
from tractprobe.encoders.untrained import untrained
from tractprobe.system.errors import ConfigError, EncoderError

SMALL: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64, "conv_dim": (16,) * 7,
    "num_conv_pos_embedding_groups": 4, "num_conv_pos_embeddings": 16,
}  # fmt: skip
BASE = {"feat_extract_norm": "group", "do_stable_layer_norm": False}
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
FAMILY: dict[str, tuple[str, dict[str, Any]]] = {
    "hubert base": ("Hubert", BASE),
    "hubert large": ("Hubert", LARGE),
    "wav2vec2 base": ("Wav2Vec2", BASE),
    "wav2vec2 large": ("Wav2Vec2", LARGE),
    "wavlm base": ("WavLM", BASE),
    "wavlm large": ("WavLM", LARGE),
    "unispeech-sat base": ("UniSpeechSat", BASE),
    "unispeech-sat large": ("UniSpeechSat", LARGE),
    "distilhubert": ("Hubert", BASE | {"feat_proj_layer_norm": False}),
    "mms asr": ("Wav2Vec2", LARGE | {"adapter_attn_dim": 4}),
    "hubert, batch norm": ("Hubert", LARGE | {"conv_pos_batch_norm": True}),
    "data2vec-audio": ("Data2VecAudio", {"conv_pos_kernel_size": 5, "num_conv_pos_embeddings": 3}),
    "conformer": ("Wav2Vec2Conformer", {"conv_depthwise_kernel_size": 5}),
}


def save_model(folder: Path, kind: str, more: dict[str, Any], *, normalise: bool = True) -> Path:
    """Write a small model of the family with random weights, as a download would lie there."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**SMALL | more)
    model = getattr(transformers, f"{kind}Model")(config)
    for module in model.modules():  # as after training: nothing that is zero by chance or by symmetry
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(), module.running_var.uniform_(0.5, 2), module.bias.data.normal_()
        elif isinstance(module, (torch.nn.LayerNorm, torch.nn.GroupNorm)) and module.bias is not None:
            module.weight.data.uniform_(0.5, 1.5), module.bias.data.normal_(std=0.3)
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=normalise, return_attention_mask=True).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: save_model(root / name.replace(" ", "-"), *kind) for name, kind in FAMILY.items()}


def waves(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(length, generator=generator) * 0.1 + 0.02 for length in lengths]


ENCODERS: dict[str, Callable[[dict[str, Path]], Encoder]] = {
    "mel": lambda models: LogMel(),
    "random": lambda models: untrained(layers=2, width=48, channels=16),
    **{name: lambda models, name=name: pretrained(str(models[name])) for name in FAMILY},
}


@pytest.fixture(params=ENCODERS)
def encoder(request: pytest.FixtureRequest, models: dict[str, Path]) -> Encoder:
    return ENCODERS[request.param](models)


def test_states_have_the_promised_shape(encoder: Encoder):
    lengths = (16000, 16080, 400, 719, 720, 33333)
    for wave, states in zip(waves(*lengths), encoder(waves(*lengths)), strict=True):
        assert states.shape == (encoder.num_layers, encoder.count_frames(len(wave)), encoder.width)
        assert torch.isfinite(states).all()
    assert [encoder.count_frames(length) for length in (399, 400, 16000, 16080)] == [0, 1, 49, 50]
    assert encoder.geometry.first == 199.5 and encoder.geometry.stride == 320


def test_a_wave_is_blind_to_its_batch(encoder: Encoder):
    together = encoder(waves(16000, 9000, 400, 24111))
    for wave, states in zip(waves(16000, 9000, 400, 24111), together, strict=True):
        (alone,) = encoder([wave])
        assert (states - alone).abs().max() < 1e-4


def test_order_does_not_matter(encoder: Encoder):
    forwards, backwards = encoder(waves(8000, 12000)), encoder(waves(8000, 12000)[::-1])
    for one, other in zip(forwards, backwards[::-1], strict=True):
        assert (one - other).abs().max() < 1e-4


def test_frozen_means_eval_whatever_the_trainer_asks_for(encoder: Encoder):
    encoder.train()
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    first, second = encoder(waves(16000)), encoder(waves(16000))
    assert torch.equal(first[0], second[0]) and not first[0].requires_grad


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("normalise", [True, False])
def test_equal_to_untouched_transformers_on_single_waves(tmp_path: Path, name: str, normalise: bool):
    kind, more = FAMILY[name]
    folder = str(save_model(tmp_path, kind, more, normalise=normalise))
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    (wave,) = waves(13000)
    with torch.no_grad():
        values = extractor(wave.numpy(), sampling_rate=16000, return_tensors="pt").input_values
        output = model(values, output_hidden_states=True)
    (states,) = pretrained(folder)([wave])
    for layer in range(len(output.hidden_states) - 1):
        torch.testing.assert_close(states[layer], output.hidden_states[layer][0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(states[-1], output.last_hidden_state[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", FAMILY)
def test_layer_0_enters_block_1_and_the_last_layer_is_behind_the_last_norm(models: dict[str, Path], name: str):
    encoder: Any = pretrained(str(models[name]))
    seen: dict[str, torch.Tensor] = {}
    blocks = encoder.model.encoder.layers

    def keep_input(module: Any, positional: tuple, keyword: dict) -> None:
        seen["input"] = (positional or tuple(keyword.values()))[0]

    blocks[0].register_forward_pre_hook(keep_input, with_kwargs=True)
    for index, block in enumerate(blocks, start=1):
        block.register_forward_hook(lambda module, given, output, index=index: seen.update({f"block {index}": output}))
    (states,) = encoder(waves(8000))
    outputs = {
        key: (value[0] if isinstance(value, tuple) else value)[0] for key, value in seen.items() if key != "input"
    }
    torch.testing.assert_close(states[0], seen["input"][0])
    for index in range(1, len(blocks)):
        torch.testing.assert_close(states[index], outputs[f"block {index}"])
    normed_last = getattr(encoder.model.config, "do_stable_layer_norm", False) or name == "conformer"
    final = outputs[f"block {len(blocks)}"]
    torch.testing.assert_close(states[-1], encoder.model.encoder.layer_norm(final) if normed_last else final)


def test_log_mel_hears_a_tone_in_its_band_at_its_time():
    encoder = LogMel(context=0)
    wave = torch.zeros(16000)
    wave[8000:8800] = torch.sin(2 * torch.pi * 1000 * torch.arange(800) / 16000)
    (states,) = encoder([wave])
    energy = states[0].exp().sum(dim=1).numpy()
    assert (energy * encoder.geometry.times_s(49)).sum() / energy.sum() == pytest.approx(8400 / 16000, abs=0.002)
    loudest = energy.argmax()
    mel = lambda hz: 15 + 27 * np.log(hz / 1000) / np.log(6.4)  # noqa: E731
    assert abs(states[0, loudest].argmax().item() + 1 - 81 * mel(1000) / mel(8000)) < 2


def test_log_mel_context_is_its_neighbours_and_the_edges_are_repeated():
    plain, stacked = LogMel(context=0), LogMel(context=2)
    (one,), (five,) = plain(waves(6000)), stacked(waves(6000))
    padded = torch.cat([one[0][:1], one[0][:1], one[0], one[0][-1:], one[0][-1:]])
    expected = torch.stack([padded[k : k + 5].flatten() for k in range(one.shape[1])])
    torch.testing.assert_close(five[0], expected)


def test_random_weights_are_the_same_for_the_same_seed():
    one, same, other = (untrained(seed=seed, layers=1, width=48, channels=16) for seed in (0, 0, 1))
    assert one.identity == same.identity != other.identity
    assert torch.equal(one(waves(4000))[0], same(waves(4000))[0])


def test_a_model_beyond_any_memory_is_refused_before_it_is_drawn():
    with pytest.raises(EncoderError, match=r"a model of 5\.\de\+11 weights; at most 4e\+09"):
        untrained(layers=100, width=65536 // 3 // 48 * 48, heads=8)


def test_random_weights_leave_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    untrained(layers=1, width=48, channels=16)
    assert torch.equal(torch.rand(3), expected)


def test_blocks_of_the_random_control_change_what_passes():
    (states,) = untrained()(waves(16000))
    steps = [(states[k + 1] - states[k]).norm() / states[k].norm() for k in range(len(states) - 1)]
    assert min(steps) > 0.1


def test_identity_follows_the_weights_and_not_the_place(models: dict[str, Path], tmp_path: Path):
    copied = shutil.copytree(models["hubert base"], tmp_path / "elsewhere")
    assert pretrained(str(copied)).identity == pretrained(str(models["hubert base"])).identity
    weights = load_file(copied / "model.safetensors")
    weights["encoder.layers.0.final_layer_norm.bias"][0] += 1e-3
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    assert pretrained(str(copied)).identity != pretrained(str(models["hubert base"])).identity


def test_identity_follows_the_settings_that_change_the_output_without_changing_weights(
    models: dict[str, Path], tmp_path: Path
):
    original = pretrained(str(models["hubert base"]))
    changed = shutil.copytree(models["hubert base"], tmp_path / "changed")
    edit_config(changed, layer_norm_eps=0.1)
    assert pretrained(str(changed)).identity != original.identity
    preprocessor = shutil.copytree(models["hubert base"], tmp_path / "preprocessor")
    edit_json(preprocessor / "preprocessor_config.json", do_normalize=False)
    assert pretrained(str(preprocessor)).identity != original.identity


@pytest.mark.parametrize("wrong", [{"layers": 0}, {"width": 50}, {"heads": 3}, {"channels": 0}])
def test_an_impossible_random_model_says_what_is_possible(wrong: dict[str, int]):
    with pytest.raises(ConfigError, match="multiple of"):
        untrained(**wrong)


def test_a_hub_that_cannot_be_reached_is_one_error_with_a_way_out():
    with pytest.raises(EncoderError) as error:
        pretrained("facebook/hubert-base-ls960")
    for part in (
        "facebook/hubert-base-ls960",
        "/huggingface",
        "hf download",
        "model=hub model.name=models/facebook--hubert-base-ls960",
    ):
        assert part in str(error.value)


def only_pickle(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def edit_config(folder: Path, **changes: Any) -> None:
    edit_json(folder / "config.json", **changes)


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_normalisation_may_be_given_where_no_preprocessor_is(tmp_path: Path):
    folder = save_model(tmp_path / "model", "Hubert", BASE)
    (wave,) = waves(8000)
    expected = pretrained(str(folder))([wave])[0]
    (folder / "preprocessor_config.json").unlink()
    assert torch.equal(pretrained(str(folder), normalise=True)([wave])[0], expected)
    assert not torch.allclose(pretrained(str(folder), normalise=False)([wave])[0], expected, atol=1e-3)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a/b/c"])
def test_a_folder_that_is_not_there_is_not_sought_on_the_hub(name: str):
    with pytest.raises(EncoderError, match="no such folder"):
        pretrained(name)


def test_a_wave_shorter_than_a_frame_is_named():
    with pytest.raises(EncoderError, match="399 samples"):
        untrained(layers=1, width=48, channels=16)(waves(399))


@pytest.fixture(scope="module")
def whisper_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "whisper"
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=32, decoder_layers=1,
        decoder_attention_heads=2, decoder_ffn_dim=32, vocab_size=60, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=3,
    )  # fmt: skip
    transformers.WhisperModel(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor().save_pretrained(folder)
    return folder


def test_whisper_equals_transformers_and_drops_the_padding(whisper_folder: Path):
    encoder: Any = pretrained(str(whisper_folder))
    (wave,) = waves(40001)
    model = transformers.AutoModel.from_pretrained(whisper_folder).encoder.eval()
    mel = transformers.WhisperFeatureExtractor()(wave.numpy(), sampling_rate=16000, return_tensors="pt").input_features
    with torch.no_grad():
        output = model(mel, output_hidden_states=True)
    (states,) = encoder([wave])
    assert states.shape == (3, 126, 16) and encoder.count_frames(40001) == 126
    expected = torch.stack([*output.hidden_states[:2], output.last_hidden_state])[:, 0, :126]
    torch.testing.assert_close(states, expected, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(encoder.geometry.times_s(3), [0, 0.02, 0.04])


def test_whisper_hears_long_waves_window_by_window(whisper_folder: Path):
    encoder = pretrained(str(whisper_folder))
    (wave,) = waves(480_000 + 32_000)
    (states,) = encoder([wave])
    assert states.shape[1] == 1600
    torch.testing.assert_close(states[:, :1500], encoder([wave[:480_000]])[0])
    torch.testing.assert_close(states[:, 1500:], encoder([wave[480_000:]])[0])


def test_real_whisper_frames_sit_where_a_click_is_heard():
    encoder = pretrained(str(real("TRACTPROBE_MODELS", "whisper-tiny.en-encoder")))
    assert (encoder.num_layers, encoder.width) == (5, 384)
    noise = waves(32000)[0]  # loud enough that the click does not move the floor of the whole spectrogram
    click = noise.clone()
    click[16000] += 1.0
    change = (encoder([click])[0][0] - encoder([noise])[0][0]).norm(dim=1).numpy()
    near = slice(45, 56)
    times_s = encoder.geometry.times_s(100)
    assert (change[near] * times_s[near]).sum() / change[near].sum() == pytest.approx(1.0, abs=0.004)


def test_real_hubert_frames_sit_where_a_click_is_heard():
    encoder = untrained(layers=1, width=48, channels=32)
    silence = 1e-3 * waves(32000)[0]
    click = silence.clone()
    click[16000] += 1.0
    # Behind the convolutions, before positions are mixed in.
    heard = lambda wave: encoder.model.feature_extractor(wave[None])[0]  # noqa: E731
    change = (heard(click) - heard(silence)).norm(dim=0)
    inside = np.abs(encoder.geometry.times_s(len(change)) - 1.0) <= 200 / 16000
    assert change[inside].mean() > 3 * change[~inside].mean()
