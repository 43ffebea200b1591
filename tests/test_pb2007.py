from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from damage import Breakages, assert_refused, refusals_in_corpus
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
    sounds,
    spans,
    words,
    write_sound,
)
from hypothesis import given
from hypothesis import strategies as st
from test_mspka import edit

from tractprobe.corpora.readers.pb2007 import Pb2007
from tractprobe.corpora.utterance import Phone
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import CorpusError

COILS = ("li", "tt", "tb", "td", "ul", "ll")
PLACES_MM = {"li": (58, 88), "tt": (66, 97), "tb": (89, 105), "td": (111, 97), "ul": (48, 112), "ll": (50, 90)}
LABELS = {1: ("__", "e^", "__"), 2: ("__", "a", "p", "_", "x~", "__"), 30: ("__", "e^", "__")}


def truth(number: int, frames: int = 60) -> dict[str, np.ndarray]:
    """Positions in mm in the original's axes, x to the back, that tell coils, axes and items apart."""
    random = np.random.default_rng(number)
    return {coil: np.round(place + random.normal(size=(frames, 2)), 4) for coil, place in PLACES_MM.items()}


def phones_of(number: int) -> list[tuple[int, int, str]]:
    """Return start, end (10 ms) and label."""
    return [(10 * index, 10 * index + 10, label) for index, label in enumerate(LABELS[number])]


def write_audio(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(number).normal(size=9700) * 0.1, 16000)


def write_seq(path: Path, values: dict[str, np.ndarray], header: str | None, coils: Sequence[str] = COILS) -> None:
    """Write positions (mm) in cm: x of all coils, then y."""
    rows = np.concatenate([np.stack([values[coil][:, axis] for coil in coils], axis=1) for axis in (0, 1)], axis=1) / 10
    lines = [
        *([] if header is None else [header]),
        *("  #" + "".join(f" {value:11.6f}" for value in row) for row in rows),
    ]
    path.write_text("".join(f"{line}\n" for line in lines))


def write_original(root: Path, number: int, header: str = "  12 60  100", **changes: np.ndarray) -> Path:
    stem = f"item_{number:04d}"
    seq, lab = root / f"_seq/{stem}.seq", root / f"_lab/{stem}.lab"
    for path in (seq, lab):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_seq(seq, truth(number) | changes, header)
    lab.write_text("".join(f"{start * 100_000} {end * 100_000} {label}\n" for start, end, label in phones_of(number)))
    write_audio(root / f"_wav16/{stem}.wav", number)
    return seq


def write_processed(root: Path, number: int, lips: tuple[str, str] = ("ul", "ll"), sign: int = 1) -> Path:
    values, path = truth(number), root / f"pb/item_{number:04d}.ema"
    rows = np.concatenate([values[coil] for coil in (*COILS[:4], *lips)], axis=1)
    rows[:, ::2] *= sign
    write_audio(path.with_suffix(".wav"), number)
    path.write_bytes(rows.astype("<f4").tobytes())
    path.with_suffix(".phone").write_text(
        "".join(f"{start} {end} {label}\n" for start, end, label in phones_of(number))
    )
    return path


def write(root: Path) -> Pb2007:
    for number in (30, 2, 1):
        write_original(root, number)
    return Pb2007(root)


def read_one(root: Path, **settings: Any) -> Any:
    reader = Pb2007(root, **settings)
    (source,) = reader.sources()
    (utterance,) = reader.read(source)
    return utterance


def check_positions(utterance: Any, number: int, tolerance: float) -> None:
    for name, column in zip(CHANNELS, utterance.track.values.T, strict=True):
        coil, axis = name.split("_")
        wanted = -truth(number)[coil][:, 0] if axis == "x" else truth(number)[coil][:, 1]
        np.testing.assert_allclose(column, wanted, atol=tolerance, err_msg=name)


def test_every_original_item_comes_back(tmp_path: Path):
    reader = write(tmp_path)
    assert reader.sources() == ["_seq/item_0001.seq", "_seq/item_0002.seq", "_seq/item_0030.seq"]
    for source, number in zip(reader.sources(), (1, 2, 30), strict=True):
        (utterance,) = reader.read(source)
        assert (utterance.id, utterance.speaker, utterance.language) == (f"item_{number:04d}", "pb", "fr")
        assert (utterance.audio_rate_hz, len(utterance.audio), utterance.phone_set) == (16000, 9700, "pb2007")
        assert (utterance.track.rate_hz, utterance.track.start_s, len(utterance.track.values)) == (100, 0, 60)
        check_positions(utterance, number, 1e-4)


@pytest.mark.parametrize("lips", [("ul", "ll"), ("ll", "ul")])
@pytest.mark.parametrize("sign", [1, -1])
def test_processed_items_come_back_whichever_lip_is_first_and_wherever_x_points(
    tmp_path: Path, lips: tuple[str, str], sign: int
):
    write_processed(tmp_path, 2, lips, sign)
    utterance = read_one(tmp_path)
    check_positions(utterance, 2, 1e-4)
    assert utterance.phones[4] == Phone("x~", 0.4, 0.5) and utterance.text == "a p x~"


@FEW
@given(
    courses=movements({name: (-x, y) for name, (x, y) in PLACES_MM.items()}, spread_mm=0.9, keep=("ul", "ll", "td")),
    form=st.sampled_from(["original", "processed"]),
    sign=st.sampled_from([1, -1]),
    lips=st.sampled_from([("ul", "ll"), ("ll", "ul")]),
    header=st.sampled_from([None, "#", "", "x y z", "  12 60  100"]),
    sound=sounds((16000,)),
    labels=spans(words(ANY), ticks=40).filter(bool),
    number=st.integers(0, 9999),
)
def test_any_item_comes_back(
    tmp_path_factory: pytest.TempPathFactory, courses: Courses, form: str, sign: int, lips: tuple[str, str],
    header: str | None, sound: Sound, labels: list[Span], number: int,
):  # fmt: skip
    root, stem, coils = tmp_path_factory.mktemp("any"), f"item_{number:04d}", (*COILS[:4], *lips)
    written = {coil: course * (sign, 1) for coil, course in courses.items()}
    for name in ("_seq", "_lab", "pb"):
        (root / name).mkdir()
    if form == "original":
        write_seq(root / f"_seq/{stem}.seq", written, header, coils)
        write_sound(root / f"_wav16/{stem}.wav", sound)
        lab, ticks = root / f"_lab/{stem}.lab", 100_000
    else:
        rows = np.concatenate([written[coil] for coil in coils], axis=1)
        (root / f"pb/{stem}.ema").write_bytes(rows.astype("<f4").tobytes())
        write_sound(root / f"pb/{stem}.wav", sound)
        lab, ticks = root / f"pb/{stem}.phone", 1
    lines = [f"{start * ticks} {end * ticks} {label}\n" for label, start, end in labels]
    lab.write_text("".join(lines), encoding="utf-8", newline="")
    read = read_one(root)
    assert_track(read, courses, rate_hz=100, atol=1e-4)
    assert_sound(read, sound)
    assert_phones(read.phones, labels, 0.01)
    spoken = [label for label, *_ in labels if label not in ("_", "__")]
    assert (read.id, read.speaker, read.text) == (stem, "pb", " ".join(spoken))


def test_lab_times_are_tenths_of_microseconds(tmp_path: Path):
    write_original(tmp_path, 2)
    phones = read_one(tmp_path).phones
    assert [phone.label for phone in phones] == list(LABELS[2])
    assert (phones[1].start_s, phones[1].end_s) == (pytest.approx(0.1), pytest.approx(0.2))


def test_the_phones_stand_for_the_text_so_that_equal_items_are_equal(tmp_path: Path):
    reader = write(tmp_path)
    texts = [reader.read(source)[0].text for source in reader.sources()]
    assert texts == ["e^", "a p x~", "e^"]


@pytest.mark.parametrize("header", ["#", "# jaw tip mid back ulip llip jaw tip mid back ulip", "", "x y z"])
def test_the_first_line_is_a_header_unless_it_is_a_row(tmp_path: Path, header: str):
    write_original(tmp_path, 2, header=header)
    assert len(read_one(tmp_path).track.values) == 60


def test_a_first_line_that_is_a_row_is_one(tmp_path: Path):
    path = write_original(tmp_path, 2)
    path.write_text(path.read_text().partition("\n")[2])
    assert len(read_one(tmp_path).track.values) == 60


def test_a_number_before_the_mark_is_no_movement(tmp_path: Path):
    path = write_original(tmp_path, 2)
    path.write_text(path.read_text().replace("  #", " 17 #"))
    check_positions(read_one(tmp_path), 2, 1e-4)


def test_lost_samples_stay_lost(tmp_path: Path):
    lost = truth(2)["ul"]
    lost[3:6] = np.nan
    write_original(tmp_path, 2, ul=lost)
    assert (~read_one(tmp_path).track.valid).sum() == 6


def test_originals_come_before_processed_files(tmp_path: Path):
    write_original(tmp_path, 2)
    write_processed(tmp_path, 2)
    assert Pb2007(tmp_path).sources() == ["_seq/item_0002.seq"]


def only(root: Path, suffix: str) -> Path:
    (path,) = root.rglob(f"*{suffix}")
    return path


def emptied(root: Path) -> None:
    path = only(root, ".seq")
    path.write_text(path.read_text().partition("\n")[0])


BROKEN: Breakages = {
    "a row without its mark": (lambda root: edit(root, "*.seq", "\n  # ", "\n  "), r"item_0002\.seq \(line 2\)"),
    "a row too short": (lambda root: edit(root, "*.seq", only(root, ".seq").read_text()[-13:], "\n"), "11 cells"),
    "no number": (lambda root: edit(root, "*.seq", ".", "x"), r"item_0002\.seq \(line 2\)"),
    "header only": (emptied, r"item_0002\.seq: contains no movements"),
    "empty": (lambda root: only(root, ".seq").write_bytes(b""), r"item_0002\.seq: contains no movements"),
    "binary": (lambda root: only(root, ".seq").write_bytes(b"\xff" * 99), r"item_0002\.seq \(byte 0\)"),
    "infinite": (lambda root: write_original(root, 2, ul=np.full((60, 2), np.inf)), "a position of inf"),
    "lips lost": (lambda root: write_original(root, 2, ul=np.full((60, 2), np.nan)), "told apart"),
    "tongue turned around": (
        lambda root: write_original(root, 2, tt=truth(2)["tb"], tb=truth(2)["tt"]),
        "an impossible order",
    ),
    "millimetres": (lambda root: write_original(root, 2, **{k: 10 * v for k, v in truth(2).items()}), "wrong unit"),
    "no audio": (lambda root: only(root, ".wav").unlink(), r"_wav16/item_0002\.wav: no such file"),
    "no labels": (lambda root: only(root, ".lab").unlink(), r"_lab/item_0002\.lab: no such file"),
    "labels without end": (lambda root: edit(root, "*.lab", "1000000 2000000 a", "1000000 a"), r"0002\.lab \(line 2\)"),
    "labels empty": (lambda root: only(root, ".lab").write_bytes(b""), r"0002\.lab \(line 1\)"),
    "labels backwards": (
        lambda root: edit(root, "*.lab", "1000000 2000000", "2000001 2000000"),
        "ends before it starts",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_original_is_one_error_that_names_it(tmp_path: Path, case: str):
    write_original(tmp_path, 2)
    assert_refused(tmp_path, lambda: read_one(tmp_path), BROKEN[case])


BROKEN_PROCESSED: Breakages = {
    "cut": (lambda root: only(root, ".ema").write_bytes(only(root, ".ema").read_bytes()[:-3]), "not a multiple"),
    "empty": (lambda root: only(root, ".ema").write_bytes(b""), "contains no movements"),
    "text": (lambda root: only(root, ".ema").write_text("1.00 2.00 3.00 " * 16), r"item_0002\.ema"),
    "doubles": (lambda root: only(root, ".ema").write_bytes(np.full(600, 7.0).tobytes()), r"item_0002\.ema"),
    "big-endian": (
        lambda root: only(root, ".ema").write_bytes(np.full(600, 7.0, ">f4").tobytes()), r"item_0002\.ema"
    ),
    "no phones": (lambda root: only(root, ".phone").unlink(), r"item_0002\.phone: no such file"),
    "no audio": (lambda root: only(root, ".wav").unlink(), r"item_0002\.wav: no such file"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN_PROCESSED)
def test_a_broken_processed_file_is_one_error_that_names_it(tmp_path: Path, case: str):
    write_processed(tmp_path, 2)
    assert_refused(tmp_path, lambda: read_one(tmp_path), BROKEN_PROCESSED[case])


def test_nothing_to_read_says_so(tmp_path: Path):
    with pytest.raises(CorpusError, match="holds no utterance"):
        Pb2007(tmp_path).sources()
    with pytest.raises(CorpusError, match="not named as"):
        Pb2007(tmp_path).read("item_1.seq")


def test_damage_anywhere_is_an_error_or_harmless(tmp_path: Path):
    write_original(tmp_path / "a", 2)
    write_processed(tmp_path / "b", 2)
    for release in ("a", "b"):
        assert refusals_in_corpus(Pb2007(tmp_path / release)) > 50
