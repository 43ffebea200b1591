import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import real
from damage import refusals_in_corpus
from drawn import (
    FEW,
    Courses,
    Sound,
    Span,
    assert_extra,
    assert_phones,
    assert_sound,
    assert_track,
    movements,
    sentences,
    sounds,
    spans,
    words,
    write_sound,
)
from hypothesis import given
from hypothesis import strategies as st
from test_textgrid import TIERS, long_form

from tractprobe.corpora.readers.xrmb import Xrmb
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import ConfigError, CorpusError

PELLETS = ("UL", "LL", "T1", "T2", "T3", "T4", "MNI", "MNM")
STEP_US = 6866


def truth(count: int = 80) -> np.ndarray:
    """Micrometres (time, pellet, axis) that tell pellet, axis and row apart; front and back, up and down."""
    pellet, axis = 9000 * (np.arange(8)[:, None] - 4), np.array([0, 4000])
    return (pellet + axis + 3 * np.arange(count)[:, None, None]).astype(int)


def txy(positions_um: np.ndarray, start_us: int = 0, step_us: int = STEP_US) -> bytes:
    """Time and 16 coordinates between tabs, CRLF, and no end of the last line, as in the sample."""
    rows = []
    for number, row in enumerate(positions_um.reshape(len(positions_um), -1)):
        rows.append("\t".join(map(str, [start_us + number * step_us, *row])))
    return "\r\n".join(rows).encode("latin-1")


def write(root: Path, **settings: Any) -> Xrmb:
    """Write three recordings of two speakers; JW12's palate runs back to front, JW11's front to back."""
    for number, (speaker, task) in enumerate([("JW11", "tp005"), ("JW11", "tp015_2"), ("JW102", "tp005")]):
        folder = root / speaker
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{task}.txy").write_bytes(txy(truth() + 100 * number))
        soundfile.write(folder / f"{task}.wav", np.random.default_rng(number).normal(size=10870) * 0.1, 21739)
    (root / "JW11/PAL.DAT").write_bytes(b"  -4000   4433\r\n -30471  23497\r\n -61500  25700\r\n")
    (root / "JW102/PAL.DAT").write_bytes(b"  -60000   25000\r\n -3000  4000\r\n")
    (root / "JW11/PHA.DAT").write_bytes(b"    -90663   16444  \r\n    -90629  -24627\r\n")
    annotation = root / "annotation/JW11/tp005.TextGrid"
    annotation.parent.mkdir(parents=True, exist_ok=True)
    annotation.write_text(long_form(TIERS))
    (root / "tasks.txt").write_text("tp005\tPeople told, look.\n\nTP014 She had your dark suit.\n")
    return Xrmb(root, **settings)


def read_one(reader: Xrmb, index: int = 1) -> Any:
    (utterance,) = reader.read(reader.sources()[index])
    return utterance


def column(utterance: Any, name: str) -> np.ndarray:
    return utterance.track.values[:, CHANNELS.index(name)]


def test_recordings_are_naturally_sorted(tmp_path: Path):
    assert write(tmp_path).sources() == ["JW11/tp005.txy", "JW11/tp015_2.txy", "JW102/tp005.txy"]


@pytest.mark.parametrize(("tb", "other"), [("T2", "T3"), ("T3", "T2")])
def test_round_trip(tmp_path: Path, tb: str, other: str):
    reader = write(tmp_path, tb=tb)
    for index, (speaker, name) in enumerate([("JW11", "tp005"), ("JW11", "tp015_2"), ("JW102", "tp005")]):
        utterance, written = read_one(reader, index), truth() / 1000 + 0.1 * index
        assert (utterance.id, utterance.speaker, utterance.language) == (f"{speaker}_{name}", speaker, "en")
        assert (utterance.frame, utterance.phone_set) == ("occlusal", "arpabet")
        assert (utterance.audio_rate_hz, len(utterance.audio)) == (21739, 10870)
        assert utterance.track.rate_hz == pytest.approx(145.645, abs=0.001) and utterance.track.start_s == 0
        places = {"td": "T4", "tb": tb, "tt": "T1", "li": "MNI", "ul": "UL", "ll": "LL"}
        for articulator, pellet in places.items():
            for axis in range(2):
                expected = written[:, PELLETS.index(pellet), axis]
                np.testing.assert_allclose(column(utterance, f"{articulator}_{'xy'[axis]}"), expected, atol=1e-9)
        lower = other.lower()
        assert sorted(utterance.extra) == ["mnm_x", "mnm_y", f"{lower}_x", f"{lower}_y"]
        np.testing.assert_allclose(utterance.extra["mnm_y"], written[:, 7, 1], atol=1e-9)
        np.testing.assert_allclose(utterance.extra[f"{lower}_x"], written[:, PELLETS.index(other), 0], atol=1e-9)


@FEW
@given(
    courses=movements(dict.fromkeys(PELLETS, (0.0, 0.0)), reach_mm=999.999, decimals=3, keep=("UL",)),
    half_lost=st.sets(
        st.tuples(st.sampled_from(["T1", "T2", "T3"]), st.integers(0, 15), st.integers(0, 1)), max_size=3
    ),
    tb=st.sampled_from(["T2", "T3"]),
    clock=st.tuples(st.integers(0, 90_000), st.integers(2000, 25_000)),
    sound=sounds((21739, 22050)),
    labels=st.none() | spans(words(), ticks=200),
    speaker=st.from_regex(r"(JW|jw)[0-9]{1,4}", fullmatch=True),
    task=st.tuples(st.from_regex(r"tp[0-9]{1,3}", fullmatch=True), st.sampled_from(["", "_2", "_13"])),
    text=st.none() | sentences().filter(lambda text: text[0] not in ":,"),  # which separate names and texts
    palate=movements({"palate": (0.0, 0.0)}, decimals=3, keep=("palate",)),
)
def test_any_recording_comes_back(
    tmp_path_factory: pytest.TempPathFactory, courses: Courses, half_lost: set[tuple[str, int, int]], tb: str,
    clock: tuple[int, int], sound: Sound, labels: list[Span] | None, speaker: str, task: tuple[str, str],
    text: str | None, palate: Courses,
):  # fmt: skip
    root, stem = tmp_path_factory.mktemp("any"), "".join(task)
    for pellet, row, axis in half_lost:
        courses[pellet][row, axis] = np.nan
    positions = micrometres(np.stack([courses[pellet] for pellet in PELLETS], axis=1))
    write_sound(root / f"{speaker}/{stem}.wav", sound)
    (root / f"{speaker}/{stem}.txy").write_bytes(txy(positions, *clock))
    lines = [f"  {x} {y}\r\n" for x, y in micrometres(palate["palate"])]
    (root / f"{speaker}/PAL.DAT").write_bytes("".join(lines).encode())
    if labels is not None:
        tiers = {"word": [], "phone": [(start / 1000, end / 1000, label) for label, start, end in labels]}
        (root / f"{speaker}/{stem}.TextGrid").write_text(
            long_form(tiers, end_s=len(sound[0]) / sound[1]), encoding="utf-8", newline=""
        )
    listed = f"tp9999 Other.\n{task[0]}:\t{text}\n" if text is not None else "\n"
    (root / "tasks.txt").write_text(listed, encoding="utf-8", newline="")
    reader = Xrmb(root, tb=tb, tasks="tasks.txt", textgrids=".")
    read = read_one(reader, 0)
    places = {"td": "T4", "tb": tb, "tt": "T1", "li": "MNI", "ul": "UL", "ll": "LL"}
    others = {pellet.lower(): courses[pellet] for pellet in PELLETS if pellet not in places.values()}
    assert_track(read, {name: courses[pellet] for name, pellet in places.items()}, rate_hz=1e6 / clock[1],
                 start_s=clock[0] / 1e6)  # fmt: skip
    assert_extra(read, others)
    assert_sound(read, sound)
    assert_phones(read.phones, labels or [], 0.001)
    assert (read.id, read.speaker, read.text) == (f"{speaker}_{stem}", speaker, text or task[0])
    trace = palate["palate"][np.isfinite(palate["palate"]).all(axis=1)]
    np.testing.assert_allclose(reader.palates()[speaker], trace if trace[0, 0] <= trace[-1, 0] else trace[::-1])


def micrometres(positions_mm: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(positions_mm), 1_000_000, np.round(1000 * positions_mm)).astype(int)


def test_a_million_is_missing_in_coordinates_but_not_on_the_clock(tmp_path: Path):
    reader = write(tmp_path)
    positions = truth()
    positions[4:6, PELLETS.index("T1")] = 1_000_000
    (tmp_path / "JW11/tp005.txy").write_bytes(txy(positions, step_us=20_000))  # row 50 is at 1000000 us
    utterance = read_one(reader, 0)
    assert np.flatnonzero(np.isnan(column(utterance, "tt_x"))).tolist() == [4, 5]
    assert np.isnan(column(utterance, "tt_y")).sum() == 2 and utterance.track.rate_hz == pytest.approx(50)
    assert np.isfinite(column(utterance, "td_x")).all()


def test_a_later_start_is_kept(tmp_path: Path):
    reader = write(tmp_path)
    (tmp_path / "JW11/tp005.txy").write_bytes(txy(truth(), start_us=68660))
    assert read_one(reader, 0).track.start_s == pytest.approx(0.06866)


def test_texts_come_from_the_tasks_else_the_task_itself_and_never_from_what_one_speaker_said(tmp_path: Path):
    texts = {
        "listed": {"tasks": "tasks.txt", "textgrids": "annotation"},
        "words": {"textgrids": "annotation"},
        "task": {},
    }
    read = {
        case: [read_one(write(tmp_path, **settings), index).text for index in range(3)]
        for case, settings in texts.items()
    }
    assert read["listed"] == ["People told, look.", "tp015", "People told, look."]  # a repeat is the same task
    assert read["words"] == read["task"] == ["tp005", "tp015", "tp005"]


def test_phones_come_from_textgrids_where_there_are_any(tmp_path: Path):
    reader = write(tmp_path, textgrids="annotation")
    assert [phone.label for phone in read_one(reader, 0).phones] == ["sp", "HH", "AY1"]
    assert read_one(reader, 0).phones[1].start_s == 0.2
    assert read_one(reader, 1).phones == () == read_one(write(tmp_path), 0).phones
    shutil.copy(tmp_path / "annotation/JW11/tp005.TextGrid", tmp_path / "JW11")
    assert len(read_one(write(tmp_path, textgrids="."), 0).phones) == 3


def test_palates_run_from_back_to_front_in_mm(tmp_path: Path):
    palates = write(tmp_path).palates()
    assert palates["JW11"].tolist() == [[-61.5, 25.7], [-30.471, 23.497], [-4.0, 4.433]]
    assert palates["JW102"].tolist() == [[-60, 25], [-3, 4]]
    assert write(tmp_path).pharynges()["JW11"].tolist() == [[-90.663, 16.444], [-90.629, -24.627]]
    (tmp_path / "JW102/PAL.DAT").unlink()
    assert list(write(tmp_path / "other").palates()) == ["JW102", "JW11"]


def test_a_speaker_without_a_palate_has_none(tmp_path: Path):
    reader = write(tmp_path)
    (tmp_path / "JW102/PAL.DAT").unlink()
    assert list(reader.palates()) == ["JW11"] == list(reader.pharynges())


def test_names_in_capitals_are_read(tmp_path: Path):
    reader = write(tmp_path)
    for name in ("tp005.txy", "tp005.wav"):
        (tmp_path / "JW11" / name).rename(tmp_path / "JW11" / name.upper())
    (tmp_path / "JW11/PAL.DAT").rename(tmp_path / "JW11/pal.dat")
    assert reader.sources()[0] == "JW11/TP005.TXY"
    assert (read_one(reader, 0).speaker, read_one(reader, 0).text) == ("JW11", "tp005")
    assert len(reader.palates()["JW11"]) == 3


def test_a_pellet_that_does_not_exist_is_no_blade(tmp_path: Path):
    with pytest.raises(ConfigError, match="T2 or T3"):
        write(tmp_path, tb="T4")


GOOD = txy(truth()).decode()
BROKEN: dict[str, tuple[str, str]] = {
    "nothing": ("", "line 1"),
    "one row": (GOOD.split("\r\n")[0], "clock"),
    "cut short": (GOOD[:-30], "line 80"),
    "a column too many": (GOOD.replace("\r\n", "\t1\r\n", 1), "line 1"),
    "commas": (GOOD.replace("\t", ","), "line 1"),
    "text": ("X" + GOOD, "line 1"),
    "an empty cell": (GOOD.replace("\t-36000\t", "\t\t", 1), "line 1.*whole"),
    "NaN": (GOOD.replace("\t-36000\t", "\tnan\t", 1), "line 1.*whole"),
    "infinity": (GOOD.replace("\t-36000\t", "\tinf\t", 1), "line 1.*whole"),
    "millimetres": (GOOD.replace("\t-36000\t", "\t-36.5\t", 1), "line 1.*micrometres"),
    "beyond a metre": (GOOD.replace("\t-36000\t", "\t-3600000\t", 1), "line 1.*away"),
    "a lost row": ("\r\n".join(GOOD.split("\r\n")[:20] + GOOD.split("\r\n")[21:]), "line 21.*step"),
    "time that stands still": (txy(truth(), step_us=0).decode(), "clock"),
    "time that runs back": (txy(truth(), step_us=-6866).decode(), "clock"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_recording_is_one_error_that_names_file_and_place(tmp_path: Path, case: str):
    content, problem = BROKEN[case]
    reader = write(tmp_path)
    (tmp_path / "JW11/tp005.txy").write_bytes(content.encode())
    with pytest.raises(CorpusError, match=problem) as error:
        read_one(reader, 0)
    assert "tp005.txy" in str(error.value)


def test_other_files_that_are_wrong_or_lack_are_named(tmp_path: Path):
    reader = write(tmp_path, tasks="tasks.txt", textgrids="annotation")
    (tmp_path / "JW11/tp015_2.wav").unlink()
    with pytest.raises(CorpusError, match=r"tp015_2\.wav.*no such file"):
        read_one(reader, 1)
    (tmp_path / "annotation/JW11/tp005.TextGrid").write_text("no")
    with pytest.raises(CorpusError, match=r"tp005\.TextGrid"):
        read_one(reader, 0)
    (tmp_path / "JW11/PAL.DAT").write_text("1000000 1000000\n")
    with pytest.raises(CorpusError, match=r"PAL\.DAT.*no point"):
        reader.palates()
    (tmp_path / "wrong.txt").write_text("tp001 a\nShe had\n")
    with pytest.raises(CorpusError, match=r"wrong\.txt \(line 2\)"):
        read_one(write(tmp_path / "b", tasks=str(tmp_path / "wrong.txt")), 0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="JW11/tp001"):
        Xrmb(tmp_path / "empty").sources()


def test_bit_rot_is_an_error_or_harmless_but_nothing_else(tmp_path: Path):
    write(tmp_path)
    shutil.rmtree(tmp_path / "JW102")
    for unwanted in ("tp015_2.txy", "tp015_2.wav", "PHA.DAT"):
        (tmp_path / "JW11" / unwanted).unlink()
    (tmp_path / "JW11/tp005.txy").write_bytes(txy(truth(12)))
    assert refusals_in_corpus(Xrmb(tmp_path, textgrids="annotation")) > 100


def test_real_recording(tmp_path: Path):
    samples = real("TRACTPROBE_SAMPLES", "xrmb")
    (tmp_path / "JW11").mkdir()
    for name, original in {"tp005.txy": "jw11_tp005.txy", "tp005.wav": "jw11_tp005.wav"}.items():
        shutil.copyfile(samples / original, tmp_path / "JW11" / name)
    for name, original in {"PAL.DAT": "jw11_pal.dat", "PHA.DAT": "jw11_pha.dat"}.items():
        shutil.copyfile(samples / original, tmp_path / "JW11" / name)
    reader = Xrmb(tmp_path)
    (utterance,) = reader.read("JW11/tp005.txy")
    values = utterance.track.values
    assert values.shape == (730, 12) and utterance.track.rate_hz == pytest.approx(145.645, abs=0.001)
    assert np.isnan(values).any(axis=1).sum() == 6
    mean = dict(zip(CHANNELS, np.nanmean(values, axis=0), strict=True))
    assert mean["ul_x"] == pytest.approx(14.15, abs=0.01) and mean["ul_y"] == pytest.approx(17.96, abs=0.01)
    assert mean["td_x"] < mean["tb_x"] < mean["tt_x"] < mean["ll_x"]
    assert 0 < utterance.duration_s - utterance.track.end_s < 0.05
    spread = np.nanstd(values, axis=0)
    assert (spread > 0.15).all() and (spread < 9).all()  # mm; "sa sa sa": the lips hardly move
    r = np.corrcoef(values[np.isfinite(values).all(axis=1)].T)
    tip, blade, lip = (CHANNELS.index(name) for name in ("tt_x", "tb_x", "ul_x"))
    assert r[tip, blade] > 0.5 > abs(r[tip, lip]) and mean["ul_y"] > mean["ll_y"]
    palate = reader.palates()["JW11"]
    assert palate.shape == (22, 2) and palate[0, 0] == -61.5 and palate[-1].tolist() == [-4.0, 4.433]
    tongue = values[:, CHANNELS.index("td_y")]
    assert np.nanmax(tongue) < palate[:, 1].max() and reader.pharynges()["JW11"][:, 0].max() < np.nanmin(values[:, 0])
