"""Corpora of sound alone: manifests and folders in, a prepared corpus without movements out."""

import csv
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import write_utterance
from lhotse import CutSet

from tractprobe.cli import main
from tractprobe.corpora.audit.sound import audit_sound, measured
from tractprobe.corpora.formats.sound_manifest import read_sound_manifest
from tractprobe.corpora.languages import of_locale
from tractprobe.corpora.prepared import prepare as prepare_module
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import PreparedTrack, PreparedUtterance
from tractprobe.corpora.prepared.prepare import describe, prepare
from tractprobe.corpora.prepared.shar import export_shar
from tractprobe.corpora.readers.audio import Audio
from tractprobe.corpora.readers.folder import Folder
from tractprobe.corpora.utterance import Utterance, settings_of
from tractprobe.evaluation import evaluate
from tractprobe.evidence.bench import Bench
from tractprobe.jobs import train
from tractprobe.probes.opening import check, each_held_out, open_corpora
from tractprobe.probes.problem import Problem
from tractprobe.runs.configuration import plain
from tractprobe.runs.settings import Settings
from tractprobe.system.errors import ConfigError, CorpusError, StorageError

HASHES = (
    "156e324b356206c259a4c61ea3c9028d5de05ca6cdc1255f29deb92f8567edf6",
    "1b3798bb2b7752fe1c1f6492d173cd5b7bdd78346dd176756ae768908c82c63c",
    "d8c22974b6500893d5e459233d3090a6dacff1fdad7e78a491b85df1c35fb704",
)
"""Content, manifest and fingerprint of a corpus, as commit a0eda3a made them."""
Configure = Callable[..., Any]
COLUMNS = ("file", "language", "speaker", "source", "licence", "seconds")


def tone(path: Path, seconds: float = 0.5, rate_hz: int = 16000, channels: int = 1, hz: float = 440.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)
    soundfile.write(path, np.tile(wave[:, None], channels), rate_hz)
    return path


def listed(root: Path, *rows: Sequence[Any], columns: Sequence[str] = COLUMNS) -> Audio:
    """Write a manifest; a row may be shorter than there are columns."""
    root.mkdir(parents=True, exist_ok=True)
    with open(root / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *([*row, *[""] * (len(columns) - len(row))] for row in rows)])
    return Audio("speech", root)


def problems(reader: Audio) -> list[str]:
    """Return what cannot be read, source by source."""
    told = []
    for source in reader.sources():
        try:
            told += [str(each) for each in reader.read(source) if isinstance(each, CorpusError)]
        except CorpusError as error:
            told.append(str(error))
    return told


def utterance(reader: Audio, source: str) -> Utterance:
    (read,) = reader.read(source)
    assert isinstance(read, Utterance)
    return read


@pytest.fixture
def speech(tmp_path: Path) -> Audio:
    """A manifest of two languages, three speakers and two sources that share a speaker's name."""
    root = tmp_path / "raw"
    rows = []
    for number, (locale, speaker, source, licence) in enumerate([
        ("it", "s1", "lab/one:a.wav", "MIT"), ("it", "s1", "lab/one:b.wav", "MIT"),
        ("sv-SE", "s1", "lab/two:c.wav", "CC0 1.0 (crowd)"), ("sv-SE", "Åsa", "lab/two", "CC0 1.0"),
    ]):  # fmt: skip
        tone(root / f"{locale}/{number}.flac", 0.5 + 0.1 * number)
        rows.append((f"{locale}/{number}.flac", locale, speaker, source, licence, f"{0.5 + 0.1 * number:.2f}"))
    return listed(root, *rows)


def test_a_manifest_becomes_a_corpus_without_movements(speech: Audio, tmp_path: Path):
    corpus = prepare(speech, tmp_path / "data")
    assert not corpus.has_movements and corpus.description["skipped"] == []
    assert [entry.id for entry in corpus.entries] == [
        "speech/it-0", "speech/it-1", "speech/sv-SE-2", "speech/sv-SE-3"
    ]  # fmt: skip
    assert [entry.language for entry in corpus.entries] == ["it", "it", "sv", "sv"]
    assert sorted(path.name for path in corpus.folder.iterdir()) == ["audio", "corpus.json", "cuts.jsonl"]
    audio, _ = soundfile.read(speech.root / "it/1.flac", dtype="float32")
    np.testing.assert_array_equal(corpus.audio("speech/it-1"), audio)
    back = corpus.utterance("speech/sv-SE-3")
    assert back.track is None and back.original == {"id": "sv-SE/3", "speaker": "Åsa"} and back.speaker == "Asa"
    assert corpus.extra_track("speech/it-0") is None and "ema" not in json.dumps(corpus.cuts[0].to_dict())


def test_labels_say_source_licence_and_locale(speech: Audio):
    assert utterance(speech, "it/0.flac").labels == {"licence": "MIT", "source": "lab/one"}
    assert utterance(speech, "sv-SE/2.flac").labels == {
        "licence": "CC0 1.0", "licence_note": "(crowd)", "locale": "sv-SE", "source": "lab/two"
    }  # fmt: skip


def test_speakers_are_named_with_their_source_only_where_two_share_a_name(speech: Audio, tmp_path: Path):
    corpus = prepare(speech, tmp_path / "data")
    assert [entry.speaker for entry in corpus.entries] == [
        "speech/lab-one_s1", "speech/lab-one_s1", "speech/lab-two_s1", "speech/Asa"
    ]  # fmt: skip
    assert corpus.utterance("speech/it-0").original["speaker"] == "s1"


def test_licences_can_be_chosen(speech: Audio, tmp_path: Path):
    chosen = Audio("speech", speech.root, licences=["CC0 1.0"])
    assert chosen.sources() == ["manifest.csv", "sv-SE/2.flac", "sv-SE/3.flac"] and problems(chosen) == []
    assert settings_of(speech).keys() == {
        "name",
        "licence",
        "labels",
        "audio_channel",
    }  # as before there was the choice
    assert settings_of(chosen)["licences"] == ("CC0 1.0",)
    with pytest.raises(CorpusError, match=r"no file is under MTI \(corpus\.licences\); there are: CC0 1\.0, MIT"):
        Audio("speech", speech.root, licences=["MIT", "MTI"]).sources()
    tone(tmp_path / "folders/it/anna/a.wav")
    assert Audio("speech", tmp_path / "folders", licence="MIT", licences="MIT").sources() == ["it/anna/a.wav"]
    with pytest.raises(CorpusError, match="there are: none stated"):
        Audio("speech", tmp_path / "folders", licences=["MIT"]).sources()
    with pytest.raises(CorpusError, match="no file is under CC0"):
        Audio("speech", tmp_path / "folders", licence="MIT", licences=["CC0"]).sources()


@pytest.mark.parametrize(("tag", "code"), [
    ("it", "it"), ("zh-CN", "zh"), ("zh-TW", "zh"), ("zh-HK", "yue"), ("zh_hk", "yue"), ("sv-SE", "sv"),
    ("rm-sursilv", "rm"), ("fy-NL", "fy"), ("ga-IE", "ga"), ("pa-IN", "pa"), ("hsb", "hsb"), ("cnh", "cnh"),
    ("kab", "kab"), ("zxx", "zxx"), ("zh-Hant-TW", "zh"),
])  # fmt: skip
def test_a_locale_is_of_a_language(tag: str, code: str):
    assert of_locale(tag) == code


@pytest.mark.parametrize(("tag", "told"), [
    ("", "expected an ISO 639 code"), ("italian", "expected an ISO 639 code"), ("cmn-CN", "use 'zh'"),
    ("ger", "use 'de'"), ("xx", "not an ISO 639 code"), ("it/../x", "expected an ISO 639 code"), ("it-", "expected"),
])  # fmt: skip
def test_what_is_no_language_is_refused(tag: str, told: str):
    with pytest.raises(ValueError, match=told):
        of_locale(tag)


def test_locales_of_one_language_are_told_apart_by_their_label(tmp_path: Path):
    for name in ("a", "b", "c"):
        tone(tmp_path / f"raw/{name}.wav")
    reader = listed(tmp_path / "raw", ("a.wav", "zh-CN", "x"), ("b.wav", "zh-TW", "y"), ("c.wav", "zh-HK", "z"))
    corpus = prepare(reader, tmp_path / "data")
    assert [(entry.language, entry.labels["locale"]) for entry in corpus.entries] == [
        ("zh", "zh-CN"), ("zh", "zh-TW"), ("yue", "zh-HK")
    ]  # fmt: skip
    assert "zh-CN zh-TW" in describe(corpus)


def test_folders_say_language_and_speaker(tmp_path: Path):
    for file in ("it/anna/01.wav", "it/anna/session 2/01.ogg", "pt-BR/João/x.flac", "pt-BR/João/x.mp3"):
        tone(tmp_path / "raw" / file, hz=300 + 10 * len(file))
    tone(tmp_path / "raw/lost.wav")
    (tmp_path / "raw/notes.txt").write_text("no sound")
    corpus = prepare(Audio("speech", tmp_path / "raw", licence="CC0 1.0"), tmp_path / "data")
    assert [(entry.id, entry.speaker, entry.language) for entry in corpus.entries] == [
        ("speech/it-anna-01", "speech/anna", "it"),
        ("speech/it-anna-session_2-01", "speech/anna", "it"),
        ("speech/pt-BR-Joao-x", "speech/Joao", "pt"),
    ]
    assert corpus.entries[2].labels == {"licence": "CC0 1.0", "locale": "pt-BR"}
    skipped = [each["problem"] for each in corpus.description["skipped"]]
    assert len(skipped) == 2 and "lies in no <language>/<speaker>/ folder" in skipped[0]
    assert "a second utterance named pt-BR-Joao-x" in skipped[1]


@pytest.mark.parametrize(("file", "told"), [
    (None, "expected manifest.csv, or files in <language>/<speaker>/"),
    ("a.wav", "says neither language nor speaker of a.wav"), ("it/a.wav", "says neither language nor speaker"),
])  # fmt: skip
def test_a_folder_of_another_layout_is_refused(tmp_path: Path, file: str | None, told: str):
    if file:
        tone(tmp_path / file)
    with pytest.raises(CorpusError, match=told):
        Audio("speech", tmp_path).sources()
    with pytest.raises(CorpusError, match="no such folder"):
        Audio("speech", tmp_path / "none").sources()


@pytest.mark.parametrize(("row", "told"), [
    (("../out.wav", "it", "a"), "manifest.csv (line 2): file '../out.wav' lies outside of this folder"),
    (("/etc/passwd", "it", "a"), "lies outside of this folder"),
    (("it/../../out.wav", "it", "a"), "lies outside of this folder"),
    (("C:/out.wav", "it", "a"), "lies outside of this folder"),
    (("it\\a.wav", "it", "a"), "with '/' between its parts"),
    (("", "it", "a"), "expected a path below this folder"),
    (("a.wav", "italian", "a"), "language 'italian': expected an ISO 639 code"),
    (("a.wav", "it", ""), "speaker '': expected a name"),
    (("a.wav", "it", "a", "", "", "-1"), "seconds '-1': expected a positive number"),
    (("a.wav", "it", "a", "", "", "nan"), "seconds 'nan': expected a positive number"),
    (("a.wav", "it", "a", "", "", "long"), "line 2"),
    (("a.wav", "it", "a", "x" * 129), "label source"),
    (("good.wav", "it", "a"), "manifest.csv (line 3): names good.wav a second time"),
    (("gone.wav", "it", "a"), "gone.wav: no such file"),
    (("good.wav/a.wav", "it", "a"), "Not a directory"),
    (("text.wav", "it", "a"), "text.wav: not readable as audio"),
    (("link.wav", "it", "a"), "outside of the corpus"),
    (("stereo.wav", "it", "a"), "corpus.audio_channel=0"),
    (("short.wav", "it", "a", "", "", "0.9"), "lasts 0.50 s, but manifest.csv says 0.9 s"),
])  # fmt: skip
def test_a_line_that_cannot_be_used_costs_no_other(tmp_path: Path, row: tuple[str, ...], told: str):
    for name in ("good", "short"):
        tone(tmp_path / f"raw/{name}.wav")
    tone(tmp_path / "raw/stereo.wav", channels=2)
    tone(tmp_path / "out.wav")
    (tmp_path / "raw/text.wav").write_text("no sound at all, whatever its name says")
    (tmp_path / "raw/link.wav").symlink_to(tmp_path / "out.wav")
    rows = [row, ("good.wav", "it", "a")]
    reader = listed(tmp_path / "raw", *(reversed(rows) if "second" in told else rows))
    told_of = [problem for problem in problems(reader) if "does not name" not in problem]
    assert len(told_of) == 1 and told in told_of[0]
    assert utterance(reader, "good.wav").speaker == "a"


def test_sound_that_the_manifest_does_not_name_is_told(tmp_path: Path):
    for name in ("a", "b", "it/c"):
        tone(tmp_path / f"{name}.wav")
    assert problems(listed(tmp_path, ("a.wav", "it", "x"))) == [
        f"{tmp_path / 'manifest.csv'}: does not name 2 sound files of this folder, such as b.wav"
    ]


@pytest.mark.parametrize(("content", "told"), [
    (b"file,language\n", "lacks column speaker"),
    (b"file;language;speaker\n", "lacks columns file, language, speaker"),
    (b"", "lacks columns"),
    (b"file,language,speaker,licnese\n", "unknown columns licnese"),
    (b"file,language,speaker,file\n", "names a column twice"),
    (b"file,language,speaker\n\xff\xfe\n", "not utf-8-sig text"),
    (b'file,language,speaker\n"a.wav,it,x\n', "not CSV"),
])  # fmt: skip
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, content: bytes, told: str):
    (tmp_path / "manifest.csv").write_bytes(content)
    with pytest.raises(CorpusError, match=told):
        Audio("speech", tmp_path).sources()


def test_further_columns_become_labels_if_asked_for(tmp_path: Path):
    tone(tmp_path / "a.wav")
    reader = listed(tmp_path, ("a.wav", "it", "x", "read"), columns=("file", "language", "speaker", "style"))
    with pytest.raises(CorpusError, match=r"unknown columns style.*corpus.labels=\[...\]"):
        reader.sources()
    assert utterance(Audio("speech", tmp_path, labels=["style"]), "a.wav").labels == {"style": "read"}
    with pytest.raises(CorpusError, match=r"lacks mood, which corpus\.labels names"):
        Audio("speech", tmp_path, labels=["style", "mood"]).sources()
    for labels in (["licence"], ["Style"], ["text"]):
        with pytest.raises(ConfigError, match=r"corpus\.labels"):
            Audio("speech", tmp_path, labels=labels)


def test_a_manifest_may_have_a_byte_order_mark_and_windows_lines(tmp_path: Path):
    (tmp_path / "manifest.csv").write_bytes('\ufefffile,language,speaker,text\r\na.wav,it,x,"sì, ""no"""\r\n'.encode())
    (line,) = read_sound_manifest(tmp_path / "manifest.csv").lines.values()
    assert (line.file, line.text) == ("a.wav", 'sì, "no"')


def test_a_manifest_of_endless_lines_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tractprobe.corpora.formats.sound_manifest.MAX_LINES", 2)
    reader = listed(tmp_path, *((f"{number}.wav", "it", "x") for number in range(3)))
    with pytest.raises(CorpusError, match="more than 2 lines"):
        reader.sources()


def test_what_cannot_be_read_is_not_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tone(tmp_path / "it/anna/a.wav")
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if str(path).endswith("anna"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(CorpusError, match="anna: Permission denied"):
        Audio("speech", tmp_path).sources()


def test_peaks_beyond_full_scale_are_scaled_not_clipped(tmp_path: Path):
    wave = (1.25 * np.sin(np.arange(8000) / 9)).astype(np.float32)
    (tmp_path / "raw").mkdir()
    soundfile.write(tmp_path / "raw/a.wav", wave, 16000, subtype="FLOAT")
    corpus = prepare(listed(tmp_path / "raw", ("a.wav", "it", "x")), tmp_path / "data")
    np.testing.assert_allclose(corpus.audio("speech/a"), wave * (32767 / 32768 / np.abs(wave).max()), atol=2e-5)


def test_long_names_become_ids_that_differ(tmp_path: Path):
    deep = "/".join(["long" * 12] * 4)
    for name in ("a", "b"):
        tone(tmp_path / f"raw/it/x/{deep}/{name}.wav", hz=300 + ord(name))
    corpus = prepare(Audio("speech", tmp_path / "raw"), tmp_path / "data")
    assert len({entry.id for entry in corpus.entries}) == 2 and corpus.description["skipped"] == []


def test_what_the_folder_says_of_itself_is_kept(speech: Audio, tmp_path: Path):
    (speech.root / "folder.toml").write_text('simulated = true\ngenerator = "espeak-ng"\n')
    assert prepare(speech, tmp_path / "data").simulated is True


def test_recordings_that_are_there_several_times_are_counted(tmp_path: Path):
    for number in range(24):
        tone(tmp_path / f"raw/it/anna/{number}.wav", hz=300 + 10 * (number // 2))
    told = describe(prepare(Audio("speech", tmp_path / "raw"), tmp_path / "data")).splitlines()
    assert told.count("the same recording 2 times: it-anna-0, it-anna-1") == 1
    assert sum("the same recording" in line for line in told) == 10
    assert "2 more recordings several times, listed in corpus.json" in told


# Without movements


def test_what_needs_movements_refuses_in_one_line(speech: Audio, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    corpus = prepare(speech, tmp_path / "data")
    told = "corpus speech has no movements: it is for `tractprobe pretrain`"
    with pytest.raises(CorpusError, match=told):
        corpus.track("speech/it-0")
    with pytest.raises(CorpusError, match=told):
        open_corpora(["speech"], tmp_path / "data")
    for command in (["play", str(corpus.folder)], ["audit", str(corpus.folder), "--against", "head.safetensors"],
                    ["audit", str(corpus.folder), "--calibrate"]):  # fmt: skip
        assert main(command) == 1
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and told in lines[0], command


@pytest.mark.parametrize("settings", [
    ["held_out=it"], ["held_out=it", "head=mlp"], ["held_out=all"], ["analysis=controls"], ["corpora=[toy,speech]"],
])  # fmt: skip
def test_training_and_evidence_refuse(
    configure: Configure, data: Path, speech: Audio, tmp_path: Path, settings: list[str]
):
    paths = both(speech, data, tmp_path)
    asked = Settings.of(plain(configure("corpora=[speech]", "model=mel", *settings, paths)))
    for begin in (check, Problem.of, *([Bench] if asked.closed_form else []), each_held_out):
        with pytest.raises(CorpusError, match="corpus speech has no movements: it is for `tractprobe pretrain`"):
            begin(asked)


def test_evaluation_refuses(configure: Configure, data: Path, speech: Audio, tmp_path: Path):
    paths = both(speech, data, tmp_path)
    train(configure("held_out=it", "model.bands=8", paths))
    (folder,) = (path.parent for path in (tmp_path / "runs").rglob("result.json"))
    with pytest.raises(CorpusError, match="corpus speech has no movements"):
        evaluate(configure(f"run={folder}", "corpora=[speech]", paths, name="evaluate"))


def both(speech: Audio, data: Path, tmp_path: Path) -> str:
    """Put the toy corpus and one of sound alone into one folder of data; return the setting that names it."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/toy").symlink_to(data / "toy")
    prepare(speech, tmp_path / "data")
    return f"paths.data={tmp_path / 'data'}"


@pytest.mark.filterwarnings("ignore:unclosed file", "ignore::pytest.PytestUnraisableExceptionWarning")  # lhotse's tars
def test_shards_hold_the_sound(speech: Audio, tmp_path: Path):
    corpus = prepare(speech, tmp_path / "data")
    assert export_shar(corpus, tmp_path / "shar", shard_size=3) == 2
    cuts: Any = {cut.id: cut for cut in list(CutSet.from_shar(in_dir=tmp_path / "shar"))}
    for entry in corpus.entries:
        np.testing.assert_array_equal(cuts[entry.id].load_audio()[0], corpus.audio(entry.id))
        assert cuts[entry.id].supervisions[0].language == entry.language
        assert cuts[entry.id].custom["labels"] == entry.labels


def test_a_preparation_that_was_stopped_goes_on(speech: Audio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole, read = prepare(speech, tmp_path / "whole"), []
    convert = prepare_module.convert

    def stopping(reader: Any, source: str, *args: Any, **more: Any) -> Any:
        read.append(source)
        if len(read) == 3:
            raise StorageError("no room")
        return convert(reader, source, *args, **more)

    monkeypatch.setattr(prepare_module, "convert", stopping)
    with pytest.raises(StorageError):
        prepare(speech, tmp_path / "data")
    resumed = prepare(speech, tmp_path / "data")
    assert read == ["manifest.csv", "it/0.flac", "it/1.flac", "it/1.flac", "sv-SE/2.flac", "sv-SE/3.flac"]
    assert resumed.content_hash == whole.content_hash
    assert prepare(speech, tmp_path / "data").content_hash == whole.content_hash and len(read) == 6


def test_several_processes_prepare_the_same(speech: Audio, tmp_path: Path):
    assert prepare(speech, tmp_path / "one").content_hash == prepare(speech, tmp_path / "two", workers=2).content_hash


def test_a_folder_of_sound_alone_is_read_if_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_utterance(tmp_path / "raw", "u0", speaker="anna", language="it", text="frase", seed=0)
    fields = json.loads((tmp_path / "raw/u0.json").read_text())
    spoken = {name: value for name, value in fields.items() if not name.startswith("ema_")}
    (tmp_path / "raw/u0.json").write_text(json.dumps(spoken))
    (tmp_path / "raw/u0.ema.npy").unlink()
    with pytest.raises(CorpusError, match=r"lacks ema_channels, .* sound alone: corpus\.movements=false"):
        Folder("lab", tmp_path / "raw").read("u0.json")
    corpus = prepare(Folder("lab", tmp_path / "raw", movements=False), tmp_path / "data")
    assert not corpus.has_movements and [phone.ipa for phone in corpus.phones("lab/u0")] == ["a", "m"]


def test_movements_that_are_there_are_left_out_if_asked_for(tmp_path: Path):
    write_utterance(tmp_path / "raw", "u0", speaker="anna", language="it", text="frase", seed=0)
    with_, without = (Folder("lab", tmp_path / "raw", movements=movements) for movements in (True, False))
    corpora = prepare(with_, tmp_path / "with"), prepare(without, tmp_path / "without")
    assert [corpus.has_movements for corpus in corpora] == [True, False]
    np.testing.assert_array_equal(corpora[0].audio("lab/u0"), corpora[1].audio("lab/u0"))


def test_a_reader_that_contradicts_itself_is_told(speech: Audio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Audio, "has_movements", True)
    with pytest.raises(CorpusError, match="it-0 has no movements, though all utterances of the corpus have them"):
        prepare(speech, tmp_path / "data")


def test_a_manifest_line_that_contradicts_the_corpus_is_refused(speech: Audio, tmp_path: Path):
    corpus = prepare(speech, tmp_path / "data")
    path = corpus.folder / "corpus.json"
    description = json.loads(path.read_text())
    write_utterance(tmp_path / "moved", "u0", speaker="anna", language="it", text="frase", seed=0)
    moved = prepare(Folder("lab", tmp_path / "moved"), tmp_path / "data")
    description["channels"] = moved.description["channels"]
    path.write_text(json.dumps(description))
    with pytest.raises(CorpusError, match=r"has no movements, which corpus\.json contradicts"):
        assert PreparedCorpus(corpus.folder).entries
    description["channels"] = ["td_x"]
    path.write_text(json.dumps(description))
    with pytest.raises(CorpusError, match="other channels"):
        PreparedCorpus(corpus.folder)


# Corpora with movements are what they were


def test_corpora_with_movements_keep_their_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As recorded at a0eda3a, before there were corpora without movements."""
    write_utterance(tmp_path / "raw", "u0", speaker="anna", language="it", text="frase", seed=0)
    times_s = np.arange(8000) / 16000
    soundfile.write(
        tmp_path / "raw/u0.flac", np.round(8192 * np.sin(2 * np.pi * 250 * times_s)).astype(np.int16), 16000
    )
    np.save(tmp_path / "raw/u0.ema.npy", np.arange(50 * 12, dtype=np.float32).reshape(50, 12))
    fields = json.loads((tmp_path / "raw/u0.json").read_text()) | {
        "phones": [["a", 0.1, 0.3]],
        "labels": {"style": "read"},
    }
    (tmp_path / "raw/u0.json").write_text(json.dumps(fields))
    reader = Folder("lab", tmp_path / "raw")
    corpus = prepare(reader, tmp_path / "data")
    assert corpus.content_hash == HASHES[0] and corpus.description["manifest_sha256"] == HASHES[1]
    monkeypatch.setattr(prepare_module, "__version__", "0")
    monkeypatch.setattr(prepare_module, "_stats", lambda place: [("u0.json", 1, 1)])
    monkeypatch.setattr(Path, "resolve", lambda self: Path("/raw"))
    assert prepare_module._fingerprint(reader, False) == HASHES[2]


def test_a_journal_of_before_is_read():
    utterance = PreparedUtterance(
        "u0", "anna", "it", "frase", "unknown", "ipa", PreparedTrack(100.0, 0.0, (50, 12)), (), (), 8000, None, {}
    )
    plain = json.loads(json.dumps(asdict(utterance)))
    assert PreparedUtterance.from_plain(plain) == utterance
    del plain["track"]
    before = plain | {"ema_rate_hz": 100.0, "ema_start_s": 0.0, "ema_shape": [50, 12]}
    assert PreparedUtterance.from_plain(before) == utterance


# The audit of sound


def heard(root: Path, waves: Sequence[tuple[str, np.ndarray]]) -> list[tuple[str, bool]]:
    """Audit files of one language, each by a speaker of its own; return what is found in which of them."""
    root.mkdir()
    for name, wave in waves:
        soundfile.write(root / f"{name}.wav", wave, 16000, subtype="FLOAT")
    reader = listed(root, *((f"{name}.wav", "it", name) for name, _ in waves))
    audited = audit_sound(utterance(reader, f"{name}.wav") for name, _ in waves)
    assert audited.passed == (not any(finding.fails and finding.ids for finding in audited.findings))
    return [(f"{finding.what.split(' (')[0]}: {' '.join(finding.ids)}", finding.fails)
            for finding in audited.findings if finding.ids]  # fmt: skip


def test_the_audit_of_sound_finds_what_was_done_to_it(tmp_path: Path):
    noise = np.random.default_rng(0).normal(size=32000).astype(np.float32) * 0.1
    spectrum = np.fft.rfft(noise)
    spectrum[int(3400 / 8000 * len(spectrum)) :] = 0
    narrow = np.fft.irfft(spectrum).astype(np.float32)
    assert heard(tmp_path / "raw", [
        ("good", noise), ("telephone", narrow), ("clipped", np.clip(2 * noise[::-1], -0.2, 0.2)),
        ("silent", noise * 1e-5), ("faint", noise[::2] * 0.01), ("shifted", noise[1:] + 0.05),
    ]) == [
        ("silence: silent", True), ("faint: faint", False), ("clipped: clipped", False),
        ("a mean other than 0: shifted", False), ("telephone band: telephone", False),
    ]  # fmt: skip


def test_one_recording_under_two_speakers_fails_the_audit(tmp_path: Path):
    noise = np.random.default_rng(0).normal(size=16000).astype(np.float32) * 0.1
    twice = [("same samples under two speakers or languages: anna = eva", True)]
    assert heard(tmp_path / "raw", [("anna", noise), ("eva", noise), ("other", -noise)]) == [
        (f"the {what}", fails) for what, fails in twice
    ]


def test_a_level_is_that_of_a_sine_at_full_scale(tmp_path: Path):
    tone(tmp_path / "it/anna/a.wav", seconds=1.0)  # of amplitude 0.3
    sound = measured(utterance(Audio("speech", tmp_path), "it/anna/a.wav"))
    assert sound.level_dbfs == pytest.approx(20 * np.log10(0.3), abs=0.01) == sound.peak_dbfs
    assert sound.clipped == 0


def test_the_audit_command_prints_the_table(speech: Audio, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    corpus = prepare(speech, tmp_path / "data")
    assert main(["audit", str(corpus.folder)]) == 0
    printed = capsys.readouterr().out
    assert "  sv            0.0         2           2             53%  from sv-SE" in printed
    assert "licence: CC0 1.0 0.0 min, MIT 0.0 min" in printed
    assert main(["audit", str(corpus.folder), "--page", str(tmp_path / "page.html")]) == 1
    assert "has no movements" in capsys.readouterr().err
