from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import soundfile
from damage import read_utterances, refusals
from drawn import (
    ANYWHERE,
    FEW,
    LATIN,
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
from test_est import MNGU0_NORM, MOCHA, SPEECH_TOOLS, replaced, write_est

from tractprobe.corpora.formats.esps import read_labels
from tractprobe.corpora.readers.mngu0 import Mngu0
from tractprobe.corpora.utterance import Phone, Utterance
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import ConfigError, CorpusError

COILS = {"td": "T3", "tb": "T2", "tt": "T1", "li": "jaw", "ul": "upperlip", "ll": "lowerlip"}
AXES = ("px", "py", "pz", "ox", "oy", "oz", "rms", "newflag")
BASIC = tuple(f"{coil}_{axis}" for coil in (*COILS.values(), "ref", "nose") for axis in AXES) + tuple(
    f"aux{index}" for index in range(23)
)
NORM_POSITIONS = tuple(f"{coil}_{axis}" for coil in ("T3", "T2", "T1", "JAW", "UL", "LL") for axis in "xy")
NORM = NORM_POSITIONS + tuple(f"{name}_{rate}" for rate in ("vel", "acc") for name in NORM_POSITIONS)
FRAMES = 100
IDS = ("mngu0_s1_0001", "mngu0_s1_0010", "mngu0_s1_0020a", "mngu0_s1_0020b")
LABELS = "signal mngu0_s1_0001\nnfields 1\n#\n\t 0.10500 26 \t#\n\t0.20000 26\taI\n 0.4 26 @U \n0.5 26 #\n"
EMA, LAB, WAV = "mngu0_s1_ema_{}_1.1.0", "mngu0_s1_lab_1.1.1", "mngu0_s1_wav_16kHz_1.1.0"


def position_cm(name: str, first: int = 0) -> np.ndarray:
    """A course (cm) for each channel of the basic package, which tells coil and axis apart."""
    coil, axis = name.split("_")
    rank = [*COILS.values(), "ref"].index(coil)
    return rank + {"px": 0.7, "py": 0.1, "pz": 0.4}[axis] + 0.001 * np.arange(first, first + FRAMES)


def expected_mm(channel: str, first: int = 0) -> np.ndarray:
    coil = "ref" if channel.startswith("ui") else COILS[channel[:2]]
    return -10 * position_cm(f"{coil}_py", first) if channel.endswith("x") else 10 * position_cm(f"{coil}_pz", first)


def basic_values() -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(FRAMES, len(BASIC)))
    for column, name in enumerate(BASIC):
        if name.split("_")[0] in (*COILS.values(), "ref") and name[-2:] in ("px", "py", "pz"):
            values[:, column] = position_cm(name)
    return values


def samples(id_: str) -> np.ndarray:
    return np.random.default_rng(sum(map(ord, id_))).integers(-(1 << 15), 1 << 15, 10_000).astype(np.int16)


def sentence(id_: str) -> str:
    return f'He said, "prompt {id_[9:13]}".'


def festival_text(text: str) -> str:
    """A string that is itself quoted, as Festival saves it."""
    for _ in range(2):
        text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return text


def write_speech(root: Path) -> None:
    (root / WAV).mkdir(parents=True)
    (root / LAB).mkdir()
    (root / "mngu0_s1_ema_filesets_1.0.0").mkdir()
    for id_ in IDS:
        soundfile.write(root / WAV / f"{id_}.wav", samples(id_), 16000, subtype="PCM_16")
        (root / LAB / f"{id_}.lab").write_text(LABELS)
        features = (
            f"Features max_id 117 ; type Text ; iform {festival_text(sentence(id_))} ; filename x ; \nStream_Items\n"
        )
        (root / LAB / f"{id_}.utt").write_text(
            f'EST_File utterance\nDataType ascii\nversion 2\nEST_Header_End\n{features}1 id _1 ; iform "word" ;\n'
        )
    for fileset, prompts in (("train", ["0001"]), ("validation", ["0010"]), ("test", ["0020", "0040"])):
        lines = "".join(f"mngu0_s1_{prompt}\n" for prompt in prompts)
        (root / "mngu0_s1_ema_filesets_1.0.0" / f"{fileset}files.txt").write_text(lines)


def write(root: Path, **est: Any) -> Mngu0:
    """Write the packages of the basic variant."""
    write_speech(root)
    for id_ in IDS:
        path = root / EMA.format("basic") / f"{id_}.ema"
        write_est(path, basic_values(), BASIC, **{"rate_hz": 200, **est})
    return Mngu0(root)


def write_norm(root: Path, first: int = 21) -> Mngu0:
    """Write the packages of the normalised variant: z-scored with 4 sd, beginning with frame ``first`` of the audio."""
    write_speech(root)
    folder = root / EMA.format("norm")
    (folder / "norm_parms").mkdir(parents=True)
    means, deviations = 3 + np.arange(36) / 7, 0.2 + np.arange(36) / 100
    (folder / "norm_parms/ema_means.txt").write_text("\n".join(map(str, means)) + "\n")
    (folder / "norm_parms/ema_stds.txt").write_text(" ".join(map(str, deviations)) + "\n")
    for id_ in IDS:
        values = np.random.default_rng(1).normal(size=(FRAMES, 36))
        for column, channel in enumerate(CHANNELS):
            sign = -1 if channel.endswith("x") else 1
            cm = sign * expected_mm(channel, first) / 10
            values[:, column] = (cm - means[column]) / (4 * deviations[column])
        write_est(folder / f"{id_}.ema", values, NORM, rate_hz=200, keys=MNGU0_NORM)
    return Mngu0(root, variant="norm")


WRITERS: dict[str, Callable[[Path], Mngu0]] = {"basic": write, "norm": write_norm}


def read_first(reader: Mngu0) -> Utterance:
    (utterance,) = reader.read(reader.sources()[0])
    return utterance


@pytest.mark.parametrize("est", [{}, {"order": "10"}, {"kind": "ascii"}])
def test_basic_is_read_in_mm_with_lateral_left_out_and_x_to_the_front(tmp_path: Path, est: dict):
    utterance = read_first(write(tmp_path, **est))
    assert (utterance.track.rate_hz, utterance.track.start_s, utterance.frame) == (200, 0, "head")
    for column, name in enumerate(CHANNELS):
        np.testing.assert_allclose(utterance.track.values[:, column], expected_mm(name), rtol=1e-5)
    for name in ("ui_x", "ui_y"):
        np.testing.assert_allclose(utterance.extra[name], expected_mm(name), rtol=1e-5)


def test_basic_channels_are_found_by_name(tmp_path: Path):
    reader = write(tmp_path)
    write_est(tmp_path / reader.sources()[0], basic_values()[:, ::-1], BASIC[::-1], rate_hz=200)
    values = read_first(reader).track.values
    np.testing.assert_allclose(values[:, CHANNELS.index("tt_y")], expected_mm("tt_y"), rtol=1e-5)


def test_basic_starts_when_its_first_frame_says(tmp_path: Path):
    assert read_first(write(tmp_path, start_s=0.005)).track.start_s == 0.005


def test_norm_gives_the_same_positions_as_basic_at_the_same_times(tmp_path: Path):
    basic = read_first(write(tmp_path / "a")).track
    norm = read_first(write_norm(tmp_path / "b", first=21)).track
    assert norm.start_s == pytest.approx(21 / 200) and norm.rate_hz == 200
    times_s = np.arange(30, 90) / 200
    np.testing.assert_allclose(norm.at(times_s), basic.at(times_s), atol=1e-4)


def test_norm_starts_at_once_where_speech_does(tmp_path: Path):
    reader = write_norm(tmp_path)
    (tmp_path / LAB / f"{IDS[0]}.lab").write_text("#\n0.2 26 aI\n0.5 26 #\n")
    assert read_first(reader).track.start_s == 0


@pytest.mark.parametrize("variant", WRITERS)
def test_speech_is_read_alike(tmp_path: Path, variant: str):
    reader = WRITERS[variant](tmp_path)
    assert reader.sources() == [f"{EMA.format(variant)}/{id_}.ema" for id_ in IDS]
    for source, id_ in zip(reader.sources(), IDS, strict=True):
        (utterance,) = reader.read(source)
        assert (utterance.id, utterance.speaker, utterance.language) == (id_, "s1", "en")
        assert utterance.text == sentence(id_)
        assert utterance.audio_rate_hz == 16000
        np.testing.assert_array_equal(utterance.audio, samples(id_).astype(np.float32) / 32768)
        assert utterance.phone_set == "combilex"
        assert utterance.phones == (
            Phone("#", 0, 0.105), Phone("aI", 0.105, 0.2), Phone("@U", 0.2, 0.4), Phone("#", 0.4, 0.5),
        )  # fmt: skip


def test_a_label_begins_where_the_one_before_ends(tmp_path: Path):
    path = tmp_path / "a.lab"
    path.write_text("separator ;\n#\n\n0.25 26 #\n 0.5\t121\t@@\n0.5 26 o^\n")
    assert read_labels(path) == (Phone("#", 0, 0.25), Phone("@@", 0.25, 0.5), Phone("o^", 0.5, 0.5))


def test_text_without_inner_quotes_is_text_too(tmp_path: Path):
    reader = write(tmp_path)
    for iform, text in ((r'"\"I said.\""', "I said."), ('"Plain"', "Plain"), (r'"\"\""', None), ('""', None)):
        (tmp_path / LAB / f"{IDS[0]}.utt").write_text(f"Features max_id 3 ; iform {iform} ;\n")
        if text is None:
            with pytest.raises(CorpusError, match="expected a text such as"):
                read_first(reader)
        else:
            assert read_first(reader).text == text


@pytest.mark.parametrize("variant", WRITERS)
def test_missing_samples_and_breaks_stay_missing(tmp_path: Path, variant: str):
    reader = WRITERS[variant](tmp_path)
    path = tmp_path / reader.sources()[0]
    names = BASIC if variant == "basic" else NORM
    values, flags = np.ones((FRAMES, len(names))), np.ones(FRAMES)
    values[30, names.index("T1_pz" if variant == "basic" else "T1_y")] = np.nan
    flags[40] = 0
    write_est(path, values, names, rate_hz=200, flags=flags)
    missing = ~read_first(reader).track.valid
    assert missing[30].nonzero()[0].tolist() == [CHANNELS.index("tt_y")] and missing[40].all() and missing.sum() == 13


@pytest.mark.parametrize(
    ("fileset", "ids"), [("train", IDS[:1]), ("validation", IDS[1:2]), ("test", IDS[2:]), (None, IDS)]
)
def test_a_fileset_takes_the_parts_of_its_prompts(tmp_path: Path, fileset: str | None, ids: tuple[str, ...]):
    write(tmp_path)
    sources = Mngu0(tmp_path, fileset=fileset).sources()
    assert [Path(source).stem for source in sources] == list(ids)


def test_a_fileset_may_name_a_part(tmp_path: Path):
    write(tmp_path)
    (tmp_path / "mngu0_s1_ema_filesets_1.0.0/testfiles.txt").write_text("mngu0_s1_0020b")
    assert [Path(source).stem for source in Mngu0(tmp_path, fileset="test").sources()] == ["mngu0_s1_0020b"]


IN_PACKAGE = {
    "id_": st.from_regex(r"mngu0_s1_[0-9]{4}[a-f]?", fullmatch=True),
    "sound": sounds(),
    "labels": spans(words(LATIN), touching=True),
    "header": st.lists(sentences(LATIN).filter(lambda line: line != "#"), max_size=2),
    "text": sentences(LATIN),
}
EST = {
    "rate_hz": st.sampled_from([100, 200, 250]),
    "kind": st.sampled_from(["binary", "ascii"]),
    "order": st.sampled_from(["01", "10"]),
    "keys": st.sampled_from([MOCHA, SPEECH_TOOLS, MNGU0_NORM]),
}


def write_package(root: Path, id_: str, sound: Sound, labels: list[Span], header: list[str], text: str) -> None:
    """Write what goes with the movements of an utterance; the first label begins at 0, whatever is drawn."""
    write_sound(root / WAV / f"{id_}.wav", sound)
    (root / LAB).mkdir()
    lines = [*header, "#", *(f"\t{end / 1000:.5f} 26 \t{label}" for label, _, end in labels)]
    utt = f'EST_File utterance\nFeatures max_id 117 ; iform {festival_text(text)} ; \n1 id _1 ; iform "word" ;\n'
    for suffix, content in ((".lab", "\n".join(lines)), (".utt", utt)):
        (root / LAB / f"{id_}{suffix}").write_text(content, encoding="latin-1", newline="")


def assert_package(utterance: Utterance, id_: str, sound: Sound, labels: list[Span], header: list[str], text: str):
    assert (utterance.id, utterance.text) == (id_, text)
    assert_sound(utterance, sound)
    edges = [0, *(end for *_, end in labels)]
    assert_phones(utterance.phones, list(zip([label for label, *_ in labels], edges, edges[1:], strict=False)), 0.001)


@FEW
@given(
    courses=movements(
        dict.fromkeys([*COILS.values(), "ref"], (0.0,) * 3),
        spread_mm=9,
        reach_mm=90,
        decimals=None,
        keep=("T1",),
        least=50,
    ),
    order=st.randoms(use_true_random=False),
    has_reference=st.booleans(),
    start_s=st.sampled_from([0.0, 0.005, 0.1]),
    est=st.fixed_dictionaries(EST),
    package=st.fixed_dictionaries(IN_PACKAGE),
)
def test_any_basic_utterance_comes_back(
    tmp_path_factory: pytest.TempPathFactory, courses: Courses, order: Random, has_reference: bool, start_s: float,
    est: dict[str, Any], package: dict[str, Any],
):  # fmt: skip
    root, frames = tmp_path_factory.mktemp("any"), len(courses["T1"])
    columns = {
        f"{coil}_{axis}": values
        for coil, course in courses.items()
        for axis, values in zip(AXES[:3], course.T, strict=True)
    }
    names = [name for name in BASIC if has_reference or not name.startswith("ref")]
    order.shuffle(names)
    values = np.stack([columns.get(name, np.full(frames, 7e9)) for name in names], axis=1)
    write_est(root / EMA.format("basic") / f"{package['id_']}.ema", values, names, start_s=start_s, **est)
    write_package(root, **package)
    read = read_first(Mngu0(root))
    expected = {name: courses[coil][:, 1:] * (-10, 10) for name, coil in COILS.items()}
    assert_track(read, expected, rate_hz=est["rate_hz"], start_s=start_s, atol=1e-5)
    assert_extra(read, {"ui": courses["ref"][:, 1:] * (-10, 10)} if has_reference else {}, atol=1e-5)
    assert_package(read, **package)


@FEW
@given(
    courses=movements(ANYWHERE, spread_mm=90, reach_mm=200, keep=("tt",), least=50),
    scales_cm=st.lists(st.tuples(st.floats(-15, 15), st.floats(0.01, 3)), min_size=36, max_size=36),
    silence=st.none() | st.integers(0, 150),
    est=st.fixed_dictionaries(EST),
    package=st.fixed_dictionaries(IN_PACKAGE),
)
def test_any_normalised_utterance_comes_back(
    tmp_path_factory: pytest.TempPathFactory, courses: Courses, scales_cm: list[tuple[float, float]],
    silence: int | None, est: dict[str, Any], package: dict[str, Any],
):  # fmt: skip
    root, (means, deviations) = tmp_path_factory.mktemp("any"), np.array(scales_cm).T
    folder = root / EMA.format("norm")
    (folder / "norm_parms").mkdir(parents=True)
    (folder / "norm_parms/ema_means.txt").write_text("\n".join(map(str, means)))
    (folder / "norm_parms/ema_stds.txt").write_text(" ".join(map(str, deviations)))
    positions = np.concatenate([courses[name] * (-0.1, 0.1) for name in COILS], axis=1)
    values = np.ones((len(positions), 36))
    values[:, :12] = (positions - means[:12]) / (4 * deviations[:12])
    write_est(folder / f"{package['id_']}.ema", values, NORM, **est)
    labels = [(label, start, end) for label, start, end in package["labels"] if label != "#"]
    if silence is not None:
        labels = [("#", 0, silence), *((label, start + silence, end + silence) for label, start, end in labels)]
    package["labels"] = labels
    write_package(root, **package)
    read = read_first(Mngu0(root, variant="norm"))
    assert_track(read, courses, rate_hz=est["rate_hz"], start_s=(silence or 0) / 1000, atol=1e-3)
    assert_package(read, **package)


def test_packages_may_lie_a_folder_deeper(tmp_path: Path):
    flat, deep = tmp_path / "flat", tmp_path / "deep"
    write(flat)
    for index, package in enumerate(sorted(flat.iterdir())):
        (deep / f"part{index}").mkdir(parents=True)
        package.rename(deep / f"part{index}" / package.name)
    reader = Mngu0(deep)
    assert len(reader.sources()) == 4 and read_first(reader).text == sentence(IDS[0])


def test_other_files_are_no_sources(tmp_path: Path):
    reader = write(tmp_path)
    folder = tmp_path / EMA.format("basic")
    for name in ("mngu0_s1_0001g.ema", "mngu0_s1_01.ema", "notes.ema", "mngu0_s1_0003.txt"):
        (folder / name).write_bytes(b"")
    assert len(reader.sources()) == 4


def test_settings_are_checked(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"corpus\.variant 'raw'"):
        Mngu0(tmp_path, variant="raw")
    with pytest.raises(ConfigError, match=r"corpus\.fileset 'dev'"):
        Mngu0(tmp_path, fileset="dev")


def short(path: Path) -> None:
    write_est(path, basic_values()[:39], BASIC, rate_hz=200)


BASIC_BROKEN: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "movements of less than 0.2 s": (f"{EMA}/{IDS[0]}.ema", short, r"0\.195 s of movements; expected at least 0\.2 s"),
    "movements empty": (f"{EMA}/{IDS[0]}.ema", lambda path: path.write_bytes(b""), "byte 0"),
    "movements cut": (f"{EMA}/{IDS[0]}.ema", lambda path: path.write_bytes(path.read_bytes()[:-4]), "bytes of data"),
    "a coil lacks": (f"{EMA}/{IDS[0]}.ema", replaced(b"T1_pz", b"T9_pz"), "one channel 'T1_pz', not 0"),
    "no audio": (f"{WAV}/{IDS[0]}.wav", Path.unlink, "no such file"),
    "audio empty": (
        f"{WAV}/{IDS[0]}.wav",
        lambda path: path.write_bytes(b""),
        "not readable as audio.*it holds nothing",
    ),
    "no labels": (f"{LAB}/{IDS[0]}.lab", Path.unlink, "no such file"),
    "labels without a header": (
        f"{LAB}/{IDS[0]}.lab",
        lambda path: path.write_text("0.1 26 #\n"),
        "expected a line '#'",
    ),
    "a label lacks": (f"{LAB}/{IDS[0]}.lab", lambda path: path.write_text("#\n0.1 26\n"), "line 2"),
    "a time is no number": (f"{LAB}/{IDS[0]}.lab", lambda path: path.write_text("#\nx 26 a\n"), "line 2"),
    "a time is NaN": (f"{LAB}/{IDS[0]}.lab", lambda path: path.write_text("#\nnan 26 a\n"), "line 2"),
    "ends go back": (f"{LAB}/{IDS[0]}.lab", lambda path: path.write_text("#\n.2 26 a\n.1 26 b\n"), "line 3.*before"),
    "no text": (f"{LAB}/{IDS[0]}.utt", lambda path: path.write_text("iform nothing"), "expected a text such as iform"),
    "no utterance file": (f"{LAB}/{IDS[0]}.utt", Path.unlink, "no such file"),
}
NORM_BROKEN: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "other channels": (f"{EMA}/{IDS[0]}.ema", replaced(b"T1_x", b"T1_q"), "starts with the channels"),
    "no means": (f"{EMA}/norm_parms/ema_means.txt", Path.unlink, "no such file"),
    "too few means": (f"{EMA}/norm_parms/ema_means.txt", lambda path: path.write_text("1 2 3"), "12 numbers"),
    "means in words": (f"{EMA}/norm_parms/ema_means.txt", lambda path: path.write_text("one " * 12), "'one'"),
    "NaN for a deviation": (f"{EMA}/norm_parms/ema_stds.txt", lambda path: path.write_text("nan " * 12), "12 numbers"),
}
BROKEN = {("basic", case): value for case, value in BASIC_BROKEN.items()} | {
    ("norm", case): value for case, value in NORM_BROKEN.items()
}


@pytest.mark.parametrize(("variant", "case"), BROKEN)
def test_a_broken_file_is_one_error_that_names_it(tmp_path: Path, variant: str, case: str):
    name, change, problem = BROKEN[variant, case]
    reader = WRITERS[variant](tmp_path)
    path = tmp_path / name.format(variant)
    change(path)
    with pytest.raises(CorpusError, match=problem) as error:
        read_first(reader)
    assert error.value.file == str(path)


@pytest.mark.parametrize("package", [LAB, WAV])
def test_a_package_that_lacks_is_named(tmp_path: Path, package: str):
    reader = write(tmp_path)
    (tmp_path / package).rename(tmp_path / "other")
    with pytest.raises(CorpusError, match=rf"no folder {package.rsplit('_', 1)[0]}\*"):
        read_first(reader)


def test_a_fileset_that_lacks_is_named(tmp_path: Path):
    write(tmp_path)
    (tmp_path / "mngu0_s1_ema_filesets_1.0.0/testfiles.txt").unlink()
    with pytest.raises(CorpusError, match=r"testfiles\.txt: no such file"):
        Mngu0(tmp_path, fileset="test").sources()


@pytest.mark.parametrize("make", [lambda root: None, lambda root: root.mkdir(), lambda root: root.write_text("")])
def test_nothing_to_read_says_so(tmp_path: Path, make: Callable[[Path], Any]):
    make(tmp_path / "empty")
    with pytest.raises(CorpusError, match=r"no such folder|holds no folder mngu0_s1_ema_basic\*"):
        Mngu0(tmp_path / "empty").sources()


@pytest.mark.parametrize("variant", WRITERS)
def test_bit_rot_is_an_error_or_harmless_but_nothing_else(tmp_path: Path, variant: str):
    reader = WRITERS[variant](tmp_path)
    source = reader.sources()[0]
    speech = [path for path in tmp_path.rglob(f"{IDS[0]}.*") if path.is_file()]
    for path in sorted(speech) + sorted(tmp_path.rglob("norm_parms/*.txt")):
        assert refusals(path, lambda: read_utterances(reader, source), named=str(tmp_path)) > 5
