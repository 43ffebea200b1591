from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import real
from damage import Breakages, assert_refused, refusals
from drawn import (
    ANYWHERE,
    FEW,
    Courses,
    Sound,
    assert_extra,
    assert_sound,
    assert_track,
    movements,
    sentences,
    sounds,
    write_sound,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from test_carstens import ag500_bytes, ag501_bytes, text_bytes
from test_hprc import anatomy_is_plausible

from tractprobe.corpora.readers.articulograph import Articulograph
from tractprobe.corpora.utterance import Reader, Utterance
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import ConfigError, CorpusError

RATE_HZ, FRAMES = 250, 100
REST = {
    "left_ear": (-100, 0, 75), "right_ear": (-100, 0, -75), "nose": (0, 0, 0), "ui": (-10, -70, 2),
    "td": (-60, -70, 0), "tb": (-45, -62, 1), "tt": (-30, -75, 2), "li": (-12, -95, 0), "ul": (5, -60, 3),
    "ll": (2, -85, -1),
}  # fmt: skip
"""Where sensors lie in the head at rest: to the front, upwards, to the left (mm)."""
CHANNEL = {name: number for number, name in enumerate(REST, start=1)}
FIXED = {"left_ear", "right_ear", "nose", "ui", "forehead"}


def in_head(seed: int, rest: dict[str, tuple[int, int, int]], frames: int = FRAMES) -> dict[str, np.ndarray]:
    """Return each sensor's course in the head (front, up, left); what is no reference moves, each in its own way."""
    random, times = np.random.default_rng(seed), np.arange(frames)[:, None] / 40
    courses = {}
    for name, place in rest.items():
        moves = random.uniform(1, 4, 3) * np.sin(times * random.uniform(0.5, 3, 3) + random.uniform(0, 6, 3))
        courses[name] = np.array(place) + (0 if name in FIXED else 1) * moves
    return courses


def to_device(courses: dict[str, np.ndarray], seed: int, degrees: float = 15) -> dict[str, np.ndarray]:
    """Return courses along the device's axes (front, left, up) while the head turns and wanders."""
    random, frames = np.random.default_rng(seed), len(next(iter(courses.values())))
    turns = np.radians(degrees) * np.sin(np.arange(frames)[:, None] / 20 + random.uniform(0, 6, 3))
    rotation = Rotation.from_rotvec(turns * random.uniform(0.3, 1, 3))
    shift = np.array([30.0, -120, 90]) + 10 * np.cos(np.arange(frames)[:, None] / 30 + random.uniform(0, 6, 3))
    return {name: rotation.apply(course[:, [0, 2, 1]]) + shift for name, course in courses.items()}


def as_records(courses: dict[str, np.ndarray], channels: dict[str, int], count: int) -> np.ndarray:
    records = np.zeros((len(next(iter(courses.values()))), count, 7))
    for name, channel in channels.items():
        records[:, channel - 1, :3] = courses[name]
        records[:, channel - 1, 3:6] = 10, 20, 5
    return records


def write_audio(path: Path, duration_s: float = 0.5, rate_hz: int = 16000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(0).normal(size=int(duration_s * rate_hz)) * 0.1, rate_hz)


def write(root: Path, degrees: float = 15, **settings: Any) -> Reader:
    """Write two speakers' AG501 sweeps with moving heads; bob's tongue tip is on channel 11, and he has no jaw."""
    for seed, (speaker, stem) in enumerate([("anna", "0001"), ("anna", "0002"), ("bob", "0001")]):
        courses = to_device(in_head(seed, REST), seed, degrees)
        records = as_records(courses, CHANNEL | ({"tt": 11} if speaker == "bob" else {}), 16)
        folder = root / speaker
        (folder / "pos").mkdir(parents=True, exist_ok=True)
        (folder / f"pos/{stem}.pos").write_bytes(ag501_bytes(records, length=4096))
        write_audio(folder / f"wav/{stem}.wav", FRAMES / RATE_HZ)
        (folder / "prompts").mkdir(exist_ok=True)
        (folder / f"prompts/{stem}.txt").write_text(f"{speaker} says {stem}\n")
    defaults = {
        "sensors": {name: CHANNEL[name] for name in ("td", "tb", "tt", "li", "ul", "ll")},
        "extra": {"ui": CHANNEL["ui"]},
        "references": {name: CHANNEL[name] for name in ("left_ear", "right_ear", "nose", "ui")},
        "turn_axes": True,
        "overrides": {"bob": {"tt": 11, "li": None}},
        "audio_folder": "../wav",
        "prompt_folder": "../prompts",
    }
    return Articulograph("lab", root, "el", **(defaults | settings))


def read_all(reader: Reader) -> dict[str, Utterance]:
    return {utterance.id: utterance for source in reader.sources() for utterance in reader.read(source)}


def column(utterance: Utterance, channel: str) -> np.ndarray:
    return utterance.track.values[:, CHANNELS.index(channel)]


def test_what_was_said_and_moved_in_the_head_comes_back(tmp_path: Path):
    reader = write(tmp_path)
    assert reader.sources() == ["anna/pos/0001.pos", "anna/pos/0002.pos", "bob/pos/0001.pos"]
    utterances = read_all(reader)
    assert list(utterances) == ["anna_pos_0001", "anna_pos_0002", "bob_pos_0001"]
    for seed, utterance in enumerate(utterances.values()):
        truth = in_head(seed, REST)
        assert (utterance.language, utterance.frame, utterance.audio_rate_hz) == ("el", "head", 16000)
        assert (utterance.track.rate_hz, utterance.track.start_s) == (RATE_HZ, 0)
        assert utterance.track.end_s == pytest.approx(utterance.duration_s)
        for name in CHANNELS:
            if not (utterance.speaker == "bob" and name.startswith("li")):
                expected = truth[name[:2]][:, "xy".index(name[-1])]
                np.testing.assert_allclose(column(utterance, name), expected, atol=1e-3)
        for axis, name in enumerate(("ui_x", "ui_y")):
            np.testing.assert_allclose(utterance.extra[name], truth["ui"][:, axis], atol=1e-3)
    assert [(u.speaker, u.text) for u in utterances.values()] == [
        ("anna", "anna says 0001"), ("anna", "anna says 0002"), ("bob", "bob says 0001"),
    ]  # fmt: skip


def test_a_sensor_that_a_speaker_lacks_is_missing(tmp_path: Path):
    utterances = read_all(write(tmp_path))
    assert np.isnan(column(utterances["bob_pos_0001"], "li_x")).all()
    assert np.isfinite(column(utterances["anna_pos_0001"], "li_x")).all()


def test_overrides_of_a_folder_come_before_those_of_the_speaker(tmp_path: Path):
    overrides = {"anna": {"tt": CHANNEL["ul"]}, "anna/pos": {"tt": CHANNEL["ll"]}}
    utterance = read_all(write(tmp_path, overrides=overrides))["anna_pos_0001"]
    np.testing.assert_array_equal(column(utterance, "tt_x"), column(utterance, "ll_x"))


def test_without_references_the_head_moves_on_and_axes_are_as_told(tmp_path: Path):
    settings = {"references": {}, "turn_axes": False, "front": "-y", "up": "x"}
    utterance = read_all(write(tmp_path, **settings))["anna_pos_0001"]
    device = to_device(in_head(0, REST), 0)
    assert utterance.frame == "device" and utterance.extra["ui_x"].std() > 1
    np.testing.assert_allclose(column(utterance, "tt_x"), -device["tt"][:, 1], atol=1e-3)
    np.testing.assert_allclose(column(utterance, "tt_y"), device["tt"][:, 0], atol=1e-3)


def test_corrected_without_turning_keeps_the_devices_axes(tmp_path: Path):
    utterance = read_all(write(tmp_path, turn_axes=False))["anna_pos_0001"]
    assert utterance.frame == "head" and utterance.extra["ui_x"].std() < 1e-3
    assert utterance.extra["ui_x"].mean() == pytest.approx(30 - 10, abs=15)  # the device's origin
    assert column(utterance, "tt_y").mean() == pytest.approx(90 - 75, abs=15)


def test_a_corrected_corpus_is_left_as_it_is(tmp_path: Path):
    utterance = read_all(write(tmp_path, references={}, turn_axes=False, head_corrected=True, degrees=0))[
        "anna_pos_0001"
    ]
    assert utterance.frame == "head"
    np.testing.assert_allclose(column(utterance, "td_x"), to_device(in_head(0, REST), 0, 0)["td"][:, 0], atol=1e-3)


AXES = {f"{sign}{axis}": (column, factor) for column, axis in enumerate("xyz")
        for sign, factor in {"": 1, "-": -1}.items()}  # fmt: skip
FORMS = {
    "AG500": (12, 200, ag500_bytes),
    "AG501": (16, 1250, lambda records: ag501_bytes(records, rate_hz=1250, length=4096)),
    "text": (14, 400, text_bytes),
    "text without names": (14, 400, lambda records: text_bytes(records, header=False, gap=" ")),
}


@FEW
@given(
    courses=movements(ANYWHERE | {"ui": (0.0, 0.0)}, reach_mm=1100, decimals=2, keep=("tt",)),
    lateral=st.floats(-50, 50),
    form=st.sampled_from(sorted(FORMS)),
    axes=st.tuples(st.sampled_from(sorted(AXES)), st.sampled_from(sorted(AXES))).filter(lambda a: a[0][-1] != a[1][-1]),
    channels=st.permutations(range(1, 13)),
    lacking=st.sets(st.sampled_from(["td", "li", "ul"])),
    overridden=st.sampled_from(["speaker", "folder", None]),
    unsure=st.sets(st.tuples(st.sampled_from(["td", "tb"]), st.integers(0, 15)), max_size=3),
    max_rms=st.sampled_from([30.0, 6.0, None]),
    head_corrected=st.booleans(),
    sound=sounds(),
    text=sentences(),
)
def test_any_sweep_comes_back(
    tmp_path_factory: pytest.TempPathFactory, courses: Courses, lateral: float, form: str, axes: tuple[str, str],
    channels: list[int], lacking: set[str], overridden: str | None, unsure: set[tuple[str, int]],
    max_rms: float | None, head_corrected: bool, sound: Sound, text: str,
):  # fmt: skip
    root, (count, rate_hz, as_bytes) = tmp_path_factory.mktemp("any"), FORMS[form]
    place = dict(zip(courses, channels, strict=False))
    (front, front_sign), (up, up_sign) = (AXES[axis] for axis in axes)
    device = {}
    for name, course in courses.items():
        device[name] = np.full((len(course), 3), lateral)
        device[name][:, front], device[name][:, up] = front_sign * course[:, 0], up_sign * course[:, 1]
    records = as_records(device, place, count)
    for name, row in unsure:
        records[row, place[name] - 1, 5] = 31
        if max_rms is not None:
            courses[name][row] = np.nan
    records[np.isnan(records).any(axis=2)] = 0
    (root / "anna/pos").mkdir(parents=True)
    (root / "anna/pos/0001.pos").write_bytes(as_bytes(records))
    write_sound(root / "anna/pos/0001.wav", sound)
    (root / "texts.txt").write_text(f"0000 Other.\n0001\t{text}\n", encoding="utf-8", newline="")
    sensors = {name: place[name] for name in ANYWHERE}
    overrides: dict[str, dict[str, int | None]] = {}
    if overridden is not None:  # what is said in general is wrong then
        own = {name: None if name in lacking else place[name] for name in sensors}
        overrides = {"anna" if overridden == "speaker" else "anna/pos": own}
        sensors = dict.fromkeys(sensors, 12)
    else:
        sensors = {name: place[name] for name in sensors if name not in lacking}
    reader = Articulograph(
        "lab", root, "el", sensors, {"ui": place["ui"]}, {}, head_corrected, False, overrides, *axes,
        prompt_file="texts.txt", rate_hz=400 if form.startswith("text") else None, max_rms=max_rms,
    )  # fmt: skip
    (read,) = read_all(reader).values()
    assert_extra(read, {"ui": courses["ui"]}, atol=0.0001)
    expected = {name: courses[name] for name in ANYWHERE if name not in lacking}
    assert_track(read, expected, rate_hz=rate_hz, atol=0.0001)
    assert_sound(read, sound)
    assert (read.id, read.speaker, read.text) == ("anna_pos_0001", "anna", text)
    assert read.frame == ("head" if head_corrected else "device")


@FEW
@given(
    courses=movements(ANYWHERE, spread_mm=80, reach_mm=200, keep=("tt",)),
    lateral=st.floats(-20, 20),
    degrees=st.floats(0, 40),
    seed=st.integers(0, 99),
    lost=st.sets(st.tuples(st.sampled_from(["left_ear", "nose", "ui"]), st.integers(1, 15)), max_size=4),
)
def test_any_movements_of_the_head_are_taken_out(
    tmp_path_factory: pytest.TempPathFactory, courses: Courses, lateral: float, degrees: float, seed: int,
    lost: set[tuple[str, int]],
):  # fmt: skip
    root, frames = tmp_path_factory.mktemp("any"), len(courses["tt"])
    in_space = {name: np.pad(course, ((0, 0), (0, 1)), constant_values=lateral) for name, course in courses.items()}
    still = {name: np.tile(REST[name], (frames, 1)).astype(float) for name in ("left_ear", "right_ear", "nose", "ui")}
    device = to_device(in_space | still, seed, degrees)
    for name, row in lost:
        device[name][row] = np.nan
    records = as_records(device, CHANNEL, 16)
    records[np.isnan(records).any(axis=2)] = 0
    (root / "anna").mkdir()
    (root / "anna/0001.pos").write_bytes(ag501_bytes(records))
    write_audio(root / "anna/0001.wav")
    references = {name: CHANNEL[name] for name in still}
    reader = Articulograph("lab", root, "el", {name: CHANNEL[name] for name in ANYWHERE}, references=references,
                           turn_axes=True)  # fmt: skip
    (read,) = read_all(reader).values()
    for row in range(frames):
        if sum(at == row for _, at in lost) > 1:  # two of four references do not tell how the head turns
            for course in courses.values():
                course[row] = np.nan
    assert_track(read, courses, rate_hz=250, atol=2e-3)


def rewrite(path: Path, rows: slice, channel: str, field: slice | int, value: float) -> None:
    content = path.read_bytes()
    records = np.frombuffer(content[4096:], "<f4").reshape(FRAMES, 16, 7).copy()
    records[rows, CHANNEL[channel] - 1, field] = value
    path.write_bytes(content[:4096] + records.tobytes())


def test_frames_without_three_references_are_missing_and_no_others(tmp_path: Path):
    reader = write(tmp_path)
    for channel, rows in (("nose", slice(20, 40)), ("left_ear", slice(30, 45))):
        rewrite(tmp_path / "anna/pos/0001.pos", rows, channel, slice(None), 0)
    utterance = read_all(reader)["anna_pos_0001"]
    assert (~utterance.track.valid).all(axis=1).nonzero()[0].tolist() == list(range(30, 40))
    assert (~utterance.track.valid).any(axis=1).sum() == 10
    np.testing.assert_allclose(column(utterance, "tt_y")[[25, 42]], in_head(0, REST)["tt"][[25, 42], 1], atol=1e-3)


def test_a_bad_fit_of_a_sensor_is_missing(tmp_path: Path):
    reader = write(tmp_path)
    rewrite(tmp_path / "anna/pos/0001.pos", slice(7, 9), "tt", 5, 31)
    missing = ~read_all(reader)["anna_pos_0001"].track.valid
    assert missing.sum() == 4 and missing[7:9, CHANNELS.index("tt_y")].all()
    assert read_all(write(tmp_path, max_rms=None))["anna_pos_0001"].track.valid.all()


def test_a_reading_does_not_depend_on_a_broken_file_beside_it(tmp_path: Path):
    reader = write(tmp_path)
    (tmp_path / "anna/pos/0002.pos").write_bytes(b"AG50xDATA_V003\n")
    (utterance,) = reader.read("anna/pos/0001.pos")
    np.testing.assert_allclose(column(utterance, "tt_x"), in_head(0, REST)["tt"][:, 0], atol=1e-3)


def test_speakers_in_one_folder_have_their_own_configurations(tmp_path: Path):
    names = {"anna": REST, "bob": {name: tuple(1.3 * part for part in place) for name, place in REST.items()}}
    for seed, (speaker, rest) in enumerate(names.items()):
        courses = to_device(in_head(seed, rest), seed)
        (tmp_path / f"{speaker}_01.pos").write_bytes(ag501_bytes(as_records(courses, CHANNEL, 16)))
        write_audio(tmp_path / f"{speaker}_01.wav", FRAMES / RATE_HZ)
    here: dict[str, Any] = {"root": tmp_path, "tracks": "*.pos", "audio_folder": ".", "prompt_folder": None}
    reader = replace(write(tmp_path / "other"), overrides={}, **here)
    for seed, (speaker, rest) in enumerate(names.items()):
        utterance = read_all(reader)[f"{speaker}_01"]
        np.testing.assert_allclose(column(utterance, "tt_x"), in_head(seed, rest)["tt"][:, 0], atol=1e-3)
        assert utterance.text == ""


@pytest.mark.parametrize(("device", "told", "rate_hz"), [("AG500", None, 200), ("AG500", 400, 400), ("text", 250, 250)])
def test_files_that_do_not_say_their_rate(tmp_path: Path, device: str, told: float | None, rate_hz: float):
    records = as_records(in_head(0, REST), CHANNEL, 12)
    (tmp_path / "a.pos").write_bytes(ag500_bytes(records) if device == "AG500" else text_bytes(records))
    write_audio(tmp_path / "a.wav")
    settings = {"sensors": {"tt": 7}, "rate_hz": told, "front": "x", "up": "y", "head_corrected": True}
    utterance = read_all(Articulograph("lab", tmp_path, "el", **settings))["a"]
    assert utterance.track.rate_hz == rate_hz
    np.testing.assert_allclose(column(utterance, "tt_y"), in_head(0, REST)["tt"][:, 1], atol=0.006)


def test_text_without_a_rate_is_an_error(tmp_path: Path):
    (tmp_path / "a.pos").write_bytes(text_bytes(as_records(in_head(0, REST), CHANNEL, 12)))
    write_audio(tmp_path / "a.wav")
    with pytest.raises(CorpusError, match=r"a\.pos.*rate_hz"):
        read_all(Articulograph("lab", tmp_path, "el", {"tt": 7}))


def test_prompts_from_one_file(tmp_path: Path):
    (tmp_path / "prompts.txt").write_text("0001\tkalimera\n0002 kali  nichta\n")
    utterances = read_all(write(tmp_path, prompt_folder=None, prompt_file="prompts.txt"))
    assert [u.text for u in utterances.values()] == ["kalimera", "kali  nichta", "kalimera"]
    (tmp_path / "prompts.txt").write_text("0002 kali nichta\n")
    with pytest.raises(CorpusError, match=r"prompts\.txt.*0001"):
        read_all(write(tmp_path, prompt_folder=None, prompt_file="prompts.txt"))


BROKEN: Breakages = {
    "no audio": (lambda root: (root / "anna/wav/0001.wav").unlink(), r"0001\.wav.*no such file"),
    "audio of text": (lambda root: (root / "anna/wav/0001.wav").write_text("x" * 99), r"0001\.wav"),
    "no prompt": (lambda root: (root / "anna/prompts/0001.txt").unlink(), r"prompts/0001\.txt"),
    "empty": (lambda root: (root / "anna/pos/0001.pos").write_bytes(b""), r"0001\.pos"),
    "cut": (lambda root: (root / "anna/pos/0001.pos").write_bytes(ag501_bytes(np.ones((9, 16, 7)))[:-9]), "byte"),
    "few channels": (lambda root: (root / "anna/pos/0001.pos").write_bytes(ag501_bytes(np.ones((9, 6, 7)))), "nel 7"),
    "no references": (
        lambda root: [path.write_bytes(ag501_bytes(np.full((9, 16, 7), np.nan))) for path in root.glob("anna/pos/*")],
        r"0001\.pos.*references",
    ),
    "references in one place": (
        lambda root: [path.write_bytes(ag501_bytes(np.ones((9, 16, 7)))) for path in root.glob("anna/pos/*")],
        r"0001\.pos.*one line",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_one_error_that_names_it(tmp_path: Path, case: str):
    reader = write(tmp_path)
    assert_refused(tmp_path, lambda: read_one(reader), BROKEN[case])


def read_one(reader: Reader) -> Utterance:
    (utterance,) = reader.read("anna/pos/0001.pos")
    return utterance


def test_a_folder_of_nothing_is_an_error(tmp_path: Path):
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(CorpusError, match=root.name):
            Articulograph("lab", root, "el", {"tt": 7}).sources()


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "sensor": ({"sensors": {"tongue": 1}}, "tongue"),
    "override": ({"overrides": {"bob": {"tongue": 1}}}, "tongue"),
    "pattern": ({"speaker_pattern": "("}, "regular expression"),
    "group": ({"speaker_pattern": "^x"}, "group"),
    "axes": ({"front": "z", "up": "-z"}, "two different"),
    "axis": ({"front": "w"}, "front=w"),
    "two references": ({"references": {"nose": 1, "ui": 2}}, "3 different"),
    "one channel for all": ({"references": {"nose": 1, "ui": 1, "left_ear": 1}}, "3 different"),
    "ears": ({"references": {"nose": 1, "ui": 2, "bn": 3}, "turn_axes": True}, "left_ear"),
    "corrected twice": ({"references": {"nose": 1, "ui": 2, "bn": 3}, "head_corrected": True}, "have no effect"),
    "tracks": ({"tracks": "../*.pos"}, "tracks"),
}


@pytest.mark.parametrize("case", WRONG)
def test_settings_that_contradict_are_refused(tmp_path: Path, case: str):
    settings, problem = WRONG[case]
    with pytest.raises(ConfigError, match=problem):
        Articulograph("lab", tmp_path, "el", **({"sensors": {"tt": 1}} | settings))


def test_a_channel_by_another_name_than_its_number_is_refused(tmp_path: Path):
    reader = Articulograph("lab", tmp_path, "el", {"tt": 7})
    reader.sensors = {"tt": "Ch7"}  # pyright: ignore[reportAttributeAccessIssue]  (as a configuration may have it)
    with pytest.raises(ConfigError, match="Ch7"):
        reader.__post_init__()


def test_a_speaker_that_the_path_does_not_tell_is_an_error(tmp_path: Path):
    reader = write(tmp_path, speaker_pattern=r"(?P<speaker>carl)")
    with pytest.raises(CorpusError, match=r"0001\.pos.*speaker_pattern"):
        reader.read(reader.sources()[0])


def test_bit_rot_is_an_error_or_harmless(tmp_path: Path):
    reader = write(tmp_path)
    for path in sorted(tmp_path.glob("anna/*/0001.*")):
        assert refusals(path, lambda: read_one(reader), 20, named="0001")


def test_real_text_export_with_audio():
    settings = {
        "sensors": {"tt": 1, "tb": 2, "td": 3, "li": 4, "ul": 6, "ll": 7},
        "extra": {"ui": 5, "bn": 14},
        "head_corrected": True,
        "tracks": "ema_original/*.txt",
        "audio_folder": "../wav",
        "speaker_pattern": r"/(?P<speaker>[^/_]+)_",
        "rate_hz": 250,
    }
    (utterance,) = read_all(
        Articulograph("tardis", real("TRACTPROBE_SAMPLES", "tardis_ag501"), "de", **settings)
    ).values()
    assert (utterance.speaker, utterance.audio_rate_hz, utterance.track.values.shape) == ("sf2", 48000, (703, 12))
    assert abs(utterance.track.end_s - utterance.duration_s) < 0.005 and utterance.track.valid.all()
    assert utterance.extra["ui_x"].std() < 0.3 and utterance.extra["bn_y"].std() < 0.3
    anatomy_is_plausible(utterance.track.values)


def test_real_corrected_sweep_corrected_again_is_the_same():
    root = real("TRACTPROBE_SAMPLES", "ema2wav_ag501")
    sensors = {"td": 5, "tb": 6, "tt": 7, "ul": 8, "ll": 9, "li": 4}
    references = {"left_ear": 2, "right_ear": 1, "nose": 3}
    plain = Articulograph("ag", root, "de", sensors, head_corrected=True)
    again = Articulograph("ag", root, "de", sensors, references=references)
    turned = Articulograph("ag", root, "de", sensors, references=references, turn_axes=True)
    values = [read_all(reader)["0023"].track.values for reader in (plain, again, turned)]
    assert np.abs(values[0] - values[1]).max() < 1  # what the nose and ears wobble by
    for one in values[:2]:
        mean = dict(zip(CHANNELS, one.mean(axis=0), strict=True))
        assert mean["ul_x"] > mean["tt_x"] > mean["tb_x"] > mean["td_x"] and mean["ul_y"] > mean["ll_y"]
        assert mean["td_x"] == pytest.approx(-38.59, abs=0.3)
    mean = dict(zip(CHANNELS, values[2].mean(axis=0), strict=True))
    assert mean["ul_x"] > mean["tt_x"] > mean["td_x"] and max(mean["ul_y"], mean["tt_y"], mean["td_y"]) < -20


def test_real_ag500_whose_y_grows_to_the_back(tmp_path: Path):
    content = (real("TRACTPROBE_SAMPLES", "rticulate_ag500") / "0025.pos").read_bytes()
    (tmp_path / "0025.pos").write_bytes(content)
    write_audio(tmp_path / "0025.wav", 0.2)
    sensors = {"td": 3, "tb": 4, "tt": 5, "li": 7, "ll": 11, "ul": 12}
    references = {"right_ear": 1, "left_ear": 2, "ui": 6, "nose": 9}
    for settings in ({"front": "-y"}, {"references": references, "turn_axes": True}):
        (utterance,) = read_all(
            Articulograph("ag", tmp_path, "en", sensors, speaker_pattern="(?P<speaker>00)", **settings)
        ).values()
        mean = dict(zip(CHANNELS, utterance.track.values.mean(axis=0), strict=True))
        assert mean["ul_x"] > mean["tt_x"] > mean["tb_x"] > mean["td_x"] and mean["ul_y"] > mean["ll_y"]
        assert utterance.track.rate_hz == 200
