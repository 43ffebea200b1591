import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import write_utterance
from drawn import (
    ANYWHERE,
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
)
from hypothesis import given
from hypothesis import strategies as st

from tractprobe.corpora.prepared.prepare import describe, prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.corpora.utterance import Phone, settings_of
from tractprobe.signals.audio import read_audio
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import CorpusError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_utterance(tmp_path / "deep", "one", speaker="anna", language="it", text="una prova", seed=3)
    return tmp_path


def read_one(root: Path) -> Any:
    reader = Folder("lab", root)
    (source,) = reader.sources()
    (utterance,) = reader.read(source)
    return utterance


def edit(root: Path, **fields: Any) -> None:
    path = root / "deep/one.json"
    content = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))


def test_every_field_comes_back(folder: Path):
    utterance = read_one(folder)
    assert (utterance.id, utterance.speaker, utterance.language, utterance.text) == ("one", "anna", "it", "una prova")
    assert utterance.audio_rate_hz == 16000 and len(utterance.audio) == 19200
    assert utterance.phones == (Phone("a", 0.1, 0.5), Phone("m", 0.5, 0.9))
    np.testing.assert_array_equal(utterance.track.values, np.load(folder / "deep/one.ema.npy"))
    assert (utterance.track.rate_hz, utterance.track.start_s) == (100, 0)


def test_columns_are_found_by_name_and_absent_ones_are_missing(folder: Path):
    values = np.load(folder / "deep/one.ema.npy")
    order = [4, 0, 11]
    np.save(folder / "deep/one.ema.npy", values[:, order])
    edit(folder, ema_channels=[CHANNELS[index] for index in order], ema_start_s=0.25)
    track = read_one(folder).track
    np.testing.assert_array_equal(track.values[:, order], values[:, order])
    assert np.isnan(np.delete(track.values, order, axis=1)).all()
    assert track.start_s == 0.25


def test_integers_are_steps_of_the_resolution_that_is_given(folder: Path):
    steps = np.arange(-120, 120, dtype=np.int16).reshape(20, 12)
    steps[3, 4], steps[5, 6] = -32768, -32767
    np.save(folder / "deep/one.ema.npy", steps)
    edit(folder, ema_resolution_mm=0.01)
    values = read_one(folder).track.values
    assert values[1, 0] == pytest.approx(-1.08) and values[5, 6] == pytest.approx(-327.67)
    assert np.argwhere(np.isnan(values)).tolist() == [[3, 4]]


RESOLUTIONS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "integers without one": (np.int16, {}, r'holds int16 .* write floats in mm, or int16 with "ema_resolution_mm"'),
    "floats with one": (np.float32, {"ema_resolution_mm": 0.01}, "float32, which is in mm: leave it out"),
    "integers of another width": (np.int32, {"ema_resolution_mm": 0.01}, "int32; expected int16"),
    "no resolution": (np.int16, {"ema_resolution_mm": 0}, "above 0"),
    "a coarse one": (np.int16, {"ema_resolution_mm": 10}, "at most 1 mm"),
    "a text": (np.int16, {"ema_resolution_mm": "0.01"}, "not a number"),
}


@pytest.mark.parametrize("case", RESOLUTIONS)
def test_integers_and_resolutions_that_do_not_belong_together(folder: Path, case: str):
    dtype, fields, problem = RESOLUTIONS[case]
    np.save(folder / "deep/one.ema.npy", np.ones((20, 12), dtype))
    edit(folder, **fields)
    with pytest.raises(CorpusError, match=problem):
        read_one(folder)


def test_palates_lie_at_the_root_and_come_back_from_back_to_front(folder: Path, tmp_path_factory):
    assert Folder("lab", folder).palates() == {}
    points = np.array([[9.0, 1.0], [4.0, 3.0], [0.0, 2.0]], np.float32)
    np.save(folder / "anna.palate.npy", points)
    np.save(folder / "bert.palate.npy", points[::-1])
    np.save(folder / "deep/carl.palate.npy", points)  # not at the root
    palates = Folder("lab", folder).palates()
    assert list(palates) == ["anna", "bert"]
    for trace in palates.values():
        np.testing.assert_array_equal(trace, points[::-1])
    np.testing.assert_array_equal(
        prepare(Folder("lab", folder), tmp_path_factory.mktemp("data")).palates["anna"], points[::-1]
    )


@pytest.mark.parametrize("points", [np.zeros(3), np.zeros((3, 3)), np.zeros((3, 2), int), np.zeros((100_001, 2))])
def test_a_palate_that_cannot_be_one_is_named(folder: Path, points: np.ndarray):
    np.save(folder / "anna.palate.npy", points)
    with pytest.raises(CorpusError, match=r"anna\.palate\.npy.*expected floats \(point, 2\)"):
        Folder("lab", folder).palates()


@pytest.mark.parametrize("said", [True, False, None])
def test_a_folder_says_where_it_comes_from(folder: Path, tmp_path_factory: pytest.TempPathFactory, said: bool | None):
    if said is not None:
        lines = [f"simulated = {str(said).lower()}", 'generator = "g 0.1"', 'description = "it said ${oc.env:HOME}"']
        (folder / "folder.toml").write_text("\n".join(lines))
    corpus = prepare(Folder("lab", folder), tmp_path_factory.mktemp("data"))
    assert corpus.simulated is said
    about = {"simulated": said, "generator": "g 0.1", "description": "it said ${oc.env:HOME}"}
    kept = {name: corpus.description[name] for name in about if name in corpus.description}
    assert kept == (about if said is not None else {})
    printed = {True: "  simulated by g 0.1: it said ${", False: "  recorded by g 0.1: it said ${", None: "lab"}[said]
    assert printed in describe(corpus)


def test_the_built_in_corpus_of_before_is_known_to_be_simulated(folder: Path, tmp_path_factory):
    assert prepare(Folder("virtual", folder), tmp_path_factory.mktemp("data")).simulated is True


ABOUT = {
    "an unknown field": ('simulatd = true\nlicence = "x"', "unknown fields licence, simulatd; known are simulated"),
    "a text for a truth": ('simulated = "yes"', "'yes' is not true or false"),
    "a number for a text": ("generator = 3", "3 is not a text"),
    "a long text": (f'description = "{"x" * 1001}"', "more than 1000 characters"),
    "not TOML": ("simulated = ", "not TOML"),
    "too deep": ("description = " + "[" * 60_000, "not TOML"),
    "too long": ("#" * 70_000, "more than 65536 bytes"),
}


@pytest.mark.parametrize("case", ABOUT)
def test_a_folder_that_says_something_else_is_refused_before_anything_is_read(folder: Path, tmp_path, case: str):
    content, problem = ABOUT[case]
    (folder / "folder.toml").write_text(content)
    with pytest.raises(CorpusError, match=problem) as error:
        prepare(Folder("lab", folder), tmp_path.parent / f"{tmp_path.name}-data")
    assert "folder.toml" in str(error.value)
    assert not (tmp_path.parent / f"{tmp_path.name}-data").exists()


def test_other_files_of_a_generator_are_ignored(folder: Path):
    before = read_one(folder)
    (folder / "manifest.jsonl").write_text('{"id": "one"}\n')
    np.save(folder / "deep/one.motor.npy", np.zeros((4, 30), np.float32))
    assert Folder("lab", folder).sources() == ["deep/one.json"]
    np.testing.assert_array_equal(read_one(folder).track.values, before.track.values)


def test_what_was_prepared_before_folders_could_say_more_is_not_prepared_again(folder: Path, tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    corpus = prepare(Folder("lab", folder), data)
    assert settings_of(Folder("lab", folder)) == {"name": "lab"}  # what fingerprints are made of, as ever
    written = (corpus.folder / "corpus.json").stat().st_mtime_ns
    prepare(Folder("lab", folder), data)
    assert (corpus.folder / "corpus.json").stat().st_mtime_ns == written


def test_nan_is_missing(folder: Path):
    values = np.ones((20, 12))
    values[3, 4] = np.nan
    np.save(folder / "deep/one.ema.npy", values)
    assert (~read_one(folder).track.valid).sum() == 1


CHARACTERS = st.characters(exclude_categories=["Cs"])


@FEW
@given(
    courses=movements(ANYWHERE, decimals=None, keep=("tt",)),
    absent=st.sets(st.sampled_from([name for name in CHANNELS if name != "tt_x"])),
    order=st.randoms(use_true_random=False),
    dtype=st.sampled_from([np.float32, np.float64, ">f8"]),
    by_column=st.booleans(),
    rate_hz=st.floats(40, 2000),
    start_s=st.none() | st.floats(-0.002, 0.1),  # or else a short track ends before the audio begins
    sound=sounds(),
    suffix=st.sampled_from([".wav", ".flac"]),
    labels=st.none() | spans(st.text(CHARACTERS, max_size=4)),
    checked=st.sets(st.sampled_from(["id", "sample_rate_hz", "duration_s"])),
    about=st.fixed_dictionaries({
        "speaker": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True),
        "language": st.sampled_from(["it", "fi", "zh", "yue"]),
        "text": st.text(CHARACTERS, max_size=20),
    }),
    id_=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,9}", fullmatch=True),
)  # fmt: skip
def test_any_utterance_comes_back(
    tmp_path_factory: pytest.TempPathFactory, courses: Courses, absent: set[str], order: Random, dtype: Any,
    by_column: bool, rate_hz: float, start_s: float | None, sound: Sound, suffix: str, labels: list[Span] | None,
    checked: set[str], about: dict[str, str], id_: str,
):  # fmt: skip
    root, names = tmp_path_factory.mktemp("any"), [name for name in CHANNELS if name not in absent]
    order.shuffle(names)
    columns = {f"{name}_{axis}": course[:, at] for name, course in courses.items() for at, axis in enumerate("xy")}
    values = np.stack([columns[name] for name in names], axis=1).astype(dtype)
    np.save(root / f"{id_}.ema.npy", np.asfortranarray(values) if by_column else values)
    soundfile.write(root / f"{id_}{suffix}", *sound, subtype="PCM_16")
    fields = about | {"ema_rate_hz": rate_hz, "ema_unit": "mm", "ema_channels": names}
    facts = {"id": id_, "sample_rate_hz": sound[1], "duration_s": len(sound[0]) / sound[1]}
    fields |= {key: facts[key] for key in checked}
    fields |= {} if start_s is None else {"ema_start_s": start_s}
    fields |= {} if labels is None else {"phones": [(name, start / 1000, end / 1000) for name, start, end in labels]}
    (root / f"{id_}.json").write_text(json.dumps(fields, ensure_ascii=False), encoding="utf-8")
    read = read_one(root)
    for channel in absent:
        columns[channel] = np.full(len(values), np.nan)
    expected = {name: np.stack([columns[f"{name}_x"], columns[f"{name}_y"]], axis=1) for name in ANYWHERE}
    assert_track(read, expected, rate_hz=rate_hz, start_s=start_s or 0.0)
    assert_sound(read, sound)
    assert_phones(read.phones, labels or [], 0.001)
    assert (read.id, {key: getattr(read, key) for key in about}) == (id_, about)


def test_labels_come_back_by_name(folder: Path):
    assert read_one(folder).labels == {}
    edit(folder, labels={"style": "whispered", "gender": "f", "stato_2": "caffè, dopo"})
    labels = read_one(folder).labels
    assert list(labels.items()) == [("gender", "f"), ("stato_2", "caffè, dopo"), ("style", "whispered")]


WRONG_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"speaker": ...}, "lacks speaker"),
    ({"speker": "anna"}, "unknown fields speker"),
    ({"speaker": "a/b"}, "speaker"),
    ({"language": "Italian"}, "language"),
    ({"language": 3}, "language"),
    ({"text": None}, "text"),
    ({"ema_unit": "cm"}, "convert to 'mm'"),
    ({"ema_rate_hz": 0}, "0"),
    ({"ema_rate_hz": "100"}, "ema_rate_hz"),
    ({"ema_rate_hz": True}, "ema_rate_hz"),
    ({"ema_channels": [*CHANNELS[:-1], "jaw"]}, "distinct names"),
    ({"ema_channels": [*CHANNELS[:-1], CHANNELS[0]]}, "distinct names"),
    ({"ema_channels": list(CHANNELS[:-1])}, "does not fit"),
    ({"ema_channels": [1] * 12}, "distinct names"),
    ({"id": "two"}, "differs from the file's name"),
    ({"sample_rate_hz": 8000}, "16000 Hz"),
    ({"duration_s": 1.5}, "lasts 1.200 s"),
    ({"language": "ita"}, "use 'it'"),
    ({"language": "deu"}, "use 'de'"),
    ({"language": "cmn"}, "use 'zh'"),
    ({"language": "xx"}, "not an ISO 639 code"),
    ({"language": "IT"}, "not an ISO 639 code"),
    ({"ema_rate_hz": 39}, "40"),
    ({"ema_start_s": 1.3}, "no articulator was measured during the audio"),
    ({"ema_start_s": -2}, "no articulator was measured during the audio"),
    ({"phones": [["a", 0.1]]}, "entry 0"),
    ({"phones": [["a", 0.5, 0.1]]}, "ends before it starts"),
    ({"labels": ["read"]}, "labels"),
    ({"labels": {"Style": "read"}}, "label 'Style': expected a name"),
    ({"labels": {"a" * 33: "read"}}, "label 'aaa.*: expected a name"),
    ({"labels": {"": "read"}}, "label '': expected a name"),
    ({"labels": {"speaker": "anna"}}, "its own speaker; choose another name"),
    ({"labels": {"age": 31}}, "label age: 31: expected a text"),
    ({"labels": {"age": None}}, "label age: None: expected a text"),
    ({"labels": {"style": ""}}, "label style: '': expected a text of 1 to 128 characters"),
    ({"labels": {"style": "x" * 129}}, "1 to 128 characters"),
    ({"labels": {"style": "two\nlines"}}, "printable characters"),
    ({"labels": {"style": "\ud800"}}, "printable characters"),
    ({"labels": {"style": " read"}}, "no spaces around"),
    ({"labels": {f"label{number}": "x" for number in range(17)}}, "at most 16"),
]


@pytest.mark.parametrize(("fields", "problem"), WRONG_FIELDS, ids=[problem for _, problem in WRONG_FIELDS])
def test_a_wrong_description_is_one_error_that_names_file_and_field(folder: Path, fields: dict, problem: str):
    edit(folder, **fields)
    with pytest.raises(CorpusError, match=problem) as error:
        read_one(folder)
    assert "deep/one" in str(error.value)


def half_header(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content.replace(b"}", b"!").replace(b"'shape'", b'((""" '))


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def absurd_npy(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content.replace(b"(120, 12)", b"(120000000000, 12)").replace(b"         \n", b"\n"))


def pickled_npy(path: Path) -> None:
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


BREAKAGES: dict[str, Callable[[Path], Any]] = {
    "no audio": lambda root: (root / "one.flac").unlink(),
    "two audios": lambda root: (root / "one.wav").write_bytes(b""),
    "audio cut in its header": lambda root: (root / "one.flac").write_bytes((root / "one.flac").read_bytes()[:20]),
    "audio is text": lambda root: (root / "one.flac").write_text("fLaC but no more"),
    "two channels": lambda root: soundfile.write(root / "one.flac", np.zeros((100, 2)), 16000),
    "empty audio": lambda root: soundfile.write(root / "one.flac", np.zeros(0), 16000),
    "audio of 99 ms": lambda root: soundfile.write(root / "one.flac", np.zeros(1584), 16000),
    "audio is a pipe": lambda root: pipe(root / "one.flac"),
    "audio is a device": lambda root: device(root / "one.flac"),
    "movements are a pipe": lambda root: pipe(root / "one.ema.npy"),
    "movements are a device": lambda root: device(root / "one.ema.npy"),
    "description is a device": lambda root: device(root / "one.json"),
    "no movements": lambda root: (root / "one.ema.npy").unlink(),
    "movements cut": lambda root: (root / "one.ema.npy").write_bytes((root / "one.ema.npy").read_bytes()[:-7]),
    "movements cut in their header": lambda root: (root / "one.ema.npy").write_bytes(
        b"\x93NUMPY\x01\x00\x76\x00{'descr"
    ),
    "movements with half a header": lambda root: half_header(root / "one.ema.npy"),
    "movements are text": lambda root: (root / "one.ema.npy").write_text("1 2 3"),
    "movements are strings": lambda root: np.save(root / "one.ema.npy", np.array([["a"] * 12])),
    "more movements promised than there are bytes": lambda root: absurd_npy(root / "one.ema.npy"),
    "pickle": lambda root: pickled_npy(root / "one.ema.npy"),
    "one row of numbers": lambda root: np.save(root / "one.ema.npy", np.zeros(12)),
    "never measured": lambda root: np.save(root / "one.ema.npy", np.full((20, 12), np.nan)),
    "infinite": lambda root: np.save(root / "one.ema.npy", np.full((20, 12), np.inf)),
    "description cut": lambda root: (root / "one.json").write_text('{"speaker": "an'),
    "description is a list": lambda root: (root / "one.json").write_text("[]"),
    "description is binary": lambda root: (root / "one.json").write_bytes(b"\xff\xfe\x00"),
    "description too deep": lambda root: (root / "one.json").write_text("[" * 100_000),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_file_is_one_error_that_names_it(folder: Path, breakage: str):
    BREAKAGES[breakage](folder / "deep")
    with pytest.raises(CorpusError, match="deep/one"):
        read_one(folder)


@pytest.mark.parametrize("make", [lambda root: None, lambda root: root.mkdir(), lambda root: root.write_text("")])
def test_nothing_to_read_says_so(tmp_path: Path, make: Callable[[Path], Any]):
    make(tmp_path / "empty")
    with pytest.raises(CorpusError, match=r"no such folder|holds no"):
        Folder("lab", tmp_path / "empty").sources()


def test_a_channel_of_several_is_read_where_it_is_named(tmp_path: Path):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (5000, 2))
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav", 1)[0], samples[:, 1].astype(np.float32))
    with pytest.raises(CorpusError, match="2 audio channels"):
        read_audio(tmp_path / "a.wav")
    with pytest.raises(CorpusError, match="no audio channel 2"):
        read_audio(tmp_path / "a.wav", 2)


def test_sources_come_in_natural_order(tmp_path: Path):
    for number in (10, 9, 100):
        write_utterance(tmp_path, f"u{number}", speaker="a", language="it", text=f"{number}", seed=number)
    assert Folder("lab", tmp_path).sources() == ["u9.json", "u10.json", "u100.json"]


def give_f0(root: Path, f0_hz: np.ndarray, rate_hz: float = 400) -> None:
    np.save(root / "deep/one.f0.npy", f0_hz)
    edit(root, f0_rate_hz=rate_hz)


def test_what_the_vocal_folds_did_is_read_where_it_is_known(folder: Path):
    assert read_one(folder).f0_hz is None
    f0_hz = np.where(np.arange(480) < 100, 0, 120.5)
    give_f0(folder, f0_hz)
    utterance = read_one(folder)
    np.testing.assert_array_equal(utterance.f0_hz, f0_hz)
    assert utterance.f0_rate_hz == 400


@pytest.mark.parametrize(
    ("f0_hz", "rate_hz", "problem"),
    [
        (np.full(480, np.nan), 400, "f0 must be 0 or"),
        (np.full(480, -120.0), 400, "f0 must be 0 or"),
        (np.full((480, 1), 120.0), 400, "expected one row of numbers"),
        (np.full(480, 120.0), 200, "f0 lasts 2.4"),
        (np.full(480, 120.0), 0, "f0 at 0"),
        (np.full(480, 120.0), ..., "expected both"),
    ],
)
def test_vocal_folds_that_cannot_be(folder: Path, f0_hz: np.ndarray, rate_hz: Any, problem: str):
    give_f0(folder, f0_hz, rate_hz)
    with pytest.raises(CorpusError, match=problem):
        read_one(folder)
    (folder / "deep/one.f0.npy").unlink()
    edit(folder, f0_rate_hz=400)
    with pytest.raises(CorpusError, match="expected both"):
        read_one(folder)


def test_a_folder_reads_sphere_and_one_channel_of_several(tmp_path: Path):
    write_utterance(tmp_path, "u1", speaker="a", language="it", text="uno", seed=1)
    samples, rate_hz = soundfile.read(tmp_path / "u1.flac", dtype="int16")
    (tmp_path / "u1.flac").unlink()
    soundfile.write(tmp_path / "u1.sph", np.stack([0 * samples, samples], axis=1), rate_hz, format="NIST")
    with pytest.raises(CorpusError, match=r"u1\.sph: has 2 audio channels.*corpus\.audio_channel=0"):
        Folder("lab", tmp_path).read("u1.json")
    (utterance,) = Folder("lab", tmp_path, audio_channel=1).read("u1.json")
    np.testing.assert_array_equal(utterance.audio, samples.astype(np.float32) / 32768)


def test_standardised_movements_are_refused_with_what_can_be_done(folder: Path):
    for unit in ("z", "z-score", "SD"):
        edit(folder, ema_unit=unit)
        with pytest.raises(CorpusError, match=r"\(ema_unit\): .*lost their mm.*undo it with the means and deviations"):
            read_one(folder)
    edit(folder, ema_unit="cm")
    with pytest.raises(CorpusError, match=r"'cm'; convert to 'mm'"):
        read_one(folder)


def test_files_that_are_renamed_say_what_they_hold(folder: Path):
    for content, kind in (
        (b"\x89HDF\r\n\x1a\n" + bytes(999), "HDF5"),
        (b"MATLAB 5.0 MAT-file" + b" " * 999, "a MATLAB file"),
    ):
        (folder / "deep/one.ema.npy").write_bytes(content)
        with pytest.raises(CorpusError, match=rf"one\.ema\.npy: not a numeric \.npy array.*; it holds {kind}"):
            read_one(folder)
