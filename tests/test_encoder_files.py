"""Files of models: what is wrong with them is one line that names the file and says what to do; none gives orders."""

import inspect
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from test_encoders import BASE, LARGE, edit_config, edit_json, only_pickle, save_model, waves, whisper_folder  # noqa: F401

from tractprobe.encoders.declared import _INSTRUCTIONS, extractor_of
from tractprobe.encoders.pretrained import pretrained
from tractprobe.encoders.untrained import random_weights
from tractprobe.system.errors import ConfigError, EncoderError, TractprobeError

Edit = Callable[[Path], Any]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "model", "Wav2Vec2", LARGE)


@pytest.fixture
def model(kept: Path, tmp_path: Path) -> Path:
    return shutil.copytree(kept, tmp_path / "model")


@pytest.fixture
def whisper(whisper_folder: Path, tmp_path: Path) -> Path:  # noqa: F811
    return shutil.copytree(whisper_folder, tmp_path / "whisper")


@pytest.fixture(scope="module")
def kept_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "bert"
    config = transformers.Wav2Vec2BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    transformers.Wav2Vec2BertModel(config).save_pretrained(folder)
    transformers.SeamlessM4TFeatureExtractor().save_pretrained(folder)
    return folder


@pytest.fixture
def bert(kept_bert: Path, tmp_path: Path) -> Path:
    return shutil.copytree(kept_bert, tmp_path / "bert")


def said_of(folder: Path, **options: Any) -> str:
    """Return what is said of a model that is not read, in one line."""
    with pytest.raises(EncoderError) as caught:
        pretrained(str(folder), **options)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)
    return str(caught.value)


def weights(change: Callable[[dict[str, torch.Tensor]], Any]) -> Edit:
    def edit(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return edit


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def pointer(name: str) -> Edit:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 378342945\n"
    return lambda folder: (folder / name).write_text(text)


def without(name: str) -> Edit:
    return lambda folder: (folder / name).unlink()


def sharded(folder: Path) -> list[Path]:
    transformers.AutoModel.from_pretrained(folder).save_pretrained(folder, max_shard_size="100KB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    return sorted(folder.glob("model-*.safetensors"))


def shard_that_leads_out(folder: Path) -> None:
    index = json.loads((sharded(folder)[0].parent / "model.safetensors.index.json").read_text())
    index["weight_map"] = dict.fromkeys(index["weight_map"], "../model.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


K_PROJ = "encoder.layers.1.attention.k_proj.weight"
BROKEN: dict[str, tuple[Edit, str]] = {
    "a weight lacks": (weights(lambda tensors: tensors.pop(K_PROJ)), rf"lacks 1 weights.*{K_PROJ}.*would be random"),
    "a weight of another shape": (
        weights(lambda tensors: tensors.update({K_PROJ: torch.zeros(31, 32)})),
        rf"{K_PROJ} has shape \(31, 32\) in the file of weights and \(32, 32\) by config.json.*download both",
    ),
    "more layers than weights": (
        lambda folder: edit_config(folder, num_hidden_layers=400),
        r"config\.json describes \d+ weights, but the files of weights have \d+ bytes",
    ),
    "layers without end": (lambda folder: edit_config(folder, num_hidden_layers=10**9), "num_hidden_layers=1000000000"),
    "labels without end": (lambda folder: edit_config(folder, num_labels=10**12), "num_labels=1000000000000"),
    "an activation that is none": (lambda folder: edit_config(folder, hidden_act="nosuch"), "config.json.*nosuch"),
    "a width that is a word": (lambda folder: edit_config(folder, hidden_size="wide"), "config.json.*hidden_size"),
    "weights are a pickle": (only_pickle, "only as pytorch_model.bin.*convert it: python -c.*refs/pr/<number>"),
    "weights of another name": (
        lambda folder: (folder / "model.safetensors").rename(folder / "wavlm.safetensors"),
        r"no model\.safetensors, but wavlm\.safetensors: rename it",
    ),
    "no weights": (without("model.safetensors"), r"no model\.safetensors; download it again: hf download"),
    "weights are a pointer": (pointer("model.safetensors"), r"pointer of Git LFS, \d+ bytes.*git lfs pull"),
    "weights are cut": (cut, r"model\.safetensors: cut short, \d+ bytes of \d+; download it again: hf download"),
    "weights are a page": (
        lambda folder: (folder / "model.safetensors").write_text("<!DOCTYPE html>" * 9),
        r"model\.safetensors: not safetensors.*hf download",
    ),
    "weights are empty": (lambda folder: (folder / "model.safetensors").write_bytes(b""), "not safetensors"),
    "a shard lacks": (
        lambda folder: sharded(folder)[0].unlink(),
        r"model-00001-of-\d+\.safetensors is missing: model\.safetensors\.index\.json lists \d+ files; .*hf download",
    ),
    "a shard is cut": (lambda folder: sharded(folder)[1].write_bytes(b"abc"), "model-00002.*not safetensors"),
    "a shard leads out": (shard_that_leads_out, "does not say which file has which weight"),
    "no config": (without("config.json"), "config.json is missing"),
    "config is no JSON": (lambda folder: (folder / "config.json").write_text("{"), "config.json.*not JSON.*hf down"),
    "config is a list": (lambda folder: (folder / "config.json").write_text("[]"), "config.json.*not a mapping"),
    "config is a pointer": (pointer("config.json"), "config.json is a pointer of Git LFS"),
    "a text model": (lambda folder: edit_config(folder, model_type="bert"), "is a bert; supported are"),
    "a method's name": (lambda folder: edit_config(folder, to_dict="x"), "to_dict is no setting of a Wav2Vec2Config"),
    "no type": (lambda folder: edit_config(folder, model_type=None), "supported are"),
    "no preprocessor": (without("preprocessor_config.json"), "preprocessor_config.json is missing.*normalise=true"),
    "preprocessor is no JSON": (
        lambda folder: (folder / "preprocessor_config.json").write_text("{"), "preprocessor_config.json.*not JSON"
    ),
    "preprocessor is a pointer": (pointer("preprocessor_config.json"), "preprocessor_config.json is a pointer"),
    "an adapter within": (lambda folder: edit_config(folder, add_adapter=True), "adapter|lacks"),
    "an adapter beside": (
        lambda folder: (folder / "adapter_config.json").write_text("{}"), "adapter_config.json: adapters are not"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_model_is_one_line_that_names_the_file_and_says_what_to_do(model: Path, case: str):
    change, problem = BROKEN[case]
    change(model)
    assert re.search(problem, said_of(model))


def test_shards_are_read(model: Path):
    expected = pretrained(str(model))(waves(4000))[0]
    assert len(sharded(model)) > 1
    assert torch.equal(pretrained(str(model))(waves(4000))[0], expected)


def test_the_conversion_that_is_advised_converts(model: Path):
    expected = pretrained(str(model))(waves(4000))[0]
    only_pickle(model)
    (code,) = re.findall(r'python -c "([^"]+)"', said_of(model))
    exec(code)
    assert torch.equal(pretrained(str(model))(waves(4000))[0], expected)


ORDERS: dict[str, Any] = {
    "_attn_implementation": "evil/kernel",
    "attn_implementation": "flash_attention_2",
    "experts_implementation": "evil/kernel",
    "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"},
    "custom_pipelines": {"speech": {"impl": "evil.Pipeline"}},
    "quantization_config": {"quant_method": "bitsandbytes"},
    "transformers_weights": "other.safetensors",
    "configuration_files": ["config.5.0.0.json"],
    "kernel_config": {"kernel_mapping": {"Linear": "evil/kernel:Linear"}},
    "use_kernels": True,
    "fusion_config": {"a": "b"},
    "per_layer_config": {"0": {}},
    "base_model_tp_plan": {"layers": "colwise"},
    "text_config": {"_attn_implementation": "evil/kernel"},
}


@pytest.mark.parametrize("key", ORDERS)
def test_a_model_gives_no_orders(model: Path, key: str, monkeypatch: pytest.MonkeyPatch):
    """Neither the file of a folder nor the architecture of a head file reaches transformers with one."""
    (model / "evil.py").write_text("raise SystemExit('owned')")
    monkeypatch.setattr(transformers.AutoModel, "from_pretrained", None)
    monkeypatch.setattr(transformers.AutoModel, "from_config", None)
    edit_config(model, **{key: ORDERS[key]})
    named = key if key != "text_config" else "_attn_implementation"
    assert re.search(rf"config\.json: {named} asks for .*remove the key", said_of(model))
    with pytest.raises(EncoderError, match=rf"^model\.architecture: {named} asks for"):
        random_weights("random", {"model_type": "hubert", "num_hidden_layers": 1, key: ORDERS[key]})


@pytest.mark.parametrize("key", ORDERS)
def test_a_preprocessor_gives_no_orders(model: Path, key: str):
    edit_json(model / "preprocessor_config.json", **{key: ORDERS[key]})
    assert "preprocessor_config.json" in said_of(model)


@pytest.mark.parametrize("attention", ["eager", "sdpa", None])
def test_attention_that_is_built_in_may_be_named(model: Path, attention: str | None):
    expected = pretrained(str(model))(waves(4000))[0]
    edit_config(model, _attn_implementation=attention, _attn_implementation_autoset=True, return_dict=False,
                quantization_config=None, gradient_checkpointing=True)  # fmt: skip
    torch.testing.assert_close(pretrained(str(model))(waves(4000))[0], expected, atol=1e-5, rtol=1e-5)


def test_all_that_transformers_loader_asks_of_a_configuration_is_known():
    """A release that reads another key as an instruction has to be looked at."""
    from transformers import configuration_utils, modeling_utils
    from transformers.models.auto import auto_factory, configuration_auto
    from transformers.quantizers import auto as quantizers

    modules = (modeling_utils, configuration_utils, auto_factory, configuration_auto, quantizers)
    source = "".join(map(inspect.getsource, modules))
    asked = {key for keys in re.findall(r'attr\(\w*config, "(\w+)"|"(\w+)" in config_dict\b', source) for key in keys}
    harmless = {
        "", "AutoConfig", "_attn_implementation", "_experts_implementation",
        "_name_or_path", "architectures", "dtype", "first_k_dense_replace", "layer_types",
        "mlp_layer_types", "model_type", "mtp_layer_types", "mtp_mlp_layer_types", "num_mtp_layers",
        "head_dim", "num_key_value_heads", "sliding_window", "tie_word_embeddings", "vocab_size",
    }  # fmt: skip
    assert asked - harmless - set(_INSTRUCTIONS) == set()


def preprocessor(**changes: Any) -> Edit:
    return lambda folder: edit_json(folder / "preprocessor_config.json", **changes)


DECLARED: dict[str, tuple[str, Edit, str]] = {
    "half the rate": ("model", preprocessor(sampling_rate=8000), "sampling_rate=8000, but encoders hear 16000 Hz"),
    "a higher rate": ("model", preprocessor(sampling_rate=24000), "sampling_rate=24000, but .*use a model of 16000 Hz"),
    "two channels": ("model", preprocessor(feature_size=2), "feature_size=2, but audio of one channel"),
    "a word for truth": ("model", preprocessor(do_normalize="false"), "do_normalize='false'; expected true or false"),
    "that of another": (
        "model", preprocessor(feature_extractor_type="WhisperFeatureExtractor"),
        "describes a 'WhisperFeatureExtractor'; a wav2vec2 has a Wav2Vec2FeatureExtractor",
    ),
    "w2v-bert, rate": ("bert", preprocessor(sampling_rate=8000), "sampling_rate=8000"),
    "w2v-bert, filters": ("bert", preprocessor(num_mel_bins=40), "num_mel_bins=40, but only spectra of 80 filters"),
    "w2v-bert, stride": ("bert", preprocessor(stride=4), "stride=4, but only pairs"),
    "w2v-bert, padded before": ("bert", preprocessor(padding_side="left"), "padding_side='left'"),
    "w2v-bert, none": ("bert", without("preprocessor_config.json"), "is missing, which says which spectra"),
    "whisper, rate": ("whisper", preprocessor(sampling_rate=8000), "sampling_rate=8000"),
    "whisper, filters": ("whisper", preprocessor(feature_size=128), "feature_size=128, but .*num_mel_bins=80"),
    "whisper, filters without end": ("whisper", preprocessor(feature_size=10**12), "feature_size=1000000000000"),
    "whisper, window": ("whisper", preprocessor(chunk_length=10), "chunk_length=10, but .*max_source_positions=1500"),
    "whisper, window without end": ("whisper", preprocessor(chunk_length=10**12), "chunk_length=1000000000000"),
    "whisper, hop": ("whisper", preprocessor(hop_length=80), "hop_length=80"),
    "whisper, chance": ("whisper", preprocessor(dither=0.1), "dither=0.1, but states must not depend on chance"),
    "whisper, other positions": (
        "whisper", lambda folder: edit_config(folder, max_source_positions=500), "max_source_positions=500, which are"
    ),
    "whisper, odd positions": (
        "whisper", lambda folder: edit_config(folder, max_source_positions=125), "expected a multiple of 50"
    ),
    "whisper, other mels": ("whisper", lambda folder: edit_config(folder, num_mel_bins=128), "num_mel_bins=128"),
    "whisper, none": (
        "whisper", without("preprocessor_config.json"), "is missing, which says which spectra.*copy it from the model's"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DECLARED)
def test_what_a_model_declares_is_done_or_refused(case: str, request: pytest.FixtureRequest):
    kind, change, problem = DECLARED[case]
    folder: Path = request.getfixturevalue(kind)
    pretrained(str(folder))
    change(folder)
    said = said_of(folder)
    assert re.search(problem, said)
    if kind != "model":  # what would be of no use is not advised
        assert "model.normalise" not in said


def test_a_rate_is_compared_whoever_says_whether_waves_are_standardised(model: Path):
    preprocessor(sampling_rate=8000)(model)
    assert "sampling_rate=8000" in said_of(model, normalise=True)


def test_windows_of_another_length_are_read_where_both_files_say_so(whisper: Path):
    tensors = load_file(whisper / "model.safetensors")
    tensors["encoder.embed_positions.weight"] = tensors["encoder.embed_positions.weight"][:100].clone()
    save_file(tensors, whisper / "model.safetensors", metadata={"format": "pt"})
    edit_config(whisper, max_source_positions=100)
    preprocessor(chunk_length=2)(whisper)
    encoder = pretrained(str(whisper))
    assert encoder.span == 32000 and encoder(waves(40000))[0].shape == (3, 125, 16)


@pytest.mark.parametrize("kind", ["model", "whisper", "bert"])
def test_a_preprocessor_is_the_one_that_transformers_builds(kind: str, request: pytest.FixtureRequest):
    """Identities, and so caches and runs, follow its settings."""
    folder: Path = request.getfixturevalue(kind)
    theirs = transformers.AutoFeatureExtractor.from_pretrained(folder)
    config = transformers.AutoConfig.from_pretrained(folder)
    content = json.loads((folder / "preprocessor_config.json").read_text())
    assert extractor_of(content, config, "here").to_dict() == theirs.to_dict()


def test_a_preprocessor_within_that_of_a_processor_is_found(model: Path):
    content = json.loads((model / "preprocessor_config.json").read_text())
    (model / "preprocessor_config.json").unlink()
    (model / "processor_config.json").write_text(json.dumps({"feature_extractor": content | {"sampling_rate": 8000}}))
    assert "sampling_rate=8000" in said_of(model)


@pytest.mark.parametrize("wrong", [{"hidden_act": "nosuch"}, {"conv_dim": [16]}, {"num_hidden_layers": "many"}])
def test_an_architecture_that_cannot_be_built_is_one_line(wrong: dict[str, Any]):
    with pytest.raises(TractprobeError, match=r"^model\.architecture: ") as caught:
        random_weights("random", {"model_type": "hubert", **wrong})
    assert "\n" not in str(caught.value)


def test_an_architecture_has_no_unknown_key():
    """Transformers stores whatever it is given, and a misspelt key would have drawn the default's size."""
    with pytest.raises(ConfigError, match=r"^model\.architecture\.hiden_size: hubert has no such setting; did you mean "
                       r"model\.architecture\.hidden_size\?$"):  # fmt: skip
        random_weights("random", {"model_type": "hubert", "hiden_size": 16})
    small = {"num_attention_heads": 2, "encoder_layers": 1, "decoder_layers": 1, "decoder_attention_heads": 2}
    other_names = {"hidden_size": 16, "num_labels": 3, "attn_implementation": "eager", "pad_token_id": 0}
    assert random_weights("random", {"model_type": "whisper", "vocab_size": 60, **small, **other_names}).num_layers == 2


def test_random_weights_of_a_whisper_fit_its_windows():
    small = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "vocab_size": 60,
             "decoder_attention_heads": 2, "pad_token_id": 0, "num_mel_bins": 20}  # fmt: skip
    encoder = random_weights("random", {"model_type": "whisper", "max_source_positions": 100, **small})
    assert encoder(waves(40000))[0].shape == (2, 125, 16)


def test_base_models_too(tmp_path: Path):
    folder = save_model(tmp_path / "model", "Hubert", BASE)
    preprocessor(sampling_rate=8000)(folder)
    assert "sampling_rate=8000" in said_of(folder)
