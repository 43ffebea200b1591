from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import Breakages, assert_refused, refusals
from drawn import (
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
from test_articulograph import as_records, column, in_head, read_all, to_device, write_audio
from test_carstens import ag500_bytes, ag501_bytes

from tractprobe.corpora.readers.torgo import CONTROLS, DYSARTHRIC, Torgo
from tractprobe.corpora.utterance import Reader, Utterance
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import ConfigError, CorpusError

FRAMES = 100
COILS = {
    "td": 1, "tb": 2, "tt": 3, "forehead": 4, "nose": 5, "ul": 6, "ll": 7, "li": 8, "left_corner": 9,
    "right_corner": 10, "left_ear": 11, "right_ear": 12,
}  # fmt: skip
REST = {
    "td": (-60, -70, 0), "tb": (-45, -62, 1), "tt": (-30, -75, 2), "forehead": (-5, 35, 1), "nose": (0, 0, 0),
    "ul": (5, -60, 3), "ll": (2, -85, -1), "li": (-12, -95, 0), "left_corner": (-10, -70, 25),
    "right_corner": (-10, -70, -25), "left_ear": (-100, 0, 75), "right_ear": (-100, 0, -75),
}  # fmt: skip
RECORDINGS = (("F03", "Session1", "0001"), ("F03", "Session1", "0002"), ("MC04", "Session2", "0001"))
SOURCE = "F03/Session1/pos/0001.pos"


def write(root: Path, **settings: Any) -> Reader:
    """Write three recordings of two speakers, each with its own way of moving the head, in TORGO's layout."""
    for seed, (speaker, session, stem) in enumerate(RECORDINGS):
        folder = root / speaker / session
        for name in ("pos", "prompts"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / f"pos/{stem}.pos").write_bytes(sweep(seed))
        (folder / f"prompts/{stem}.txt").write_text(f"the quick {stem}\n")
        write_audio(folder / f"wav_arrayMic/{stem}.wav", FRAMES / 200)
    return Torgo(root, **settings)


def sweep(seed: int) -> bytes:
    return ag500_bytes(as_records(to_device(in_head(seed, REST, FRAMES), seed), COILS, 12))


def test_each_coil_comes_back_in_the_plane_of_the_head(tmp_path: Path):
    reader = write(tmp_path)
    assert reader.sources() == [f"{speaker}/{session}/pos/{stem}.pos" for speaker, session, stem in RECORDINGS]
    for seed, (utterance, names) in enumerate(zip(read_all(reader).values(), RECORDINGS, strict=True)):
        truth = in_head(seed, REST, FRAMES)
        assert (utterance.id, utterance.speaker, utterance.text) == ("_".join(names), names[0], f"the quick {names[2]}")
        assert (utterance.language, utterance.frame, utterance.audio_rate_hz) == ("en", "head", 16000)
        for name in CHANNELS:
            expected = truth[name[:2]][:, "xy".index(name[-1])]
            np.testing.assert_allclose(column(utterance, name), expected, atol=1e-3)
        assert np.abs(utterance.extra["bn_x"]).max() < 1e-3 and np.abs(utterance.extra["bn_y"]).max() < 1e-3


TONGUE_LIPS_JAW = {name: REST[name] for name in ("td", "tb", "tt", "ul", "ll", "li")}


@FEW
@given(
    courses=movements(TONGUE_LIPS_JAW, spread_mm=20, reach_mm=200, keep=("tt",)),
    seed=st.integers(0, 99),
    pitch_deg=st.floats(-40, 40),
    lost=st.sets(st.tuples(st.sampled_from(["nose", "left_ear", "forehead"]), st.integers(1, 15)), max_size=4),
    name=st.tuples(st.sampled_from(DYSARTHRIC + CONTROLS), st.integers(1, 12), st.integers(0, 9999)),
    microphone=st.sampled_from(["array", "head"]),
    sound=sounds(),
    text=sentences(st.characters(exclude_categories=["Cs"], exclude_characters="\0[]")),
    remark=st.sampled_from(["", " [say it twice]", " [as in"]),
)
def test_any_recording_comes_back(
    tmp_path_factory: pytest.TempPathFactory, courses: Courses, seed: int, pitch_deg: float,
    lost: set[tuple[str, int]], name: tuple[str, int, int], microphone: str, sound: Sound, text: str, remark: str,
):  # fmt: skip
    session = tmp_path_factory.mktemp("any") / f"{name[0]}/Session{name[1]}"
    stem, frames = f"{name[2]:04d}", len(courses["tt"])
    still = {coil: np.tile(REST[coil], (frames, 1)).astype(float) for coil in COILS if coil not in courses}
    device = to_device(courses | still, seed)
    for coil, row in lost:
        device[coil][row] = np.nan
    records = as_records(device, COILS, 12)
    records[np.isnan(records).any(axis=2)] = 0
    for folder in ("pos", "prompts"):
        (session / folder).mkdir(parents=True)
    (session / f"pos/{stem}.pos").write_bytes(ag500_bytes(records))
    (session / f"prompts/{stem}.txt").write_text(f"{text}{remark}\n", encoding="utf-8", newline="")
    write_sound(session / f"wav_{microphone}Mic/{stem}.wav", sound)
    (read,) = read_all(Torgo(session.parents[1], microphone=microphone, pitch_deg=pitch_deg)).values()

    angle = np.radians(pitch_deg)
    turned = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    expected = {coil: course[:, :2] @ turned for coil, course in courses.items()}
    nose = np.zeros((frames, 2))
    for coil, row in lost:
        too_few = sum(at == row for _, at in lost) > 1  # two of four references do not tell how the head turns
        for course in expected.values():
            course[row] = np.nan if too_few else course[row]
        nose[row] = np.nan if too_few or coil == "nose" else nose[row]
    assert_track(read, expected, rate_hz=200, atol=2e-3)
    assert_extra(read, {"bn": nose}, atol=2e-3)
    assert_sound(read, sound)
    assert (read.id, read.speaker) == (f"{name[0]}_{session.name}_{stem}", name[0])
    assert read.text == " ".join(text.split())


def test_the_tongue_tip_is_not_the_forehead(tmp_path: Path):
    """A public reader counts coils from 1 and columns from 0, so that its tongue tip is the forehead."""
    for utterance in read_all(write(tmp_path)).values():
        mean = dict(zip(CHANNELS, utterance.track.values.mean(axis=0), strict=True))
        assert mean["tt_y"] < utterance.extra["bn_y"].mean() - 20
        assert mean["ul_x"] > mean["tt_x"] > mean["tb_x"] > mean["td_x"] and mean["ul_y"] > mean["ll_y"]


def test_the_rate_is_that_of_the_device_so_that_movements_last_as_long_as_the_audio(tmp_path: Path):
    """The same reader takes 500 Hz."""
    for utterance in read_all(write(tmp_path)).values():
        assert utterance.track.rate_hz == 200
        assert utterance.track.end_s == pytest.approx(utterance.duration_s, abs=0.01)


def test_only_sessions_with_both_movements_and_audio_take_part(tmp_path: Path):
    reader = write(tmp_path)
    write_audio(tmp_path / "F01/Session1/wav_arrayMic/0001.wav")  # F01 has no pos
    (tmp_path / "M01/Session1/pos").mkdir(parents=True)
    (tmp_path / "M01/Session1/pos/0001.pos").write_bytes(sweep(0))  # no audio
    assert {source.split("/")[0] for source in reader.sources()} == {"F03", "MC04"}
    with pytest.raises(CorpusError, match="wav_headMic"):
        Torgo(tmp_path, microphone="head").sources()


def test_the_microphone_and_the_speakers_can_be_chosen(tmp_path: Path):
    write(tmp_path)
    write_audio(tmp_path / "MC04/Session2/wav_headMic/0001.wav", rate_hz=22050)
    (utterance,) = read_all(Torgo(tmp_path, microphone="head")).values()
    assert (utterance.speaker, utterance.audio_rate_hz) == ("MC04", 22050)
    assert [source[:4] for source in Torgo(tmp_path, speakers=CONTROLS).sources()] == ["MC04"]
    assert len(DYSARTHRIC) == 8 and len(CONTROLS) == 7 and "F03" in DYSARTHRIC
    with pytest.raises(ConfigError, match="X01"):
        Torgo(tmp_path, speakers=["X01"])


def test_pitch_turns_x_down_from_the_line_between_ears_and_nose(tmp_path: Path):
    level, turned = (read_all(write(tmp_path, pitch_deg=degrees))["F03_Session1_0001"] for degrees in (0, 30))
    x, y = column(level, "tt_x"), column(level, "tt_y")
    np.testing.assert_allclose(column(turned, "tt_x"), np.cos(np.pi / 6) * x - np.sin(np.pi / 6) * y, atol=1e-3)
    np.testing.assert_allclose(column(turned, "tt_y"), np.sin(np.pi / 6) * x + np.cos(np.pi / 6) * y, atol=1e-3)


def test_frames_without_references_are_missing(tmp_path: Path):
    reader = write(tmp_path)
    records = np.frombuffer(sweep(0), "<f4").reshape(FRAMES, 12, 7).copy()
    records[10:20, COILS["left_ear"] - 1] = 0  # three others are there
    records[30:35, COILS["left_ear"] - 1] = 0
    records[30:35, COILS["forehead"] - 1, 5] = 50  # a bad fit
    records[40:42, COILS["nose"] - 1, 0] += 60  # a jump
    (tmp_path / SOURCE).write_bytes(records.tobytes())
    utterance = read_all(reader)["F03_Session1_0001"]
    lost = (~utterance.track.valid).all(axis=1).nonzero()[0].tolist()
    assert lost == [*range(30, 35), 40, 41] and utterance.track.valid.sum() == 12 * (FRAMES - len(lost))
    np.testing.assert_allclose(column(utterance, "tt_y"), np.where(
        utterance.track.valid[:, 0], in_head(0, REST, FRAMES)["tt"][:, 1], np.nan), atol=0.01)  # fmt: skip


@pytest.mark.parametrize(
    "prompt",
    ["[relax your mouth in its normal position]", "[say 'ah-p-ee' repeatedly", "", "xxx", "input/images/tools.jpg"],
)
def test_prompts_that_are_no_words_are_named(tmp_path: Path, prompt: str):
    reader = write(tmp_path)
    (tmp_path / "F03/Session1/prompts/0001.txt").write_text(prompt)
    with pytest.raises(CorpusError, match=r"prompts/0001\.txt.*(words|picture)"):
        reader.read(SOURCE)
    assert len(reader.read("F03/Session1/pos/0002.pos")) == 1


def test_remarks_in_a_prompt_are_not_said(tmp_path: Path):
    reader = write(tmp_path)
    (tmp_path / "F03/Session1/prompts/0001.txt").write_text("tear [as in tear up that paper] \r\n")
    assert reader.read(SOURCE)[0].text == "tear"


BROKEN: Breakages = {
    "no audio": (lambda root: (root / "F03/Session1/wav_arrayMic/0001.wav").unlink(), r"0001\.wav.*no such file"),
    "no prompt": (lambda root: (root / "F03/Session1/prompts/0001.txt").unlink(), r"prompts/0001\.txt"),
    "binary prompt": (lambda root: (root / "F03/Session1/prompts/0001.txt").write_bytes(b"\xff"), r"0001\.txt.*utf-8"),
    "empty": (lambda root: (root / SOURCE).write_bytes(b""), r"0001\.pos.*empty"),
    "cut": (lambda root: (root / SOURCE).write_bytes(sweep(0)[:-5]), r"0001\.pos \(byte \d+\)"),
    "text": (lambda root: (root / SOURCE).write_text("no movements"), r"0001\.pos \(line 1\)"),
    "too few channels": (lambda root: (root / SOURCE).write_bytes(ag501_bytes(np.ones((9, 6, 7)))), "channel 11"),
    "all lost": (lambda root: (root / SOURCE).write_bytes(bytes(len(sweep(0)))), r"0001\.pos.*no articulator"),
    "no references in the session": (
        lambda root: [path.write_bytes(bytes(len(sweep(0)))) for path in root.glob("F03/Session1/pos/*")],
        r"0001\.pos.*references",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_one_error_that_names_it(tmp_path: Path, case: str):
    reader = write(tmp_path)
    assert_refused(tmp_path, lambda: read_one(reader), BROKEN[case])


def read_one(reader: Reader) -> Utterance:
    (utterance,) = reader.read(SOURCE)
    return utterance


def test_a_folder_of_nothing_is_an_error(tmp_path: Path):
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(CorpusError, match=root.name):
            Torgo(root).sources()
    with pytest.raises(ConfigError, match="microphone"):
        Torgo(tmp_path, microphone="hat")


def test_bit_rot_is_an_error_or_harmless(tmp_path: Path):
    reader = write(tmp_path)
    for path in sorted((tmp_path / "F03/Session1").glob("*/0001.*")):
        assert refusals(path, lambda: read_one(reader), 20, named="0001")
