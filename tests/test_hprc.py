from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from conftest import real
from damage import read_utterances, refusals
from drawn import (
    ANY,
    FEW,
    Courses,
    Sound,
    Span,
    assert_phones,
    assert_sound,
    assert_track,
    movements,
    sentences,
    sounds,
    spans,
    words,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from tractprobe.corpora.readers.hprc import Hprc
from tractprobe.corpora.utterance import Utterance
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import ConfigError, CorpusError

NAME = "F02_B03_S07_R01_N"
SENSORS = ("TR", "TB", "TT", "UL", "LL", "ML", "JAW", "JAWL")
RATE = np.uint8(100)  # as the corpus stores it
FIELDS = ("NAME", "SRATE", "SIGNAL", "SOURCE", "SENTENCE", "WORDS", "PHONES", "LABELS")


def element(name: str, rate_hz: Any, signal: np.ndarray, **more: Any) -> dict[str, Any]:
    empty = np.zeros((1, 0))
    return dict.fromkeys(FIELDS, empty) | {"NAME": name, "SRATE": rate_hz, "SIGNAL": signal} | more


def signals() -> dict[str, np.ndarray]:
    """Each sensor's six columns, every value telling sensor, row and column apart."""
    rows = np.arange(50)[:, None]
    return {name: (100 * index + rows + np.arange(6) / 10).astype(np.float32) for index, name in enumerate(SENSORS)}


def write_mview(path: Path, elements: list[dict[str, Any]], variable: str, fields: Sequence[str] = FIELDS) -> Path:
    """Write an mview file: one struct array (1, n), its fields in the given order."""
    array = np.empty((1, len(elements)), dtype=[(field, object) for field in fields])
    for index, one in enumerate(elements):
        array[0, index] = tuple(one[field] for field in fields)
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {variable: array})
    return path


def labelled(rows: Sequence[tuple[str, float, float]]) -> np.ndarray:
    labels = np.empty((1, len(rows)), dtype=[("LABEL", object), ("OFFS", object)])
    for index, (label, start_s, end_s) in enumerate(rows):
        labels[0, index] = (label, np.array([[start_s, end_s]]))
    return labels


def write_hprc(
    root: Path, sensors: list[str] | None = None, variable: str | None = None, name: str = NAME,
    fields: Sequence[str] = FIELDS, ema_rate_hz: Any = RATE, audio: Any = None, **changes: Any,
) -> Path:  # fmt: skip
    """Write an utterance as HPRC has it: one struct array (1, n) named as the file, audio first."""
    samples = np.linspace(-0.5, 0.5, 22050, dtype=np.float32)[:, None] if audio is None else audio
    tracks = signals() | changes.pop("tracks", {})
    about = {
        "SENTENCE": "The birch canoe slid.",
        "WORDS": labelled([("sp", 0, 0.2), ("THE", 0.2, 0.24)]),
        "PHONES": labelled([("sp", 0, 0.2), ("DH", 0.2, 0.24)]),
        "LABELS": np.array([[("THE", 200.0, 40.0)]], dtype=[("NAME", object), ("OFFSET", object), ("VALUE", object)]),
    }
    elements = [element("AUDIO", np.uint16(44100), samples, **about | changes)]
    elements += [element(sensor, ema_rate_hz, tracks[sensor]) for sensor in sensors or SENSORS]
    path = root / name[:3] / f"data/{name}.mat"
    return write_mview(path, elements, variable or name, fields)


def write_palate(root: Path, speaker: str, points: Any, variable: str | None = None) -> Path:
    path = root / speaker / f"data/{speaker}_palate.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {variable or f"{speaker}_palate": points})
    return path


PALATE = np.array([[-40.0, 1.0, 8.0], [-20.0, 2.0, 12.0], [0.0, 3.0, 0.5]])


def write(root: Path) -> Hprc:
    """Write two speakers, one of them without ML; a sentence at both rates and repeated; palates."""
    for name in ("F02_B03_S07_R01_N", "F02_B03_S07_R01_F"):
        write_hprc(root, sensors=[sensor for sensor in SENSORS if sensor != "ML"], name=name)
    for name in ("M01_B03_S07_R01_N", "M01_B03_S07_R02_N"):
        write_hprc(root, name=name)
    for speaker in ("F02", "M01"):
        write_palate(root, speaker, PALATE)
    return Hprc(root)


def read_all(reader: Hprc) -> list[Utterance]:
    return [utterance for source in reader.sources() for utterance in reader.read(source)]


def read_one(root: Path) -> Any:
    reader = Hprc(root)
    (source,) = reader.sources()
    (utterance,) = reader.read(source)
    return utterance


def test_round_trip(tmp_path: Path):
    write_hprc(tmp_path)
    utterance = read_one(tmp_path)
    assert (utterance.id, utterance.speaker, utterance.language) == (NAME, "F02", "en")
    assert utterance.text == "The birch canoe slid."
    assert (utterance.audio_rate_hz, len(utterance.audio), utterance.audio.dtype) == (44100, 22050, np.float32)
    assert [(phone.label, phone.start_s, phone.end_s) for phone in utterance.phones] == [
        ("sp", 0, 0.2),
        ("DH", 0.2, 0.24),
    ]
    assert utterance.track.rate_hz == 100


@pytest.mark.parametrize("order", [list(SENSORS), [*SENSORS[::-1]], [name for name in SENSORS if name != "ML"]])
def test_sensors_are_found_by_name_and_x_and_z_are_taken(tmp_path: Path, order: list[str]):
    write_hprc(tmp_path, sensors=order)
    values, written = read_one(tmp_path).track.values, signals()
    for articulator, sensor in {"td": "TR", "tb": "TB", "tt": "TT", "li": "JAW", "ul": "UL", "ll": "LL"}.items():
        np.testing.assert_array_equal(values[:, CHANNELS.index(f"{articulator}_x")], written[sensor][:, 0])
        np.testing.assert_array_equal(values[:, CHANNELS.index(f"{articulator}_y")], written[sensor][:, 2])


def test_lost_samples_stay_lost(tmp_path: Path):
    lost = signals()["TT"]
    lost[10:13] = np.nan
    write_hprc(tmp_path, tracks={"TT": lost})
    missing = ~read_one(tmp_path).track.valid
    assert missing.sum() == 6 and missing[10:13, CHANNELS.index("tt_x")].all()


@FEW
@given(
    courses=movements(dict.fromkeys(SENSORS, (0.0,) * 3), decimals=None, keep=("TT",)),
    sensors=st.sets(st.sampled_from(["ML", "JAWL"])),
    order=st.randoms(use_true_random=False),
    rate=st.tuples(st.sampled_from([np.uint8, np.uint16, np.int32, np.float64]), st.sampled_from([100, 125, 200])),
    sound=sounds(),
    coding=st.sampled_from([np.int16, np.int32, np.float32, np.float64]),
    as_row=st.booleans(),
    phones=spans(words(ANY)),
    text=sentences(ANY),
    in_words=st.booleans(),
    name=st.from_regex(r"[FM][0-9]{2}_B[0-9]{2}_S[0-9]{2}_R[0-9]{2}_[NF]", fullmatch=True),
)
def test_any_utterance_comes_back(
    tmp_path_factory: pytest.TempPathFactory, courses: Courses, sensors: set[str], order: Random,
    rate: tuple[type, int], sound: Sound, coding: type, as_row: bool, phones: list[Span], text: str, in_words: bool,
    name: str,
):  # fmt: skip
    root = tmp_path_factory.mktemp("any")
    scale = {np.int16: 1, np.int32: 1 << 16}.get(coding, 1 / 32768)
    audio = (sound[0] * np.float64(scale)).astype(coding)[None]
    tracks = {sensor: np.pad(course, ((0, 0), (0, 3))).astype(np.float32) for sensor, course in courses.items()}
    present, fields = [sensor for sensor in SENSORS if sensor not in sensors], list(FIELDS)
    order.shuffle(present)
    order.shuffle(fields)
    about: dict[str, Any] = {"SENTENCE": text}
    if in_words:
        about = {"SENTENCE": " ", "WORDS": labelled([("sp", 0, 0.1), *((word, 0.1, 0.2) for word in text.split())])}
    rows = [(label, start / 1000, end / 1000) for label, start, end in phones]
    write_hprc(root, present, name=name, fields=fields, ema_rate_hz=rate[0](rate[1]), SRATE=np.float64(sound[1]),
               audio=audio if as_row else audio.T, PHONES=labelled(rows), tracks=tracks, **about)  # fmt: skip
    read = read_one(root)
    named = {"td": "TR", "tb": "TB", "tt": "TT", "li": "JAW", "ul": "UL", "ll": "LL"}
    expected = {articulator: courses[sensor][:, [0, 2]] for articulator, sensor in named.items()}
    assert_track(read, expected, rate_hz=rate[1])
    assert_sound(read, sound)
    assert_phones(read.phones, phones, 0.001)
    spoken = [word for word in text.split() if word != "sp" or not in_words]
    assert (read.id, read.speaker, read.text) == (name, name[:3], " ".join(spoken))


def test_palates_and_other_files_are_no_utterances(tmp_path: Path):
    path = write_hprc(tmp_path)
    for other in ("F02_palate.mat", "notes.mat"):
        (path.parent / other).write_bytes(path.read_bytes())
    assert Hprc(tmp_path).sources() == [f"F02/data/{NAME}.mat"]


def test_the_frame_and_the_phones_are_named_and_lateral_sensors_are_left_out(tmp_path: Path):
    write_hprc(tmp_path)
    utterance = read_one(tmp_path)
    assert (utterance.frame, utterance.phone_set, dict(utterance.extra)) == ("occlusal", "arpabet", {})


def test_a_speaker_without_the_lateral_tongue_sensor_has_its_jaw_and_not_the_side_of_it(tmp_path: Path):
    reader = write(tmp_path)
    jaws = {one.speaker: one.track.values[:, CHANNELS.index("li_x")] for one in read_all(reader)}
    np.testing.assert_array_equal(jaws["F02"], signals()["JAW"][:, 0])
    np.testing.assert_array_equal(jaws["M01"], signals()["JAW"][:, 0])


@pytest.mark.parametrize("fields", [FIELDS[::-1], (*FIELDS[3:], *FIELDS[:3])])
def test_fields_are_found_by_name(tmp_path: Path, fields: Sequence[str]):
    write_hprc(tmp_path, fields=fields)
    utterance = read_one(tmp_path)
    assert utterance.text == "The birch canoe slid." and [phone.label for phone in utterance.phones] == ["sp", "DH"]
    np.testing.assert_array_equal(utterance.track.values[:, CHANNELS.index("tt_y")], signals()["TT"][:, 2])


def test_blanks_around_a_name_do_not_matter(tmp_path: Path):
    write_hprc(tmp_path, NAME="AUDIO ")
    assert read_one(tmp_path).audio_rate_hz == 44100


def test_times_are_right_though_the_rate_is_stored_in_8_bits(tmp_path: Path):
    write_hprc(tmp_path, ema_rate_hz=np.uint8(200))
    track = read_one(tmp_path).track
    assert track.rate_hz == 200 and track.end_s == 0.25 and track.start_s == 0


@pytest.mark.parametrize("audio", [
    np.full((1, 22050), -0.25),
    np.full((22050, 1), -8192, np.int16),
    np.full((22050, 1), -(1 << 29), np.int32),
], ids=["row", "16 bit", "32 bit"])  # fmt: skip
def test_audio_is_read_at_full_scale_1_from_rows_and_whole_numbers(tmp_path: Path, audio: np.ndarray):
    write_hprc(tmp_path, audio=audio)
    np.testing.assert_array_equal(read_one(tmp_path).audio, np.full(22050, -0.25, np.float32))


def test_both_rates_are_read_and_either_can_be_chosen(tmp_path: Path):
    write(tmp_path)
    everything = [Path(source).stem for source in Hprc(tmp_path).sources()]
    fast = [Path(source).stem for source in Hprc(tmp_path, rates=["F"]).sources()]
    normal = [Path(source).stem for source in Hprc(tmp_path, rates=["N"]).sources()]
    assert fast == ["F02_B03_S07_R01_F"] and sorted(fast + normal) == sorted(everything) and len(everything) == 4


@pytest.mark.parametrize("rates", [[], ["n"], ["N", "S"]])
def test_unknown_rates_are_refused(tmp_path: Path, rates: list[str]):
    with pytest.raises(ConfigError, match=r"corpus\.rates"):
        Hprc(tmp_path, rates=rates)


def test_repetitions_at_any_rate_are_the_same_sentence_for_a_split(tmp_path: Path):
    write(tmp_path)
    write_hprc(tmp_path, name="M01_B03_S07_R02_F", SENTENCE=" The birch  canoe slid. ")
    utterances = read_all(Hprc(tmp_path))
    assert len({one.id for one in utterances}) == 5
    assert {one.text for one in utterances} == {"The birch canoe slid."}


def test_words_stand_in_for_a_missing_sentence(tmp_path: Path):
    write_hprc(tmp_path, SENTENCE=np.zeros((0, 0)))
    assert read_one(tmp_path).text == "THE"


def test_an_unlabelled_file_has_no_phones(tmp_path: Path):
    write_hprc(tmp_path, PHONES=np.zeros((0, 0)))
    assert read_one(tmp_path).phones == ()


def test_palates_are_read_in_the_frame_of_the_movements(tmp_path: Path):
    reader = write(tmp_path)
    write_palate(tmp_path, "M01", np.concatenate([PALATE[::-1], np.full((1, 3), np.nan)]))  # from front to back
    palates = reader.palates()
    assert sorted(palates) == ["F02", "M01"]
    for points in palates.values():
        np.testing.assert_array_equal(points, PALATE[:, [0, 2]])


def test_a_corpus_without_palates_has_none(tmp_path: Path):
    write_hprc(tmp_path)
    assert Hprc(tmp_path).palates() == {}


@pytest.mark.parametrize("points", [
    PALATE[:, :2], PALATE[:1], np.full((5, 3), np.nan), PALATE * 1e9, "text", np.zeros((0, 3)),
], ids=["two columns", "one point", "nan", "huge", "text", "none"])  # fmt: skip
def test_what_is_no_palate_is_named(tmp_path: Path, points: Any):
    reader = write(tmp_path)
    write_palate(tmp_path, "M01", points)
    with pytest.raises(CorpusError, match=r"M01_palate\.mat"):
        reader.palates()


@pytest.mark.parametrize("keep", [0, 1, 60, 127, 128, 200, 1000, 0.5, 0.99])
def test_a_file_cut_short_is_one_error(tmp_path: Path, keep: float):
    path = write_hprc(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep if keep >= 1 or keep == 0 else keep * len(content))])
    with pytest.raises(CorpusError, match=NAME):
        read_one(tmp_path)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "another variable": ({"variable": "F02_B03_S07_R02_N"}, "contains no variable"),
    "a sensor lacks": ({"sensors": ["TR", "TB", "TT", "UL", "LL"]}, "lacks JAW"),
    "two columns": ({"tracks": {"TT": np.zeros((5, 2), np.float32)}}, "TT"),
    "text for movements": ({"tracks": {"TT": "none"}}, "TT"),
    "no rate": ({"SRATE": np.zeros((1, 0))}, "AUDIO"),
    "rate nan": ({"SRATE": np.nan}, "AUDIO"),
    "rate absurd": ({"SRATE": 1e300}, "AUDIO"),
    "sensor rate infinite": ({"ema_rate_hz": np.inf}, "SRATE"),
    "sensor rate zero": ({"ema_rate_hz": np.uint8(0)}, "SRATE"),
    "a sensor twice": ({"sensors": [*SENSORS, "TT"]}, "TT more than once"),
    "sensors of unequal length": ({"tracks": {"TT": np.zeros((5, 6))}}, "different lengths"),
    "infinite positions": ({"tracks": {"TT": np.full((50, 6), np.inf)}}, "TT"),
    "nothing measured": ({"tracks": {name: np.full((50, 6), np.nan) for name in SENSORS}}, "no articulator"),
    "audio of nan": ({"audio": np.full((22050, 1), np.nan)}, "AUDIO"),
    "audio huge": ({"audio": np.full((22050, 1), 1e200)}, "AUDIO"),
    "stereo": ({"audio": np.zeros((22050, 2))}, "AUDIO"),
    "audio empty": ({"audio": np.zeros((0, 1))}, "AUDIO"),
    "audio short": ({"audio": np.zeros((10, 1))}, "10 samples"),
    "audio text": ({"audio": "x"}, "AUDIO"),
    "no words": ({"SENTENCE": " ", "WORDS": np.zeros((0, 0))}, "neither SENTENCE nor WORDS"),
    "phones without times": ({"PHONES": np.array([("sp", 1)], dtype=[("LABEL", "O"), ("OFFS", "O")])}, "entry 0"),
    "phones at nan": ({"PHONES": labelled([("sp", 0, np.nan)])}, "ends before it starts"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_hprc_is_named(tmp_path: Path, case: str):
    changes, problem = WRONG[case]
    write_hprc(tmp_path, **changes)
    with pytest.raises(CorpusError, match=problem) as error:
        read_one(tmp_path)
    assert NAME in str(error.value)


def overwrite(path: Path, at: int, content: bytes) -> None:
    old = path.read_bytes()
    path.write_bytes(old[:at] + content + old[at + len(content) :])


BROKEN: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "another magic": lambda path: path.write_bytes(b"RIFF" + path.read_bytes()[4:126] + b"XX" + bytes(200)),
    "version 7.3": lambda path: path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(512)),
    "text": lambda path: path.write_text("TR 0.0 0.0\n" * 100),
    "absurd count": lambda path: overwrite(path, 132, b"\xff\xff\xff\x7f"),
    "no struct": lambda path: savemat(path, {NAME: np.ones((5, 5))}),
    "struct without fields": lambda path: savemat(path, {NAME: {"NAME": "AUDIO"}}),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_unreadable_file_is_one_error_and_the_others_are_read(tmp_path: Path, case: str):
    reader = write(tmp_path)
    sources = reader.sources()
    broken = f"F02/data/{NAME}.mat"
    BROKEN[case](tmp_path / broken)
    with pytest.raises(CorpusError, match=NAME):
        reader.read(broken)
    assert len([reader.read(source) for source in sources if source != broken]) == 3


def test_a_folder_without_utterances_is_named(tmp_path: Path):
    write_palate(tmp_path, "F02", PALATE)
    with pytest.raises(CorpusError, match="holds no utterance"):
        Hprc(tmp_path).sources()
    with pytest.raises(CorpusError, match="no such folder"):
        Hprc(tmp_path / "nowhere").sources()


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")  # a signalling NaN
def test_any_damage_to_any_file_is_an_error_or_harmless(tmp_path: Path):
    reader = write(tmp_path)
    for source in reader.sources():
        assert refusals(tmp_path / source, lambda source=source: read_utterances(reader, source), 75) > 40
    for path in tmp_path.rglob("*_palate.mat"):
        assert refusals(path, reader.palates) > 30


def test_real_files():
    reader = Hprc(real("TRACTPROBE_SAMPLES", "hprc_haskins"))
    assert reader.sources() == ["F01_B01_S01_R01_N.mat", "M01_B01_S01_R01_N.mat"]
    (female,), (male,) = map(reader.read, reader.sources())
    assert (len(female.audio), female.audio_rate_hz, len(male.audio)) == (114_881, 44_100, 118_400)
    assert female.track.values.shape == (262, 12) and male.track.values.shape == (270, 12)
    mean = dict(zip(CHANNELS, female.track.values.mean(axis=0), strict=True))
    assert mean["td_x"] == pytest.approx(-48.67, abs=0.01) and mean["ul_x"] == pytest.approx(9.09, abs=0.01)
    assert mean["ll_y"] == pytest.approx(-22.19, abs=0.01)
    assert male.track.values.mean(axis=0)[CHANNELS.index("td_x")] == pytest.approx(-40.44, abs=0.01)
    assert len(female.phones) == 29 and female.phones[0].label == "sp"
    assert female.frame == male.frame == "occlusal" and reader.palates() == {}
    assert female.text == male.text == "The birch canoe slid on the smooth planks."
    for utterance in (female, male):
        anatomy_is_plausible(utterance.track.values)
        assert 0 < utterance.track.end_s - utterance.duration_s < 0.02


def anatomy_is_plausible(values: np.ndarray) -> None:
    """Lips in front of tip, blade and dorsum, upper lip above lower, spreads in mm."""
    mean = dict(zip(CHANNELS, np.nanmean(values, axis=0), strict=True))
    assert min(mean["ul_x"], mean["ll_x"]) > mean["tt_x"] > mean["tb_x"] > mean["td_x"]
    assert mean["ul_y"] > mean["ll_y"]
    spread = np.nanstd(values, axis=0)
    assert (spread > 0.3).all() and (spread < 8).all()
    index = {name: column for column, name in enumerate(CHANNELS)}
    r = np.corrcoef(values[np.isfinite(values).all(axis=1)].T)
    assert r[index["tt_x"], index["tb_x"]] > r[index["tt_x"], index["ul_x"]]
