"""Pretraining from the door: it learns, stops and resumes to the bit, and what it writes loads anywhere."""

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from pretrained import SMALL, SMALL_MODEL, composed
from safetensors.torch import load_file
from transformers import AutoModel
from warm import Warm

from tractprobe.commands import parser, run
from tractprobe.commands.pretrain import check
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.encoders.mel import Mfcc
from tractprobe.encoders.pretrained import pretrained
from tractprobe.encoders.raised import Raised
from tractprobe.encoders.untrained import random_weights
from tractprobe.pretraining.augmentation import Drawn
from tractprobe.pretraining.callbacks import Clock, read_articulation
from tractprobe.pretraining.crops import Crops, Piece
from tractprobe.pretraining.learning import Learning
from tractprobe.pretraining.optimiser import Optimiser
from tractprobe.pretraining.settings import Asked
from tractprobe.pretraining.speech import Speech
from tractprobe.pretraining.targets import made_targets
from tractprobe.raising import raise_encoder
from tractprobe.runs.configuration import plain
from tractprobe.system.errors import ConfigError, CorpusError, EncoderError, RunError
from tractprobe.system.stopping import Stopped


@pytest.fixture
def places(data: Path, tmp_path: Path) -> list[str]:
    return [f"paths.data={data}", f"paths.runs={tmp_path / 'runs'}", f"paths.cache={tmp_path / 'cache'}"]


def raised(places: list[str], *overrides: str) -> Path:
    return raise_encoder(composed(*SMALL, *places, *overrides))


def weights(encoder: Path) -> dict[str, torch.Tensor]:
    return load_file(encoder / "model.safetensors")


def assert_same(first: Path, second: Path) -> None:
    ours, theirs = weights(first), weights(second)
    assert set(ours) == set(theirs)
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert not different


def test_an_encoder_is_raised_and_goes_through_the_same_path_as_any_other(places: list[str], toy: PreparedCorpus):
    encoder = raised(places, "pretrain.languages=[it]")
    about = Raised.read(encoder)
    assert about is not None and about.updates == 6 and about.iteration == 1 and set(about.languages) == {"it"}
    assert about.hours_heard == pytest.approx(6 * 2 * 0.8 / 3600) and about.corpora == {"toy": toy.content_hash}
    assert about.hours_of_data == pytest.approx(
        sum(e.duration_s for e in toy.entries if e.language == "it") / 3600, rel=1e-3
    )
    model = AutoModel.from_pretrained(encoder)
    assert about.parameters == sum(own.numel() for own in model.parameters())
    ours = pretrained(str(encoder))
    states = ours([torch.from_numpy(toy.audio(toy.entries[0].id))])[0]
    assert states.shape[0] == 3 and ours.geometry.stride == 320 and torch.isfinite(states).all()


def test_without_updates_it_is_the_untrained_twin(places: list[str]):
    twin = raised(places, "pretrain.updates=0", "pretrain.export=float16")
    about = Raised.read(twin)
    assert about is not None and not about.is_trained and about.hours_heard == 0
    settings = plain(composed(*SMALL_MODEL))["model"]
    control = random_weights("control", settings["architecture"], seed=0)
    ours = pretrained(str(twin))
    wave = torch.randn(8000)
    assert torch.allclose(ours([wave])[0], control([wave])[0], atol=0.02)  # of float16
    assert weights(twin)["encoder.layers.0.attention.k_proj.weight"].dtype == torch.float16
    trained = raised(places, "pretrain.updates=3", "name=other")
    assert not torch.equal(
        weights(trained)["feature_projection.projection.weight"], ours.model.feature_projection.projection.weight
    )


def test_stopped_in_the_middle_and_continued_it_is_the_same_to_the_bit(places: list[str]):
    whole = raised(places, "name=whole")
    raised(places, "name=parts", "pretrain.updates=2")
    raised(places, "name=parts", "pretrain.updates=3")
    assert_same(whole, raised(places, "name=parts"))
    about = Raised.read(whole.parents[1] / "parts/encoder")
    assert about is not None and [each["updates"] for each in about.rates["stretches"]] == [2, 1, 3]


def test_another_seed_is_another_encoder(places: list[str]):
    first, second = (weights(raised(places, f"seed={seed}", "pretrain.updates=1")) for seed in (0, 1))
    assert not torch.equal(first["masked_spec_embed"], second["masked_spec_embed"])


def test_processes_that_prepare_batches_change_nothing(places: list[str]):
    assert_same(raised(places, "name=a"), raised(places, "name=b", "pretrain.workers=2"))


def test_a_longer_training_continues_from_before_the_cooldown(places: list[str]):
    cooled = raised(places, "name=cooled", "pretrain.updates=4", "pretrain.cooldown=2")
    about = Raised.read(cooled)
    assert about is not None and about.updates == 6 and about.targets["learned_by"]["cooldown"] == 2
    longer = raised(places, "name=cooled", "pretrain.updates=6", "pretrain.cooldown=0")
    assert_same(raised(places, "name=never"), longer)
    again = raised(places, "name=cooled", "pretrain.updates=reached", "pretrain.cooldown=1")
    assert Raised.read(again).updates == 7  # type: ignore[union-attr]


def test_the_checkpoint_before_a_cooldown_of_what_was_reached_is_kept(places: list[str]):
    raised(places, "name=parts", "pretrain.updates=4")
    cooled = raised(places, "name=parts", "pretrain.updates=reached", "pretrain.cooldown=2")
    before = weights(cooled)
    again = raised(places, "name=parts", "pretrain.updates=reached", "pretrain.cooldown=2")
    assert all(torch.equal(before[name], value) for name, value in weights(again).items())
    assert_same(raised(places, "name=never"), raised(places, "name=parts", "pretrain.updates=6"))


@pytest.mark.parametrize("end", [KeyboardInterrupt, Stopped])
def test_what_a_signal_ends_is_kept_up_to_the_last_update(
    places: list[str], monkeypatch: pytest.MonkeyPatch, end: type[BaseException]
):
    whole, step = raised(places, "name=whole"), Learning.training_step

    def ending(learning: Learning, batch: Any, batch_idx: int) -> torch.Tensor:
        if learning.update == 4:
            raise end(signal.SIGTERM) if end is Stopped else end()
        return step(learning, batch, batch_idx)

    monkeypatch.setattr(Learning, "training_step", ending)
    with pytest.raises(end):
        raised(places, "name=parts")
    monkeypatch.undo()
    folder = Path(next(place for place in places if place.startswith("paths.runs=")).partition("=")[2]) / "parts"
    kept = Raised.read(folder / "encoder")
    assert kept is not None and kept.updates == 4
    assert_same(whole, raised(places, "name=parts"))


def test_what_is_interrupted_within_a_step_of_the_optimiser_is_not_kept(
    places: list[str], monkeypatch: pytest.MonkeyPatch
):
    def broken(optimiser: Any, closure: Any) -> None:
        closure()
        raise KeyboardInterrupt

    monkeypatch.setattr(Optimiser, "step", broken)
    with pytest.raises(KeyboardInterrupt):
        raised(places, "name=parts")
    folder = Path(next(place for place in places if place.startswith("paths.runs=")).partition("=")[2]) / "parts"
    assert not (folder / "checkpoints").exists()


def test_an_encoder_whose_upbringing_is_damaged_is_refused(places: list[str]):
    encoder = raised(places, "pretrain.updates=0")
    said = encoder / "pretraining.json"
    said.write_text(said.read_text()[:200])
    with pytest.raises(EncoderError, match=r"pretraining\.json: .*copy the encoder's folder again"):
        pretrained(str(encoder), local_files_only=True)


def test_the_untrained_twin_has_a_folder_of_its_own(places: list[str]):
    trained, twin = raised(places), raised(places, "pretrain.updates=0")
    assert trained != twin and "untrained" in twin.parent.name
    told = Raised.read(trained)
    assert told is not None and told.updates == 6


def test_a_cooldown_that_was_interrupted_continues(places: list[str], monkeypatch: pytest.MonkeyPatch):
    asked = ["pretrain.updates=3", "pretrain.cooldown=3"]
    whole = raised(places, "name=whole", *asked)

    def stopping(clock: Clock, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        trainer.should_stop = pl_module.update == 5

    monkeypatch.setattr(Clock, "on_train_batch_end", stopping)
    encoder = raised(places, "name=parts", *asked)
    monkeypatch.undo()
    stopped = Raised.read(encoder)
    assert stopped is not None and stopped.updates == 5
    assert_same(whole, raised(places, "name=parts", *asked))


def test_checkpoints_of_others_are_refused_in_one_line(places: list[str]):
    raised(places, "name=one", "pretrain.updates=2")
    with pytest.raises(RunError, match="other settings or other speech"):
        raised(places, "name=one", "pretrain.learning_rate=0.1")
    with pytest.raises(ConfigError, match="has 2 updates or more"):
        raised(places, "name=one", "pretrain.updates=1")
    with pytest.raises(ConfigError, match="no checkpoint yet"):
        raised(places, "name=two", "pretrain.updates=reached")


def test_a_damaged_checkpoint_is_named(places: list[str], tmp_path: Path):
    raised(places, "name=one", "pretrain.updates=2")
    (file,) = (tmp_path / "runs/one/checkpoints").glob("last-*.safetensors")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(RunError, match=r"changed since it was written; remove .*checkpoints to start over"):
        raised(places, "name=one")
    (tmp_path / "runs/one/checkpoints/last.json").write_text('{"schema": 1, "file": "../../x"}')
    with pytest.raises(RunError, match="not a checkpoint of tractprobe"):
        raised(places, "name=one")


def test_the_second_iteration_learns_from_a_layer_of_the_first(places: list[str]):
    first = raised(places, "name=first")
    second = raised(places, "name=second", f"pretrain.targets.teacher={first}", "pretrain.targets.layer=1")
    about = Raised.read(second)
    assert about is not None and about.iteration == 2 and about.targets["layer"] == 1
    with pytest.raises(ConfigError, match="expected 0 to 2"):
        raised(places, "name=x", f"pretrain.targets.teacher={first}", "pretrain.targets.layer=3")


def test_a_pretraining_starts_from_the_weights_of_another(places: list[str], toy: PreparedCorpus):
    first = raised(places, "name=first")
    same = raised(places, "name=same", f"pretrain.start={first}", "pretrain.updates=0")
    before, after = load_file(first / "model.safetensors"), load_file(same / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    more = Raised.read(raised(places, "name=more", f"pretrain.start={first}", "pretrain.updates=3"))
    told = Raised.read(first)
    assert more is not None and told is not None and more.updates == told.updates + 3
    assert more.hours_heard == pytest.approx(told.hours_heard * (1 + 3 / told.updates))
    assert more.targets["learned_by"]["start"]["updates"] == told.updates


def test_a_start_may_have_heard_less_speech_which_is_then_named(places: list[str], toy: PreparedCorpus):
    first = raised(places, "name=first", "pretrain.languages=[it]")
    told = Raised.read(first)
    assert told is not None
    (first / "pretraining.json").write_text(
        json.dumps({**told.plain, "corpora": {"other": "0" * 64}, "licences": ["ODbL-1.0"]})
    )
    more = Raised.read(raised(places, "name=more", f"pretrain.start={first}"))
    assert more is not None and more.targets["learned_by"]["start"]["corpora"] == {"other": "0" * 64}
    assert set(more.languages) > {"it"} and "ODbL-1.0" in more.licences


def test_a_start_of_other_architecture_or_more_languages_is_refused(places: list[str], tmp_path: Path):
    first = raised(places, "name=first")
    with pytest.raises(ConfigError, match="another architecture"):
        raised(places, "name=x", f"pretrain.start={first}", "model.architecture.intermediate_size=24")
    with pytest.raises(ConfigError, match=r"it has heard .*, which these corpora lack"):
        raised(places, "name=y", f"pretrain.start={first}", "pretrain.languages=[it]")
    with pytest.raises(ConfigError, match="expected the folder of an encoder"):
        raised(places, "name=z", f"pretrain.start={tmp_path}")


def test_losses_fall(places: list[str], tmp_path: Path):
    raised(
        places, "pretrain.updates=80", "tracking=csv", "pretrain.learning_rate=0.005", "pretrain.batch=6",
        "pretrain.augmentation.share=0", "model.architecture.hidden_dropout=0", "model.architecture.layerdrop=0",
        "name=learns",
    )  # fmt: skip
    rows = (tmp_path / "runs/learns/metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("pretrain/unmasked_loss")
    losses = [float(row.split(",")[column]) for row in rows[1:]]
    assert np.mean(losses[-5:]) < 0.8 * losses[0]


@pytest.fixture
def speech(toy: PreparedCorpus, tmp_path: Path) -> Speech:
    return Speech([toy], tmp_path / "cache")


def asked_of(*overrides: str) -> Asked:
    return Asked.of(plain(composed(*SMALL, *overrides)))


def test_stored_samples_are_the_corpus_own(speech: Speech, toy: PreparedCorpus):
    for number in (0, 7, len(speech.utterances) - 1):
        entry = speech.utterances[number].entry
        assert np.array_equal(speech.samples(number), toy.audio(entry.id))
        assert np.array_equal(speech.samples(number, 320, 100), toy.audio(entry.id)[320:420])
    assert sum(speech.hours.values()) == pytest.approx(sum(entry.duration_s for entry in toy.entries) / 3600)


def test_a_damaged_store_is_named(speech: Speech, toy: PreparedCorpus, tmp_path: Path):
    (file,) = (tmp_path / "cache/speech").rglob("samples.i16")
    content = bytearray(file.read_bytes())
    content[1000] ^= 1
    file.write_bytes(content)
    with pytest.raises(CorpusError, match="damaged; remove"):
        Speech([toy], tmp_path / "cache")


def test_a_language_that_is_not_there_is_named(toy: PreparedCorpus, tmp_path: Path):
    with pytest.raises(ConfigError, match="yo is in none of the corpora toy; there are de, en, it"):
        Speech([toy], tmp_path / "cache", ["it", "yo"])


def test_labels_are_the_nearest_centroids_of_cepstra_and_are_kept(speech: Speech, tmp_path: Path):
    policy = asked_of().pretrain.targets
    targets = made_targets(speech, policy, 0, tmp_path / "cache")
    again = made_targets(speech, policy, 0, tmp_path / "cache")
    assert np.array_equal(targets.labels, again.labels) and targets.labels.dtype == np.uint8
    assert len(set(targets.labels.tolist())) == 8
    (file,) = (tmp_path / "cache/targets").rglob("centroids.npy")
    centroids = np.load(file)
    own = speech.utterances[5]
    wave = torch.from_numpy(speech.samples(5))
    cepstra = Mfcc(cepstra=13, deltas=2)([(wave - wave.mean()) / wave.std()])[0][0].numpy()
    every = [Mfcc(cepstra=13, deltas=2)([torch.from_numpy(speech.samples(n))])[0][0].numpy() for n in range(36)]
    scale = np.concatenate(every).std(axis=0)
    nearest = np.argmin(np.square((cepstra[:, None] - centroids) / scale).sum(axis=-1), axis=1)
    assert np.mean(nearest == targets.labels[own.frame : own.frame + own.frames]) > 0.9  # scale is of a sample


def test_damaged_labels_are_named(speech: Speech, tmp_path: Path):
    policy = asked_of().pretrain.targets
    labels = made_targets(speech, policy, 0, tmp_path / "cache").labels.copy()
    (file,) = (tmp_path / "cache/targets").rglob("labels.npy")
    labels[0] = (labels[0] + 1) % 8
    np.save(file, labels)
    with pytest.raises(CorpusError, match=r"labels\.npy: damaged"):
        made_targets(speech, policy, 0, tmp_path / "cache")


def test_a_frame_of_a_crop_has_the_label_of_what_is_heard_at_its_time(
    speech: Speech, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = asked_of("pretrain.augmentation.share=0")
    targets = made_targets(speech, asked.pretrain.targets, 0, tmp_path / "cache")
    crops = Crops(speech, targets, asked.pretrain, 0)
    own = speech.utterances[4]
    pieces = [Piece(4, 640, 6400), Piece(9, 0, 8000)]
    monkeypatch.setattr(crops.sampling, "pieces", lambda samples, random: pieces)
    audio, labels = crops._crop(Drawn(), np.random.default_rng(0))
    assert np.array_equal(audio[:6400], speech.samples(4, 640, 6400))
    assert np.array_equal(labels[:19], targets.labels[own.frame + 2 : own.frame + 21])  # centres before the seam
    other = speech.utterances[9]
    assert np.array_equal(labels[20:], targets.labels[other.frame : other.frame + len(labels) - 20])
    _, faster = crops._crop(Drawn(speed=1.1), np.random.default_rng(0))
    centres = 1.1 * (199.5 + 320 * np.arange(17))
    expected = targets.labels[own.frame + 2 + np.rint((centres - 199.5) / 320).astype(int)]
    assert np.array_equal(faster[:17], expected)


def test_a_batch_is_the_same_whenever_it_is_made(speech: Speech, tmp_path: Path):
    asked = asked_of("pretrain.augmentation.share=1")
    targets = made_targets(speech, asked.pretrain.targets, 0, tmp_path / "cache")
    first, second = (Crops(speech, targets, asked.pretrain, 0) for _ in range(2))
    later = first[5]
    first[0]
    for name in ("waves", "labels", "mask"):
        assert torch.equal(later[name], second[5][name])  # type: ignore[literal-required]
    assert later["waves"].shape == (2, 12800) and later["labels"].shape == later["mask"].shape == (2, 39)
    assert not torch.equal(later["waves"], second[6]["waves"])


def test_articulation_is_read_from_every_layer_as_a_curve(places: list[str], tmp_path: Path):
    overrides = ["pretrain.score.every=4", "pretrain.score.corpora=[toy]", "pretrain.score.language=it", "name=curve"]
    raised(places, *overrides, "pretrain.updates=5")
    raised(places, *overrides, "pretrain.updates=8")
    rows = read_articulation(tmp_path / "runs/curve/articulation.jsonl")
    assert {row["held_out"] for row in rows} == {"s0", "it"} and {row["layer"] for row in rows} == {0, 1, 2}
    assert sorted({row["update"] for row in rows}) == [0, 4, 5, 8]
    assert len(rows) == 4 * 2 * 3 and all(-1 <= row["r"] <= 1 for row in rows)


def test_killed_at_any_moment_and_started_again_it_is_the_same_to_the_bit(
    places: list[str], tmp_path: Path, warm: Warm
):
    line = [
        str(REPOSITORY / "train.py"),
        "task=pretrain",
        *SMALL,
        *places,
        "pretrain.updates=12",
        "pretrain.cooldown=3",
    ]
    line += ["pretrain.checkpoint_s=0.001"]
    assert warm.start([*line, "name=whole"], tmp_path).wait() == 0
    checkpoints, killed = tmp_path / "runs/killed/checkpoints", 0
    for least in (1, 5, 13):
        process = warm.start([*line, "name=killed"], tmp_path)
        while process.poll() is None and _update(checkpoints) < least:
            time.sleep(0.001)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert warm.start([*line, "name=killed"], tmp_path).wait() == 0 and killed >= 1
    assert_same(tmp_path / "runs/whole/encoder", tmp_path / "runs/killed/encoder")
    assert not list((tmp_path / "runs/killed").rglob(".*.tmp"))


def _update(checkpoints: Path) -> int:
    try:
        return int(json.loads((checkpoints / "last.json").read_text())["update"])
    except (OSError, ValueError, KeyError):
        return 0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("pretrain.updates=soon", "expected a whole number, or reached"),
        ("pretrain.updates=-1", "pretrain.updates=-1"),
        ("pretrain.crop_s=0.1", "expected 0.5 to 30"),
        ("pretrain.languages=[]", "expected a list such as"),
        ("pretrain.targets.layer=3", "go together"),
        ("pretrain.targets.clusters=1", "clusters"),
        ("pretrain.augmentation.speed=2", "speed and tract_length"),
        ("pretrain.temperature=0.5", "at least 1"),
        ("model=mel", "give model=small_hubert"),
        ("model.architecture={model_type: wavlm}", "give model=small_hubert"),
        ("model.seed=3", "leave model.seed out"),
        ("name=../x", "a folder below paths.runs"),
        ("pretrain.batch=two", "pretrain.batch=two"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(override: str, message: str):
    with pytest.raises(ConfigError, match=message) as caught:
        check(composed(override))
    assert "\n" not in str(caught.value)


def test_train_with_its_task_is_the_same_command(capsys: pytest.CaptureFixture[str]):
    for arguments in (["train", ["task=pretrain", "--help"]], ["pretrain", ["--help"]]):
        run(*arguments)  # type: ignore[arg-type]
        told = capsys.readouterr().out
        assert "tractprobe pretrain corpora=[speech] pretrain.minutes=60" in told
        settings = [line.split(maxsplit=1) for line in told.splitlines() if re.match(r"  \w[\w.]*=", line)]
        assert len(settings) > 40 and all(len(each) == 2 for each in settings)  # each is explained
    assert parser("pretrain").prog == "tractprobe pretrain"
