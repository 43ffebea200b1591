import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import real
from damage import refusals_in_corpus
from drawn import (
    ANYWHERE,
    FEW,
    Courses,
    Sound,
    Span,
    assert_extra,
    assert_phones,
    assert_sound,
    assert_track,
    movements,
    sounds,
    spans,
    words,
    write_sound,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from test_textgrid import short_form

from tractprobe.corpora.formats.ndi import read_wave
from tractprobe.corpora.formats.textgrid import PAUSES
from tractprobe.corpora.readers.ndi_wave import NdiWave
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import ConfigError, CorpusError

OWN_IDS = ("B5-03859-P01-CH0", "B5-03859-P02-CH1", "B5-03858-P01-CH0")
FRONT_IDS = ("1", "3", "4")


def truth(count: int = 60, sensors: int = 3) -> np.ndarray:
    """Positions that tell sensor, axis and row apart."""
    sensor, axis = 70.0 * np.arange(1, sensors + 1)[:, None], 10.0 * np.arange(3)
    return sensor + axis + np.arange(count)[:, None, None] / 8


def times(count: int = 60, rate_hz: float = 100, start_s: float = 0.0193) -> np.ndarray:
    return np.round(start_s + np.arange(count) / rate_hz, 4)


def front_table(times_s: Any, positions: np.ndarray, ids: Sequence[str] = FRONT_IDS) -> str:
    """WaveFront's dialect: position before quaternion, missing positions are empty cells."""
    header = ["AudioTime[s]", "MeasId", "WavId"]
    for id_ in ids:
        header += [f"Sensor {id_} Id", f"Sensor {id_} Status", "X[mm]", "Y[mm]", "Z[mm]", "Q0", "Qx", "Qy", "Qz"]
    lines = ["\t".join(header)]
    for number, (time, row) in enumerate(zip(times_s, positions, strict=True)):
        cells = [f"{time:.6f}", f"{number:.6f}", f"{220 * number:.6f}"]
        for id_, place in zip(ids, row, strict=True):
            lost = np.isnan(place).any()
            cells += [f"{float(id_) - 1:.6f}", "119.000000" if lost else "55.000000"]
            cells += [""] * 7 if lost else [*(f"{value:.6f}" for value in place), "0.8", "0.6", "0.0", "-0.000000"]
        lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"


def own_table(
    times_s: Any, positions: np.ndarray, states: dict[tuple[int, int], str] | None = None,
    ids: Sequence[str] = OWN_IDS,
) -> str:  # fmt: skip
    """The Wave's own dialect: quaternion before position, a column named by a blank between its two units."""
    block = ["Frame", "State", "Q0", "Qx", "Qy", "Qz", "Tx", "Ty", "Tz"]
    header = ["Wav Time"]
    for index, id_ in enumerate(ids):
        header += [" "] * (index == 2) + [id_, *block]
    lines = ["\t".join(header) + "\r"]
    for number, (time, row) in enumerate(zip(times_s, positions, strict=True)):
        cells = [f"{time:.6f}"]
        for index, (id_, place) in enumerate(zip(ids, row, strict=True)):
            lost = np.isnan(place).any()
            state = (states or {}).get((number, index), "Tool Missing" if lost else "OK")
            cells += [" "] * (index == 2) + [id_, str(268572 + 8 * number), state]
            cells += ["-3.697314E28"] * 7 if lost else ["0.8", "0.6", "0.0", "0.0", *(f"{v:.4f}" for v in place)]
        lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"


def table(dialect: str, *arguments: Any) -> str:
    return own_table(*arguments) if dialect == "own" else front_table(*arguments)


def save(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode())
    return path


GRID = """File type = "ooTextFile"
Object class = "TextGrid"

0
0.6
<exists>
2
"IntervalTier"
"phones"
0
0.6
2
0
0.2
"HH"
0.2
0.6
"AY1"
"IntervalTier"
"words"
0
0.6
1
0
0.6
"hi"
"""


def write(root: Path, **changes: Any) -> NdiWave:
    """Write two speakers' recordings in both dialects: sensor 3 on the dorsum, 2 on the tip, 1 on the upper incisor."""
    for id_, dialect in (("ann_001", "own"), ("ann_002", "front"), ("bob_001", "own")):
        save(root / f"{id_}.tsv", table(dialect, times(), truth()))
        soundfile.write(root / f"{id_}.wav", np.random.default_rng(0).normal(size=9600) * 0.1, 16000)
    save(root / "ann_001.TextGrid", GRID)
    given_ = {"sensors": {"td": 3, "tt": 2}, "extra": {"ui": 1}, "front": "y", "up": "-z"} | changes
    return NdiWave("lab", root, "en", word_tier="words", phone_tier="phones", phone_set="arpabet", **given_)


@pytest.mark.parametrize("dialect", ["own", "front"])
def test_positions_are_found_on_either_side_of_the_quaternion(tmp_path: Path, dialect: str):
    recording = read_wave(save(tmp_path / "a.tsv", table(dialect, times(), truth())))
    np.testing.assert_allclose(recording.positions_mm, truth(), atol=1e-9)
    assert recording.sensors == (OWN_IDS if dialect == "own" else FRONT_IDS)
    assert recording.rate_hz == pytest.approx(100) and recording.start_s == 0.0193
    assert set(recording.states.flat) == ({"OK"} if dialect == "own" else {"55.000000"})


def test_columns_are_found_by_header_and_not_by_place(tmp_path: Path):
    columns = [line.split("\t") for line in front_table(times(), truth()).rstrip("\n").split("\n")]
    order = [0, 3, 4, 8, 9, 10, 11, 5, 6, 7, *range(12, 30)]  # no counters, and the first sensor's quaternion first
    content = "\n".join("\t".join(row[column] for column in order) for row in columns)
    np.testing.assert_allclose(read_wave(save(tmp_path / "a.tsv", content)).positions_mm, truth(), atol=1e-9)


def test_the_own_dialect_may_lack_its_header(tmp_path: Path):
    content = own_table(times(), truth())
    with_header = read_wave(save(tmp_path / "a.tsv", content))
    without = read_wave(save(tmp_path / "b.tsv", content.partition("\n")[2]))
    assert without.sensors == with_header.sensors == OWN_IDS and without.start_s == with_header.start_s
    np.testing.assert_array_equal(without.positions_mm, with_header.positions_mm)


def test_wavefront_without_a_header_is_not_guessed_at(tmp_path: Path):
    path = save(tmp_path / "a.tsv", front_table(times(), truth()).partition("\n")[2])
    with pytest.raises(CorpusError, match="neither a header"):
        read_wave(path)


@pytest.mark.parametrize("dialect", ["own", "front"])
def test_missing_positions_are_nan(tmp_path: Path, dialect: str):
    positions = truth()
    positions[5:9, 1] = np.nan
    recording = read_wave(save(tmp_path / "a.tsv", table(dialect, times(), positions)))
    np.testing.assert_allclose(recording.positions_mm, positions, atol=1e-9)


@pytest.mark.parametrize("state", ["Bad Fit", "Processing Error", "Tool Missing", "Signal too small", ""])
def test_a_position_whose_state_is_not_ok_is_missing(tmp_path: Path, state: str):
    recording = read_wave(save(tmp_path / "a.tsv", own_table(times(), truth(), {(7, 1): state})))
    lost = np.isnan(recording.positions_mm).all(axis=2)
    assert np.argwhere(lost).tolist() == [[7, 1]] and recording.states[7, 1] == state


def test_a_missing_value_under_an_ok_is_missing(tmp_path: Path):
    content = own_table(times(), truth()).replace(f"{truth()[7, 1, 0]:.4f}\t", "-3.697314E28\t", 1)
    lost = np.isnan(read_wave(save(tmp_path / "a.tsv", content)).positions_mm)
    assert np.argwhere(lost).tolist() == [[7, 1, 0], [7, 1, 1], [7, 1, 2]]


def test_rows_that_lack_come_back_as_missing(tmp_path: Path):
    there = np.delete(np.arange(60), [20, 21, 40])
    recording = read_wave(save(tmp_path / "a.tsv", front_table(times()[there], truth()[there])))
    assert np.flatnonzero(np.isnan(recording.positions_mm[:, 0, 0])).tolist() == [20, 21, 40]
    np.testing.assert_allclose(recording.positions_mm[there], truth()[there], atol=1e-9)
    assert recording.rate_hz == pytest.approx(100)


def test_rows_of_the_devices_setup_are_dropped(tmp_path: Path):
    setup = [123439.5, 123439.6, 0.0, 88.0]
    content = front_table([*setup, *times()], np.concatenate([np.full((4, 3, 3), 1.0), truth()]))
    recording = read_wave(save(tmp_path / "a.tsv", content))
    assert recording.start_s == 0.0193 and len(recording.positions_mm) == 60
    np.testing.assert_allclose(recording.positions_mm, truth(), atol=1e-9)


@settings(max_examples=50)
@given(st.floats(90, 400), st.floats(0, 5), st.integers(10, 80))
def test_the_rate_is_that_of_the_clock_though_times_are_rounded(rate_hz: float, start_s: float, count: int):
    with tempfile.TemporaryDirectory() as folder:
        content = front_table(times(count, rate_hz, start_s), truth(count))
        recording = read_wave(save(Path(folder, "a.tsv"), content))
    assert recording.rate_hz == pytest.approx(rate_hz, abs=rate_hz * 2e-4 / ((count - 1) / rate_hz))
    assert len(recording.positions_mm) == count and recording.start_s == pytest.approx(start_s, abs=1e-4)


def test_round_trip(tmp_path: Path):
    reader = write(tmp_path)
    assert reader.sources() == ["ann_001.tsv", "ann_002.tsv", "bob_001.tsv"]
    for source in reader.sources():
        (utterance,) = reader.read(source)
        assert (utterance.id, utterance.speaker) == (source.removesuffix(".tsv"), source[:3])
        assert (utterance.language, utterance.frame, utterance.phone_set) == ("en", "unknown", "arpabet")
        assert (utterance.audio_rate_hz, len(utterance.audio)) == (16000, 9600)
        assert utterance.track.rate_hz == pytest.approx(100) and utterance.track.start_s == 0.0193
        expected = dict.fromkeys(CHANNELS, np.full(60, np.nan))
        expected |= {"td_x": truth()[:, 2, 1], "td_y": -truth()[:, 2, 2], "tt_x": truth()[:, 1, 1]}
        expected |= {"tt_y": -truth()[:, 1, 2]}
        for column, name in enumerate(CHANNELS):
            np.testing.assert_allclose(utterance.track.values[:, column], expected[name], atol=1e-9)
        assert sorted(utterance.extra) == ["ui_x", "ui_y"]
        np.testing.assert_allclose(utterance.extra["ui_x"], truth()[:, 0, 1], atol=1e-9)
        np.testing.assert_allclose(utterance.extra["ui_y"], -truth()[:, 0, 2], atol=1e-9)
        labelled = source == "ann_001.tsv"
        assert utterance.text == ("hi" if labelled else "")
        phones = [(phone.label, phone.start_s, phone.end_s) for phone in utterance.phones]
        assert phones == ([("HH", 0, 0.2), ("AY1", 0.2, 0.6)] if labelled else [])


def test_sensors_go_by_name_as_well_and_differ_between_speakers(tmp_path: Path):
    reader = write(tmp_path, sensors={"tt": OWN_IDS[1]}, speaker_sensors={"bob": {"tt": 3, "td": 1}}, extra={})
    (ann,), (bob,) = reader.read("ann_001.tsv"), reader.read("bob_001.tsv")
    tip, dorsum = CHANNELS.index("tt_x"), CHANNELS.index("td_x")
    np.testing.assert_allclose(ann.track.values[:, tip], truth()[:, 1, 1], atol=1e-9)
    np.testing.assert_allclose(bob.track.values[:, tip], truth()[:, 2, 1], atol=1e-9)
    np.testing.assert_allclose(bob.track.values[:, dorsum], truth()[:, 0, 1], atol=1e-9)
    assert np.isnan(ann.track.values[:, dorsum]).all()
    (lacking,) = write(tmp_path, speaker_sensors={"ann": {"tt": None}}).read("ann_001.tsv")
    assert np.isnan(lacking.track.values[:, tip]).all() and lacking.track.valid[:, dorsum].all()


IDS = st.lists(st.from_regex(r"[A-Z][0-9]-[0-9]{1,5}-P0[12]", fullmatch=True), min_size=8, max_size=8, unique=True)
NUMBERS = st.lists(st.integers(1, 16).map(str), min_size=8, max_size=8, unique=True)
SENSORS = (*ANYWHERE, "ui", "unused")
AXES = {f"{sign}{axis}": (column, factor) for column, axis in enumerate("xyz")
        for sign, factor in {"": 1, "-": -1}.items()}  # fmt: skip


@FEW
@given(
    courses=movements(dict.fromkeys(SENSORS, (0.0,) * 3), keep=("tt",)),
    named=st.tuples(st.just("own"), IDS) | st.tuples(st.just("front"), NUMBERS),
    order=st.randoms(use_true_random=False),
    by_name=st.booleans(),
    used=st.sets(st.sampled_from(sorted(ANYWHERE)), min_size=1).map(lambda names: sorted({*names, "tt"})),
    axes=st.tuples(st.sampled_from(sorted(AXES)), st.sampled_from(sorted(AXES))).filter(lambda a: a[0][-1] != a[1][-1]),
    clock=st.tuples(st.sampled_from([100, 200, 400]), st.integers(0, 999)),
    row_without=st.none() | st.integers(2, 14),
    setup=st.booleans(),
    own=st.tuples(st.booleans(), st.booleans(), st.none() | st.integers(0, 7)),
    sound=sounds(),
    labels=st.none() | st.tuples(spans(words(), ticks=200), spans(words(), ticks=200)),
)
def test_any_recording_comes_back(
    tmp_path_factory: pytest.TempPathFactory, courses: Courses, named: tuple[str, list[str]], order: Random,
    by_name: bool, used: list[str], axes: tuple[str, str], clock: tuple[int, int], row_without: int | None,
    setup: bool, own: tuple[bool, bool, int | None], sound: Sound, labels: tuple[list[Span], list[Span]] | None,
):  # fmt: skip
    root, (dialect, ids), placed = tmp_path_factory.mktemp("any"), named, list(SENSORS)
    order.shuffle(placed)
    rate_hz, start_s = clock[0], clock[1] / 10_000
    times_s, positions = np.arange(len(courses["tt"])) / rate_hz + start_s, np.stack([courses[n] for n in placed], 1)
    kept = np.array([row for row in range(len(times_s)) if row != row_without])
    rows_s, rows = np.round(times_s[kept], 4), positions[kept]
    if setup:  # two rows with times of the device's set-up
        rows_s, rows = np.concatenate([[4321.5, 4400], rows_s]), np.concatenate([rows[:2] + 1, rows])
        rows_s[2] = max(rows_s[2], 1e-4)  # a clock that is in order again begins after 0
    has_header, lost_by_value, spoilt = own
    if dialect == "own":
        states = {cell: "OK" for cell in np.ndindex(rows.shape[:2])} if lost_by_value else {}
        if spoilt is not None:  # by the state alone
            states[1 + 2 * setup, spoilt] = "Interference"
            courses[placed[spoilt]][1] = np.nan
        content = own_table(rows_s, rows, states, ids)
        content = content if has_header else content.partition("\n")[2]
    else:
        content = front_table(rows_s, rows, ids)
    save(root / "deep/ann_001.tsv", content)
    write_sound(root / "deep/ann_001.wav", sound)
    if labels is not None:
        tiers = dict(zip(("phones", "words"), [[(a / 1000, b / 1000, n) for n, a, b in tier] for tier in labels],
                         strict=True))  # fmt: skip
        save(root / "deep/ann_001.TextGrid", short_form(tiers, end_s=len(sound[0]) / sound[1]))
    place = {name: ids[placed.index(name)] if by_name else placed.index(name) + 1 for name in SENSORS}
    reader = NdiWave("lab", root, "en", {name: place[name] for name in used}, *axes, extra={"ui": place["ui"]},
                     word_tier="words", phone_tier="phones")  # fmt: skip
    (read,) = reader.read(*reader.sources())

    (front, front_sign), (up, up_sign) = (AXES[axis] for axis in axes)
    expected = {name: courses[name][:, [front, up]] * (front_sign, up_sign) for name in [*used, "ui"]}
    for course in expected.values():
        course[[row for row in [row_without] if row is not None]] = np.nan
    assert_extra(read, {"ui": expected.pop("ui")})
    assert read.track.rate_hz == pytest.approx(rate_hz, rel=0.01)
    assert read.track.start_s == pytest.approx(rows_s[2 * setup], abs=1e-9)
    assert_track(read, expected, rate_hz=read.track.rate_hz, start_s=read.track.start_s)
    assert_sound(read, sound)
    phones, spoken = labels or ([], [])
    assert_phones(read.phones, phones, 0.001)
    assert read.text == " ".join(label for label, *_ in spoken if label not in PAUSES)


def test_what_is_excluded_is_no_source(tmp_path: Path):
    assert write(tmp_path, exclude="_002").sources() == ["ann_001.tsv", "bob_001.tsv"]


WRONG_SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "articulator": ({"sensors": {"jaw": 1}}, "jaw"),
    "articulator of a speaker": ({"speaker_sensors": {"ann": {"jaw": 1}}}, "jaw"),
    "axis": ({"front": "w"}, "front"),
    "the same axis twice": ({"front": "-z"}, "up"),
    "frame": ({"frame": "room"}, "room"),
    "pattern": ({"speaker_pattern": "("}, "regular expression"),
    "group": ({"speaker_pattern": "^x"}, "group"),
    "exclusion": ({"exclude": "["}, "exclude"),
}


@pytest.mark.parametrize("case", WRONG_SETTINGS)
def test_settings_are_checked(tmp_path: Path, case: str):
    changes, problem = WRONG_SETTINGS[case]
    with pytest.raises(ConfigError, match=problem):
        write(tmp_path, **changes)


@pytest.mark.parametrize("sensor", [0, 4, "9", -1])
def test_a_sensor_that_a_file_lacks_is_named(tmp_path: Path, sensor: int | str):
    with pytest.raises(CorpusError, match=r"ann_002\.tsv.*no sensor"):
        write(tmp_path, sensors={"tt": sensor}).read("ann_002.tsv")


def lines_of(content: str) -> list[str]:
    return content.split("\n")


def changed(content: str, line: int, column: int, cell: str) -> str:
    rows = [row.split("\t") for row in lines_of(content)]
    rows[line - 1][column] = cell
    return "\n".join("\t".join(row) for row in rows)


FRONT = front_table(times(), truth())
BROKEN: dict[str, tuple[str, str]] = {
    "nothing": ("", "neither a header"),
    "a header and no rows": (lines_of(FRONT)[0], "0 rows"),
    "one row": ("\n".join(lines_of(FRONT)[:2]), "1 rows"),
    "another table": ("a\tb\nc\td\n", "neither a header"),
    "bytes": ("\x00\x01RIFF", "neither a header"),
    "no sensors": ("AudioTime[s]\tMeasId\n0\t1\n0.01\t2\n", "no sensors"),
    "no positions": (FRONT.replace("Y[mm]", "V", 1), "sensor 1"),
    "one sensor twice": (FRONT.replace("Sensor 3", "Sensor 1"), "the same name"),
    "cut short": (FRONT[:-100], "line 61"),
    "a cell too many": (FRONT.replace("\n0.0493", "\n0\t0.0493"), "line 5"),
    "text for a position": (changed(FRONT, 4, 5, "far"), "line 4"),
    "infinity": (changed(FRONT, 4, 5, "inf"), "line 4"),
    "another planet": (changed(FRONT, 4, 5, "1e300"), "line 4"),
    "time of text": (changed(FRONT, 9, 0, "noon"), "line 9"),
    "time that is missing": (changed(FRONT, 9, 0, ""), "line 9"),
    "time that stands still": (changed(FRONT, 9, 0, "0.0793"), "line 9"),
    "time that jumps by half a step": (changed(FRONT, 9, 0, "0.0943"), "line 9"),
    "time that ends in a year": (changed(FRONT, 61, 0, "3e7"), "missing"),
    "times without end": (changed(changed(FRONT, 61, 0, "1e308"), 2, 0, "-1e308"), "line|missing"),
    "a rate that changes": (front_table([*times(30), *(0.32 + np.arange(30) / 90)], truth()), "constant rate"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_table_is_one_error_that_names_file_and_place(tmp_path: Path, case: str):
    content, place = BROKEN[case]
    reader = write(tmp_path)
    save(tmp_path / "ann_001.tsv", content)
    with pytest.raises(CorpusError, match=place) as error:
        reader.read("ann_001.tsv")
    assert "ann_001.tsv" in str(error.value)


def test_a_missing_or_ambiguous_recording_is_named(tmp_path: Path):
    reader = write(tmp_path)
    audio = tmp_path / "ann_001.wav"
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        shutil.copy(audio, tmp_path / folder)
    with pytest.raises(CorpusError, match=r"ann_001\.tsv.*expected one file .*, not 3"):
        reader.read("ann_001.tsv")
    (tmp_path / "bob_001.wav").unlink()
    with pytest.raises(CorpusError, match=r"bob_001\.wav.*no such file"):
        reader.read("bob_001.tsv")


def test_an_empty_folder_and_an_unknown_name_are_errors(tmp_path: Path):
    reader = write(tmp_path / "a", speaker_pattern=r"^(?P<speaker>eve)")
    with pytest.raises(CorpusError, match="speaker_pattern"):
        reader.read("ann_001.tsv")
    (tmp_path / "b").mkdir()
    with pytest.raises(CorpusError, match=r"recording \*\.tsv"):
        NdiWave("lab", tmp_path / "b", "en", {"tt": 1}, "x", "y").sources()


def test_bit_rot_is_an_error_or_harmless_but_nothing_else(tmp_path: Path):
    for dialect in ("own", "front"):
        reader = write(tmp_path / dialect)
        for path in (tmp_path / dialect).iterdir():
            if path.stem != "ann_001":
                path.unlink()
        save(tmp_path / dialect / "ann_001.tsv", table(dialect, times(12), truth(12)))
        assert refusals_in_corpus(reader) > 80


def test_real_recording_of_the_waves_own_dialect(tmp_path: Path):
    source = real("TRACTPROBE_SAMPLES", "ndi_wave_berkeley", "knight_occlusal_001.tsv")
    recording = read_wave(source)
    assert len(recording.sensors) == 16 and recording.sensors[8] == "B5-03858-P01-CH0"  # after the blank column
    assert recording.rate_hz == pytest.approx(200.16, abs=0.01) and recording.start_s == 0.004996
    assert recording.positions_mm.shape == (400, 16, 3)
    np.testing.assert_array_equal(recording.positions_mm[0, 0], [-72.628, 146.814, -147.199])
    np.testing.assert_array_equal(recording.positions_mm[0, 8], [16.951, 22.675, -115.065])
    assert set(recording.states.flat) == {"OK", "Tool Missing", "Bad Fit", "Processing Error"}
    lost = np.isnan(recording.positions_mm).any(axis=2)
    assert ((recording.states != "OK") == lost).all() and lost.sum() == 2000
    reader = NdiWave("berkeley", source.parent, "en", {"ul": "B5-03859-P01-CH0"}, "y", "z")
    with pytest.raises(CorpusError, match=r"2 audio channels.*corpus\.audio_channel=0"):
        reader.read(source.name)
    (utterance,) = replace(reader, audio_channel=0).read(source.name)
    assert 0.03 < utterance.duration_s - utterance.track.end_s < 0.05  # they start together


def test_real_recording_of_wavefront():
    recording = read_wave(real("TRACTPROBE_SAMPLES", "ndi_wave_ematoblender", "Example3.tsv"))
    assert recording.sensors == ("1", *map(str, range(3, 17)))  # the first one takes two channels
    assert recording.start_s == 0.0193 and recording.rate_hz == pytest.approx(100.08, abs=0.01)
    np.testing.assert_array_equal(recording.positions_mm[0, 0], [45.170494, 68.635109, -169.453570])
    lost = np.isnan(recording.positions_mm).all(axis=2)
    assert recording.positions_mm.shape == (101, 15, 3)  # one row of 101 lacks in the file
    assert lost.all(axis=1).sum() == 1 and lost.all(axis=0).sum() == 8


@pytest.mark.parametrize("dialect", ["own", "front"])
def test_decimal_commas_are_decimal_points(tmp_path: Path, dialect: str):
    content = table(dialect, times(), truth())
    save(tmp_path / "point.tsv", content)
    save(tmp_path / "comma.tsv", content.replace(".", ","))
    point, comma = read_wave(tmp_path / "point.tsv"), read_wave(tmp_path / "comma.tsv")
    np.testing.assert_array_equal(comma.positions_mm, point.positions_mm)
    assert (comma.rate_hz, comma.start_s) == (point.rate_hz, point.start_s)
    save(tmp_path / "both.tsv", content.replace("0.", "1.000,"))
    with pytest.raises(CorpusError, match="could not convert"):
        read_wave(tmp_path / "both.tsv")
