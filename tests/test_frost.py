from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import Breakages, assert_refused, refusals
from drawn import ANYWHERE, FEW, Courses, Sound, assert_sound, assert_track, movements, sounds, write_sound
from hypothesis import given
from hypothesis import strategies as st
from test_articulograph import column, read_all, write_audio
from test_carstens import ag501_bytes, text_bytes

from tractprobe.corpora.readers.frost import FrostEma
from tractprobe.corpora.utterance import Reader, Utterance
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import ConfigError, CorpusError

RATE_HZ, FRAMES = 1250, 150
RECORDINGS = (
    ("fin_kh5_f", "fin_kh5_f_A_01", ".pos"),
    ("fin_kh5_f", "fin_kh5_f_B_01", ".pos"),
    ("fin_kh5_f", "fin_kh5_f_C_01", ".txt"),
    ("rus_kh2_m", "A1", ".pos"),
    ("rus_kh18_m", "C1", ".pos"),
)
SOURCE = "fin_kh5_f/pos/fin_kh5_f_A_01.pos"


def rows(seed: int) -> np.ndarray:
    """Return frames of 14 channels, every number telling channel and field apart."""
    course = np.sin(np.arange(FRAMES) / 30 + seed)[:, None, None]
    return 10.0 * np.arange(1, 15)[:, None] + np.arange(7) + course


@lru_cache
def table(seed: int) -> bytes:
    return text_bytes(rows(seed), gap=" ", end="\n")


def write(root: Path, **settings: Any) -> Reader:
    """Write three speakers' tables of text in the corpus's layout; one task of five is an imitated accent."""
    for seed, (speaker, stem, suffix) in enumerate(RECORDINGS):
        (root / speaker / "pos").mkdir(parents=True, exist_ok=True)
        (root / speaker / "pos" / f"{stem}{suffix}").write_bytes(table(seed))
        write_audio(root / speaker / f"wav/{stem}.wav", FRAMES / RATE_HZ, 44100)
    return FrostEma(root, **settings)


def test_each_speakers_sensors_come_back(tmp_path: Path):
    utterances = read_all(write(tmp_path))
    channels = {"td": 8, "tb": 9, "tt": 7, "ul": 12, "ll": 13}
    own = {"fin_kh5_f": channels | {"tt": 14}, "rus_kh18_m": channels | {"td": 14}, "rus_kh2_m": channels}
    for seed, (speaker, stem, _) in enumerate(RECORDINGS):
        if seed == 1:
            continue
        utterance = utterances[f"{speaker}_{stem.removeprefix(f'{speaker}_')}"]
        assert (utterance.speaker, utterance.track.rate_hz, utterance.audio_rate_hz) == (speaker, RATE_HZ, 44100)
        assert utterance.track.end_s == pytest.approx(utterance.duration_s) and utterance.frame == "unknown"
        for sensor, channel in own[speaker].items():
            x, y = rows(seed)[:, channel - 1, 0], rows(seed)[:, channel - 1, 2]  # X and Z; Y is lateral
            np.testing.assert_allclose(column(utterance, f"{sensor}_x"), x, atol=0.006)
            np.testing.assert_allclose(column(utterance, f"{sensor}_y"), y, atol=0.006)


AXES = {f"{sign}{axis}": (column, factor) for column, axis in enumerate("xyz")
        for sign, factor in {"": 1, "-": -1}.items()}  # fmt: skip


@FEW
@given(
    courses=movements({name: (0.0, 0.0) for name in ANYWHERE if name != "li"}, decimals=2, keep=("ul",)),
    axes=st.tuples(st.sampled_from(sorted(AXES)), st.sampled_from(sorted(AXES))).filter(lambda a: a[0][-1] != a[1][-1]),
    table_=st.fixed_dictionaries(
        {
            "header": st.booleans(),
            "end": st.sampled_from(["\n", "\r\n"]),
            "gap": st.sampled_from([" ", "\t"]),
        }
    ),
    rate_hz=st.sampled_from([250.0, 400.0, 1250.0]),
    speaker=st.sampled_from(["fin_kh5_f", "rus_kh18_m", "fin_kh1_m", "rus_kh2_f"]),
    task=st.sampled_from("ABC"),
    suffix=st.sampled_from([".pos", ".txt"]),
    is_named=st.booleans(),
    sound=sounds(),
)
def test_any_table_comes_back(
    tmp_path_factory: pytest.TempPathFactory, courses: Courses, axes: tuple[str, str], table_: dict[str, Any],
    rate_hz: float, speaker: str, task: str, suffix: str, is_named: bool, sound: Sound,
):  # fmt: skip
    folder = tmp_path_factory.mktemp("any") / speaker
    channels = {"td": 8, "tb": 9, "tt": 7, "ul": 12, "ll": 13}
    channels |= {"fin_kh5_f": {"tt": 14}, "rus_kh18_m": {"td": 14}}.get(speaker, {})
    records = np.full((len(courses["ul"]), 14, 7), 55.5)
    for name, channel in channels.items():
        for values, (axis, sign) in zip(courses[name].T, (AXES[axis] for axis in axes), strict=True):
            records[:, channel - 1, axis] = sign * values
    records[np.isnan(records).any(axis=2)] = 0
    stem = f"{speaker}_{task}_01" if is_named else f"{task}1"
    (folder / "pos").mkdir(parents=True)
    (folder / f"pos/{stem}{suffix}").write_bytes(text_bytes(records, **table_))
    write_sound(folder / f"wav/{stem}.wav", sound)
    tasks = {"A": "first", "B": "first", "C": "second"}
    (read,) = read_all(FrostEma(folder.parent, tasks=tasks, front=axes[0], up=axes[1], rate_hz=rate_hz)).values()
    assert_track(read, courses, rate_hz=rate_hz)
    assert_sound(read, sound)
    assert (read.id, read.speaker) == (f"{speaker}_{stem.removeprefix(f'{speaker}_')}", speaker)
    assert read.language == ("fi" if speaker.startswith("fin") == (task != "C") else "ru")


def test_there_is_no_jaw_sensor(tmp_path: Path):
    for utterance in read_all(write(tmp_path)).values():
        missing = [name for name in CHANNELS if np.isnan(column(utterance, name)).all()]
        assert missing == ["li_x", "li_y"] and utterance.track.valid.sum() == 10 * FRAMES


def test_task_and_first_language_tell_the_language(tmp_path: Path):
    languages = {utterance.id: utterance.language for utterance in read_all(write(tmp_path)).values()}
    assert languages == {"fin_kh5_f_A_01": "fi", "fin_kh5_f_C_01": "ru", "rus_kh2_m_A1": "ru", "rus_kh18_m_C1": "fi"}


def test_the_imitated_accent_takes_part_if_asked_for(tmp_path: Path):
    assert not any("_B_" in source for source in write(tmp_path).sources())
    (utterance,) = read_all(write(tmp_path, tasks={"B": "first"})).values()
    assert (utterance.id, utterance.language) == ("fin_kh5_f_B_01", "fi")
    with pytest.raises(CorpusError, match="language is unknown"):
        write(tmp_path).read("fin_kh5_f/pos/fin_kh5_f_B_01.pos")


def test_a_name_without_a_task_is_an_error_and_not_left_out(tmp_path: Path):
    reader = write(tmp_path)
    (tmp_path / "rus_kh2_m/pos/Anna.txt").write_bytes(text_bytes(rows(0)))
    source = "rus_kh2_m/pos/Anna.txt"
    assert source in reader.sources()
    with pytest.raises(CorpusError, match=r"Anna\.txt.*task_pattern"):
        reader.read(source)
    assert source in FrostEma(tmp_path, task_pattern=r"(?P<task>A)(?=nna)").sources()


def test_folders_of_no_speaker_and_other_files_are_no_sources(tmp_path: Path):
    reader = write(tmp_path)
    before = reader.sources()
    for name in ("notes/pos/A1.pos", "rus_kh2_m/pos/A1.csv", "rus_kh2_m/A1.pos"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert reader.sources() == before


def test_axes_can_be_turned_round(tmp_path: Path):
    plain, turned = read_all(write(tmp_path)), read_all(write(tmp_path, front="-x"))
    np.testing.assert_array_equal(column(turned["rus_kh2_m_A1"], "tt_x"), -column(plain["rus_kh2_m_A1"], "tt_x"))
    np.testing.assert_array_equal(column(turned["rus_kh2_m_A1"], "tt_y"), column(plain["rus_kh2_m_A1"], "tt_y"))


def test_a_binary_sweep_says_its_own_rate(tmp_path: Path):
    reader = write(tmp_path)
    (tmp_path / SOURCE).write_bytes(ag501_bytes(rows(0), rate_hz=250))
    assert reader.read(SOURCE)[0].track.rate_hz == 250


def test_tables_without_lateral_columns_are_read(tmp_path: Path):
    reader = write(tmp_path)
    names = [f"Ch{channel}_{axis}" for channel in range(1, 15) for axis in "XZ"]
    lines = [" ".join(names), *(" ".join(f"{value:.2f}" for value in row.ravel()) for row in rows(0)[..., [0, 2]])]
    (tmp_path / SOURCE).write_text("\n".join(lines))
    np.testing.assert_allclose(column(reader.read(SOURCE)[0], "tt_y"), rows(0)[:, 13, 2], atol=0.006)


BROKEN: Breakages = {
    "no audio": (lambda root: (root / "fin_kh5_f/wav/fin_kh5_f_A_01.wav").unlink(), r"A_01\.wav.*no such file"),
    "empty": (lambda root: (root / SOURCE).write_bytes(b""), r"A_01\.pos.*empty"),
    "cut": (lambda root: (root / SOURCE).write_bytes(text_bytes(rows(0))[:-40]), r"A_01\.pos \(line 151\)"),
    "no channel 14": (lambda root: (root / SOURCE).write_bytes(text_bytes(rows(0)[:, :13])), r"pos \(channel 14\)"),
    "another table": (lambda root: (root / SOURCE).write_text("a_X b\n1 2\n"), r"A_01\.pos \(line 1\)"),
    "all lost": (lambda root: (root / SOURCE).write_bytes(text_bytes(0 * rows(0))), r"A_01\.pos.*no articulator"),
    "not a number": (
        lambda root: (root / SOURCE).write_bytes(text_bytes(rows(0)).replace(b"\n1", b"\nx", 1)),
        r"A_01\.pos \(line 2\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_one_error_that_names_it(tmp_path: Path, case: str):
    reader = write(tmp_path)
    assert_refused(tmp_path, lambda: read_one(reader), BROKEN[case])


def read_one(reader: Reader) -> Utterance:
    (utterance,) = reader.read(SOURCE)
    return utterance


def test_settings_and_folders_are_checked(tmp_path: Path):
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(CorpusError, match=root.name):
            FrostEma(root).sources()
    for settings in ({"tasks": {"A": "third"}}, {"task_pattern": "("}, {"task_pattern": "A"}, {"up": "x"}):
        with pytest.raises(ConfigError, match=r"corpus\."):
            FrostEma(tmp_path, **settings)


def test_bit_rot_is_an_error_or_harmless(tmp_path: Path):
    reader = write(tmp_path)
    for path in (tmp_path / SOURCE, tmp_path / "fin_kh5_f/wav/fin_kh5_f_A_01.wav"):
        assert refusals(path, lambda: read_one(reader), 20, named="A_01")
