from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import read_utterances, refusals
from hypothesis import given
from hypothesis import strategies as st
from test_hprc import element, write_mview

from tractprobe.corpora.readers.usc_timit import UscTimit, read_transcript
from tractprobe.corpora.utterance import Phone, Utterance
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import ConfigError, CorpusError

RATE_HZ, EMA_RATE_HZ = 4000, 100.08
SENSORS = {"TT": -5.0, "TB": -3.0, "TD": -2.0, "UL": 8.0, "LL": -16.0, "JAW": -20.0}
SPEECH_S, SILENCE_S = 0.26, 0.35
TEXTS = {
    1: "This was easy for us.",
    2: "Is this seesaw safe?",
    3: "Jane, too, may earn more.",
    4: "Thursday is a day.",
    5: "Bright sunshine shone.",
}
Span = tuple[float, float]


def spans(silences: Sequence[float] = (0.2, *[SILENCE_S] * 4)) -> list[Span]:
    """Return start and end of five sentences with these silences before each."""
    times = np.cumsum([part for silence in silences for part in (silence, SPEECH_S)]).round(6)
    return [(float(start), float(end)) for start, end in times.reshape(-1, 2)]


def sound(sentences: Sequence[Span], seed: int = 0, end_s: float = 0.3) -> np.ndarray:
    """Loud noise in speech, faint noise between: no two stretches alike."""
    random = np.random.default_rng(seed)
    audio = 1e-4 * random.normal(size=round((sentences[-1][1] + end_s) * RATE_HZ))
    for start, end in sentences:
        audio[round(start * RATE_HZ) : round(end * RATE_HZ)] += 0.1 * random.normal(size=round((end - start) * RATE_HZ))
    return audio.astype(np.float32)


def signals(audio: np.ndarray, end_early_s: float = 0.0) -> dict[str, np.ndarray]:
    """Each sensor's x, y, z: the time (s) of the sample plus what tells sensor and axis apart."""
    count = int((len(audio) / RATE_HZ - end_early_s) * EMA_RATE_HZ)
    times_s = np.arange(count)[:, None] / EMA_RATE_HZ
    return {
        name: times_s + np.array([100.0 * index, height, 2.0 * index])
        for index, (name, height) in enumerate(SENSORS.items())
    }


def transcript(sentences: Sequence[Span], texts: Mapping[int, str], first: int) -> str:
    rows, last = [], 0.0
    for number, (start, end) in enumerate(sentences, start=first):
        middle, text = start + 0.06, texts[(number - 1) % 5 + 1]
        if start > last:
            rows.append(f"{last:.4f},{start:.4f},sil,,,")
        rows.append(f"{start:.4f},{middle:.4f},dh,this,{text},{number}")
        rows.append(f"{middle:.4f},{end:.4f},ih,this,{text},{number}")
        last = end
    return "\n".join([*rows, f"{last:.4f},{last + 0.3:.4f},sil,,,"]) + "\n"


def write_recording(
    root: Path, speaker: str = "M1", first: int = 1, *, sentences: Sequence[Span] | None = None,
    trans: str | None = "", order: Sequence[str] = tuple(SENSORS), tracks: Mapping[str, Any] | None = None,
    audio: np.ndarray | None = None, ema_rate_hz: Any = EMA_RATE_HZ, end_early_s: float = 0.0, **about: Any,
) -> Path:  # fmt: skip
    """Write a recording of five sentences; its transcript too, unless that is None."""
    places = list(sentences or spans())
    samples = sound(places, seed=sum(map(ord, speaker)) + first) if audio is None else audio
    folder = root / "EMA/Data" / speaker
    name = f"usctimit_ema_{speaker.lower()}_{first:03d}_{first + 4:03d}"
    positions = signals(samples, end_early_s) | dict(tracks or {})
    elements = [element("AUDIO", np.uint16(RATE_HZ), samples[None], **about)]
    elements += [element(sensor, ema_rate_hz, positions[sensor]) for sensor in order]
    if trans is not None:
        (folder / "trans").mkdir(parents=True, exist_ok=True)
        (folder / f"trans/{name}.trans").write_text(trans or transcript(places, TEXTS, first))
    return write_mview(folder / f"mat/{name}.mat", elements, name)


def write(root: Path) -> UscTimit:
    """Write M1 and F5 with transcripts, M3 without, and what else lies about in the corpus."""
    write_recording(root, "M1", 1)
    write_recording(root, "M3", 1, trans=None, order=("UL", "LL", "JAW", "TD", "TB", "TT"))
    write_recording(root, "F5", 61)
    write_recording(root, "F5", 66)
    mri = root / "EMA/Data/M3/trans/usctimit_mri_m3_001_005.trans"
    mri.parent.mkdir(parents=True)
    mri.write_text(transcript(spans((0.05, 0.1, 0.1, 0.1, 0.1)), TEXTS, 1))
    for other in (
        "MRI/Data/M3/tracks/usctimit_mri_m3_001_005_track.mat",
        "EMA/Data/M1/mat/._usctimit_ema_m1_001_005.mat",
    ):
        (root / other).parent.mkdir(parents=True, exist_ok=True)
        (root / other).write_bytes(b"not an EMA recording")
    lines = [f"{number:03d} : {text}" for number, text in TEXTS.items()]
    (root / "list_of_sentences.txt").write_text("\n".join(["Sentences", *lines]))
    return UscTimit(root)


def read(root: Path, **settings: Any) -> list[Utterance]:
    """Read everything; what stands in place of an utterance is raised."""
    utterances, problems = read_with_problems(root, **settings)
    for problem in problems:
        raise problem
    return utterances


def read_with_problems(root: Path, **settings: Any) -> tuple[list[Utterance], list[CorpusError]]:
    reader = UscTimit(root, **settings)
    found = [one for source in reader.sources() for one in reader.read(source)]
    utterances = [one for one in found if isinstance(one, Utterance)]
    return utterances, [one for one in found if isinstance(one, CorpusError)]


def channel(utterance: Utterance, name: str) -> np.ndarray:
    return utterance.track.values[:, CHANNELS.index(name)]


def start_in(audio: np.ndarray, part: np.ndarray) -> int:
    """Return where a part begins in the whole, to the sample."""
    places = [at for at in np.flatnonzero(audio == part[0]) if np.array_equal(audio[at : at + len(part)], part)]
    assert len(places) == 1
    return int(places[0])


def test_a_recording_is_five_utterances(tmp_path: Path):
    write_recording(tmp_path)
    utterances = read(tmp_path)
    assert [one.id for one in utterances] == [f"usctimit_ema_m1_001_005_{number:03d}" for number in TEXTS]
    assert [one.text for one in utterances] == list(TEXTS.values())
    about = {(one.speaker, one.language, one.audio_rate_hz, one.frame, one.phone_set) for one in utterances}
    assert about == {("M1", "en", RATE_HZ, "head", "arpabet")}
    assert all(one.track.rate_hz == EMA_RATE_HZ for one in utterances)


def test_each_utterance_has_its_own_slice_of_the_audio(tmp_path: Path):
    write_recording(tmp_path)
    audio = sound(spans(), seed=sum(map(ord, "M1")) + 1)
    for one, (start, end) in zip(read(tmp_path), spans(), strict=True):
        at = start_in(audio, one.audio)
        assert at == round((start - 0.15) * RATE_HZ) and at + len(one.audio) == round((end + 0.15) * RATE_HZ)


@pytest.mark.parametrize("silences", [(0.2, 0.3, 0.1, 0.02, 0.0), (0.01, 0.4, 0.29, 0.31, 0.3)])
def test_padding_never_reaches_into_a_neighbour(tmp_path: Path, silences: Sequence[float]):
    places = spans(silences)
    write_recording(tmp_path, sentences=places)
    audio = sound(places, seed=sum(map(ord, "M1")) + 1)
    last = 0
    for one, (start, end) in zip(read(tmp_path), places, strict=True):
        at = start_in(audio, one.audio)
        assert last <= at <= round(start * RATE_HZ) and at + len(one.audio) >= round(end * RATE_HZ)
        assert start - at / RATE_HZ < 0.1503 and (at + len(one.audio)) / RATE_HZ - end < 0.1503
        last = at + len(one.audio)


def test_movements_keep_their_own_times_and_rate(tmp_path: Path):
    write_recording(tmp_path)
    audio = sound(spans(), seed=sum(map(ord, "M1")) + 1)
    for one in read(tmp_path):
        offset_s = start_in(audio, one.audio) / RATE_HZ
        np.testing.assert_allclose(channel(one, "tt_x"), one.track.times_s + offset_s, atol=1e-9)
        assert 0 <= one.track.start_s < 1 / EMA_RATE_HZ and 0 <= one.track.end_s - one.duration_s < 1 / EMA_RATE_HZ
    assert len({round(one.track.start_s, 6) for one in read(tmp_path)}) > 1  # a clock of its own, not the audio's


@pytest.mark.parametrize("order", [list(SENSORS), list(SENSORS)[::-1], ["UL", "LL", "JAW", "TD", "TB", "TT"]])
def test_sensors_are_found_by_name_and_x_and_y_are_taken(tmp_path: Path, order: list[str]):
    write_recording(tmp_path, order=order)
    for one in read(tmp_path):
        times_s = channel(one, "tt_x")
        for index, (sensor, height) in enumerate(SENSORS.items()):
            articulator = {"JAW": "li"}.get(sensor, sensor.lower())
            np.testing.assert_allclose(channel(one, f"{articulator}_x"), times_s + 100 * index)
            np.testing.assert_allclose(channel(one, f"{articulator}_y"), times_s + height)


def test_other_axes_are_refused_until_they_are_named(tmp_path: Path):
    swapped = {name: values[:, [0, 2, 1]] for name, values in signals(sound(spans())).items()}
    write_recording(tmp_path, tracks=swapped)
    with pytest.raises(CorpusError, match=r"corpus\.vertical_column=2") as error:
        read(tmp_path)
    assert "usctimit_ema_m1_001_005.mat" in str(error.value)
    first, *_ = read(tmp_path, vertical_column=2)
    np.testing.assert_allclose(channel(first, "ul_y"), channel(first, "tt_x") + SENSORS["UL"])


def test_lost_samples_stay_lost(tmp_path: Path):
    tip, lip = (signals(sound(spans()))[name] for name in ("TT", "UL"))
    tip[30:33] = np.nan
    lip[:] = np.nan  # nothing to tell the axes by: read all the same
    write_recording(tmp_path, tracks={"TT": tip, "UL": lip})
    first, second, *_ = read(tmp_path)
    row = 30 - round((0.05 + first.track.start_s) * EMA_RATE_HZ)
    assert np.isnan(channel(first, "tt_x")).nonzero()[0].tolist() == [row, row + 1, row + 2]
    assert np.isfinite(channel(second, "tt_y")).all() and np.isnan(channel(second, "ul_y")).all()


def test_movements_that_end_before_the_audio_are_not_stretched(tmp_path: Path):
    write_recording(tmp_path, "F1", end_early_s=0.4)
    *_, fourth, last = read(tmp_path)
    assert (
        last.track.end_s == pytest.approx(last.duration_s - 0.25, abs=0.02) and fourth.track.end_s >= fourth.duration_s
    )
    offset_s = spans()[-1][0] - 0.15
    np.testing.assert_allclose(channel(last, "tt_x"), last.track.times_s + offset_s, atol=1e-9)


def test_phones_are_shifted_and_silence_is_clipped(tmp_path: Path):
    write_recording(tmp_path)
    for one in read(tmp_path):
        assert [phone.label for phone in one.phones] == ["sil", "dh", "ih", "sil"]
        times = [time for phone in one.phones for time in (phone.start_s, phone.end_s)]
        expected = [0, 0.15, 0.15, 0.21, 0.21, 0.15 + SPEECH_S, 0.15 + SPEECH_S, one.duration_s]
        assert times == pytest.approx(expected, abs=1e-3)


def test_sentences_whose_labels_overlap_a_little_do_not_take_phones_of_each_other(tmp_path: Path):
    rows = "0,0.3,dh,this,One.,1\n0.3,0.6,ih,this,One.,1\n0.57,0.595,b,be,Two.,2\n0.595,1,iy,be,Two.,2\n"
    write_recording(tmp_path, trans=rows)
    assert [[phone.label for phone in one.phones] for one in read(tmp_path)] == [["dh", "ih"], ["b", "iy"]]


def test_a_sentence_number_beyond_the_file_is_kept_apart(tmp_path: Path):
    """Some sentences run over two files."""
    write_recording(tmp_path, trans=transcript(spans(), TEXTS, 1).replace(",5\n", ",6\n"))
    write_recording(tmp_path, first=6)
    ids = [one.id for one in read(tmp_path)]
    assert len(set(ids)) == 10 and {"usctimit_ema_m1_001_005_006", "usctimit_ema_m1_006_010_006"} <= set(ids)


def test_what_else_lies_about_is_no_source(tmp_path: Path):
    names = [Path(source).stem for source in write(tmp_path).sources()]
    assert names == ["usctimit_ema_f5_066_070", "usctimit_ema_m1_001_005", "usctimit_ema_m3_001_005"]


@pytest.mark.parametrize("named", ["usctimit_mri_m3_001_005", "usctimit_ema_m3_001_005"])
def test_m3_is_cut_at_its_own_silences_and_never_by_its_mri_transcript(tmp_path: Path, named: str):
    write(tmp_path)
    folder = tmp_path / "EMA/Data/M3/trans"
    (folder / "usctimit_mri_m3_001_005.trans").rename(folder / f"{named}.trans")
    utterances = [one for one in read(tmp_path) if one.speaker == "M3"]
    assert [one.text for one in utterances] == list(TEXTS.values()) and not any(one.phones for one in utterances)
    audio = sound(spans(), seed=sum(map(ord, "M3")) + 1)
    for one, (start, end) in zip(utterances, spans(), strict=True):
        at = start_in(audio, one.audio)
        assert at / RATE_HZ == pytest.approx(start - 0.15, abs=0.015)
        assert (at + len(one.audio)) / RATE_HZ == pytest.approx(end + 0.15, abs=0.015)
        np.testing.assert_allclose(channel(one, "tt_x"), one.track.times_s + at / RATE_HZ, atol=1e-9)


def test_texts_without_a_list_come_from_another_speaker(tmp_path: Path):
    write(tmp_path)
    (tmp_path / "list_of_sentences.txt").unlink()
    texts = {speaker: [one.text for one in read(tmp_path) if one.speaker == speaker] for speaker in ("M1", "M3")}
    assert texts["M1"] == texts["M3"] == list(TEXTS.values())
    (tmp_path / "EMA/Data/M1/trans/usctimit_ema_m1_001_005.trans").unlink()
    with pytest.raises(CorpusError, match=r"m3_001_005.*sentence 1 has no text"):
        UscTimit(tmp_path).read("EMA/Data/M3/mat/usctimit_ema_m3_001_005.mat")


def test_every_speaker_has_the_text_of_the_list(tmp_path: Path):
    write(tmp_path)
    (tmp_path / "list_of_sentences.txt").write_text("\ufeff1: One.\n2:Two,  too.\n3 : 3\n4: Four four.\n005: Five!\n")
    for speaker in ("M1", "M3"):
        path = f"EMA/Data/{speaker}/mat/usctimit_ema_{speaker.lower()}_001_005.mat"
        if speaker == "M1":
            assert [one.text for one in UscTimit(tmp_path).read(path)] == [
                "One.",
                "Two, too.",
                "3",
                "Four four.",
                "Five!",
            ]
        else:  # and these lengths do not fit the audio
            with pytest.raises(CorpusError, match="do not match the lengths"):
                UscTimit(tmp_path).read(path)


UNCLEAR: dict[str, Sequence[Span]] = {
    "four stretches": spans()[:4],
    "six stretches": [*spans(), (3.3, 3.56)],
    "no clear silence": spans((0.2, 0.1, 0.1, 0.1, 0.1)),
    "one silence too short": spans((0.2, 0.5, 0.5, 0.5, 0.2)),
    "a pause within": [*spans((0.2, 0.4, 0.4, 0.4, 0.4))[:4], (2.84, 3.1), (3.4, 3.7)],
    "one long sentence": [(0.2, 2.0), (2.5, 2.7)],
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_unclear_silences_are_an_error_rather_than_a_guess(tmp_path: Path, case: str):
    write(tmp_path)
    write_recording(tmp_path, "M3", trans=None, audio=sound(UNCLEAR[case]))
    with pytest.raises(CorpusError, match=r"m3_001_005.*5 stretches of speech"):
        UscTimit(tmp_path).read("EMA/Data/M3/mat/usctimit_ema_m3_001_005.mat")


def test_stretches_that_do_not_fit_their_texts_are_an_error(tmp_path: Path):
    """The third sentence has a long pause within, the last two have none between them."""
    write(tmp_path)
    joined = [(0.2, 0.5), (0.9, 1.2), (1.6, 1.75), (2.15, 2.3), (2.7, 3.4)]
    write_recording(tmp_path, "M3", trans=None, audio=sound(joined))
    with pytest.raises(CorpusError, match=r"m3_001_005.*do not match the lengths of the texts"):
        UscTimit(tmp_path).read("EMA/Data/M3/mat/usctimit_ema_m3_001_005.mat")


@pytest.mark.parametrize("audio", [np.zeros(9000, np.float32), np.full(9000, 0.1, np.float32)], ids=["zeros", "hum"])
def test_audio_without_speech_is_an_error(tmp_path: Path, audio: np.ndarray):
    write(tmp_path)
    write_recording(tmp_path, "M3", trans=None, audio=audio)
    with pytest.raises(CorpusError, match="5 stretches of speech"):
        UscTimit(tmp_path).read("EMA/Data/M3/mat/usctimit_ema_m3_001_005.mat")


def test_clicks_and_short_pauses_do_not_cut_a_sentence(tmp_path: Path):
    write(tmp_path)
    audio = sound(spans())
    audio[round(0.31 * RATE_HZ) : round(0.36 * RATE_HZ)] *= 1e-3  # a closure within the first
    audio[round(0.65 * RATE_HZ) : round(0.66 * RATE_HZ)] += 0.5  # a click after it
    write_recording(tmp_path, "M3", trans=None, audio=audio)
    first, *others = UscTimit(tmp_path).read("EMA/Data/M3/mat/usctimit_ema_m3_001_005.mat")
    assert len(others) == 4 and first.duration_s == pytest.approx(SPEECH_S + 0.3, abs=0.03)


def test_f5_is_one_frame_by_default_and_two_speakers_if_both_are_asked_for(tmp_path: Path):
    write(tmp_path)
    stems = {f5: {(one.speaker, one.id[-3:]) for one in read(tmp_path, f5_blocks=f5) if one.speaker[:2] == "F5"}
             for f5 in ((), ("a",), ("b",), ("a", "b"))}  # fmt: skip
    early, late = [f"{number:03d}" for number in range(61, 66)], [f"{number:03d}" for number in range(66, 71)]
    assert not stems[()] and stems["a",] == {("F5", one) for one in early}
    assert (
        stems["b",]
        == {("F5", one) for one in late}
        == {(one.speaker, one.id[-3:]) for one in read(tmp_path) if one.speaker == "F5"}
    )
    assert stems["a", "b"] == {("F5a", one) for one in early} | {("F5b", one) for one in late}


def test_settings_are_checked(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"corpus\.f5_blocks"):
        UscTimit(tmp_path, f5_blocks=["c"])
    with pytest.raises(ConfigError, match=r"corpus\.vertical_column"):
        UscTimit(tmp_path, vertical_column=0)


TRANSCRIPTS: dict[str, tuple[str, str]] = {
    "empty": ("\n", "contains sentences"),
    "no table": ("this was easy for us\n", "line 1"),
    "no number": ("0,0.2,sil,,,\nx,0.4,dh,this,text,1\n", "line 2"),
    "nan": ("0,nan,sil,,,\n", "line 1"),
    "ends before it starts": ("0.4,0.2,dh,this,text,1\n", "line 1"),
    "before the audio": ("-0.1,0.2,dh,this,text,1\n", "line 1"),
    "a sentence by name": ("0,0.2,dh,this,text,one\n", "line 1"),
    "another file's": (transcript(spans(), TEXTS, 11), "not 1 to 5"),
    "sentences that overlap": ("0,0.5,dh,this,text,1\n0.3,1,dh,this,text,2\n", "starts before sentence 1 ends"),
    "longer than the audio": (
        "0,0.5,dh,this,text,1\n0.6,91,dh,this,text,2\n",
        r"ends at 91\.000 s, after the audio's end",
    ),
    "after the audio": ("0,0.5,dh,this,text,1\n90,91,dh,this,text,2\n", "after the audio's end"),
    "no text": ("0,0.5,dh,this,,1\n", "no text"),
    "no text at all": ("\x00\x01\x02", "line 1"),
}


@pytest.mark.parametrize("case", TRANSCRIPTS)
def test_a_wrong_transcript_names_file_and_line(tmp_path: Path, case: str):
    content, problem = TRANSCRIPTS[case]
    write_recording(tmp_path, trans=content)
    with pytest.raises(CorpusError, match=problem) as error:
        read(tmp_path)
    assert "usctimit_ema_m1_001_005.trans" in str(error.value)


def test_a_transcript_that_is_no_text_names_the_byte(tmp_path: Path):
    path = write_recording(tmp_path)
    (path.parents[1] / f"trans/{path.stem}.trans").write_bytes(b"0,1,sil,,,\n\xff\xfe")
    with pytest.raises(CorpusError, match=r"m1_001_005\.trans \(byte 11\)"):
        read(tmp_path)


TIMES = st.floats(0, 1e3).map(lambda time: round(time, 4))
LABELS = st.text("abcdefghijklmnop'@0123456789", min_size=1, max_size=4)
ROWS = st.lists(
    st.tuples(TIMES, TIMES, LABELS, LABELS | st.just("a, b"), st.none() | st.integers(0, 9999)), max_size=20
)


@given(ROWS, st.sampled_from(["\n", "\r\n"]))
def test_transcripts_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list, end: str):
    path = tmp_path_factory.getbasetemp() / "round_trip.trans"
    lines = [
        f"{start},{start + length},{phone},word,{text if number is not None else ''},{'' if number is None else number}"
        for start, length, phone, text, number in rows
    ]
    path.write_bytes((end.join(lines) + end).encode())
    expected = [
        (Phone(phone, start, start + length), text if number is not None else "", number)
        for start, length, phone, text, number in rows
    ]
    assert [(row.phone, row.text, row.sentence) for row in read_transcript(path)] == expected


@given(st.binary(max_size=200) | st.text("0123456789.,-e na\n", max_size=200).map(str.encode))
def test_no_bytes_but_those_of_a_transcript_are_read_as_one(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    path = tmp_path_factory.getbasetemp() / "any_bytes.trans"
    path.write_bytes(content)
    try:
        rows = read_transcript(path)
    except CorpusError as error:
        assert "any_bytes.trans" in str(error)
    else:
        assert all(0 <= row.phone.start_s <= row.phone.end_s < np.inf for row in rows)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a sensor lacks": ({"order": ["TT", "TB", "TD", "UL", "LL"]}, "lacks JAW"),
    "a sensor twice": ({"order": [*SENSORS, "TT"]}, "TT more than once"),
    "two columns": ({"tracks": {"TB": np.zeros((300, 2))}}, "TB"),
    "lengths differ": ({"tracks": {"TB": np.zeros((30, 3))}}, "different lengths"),
    "lips of unequal length": ({"tracks": {"UL": np.full((30, 3), 9.0)}}, "different lengths"),
    "infinite": ({"tracks": {"TB": np.full((300, 3), np.inf)}}, "TB"),
    "text": ({"tracks": {"TB": "none"}}, "TB"),
    "rate": ({"ema_rate_hz": np.nan}, "SRATE"),
    "audio rate": ({"SRATE": np.zeros((0, 0))}, "AUDIO"),
    "audio": ({"SIGNAL": "none"}, "AUDIO"),
    "a movement too short": ({"end_early_s": 3.0}, "no articulator was measured"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_recording_is_named(tmp_path: Path, case: str):
    changes, problem = WRONG[case]
    write_recording(tmp_path, **changes)
    with pytest.raises(CorpusError, match=problem) as error:
        read(tmp_path)
    assert "usctimit_ema_m1_001_005" in str(error.value)


def without_movements(numbers: Sequence[int]) -> dict[str, np.ndarray]:
    tracks = signals(sound(spans()))
    for number in numbers:
        start, end = spans()[number - 1]
        for values in tracks.values():
            values[round((start - 0.16) * EMA_RATE_HZ) : round((end + 0.17) * EMA_RATE_HZ)] = np.nan
    return tracks


@pytest.mark.parametrize("lost", [[1], [3], [5], [2, 4]])
def test_a_sentence_without_movements_does_not_cost_the_others(tmp_path: Path, lost: list[int]):
    write_recording(tmp_path / "whole")
    write_recording(tmp_path / "broken", tracks=without_movements(lost))
    expected = [one for one in read(tmp_path / "whole") if int(one.id[-3:]) not in lost]
    utterances, problems = read_with_problems(tmp_path / "broken")
    assert [(one.id, one.text, one.phones) for one in utterances] == [
        (one.id, one.text, one.phones) for one in expected
    ]
    for one, other in zip(utterances, expected, strict=True):
        np.testing.assert_array_equal(one.audio, other.audio)
        assert one.track.start_s == other.track.start_s and one.track.values.shape == other.track.values.shape
    path = tmp_path / "broken/EMA/Data/M1/mat/usctimit_ema_m1_001_005.mat"
    reason = "no articulator was measured during the audio"
    assert [str(one) for one in problems] == [f"{path} (sentence {number}): {reason}" for number in lost]


def test_of_two_sentences_that_overlap_neither_is_read_and_the_others_are(tmp_path: Path):
    places = spans()
    places[1] = (places[0][0] + 0.05, places[1][1])
    write_recording(tmp_path, sentences=places, audio=sound(spans()))
    utterances, problems = read_with_problems(tmp_path)
    assert [one.id[-3:] for one in utterances] == ["003", "004", "005"]
    assert [(one.place, one.problem) for one in problems] == [
        (f"sentence {number}", "sentence 2 starts before sentence 1 ends") for number in (1, 2)
    ]
    assert {Path(one.file).name for one in problems} == {"usctimit_ema_m1_001_005.trans"}


def test_a_sentence_within_another_keeps_its_neighbours_padding_out_of_both(tmp_path: Path):
    places = spans()
    rows = [(1, *places[0]), (2, places[1][0], places[3][0] - 0.1), (3, *places[2]), (4, *places[3]), (5, *places[4])]
    write_recording(
        tmp_path, trans="".join(f"{start},{end},dh,this,{TEXTS[number]},{number}\n" for number, start, end in rows)
    )
    utterances, problems = read_with_problems(tmp_path)
    assert [one.id[-3:] for one in utterances] == ["001", "004", "005"] and len(problems) == 2
    audio = sound(places, seed=sum(map(ord, "M1")) + 1)
    assert start_in(audio, utterances[1].audio) == round((places[3][0] - 0.05) * RATE_HZ)


def test_one_sentence_of_two_without_text_or_beyond_the_audio_is_lost_alone(tmp_path: Path):
    rows = "0,0.5,dh,this,One.,1\n0.6,1,dh,this,,2\n1.2,1.6,dh,this,Three.,3\n90,91,dh,this,Four.,4\n"
    write_recording(tmp_path, trans=rows)
    utterances, problems = read_with_problems(tmp_path)
    assert [one.text for one in utterances] == ["One.", "Three."]
    assert [one.place for one in problems] == ["sentence 2", "sentence 4"]


BROKEN: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-1000]),
    "text": lambda path: path.write_text("TT 0.0 0.0\n" * 100),
    "version 7.3": lambda path: path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(512)),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_unreadable_file_is_one_error_and_the_others_are_read(tmp_path: Path, case: str):
    reader = write(tmp_path)
    sources = reader.sources()
    broken = next(source for source in sources if "_m1_" in source)
    BROKEN[case](tmp_path / broken)
    with pytest.raises(CorpusError, match="usctimit_ema_m1_001_005"):
        reader.read(broken)
    assert [len(reader.read(source)) for source in sources if source != broken] == [5, 5]


@pytest.mark.parametrize("name", ["usctimit_ema_m1_005_001", "usctimit_ema_m1_001_460"])
def test_an_absurd_name_is_refused(tmp_path: Path, name: str):
    path = write_recording(tmp_path)
    elements = [element("AUDIO", RATE_HZ, sound(spans())[None])]
    elements += [element(sensor, EMA_RATE_HZ, one) for sensor, one in signals(sound(spans())).items()]
    write_mview(path.with_name(f"{name}.mat"), elements, name)
    with pytest.raises(CorpusError, match=f"{name}.*expected 1 to 20 sentences"):
        UscTimit(tmp_path).read(f"EMA/Data/M1/mat/{name}.mat")


def test_a_folder_without_recordings_is_named(tmp_path: Path):
    with pytest.raises(CorpusError, match="holds no recording"):
        UscTimit(tmp_path).sources()
    with pytest.raises(CorpusError, match="no such folder"):
        UscTimit(tmp_path / "nowhere").sources()
    with pytest.raises(CorpusError, match="not named"):
        UscTimit(tmp_path).read("x.mat")


def test_any_damage_to_any_file_is_an_error_or_harmless(tmp_path: Path):
    reader = write(tmp_path)
    sources = {name: next(source for source in reader.sources() if f"_{name}_" in source) for name in ("m1", "m3")}
    read = {name: partial(read_utterances, reader, source) for name, source in sources.items()}
    for path in [*tmp_path.rglob("usctimit_ema_m1_001_005.*"), tmp_path / "list_of_sentences.txt"]:
        assert refusals(path, read["m1"]) > 10
    for path in tmp_path.rglob("usctimit_ema_m3_001_005.mat"):
        assert refusals(path, read["m3"]) > 10
