from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import real
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
from hypothesis import example, given
from hypothesis import strategies as st
from test_est import MNGU0_NORM, MOCHA, SPEECH_TOOLS, replaced, rows_as_text, write_est
from test_hprc import anatomy_is_plausible

from tractprobe.corpora.formats.est import read_est
from tractprobe.corpora.readers.mocha import Mocha
from tractprobe.corpora.utterance import Phone, Utterance
from tractprobe.signals.audio import read_audio
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import CorpusError

# fsew0's order, and one in which coils stand elsewhere, no velum coil was used and two channels are unplugged.
FSEW0 = (
    "ui_x", "li_x", "ul_x", "ll_x", "tt_x", "ui_y", "li_y", "ul_y", "ll_y", "tt_y",
    "tb_x", "td_x", "v_x ", "****", "bn_x", "tb_y", "td_y", "v_y ", "****", "bn_y",
)  # fmt: skip
MAPS0 = (
    "bn_x", "td_x", "tb_x", "tt_x", "ll_x", "bn_y", "td_y", "tb_y", "tt_y", "ll_y",
    "ul_x", "li_x", "ui_x", "****", "****", "ul_y", "li_y", "ui_y", "****", "****",
)  # fmt: skip
FRAMES = 130
SENTENCES = {1: "This was easy for us.", 2: "Is this seesaw safe?", 460: "Are holiday aprons available to us?"}
LABELS = "0 0.05 sil\n0.05 0.1 dh\n0.1 0.3 @\n"


def raw(name: str) -> np.ndarray:
    """What the file holds in a channel (1/100 mm): each tells itself, and its axis, apart."""
    index = ["ui", "li", "ul", "ll", "tt", "tb", "td", "v", "bn", "**"].index(name[:2].strip("_ "))
    return 1000.0 * index + (500 if name.strip().endswith("y") else 0) + np.arange(FRAMES)


def samples(seed: int, count: int = 4800) -> np.ndarray:
    return np.random.default_rng(seed).integers(-(1 << 15), 1 << 15, count).astype(np.int16)


def write_sphere(path: Path, values: np.ndarray, order: str = "01", rate_hz: int = 16000, **changes: Any) -> None:
    fields = {
        "channel_count": 1, "sample_count": len(values), "sample_rate": rate_hz, "sample_n_bytes": 2,
        "sample_byte_format": order, "sample_coding": "pcm",
    } | changes  # fmt: skip
    lines = [
        f"{key} {'-i' if isinstance(value, int) else f'-s{len(value)}'} {value}"
        for key, value in fields.items()
        if value is not ...
    ]
    head = "\n".join(["NIST_1A", "   1024", *lines, "end_head", ""]).encode()
    path.write_bytes(head.ljust(1024, b"\0") + values.astype("<i2" if order == "01" else ">i2").tobytes())


def write(root: Path, **est: Any) -> Mocha:
    """Write two speakers as MOCHA-TIMIT has them, in SPHERE and RIFF, with and without labels and laryngograph."""
    fsew0, maps0 = root / "fsew0_v1.1", root / "maps0"
    for folder, names, numbers, keys in ((fsew0, FSEW0, (1, 2), MOCHA), (maps0, MAPS0, (1, 460), SPEECH_TOOLS)):
        for number in numbers:
            path = folder / f"{folder.name[:5]}_{number:03d}.ema"
            values = np.stack([raw(name) for name in names], axis=1)
            write_est(path, values, names, **{"keys": keys, **est})
    write_sphere(fsew0 / "fsew0_001.wav", samples(1), order="10")
    write_sphere(fsew0 / "fsew0_002.wav", samples(2))
    for number in (1, 460):
        soundfile.write(maps0 / f"maps0_{number:03d}.wav", samples(number + 10), 16000, subtype="PCM_16")
    write_sphere(fsew0 / "fsew0_001.lar", samples(3, count=4810))
    soundfile.write(fsew0 / "fsew0_002.lar", samples(4), 16000, format="WAV", subtype="PCM_16")
    (fsew0 / "fsew0_001.lab").write_text(LABELS)
    (fsew0 / "fsew0_pal.dat").write_text("3.5 -8.5\n20 1.5\n58.5 1\n")
    lines = [f"{number:03d}. {text}\n\n" for number, text in SENTENCES.items()]
    (root / "mocha-timit.txt").write_text("".join(lines))
    return Mocha(root)


def utterances(reader: Mocha) -> dict[str, Utterance]:
    return {utterance.id: utterance for source in reader.sources() for utterance in reader.read(source)}


def channel(utterance: Utterance, name: str) -> np.ndarray:
    return utterance.track.values[:, CHANNELS.index(name)]


@pytest.mark.parametrize("est", [{}, {"order": "10"}, {"kind": "ascii"}])
def test_every_channel_comes_back_in_mm_to_the_front_and_up(tmp_path: Path, est: dict):
    read = utterances(write(tmp_path, **est))
    assert list(read) == ["fsew0_001", "fsew0_002", "maps0_001", "maps0_460"]
    for utterance in read.values():
        assert (utterance.track.rate_hz, utterance.track.start_s, utterance.frame) == (500, 0, "head")
        for name in CHANNELS:
            sign = -1 if name.endswith("x") else 1
            np.testing.assert_allclose(channel(utterance, name), sign * raw(name) / 100)
        for name in ("ui_x", "ui_y", "bn_x", "bn_y"):
            sign = -1 if name.endswith("x") else 1
            np.testing.assert_allclose(utterance.extra[name], sign * raw(name) / 100)


def test_velum_is_found_by_its_stripped_name_where_there_is_one(tmp_path: Path):
    read = utterances(write(tmp_path))
    np.testing.assert_allclose(read["fsew0_001"].extra["v_x"], -raw("v_x") / 100)
    np.testing.assert_allclose(read["fsew0_001"].extra["v_y"], raw("v_y") / 100)
    assert list(read["fsew0_001"].extra) == ["ui_x", "ui_y", "bn_x", "bn_y", "v_x", "v_y"]
    assert list(read["maps0_001"].extra) == ["ui_x", "ui_y", "bn_x", "bn_y"]


def test_names_texts_and_languages(tmp_path: Path):
    read = utterances(write(tmp_path))
    assert {name: utterance.speaker for name, utterance in read.items()} == {name: name[:5] for name in read}
    assert [utterance.text for utterance in read.values()] == [SENTENCES[n] for n in (1, 2, 1, 460)]
    assert {utterance.language for utterance in read.values()} == {"en"}


def test_the_same_sentence_has_the_same_text_for_every_speaker(tmp_path: Path):
    read = utterances(write(tmp_path))
    assert read["fsew0_001"].text == read["maps0_001"].text != ""


def test_labels_are_read_where_there_are_some(tmp_path: Path):
    read = utterances(write(tmp_path))
    assert read["fsew0_001"].phones == (Phone("sil", 0, 0.05), Phone("dh", 0.05, 0.1), Phone("@", 0.1, 0.3))
    assert read["fsew0_001"].phone_set == "mocha"
    assert read["fsew0_002"].phones == read["maps0_001"].phones == ()


def test_audio_and_larynx_are_read_from_sphere_and_riff(tmp_path: Path):
    read = utterances(write(tmp_path))
    for name, seed in {"fsew0_001": 1, "fsew0_002": 2, "maps0_001": 11, "maps0_460": 470}.items():
        assert read[name].audio_rate_hz == 16000 and read[name].audio.dtype == np.float32
        np.testing.assert_array_equal(read[name].audio, samples(seed).astype(np.float32) / 32768)
    for name, seed, count in (("fsew0_001", 3, 4810), ("fsew0_002", 4, 4800)):
        larynx = read[name].larynx
        assert larynx is not None and read[name].larynx_rate_hz == 16000
        np.testing.assert_array_equal(larynx, samples(seed, count).astype(np.float32) / 32768)
    assert read["maps0_001"].larynx is None


def test_breaks_and_lost_samples_are_missing(tmp_path: Path):
    reader = write(tmp_path)
    values, flags = np.stack([raw(name) for name in FSEW0], axis=1), np.ones(FRAMES)
    flags[10:12], flags[12] = 0, np.nan
    values[20, FSEW0.index("tt_x")] = np.nan
    write_est(tmp_path / "fsew0_v1.1/fsew0_001.ema", values, FSEW0, flags=flags)
    utterance = utterances(reader)["fsew0_001"]
    missing = ~utterance.track.valid
    assert missing[10:13].all() and np.isnan(utterance.extra["v_x"][10:13]).all()
    assert missing.sum() == 3 * 12 + 1 and missing[20, CHANNELS.index("tt_x")]


def test_an_articulator_whose_coil_was_not_used_is_missing(tmp_path: Path):
    reader = write(tmp_path)
    names = tuple("****" if name.startswith("li") else name for name in FSEW0)
    values = np.stack([raw(name) for name in names], axis=1)
    write_est(tmp_path / "fsew0_v1.1/fsew0_001.ema", values, names)
    utterance = utterances(reader)["fsew0_001"]
    assert [name for name in CHANNELS if np.isnan(channel(utterance, name)).all()] == ["li_x", "li_y"]


POINTS = ANYWHERE | {"ui": (0.0, 0.0), "bn": (0.0, 0.0), "v": (0.0, 0.0)}
SPHERE_OR_RIFF = st.sampled_from(["01", "10", "RIFF"])


def write_recording(path: Path, sound: Sound, form: str) -> None:
    if form == "RIFF":
        soundfile.write(path, *sound, format="WAV", subtype="PCM_16")
    else:
        write_sphere(path, sound[0], form, sound[1])


@FEW
@given(
    courses=movements(POINTS, decimals=None, keep=("tt",)),
    absent=st.sets(st.sampled_from(sorted(set(POINTS) - {"tt"}))),
    order=st.randoms(use_true_random=False),
    clock=st.tuples(st.sampled_from([100, 200, 250, 500, 1000]), st.sampled_from([0.0, 0.002, 0.05])),
    est=st.fixed_dictionaries({
        "kind": st.sampled_from(["binary", "ascii"]),
        "order": st.sampled_from(["01", "10"]),
        "keys": st.sampled_from([MOCHA, SPEECH_TOOLS, MNGU0_NORM]),
    }),
    breaks=st.sets(st.integers(1, 14), max_size=3),
    speech=st.tuples(sounds(), SPHERE_OR_RIFF),
    larynx=st.none() | st.tuples(sounds(), SPHERE_OR_RIFF),
    labels=st.none() | spans(words(LATIN)),
    name=st.tuples(st.from_regex(r"[A-Za-z]{1,6}[0-9]{1,3}", fullmatch=True), st.integers(1, 460)),
    text=sentences(LATIN),
)  # fmt: skip
def test_any_recording_comes_back(
    tmp_path_factory: pytest.TempPathFactory, courses: Courses, absent: set[str], order: Random,
    clock: tuple[float, float], est: dict[str, Any], breaks: set[int], speech: tuple[Sound, str],
    larynx: tuple[Sound, str] | None, labels: list[Span] | None, name: tuple[str, int], text: str,
):  # fmt: skip
    root, (speaker, number) = tmp_path_factory.mktemp("any"), name
    path = root / f"deep/{speaker}_{number:03d}.ema"
    columns = {f"{point}_{axis} ": course[:, at] for point, course in courses.items() for at, axis in enumerate("xy")}
    columns = {column: values for column, values in columns.items() if column[:-3] not in absent}
    names = [*columns, "****", "****"]
    order.shuffle(names)
    frames = len(courses["tt"])
    values = np.stack([columns.get(column, np.full(frames, 7e9)) for column in names], axis=1)
    times_s, flags = clock[1] + np.arange(frames) / clock[0], np.ones(frames)
    for row in breaks:
        flags[row], times_s[row] = [(0, times_s[row]), (np.nan, np.nan), (0, np.nan)][row % 3]
    write_est(path, values, names, times_s=times_s, flags=flags, **est)
    write_recording(path.with_suffix(".wav"), *speech)
    if larynx is not None:
        write_recording(path.with_suffix(".lar"), *larynx)
    if labels is not None:
        lines = [f"{start / 1000} {end / 1000} {label}\n" for label, start, end in labels]
        path.with_suffix(".lab").write_text("".join(lines), encoding="latin-1", newline="")
    listed = f"{number:03d}. {text}\n{number % 460 + 1:03d}. Other.\n"
    (root / "mocha-timit.txt").write_text(listed, encoding="latin-1", newline="")

    (read,) = utterances(Mocha(root)).values()
    expected = {point: course * (-0.01, 0.01) for point, course in courses.items() if point not in absent}
    for course in expected.values():
        course[sorted(breaks)] = np.nan
    extra = {point: expected.pop(point) for point in ("ui", "bn", "v") if point in expected}
    assert_track(read, expected, rate_hz=clock[0], start_s=clock[1], atol=1e-7)
    assert_extra(read, extra, atol=1e-7)
    assert_sound(read, speech[0])
    assert_phones(read.phones, labels or [], 0.001)
    assert (read.id, read.speaker, read.text) == (path.stem, speaker, text)
    assert (read.larynx is None, read.larynx_rate_hz) == (larynx is None, larynx[0][1] if larynx else 0)
    if larynx is not None:
        np.testing.assert_array_equal(read.larynx, larynx[0][0].astype(np.float32) / 32768)


@FEW
@given(courses=movements(POINTS, keep=("tt",)), sound=sounds())
@example(  # a coil that is lost in the first row
    courses={point: np.full((16, 2), np.nan if point == "ui" else 1.0) for point in POINTS},
    sound=(np.zeros(8000, np.int16), 16000),
)
def test_any_rows_without_a_header_come_back(tmp_path_factory: pytest.TempPathFactory, courses: Courses, sound: Sound):
    root = tmp_path_factory.mktemp("any")
    frames = len(courses["tt"])
    columns = [courses.get(name[:2].strip("_ "), np.zeros((frames, 2)))[:, int("y" in name)] for name in FSEW0]
    rows = np.column_stack([np.arange(frames) / 500, np.ones(frames), *columns])
    (root / "msak0_001.ema").write_bytes(rows_as_text(rows))
    write_sound(root / "msak0_001.wav", sound)
    (root / "mocha-timit.txt").write_text("001. This was easy for us.\n")
    (read,) = utterances(Mocha(root)).values()
    expected = {point: course * (-0.01, 0.01) for point, course in courses.items()}
    extra = {point: expected.pop(point) for point in ("ui", "bn", "v")}
    assert_track(read, expected, rate_hz=500)
    assert_extra(read, extra)


def test_what_is_no_utterance_is_no_source(tmp_path: Path):
    reader = write(tmp_path)
    content = (tmp_path / "maps0/maps0_001.ema").read_bytes()
    for name in ("maps0_000", "maps0_461", "maps0_palate", "maps0_001_palate", "palate_001", "maps0_1", "maps0_118"):
        (tmp_path / f"maps0/{name}.ema").write_bytes(content)
    (tmp_path / "maps0/maps0_010.ema").write_bytes(content)
    assert [source.split("/")[-1] for source in reader.sources()] == [
        "fsew0_001.ema", "fsew0_002.ema", "maps0_001.ema", "maps0_010.ema", "maps0_460.ema",
    ]  # fmt: skip
    assert "maps0/maps0_118.ema" in Mocha(tmp_path, exclude=()).sources()
    with pytest.raises(CorpusError, match="maps0_461"):
        reader.read("maps0/maps0_461.ema")


def test_prompts_are_looked_for_beside_above_and_where_told(tmp_path: Path):
    reader = write(tmp_path / "mocha")
    moved = tmp_path / "elsewhere.txt"
    (tmp_path / "mocha/mocha-timit.txt").rename(moved)
    for folder in (tmp_path, tmp_path / "mocha/maps0"):  # above the root does not count
        (folder / "mocha-timit.txt").write_text(moved.read_text())
    assert reader.read("maps0/maps0_001.ema")[0].text == SENTENCES[1]
    with pytest.raises(CorpusError, match=r"fsew0_001\.ema: no mocha-timit\.txt.*mocha/mocha-timit\.txt"):
        reader.read("fsew0_v1.1/fsew0_001.ema")
    told = Mocha(tmp_path / "mocha", prompts=str(moved))
    assert told.read("fsew0_v1.1/fsew0_002.ema")[0].text == SENTENCES[2]


def test_palates_run_from_back_to_front(tmp_path: Path):
    np.testing.assert_array_equal(write(tmp_path).palates()["fsew0"], [[-58.5, 1], [-20, 1.5], [-3.5, -8.5]])


def test_sphere_is_what_libsndfile_writes_too(tmp_path: Path):
    for endian, count in (("LITTLE", 1000), ("BIG", 999)):
        path = tmp_path / f"{endian}.nist"
        soundfile.write(path, samples(9, count), 22050, format="NIST", subtype="PCM_16", endian=endian)
        audio, rate_hz = read_audio(path)
        assert rate_hz == 22050
        np.testing.assert_array_equal(audio, soundfile.read(path, dtype="float32")[0])


SPHERES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown coding": ({"sample_coding": "adpcm"}, "'adpcm'; expected pcm or alaw"),
    "shorten": ({"sample_coding": "pcm,embedded-shorten-v2.00"}, r"\(sample_coding\): .*shorten.*sph2pipe -p -f wav"),
    "compressed": ({"sample_byte_format": "shortpack-v0"}, "shorten.*sph2pipe"),
    "one byte": ({"sample_n_bytes": 1}, "sample_n_bytes"),
    "two channels": ({"channel_count": 2, "sample_count": 2400}, "2 audio channels; expected one"),
    "no channels": ({"channel_count": 0}, "channel_count"),
    "no byte order": ({"sample_byte_format": ...}, "sample_byte_format"),
    "no rate": ({"sample_rate": ...}, "sample_rate"),
    "rate 0": ({"sample_rate": 0}, "rate of 0"),
    "absurd rate": ({"sample_rate": 10**9}, "rate of 1000000000"),
    "more samples than bytes": ({"sample_count": 10**10}, "10000000000 samples announced, 4800 present"),
    "no samples": ({"sample_count": 0}, "0 samples"),
    "a count in words": ({"sample_count": "many"}, "not a whole number"),
    "end of the header missing": ({"sample_sig_bits": "16\nend_hand -i 1\n" + "; \n" * 400}, "without end_head"),
    "not a field": ({"sample_sig_bits": "16\nnonsense"}, "line 10.*not 'name -type value'"),
}


@pytest.mark.parametrize("case", SPHERES)
def test_other_sphere_files_are_one_error_that_names_the_field(tmp_path: Path, case: str):
    changes, problem = SPHERES[case]
    reader = write(tmp_path)
    write_sphere(tmp_path / "fsew0_v1.1/fsew0_001.wav", samples(1), **changes)
    with pytest.raises(CorpusError, match=problem) as error:
        reader.read("fsew0_v1.1/fsew0_001.ema")
    assert error.value.file.endswith("fsew0_001.wav")


BROKEN: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "no audio": ("fsew0_001.wav", Path.unlink, "no such file"),
    "audio is text": ("fsew0_001.wav", lambda path: path.write_text("NIST"), "not readable as audio"),
    "audio cut in its header": ("fsew0_001.wav", lambda path: path.write_bytes(path.read_bytes()[:500]), "line 2"),
    "audio cut": ("fsew0_001.wav", lambda path: path.write_bytes(path.read_bytes()[:-1]), "4799 present"),
    "header's size is absurd": ("fsew0_001.wav", replaced(b"   1024", b" 999999"), "line 2"),
    "larynx cut": ("fsew0_001.lar", lambda path: path.write_bytes(path.read_bytes()[:-2]), "cut short"),
    "larynx empty": ("fsew0_001.lar", lambda path: path.write_bytes(b""), "not readable"),
    "movements empty": ("fsew0_001.ema", lambda path: path.write_bytes(b""), "byte 0"),
    "movements cut": ("fsew0_001.ema", lambda path: path.write_bytes(path.read_bytes()[:-40]), "bytes of data"),
    "a coil twice": ("fsew0_001.ema", replaced(b"tt_x", b"td_x"), "one channel 'td_x', not 2"),
    "an axis lacks": ("fsew0_001.ema", replaced(b"tt_y", b"****"), "one channel 'tt_y', not 0"),
    "no coil": ("fsew0_001.ema", lambda path: write_est(path, np.zeros((20, 1)), ["ui"]), "no channel given"),
    "never measured": (
        "fsew0_001.ema", lambda path: write_est(path, np.full((20, 20), np.nan), FSEW0), "no articulator was measured",
    ),
    "infinite": ("fsew0_001.ema", lambda path: write_est(path, np.full((20, 20), np.inf), FSEW0), "infinite"),
    "a label lacks": ("fsew0_001.lab", lambda path: path.write_text("0 0.1 sil\n0.1 0.2\n"), "line 2"),
    "a time is no number": ("fsew0_001.lab", lambda path: path.write_text("0 x sil\n"), "line 1"),
    "a time is NaN": ("fsew0_001.lab", lambda path: path.write_text("0 nan sil\n"), "line 1.*not an interval of time"),
    "a phone ends first": ("fsew0_001.lab", lambda path: path.write_text("0.2 0.1 sil\n"), "line 1"),
    "no sentence": ("../mocha-timit.txt", lambda path: path.write_text("002. Other.\n"), "0 sentences"),
    "a sentence without text": ("../mocha-timit.txt", lambda path: path.write_text("001. \n"), "0 sentences"),
    "sentences are a folder": ("../mocha-timit.txt", lambda path: (path.unlink(), path.mkdir()), "not a plain file"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_one_error_that_names_it(tmp_path: Path, case: str):
    name, change, problem = BROKEN[case]
    reader = write(tmp_path)
    change(tmp_path / "fsew0_v1.1" / name)
    with pytest.raises(CorpusError, match=problem) as error:
        reader.read("fsew0_v1.1/fsew0_001.ema")
    assert Path(error.value.file).name == Path(name).name


def test_a_broken_palate_names_its_line(tmp_path: Path):
    reader = write(tmp_path)
    (tmp_path / "fsew0_v1.1/fsew0_pal.dat").write_text("1 2\n1 2 3\n")
    with pytest.raises(CorpusError, match=r"fsew0_pal\.dat \(line 2\)"):
        reader.palates()


@pytest.mark.parametrize("make", [lambda root: None, lambda root: root.mkdir(), lambda root: root.write_text("")])
def test_nothing_to_read_says_so(tmp_path: Path, make: Callable[[Path], Any]):
    make(tmp_path / "empty")
    with pytest.raises(CorpusError, match=r"no such folder|holds no utterance such as fsew0_001\.ema"):
        Mocha(tmp_path / "empty").sources()


def test_bit_rot_is_an_error_or_harmless_but_nothing_else(tmp_path: Path):
    reader = write(tmp_path)
    sources = reader.sources()
    for path in sorted(path for path in tmp_path.rglob("*") if path.is_file()):
        source = next((source for source in sources if path.stem in source), sources[0])
        read = reader.palates if path.suffix == ".dat" else partial(read_utterances, reader, source)
        assert refusals(path, read, named=str(tmp_path)) > 5


def test_real_utterance(tmp_path: Path):
    folder = real("TRACTPROBE_SAMPLES", "mocha_timit")
    (tmp_path / "prompts.txt").write_text("001. This was easy for us.\n")
    reader = Mocha(folder, prompts=str(tmp_path / "prompts.txt"))
    assert reader.sources() == ["fsew0_001.ema"]
    (utterance,) = reader.read("fsew0_001.ema")
    assert (utterance.speaker, utterance.audio_rate_hz, utterance.track.rate_hz) == ("fsew0", 16000, 500)
    assert len(utterance.track.values) == 966 and utterance.track.start_s == 0
    assert utterance.duration_s == pytest.approx(2.218, abs=0.002)
    mean = dict(zip(CHANNELS, utterance.track.values.mean(axis=0), strict=True))
    assert mean["tt_x"] == pytest.approx(-11.46, abs=0.01) and mean["td_x"] == pytest.approx(-47.54, abs=0.01)
    assert mean["ul_x"] == pytest.approx(9.62, abs=0.01)
    for name in ("ui_x", "ui_y"):
        assert abs(utterance.extra[name].mean()) < 0.01 and utterance.extra[name].std() < 0.2
    assert utterance.extra["v_x"].mean() == pytest.approx(-62.78, abs=0.01)
    assert utterance.extra["v_y"].mean() == pytest.approx(-5.73, abs=0.01)
    assert utterance.extra["bn_y"].mean() == pytest.approx(57.43, abs=0.01)
    anatomy_is_plausible(utterance.track.values)
    assert np.corrcoef(channel(utterance, "tt_x"), channel(utterance, "tb_x"))[0, 1] == pytest.approx(0.84, abs=0.01)
    assert [phone.label for phone in utterance.phones[:5]] == ["sil", "breath", "sil", "dh", "i"]
    assert utterance.phones[-1] == Phone("sil", 1.67, 2.2)
    assert utterance.larynx is not None and utterance.larynx_rate_hz == 16000
    assert abs(len(utterance.larynx) - len(utterance.audio)) < 160
    palate = reader.palates()["fsew0"]
    assert palate.shape == (20, 2) and (np.diff(palate[:, 0]) > 0).all() and palate[-1].tolist() == [-3.5829, -8.7903]
    # The tongue lies below the palate.
    dorsum = channel(utterance, "td_y")
    assert dorsum.max() < np.interp(channel(utterance, "td_x"), palate[:, 0], palate[:, 1]).max()


def test_the_real_rows_read_the_same_with_the_release_header(tmp_path: Path):
    path = real("TRACTPROBE_SAMPLES", "mocha_timit", "fsew0_001.ema")
    rows = np.loadtxt(path)
    track = read_est(write_est(tmp_path / "a.ema", rows[:, 2:], FSEW0, times_s=rows[:, 0]))
    text = tmp_path / "b.ema"
    text.write_bytes(rows_as_text(rows))
    np.testing.assert_allclose(track.values, read_est(text, FSEW0).values, rtol=1e-6)
    assert track.column("tt_x").mean() == pytest.approx(1146.385, abs=0.01)
