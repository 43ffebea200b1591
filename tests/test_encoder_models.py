"""What conf/model says of each model agrees with its architecture, and does not get in the way of anything."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml
from test_config import composed
from test_encoders import BASE, save_model, waves

from tractprobe.encoders.pretrained import pretrained
from tractprobe.encoders.untrained import random_weights
from tractprobe.runs.building import build
from tractprobe.runs.configuration import conf_dir
from tractprobe.runs.identity import RunId
from tractprobe.system.errors import ConfigError, EncoderError

WIDE: dict[str, Any] = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
                        "intermediate_size": 4096}  # fmt: skip
HUGE: dict[str, Any] = {"hidden_size": 1280, "num_hidden_layers": 48, "num_attention_heads": 16,
                        "intermediate_size": 5120}  # fmt: skip
STABLE: dict[str, Any] = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
BIAS: dict[str, Any] = {"conv_bias": True}


def name_of(settings: dict[str, Any]) -> str:
    return RunId.of(settings).name


def whisper(width: int, layers: int, heads: int, bands: int = 80) -> dict[str, Any]:
    return {
        "model_type": "whisper", "d_model": width, "encoder_layers": layers, "encoder_attention_heads": heads,
        "encoder_ffn_dim": 4 * width, "num_mel_bins": bands,
    }  # fmt: skip


# As in each model's config.json on the Hub; what is left out is that type's default in transformers.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "wav2vec2_base": {"model_type": "wav2vec2"},
    "wav2vec2_base_960h": {"model_type": "wav2vec2"},
    "wav2vec2_large": {"model_type": "wav2vec2", **WIDE},
    "wav2vec2_large_lv60": {"model_type": "wav2vec2", **WIDE, **STABLE, **BIAS},
    "hubert_base": {"model_type": "hubert"},
    "hubert_large": {"model_type": "hubert", **WIDE, **STABLE, **BIAS},
    "hubert_xlarge": {"model_type": "hubert", **HUGE, **STABLE, **BIAS},
    "distilhubert": {"model_type": "hubert", "num_hidden_layers": 2, "feat_proj_layer_norm": False},
    "mhubert_147": {"model_type": "hubert"},
    "wavlm_base": {"model_type": "wavlm"},
    "wavlm_base_plus": {"model_type": "wavlm"},
    "wavlm_large": {"model_type": "wavlm", **WIDE, **STABLE},
    "data2vec_audio_base": {"model_type": "data2vec-audio"},
    "data2vec_audio_large": {"model_type": "data2vec-audio", **WIDE},
    "unispeech_sat_base": {"model_type": "unispeech-sat"},
    "unispeech_sat_large": {"model_type": "unispeech-sat", **WIDE, **STABLE},
    "xlsr_53": {"model_type": "wav2vec2", **WIDE, **STABLE, **BIAS},
    "xls_r_300m": {"model_type": "wav2vec2", **WIDE, **STABLE, **BIAS},
    "xls_r_1b": {"model_type": "wav2vec2", **HUGE, **STABLE, **BIAS},
    "mms_300m": {"model_type": "wav2vec2", **WIDE, **STABLE, **BIAS},
    "mms_1b": {"model_type": "wav2vec2", **HUGE, **STABLE, **BIAS},
    "mms_1b_all": {"model_type": "wav2vec2", **HUGE, **STABLE, **BIAS, "adapter_attn_dim": 16},
    "mms_1b_fl102": {"model_type": "wav2vec2", **HUGE, **STABLE, **BIAS, "adapter_attn_dim": 16},
    "w2v_bert_2": {"model_type": "wav2vec2-bert"},
    "whisper_tiny": whisper(384, 4, 6),
    "whisper_base": whisper(512, 6, 8),
    "whisper_small": whisper(768, 12, 12),
    "whisper_medium": whisper(1024, 24, 16),
    "whisper_large": whisper(1280, 32, 20),
    "whisper_large_v2": whisper(1280, 32, 20),
    "whisper_large_v3": whisper(1280, 32, 20, bands=128),
}
ARCHITECTURES |= {f"{name}_en": ARCHITECTURES[name] for name in ("whisper_tiny", "whisper_base", "whisper_small",
                                                                 "whisper_medium")}  # fmt: skip
"""Keys are the options of model= that read weights."""

FIELDS = ["training", "licence", "layers", "width", "parameters_m", "languages", "hours", "labelled_hours"]


def options() -> dict[str, dict[str, Any]]:
    return {path.stem: yaml.safe_load(path.read_text()) for path in sorted((conf_dir() / "model").glob("*.yaml"))}


def size(architecture: Mapping[str, Any]) -> tuple[int, int, float]:
    """Return blocks, width and millions of parameters of a model that is never filled with numbers."""
    config = transformers.AutoConfig.for_model(**architecture)
    with torch.device("meta"):
        is_whisper = architecture["model_type"] == "whisper"
        model = (
            transformers.models.whisper.modeling_whisper.WhisperEncoder(config)
            if is_whisper
            else transformers.AutoModel.from_config(config)
        )
    layers = model.layers if is_whisper else model.encoder.layers
    width = config.d_model if is_whisper else config.hidden_size
    return len(layers), width, sum(parameter.numel() for parameter in model.parameters()) / 1e6


def test_every_model_that_is_downloaded_is_in_the_table_and_the_other_way_round():
    downloaded = {name for name, node in options().items() if "name" in node and name != "hub"}
    assert downloaded == set(ARCHITECTURES)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_stated_sizes_are_those_of_the_architecture(name: str):
    about = options()[name]["about"]
    layers, width, parameters_m = size(ARCHITECTURES[name])
    assert (about["layers"], about["width"]) == (layers, width)
    assert about["parameters_m"] == pytest.approx(parameters_m, abs=0.05)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, node in options().items()
        if node["_target_"].endswith("random_weights") and name != "small_hubert"
    ],
)
def test_random_controls_have_the_architecture_they_name(name: str):
    node = options()[name]
    twin = name.removeprefix("random_")
    assert node["architecture"] == ARCHITECTURES[twin]
    assert node["about"]["training"] == "none" and node["about"]["hours"] == 0
    for field in ("layers", "width", "parameters_m"):
        assert node["about"][field] == options()[twin]["about"][field]


def test_what_pretraining_begins_with_has_the_size_it_states():
    node = options()["small_hubert"]
    layers, width, parameters_m = size(node["architecture"])
    assert (node["about"]["layers"], node["about"]["width"]) == (layers, width)
    assert node["about"]["parameters_m"] == pytest.approx(parameters_m, abs=0.05) and 2 <= parameters_m <= 8


def test_every_model_states_the_same_covariates():
    for name, node in options().items():
        if name in ("hub", "features"):  # of which nothing is known beforehand
            assert node["about"] is None
            continue
        about = node["about"]
        assert list(about) == FIELDS, name
        assert about["training"] in ("self-supervised", "supervised", "both", "none")
        assert isinstance(about["languages"], (int, list)) or about["languages"] is None
        for field in ("hours", "labelled_hours", "parameters_m"):
            assert about[field] is None or about[field] >= 0
        assert about["training"] != "self-supervised" or about["labelled_hours"] == 0
        assert isinstance(about["licence"], str) or about["training"] == "none"


@pytest.mark.parametrize("name", ["hubert_base", "random_wav2vec2_base", "mfcc", "f0_energy", "mel_deltas_matched"])
def test_what_is_known_of_a_model_is_kept_and_does_not_change_the_name(name: str):
    settings = composed("train", f"model={name}", "held_out=it")
    assert settings["model"]["about"]["width"] > 0
    assert name_of(settings) == f"{name}/all/ridge/it/s0"


def test_the_seed_of_a_random_control_has_runs_of_its_own():
    names = {
        name_of(composed("train", "model=random_wav2vec2_base", f"model.seed={seed}", "held_out=it"))
        for seed in range(3)
    }
    assert len(names) == 3 and all(name.startswith("random_wav2vec2_base/") for name in names)


@pytest.mark.parametrize("name", [name for name, node in options().items() if node["_target_"].startswith(
    ("tractprobe.encoders.mel", "tractprobe.encoders.voice", "tractprobe.encoders.untrained.untrained"))])  # fmt: skip
def test_controls_can_be_built_and_have_the_size_they_state(name: str):
    encoder = build(composed("train", f"model={name}")["model"])
    about = options()[name]["about"]
    assert (encoder.num_layers, encoder.width) == (about["layers"] + 1, about["width"])
    assert encoder(waves(4000))[0].shape == (encoder.num_layers, 12, encoder.width)


SMALL: dict[str, dict[str, Any]] = {
    "wav2vec2": {"model_type": "wav2vec2", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
                 "intermediate_size": 64, "conv_dim": [16] * 7, "num_conv_pos_embedding_groups": 4},
    "wav2vec2-bert": {"model_type": "wav2vec2-bert", "hidden_size": 32, "num_hidden_layers": 2,
                      "num_attention_heads": 2, "intermediate_size": 64, "output_hidden_size": 32},
    "whisper": whisper(16, 2, 2) | {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 32,
                                    "vocab_size": 60, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
                                    "decoder_start_token_id": 3},
}  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_random_weights_follow_the_seed_and_nothing_else(name: str):
    torch.manual_seed(3)
    one = random_weights("r", SMALL[name], seed=0)
    torch.manual_seed(4)
    same, other = random_weights("r", SMALL[name], seed=0), random_weights("r", SMALL[name], seed=1)
    assert one.identity == same.identity != other.identity
    assert torch.equal(one(waves(4000))[0], same(waves(4000))[0])
    assert one.num_layers == 3 and not torch.equal(one(waves(4000))[0], other(waves(4000))[0])


def test_any_model_has_its_random_control(tmp_path: Path):
    folder = str(save_model(tmp_path, "Hubert", BASE))
    trained, random = pretrained(folder), pretrained(folder, random_seed=0)
    assert random.identity["config_sha256"] == trained.identity["config_sha256"]
    assert random.identity["weights_sha256"] != trained.identity["weights_sha256"]
    assert random.identity == pretrained(folder, random_seed=0).identity != pretrained(folder, random_seed=1).identity
    (Path(folder) / "model.safetensors").unlink()
    assert pretrained(folder, random_seed=0).identity == random.identity


def test_an_architecture_that_is_none_is_said_to_be():
    with pytest.raises(EncoderError, match="bert"):
        random_weights("r", {"model_type": "bert"})
    with pytest.raises(ConfigError, match=r"model\.architecture"):
        random_weights("r", SMALL["wav2vec2"] | {"num_attention_heads": 3})


def test_another_model_can_be_described_on_the_command_line(tmp_path: Path):
    settings = composed("train", "model=hub", f"model.name={tmp_path}", "model.about={hours:5}")
    assert settings["model"]["about"] == {"hours": 5}
