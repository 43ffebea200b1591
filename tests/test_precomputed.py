"""Hidden states that somebody else computed: the same numbers as if they came from an encoder, or one clear line."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import DEMO
from head_files import about_of, random_ridge
from safetensors.torch import save_file

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.encoders import feature_files
from tractprobe.encoders.feature_files import content_sha256
from tractprobe.encoders.mel import LogMel
from tractprobe.encoders.precomputed import Precomputed
from tractprobe.evaluation import evaluate
from tractprobe.inversion.export import export
from tractprobe.inversion.head_file import write_head
from tractprobe.jobs import train
from tractprobe.runs.identity import RunId
from tractprobe.runs.settings import Settings
from tractprobe.signals.smoothing import Smoothing
from tractprobe.system.errors import ConfigError, EncoderError, HeadError, RunError

Configure = Callable[..., Any]
RATE = {"rate_hz": 50, "start_s": 199.5 / 16000}


def states_of(corpus: PreparedCorpus) -> dict[str, torch.Tensor]:
    """Return two layers for each utterance: a log-mel spectrogram, and its negative squared."""
    encoder, states = LogMel(bands=20, context=0), {}
    for entry in corpus.entries:
        (mel,) = encoder([torch.from_numpy(corpus.audio(entry.id))])
        states[entry.id] = torch.cat([mel, -mel.square() / 10])
    return states


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory, toy: PreparedCorpus) -> Path:
    """Features of the toy corpus, in both kinds of file."""
    root = tmp_path_factory.mktemp("features") / "theirs"
    (root / "toy").mkdir(parents=True)
    (root / "features.json").write_text(json.dumps(RATE))
    for index, (id_, states) in enumerate(states_of(toy).items()):
        if index % 2:
            np.save(root / f"{id_}.npy", states.numpy())
        else:
            save_file({"states": states}, root / f"{id_}.safetensors")
    return root


@pytest.fixture
def own(features: Path, tmp_path: Path) -> Path:
    """A copy to be changed."""
    return Path(shutil.copytree(features, tmp_path / "theirs"))


def r_of(result: Any) -> np.ndarray:
    rows = sorted(result["scores"], key=lambda row: (row["layer"], row["speaker"], row["channel"]))
    return np.array([row["r"] for row in rows])


def test_linear_heads_read_from_them_what_they_read_from_the_encoder(configure: Configure, features: Path):
    theirs = train(configure("held_out=it", "model=features", f"model.root={features}"))
    ours = train(configure("held_out=it", "model=mel_frame", "model.bands=20"))
    assert theirs["settings"]["model"]["label"] == "theirs"
    first = [row for row in theirs["scores"] if row["layer"] == 0]
    assert {row["layer"] for row in theirs["scores"]} == {0, 1}
    np.testing.assert_allclose(r_of({"scores": first}), r_of(ours), atol=1e-9)


def test_nonlinear_heads_too_with_and_without_our_cache(configure: Configure, features: Path):
    line = ["held_out=it", "layer=0", "head=mlp", "head.hidden=8", "trainer.max_epochs=2"]
    theirs = train(configure("model=features", f"model.root={features}", "features.cache=false", *line))
    ours = train(configure("model=mel_frame", "model.bands=20", *line))
    np.testing.assert_allclose(r_of(theirs), r_of(ours), atol=1e-6)


def test_times_of_frames_may_be_said_one_by_one(configure: Configure, own: Path):
    for path in sorted((own / "toy").iterdir()):
        states = np.load(path) if path.suffix == ".npy" else None
        if states is not None:
            np.save(path.with_name(f"{path.stem}.times.npy"), RATE["start_s"] + np.arange(states.shape[1]) / 50)
        else:
            tensors = {"states": feature_files.FeatureFile(path).states((0, 1))}
            count = tensors["states"].shape[1]
            times_s = RATE["start_s"] + torch.arange(count, dtype=torch.float64) / 50
            save_file({"states": torch.from_numpy(tensors["states"]), "times_s": times_s}, path)
    with_rate = train(configure("held_out=it", "model=features", f"model.root={own}", "model.label=a"))
    (own / "features.json").unlink()
    without = train(configure("held_out=it", "model=features", f"model.root={own}", "model.label=b"))
    np.testing.assert_allclose(r_of(with_rate), r_of(without), atol=1e-12)


def test_targets_are_read_where_the_frames_are(toy: PreparedCorpus, tmp_path: Path, configure: Configure):
    """Frames a fraction of samples apart that hold the movements: they are found again, and not 40 ms later."""
    for name, start_s in (("right", 0.004), ("wrong", 0.044)):
        (tmp_path / name / "toy").mkdir(parents=True)
        (tmp_path / name / "features.json").write_text(json.dumps({"rate_hz": 75.3, "start_s": start_s}))
        for entry in toy.entries:
            times_s = 0.004 + np.arange(int(entry.duration_s * 75.3)) / 75.3
            positions = np.nan_to_num(Smoothing()(toy.track(entry.id)).at(times_s))
            np.save(tmp_path / name / f"{entry.id}.npy", positions[None].astype(np.float32))
    right, wrong = (
        r_of(train(configure("held_out=it", "model=features", f"model.root={tmp_path / name}"))).mean()
        for name in ("right", "wrong")
    )
    assert right > 0.999 > 0.99 > wrong


def test_a_runs_name_does_not_depend_on_where_they_lie(configure: Configure, features: Path, own: Path):
    names = {RunId.of(Settings.of(_plain(configure("model=features", f"model.root={root}"))).raw).name
             for root in (features, own)}  # fmt: skip
    assert names == {"theirs/all/ridge/it/s0-" + next(iter(names)).rpartition("-")[2]}
    default = _plain(configure("model=features", f"model.root={own}")) | {"corpora": [DEMO]}
    assert RunId.of(default).name == "theirs/all/ridge/it/s0"
    labelled = _plain(configure("model=features", f"model.root={own}", "model.label=nemo")) | {"corpora": [DEMO]}
    assert RunId.of(labelled).name == "nemo/all/ridge/it/s0"
    unlabelled = _plain(configure("model=features", f"model.root={own}", "model.label=null"))
    assert RunId.of(unlabelled).model == "theirs"


def _plain(config: Any) -> dict:
    from tractprobe.runs.configuration import plain

    return plain(config)


def test_changed_features_are_not_taken_for_a_finished_runs(configure: Configure, own: Path, toy: PreparedCorpus):
    line = ("held_out=it", "model=features", f"model.root={own}")
    first = train(configure(*line))
    assert train(configure(*line)) == first
    path = next((own / "toy").glob("*.npy"))
    np.save(path, np.load(path) + 1)
    with pytest.raises(RunError, match=rf"finished with other files of {own}"):
        train(configure(*line))
    again = train(configure(*line, "model.label=second"))
    assert again["identity"]["encoder"] != first["identity"]["encoder"]


def test_frames_said_to_sit_elsewhere_are_not_taken_for_a_finished_runs(configure: Configure, own: Path):
    line = ("held_out=it", "model=features", f"model.root={own}")
    train(configure(*line))
    (own / "features.json").write_text(json.dumps(RATE | {"start_s": 0.03}))
    with pytest.raises(RunError, match=rf"finished with other files of {own}"):
        train(configure(*line))


def test_corpora_may_be_links(configure: Configure, features: Path, tmp_path: Path):
    (tmp_path / "linked").mkdir()
    for path in features.iterdir():
        (tmp_path / "linked" / path.name).symlink_to(path)
    first, second = (
        train(configure("held_out=it", "model=features", f"model.root={root}"))
        for root in (tmp_path / "linked", features)
    )
    assert first["scores"] == second["scores"]


def test_features_of_other_corpora_make_no_difference_and_serve_to_evaluate(
    configure: Configure, own: Path, data: Path, tmp_path: Path
):
    line = ("held_out=it", "model=features", f"model.root={own}")
    result = train(configure(*line))
    (run,) = (path.parent for path in (tmp_path / "runs").rglob("result.json"))
    shutil.copytree(own / "toy", own / "another")
    assert train(configure(*line)) == result
    rows = evaluate(configure(f"run={run}", name="evaluate"))
    np.testing.assert_allclose(r_of({"scores": rows}), r_of(result), atol=1e-6)


def test_hashes_are_computed_once(own: Path, monkeypatch: pytest.MonkeyPatch):
    first, hashed = content_sha256(own, "toy"), []
    monkeypatch.setattr(feature_files, "file_sha256", lambda path: hashed.append(path) or "x")
    assert content_sha256(own, "toy") == first and not hashed
    path = next((own / "toy").glob("*.npy"))
    os.utime(path, ns=(1, 1))
    assert content_sha256(own, "toy") != first and hashed == [path]


def test_a_file_of_the_same_size_and_date_is_hashed_again(own: Path):
    first = content_sha256(own, "toy")
    path = utterance(own, ".npy")
    status = path.stat()
    np.save(path, np.load(path) + 1)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size and content_sha256(own, "toy") != first


def test_hashes_that_cannot_be_kept_are_computed_again(own: Path, monkeypatch: pytest.MonkeyPatch):
    first = content_sha256(own, "toy")
    (own / feature_files.HASHES).write_text("{")
    monkeypatch.setattr(feature_files, "write_json", lambda *_: (_ for _ in ()).throw(OSError("read-only")))
    assert content_sha256(own, "toy") == first


def utterance(root: Path, suffix: str) -> Path:
    return sorted((root / "toy").glob(f"*{suffix}"))[-1]


def spoil(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        path = utterance(root, ".npy")
        np.save(path, change(np.load(path)))

    return write


def nan(states: np.ndarray) -> np.ndarray:
    states[1, 3, 2] = np.nan
    return states


def times(values: Callable[[int], Any]) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        path = utterance(root, ".npy")
        np.save(path.with_name(f"{path.stem}.times.npy"), values(np.load(path).shape[1]))

    return write


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda root: utterance(root, ".npy").unlink(),
                r"no features of 1 of 36 utterances of toy: toy/s2_it_\d"),
    "all missing": (lambda root: shutil.rmtree(root / "toy"), r"holds no <corpus>/<utterance>\.npy"),
    "two files": (lambda root: utterance(root, ".npy").with_suffix(".safetensors").touch(),
                  "expected one of them"),
    "too few frames": (spoil(lambda states: states[:, :-10]), r"\.npy: 49 frames; expected about 59, for 1\.20 s"),
    "too many frames": (spoil(lambda states: np.concatenate([states, states], axis=1)), "expected about 59"),
    "fewer layers": (spoil(lambda states: states[:1]), r"1 layers of 20 features; expected 2 layers of 20"),
    "another width": (spoil(lambda states: states[..., :5]), r"2 layers of 5 features; expected 2 layers of 20"),
    "no layers": (spoil(lambda states: states[0]), r"expected \(layer, time, width\)"),
    "NaN": (spoil(nan), r"s2_it_\d\.npy: NaN or infinity in layer 1"),
    "too large": (spoil(lambda states: states * 1e5), r"s2_it_\d\.npy: .*features\.storage=float32"),
    "whole numbers": (spoil(lambda states: states.astype(np.int32)), "int32; expected floating-point numbers"),
    "objects": (lambda root: np.save(utterance(root, ".npy"), np.array([{}] * 3), allow_pickle=True), "cannot be read"),
    "bytes": (lambda root: utterance(root, ".npy").write_bytes(b"nothing"), "cannot be read"),
    "bytes for tensors": (lambda root: utterance(root, ".safetensors").write_bytes(b"nothing"), "cannot be read"),
    "another tensor": (lambda root: save_file({"x": torch.zeros(1)}, utterance(root, ".safetensors")),
                       "no tensor states"),
    "no rate": (lambda root: (root / "features.json").unlink(), "neither frame times nor a rate"),
    "a misspelt rate": (lambda root: (root / "features.json").write_text('{"rate": 50, "start_s": 0}'),
                        "rate is neither; did you mean rate_hz"),
    "a rate of zero": (lambda root: (root / "features.json").write_text('{"rate_hz": 0, "start_s": 0}'), "above 0"),
    "a rate in words": (lambda root: (root / "features.json").write_text('{"rate_hz": "50", "start_s": 0}'), "finite"),
    "no JSON": (lambda root: (root / "features.json").write_text("rate_hz: 50"), r"features\.json"),
    "other times": (times(lambda count: np.arange(count + 1) / 50), "frames, but 60 frame times"),
    "times that end early": (times(lambda count: np.arange(count) / 100), "expected them to span 1.20 s"),
    "times that fall": (times(lambda count: -np.arange(count) / 50), "do not rise"),
    "times without end": (times(lambda count: np.full(count, np.inf)), "finite"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_them_is_one_line(case: str, own: Path, configure: Configure):
    change, expected = WRONG[case]
    change(own)
    with pytest.raises(EncoderError, match=expected) as caught:
        train(configure("held_out=it", "model=features", f"model.root={own}"))
    assert "\n" not in str(caught.value)


def test_a_place_that_is_not_there_is_named(configure: Configure):
    with pytest.raises(EncoderError, match=r"model\.root=/nowhere: no such folder"):
        train(configure("held_out=it", "model=features", "model.root=/nowhere"))
    with pytest.raises(ConfigError, match=r"model\.root"):
        _plain(configure("model=features"))


def test_no_other_audio_can_be_encoded_and_no_head_exported(configure: Configure, features: Path, tmp_path: Path):
    with pytest.raises(EncoderError, match="no other audio can be encoded"):
        Precomputed(features)([torch.zeros(16000)])
    train(configure("held_out=it", "model=features", f"model.root={features}"))
    (run,) = (path.parent for path in (tmp_path / "runs").rglob("result.json"))
    with pytest.raises(RunError, match="there is no encoder to invert audio with"):
        export(run)


def test_a_strangers_head_file_cannot_have_them_opened(mel: LogMel, features: Path, tmp_path: Path):
    about = about_of(mel)
    about["encoder"]["settings"] = {"_target_": "tractprobe.encoders.precomputed.Precomputed", "root": str(features)}
    with pytest.raises(HeadError, match="not ours to build"):
        write_head(tmp_path / "f.safetensors", random_ridge(100), about)
