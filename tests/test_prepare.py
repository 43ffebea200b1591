import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from broken import Crashing, Several
from conftest import real, write_corpus, write_utterance
from waiting import wait_until

from tractprobe.corpora.prepared import convert as convert_module
from tractprobe.corpora.prepared import prepare as prepare_module
from tractprobe.corpora.prepared.convert import Written
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import PreparedUtterance
from tractprobe.corpora.prepared.prepare import describe, prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.corpora.readers.hprc import Hprc
from tractprobe.corpora.utterance import Phone, Utterance
from tractprobe.probes.opening import open_corpora
from tractprobe.signals.audio import to_pcm16
from tractprobe.signals.voicing import source_track
from tractprobe.system import processes as pool
from tractprobe.system.errors import ConfigError, CorpusError, ProcessError


def small(root: Path, count: int = 3) -> Folder:
    for number in range(count):
        write_utterance(root, f"u{number}", speaker="anna", language="it", text=f"frase {number}", seed=number)
    return Folder("lab", root)


def visible(folder: Path) -> list[str]:
    """Return what lies in a folder; locks stay, as another process may wait at them."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_audio_at_16_khz_and_movements_come_through_bit_for_bit(tmp_path: Path):
    reader = small(tmp_path / "raw")
    corpus = prepare(reader, tmp_path / "data")
    assert [entry.id for entry in corpus.entries] == ["lab/u0", "lab/u1", "lab/u2"]
    for number, entry in enumerate(corpus.entries):
        original, _ = soundfile.read(reader.root / f"u{number}.flac", dtype="float32")
        np.testing.assert_array_equal(corpus.audio(entry.id), original)
        track = corpus.track(entry.id)
        np.testing.assert_array_equal(track.values, np.load(reader.root / f"u{number}.ema.npy"))
        assert track.rate_hz == pytest.approx(100, abs=1e-9)
        assert (entry.speaker, entry.language, entry.text) == ("lab/anna", "it", f"frase {number}")
        assert entry.duration_s == pytest.approx(1.2)


def test_every_16_bit_sample_survives():
    samples = np.arange(-32768, 32768, dtype=np.int16)
    np.testing.assert_array_equal(to_pcm16(samples.astype(np.float32) / 32768, 16000), samples)


@pytest.mark.parametrize("rate_hz", [16384, 20000, 22050, 24000, 44100, 48000])
def test_resampling_keeps_a_tone_where_it_was(rate_hz: int):
    tone = np.sin(2 * np.pi * 1000 * np.arange(rate_hz) / rate_hz).astype(np.float32) * 0.5
    resampled = to_pcm16(tone, rate_hz) / 32768
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(len(resampled)) / 16000)
    assert abs(len(resampled) - 16000) <= 1
    np.testing.assert_allclose(resampled[400:-400], expected[400:-400], atol=1e-4)


def test_audio_goes_through_in_blocks_so_that_long_recordings_need_little_more_memory_than_their_samples(
    tmp_path: Path,
):
    """Two minutes of silence are a file of 14 kB; all at once they took three times their samples."""
    write_utterance(tmp_path / "raw", "u0", speaker="anna", language="it", text="", seed=0, duration_s=120)
    soundfile.write(tmp_path / "raw/u0.flac", np.zeros(120 * 48000, np.int16), 48000)
    np.save(tmp_path / "raw/u0.ema.npy", np.ones((120 * 100, 12), np.float32))
    (tmp_path / "staging").mkdir()
    tracemalloc.start()
    try:
        converted = convert_module.convert(Folder("lab", tmp_path / "raw"), "u0.json", tmp_path / "staging")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert converted.written[0].utterance.num_samples == 120 * 16000
    assert peak < 1.6 * 4 * 120 * 48000


@pytest.mark.parametrize("rate_hz", [16000, 22050, 48000])
@pytest.mark.parametrize("peak", [0.5, 2.0])
def test_blocks_of_audio_make_the_samples_that_the_whole_makes(rate_hz: int, peak: float):
    audio = peak * np.sin(np.arange(20 * rate_hz + 7) / 9).astype(np.float32)
    whole = (audio if rate_hz == 16000 else soxr.resample(audio, rate_hz, 16000, quality="HQ")).astype(float) * 32768
    if np.abs(whole).max() > 32768:
        whole *= 32767 / np.abs(whole).max()
    np.testing.assert_array_equal(to_pcm16(audio, rate_hz), np.round(whole).astype(np.int16))


def test_too_loud_audio_is_scaled_not_clipped():
    loud = (3 * np.sin(np.arange(1000) / 7)).astype(np.float32)
    scaled = to_pcm16(loud, 16000)
    assert np.corrcoef(scaled, loud)[0, 1] > 0.9999999 and np.abs(scaled).max() == 32767


def test_lhotse_reads_what_we_write(tmp_path: Path):
    corpus = prepare(small(tmp_path / "raw"), tmp_path / "data")
    cut = next(iter(corpus.cuts))
    assert cut.supervisions[0].language == "it" and cut.supervisions[0].speaker == "lab/anna"
    assert cut.supervisions[0].alignment["phone"][0].symbol == "a"
    part = cut.truncate(offset=0.5, duration=0.4)
    assert part.load_audio().shape == (1, 6400)
    np.testing.assert_array_equal(part.load_ema(), np.load(tmp_path / "raw/u0.ema.npy")[50:90])


def test_preparing_again_changes_nothing_unless_the_source_did(tmp_path: Path):
    reader = small(tmp_path / "raw")
    first = prepare(reader, tmp_path / "data")
    times = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")}
    again = prepare(reader, tmp_path / "data")
    assert {path: path.stat().st_mtime_ns for path in again.folder.rglob("*")} == times
    write_utterance(tmp_path / "raw", "u9", speaker="anna", language="it", text="nuova", seed=9)
    changed = prepare(reader, tmp_path / "data")
    assert len(changed.entries) == 4 and changed.content_hash != first.content_hash


def test_content_hash_depends_on_content_alone(tmp_path: Path):
    one = prepare(small(tmp_path / "raw"), tmp_path / "one")
    shutil.copytree(tmp_path / "raw", tmp_path / "elsewhere")
    two = prepare(Folder("lab", tmp_path / "elsewhere"), tmp_path / "two")
    assert one.content_hash == two.content_hash
    values = np.load(tmp_path / "elsewhere/u1.ema.npy")
    values[7, 3] += 0.001
    np.save(tmp_path / "elsewhere/u1.ema.npy", values)
    assert prepare(Folder("lab", tmp_path / "elsewhere"), tmp_path / "two").content_hash != one.content_hash


def test_the_source_is_not_touched(tmp_path: Path):
    reader = small(tmp_path / "raw")
    before = files(reader.root)
    prepare(reader, tmp_path / "data")
    assert files(reader.root) == before


def test_a_bad_file_is_reported_and_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    reader = small(tmp_path / "raw")
    (tmp_path / "raw/u1.json").write_text("{")
    corpus = prepare(reader, tmp_path / "data")
    assert [entry.id for entry in corpus.entries] == ["lab/u0", "lab/u2"]
    (skipped,) = corpus.description["skipped"]
    assert "u1.json" in skipped["problem"] and "u1.json" in caplog.text


def test_a_second_utterance_of_the_same_name_is_reported(tmp_path: Path):
    reader = small(tmp_path / "raw")
    write_utterance(tmp_path / "raw/other", "u1", speaker="anna", language="it", text="doppia", seed=9)
    corpus = prepare(reader, tmp_path / "data")
    assert len(corpus.entries) == 3 and "second" in corpus.description["skipped"][0]["problem"]


def test_a_corpus_with_none_left_is_fatal_and_leaves_nothing(tmp_path: Path):
    reader = small(tmp_path / "raw")
    for path in (tmp_path / "raw").glob("*.json"):
        path.write_text("{}")
    with pytest.raises(CorpusError, match="none of 3"):
        prepare(reader, tmp_path / "data")
    assert visible(tmp_path / "data") == []


@pytest.mark.parametrize("name", ["", "Lab", "a/b", "../x", ".hidden"])
def test_a_name_that_is_no_folder_is_refused(tmp_path: Path, name: str):
    reader = small(tmp_path / "raw")
    reader.name = name
    with pytest.raises(CorpusError, match=r"corpus\.name"):
        prepare(reader, tmp_path / "data")


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the first cut, and the recorded hash with it, as someone would who wants to be believed."""
    lines = (folder / "cuts.jsonl").read_text().splitlines()
    cut = json.loads(lines[0])
    change(cut)
    (folder / "cuts.jsonl").write_text("\n".join([json.dumps(cut), *lines[1:]]) + "\n")
    description = json.loads((folder / "corpus.json").read_text())
    from tractprobe.system.files import file_sha256

    description["manifest_sha256"] = file_sha256(folder / "cuts.jsonl")
    (folder / "corpus.json").write_text(json.dumps(description))


HOSTILE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "shell command": lambda cut: cut["recording"]["sources"][0].update(type="command", source="touch owned"),
    "address": lambda cut: cut["recording"]["sources"][0].update(type="url", source="http://example.org/a.flac"),
    "address as file": lambda cut: cut["recording"]["sources"][0].update(source="http://example.org/a.flac"),
    "absolute path": lambda cut: cut["recording"]["sources"][0].update(source="/etc/passwd"),
    "path upwards": lambda cut: cut["custom"]["ema"]["array"].update(storage_path="../../other"),
    "key upwards": lambda cut: cut["custom"]["ema"]["array"].update(storage_key="../../x.npy"),
    "other storage": lambda cut: cut["custom"]["ema"]["array"].update(storage_type="lilcom_url"),
    "transforms": lambda cut: cut["recording"].update(transforms=[{"name": "ReverbWithImpulseResponse"}]),
    "another recording": lambda cut: cut["custom"].update(evil={"id": "x", "sources": [{"type": "command"}]}),
    "custom of a supervision": lambda cut: cut["supervisions"][0].update(custom={"x": 1}),
    "no samples": lambda cut: cut["recording"].update(num_samples=-5),
    "samples without end": lambda cut: cut["recording"].update(num_samples=10**400),
    "a rate without end": lambda cut: cut["custom"].update(ema_rate_hz=10**400),
    "no rate": lambda cut: cut["custom"].update(ema_rate_hz=0),
    "another corpus's speaker": lambda cut: cut["supervisions"][0].update(speaker="other/anna"),
    "phones of another shape": lambda cut: cut["supervisions"][0].update(alignment={"phone": [], "ipa": [[1, "x"]]}),
    "phones without IPA": lambda cut: cut["supervisions"][0].update(alignment={"phone": []}),
    "no movements": lambda cut: cut.pop("custom"),
    "a label that is none": lambda cut: cut["custom"].update(labels={"style": {"id": "x", "sources": []}}),
    "labels that are none": lambda cut: cut["custom"].update(labels="read"),
    "a label of our own name": lambda cut: cut["custom"].update(labels={"speaker": "anna"}),
    "phones of other times than their IPA": lambda cut: cut["supervisions"][0].update(
        alignment={"phone": [["a", 0.0, 0.1, None]], "ipa": [["a", 0.5, 0.1, None]]}
    ),
    "a shape that is none": lambda cut: cut["custom"]["ema"]["array"].update(shape=[120, 12, 2]),
    "a frame that is none": lambda cut: cut["custom"].update(frame="\x1b[2J"),
    "a frame that is a list": lambda cut: cut["custom"].update(frame=["head"]),
    "no sources": lambda cut: cut["recording"].update(sources=None),
}


@pytest.mark.parametrize("hostility", HOSTILE)
def test_a_manifest_can_name_nothing_but_files_of_its_own(tmp_path: Path, hostility: str):
    folder = prepare(small(tmp_path / "raw"), tmp_path / "data").folder
    edit_manifest(folder, HOSTILE[hostility])
    with pytest.raises(CorpusError, match=r"cuts\.jsonl \(line 1\)"):
        _ = PreparedCorpus(folder).entries


def labelled(root: Path, labels: dict[str, Any] | None, number: int = 0) -> Folder:
    path = small(root).root / f"u{number}.json"
    fields = json.loads(path.read_text()) | ({} if labels is None else {"labels": labels})
    path.write_text(json.dumps(fields))
    return Folder("lab", root)


def test_labels_are_kept_where_there_are_any(tmp_path: Path):
    labels = {"style": "whispered", "gender": "f"}
    corpus = prepare(labelled(tmp_path / "raw", labels), tmp_path / "data")
    assert [entry.labels for entry in corpus.entries] == [labels, {}, {}]
    assert [corpus.utterance(entry.id).labels for entry in corpus.entries] == [labels, {}, {}]
    cuts = [json.loads(line) for line in (corpus.folder / "cuts.jsonl").read_text().splitlines()]
    assert cuts[0]["custom"]["labels"] == labels and not any("labels" in cut["custom"] for cut in cuts[1:])
    assert [cut.custom.get("labels") for cut in corpus.cuts] == [labels, None, None]  # as lhotse gives them
    assert len(set(corpus.entries)) == 3


def test_labels_make_another_content_and_their_order_does_not(tmp_path: Path):
    given = [None, {}, {"a": "x", "b": "y"}, {"b": "y", "a": "x"}, {"a": "x", "b": "z"}]
    hashes = [
        prepare(labelled(tmp_path / f"raw{number}", labels), tmp_path / f"data{number}").content_hash
        for number, labels in enumerate(given)
    ]
    assert hashes[0] == hashes[1] and hashes[2] == hashes[3] and len(set(hashes)) == 3


@pytest.mark.parametrize("labels", [None, {"style": "read"}])
def test_a_line_of_the_manifest_comes_back_as_it_was(tmp_path: Path, labels: dict[str, str] | None):
    reader = Rich("lab", labelled(tmp_path / "raw", labels).root)
    corpus = prepare(reader, tmp_path / "data", source_channels=True)
    for line in (corpus.folder / "cuts.jsonl").read_text().splitlines():
        cut = json.loads(line)
        utterance = PreparedUtterance.from_cut("lab", cut)
        assert utterance.extra and utterance.source_origin == "laryngograph" and len(utterance.phones) == 2
        assert json.dumps(utterance.to_cut("lab"), ensure_ascii=False) == line
        assert PreparedUtterance.from_plain(json.loads(json.dumps(asdict(utterance)))) == utterance


def test_a_journal_of_before_there_were_labels_is_continued(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """The same line and files, without what was not known then."""
    reader = small(tmp_path / "raw")
    undisturbed = prepare(reader, tmp_path / "undisturbed")
    plain = [
        asdict(PreparedUtterance.from_cut("lab", json.loads(line)))
        for line in (undisturbed.folder / "cuts.jsonl").read_text().splitlines()
    ]
    staging = tmp_path / "data" / f".lab.{prepare_module._fingerprint(reader, False)[:16]}.partial"
    shutil.copytree(undisturbed.folder, staging)
    (staging / "corpus.json").unlink()
    (staging / "cuts.jsonl").unlink()
    del plain[0]["labels"]
    (staging / "journal.jsonl").write_text(
        json.dumps({"source": "u0.json", "utterances": plain[:1], "skipped": []}) + "\n"
    )
    with caplog.at_level("INFO"):
        assert files(prepare(reader, tmp_path / "data").folder) == files(undisturbed.folder)
    assert "resuming: 1 of 3" in caplog.text


def test_labels_and_messages_cannot_control_the_terminal_or_forge_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    reader = small(tmp_path / "raw")
    for number, label in enumerate(["\x1b[2J\x1b]0;owned\x07", "a\nskipped 9:", "\u202e"]):
        path = tmp_path / f"raw/u{number}.json"
        fields = json.loads(path.read_text()) | {"phones": [[label, 0.1, 0.5]]}
        path.write_text(json.dumps(fields))
    (tmp_path / "raw/\x1b[31mu7.json").write_text("{")
    corpus = prepare(reader, tmp_path / "data")
    text = describe(corpus)
    assert len(corpus.entries) == 3 and not (set(text) | set(caplog.text)) & {"\x1b", "\x07", "\u202e"}
    assert len(text.splitlines()) == 6 and r"\x1b]0;owned\x07" in text and r"\x1b[31mu7.json" in caplog.text


def test_a_description_that_lacks_its_summary_is_one_line(tmp_path: Path):
    corpus = prepare(small(tmp_path / "raw"), tmp_path / "data")
    for broken in ({"minutes": [{}]}, {"minutes": None}, {"hours": "long"}, {"unknown_phones": [1]}):
        corpus.description |= broken
        with pytest.raises(CorpusError, match=r"corpus\.json: lacks part of its summary"):
            describe(corpus)


def test_a_changed_manifest_is_noticed(tmp_path: Path):
    folder = prepare(small(tmp_path / "raw"), tmp_path / "data").folder
    (folder / "cuts.jsonl").write_text((folder / "cuts.jsonl").read_text().replace('"it"', '"en"'))
    with pytest.raises(CorpusError, match="changed since"):
        _ = PreparedCorpus(folder).entries


def test_a_replaced_track_is_noticed(tmp_path: Path):
    corpus = prepare(small(tmp_path / "raw"), tmp_path / "data")
    np.save(corpus.folder / "ema/u0.npy", np.zeros((3, 12), np.float32))
    with pytest.raises(CorpusError, match="changed since it was prepared"):
        corpus.track("lab/u0")


def other(root: Path) -> Folder:
    write_utterance(root, "v0", speaker="bert", language="de", text="anders", seed=70)
    return Folder("lab", root)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "cut short": lambda file: file.write_bytes(file.read_bytes()[:40]),
    "empty": lambda file: file.write_bytes(b""),
    "a list": lambda file: file.write_text("[]"),
    "of another format, without its source": lambda file: file.write_text('{"format": 1}'),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "gone": lambda file: file.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_corpus_that_cannot_be_read_is_not_replaced(tmp_path: Path, damage: str):
    folder = prepare(small(tmp_path / "raw"), tmp_path / "data").folder
    DAMAGE[damage](folder / "corpus.json")
    before = files(folder)
    for reader in (Folder("lab", tmp_path / "raw"), other(tmp_path / "elsewhere")):
        with pytest.raises(CorpusError, match="data/lab"):
            prepare(reader, tmp_path / "data")
    assert files(folder) == before and visible(tmp_path / "data") == ["lab"]


def test_a_corpus_of_another_source_is_not_replaced_and_both_sources_are_named(tmp_path: Path):
    folder = prepare(small(tmp_path / "raw"), tmp_path / "data").folder
    before = files(folder)
    with pytest.raises(CorpusError, match=r"made from .*/raw, not from .*/elsewhere; give corpus\.name="):
        prepare(other(tmp_path / "elsewhere"), tmp_path / "data")
    assert files(folder) == before
    shutil.rmtree(folder)
    assert len(prepare(other(tmp_path / "elsewhere"), tmp_path / "data").entries) == 1


BROKEN = [*DAMAGE, "of another format"]


@pytest.mark.parametrize("damage", BROKEN)
def test_what_lies_under_the_name_of_the_builtin_corpus_and_cannot_be_read_is_not_replaced_by_it(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tractprobe.probes.opening.builtin_corpus", lambda name: str(other(tmp_path / "builtin").root))
    reader = small(tmp_path / "raw")
    reader.name = "virtual"
    folder = prepare(reader, tmp_path / "data").folder
    if damage in DAMAGE:
        DAMAGE[damage](folder / "corpus.json")
    else:
        description = json.loads((folder / "corpus.json").read_text()) | {"format": 2}
        (folder / "corpus.json").write_text(json.dumps(description))
    before = files(folder)
    with pytest.raises(CorpusError, match="data/virtual"):
        open_corpora(["virtual"], tmp_path / "data")
    assert files(folder) == before


def test_an_unfinished_corpus_of_another_source_keeps_what_is_done(tmp_path: Path):
    folder = prepare(small(tmp_path / "raw"), tmp_path / "data").folder
    (unfinished := folder.with_name(".lab.0123456789abcdef.partial")).mkdir()
    with pytest.raises(CorpusError, match="not from"):
        prepare(other(tmp_path / "elsewhere"), tmp_path / "data")
    assert unfinished.is_dir()


def test_what_another_process_has_prepared_meanwhile_is_not_replaced_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Both found nothing there; the second one waited for the lock."""
    check, calls = prepare_module._check_places, []

    def and_prepare_another(reader: Folder, folder: Path) -> None:
        check(reader, folder)
        if not calls:
            calls.append(reader)
            prepare(small(tmp_path / "raw"), tmp_path / "data")

    monkeypatch.setattr(prepare_module, "_check_places", and_prepare_another)
    with pytest.raises(CorpusError, match="not from"):
        prepare(other(tmp_path / "elsewhere"), tmp_path / "data")
    assert len(PreparedCorpus(tmp_path / "data/lab").entries) == 3


@pytest.mark.parametrize("change", ["manifest", "format"])
def test_a_damaged_corpus_of_the_same_source_is_prepared_again_and_says_so(
    tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture
):
    """Messages about such a corpus tell to prepare it again: that has to help."""
    corpus = prepare(small(tmp_path / "raw"), tmp_path / "data")
    sound, path = files(corpus.folder), corpus.folder / "corpus.json"
    if change == "manifest":
        (corpus.folder / "cuts.jsonl").write_text("{}")
    else:
        path.write_text(json.dumps(corpus.description | {"format": 2}))
    with pytest.raises(CorpusError, match="prepare it again: tractprobe prepare"):
        _ = PreparedCorpus(corpus.folder).entries
    assert files(prepare(Folder("lab", tmp_path / "raw"), tmp_path / "data").folder) == sound
    assert "preparing it again from" in caplog.text


def test_a_relative_source_is_the_same_folder_and_another_one_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    small(tmp_path / "here/raw"), other(tmp_path / "there/raw")
    monkeypatch.chdir(tmp_path / "here")
    corpus = prepare(Folder("lab", Path("raw")), tmp_path / "data")
    assert corpus.description["source"] == str(tmp_path / "here/raw")
    assert prepare(Folder("lab", tmp_path / "here/raw"), tmp_path / "data").content_hash == corpus.content_hash
    monkeypatch.chdir(tmp_path / "there")
    with pytest.raises(CorpusError, match="not from"):
        prepare(Folder("lab", Path("raw")), tmp_path / "data")


def test_a_corpus_behind_a_link_stays_behind_it(tmp_path: Path):
    (tmp_path / "data").mkdir()
    (link := tmp_path / "data/lab").symlink_to(tmp_path / "big/disk/lab-corpus")
    reader = small(tmp_path / "raw")  # the link's target is still to be made
    assert len(prepare(reader, tmp_path / "data").entries) == 3
    write_utterance(tmp_path / "raw", "u9", speaker="anna", language="it", text="nuova", seed=9)
    corpus = prepare(reader, tmp_path / "data")
    assert len(corpus.entries) == 4 and corpus.folder == link
    assert link.is_symlink() and (tmp_path / "big/disk/lab-corpus/corpus.json").is_file()
    assert visible(tmp_path / "data") == ["lab"] and visible(tmp_path / "big/disk") == ["lab-corpus"]
    assert len(list((tmp_path / "big/disk/lab-corpus/audio").iterdir())) == 4


def test_a_missing_corpus_tells_how_to_prepare_it(tmp_path: Path):
    with pytest.raises(CorpusError, match="tractprobe prepare corpus=hprc"):
        PreparedCorpus(tmp_path / "hprc")


def test_killed_in_the_middle_the_next_time_goes_on_with_nothing_lost_or_doubled(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    raw = write_corpus(tmp_path / "raw", sentences=30)
    reader, data = Folder("lab", raw), tmp_path / "data"
    script = f"""
import signal
from pathlib import Path
from tractprobe.corpora.readers.folder import Folder
from tractprobe.corpora.prepared.prepare import prepare

read = Folder.read

def read_one_speaker(self, source):
    if "s1_" in str(source):
        signal.pause()
    return read(self, source)

Folder.read = read_one_speaker
if __name__ == "__main__":
    prepare(Folder("lab", Path({str(raw)!r})), Path({str(data)!r}), 2)
"""
    (tmp_path / "script.py").write_text(script)
    with subprocess.Popen([sys.executable, str(tmp_path / "script.py")]) as process:
        wait_until(lambda: len(list(data.glob(".lab.*.partial/audio/*.flac"))) >= 20, process)
        process.kill()
    assert list(data.glob(".lab.*.partial")) and not (data / "lab").exists()
    with caplog.at_level("INFO"):
        corpus = prepare(reader, data, 2)
    assert re.search(r"resuming: \d+ of 270 raw files done", caplog.text)
    assert len(corpus.entries) == 270
    assert visible(data) == ["lab"] and sorted(path.name for path in corpus.folder.iterdir()) == WHOLE
    assert corpus.content_hash == prepare(reader, tmp_path / "undisturbed").content_hash


WHOLE = ["audio", "corpus.json", "cuts.jsonl", "ema"]


def test_a_damaged_journal_is_continued_from_before_the_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    reader = small(tmp_path / "raw")
    undisturbed = prepare(reader, tmp_path / "undisturbed")
    staging = tmp_path / "data" / f".lab.{prepare_module._fingerprint(reader, False)[:16]}.partial"
    shutil.copytree(undisturbed.folder, staging)
    lines = (undisturbed.folder / "cuts.jsonl").read_text().splitlines()
    rows = [asdict(PreparedUtterance.from_cut("lab", json.loads(line))) for line in lines]
    entries = [{"source": f"u{place}.json", "utterances": [row], "skipped": []} for place, row in enumerate(rows)]
    (staging / "journal.jsonl").write_text("\n".join([json.dumps(entries[0]), "\0" * 40, json.dumps(entries[2]), ""]))
    assert files(prepare(reader, tmp_path / "data").folder) == files(undisturbed.folder)
    assert "damaged after 1 entries" in caplog.text


def test_the_result_does_not_depend_on_the_number_of_processes(tmp_path: Path):
    raw = write_corpus(tmp_path / "raw", sentences=2)
    (raw / "s0_it_1.json").write_text("{")
    write_utterance(raw / "again", "s1_en_0", speaker="s1", language="en", text="doubled", seed=4)
    one, three = (prepare(Folder("lab", raw), tmp_path / str(workers), workers) for workers in (1, 3))
    for name, content in files(one.folder).items():
        if name == "corpus.json":
            assert json.loads(content) == json.loads(files(three.folder)[name])
        else:
            assert content == files(three.folder)[name]
    assert len(files(one.folder)) == len(files(three.folder))
    assert len(one.description["skipped"]) == 2


def test_processes_end_with_the_one_that_started_them(tmp_path: Path):
    """Otherwise they would go on writing into a folder that another run has taken over."""
    told = tmp_path / "told"
    script = f"""
import os, signal
from pathlib import Path
from tractprobe.corpora.readers.folder import Folder
from tractprobe.corpora.prepared.prepare import prepare

class Slow(Folder):
    def read(self, source):
        os.write(os.open({str(told)!r}, os.O_WRONLY), b"reading\\n")
        signal.pause()

if __name__ == "__main__":
    prepare(Slow("lab", Path({str(tmp_path / "raw")!r})), Path({str(tmp_path / "data")!r}), 2)
"""
    small(tmp_path / "raw")
    (tmp_path / "script.py").write_text(script)
    os.mkfifo(told)
    pipe, lines = os.open(told, os.O_RDONLY | os.O_NONBLOCK), bytearray()

    def both_are_reading() -> bool:
        with suppress(BlockingIOError):
            lines.extend(os.read(pipe, 100))
        return lines.count(b"\n") == 2

    with subprocess.Popen([sys.executable, str(tmp_path / "script.py")]) as process:
        wait_until(both_are_reading, process)
        process.kill()
    os.set_blocking(pipe, True)
    assert os.read(pipe, 1) == b""  # returns when no process that could write is left
    os.close(pipe)


def test_a_file_that_kills_its_process_is_skipped_and_all_else_is_as_without_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    small(tmp_path / "raw", 5)
    corpus = prepare(Crashing("lab", tmp_path / "raw", always="u1", once="u3"), tmp_path / "data", workers=2)
    problem = f"{tmp_path}/raw/u1.json: killed the process that read it (signal 9)"
    assert corpus.description["skipped"] == [{"source": "u1.json", "problem": problem}]
    assert f"skipped: {problem}" in caplog.text and f"skipped 1:\n  {problem}" in describe(corpus)
    (tmp_path / "raw/u1.json").unlink()
    undisturbed = prepare(Folder("lab", tmp_path / "raw"), tmp_path / "undisturbed")
    ours, theirs = files(corpus.folder), files(undisturbed.folder)
    changed = {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}
    assert changed == {"corpus.json"} and corpus.content_hash == undisturbed.content_hash


def test_when_every_process_is_killed_what_was_done_is_kept_and_nothing_is_taken_for_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pool, "MAX_DEATHS_IN_A_ROW", 2)
    small(tmp_path / "raw", 6)
    reader = Crashing("lab", tmp_path / "raw", always="u[2-5]")
    with pytest.raises(ProcessError, match=r"u2\.json killed the process that read it \(signal 9\), .*memory"):
        prepare(reader, tmp_path / "data", workers=2)
    (journal,) = (tmp_path / "data").glob(".lab.*.partial/journal.jsonl")
    assert [json.loads(line)["source"] for line in journal.read_text().splitlines()] == ["u0.json", "u1.json"]
    fingerprint = prepare_module._fingerprint(reader, False)
    reader.always = "no file"
    # The machine has recovered, and nothing that we know of has changed.
    monkeypatch.setattr(prepare_module, "_fingerprint", lambda *_: fingerprint)
    corpus = prepare(reader, tmp_path / "data")
    assert len(corpus.entries) == 6 and corpus.description["skipped"] == []


def test_a_broken_utterance_does_not_cost_the_others_of_its_source(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    small(tmp_path / "raw")
    one, two = (prepare(Several("lab", tmp_path / "raw"), tmp_path / str(workers), workers) for workers in (1, 2))
    assert [entry.id for entry in one.entries] == ["lab/u0_1", "lab/u0_2", "lab/u0_5", "lab/u1", "lab/u2"]
    place = tmp_path / "raw/u0.json"
    problems = [f"{place} (sentence 3): has no text", f"{place} (sentence 4): nothing was measured"]
    assert one.description["skipped"] == [{"source": "u0.json", "problem": problem} for problem in problems]
    assert all(f"skipped: {problem}" in caplog.text for problem in problems)
    assert describe(one).endswith("\n".join(["skipped 2:", *(f"  {problem}" for problem in problems)]))
    assert files(one.folder) == files(two.folder)


def test_an_utterance_that_cannot_be_written_does_not_cost_the_others_of_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    small(tmp_path / "raw")
    write_files = convert_module._files_of

    def fails_at_times(utterance: Utterance, *more: Any) -> Written:
        if utterance.id == "u0_2":
            raise ZeroDivisionError("of a library")
        return write_files(utterance, *more)

    monkeypatch.setattr(convert_module, "_files_of", fails_at_times)
    corpus = prepare(Several("lab", tmp_path / "raw"), tmp_path / "data")
    assert [entry.id for entry in corpus.entries] == ["lab/u0_1", "lab/u0_5", "lab/u1", "lab/u2"]
    assert "u0.json (utterance 2): not readable: ZeroDivisionError" in corpus.description["skipped"][0]["problem"]


KILLED = {
    "in the next source": ("broken.Several.killed_at = 'u1.json'", 1),
    "placed but not noted": ("prepare.asdict = lambda _: os.kill(os.getpid(), 9)", 0),
}


@pytest.mark.parametrize("when", KILLED)
def test_after_a_kill_problems_of_utterances_are_neither_lost_nor_doubled(tmp_path: Path, when: str):
    reader, (kill, noted) = Several("lab", small(tmp_path / "raw").root), KILLED[when]
    script = (
        f"import broken, os, sys; from pathlib import Path; from tractprobe.corpora.prepared import prepare; {kill}; "
        "prepare.prepare(broken.Several('lab', Path(sys.argv[1])), Path(sys.argv[2]))"
    )
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    words = [sys.executable, "-c", script, str(tmp_path / "raw"), str(tmp_path / "data")]
    assert subprocess.run(words, env=os.environ | {"PYTHONPATH": paths}).returncode == -signal.SIGKILL
    (staging,) = (tmp_path / "data").glob(".lab.*.partial")
    assert len((staging / "journal.jsonl").read_text().splitlines()) == noted
    assert len(list(staging.glob("audio/u0_*"))) == 3
    corpus, undisturbed = prepare(reader, tmp_path / "data"), prepare(reader, tmp_path / "undisturbed")
    assert files(corpus.folder) == files(undisturbed.folder) and len(corpus.description["skipped"]) == 2


class Rich(Folder):
    """A corpus with everything that few have."""

    def read(self, source: str) -> list[Utterance]:
        (utterance,) = super().read(source)
        time_s = utterance.track.times_s
        extra = {"ui_x": 0.1 * np.sin(time_s), "v_y": np.where(time_s < 0.3, np.nan, time_s)}
        larynx = np.sin(np.arange(9000) / 5).astype(np.float32) / 2
        more = {"extra": extra, "larynx": larynx, "larynx_rate_hz": 8000, "frame": "head"}
        phones = (Phone("AA1", 0.0, 0.2), Phone("no such", 0.2, 0.4))
        return [replace(utterance, phones=phones, phone_set="arpabet", **more)]

    def palates(self) -> dict[str, np.ndarray]:
        return {"anna": np.array([[-40.0, 10.0], [-5.0, 3.0]])}


def test_palates_larynx_and_further_channels_come_back(tmp_path: Path):
    small(tmp_path / "raw")
    corpus = prepare(Rich("lab", tmp_path / "raw"), tmp_path / "data")
    (source, *_) = Rich("lab", tmp_path / "raw").sources()
    (original,) = Rich("lab", tmp_path / "raw").read(source)
    back = corpus.utterance("lab/u0")
    assert (back.id, back.speaker, back.language, back.text) == ("u0", "anna", "it", "frase 0") and back.frame == "head"
    for name, values in original.extra.items():
        np.testing.assert_allclose(back.extra[name], values, rtol=1e-6)
    np.testing.assert_array_equal(back.track.values, original.track.values.astype(np.float32))
    assert back.larynx is not None and len(back.larynx) == 18000 and back.larynx_rate_hz == 16000
    assert list(corpus.palates) == ["anna"]
    np.testing.assert_array_equal(corpus.palates["anna"], [[-40.0, 10.0], [-5.0, 3.0]])
    assert [(phone.label, phone.start_s) for phone in back.phones][1] == ("?", 0.2)
    assert corpus.description["unknown_phones"] == [["arpabet", "no such", 3]]
    assert "no such (arpabet, 3)" in describe(corpus)
    (corpus.folder / "larynx/u0.flac").write_bytes((corpus.folder / "audio/u0.flac").read_bytes())
    with pytest.raises(CorpusError, match="changed since"):
        corpus.utterance("lab/u0")


def test_a_phone_set_that_does_not_exist_is_an_error_and_not_a_reason_to_skip_everything(tmp_path: Path):
    small(tmp_path / "raw")

    class Misnamed(Folder):
        def read(self, source: str) -> list[Utterance]:
            return [replace(super().read(source)[0], phone_set="klingon")]

    with pytest.raises(ConfigError, match="klingon"):
        prepare(Misnamed("lab", tmp_path / "raw"), tmp_path / "data")


def test_the_source_is_never_replaced(tmp_path: Path):
    small(tmp_path / "data/lab")
    small(tmp_path / "data/lab/deeper/x")
    before = files(tmp_path / "data")
    for root, data in (
        (tmp_path / "data/lab", tmp_path / "data"),
        (tmp_path / "data/lab/deeper", tmp_path / "data"),
        (tmp_path / "data", tmp_path / "data"),
        (tmp_path / "data/lab", tmp_path / "data/lab/prepared"),
    ):
        with pytest.raises(CorpusError, match="nested in each other"):
            prepare(Folder("lab", root), data)
    (tmp_path / "elsewhere/lab").mkdir(parents=True)
    (tmp_path / "elsewhere/lab/notes.txt").write_text("precious")
    with pytest.raises(CorpusError, match="not a prepared corpus"):
        prepare(Folder("lab", tmp_path / "data/lab"), tmp_path / "elsewhere")
    assert files(tmp_path / "data") == before and (tmp_path / "elsewhere/lab/notes.txt").exists()


class Prompted(Folder):
    """A corpus whose texts lie elsewhere."""

    prompts = "/nowhere"

    def read(self, source: str) -> list[Utterance]:
        return [replace(super().read(source)[0], text=Path(self.prompts).read_text())]


def test_a_change_outside_the_root_or_behind_a_link_is_noticed(tmp_path: Path):
    small(tmp_path / "raw")
    small(tmp_path / "far")
    (tmp_path / "raw/link").symlink_to(tmp_path / "far")
    (tmp_path / "prompts.txt").write_text("wrong")
    reader = Prompted("lab", tmp_path / "raw")
    reader.prompts = str(tmp_path / "prompts.txt")
    assert prepare(reader, tmp_path / "data").entries[0].text == "wrong"
    (tmp_path / "prompts.txt").write_text("corrected")
    assert prepare(reader, tmp_path / "data").entries[0].text == "corrected"
    before = (tmp_path / "data/lab/corpus.json").read_text()
    np.save(tmp_path / "far/u0.ema.npy", np.load(tmp_path / "far/u0.ema.npy")[:-1])
    prepare(reader, tmp_path / "data")
    assert json.loads((tmp_path / "data/lab/corpus.json").read_text())["fingerprint"] not in before


def test_a_palate_with_holes_is_kept_without_them(tmp_path: Path):
    small(tmp_path / "raw")

    class Holes(Folder):
        def palates(self) -> dict[str, np.ndarray]:
            return {"anna": np.array([[-3, 1.0], [np.nan, np.nan], [-1, 2]]), "otto": np.array([[1.0, 2.0]])}

    corpus = prepare(Holes("lab", tmp_path / "raw"), tmp_path / "data")
    assert list(corpus.palates) == ["anna"] and len(corpus.palates["anna"]) == 2
    assert "otto" in corpus.description["skipped"][0]["problem"]


def test_the_vocal_folds_are_followed_if_asked(tmp_path: Path):
    small(tmp_path / "raw")
    plain = prepare(Rich("lab", tmp_path / "raw"), tmp_path / "plain")
    with pytest.raises(CorpusError, match="source_channels=true"):
        plain.source_track("lab/u0")
    corpus = prepare(Rich("lab", tmp_path / "raw"), tmp_path / "data", source_channels=True)
    assert corpus.content_hash != plain.content_hash
    folds = corpus.source_track("lab/u0")
    (original,) = Rich("lab", tmp_path / "raw").read("u0.json")
    expected = source_track(corpus.audio("lab/u0"), 16000, original.larynx, 8000)
    assert folds.origin == "laryngograph" and len(folds.values) == 240
    np.testing.assert_allclose(folds.values, expected.values, rtol=1e-5)
    assert (
        prepare(Folder("lab", tmp_path / "raw"), tmp_path / "o", source_channels=True).source_track("lab/u0").origin
        == "estimated"
    )


def test_what_the_vocal_folds_did_needs_no_estimate_where_it_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyworld", None)
    small(tmp_path / "raw")

    class Glottis(Folder):
        def read(self, source: str) -> list[Utterance]:
            (utterance,) = super().read(source)
            f0_hz = np.where(np.arange(480) < 240, 200.0, 0.0)
            return [replace(utterance, f0_hz=f0_hz, f0_rate_hz=400.0)]

    corpus = prepare(Glottis("lab", tmp_path / "raw"), tmp_path / "data")
    assert set(corpus.source_origins) == {"given"}
    folds = corpus.source_track("lab/u0")
    np.testing.assert_allclose(folds.values[:120, 0], 12, rtol=1e-6)
    assert np.isnan(folds.values[121:, 0]).all()
    np.testing.assert_array_equal(folds.values[:, 1], np.arange(240) < 120)
    assert np.isfinite(folds.values[:, 2]).all()


def test_a_broken_palate_does_not_cost_the_corpus(tmp_path: Path):
    small(tmp_path / "raw")

    class BrokenPalate(Folder):
        def palates(self) -> dict[str, np.ndarray]:
            raise CorpusError("palate.mat", "cut short")

    corpus = prepare(BrokenPalate("lab", tmp_path / "raw"), tmp_path / "data")
    assert len(corpus.entries) == 3 and corpus.description["skipped"][0]["problem"] == "palate.mat: cut short"


def test_another_palate_is_another_content(tmp_path: Path):
    small(tmp_path / "raw")
    plain = prepare(Folder("lab", tmp_path / "raw"), tmp_path / "one")

    class WithPalate(Folder):
        def palates(self) -> dict[str, np.ndarray]:
            return {"anna": np.zeros((3, 2))}

    assert prepare(WithPalate("lab", tmp_path / "raw"), tmp_path / "two").content_hash != plain.content_hash


def test_real_recordings_are_prepared(tmp_path: Path):
    corpus = prepare(Hprc(real("TRACTPROBE_SAMPLES", "hprc_haskins")), tmp_path)
    female, male = corpus.entries
    assert female.num_samples == round(114_881 * 16000 / 44100) and male.speaker == "hprc/M01"
    assert np.abs(corpus.audio(female.id)).max() == pytest.approx(0.326, abs=0.03)
    track = corpus.track(female.id)
    assert track.values.shape == (262, 12) and track.rate_hz == pytest.approx(100)


def changed(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


OF_ANOTHER: dict[str, tuple[Callable[[Path], None], str]] = {
    "phones": (
        lambda root: changed(root / "u0.json", phones=[["a", 0.1, 0.2], ["m", 500, 500.1]]),
        r"u0\.json: phone 'm' ends at 500\.10 s, the audio 1\.20 s: labels of another recording",
    ),
    "longer movements": (
        lambda root: np.save(root / "u0.ema.npy", np.ones((1000, 12))),
        r"u0\.json: movements end at 10\.00 s, the audio 1\.20 s: another recording's, or a wrong rate of 100 Hz",
    ),
    "shorter movements": (
        lambda root: soundfile.write(root / "u0.flac", np.ones(16000 * 10) * 0.1, 16000),
        r"u0\.json: movements last 1\.20 s during the audio, the audio 10\.00 s",
    ),
}


@pytest.mark.parametrize("case", OF_ANOTHER)
def test_what_belongs_to_another_recording_by_its_times_is_skipped(tmp_path: Path, case: str):
    change, problem = OF_ANOTHER[case]
    reader = small(tmp_path / "raw")
    change(reader.root)
    corpus = prepare(reader, tmp_path / "data")
    assert [entry.id for entry in corpus.entries] == ["lab/u1", "lab/u2"]
    (skipped,) = corpus.description["skipped"]
    assert re.search(problem, skipped["problem"]), skipped


def test_a_pause_and_a_rounded_phone_may_end_after_the_audio(tmp_path: Path):
    reader = small(tmp_path / "raw", 1)
    changed(reader.root / "u0.json", phones=[["a", 1.1, 1.25], ["sil", 1.25, 3.0]])
    assert len(prepare(reader, tmp_path / "data").entries) == 1


def test_corpora_too_small_to_learn_from_say_how_many_are_needed(tmp_path: Path):
    assert "1 utterance: too few to learn from; split=sentence needs 5 different texts" in describe(
        prepare(small(tmp_path / "raw", 1), tmp_path / "data")
    )
    assert "too few" not in describe(prepare(small(tmp_path / "more", 5), tmp_path / "data2"))


def test_texts_that_cannot_be_what_was_said_are_told_when_a_corpus_is_prepared(tmp_path: Path):
    for number, text in enumerate(["", "", "xxx", "xxx", "xxx"]):
        write_utterance(tmp_path / "raw", f"u{number}", speaker="anna", language="it", text=text, seed=number)
    said = describe(prepare(Folder("lab", tmp_path / "raw"), tmp_path / "data"))
    assert "without a text: 2 of 5 utterances, such as lab/u0; splits need texts, or split.disjoint_text=false" in said
    assert "3 of 5 utterances have a text that looks like a placeholder ('xxx')" in said
