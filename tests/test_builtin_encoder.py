"""The encoder and the head that are part of the package: whole, what their cards say, and of use at once.

Nothing here is skipped where the package lacks its weights: it is then incomplete.
"""

import json
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml
from conftest import REPOSITORY
from head_files import RATE_HZ, noise
from test_config import composed

from tractprobe.cli import main
from tractprobe.encoders import builtin as place
from tractprobe.encoders.assembly import drawn
from tractprobe.encoders.builtin import FILES, WEIGHTS, builtin, builtin_folder
from tractprobe.encoders.raised import Raised
from tractprobe.inversion.builtin import HEAD, SCORES, Measured, Scores, head_path, origin
from tractprobe.inversion.head_file import read_head
from tractprobe.inversion.inverter import load_head
from tractprobe.pretraining.export import export_encoder
from tractprobe.runs.building import build
from tractprobe.runs.configuration import conf_dir
from tractprobe.runs.settings import Node
from tractprobe.runs.stated import about_of, raised_of
from tractprobe.system.errors import EncoderError, HeadError

MOST_BYTES = 16_000_000


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    import ship_encoder

    return ship_encoder


def raised() -> Raised:
    known = Raised.read(builtin_folder())
    assert known is not None
    return known


def scores() -> Scores:
    known = Scores.read(builtin_folder())
    assert known is not None
    return known


def option(name: str) -> dict[str, Any]:
    return yaml.safe_load((conf_dir() / f"model/{name}.yaml").read_text())


def test_the_package_holds_all_of_it_and_not_too_much():
    present = {path.name for path in builtin_folder().iterdir()}
    assert present - {"sources.md"} == {*FILES, WEIGHTS, HEAD, SCORES, "README.md"}
    assert sum(path.stat().st_size for path in builtin_folder().iterdir()) <= MOST_BYTES


def test_what_ships_has_been_trained_on_data_that_may_ship():
    assert raised().is_trained and option("builtin")["about"]["training"] == "self-supervised"
    assert raised().licences and set(raised().licences) <= {"CC0 1.0", "MIT", "Apache-2.0", "public domain"}


def test_card_and_options_are_what_the_json_files_say(script: ModuleType):
    folder = builtin_folder()
    assert (folder / "README.md").read_text(encoding="utf-8") == script.card(folder)
    for name in ("builtin", "random_builtin"):
        text = (conf_dir() / f"model/{name}.yaml").read_text(encoding="utf-8")
        assert text == script.option(name, folder)
    about = option("builtin")["about"]
    assert set(about["languages"]) == set(raised().languages) or not raised().is_trained
    assert not raised().is_trained or about["hours"] == pytest.approx(raised().hours_of_data, abs=0.05)


def test_the_head_is_the_one_that_was_measured_on_the_encoder_that_ships():
    head, known = read_head(builtin_folder() / HEAD), scores()
    assert known.head_sha256 == head.about["sha256"] and str(head.layer) == known.layer
    assert known.corpora == tuple(head.about["corpora"]) and known.head == head.about["run"]["head"]
    assert known.encoder_sha256 == head.about["encoder"]["identity"]["weights_sha256"]
    assert head.about["encoder"]["settings"]["_target_"] == place.PUBLIC_NAME
    assert "name" not in head.about["encoder"]["settings"]  # which would be a path of somebody's machine


def test_it_loads_without_a_network_and_computes_what_transformers_does_in_float32(no_network: None):
    from transformers import AutoFeatureExtractor, AutoModel

    folder = builtin_folder()
    encoder = build(option("builtin"))
    assert encoder.identity["weights_sha256"] == scores().encoder_sha256
    waves = [torch.from_numpy(noise(seconds, seed)) for seed, seconds in enumerate((1.3, 0.7))]
    model = AutoModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    extractor = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
    for wave, states in zip(waves, encoder(waves), strict=True):
        inputs = extractor(wave.numpy(), sampling_rate=RATE_HZ, return_tensors="pt").input_values
        with torch.no_grad():
            output = model(inputs, output_hidden_states=True)
        expected = torch.stack([*output.hidden_states[:-1], output.last_hidden_state])[:, 0]
        torch.testing.assert_close(states, expected, atol=2e-4, rtol=1e-4)
    about = option("builtin")["about"]
    assert (encoder.num_layers, encoder.width) == (about["layers"] + 1, about["width"])
    size = sum(weights.numel() for weights in encoder.parameters())
    assert about["parameters_m"] == pytest.approx(size / 1e6, abs=0.06) and size == raised().parameters


def test_its_twin_is_drawn_and_needs_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in FILES:
        shutil.copy(builtin_folder() / name, tmp_path)
    monkeypatch.setattr(place, "FOLDER", str(tmp_path))
    twin = build(option("random_builtin"))
    expected = drawn(twin.model.config, 0).state_dict()
    named = {name.replace("layer_norm.norm.", "layer_norm."): own for name, own in twin.model.state_dict().items()}
    assert named.keys() == expected.keys() and all(torch.equal(named[name], expected[name]) for name in named)
    assert build(option("random_builtin") | {"random_seed": 1}).identity != twin.identity
    with pytest.raises(EncoderError, match=r"model\.safetensors is missing.*install tractprobe again"):
        builtin()


def test_what_it_was_raised_on_is_known_to_analyses():
    trained, twin = (Node.of("model", option(name)) for name in ("builtin", "random_builtin"))
    assert raised_of(trained) == raised()
    known = raised_of(twin)
    assert known is not None and not known.is_trained and about_of(twin)["training"] == "none"


def test_it_is_the_default():
    assert composed("train")["model"] == option("builtin")


@pytest.fixture
def wave(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "speech.wav", noise(1.5), RATE_HZ)
    return tmp_path / "speech.wav"


def test_sound_is_inverted_right_after_installation(
    no_network: None, wave: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["invert", str(wave), "--html", "--output", str(tmp_path / "out")]) == 0
    assert "1 file" in capsys.readouterr().out
    table = np.genfromtxt(tmp_path / "out/speech.csv", delimiter=",", names=True)
    track = load_head()(noise(1.5), RATE_HZ)
    assert table.dtype.names == ("time_s", *(f"{name}_mm" for name in track.channels)) and len(table) == len(
        track.values
    )
    assert np.isfinite(track.values).all()
    page = (tmp_path / "out/speech.html").read_text(encoding="utf-8")
    assert "This is the head of the package" in page and "simulated vocal tracts" in page
    known = scores()
    said = "How well it reads people was not measured" if known.real is None else f"its r was {known.real}"
    assert said in page


def test_what_is_no_sound_is_named_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "speech.wav").write_text("no sound")
    assert main(["invert", str(tmp_path / "speech.wav"), "--output", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tractprobe: ") and "speech.wav" in line
    assert main(["invert", str(tmp_path / "nosuch.wav")]) == 1
    assert "nosuch.wav: no such file" in capsys.readouterr().err


def test_a_package_without_its_head_says_so_in_one_line(
    wave: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(place, "FOLDER", str(tmp_path))
    assert main(["invert", str(wave)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{HEAD} is missing" in line and "give --head FILE" in line
    assert head_path("other.safetensors") == Path("other.safetensors")
    assert str(head_path("./builtin")) == "builtin"  # a file of this name


def test_a_page_says_only_what_was_measured_of_this_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in (*FILES, HEAD):
        shutil.copy(builtin_folder() / name, tmp_path)
    path, known = builtin_folder() / HEAD, scores()
    assert origin(tmp_path / HEAD, known.head_sha256) == ""  # a copy elsewhere is like anybody's head
    monkeypatch.setattr(place, "FOLDER", str(tmp_path))
    assert origin(path, known.head_sha256) == ""
    path = tmp_path / HEAD
    assert "was not measured" in origin(path, known.head_sha256)  # there is no scores.json
    real = Measured("people", 0.3149, -0.02, None, 7)
    replace(known, real=real, real_recordings="7 speakers").write(tmp_path)
    assert "On recordings of people its r was .31 (7 speakers)." in origin(path, known.head_sha256)
    assert "its r was" not in origin(path, "of another head")
    replace(known, real=replace(real, high=0.5)).write(tmp_path)
    assert "its r was .31 [-.02, .50]" in origin(path, known.head_sha256)
    replace(known, real=None).write(tmp_path)
    assert "How well it reads people was not measured." in origin(path, known.head_sha256)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", "not scores of schema 1"),
        ('{"schema": 1}', "is missing"),
        ("{", "install tractprobe again"),
    ],
)
def test_scores_that_are_damaged_are_refused_in_one_line(tmp_path: Path, text: str, problem: str):
    (tmp_path / SCORES).write_text(text)
    with pytest.raises(HeadError, match=problem) as error:
        Scores.read(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change", [{"r": 1.5}, {"r": "x"}, {"n": 0}, {"r": None}, {"low": "x"}, {"more": 1}])
def test_a_score_that_cannot_be_is_not_believed(tmp_path: Path, change: dict[str, Any]):
    replace(scores(), real=Measured("x", 0.1, 0.0, 0.2, 3)).write(tmp_path)
    plain = json.loads((tmp_path / SCORES).read_text())
    plain["real"] |= change
    (tmp_path / SCORES).write_text(json.dumps(plain))
    with pytest.raises(HeadError, match=r"scores\.json: .*score|has an r that is none"):
        Scores.read(tmp_path)


def small_encoder(folder: Path, updates: int) -> Path:
    from transformers import HubertConfig

    config = HubertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(8,) * 7,
        feat_extract_norm="layer", do_stable_layer_norm=True, num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    hubert = drawn(config, 3)
    size = sum(weights.numel() for weights in hubert.parameters())
    own = Raised("hubert", {"it": 0.1, "no": 0.2}, {"toy": "0" * 64}, 0.3, float(updates), updates, 1, {}, 0, size)
    export_encoder(folder, hubert, replace(own, licences=("MIT",)), normalise=True)
    return folder


def test_one_script_makes_what_ships_and_the_same_line_again_changes_nothing(
    script: ModuleType, data: Path, wave: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(place, "FOLDER", str(tmp_path / "shipped"))
    monkeypatch.setattr(script, "conf_dir", lambda: tmp_path)
    (tmp_path / "model").mkdir()
    line = ["--corpus", "toy", "--data", str(data), "--work", str(tmp_path / "work"), "--control", "mel_frame"]
    line += ["--heads", "ridge", "--real", str(data / "toy")]
    with pytest.raises(SystemExit, match="expected a trained encoder"):
        script.main([str(small_encoder(tmp_path / "untrained", 0)), *line])
    source = small_encoder(tmp_path / "trained", 2)
    script.main([str(source), *line])
    made = {path.name: path.read_bytes() for path in builtin_folder().iterdir()}
    assert set(made) == {*FILES, WEIGHTS, HEAD, SCORES, "README.md"}
    assert 2 * (builtin_folder() / WEIGHTS).stat().st_size < 1.2 * (source / WEIGHTS).stat().st_size
    known = scores()
    assert known.real is not None and known.real.n == 3 and "36 recordings" in known.real_recordings
    assert [each.of for each in known.scores][3] == "builtin above mel_frame: held-out language"
    card = (builtin_folder() / "README.md").read_text()
    assert f"r = {known.real}" in card and 'language:\n- "it"\n- "no"' in card
    assert yaml.safe_load((tmp_path / "model/builtin.yaml").read_text())["about"]["languages"] == ["it", "no"]
    assert main(["invert", str(wave), "--html", "--output", str(tmp_path / "out")]) == 0
    assert f"its r was {known.real}" in (tmp_path / "out/speech.html").read_text(encoding="utf-8")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("result.json")}
    script.main([str(source), *line])
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("result.json")} == before
    assert {path.name: path.read_bytes() for path in builtin_folder().iterdir()} == made
