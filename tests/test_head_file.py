"""Head files as strangers may send them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from head_files import RATE_HZ, about_of, noise, random_ridge
from safetensors.torch import load_file, save_file

from tractprobe.encoders.mel import LogMel
from tractprobe.inversion.head_file import read_head, write_head
from tractprobe.inversion.inverter import load_head
from tractprobe.system.errors import ConfigError, EncoderError, HeadError


def repacked(path: Path, change: Callable[[dict[str, Any]], Any], *, tensors: Any = None) -> None:
    """Write a head file with something changed and a checksum that is right, as a stranger could."""
    from tractprobe.inversion import head_file

    about = read_head(path).about
    tensors = load_file(path) if tensors is None else tensors
    change(about)
    about["sha256"] = head_file._checksum(tensors, about)
    save_file(tensors, path, metadata={"tractprobe": json.dumps(about)})


def with_tensors(path: Path, **changes: torch.Tensor) -> None:
    repacked(path, lambda about: None, tensors=load_file(path) | changes)


def retold(path: Path, old: str, new: str) -> None:
    """Replace some of the JSON, which may then be what no writer of JSON would write."""
    text = json.dumps(read_head(path).about)
    assert old in text
    save_file(load_file(path), path, metadata={"tractprobe": text.replace(old, new)})


def patched(path: Path, change: Callable[[bytearray], Any]) -> None:
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)


def set_encoder(**settings: Any) -> Callable[[Path], None]:
    return lambda path: repacked(path, lambda about: about["encoder"].update(settings=settings))


def set_about(**changes: Any) -> Callable[[Path], None]:
    return lambda path: repacked(path, lambda about: about.update(changes))


UNTRAINED = "tractprobe.encoders.untrained.untrained"
BAD_FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "gone": (lambda path: path.unlink(), "no such file"),
    "empty": (lambda path: path.write_bytes(b""), "not safetensors, or cut short"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:5000]), "not a head file, or a damaged one"),
    "text": (lambda path: path.write_text("hello " * 50), "not safetensors, or cut short"),
    "a pickle": (lambda path: torch.save({"a": 1}, path), "not safetensors, or cut short"),
    "a huge header": (
        lambda path: path.write_bytes((1 << 24).to_bytes(8, "little") + b" " * (1 << 24)), "header has more than",
    ),
    "a deep header": (lambda path: path.write_bytes((200_000).to_bytes(8, "little") + b"[" * 200_000), "damaged"),
    "a flipped bit of a weight": (lambda path: patched(path, lambda b: b.__setitem__(-40, b[-40] ^ 1)), "checksum"),
    "a changed mean": (
        lambda path: patched(path, lambda b: b.__setitem__(b.index(b"[1.0") + 1, ord("7"))), "checksum",
    ),
    "somebody's safetensors": (lambda path: save_file(load_file(path), path), "not a head file of tractprobe"),
    "a newer format": (set_about(format=2), "format 2; this version reads 1"),
    "an interpolation for an encoder's name": (
        set_encoder(_target_="tractprobe.encoders.pretrained.pretrained", name="${oc.env:HOME}"), "yet to be resolved",
    ),
    "an interpolation for a size": (
        set_about(head={"_target_": "tractprobe.heads.Mlp", "hidden": "${oc.decode:60000}"}), "yet to be resolved",
    ),
    "a program for a head": (set_about(head={"_target_": "os.system", "command": "false"}), "not ours to build"),
    "a corpus for a head": (set_about(head={"_target_": "tractprobe.corpora.folder.Folder"}), "not ours to build"),
    "a head for an encoder": (set_encoder(_target_="tractprobe.ridge.Ridge"), "not ours to build"),
    "a deep perceptron": (
        set_about(head={"_target_": "tractprobe.heads.Mlp", "depth": 60000, "hidden": 1}), "depth beyond 512",
    ),
    "a deep transformer": (
        set_about(head={"_target_": "tractprobe.heads.Transformer", "depth": 60000}), "depth beyond 512",
    ),
    "a long convolution": (
        set_about(head={"_target_": "tractprobe.heads.Conv", "dilations": [1] * 99999}), "more than 512 numbers",
    ),
    "no scores": (lambda path: repacked(path, lambda about: about.pop("means")), "means"),
    "a list of scores": (set_about(means=[]), "damaged"),
    "a score in words": (set_about(means={"ema": {"r": {"mean": "good"}}}), "a score that is not a number"),
    "no corpora": (set_about(corpora=5), "no corpora"),
    "no run": (set_about(run={"head": "ridge"}), "held_out"),
    "a program below": (
        set_about(head={"_target_": "tractprobe.ridge.Ridge", "alphas": [1.0], "x": {"_target_": "os.system"}}),
        "not ours to build",
    ),
    "an unknown setting": (set_about(head={"_target_": "tractprobe.ridge.Ridge", "alphas": [1], "b": 1}), "Ridge"),
    "a huge perceptron": (set_about(head={"_target_": "tractprobe.heads.Mlp", "hidden": 10**9}), "beyond 65536"),
    "a large perceptron": (set_about(head={"_target_": "tractprobe.heads.Mlp", "hidden": 60000}), "other names, sizes"),
    "a huge encoder": (set_encoder(_target_=UNTRAINED, width=16 * 10**7), "beyond 65536"),
    "a tall encoder": (set_encoder(_target_=UNTRAINED, layers=10**5), "beyond 512"),
    "an infinite setting": (lambda path: retold(path, '"alphas": [1.0]', '"alphas": [1e999]'), "damaged"),
    "another layer's tensors": (lambda path: with_tensors(path, weight=torch.zeros(2, 100, 12).double()), "sizes"),
    "single precision": (lambda path: with_tensors(path, weight=torch.zeros(1, 100, 12)), "number formats"),
    "a tensor too many": (lambda path: with_tensors(path, more=torch.zeros(1)), "other names"),
    "weights that are no numbers": (
        lambda path: with_tensors(path, weight=torch.full((1, 100, 12), torch.nan).double()), "not finite in weight",
    ),
    "an infinite bias": (lambda path: with_tensors(path, bias=torch.full((1, 12), torch.inf).double()), "in bias"),
    "a width beyond its tensors": (
        lambda path: repacked(path, lambda about: about["encoder"].update(width=10**9)), "width of 1000000000",
    ),
    "no channels": (set_about(channels=[]), "no channels, or some of one name"),
    "channels twice": (
        set_about(channels=[{"target": "ema", "name": "a", "unit": "mm"}] * 12), "no channels, or some of one name",
    ),
    "markup for a channel": (
        set_about(channels=[{"target": "ema", "name": f"<b>{n}", "unit": "mm"} for n in range(12)]), "not words",
    ),
    "a negative layer": (set_about(layer=-1), "layer -1"),
    "frames without distance": (set_about(frames={"stride": 0, "first": 0, "field": 1}), "without a distance"),
    "no speaker": (set_about(speakers={}), "no speaker"),
    "a speaker of other channels": (set_about(speakers={"s": {"mean": [1], "sd": [1]}}), "of other channels"),
    "a scale of nothing": (set_about(speakers={"s": {"mean": [1] * 12, "sd": [0] * 12}}), "without a scale"),
    "another storage": (set_about(storage="int8"), "float16 or float32"),
    "nothing said": (lambda path: save_file(load_file(path), path, {"tractprobe": "{}"}), "damaged"),
    "no object": (lambda path: save_file(load_file(path), path, {"tractprobe": "[1]"}), "damaged"),
    "not a number in the header": (
        lambda path: save_file(load_file(path), path, {"tractprobe": '{"format": NaN}'}), "NaN in its header",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_head_file_that_is_none_is_one_error(head: Path, case: str):
    damage, problem = BAD_FILES[case]
    damage(head)
    with pytest.raises(HeadError, match=problem) as raised:
        load_head(head)
    assert str(head) in str(raised.value) and len(str(raised.value)) < 600


def test_any_flipped_byte_is_an_error(head: Path):
    content = head.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(content), 60).tolist():
        head.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        with pytest.raises(HeadError):
            read_head(head)


def test_a_mouth_beyond_all_numbers_is_one_error(head: Path):
    repacked(head, lambda about: about.update(speakers={"s": {"mean": [0] * 12, "sd": [1e308] * 12}}))
    with pytest.raises(HeadError, match="infinite positions"):
        load_head(head)(noise(1), RATE_HZ)


@pytest.mark.parametrize("device", ["nothing", "meta", "cuda:99"])
def test_a_device_that_is_not_there_is_one_error(head: Path, device: str):
    with pytest.raises(ConfigError, match=f"device {device}: "):
        load_head(head, device=device)


def test_an_encoder_that_is_not_the_heads_is_refused(head: Path):
    with pytest.raises(EncoderError, match="another encoder"):
        load_head(head, encoder=LogMel(bands=20, context=3))
    with pytest.raises(EncoderError, match="which has no model"):
        load_head(head, encoder="facebook/hubert-base-ls960")
    repacked(head, lambda about: about.update(layer=1))
    with pytest.raises(EncoderError, match="layer, width or frames"):
        load_head(head)


def test_a_channel_never_fitted_is_nan(tmp_path: Path, mel: LogMel):
    tensors = random_ridge(100)
    tensors["bias"][0, 3] = torch.nan
    speakers = {
        "a": {"mean": [1.0, None, *[1.0] * 10], "sd": [1.0, None, *[1.0] * 10]},
        "b": {"mean": [3.0] * 12, "sd": [5.0] * 12},
    }
    write_head(tmp_path / "f.safetensors", tensors, about_of(mel, speakers=speakers))
    known = np.isfinite(load_head(tmp_path / "f.safetensors")(noise(1), RATE_HZ).values)
    assert known.all(axis=0).tolist() == [channel != 3 for channel in range(12)] and not known[:, 3].any()
    scale = load_head(tmp_path / "f.safetensors").scale
    assert scale.mean.tolist()[:2] == [2.0, 3.0] and scale.sd.tolist()[:2] == [3.0, 5.0]
    alone = np.isfinite(load_head(tmp_path / "f.safetensors", speaker="a")(noise(1), RATE_HZ).values)
    assert not alone[:, [1, 3]].any()


RANDOM = "tractprobe.encoders.untrained.random_weights"
LARGE: dict[str, dict[str, Any]] = {
    "blocks": {"model_type": "hubert", "hidden_size": 100, "num_attention_heads": 2, "num_hidden_layers": 290,
               "intermediate_size": 65536, "num_conv_pos_embedding_groups": 4},
    "convolutions": {"model_type": "hubert", "hidden_size": 100, "num_attention_heads": 2, "num_hidden_layers": 1,
                     "conv_dim": [16000] * 7, "num_conv_pos_embedding_groups": 4},
}  # fmt: skip


@pytest.mark.parametrize("case", LARGE)
def test_a_small_file_cannot_ask_for_an_encoder_that_no_head_of_its_width_needs(
    head: Path, case: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch, "manual_seed", None)  # nothing is drawn
    set_encoder(_target_=RANDOM, label="random", architecture=LARGE[case])(head)
    with pytest.raises(EncoderError, match=r"a model of \d\.\de\+09 weights; at most 3.9e\+07 can be drawn") as caught:
        load_head(head)
    assert "\n" not in str(caught.value) and "load_head(encoder=...)" in str(caught.value)


def test_an_architecture_in_a_file_gives_no_orders(head: Path):
    architecture = {"model_type": "hubert", "hidden_size": 100, "_attn_implementation": "evil/kernel"}
    set_encoder(_target_=RANDOM, label="random", architecture=architecture)(head)
    with pytest.raises(EncoderError, match="_attn_implementation asks for an implementation that is not built in"):
        load_head(head)


def test_a_file_cannot_ask_for_more_filters_than_any_spectrum_has(head: Path):
    set_encoder(_target_="tractprobe.encoders.mel.Mfcc", bands=65536, cepstra=100)(head)
    with pytest.raises(EncoderError, match=r"model\.bands must be 1 to 1024"):
        load_head(head)
