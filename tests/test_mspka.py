from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from damage import Breakages, assert_refused, refusals_in_corpus
from drawn import (
    FEW,
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

from tractprobe.corpora.geometry.orientation import with_x_to_the_front
from tractprobe.corpora.readers.mspka import Mspka
from tractprobe.corpora.utterance import Phone
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import CorpusError

ROWS = "xul yul zul xll yll zll xui yui zui xli yli zli xtb ytb ztb xtm ytm ztm xtt ytt ztt".split()
SENSORS = {"ul": "ul", "ll": "ll", "ui": "ui", "li": "li", "td": "tb", "tb": "tm", "tt": "tt"}
PLACES = {"ul": (9, 3), "ll": (8, -20), "ui": (0, 0), "li": (-2, -17), "tt": (-10, -8), "tb": (-30, 1), "td": (-48, 4)}
SENTENCES = {1: "La città è lì.", 2: "Il gnu (africano) dorme.", 10: "Tutte le rose"}


def truth(seed: int, frames: int = 200) -> dict[str, np.ndarray]:
    """Positions in mm, x to the front, that tell sensors, axes and utterances apart; ``y`` is the lateral axis."""
    random, values = np.random.default_rng(seed), {}
    for sensor, (x, z) in PLACES.items():
        for axis, place in {"x": x, "y": 400, "z": z}.items():
            values[axis + SENSORS[sensor]] = np.round(place + random.normal(size=frames), 4)
    return values


def write_rows(path: Path, rows: Sequence[np.ndarray]) -> None:
    path.write_text("".join(" ".join(f"{value:.4f}" for value in row) + " \n" for row in rows))


def write_utterance(root: Path, speaker: str, number: int, sign: int = 1, **changes: np.ndarray) -> Path:
    session, stem = root / f"{speaker}_1.0.0", f"{speaker}_{number}"
    for kind in ("ema", "wav", "lab"):
        (session / f"{kind}_1.0.0").mkdir(parents=True, exist_ok=True)
    values = truth(number) | changes
    ema = session / f"ema_1.0.0/{stem}.ema"
    write_rows(ema, [sign * values[name] if name.startswith("x") else values[name] for name in ROWS])
    soundfile.write(session / f"wav_1.0.0/{stem}.wav", np.random.default_rng(number).normal(size=11025) * 0.1, 22050)
    lab = "0 0.05 sil sil\n0.05 0.1 tt citt\\303\\240\n0.1 0.25 E1\n0.25 0.3 nf \\\\n\n0.3 0.5 sil sil\n"
    (session / f"lab_1.0.0/{stem}.lab").write_text(lab)
    listed = "".join(f"{key}) {text}\n" for key, text in SENTENCES.items())
    (session / "list_sentences").write_text("Frasi\n\n" + listed.replace("città", "citt\\303\\240"), encoding="utf-8")
    return ema


def write(root: Path) -> Mspka:
    write_utterance(root, "cnz", 10)
    write_utterance(root, "cnz", 2)
    write_utterance(root, "lls", 1, sign=-1)
    return Mspka(root)


def read_one(root: Path, **settings: Any) -> Any:
    reader = Mspka(root, **settings)
    (source,) = reader.sources()
    (utterance,) = reader.read(source)
    return utterance


def test_sources_are_the_ema_files_in_natural_order(tmp_path: Path):
    reader = write(tmp_path)
    (tmp_path / "cnz_1.0.0/ema_1.0.0/notes.ema").write_text("")
    assert reader.sources() == [
        "cnz_1.0.0/ema_1.0.0/cnz_2.ema", "cnz_1.0.0/ema_1.0.0/cnz_10.ema", "lls_1.0.0/ema_1.0.0/lls_1.ema",
    ]  # fmt: skip


def test_every_utterance_comes_back(tmp_path: Path):
    reader = write(tmp_path)
    utterances = [utterance for source in reader.sources() for utterance in reader.read(source)]
    assert [(one.id, one.speaker, one.text) for one in utterances] == [
        ("cnz_2", "cnz", SENTENCES[2]), ("cnz_10", "cnz", SENTENCES[10]), ("lls_1", "lls", SENTENCES[1]),
    ]  # fmt: skip
    for utterance in utterances:
        assert (utterance.language, utterance.phone_set, utterance.frame) == ("it", "mspka", "unknown")
        assert (utterance.audio_rate_hz, len(utterance.audio)) == (22050, 11025)
        assert (utterance.track.rate_hz, utterance.track.start_s, len(utterance.track.values)) == (400, 0, 200)
        assert [phone.label for phone in utterance.phones] == ["sil", "tt", "E1", "nf", "sil"]
        assert utterance.phones[2] == Phone("E1", 0.1, 0.25)


@pytest.mark.parametrize("sign", [1, -1])
def test_rows_are_channels_and_x_and_z_are_taken_whichever_way_x_points(tmp_path: Path, sign: int):
    write_utterance(tmp_path, "olm", 2, sign=sign)
    utterance, values = read_one(tmp_path), truth(2)
    for name, column in zip(CHANNELS, utterance.track.values.T, strict=True):
        sensor, axis = name.split("_")
        np.testing.assert_array_equal(column, values[{"x": "x", "y": "z"}[axis] + SENSORS[sensor]])
    assert set(utterance.extra) == {"ui_x", "ui_y"}
    np.testing.assert_array_equal(utterance.extra["ui_x"], values["xui"])
    np.testing.assert_array_equal(utterance.extra["ui_y"], values["zui"])


def escaped(text: str, escapes: int) -> bytes:
    """Return UTF-8 in which bytes outside ASCII are octal escapes: in none, every second or all of the characters."""
    written = b""
    for index, character in enumerate(text):
        content = character.encode()
        is_plain = character.isascii() or index % 2 >= escapes
        written += content if is_plain else b"".join(b"\\%03o" % byte for byte in content)
    return written


LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n\\")  # or else an escape of our own


@FEW
@given(
    courses=movements({name: (x, 400, z) for name, (x, z) in PLACES.items()}, spread_mm=3, keep=("ll", "td")),
    sign=st.sampled_from([1, -1]),
    unit_mm=st.sampled_from([1.0, 10.0]),
    sound=sounds((16000, 22050)),
    labels=spans(words(LETTERS)).filter(bool),
    escapes=st.integers(0, 2),
    speaker=st.from_regex(r"[A-Za-z]{1,5}", fullmatch=True),
    number=st.integers(0, 10**9 - 1),
    text=sentences(LETTERS),
)
def test_any_utterance_comes_back(
    tmp_path_factory: pytest.TempPathFactory, courses: Courses, sign: int, unit_mm: float, sound: Sound,
    labels: list[Span], escapes: int, speaker: str, number: int, text: str,
):  # fmt: skip
    root = tmp_path_factory.mktemp("any")
    session, stem = root / f"{speaker}_1.0.0", f"{speaker}_{number}"
    for kind in ("ema", "lab"):
        (session / f"{kind}_1.0.0").mkdir(parents=True)
    rows = [course[:, at] * factor / unit_mm for name in ("ul", "ll", "ui", "li", "td", "tb", "tt")
            for course in [courses[name]] for at, factor in enumerate((sign, 1, 1))]  # fmt: skip
    write_rows(session / f"ema_1.0.0/{stem}.ema", rows)
    write_sound(session / f"wav_1.0.0/{stem}.wav", sound)
    lines = [f"{start / 1000} {end / 1000} {label}{' una parola' * (start % 2)}" for label, start, end in labels]
    (session / f"lab_1.0.0/{stem}.lab").write_bytes(escaped("\n".join(lines), escapes))
    listed = escaped(f"Frasi\n{number + 1}) Altro.\n{number}) {text}\n", escapes)
    (session / "list_sentences").write_bytes(listed)
    read = read_one(root, unit_mm=unit_mm)
    expected = {name: course[:, [0, 2]] for name, course in courses.items()}
    atol = 0.5001e-4 * unit_mm
    assert_extra(read, {"ui": expected.pop("ui")}, atol=atol)
    assert_track(read, expected, rate_hz=400, atol=atol)
    assert_sound(read, sound)
    assert_phones(read.phones, labels, 0.001)
    assert (read.id, read.speaker, read.text) == (stem, speaker, text)


def test_another_unit_can_be_set_and_a_wrong_one_is_refused(tmp_path: Path):
    write_utterance(tmp_path, "olm", 2, **{name: values / 10 for name, values in truth(2).items()})
    with pytest.raises(CorpusError, match=r"olm_2\.ema: 5\.\d+ mm from lips to tongue back.*wrong unit"):
        read_one(tmp_path)
    np.testing.assert_allclose(read_one(tmp_path, unit_mm=10).track.values[:, 6], truth(2)["xli"], atol=1e-3)


def test_lost_samples_stay_lost_and_a_lost_sensor_is_missing(tmp_path: Path):
    lost = truth(2)
    lost["xtt"][5:8] = lost["ztt"][5:8] = np.nan
    lost["xli"] = lost["zli"] = np.full(200, np.nan)
    write_utterance(tmp_path, "olm", 2, **lost)
    missing = ~read_one(tmp_path).track.valid
    assert missing[:, CHANNELS.index("li_x")].all() and missing.sum() == 2 * 200 + 6


def test_only_octal_escapes_are_resolved(tmp_path: Path):
    write_utterance(tmp_path, "olm", 1)
    (tmp_path / "olm_1.0.0/list_sentences").write_bytes(b"1) perch\\303\\251 \\x41 \\n \\N{BULLET} \xc3\xa8\n")
    assert read_one(tmp_path).text == "perché \\x41 \\n \\N{BULLET} è"


def test_a_flat_folder_is_read_too(tmp_path: Path):
    ema = write_utterance(tmp_path, "olm", 2)
    flat = tmp_path / "new/olm"
    flat.mkdir(parents=True)
    for path in ema.parents[1].rglob("olm_2.*"):
        path.rename(flat / path.name)
    (ema.parents[1] / "list_sentences").rename(tmp_path / "new/list_sentences")
    assert read_one(tmp_path).text == SENTENCES[2]


def columns(**x: Any) -> dict[str, np.ndarray]:
    made = {f"{name}_x": np.full(3, float(place[0])) for name, place in PLACES.items()}
    made |= {f"{name}_y": np.full(3, float(place[1])) for name, place in PLACES.items()}
    return {name: np.full(3, float(x[name])) if name in x else column for name, column in made.items()}


IMPOSSIBLE: dict[str, tuple[dict[str, float], str]] = {
    "tip behind the blade": ({"tt_x": -40}, "an impossible order"),
    "dorsum before the blade": ({"td_x": -20}, "an impossible order"),
    "lips between tip and blade": ({"ul_x": -20, "ll_x": -20}, "an impossible order"),
    "all at one place": (dict.fromkeys([f"{name}_x" for name in PLACES], 1.0), "0 mm from lips"),
    "no lips": ({"ul_x": np.nan, "ll_x": np.nan}, "needs a lip and the back or middle"),
    "no tongue": ({"tb_x": np.nan, "td_x": np.nan}, "needs a lip and the back or middle"),
    "upside down": ({"ul_y": -20, "ll_y": 3}, "upper lip is not above"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_what_has_no_heads_proportions_is_refused(case: str):
    changes, problem = IMPOSSIBLE[case]
    with pytest.raises(CorpusError, match=problem):
        with_x_to_the_front(Path("a.ema"), columns(**changes))


def test_single_lost_sensors_leave_the_direction_clear():
    for lost in ("ul", "ll", "tt", "tb", "td", "li"):
        turned = with_x_to_the_front(Path("a.ema"), columns(**{f"{lost}_x": np.nan, f"{lost}_y": np.nan}))
        assert np.nanmax(turned["ul_x"] if lost != "ul" else turned["ll_x"]) > 0


def edit(root: Path, name: str, old: str, new: str) -> None:
    (path,) = root.rglob(name)
    content = path.read_bytes()
    assert old.encode() in content
    path.write_bytes(content.replace(old.encode(), new.encode(), 1))


def columns_as_rows(root: Path) -> None:
    (path,) = root.rglob("*.ema")
    np.savetxt(path, np.loadtxt(path).T, fmt="%.4f")


BROKEN: Breakages = {
    "a row lacks": (lambda root: edit(root, "*.ema", (root / "e").read_text(), ""), "20 rows"),
    "channels as columns": (columns_as_rows, "200 rows"),
    "a number lacks": (lambda root: edit(root, "*.ema", "\n", "\n1.0 "), r"\(line"),
    "no number": (lambda root: edit(root, "*.ema", ".", "x"), r"olm_2\.ema \(line 1\)"),
    "infinite": (lambda root: edit(root, "*.ema", "\n", "\ninf "), r"olm_2\.ema"),
    "far away": (lambda root: edit(root, "*.ema", "400.", "4000."), r"olm_2\.ema: a position of"),
    "empty": (lambda root: next(root.rglob("*.ema")).write_bytes(b""), r"olm_2\.ema: 1 rows"),
    "binary": (lambda root: next(root.rglob("*.ema")).write_bytes(b"\xff\x00" * 999), r"olm_2\.ema \(byte 0\)"),
    "no audio": (lambda root: next(root.rglob("*.wav")).unlink(), r"olm_2\.wav: no such file"),
    "audio is text": (lambda root: next(root.rglob("*.wav")).write_text("RIFF"), r"olm_2\.wav"),
    "no labels": (lambda root: next(root.rglob("*.lab")).unlink(), r"olm_2\.lab: no such file"),
    "labels without end": (lambda root: edit(root, "*.lab", "0.1 0.25 E1", "0.1 E1"), r"olm_2\.lab \(line 3\)"),
    "labels backwards": (lambda root: edit(root, "*.lab", "0.1 0.25 E1", "0.3 0.25 E1"), "ends before it starts"),
    "labels in no encoding": (lambda root: edit(root, "*.lab", "\\303\\240", "\\303"), r"olm_2\.lab \(byte"),
    "no sentences": (lambda root: next(root.rglob("list_sentences")).unlink(), "list_sentences: no such file"),
    "sentence lacks": (lambda root: edit(root, "list_sentences", "2) ", "3) "), "0 sentences with the number 2"),
    "two sentences": (lambda root: edit(root, "list_sentences", "1) ", "2) "), "2 sentences with the number 2"),
    "a gap in the labels' name": (lambda root: next(root.rglob("*.lab")).write_bytes(b""), r"olm_2\.lab \(line 1\)"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_one_error_that_names_it(tmp_path: Path, case: str):
    ema = write_utterance(tmp_path, "olm", 2)
    (tmp_path / "e").write_text(ema.read_text().split("\n")[4] + "\n")
    assert_refused(tmp_path, lambda: read_one(tmp_path), BROKEN[case])


def test_nothing_to_read_says_so(tmp_path: Path):
    with pytest.raises(CorpusError, match="holds no utterance"):
        Mspka(tmp_path).sources()
    with pytest.raises(CorpusError, match="no such folder"):
        Mspka(tmp_path / "none").sources()
    with pytest.raises(CorpusError, match="not named as"):
        Mspka(tmp_path).read("x.ema")


def test_damage_anywhere_is_an_error_or_harmless(tmp_path: Path):
    write_utterance(tmp_path, "olm", 2)
    assert refusals_in_corpus(Mspka(tmp_path)) > 50
