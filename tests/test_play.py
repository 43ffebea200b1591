"""``tractprobe play``: measured movements of a prepared corpus, and a head's beside them."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DEMO, real
from test_head_file import repacked

from tractprobe.cli import main
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.mocha import Mocha
from tractprobe.data.splits import SplitRule
from tractprobe.inversion.head_header import about_of
from tractprobe.inversion.inverter import load_head
from tractprobe.inversion.measured import entry_of, scene_of
from tractprobe.inversion.seen import seen
from tractprobe.runs.hydra import builtin_corpus
from tractprobe.signals.channels import CHANNELS
from tractprobe.signals.smoothing import Smoothing
from tractprobe.system.errors import CorpusError, HeadError

Play = Callable[..., int]


@pytest.fixture
def play(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    monkeypatch.setenv("TRACTPROBE_DATA", str(data))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: main(["play", *map(str, arguments)])


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(r'<script id="data"[^>]*>([^<]*)<', page.read_text(encoding="utf-8"))
    assert found
    return json.loads(found[1])


def test_an_utterance_becomes_a_page(play: Play, toy: PreparedCorpus, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert play("toy", "s1_it_2") == 0
    assert capsys.readouterr().out == "played/toy-s1_it_2.html\n"
    page = tmp_path / "played/toy-s1_it_2.html"
    text, shown = page.read_text(encoding="utf-8"), data_of(page)
    assert "toy/s1_it_2, “it sentence 2”" in text and "Movements of toy/s1 (it)" in text
    assert shown["durationS"] == pytest.approx(1.2) and len(shown["points"]) == 6 and not shown["hasPredicted"]
    assert shown["phones"] == [["a", 0.1, 0.5], ["m", 0.5, 0.9]]
    assert "<table" not in text


def test_without_a_name_it_is_the_first(play: Play, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert play("toy") == 0
    said = capsys.readouterr().out
    assert said.startswith("toy/s0_de_0, the first of 36 utterances; name another after the corpus\n")
    assert (tmp_path / "played/toy-s0_de_0.html").is_file()


def test_measured_and_predicted_are_scored_as_runs_are(
    play: Play, toy: PreparedCorpus, head: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    assert play("toy", "toy/s1_it_2", "--head", head) == 0
    page = tmp_path / "played/toy-s1_it_2-f.html"
    assert data_of(page)["hasPredicted"]
    predicted = load_head(head)(toy.audio("toy/s1_it_2"), 16000)
    measured = Smoothing()(toy.track("toy/s1_it_2")).at(predicted.times_s)
    known = np.isfinite(measured).all(axis=1)
    expected = [np.corrcoef(measured[known, k], predicted.values[known, k])[0, 1] for k in range(12)]
    rows = scene_of(toy, entry_of(toy, "s1_it_2"), load_head(head)).rows
    assert [row["channel"] for row in rows] == list(CHANNELS)
    np.testing.assert_allclose([row["r"] for row in rows], expected, atol=1e-9)
    assert {row["n_frames"] for row in rows} == {int(known.sum())}
    cells = re.findall(r"<td>([^<]*)</td>", page.read_text(encoding="utf-8"))
    by_axis = [*expected[0::2], *expected[1::2]]
    assert cells == [f"{value:.2f}".replace("0.", ".", 1) for value in by_axis]
    said = capsys.readouterr().out
    assert f"r = {np.mean(expected):.2f} over 12 channels" in said and "is not known" in said


def test_predictions_are_placed_by_the_speaker_s_own_scale_or_the_recording_s(toy: PreparedCorpus, head: Path):
    entry = entry_of(toy, "s1_it_2")
    scene = scene_of(toy, entry, load_head(head))
    measured = Smoothing()(toy.track(entry.id))
    assert scene.film.predicted is not None
    predicted = scene.film.predicted.reshape(-1, 12)
    np.testing.assert_allclose(np.nanmean(predicted, axis=0), np.nanmean(measured.values, axis=0), atol=0.5)
    assert "this recording&#x27;s own mean and scale" in scene.about or "this recording's own mean" in scene.about
    repacked(head, lambda about: about.update(speakers={entry.speaker: about["speakers"]["s"]}))
    known = scene_of(toy, entry, load_head(head))
    assert f"the head's mean and scale of {entry.speaker}" in known.about
    assert [row["r"] for row in known.rows] == pytest.approx([row["r"] for row in scene.rows])


def test_a_channel_that_was_not_measured_has_no_r(toy: PreparedCorpus, head: Path, monkeypatch: pytest.MonkeyPatch):
    track = toy.track("toy/s1_it_2")
    values = track.values.copy()
    values[:, CHANNELS.index("ul_x")], values[:, CHANNELS.index("ll_x")] = np.nan, 3.0
    monkeypatch.setattr(PreparedCorpus, "track", lambda self, id_: replace(track, values=values))
    scene = scene_of(toy, entry_of(toy, "s1_it_2"), load_head(head))
    r = {row["channel"]: row["r"] for row in scene.rows}
    assert "ul_x" not in r and r["ll_x"] is None and len(r) == 11


WRONG = {
    "utterance": (["toy", "s1_it_9"], "toy has no utterance s1_it_9; of its 36: s1_it_"),
    "corpus": (["nosuch"], "no prepared corpus here; prepare it with"),
    "head": (["toy", "--head", "nosuch.safetensors"], "nosuch.safetensors"),
    "device": (["toy", "--head", "{head}", "--device", "abacus"], "device abacus"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_played_is_one_line(
    play: Play, head: Path, tmp_path: Path, capsys: pytest.CaptureFixture, case: str
):
    arguments, problem = WRONG[case]
    assert play(*(str(head) if argument == "{head}" else argument for argument in arguments)) == 1
    said = capsys.readouterr().err
    assert problem in said and said.count("\n") == 1 and not (tmp_path / "played").exists()


def test_a_page_that_exists_is_replaced_only_if_asked(play: Play, tmp_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / "played").mkdir()
    (tmp_path / "played/toy-s0_de_0.html").write_text("mine")
    assert play("toy", "s0_de_0") == 1 and "--existing replace" in capsys.readouterr().err
    assert (tmp_path / "played/toy-s0_de_0.html").read_text() == "mine"
    assert play("toy", "s0_de_0", "--existing", "replace") == 0
    assert (tmp_path / "played/toy-s0_de_0.html").stat().st_size > 10_000


def test_the_built_in_corpus_is_prepared_if_it_has_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACTPROBE_DATA", raising=False)
    id_ = min(path.stem for path in Path(builtin_corpus(DEMO)).rglob("*_it_*.json"))
    assert main(["play", DEMO, id_]) == 0
    page = f"played/{DEMO}-{id_}.html"
    assert (tmp_path / "data" / DEMO / "corpus.json").is_file() and (tmp_path / page).is_file()
    assert capsys.readouterr().out == f"{page}\n"


def test_a_run_given_as_a_head_is_told_how_to_become_one(play: Play, tmp_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / "s0").mkdir()
    for command in (["play", "toy"], ["invert", "a.wav"]):
        assert main([*command, "--head", "s0"]) == 1
        assert "`tractprobe export s0` makes one" in capsys.readouterr().err


def test_a_video_without_ffmpeg_says_what_to_install(
    play: Play, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    assert play("toy", "--video") == 1 and 'pip install "tractprobe[video]"' in capsys.readouterr().err


def test_what_is_too_long_or_has_no_positions_is_named(
    toy: PreparedCorpus, head: Path, monkeypatch: pytest.MonkeyPatch
):
    entry = entry_of(toy, "s1_it_2")
    with pytest.raises(CorpusError, match="pages are made of at most 1200 s"):
        scene_of(toy, replace(entry, num_samples=16000 * 1201))
    repacked(head, lambda about: about["channels"].__setitem__(slice(None), [
        {"target": "tract", "name": f"c{k}", "unit": "mm"} for k in range(12)
    ]))  # fmt: skip
    with pytest.raises(HeadError, match="predicts no positions"):
        scene_of(toy, entry, load_head(head))


@pytest.mark.parametrize("ema", [{"lowpass_hz": "10"}, {"order": 10**9}, {"_target_": "os.system", "command": "x"}])
def test_a_smoothing_that_cannot_be_is_refused(toy: PreparedCorpus, head: Path, ema: dict[str, Any]):
    repacked(head, lambda about: about.update(ema=ema))
    with pytest.raises(HeadError, match="not the smoothing"):
        scene_of(toy, entry_of(toy, "s1_it_2"), load_head(head))


# Was it in the head's training data?


def card(head: Path, toy: PreparedCorpus, by: str, held_out: str, **changes: Any) -> Any:
    about = about_of(head.read_bytes())
    return about | {
        "corpora": {"toy": toy.content_hash},
        "speakers": {f"toy/s{number}": {} for number in range(3)},
        "run": {"head": "ridge", "split": by, "held_out": held_out, "seed": 0, "differences": {}},
        **changes,
    }


@pytest.mark.parametrize(
    ("by", "held_out"), [("language", "it"), ("speaker", "s1"), ("sentence", "fold0"), ("sentence", "fold3")]
)
def test_it_is_said_whether_a_head_knows_an_utterance(head: Path, toy: PreparedCorpus, by: Any, held_out: str):
    from hydra import compose, initialize_config_dir

    from tractprobe.runs.configuration import conf_dir

    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        settings = dict(compose("train", overrides=[f"split={by}", f"held_out={held_out}"])["split"])
    settings.pop("_target_")
    split = SplitRule(**settings)(toy.entries, held_out, 0)
    answers = {entry.id: seen(card(head, toy, by, held_out), toy, entry) for entry in toy.entries}
    for id_, answer in answers.items():
        expected = (
            "It was in the head's" if id_ in split.development else "in its test" if id_ in split.test else "neither"
        )
        assert expected in answer and f"held out: {by} {held_out}" in answer


def test_what_a_head_file_does_not_tell_is_called_unknown(head: Path, toy: PreparedCorpus):
    entry = entry_of(toy, "s1_it_2")

    def answer(by: str, held_out: str, **changes: Any) -> str:
        return seen(card(head, toy, by, held_out, **changes), toy, entry)

    elsewhere = {"toy": toy.content_hash, "other": "0"}
    assert "prepared anew" in answer("language", "it", corpora={"toy": "1"})
    assert "other corpora (hprc)" in answer("language", "it", corpora={"hprc": "1"})
    assert "has not learned from toy/s1" in answer("sentence", "fold0", speakers={"toy/s0": {}})
    assert "not in the head's training data (held out: language it)" in answer("language", "it", corpora=elsewhere)
    assert "unless its sentence" in answer("language", "de", corpora=elsewhere)
    assert "is not known" in answer("sentence", "fold0", corpora=elsewhere)
    assert "is not known" in answer("sentence", "fold0", corpora={"toy": toy.content_hash, "../toy": "1"})
    for differences in ({"split.folds": 10**12}, {"split.by": "language"}, {"split.folds": "many"}, [1]):
        run = {"head": "r", "split": "sentence", "held_out": "fold0", "seed": 0, "differences": differences}
        assert "is not known" in answer("sentence", "fold0", run=run)
    assert "is not known" in answer("/etc/passwd", "fold0")


def test_a_real_palate_is_drawn(tmp_path: Path):
    (tmp_path / "prompts.txt").write_text("001. This was easy for us.\n")
    reader = Mocha(real("TRACTPROBE_SAMPLES", "mocha_timit"), prompts=str(tmp_path / "prompts.txt"))
    prepare(reader, tmp_path / "data")
    corpus = PreparedCorpus(tmp_path / "data/mocha")
    scene = scene_of(corpus, entry_of(corpus, None))
    outline = scene.film.outline
    assert not outline.schematic and len(outline.palate) > 10
    # The tongue stays below its palate, but for the thickness of a sensor.
    tongue = scene.film.points[:, :3].reshape(-1, 2)
    below = np.interp(tongue[:, 0], *outline.palate.T) - tongue[:, 1]
    assert np.nanquantile(below, 0.01) > -2
