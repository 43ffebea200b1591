"""Files and folders in, tables, pages and videos out."""

import csv
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from head_files import RATE_HZ, noise
from test_head_file import repacked
from test_textgrid import TIERS, long_form

from tractprobe.cli import main
from tractprobe.inversion.inverter import load_head
from tractprobe.inversion.tables import read_phones
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import CorpusError


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Three recordings below a folder, one with an alignment, one at another rate."""
    folder = tmp_path / "in"
    (folder / "sub.dir").mkdir(parents=True)
    soundfile.write(folder / "a.wav", noise(1.0), RATE_HZ)
    (folder / "a.TextGrid").write_text(long_form(TIERS))
    soundfile.write(folder / "sub.dir/a.FLAC", noise(1.5, 1), RATE_HZ, format="FLAC")
    soundfile.write(folder / "sub.dir/b.c.wav", noise(1.2, 2, rate_hz=44100), 44100)
    return folder


def invert(*arguments: object) -> int:
    return main(["invert", *map(str, arguments)])


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_folder_in_folder_out(recordings: Path, head: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    out = tmp_path / "out"
    assert invert(recordings, "--head", head, "--output", out, "--format", "csv,npz") == 0
    assert files_below(out) == [
        "a.csv", "a.npz", "a.phones.csv", "sub.dir/a.csv", "sub.dir/a.npz", "sub.dir/b.c.csv", "sub.dir/b.c.npz",
    ]  # fmt: skip
    assert re.match(r"3 files; 4 s of audio in .* x real time\) in ", capsys.readouterr().out)
    track = load_head(head)(*soundfile.read(recordings / "sub.dir/a.FLAC", dtype="float32"))
    with np.load(out / "sub.dir/a.npz", allow_pickle=False) as arrays:
        np.testing.assert_allclose(arrays["values"], track.values)
        np.testing.assert_allclose(arrays["times_s"], track.times_s)
        assert arrays["channels"].tolist() == list(CHANNELS) and set(arrays["units"].tolist()) == {"mm"}
        assert (arrays["rate_hz"], arrays["start_s"]) == (50, 199.5 / 16000)
    rows = rows_of(out / "sub.dir/a.csv")
    assert list(rows[0]) == ["time_s", *(f"{name}_mm" for name in CHANNELS)]
    found = np.array([[float(value) for value in row.values()] for row in rows])
    np.testing.assert_allclose(found[:, 1:], track.values, atol=1e-4)
    np.testing.assert_allclose(found[:, 0], track.times_s, atol=1e-6)


def test_an_alignment_beside_the_audio_is_used(recordings: Path, head: Path, tmp_path: Path):
    assert invert(recordings / "a.wav", "--head", head, "--output", tmp_path / "out", "--rate", 200) == 0
    track = load_head(head)(*soundfile.read(recordings / "a.wav", dtype="float32")).resampled(200)
    rows = rows_of(tmp_path / "out/a.phones.csv")
    assert [(row["phone"], float(row["start_s"]), float(row["end_s"])) for row in rows] == [
        ("HH", 0.2, 0.3), ("AY1", 0.3, 0.45)  # pauses are none
    ]  # fmt: skip
    for row, (start_s, end_s) in zip(rows, [(0.2, 0.3), (0.3, 0.45)], strict=True):
        inside = (track.times_s >= start_s - 1e-9) & (track.times_s < end_s - 1e-9)
        middle = track.at(np.array([(start_s + end_s) / 2]))[0]
        np.testing.assert_allclose([float(row[f"{name}_mm"]) for name in CHANNELS], middle, atol=1e-4)
        expected = track.values[inside].mean(axis=0)
        np.testing.assert_allclose([float(row[f"{name}_mm_mean"]) for name in CHANNELS], expected, atol=1e-4)
    labels = {round(float(row["time_s"]), 3): row["phone"] for row in rows_of(tmp_path / "out/a.csv")}
    assert labels[0.25] == "HH" and labels[0.3] == "AY1" and labels[0.5] == "" and labels[0.1] == ""
    assert len(labels) == len(track.values)


def test_the_tier_of_phones_is_found_or_asked_for(tmp_path: Path):
    def written(*names: str) -> Path:
        path = tmp_path / "a.TextGrid"
        path.write_text(long_form({name: TIERS["phone"] for name in names}))
        return path

    assert [phone.label for phone in read_phones(written("word", "MAU"), 0.6)] == ["HH", "AY1"]
    assert len(read_phones(written("only"), 0.6)) == 2
    assert len(read_phones(written("x", "y"), 0.6, "y")) == 2
    with pytest.raises(CorpusError, match=r"which tier holds the phones\? It has x, y; give --tier"):
        read_phones(written("x", "y"), 0.6)
    with pytest.raises(CorpusError, match="expected one interval tier 'z', not 0"):
        read_phones(written("x", "y"), 0.6, "z")


@pytest.mark.parametrize("intervals", [[(0.0125, 0.6, "he said so")], [(0.0125, 0.6, "hesaidso")]])
def test_an_only_tier_of_a_sentence_is_no_tier_of_phones(tmp_path: Path, intervals: list[tuple[float, float, str]]):
    path = tmp_path / "a.TextGrid"
    path.write_text(long_form({"sentence": intervals}))
    with pytest.raises(CorpusError, match="only tier, 'sentence', holds words or sentences"):
        read_phones(path, 0.6)
    assert len(read_phones(path, 0.6, "sentence")) == 1


def test_labels_of_another_recording_are_named_and_grids_can_be_ignored(
    recordings: Path, head: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    (recordings / "a.TextGrid").write_text(long_form(TIERS, end_s=7.0))
    line = [recordings / "a.wav", "--head", head, "--existing", "replace"]
    assert invert(*line, "--output", tmp_path / "out") == 1
    said = capsys.readouterr()
    assert re.search(r"^tractprobe: \S*a\.TextGrid: ends at 7\.00 s, its audio at \d", said.err, re.MULTILINE)
    assert "1 file, 1 with problems" in said.out and files_below(tmp_path / "out") == ["a.csv"]
    assert invert(*line, "--output", tmp_path / "out", "--format", "phones") == 1
    assert invert(*line, "--output", tmp_path / "out2", "--no-grids") == 0
    assert files_below(tmp_path / "out2") == ["a.csv"]
    assert invert(*line, "--no-grids", "--format", "phones") == 1
    assert "--no-grids leaves out" in capsys.readouterr().err


def test_sound_that_only_ffmpeg_reads_is_not_passed_over_in_silence(
    recordings: Path, head: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    (recordings / "sub.dir/x.M4A").write_bytes(b"\0\0\0\x20ftypM4A ")
    assert invert(recordings, "--head", head, "--output", tmp_path / "out") == 0
    assert "1 file ignored: .m4a, convert with ffmpeg" in capsys.readouterr().err
    assert invert(recordings / "sub.dir/x.M4A", "--head", head, "--output", tmp_path / "out2") == 1
    assert re.search(r"x\.M4A: not readable as audio.*ffmpeg", capsys.readouterr().err)
    (tmp_path / "only").mkdir()
    shutil.move(recordings / "sub.dir/x.M4A", tmp_path / "only/x.m4a")
    assert invert(tmp_path / "only", "--head", head) == 1
    assert "1 file ignored: .m4a" in capsys.readouterr().err


def test_one_bad_file_is_reported_and_the_others_are_made(
    recordings: Path, head: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    (recordings / "bad.wav").write_bytes(b"RIFF no")
    soundfile.write(recordings / "short.wav", np.zeros(100), RATE_HZ)
    soundfile.write(recordings / "stereo.wav", np.zeros((16000, 2)), RATE_HZ)
    (recordings / "sub.dir/a.TextGrid").write_text("nothing")
    assert invert(recordings, "--head", head, "--output", tmp_path / "out") == 1
    said = capsys.readouterr()
    assert "3 files, 4 with problems" in said.out
    for name, problem in {
        "bad.wav": "not readable as audio", "short.wav": "shorter than one frame", "stereo.wav": "2 audio channels",
        "a.TextGrid": "expected a text",
    }.items():  # fmt: skip
        assert re.search(rf"^tractprobe: .*{re.escape(name)}.*{problem}", said.err, re.MULTILINE)
    assert "Traceback" not in said.err
    assert files_below(tmp_path / "out") == ["a.csv", "a.phones.csv", "sub.dir/a.csv", "sub.dir/b.c.csv"]
    assert "phone" not in rows_of(tmp_path / "out/sub.dir/a.csv")[0]  # a bad grid costs its labels, not the movements
    assert "stereo.wav: has 2 audio channels; say which of them holds the speech, from 0: --channel 0" in said.err
    assert invert(recordings / "stereo.wav", "--head", head, "--output", tmp_path / "out", "--channel", 1) == 0


def test_outputs_that_are_there_are_kept_unless_asked(
    recordings: Path, head: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    line = [recordings, "--head", head, "--output", tmp_path / "out"]
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.csv").write_text("mine")
    assert invert(*line) == 1 and "out/a.csv exists already" in capsys.readouterr().err
    assert files_below(tmp_path / "out") == ["a.csv"]
    shutil.copy(tmp_path / "out/a.csv", tmp_path / "out/a.phones.csv")
    assert invert(*line, "--existing", "skip") == 0
    assert (tmp_path / "out/a.csv").read_text() == "mine" and "2 files, 1 there already" in capsys.readouterr().out
    assert invert(*line, "--existing", "replace") == 0
    assert (tmp_path / "out/a.csv").read_text().startswith("time_s")


def test_what_is_missing_is_made_beside_what_is_there(recordings: Path, head: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.csv").write_text("mine")
    line = [recordings / "a.wav", "--head", head, "--output", tmp_path / "out", "--format", "csv,npz"]
    assert invert(*line, "--existing", "skip") == 0
    assert files_below(tmp_path / "out") == ["a.csv", "a.npz", "a.phones.csv"]
    assert (tmp_path / "out/a.csv").read_text() == "mine"


def test_no_output_takes_the_place_of_another(
    recordings: Path, head: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    shutil.copy(recordings / "a.wav", recordings / "a.phones.wav")
    assert invert(recordings, "--head", head, "--output", tmp_path / "out") == 1
    assert "a.phones.csv would be made of" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_name_that_is_no_utf8_is_a_name(recordings: Path, head: Path, tmp_path: Path):
    try:
        os.replace(recordings / "a.wav", os.fsencode(recordings) + b"/b\xe9.wav")
    except OSError:
        pytest.skip("a file system that takes UTF-8 only")
    (recordings / "a.TextGrid").unlink()
    assert invert(recordings, "--head", head, "--output", tmp_path / "out", "--html") == 0
    assert b"b\xe9.html" in os.listdir(os.fsencode(tmp_path / "out"))


def test_a_name_too_long_for_outputs_stops_no_others(
    recordings: Path, head: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    shutil.copy(recordings / "a.wav", recordings / f"{'x' * 250}.wav")
    assert invert(recordings, "--head", head, "--output", tmp_path / "out") == 1
    said = capsys.readouterr()
    assert "too long" in said.err and "3 files, 1 with problems" in said.out


def test_what_is_too_short_for_a_table_or_a_picture_is_named(head: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    soundfile.write(tmp_path / "s.wav", noise(0.026), RATE_HZ)
    line = [tmp_path / "s.wav", "--head", head, "--output", tmp_path / "out"]
    assert invert(*line, "--rate", 10) == 1 and "no row at 10 Hz" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert invert(*line, "--html") == 1 and "too short for a picture" in capsys.readouterr().err


def test_names_from_a_head_file_do_not_steer_the_terminal(
    recordings: Path, head: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    repacked(head, lambda about: about.update(speakers={"\x1b[2Js": about["speakers"]["s"]}))
    assert invert(recordings, "--head", head, "--output", tmp_path, "--speaker", "x") == 1
    said = capsys.readouterr().err
    assert "\x1b" not in said and r"it has \x1b[2Js" in said


WRONG = {
    "no audio": (["{in}/none"], "no audio"),
    "one name twice": (["{in}/a.wav", "{in}/sub.dir/a.FLAC"], "would both become a"),
    "a format": (["{in}/a.wav", "--format", "xls"], "--format xls: expected some of csv, npz, phones"),
    "a rate": (["{in}/a.wav", "--rate", "0"], "--rate 0.0: expected a rate above 0 and up to 10000 Hz"),
    "a cutoff": (["{in}/a.wav", "--lowpass", "25"], "--lowpass 25.0: expected 0 to 25 Hz"),
    "a speaker": (["{in}/a.wav", "--speaker", "x"], "no speaker x; it has s"),
    "no alignment": (["{in}/sub.dir/b.c.wav", "--format", "phones"], "has no TextGrid beside it"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_asked_is_named(
    recordings: Path, head: Path, tmp_path: Path, capsys: pytest.CaptureFixture, case: str
):
    arguments, problem = WRONG[case]
    (recordings / "none").mkdir()
    line = [argument.replace("{in}", str(recordings)) for argument in arguments]
    assert invert(*line, "--head", head, "--output", tmp_path / "out") == 1
    assert problem in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_fast_movements_are_removed_if_asked(recordings: Path, head: Path, tmp_path: Path):
    assert invert(recordings / "a.wav", "--head", head, "--output", tmp_path, "--format", "npz", "--lowpass", 8) == 0
    track = load_head(head)(*soundfile.read(recordings / "a.wav", dtype="float32")).lowpassed(8)
    np.testing.assert_allclose(np.load(tmp_path / "a.npz")["values"], track.values)


# Moving pictures; what is in them: test_player.py.


def test_pages_of_files_have_the_sound(recordings: Path, head: Path, tmp_path: Path):
    assert invert(recordings, "--head", head, "--output", tmp_path / "out", "--html") == 0
    assert len(list((tmp_path / "out").rglob("*.html"))) == 3


def test_a_video_without_ffmpeg_says_what_to_install(
    recordings: Path, head: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    assert invert(recordings, "--head", head, "--video") == 1
    assert 'pip install "tractprobe[video]"' in capsys.readouterr().err
