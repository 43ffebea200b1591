import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import real
from drawn import (
    FEW,
    Courses,
    Sound,
    Span,
    assert_phones,
    assert_sound,
    assert_track,
    movements,
    sounds,
    spans,
    words,
    write_sound,
)
from hypothesis import given
from hypothesis import strategies as st
from test_hprc import anatomy_is_plausible

from tractprobe.corpora.formats.ssff import read_ssff
from tractprobe.corpora.readers.emu import SENSORS, Emu
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import ConfigError, CorpusError

AXES = ("posx", "posy", "posz", "orix", "oriy", "oriz")


def write_ssff(
    path: Path, rows: np.ndarray, names: tuple[str, ...], *, rate_hz: Any = 200, machine: str = "IBM-PC",
    kind: str = "FLOAT", gap: str = " ", end: str = "\n", start_s: Any = 0.0,
) -> None:  # fmt: skip
    lines = ["SSFF -- (c) SHLRC", f"Machine {machine}", f"Record_Freq {rate_hz}", f"Start_Time {start_s}"]
    lines += [f"Column {name}{gap}{kind} 1" for name in names]
    lines += ["Original_Freq DOUBLE 24000.0", "-" * 17]
    codes = {"FLOAT": "f4", "DOUBLE": "f8", "SHORT": "i2"}
    order = ">" if machine == "SPARC" else "<"
    path.write_bytes(end.join([*lines, ""]).encode() + rows.astype(order + codes[kind]).tobytes())


def sensor_rows(index: int, count: int = 100) -> np.ndarray:
    return 1000 * index + 6 * np.arange(count)[:, None] + np.arange(6.0)


def write_bundle(root: Path, name: str = "anna_s1_0001", **ssff: Any) -> Path:
    folder = root / f"0000_ses/{name}_bndl"
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / f"{name}.wav", np.random.default_rng(0).normal(size=8192) * 0.1, 16384)
    for index, extension in enumerate(SENSORS.values(), start=1):
        write_ssff(folder / f"{name}.{extension}", sensor_rows(index), tuple(f"s_{axis}" for axis in AXES), **ssff)
    segments = [{"id": 1, "sampleStart": 2000, "sampleDur": 1000, "labels": [{"name": "Segment", "value": "a:"}]}]
    words = [{"id": 2, "labels": [{"name": "Word", "value": "Kneipe"}]}, {"id": 3, "labels": [{"value": "auf"}]}]
    annotation = {
        "name": name, "sampleRate": 20000,
        "levels": [
            {"name": "Word", "type": "ITEM", "items": words},
            {"name": "Segment", "type": "SEGMENT", "items": segments},
        ],
    }  # fmt: skip
    (folder / f"{name}_annot.json").write_text(json.dumps(annotation))
    return folder


def read_one(root: Path, **settings: Any) -> Any:
    reader = Emu("lab", root, "de", **settings)
    (source,) = reader.sources()
    (utterance,) = reader.read(source)
    return utterance


@pytest.mark.parametrize("machine", ["IBM-PC", "SPARC"])
@pytest.mark.parametrize("kind", ["FLOAT", "DOUBLE", "SHORT"])
@pytest.mark.parametrize(("gap", "end"), [(" ", "\n"), ("     ", "\r\n")])
def test_ssff_round_trip(tmp_path: Path, machine: str, kind: str, gap: str, end: str):
    rows = np.arange(30).reshape(10, 3)
    options = {"machine": machine, "kind": kind, "gap": gap, "end": end, "rate_hz": "2.0e+002", "start_s": 0.25}
    write_ssff(tmp_path / "a.t", rows, ("x", "y", "z"), **options)
    signal = read_ssff(tmp_path / "a.t")
    assert (signal.rate_hz, signal.start_s, list(signal.columns)) == (200, 0.25, ["x", "y", "z"])
    np.testing.assert_array_equal(np.concatenate(list(signal.columns.values()), axis=1), rows)


def test_axes_are_mapped_back_to_front_and_up(tmp_path: Path):
    write_bundle(tmp_path)
    utterance = read_one(tmp_path)
    assert (utterance.id, utterance.speaker, utterance.text) == ("anna_s1_0001", "anna", "Kneipe auf")
    assert (utterance.audio_rate_hz, len(utterance.audio), utterance.track.rate_hz) == (16384, 8192, 200)
    for index, articulator in enumerate(SENSORS, start=1):
        x, y = (utterance.track.values[:, CHANNELS.index(f"{articulator}_{axis}")] for axis in "xy")
        np.testing.assert_array_equal(x, -sensor_rows(index)[:, 1])
        np.testing.assert_array_equal(y, sensor_rows(index)[:, 2])


def test_annotated_samples_are_seconds_at_the_annotations_own_rate(tmp_path: Path):
    write_bundle(tmp_path)
    (phone,) = read_one(tmp_path).phones
    assert (phone.label, phone.start_s, phone.end_s) == ("a:", 0.1, 0.15)


def test_rows_of_zeros_are_lost_and_shorter_tracks_end_earlier(tmp_path: Path):
    folder = write_bundle(tmp_path)
    tip = sensor_rows(3, count=90)
    tip[40:43] = 0
    tip[50, 0] = 0  # one zero among others is a position
    write_ssff(folder / "anna_s1_0001.t_tip", tip, tuple(f"s_{axis}" for axis in AXES))
    missing = ~read_one(tmp_path).track.valid
    assert missing[:, CHANNELS.index("tt_x")].nonzero()[0].tolist() == [40, 41, 42, *range(90, 100)]
    assert not missing[:, CHANNELS.index("td_x")].any()


@FEW
@given(
    courses=movements(dict.fromkeys(SENSORS, (0.0,) * 3), decimals=None, keep=("tt",)),
    sensors=st.sets(st.sampled_from(sorted(set(SENSORS) - {"tt"}))).map(lambda names: sorted({*names, "tt"})),
    shorter=st.dictionaries(st.sampled_from(sorted(set(SENSORS) - {"tt"})), st.integers(1, 15), max_size=2),
    order=st.randoms(use_true_random=False),
    ssff=st.fixed_dictionaries(
        {
            "rate_hz": st.sampled_from([100, 250.5, "2.0e+002"]),
            "machine": st.sampled_from(["IBM-PC", "SPARC"]),
            "kind": st.sampled_from(["FLOAT", "DOUBLE"]),
            "gap": st.sampled_from([" ", "    "]),
            "end": st.sampled_from(["\n", "\r\n"]),
            "start_s": st.sampled_from([0.0, 0.0025, 0.1]),
        }
    ),
    sound=sounds(),
    annotation_hz=st.sampled_from([1000, 20000, 24000.0]),
    labels=spans(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), ticks=5000),
    spoken=st.lists(words(), max_size=4),
    name=st.from_regex(r"[A-Za-z0-9]{1,6}(_[A-Za-z0-9._-]{1,8})?", fullmatch=True),
)
def test_any_bundle_comes_back(
    tmp_path_factory: pytest.TempPathFactory, courses: Courses, sensors: list[str], shorter: dict[str, int],
    order: Random, ssff: dict[str, Any], sound: Sound, annotation_hz: float, labels: list[Span], spoken: list[str],
    name: str,
):  # fmt: skip
    root = tmp_path_factory.mktemp("any")
    folder = root / f"ses/{name}_bndl"
    folder.mkdir(parents=True)
    write_sound(folder / f"{name}.wav", sound)
    expected = {}
    for sensor in sensors:
        columns = [f"s_{axis}" for axis in AXES]
        order.shuffle(columns)
        there = courses[sensor][: len(courses[sensor]) - shorter.get(sensor, 0)]
        axes = dict(zip(("s_posx", "s_posy", "s_posz"), np.nan_to_num(there).T, strict=True))
        rows = np.stack([axes.get(column, np.full(len(there), 99.0)) for column in columns], axis=1)
        write_ssff(folder / f"{name}.{SENSORS[sensor]}", rows, tuple(columns), **ssff)
        expected[sensor] = courses[sensor][:, 1:] * (-1, 1)
        expected[sensor][len(there) :] = np.nan
    items = [{"sampleStart": start, "sampleDur": end - start, "labels": [{"value": label}]}
             for label, start, end in labels]  # fmt: skip
    words_ = [{"labels": [{"name": "Word", "value": word}]} for word in ["", *spoken]]
    levels = [{"name": "Segment", "items": items}, {"name": "Word", "items": words_}]
    (folder / f"{name}_annot.json").write_text(json.dumps({"sampleRate": annotation_hz, "levels": levels}))
    read = read_one(root, sensors={sensor: SENSORS[sensor] for sensor in sensors})
    assert_track(read, expected, rate_hz=float(ssff["rate_hz"]), start_s=ssff["start_s"])
    assert_sound(read, sound)
    assert_phones(read.phones, labels, 1 / annotation_hz)
    assert (read.id, read.speaker, read.text) == (name, name.split("_")[0], " ".join(spoken))


def test_an_articulator_without_a_track_is_missing(tmp_path: Path):
    write_bundle(tmp_path)
    values = read_one(tmp_path, sensors={"tt": "t_tip", "ul": "upper_lip"}).track.values
    present = [CHANNELS[column] for column in np.isfinite(values).all(axis=0).nonzero()[0]]
    assert present == ["tt_x", "tt_y", "ul_x", "ul_y"]


HEADERS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown machine": ({"machine": "VAX"}, "line 2"),
    "no number": ({"rate_hz": "fast"}, "line 3"),
    "no rate": ({"rate_hz": 0}, "Record_Freq"),
    "no time": ({"start_s": "nan"}, "Start_Time"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_bad_header_names_file_and_line(tmp_path: Path, case: str):
    options, place = HEADERS[case]
    write_bundle(tmp_path, **options)
    with pytest.raises(CorpusError, match=place) as error:
        read_one(tmp_path)
    assert "anna_s1_0001.t_back" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"SSFF -- (c) SHLRC\nMachine IBM-PC\n", b"SSFF -- (c) SHLRC" * 9000])
def test_what_is_no_ssff_is_named(tmp_path: Path, content: bytes):
    folder = write_bundle(tmp_path)
    (folder / "anna_s1_0001.jaw").write_bytes(content)
    with pytest.raises(CorpusError, match=r"anna_s1_0001\.jaw"):
        read_one(tmp_path)


def test_a_cut_track_names_the_byte(tmp_path: Path):
    folder = write_bundle(tmp_path)
    path = folder / "anna_s1_0001.jaw"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CorpusError, match=r"jaw \(byte \d+\).*cut short"):
        read_one(tmp_path)


def test_an_absurd_column_allocates_nothing(tmp_path: Path):
    path = tmp_path / "a.t"
    write_ssff(path, np.zeros((2, 1)), ("x",))
    path.write_bytes(path.read_bytes().replace(b"FLOAT 1", b"FLOAT 999999999"))
    with pytest.raises(CorpusError, match="line 5"):
        read_ssff(path)


@pytest.mark.parametrize(
    ("annotation", "problem"),
    [
        ({"levels": []}, "sampleRate"),
        ({"sampleRate": 0, "levels": []}, "sampleRate"),
        ({"sampleRate": 1, "levels": [3]}, "levels"),
        ({"sampleRate": 1, "levels": [{"name": "Word", "items": [{"id": 1}]}]}, "level Word"),
        ({"sampleRate": 1, "levels": [{"name": "ORT", "items": []}]}, "no level 'Word'; it has ORT"),
    ],
)
def test_a_wrong_annotation_names_the_place(tmp_path: Path, annotation: dict, problem: str):
    folder = write_bundle(tmp_path)
    (folder / "anna_s1_0001_annot.json").write_text(json.dumps(annotation))
    with pytest.raises(CorpusError, match=problem):
        read_one(tmp_path)


@pytest.mark.parametrize("missing", ["anna_s1_0001.wav", "anna_s1_0001.t_tip"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str):
    folder = write_bundle(tmp_path)
    (folder / missing).unlink()
    with pytest.raises(CorpusError, match=missing):
        read_one(tmp_path)


def test_settings_are_checked(tmp_path: Path):
    with pytest.raises(ConfigError, match="jaw"):
        Emu("lab", tmp_path, "de", sensors={"jaw": "jaw"})
    with pytest.raises(ConfigError, match="group"):
        Emu("lab", tmp_path, "de", speaker_pattern="^x")
    with pytest.raises(ConfigError, match="regular expression"):
        Emu("lab", tmp_path, "de", speaker_pattern="(")


def test_real_database_with_trailing_losses():
    root = real("TRACTPROBE_SAMPLES", "emu_ssff", "demoDB_ema")
    reader = Emu("demo", root, "de", speaker_pattern=r"_(?P<speaker>mo\d)")
    utterances = [utterance for source in reader.sources() for utterance in reader.read(source)]
    assert [(u.speaker, u.text, u.audio_rate_hz) for u in utterances] == [
        ("mo1", "Kneipe", 24000),
        ("mo1", "Klausur", 24000),
    ]
    for utterance in utterances:
        assert utterance.track.rate_hz == 200 and utterance.track.values.shape == (800, 12)
        lost = (~utterance.track.valid).all(axis=1).nonzero()[0]
        assert 30 <= len(lost) <= 45 and lost[-1] == 799 and (np.diff(lost) == 1).all()  # about 0.2 s at the end
        anatomy_is_plausible(utterance.track.values)
    kneipe = utterances[0]
    assert kneipe.phones[0].label == "&p:" and kneipe.phones[1].start_s == pytest.approx(8400 / 24000)
    mean = np.nanmean(kneipe.track.values, axis=0)
    assert mean[CHANNELS.index("td_x")] == pytest.approx(-53.63, abs=0.01)
    assert mean[CHANNELS.index("ll_y")] == pytest.approx(-20.47, abs=0.01)
    closed, spoken = lip_apertures_mm(kneipe, "pb"), lip_apertures_mm(kneipe, ("a:", "aI", "@", "s", "k", "E"))
    assert max(closed) < np.nanmin(spoken)  # movements and labels share a clock


def test_real_database_whose_annotation_has_another_rate_than_its_audio():
    root = real("TRACTPROBE_SAMPLES", "emu_ssff", "tinyDfg91")
    reader = Emu("tiny", root, "de", text_level="ORT", phone_level="ORT")
    (utterance,) = reader.read(reader.sources()[0])
    assert (utterance.speaker, utterance.text, utterance.audio_rate_hz) == ("dfg91", "bla bli blup", 16384)
    assert utterance.duration_s == pytest.approx(3.06, abs=0.001) and utterance.track.end_s == pytest.approx(3.06)
    assert utterance.phones[0].start_s == pytest.approx(15835 / 20000)
    assert utterance.track.valid.all()
    anatomy_is_plausible(utterance.track.values)


def lip_apertures_mm(utterance: Any, labels: Sequence[str]) -> list[float]:
    """Return the least vertical distance of the lips within each phone that has one of some labels."""
    aperture = utterance.track.values[:, CHANNELS.index("ul_y")] - utterance.track.values[:, CHANNELS.index("ll_y")]
    times_s = utterance.track.times_s
    phones = [phone for phone in utterance.phones if phone.label in labels]
    return [aperture[(times_s >= phone.start_s) & (times_s < phone.end_s)].min() for phone in phones]


def test_the_second_channel_may_hold_sync_pulses(tmp_path: Path):
    folder = write_bundle(tmp_path)
    stereo = np.random.default_rng(0).uniform(-0.5, 0.5, (8192, 2))
    soundfile.write(folder / "anna_s1_0001.wav", stereo, 16384, subtype="FLOAT")
    with pytest.raises(CorpusError, match=r"2 audio channels.*corpus\.audio_channel=0"):
        read_one(tmp_path)
    np.testing.assert_array_equal(read_one(tmp_path, audio_channel=1).audio, stereo[:, 1].astype(np.float32))
    with pytest.raises(CorpusError, match=r"no audio channel 2 \(corpus\.audio_channel=2\)"):
        read_one(tmp_path, audio_channel=2)
    with pytest.raises(ConfigError, match=r"corpus\.audio_channel=-1: expected the number"):
        Emu("lab", tmp_path, "de", audio_channel=-1)
