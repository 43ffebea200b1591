"""What hypothesis draws for the readers' round trips, and how what comes back is compared with it."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import settings
from hypothesis import strategies as st

from tractprobe.corpora.utterance import Phone, Utterance
from tractprobe.signals.channels import ARTICULATORS, CHANNELS

FEW = settings(max_examples=20)
"""Each example writes and reads a corpus."""

ANYWHERE = dict.fromkeys(ARTICULATORS, (0.0, 0.0))
ANY = st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n")
LATIN = st.characters(codec="latin-1", exclude_characters="\r\n")

Courses = dict[str, np.ndarray]
Sound = tuple[np.ndarray, int]
Span = tuple[str, int, int]


@st.composite
def movements(
    draw: st.DrawFn, centres: Mapping[str, Sequence[float]], *, spread_mm: float = 200, reach_mm: float = 900,
    decimals: int | None = 4, keep: Collection[str], least: int = 16,
) -> Courses:  # fmt: skip
    """Draw where points are (time, axis): around their centres, at times far out or at 0, lost for a while or always.

    No two numbers are alike but for those; they have so many decimals, or are float32. Points to keep are there in the
    first row, as an utterance in which nothing is ever measured is refused.
    """
    count = draw(st.integers(least, least + 24))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    names, axes = sorted(centres), len(next(iter(centres.values())))
    courses = {name: centres[name] + random.uniform(-spread_mm, spread_mm, (count, axes)) for name in names}
    rows, points = st.integers(1, count - 1), st.sampled_from(names)
    far = st.sampled_from([0.0, -0.0, -reach_mm, reach_mm]) | st.floats(-reach_mm, reach_mm)
    for name, row, axis, value in draw(st.lists(st.tuples(points, rows, st.integers(0, axes - 1), far), max_size=4)):
        courses[name][row, axis] = value
    gaps = st.tuples(points, rows, st.integers(1, count // 4))
    for name, row, length in draw(st.lists(gaps, max_size=3, unique_by=lambda gap: gap[0])):
        courses[name][row : row + length] = np.nan
    optional = [name for name in names if name not in keep]
    for name in draw(st.lists(st.sampled_from(optional), max_size=2)) if optional else []:
        courses[name][:] = np.nan
    return {name: stored(course, decimals) for name, course in courses.items()}


def stored(values: np.ndarray, decimals: int | None) -> np.ndarray:
    """Return what is left of numbers that are written with so many decimals, or as float32 if that is None."""
    return values.astype(np.float32).astype(np.float64) if decimals is None else np.round(values, decimals)


@st.composite
def sounds(draw: st.DrawFn, rates_hz: Sequence[int] = (8000, 16000, 22050, 44100, 48000)) -> Sound:
    """Draw samples of 16 bits, 0.2 to 0.4 s of them, and their rate (Hz)."""
    rate_hz, duration_s = draw(st.sampled_from(rates_hz)), draw(st.floats(0.2, 0.4))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    return random.integers(-(1 << 15), 1 << 15, int(duration_s * rate_hz)).astype(np.int16), rate_hz


@st.composite
def spans(draw: st.DrawFn, labels: st.SearchStrategy[str], *, ticks: int = 300, touching: bool = False) -> list[Span]:
    """Draw labels with start and end in some unit of time, in order; each begins where the last one ends if touching.

    They may be of no length, and there may be none.
    """
    names = draw(st.lists(labels, max_size=6))
    count = len(names) + 1 if touching else 2 * len(names)
    edges = sorted(draw(st.lists(st.integers(0, ticks), min_size=count, max_size=count)))
    starts, ends = (edges[:-1], edges[1:]) if touching else (edges[::2], edges[1::2])
    return list(zip(names, starts, ends, strict=True))


def sentences(alphabet: st.SearchStrategy[str] = ANY) -> st.SearchStrategy[str]:
    """Text of one line without blanks around it."""
    return st.text(alphabet, max_size=20).map(str.strip).filter(bool)


def words(alphabet: st.SearchStrategy[str] = ANY) -> st.SearchStrategy[str]:
    """Text without any white space."""
    return st.text(alphabet, min_size=1, max_size=5).filter(lambda text: text.split() == [text])


def write_sound(path: Path, sound: Sound) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, *sound, subtype="PCM_16")


def assert_sound(utterance: Utterance, sound: Sound) -> None:
    assert utterance.audio_rate_hz == sound[1]
    np.testing.assert_array_equal(utterance.audio, sound[0].astype(np.float32) / 32768)


def assert_track(
    utterance: Utterance, courses: Mapping[str, np.ndarray], *, rate_hz: float, start_s: float = 0.0, atol: float = 1e-9
) -> None:
    """Compare a track with x to the front and y up (time, 2), mm, of articulators; the others are missing in it.

    What is NaN on one side only differs.
    """
    track = utterance.track
    assert track.channels == CHANNELS
    assert track.rate_hz == pytest.approx(rate_hz) and track.start_s == pytest.approx(start_s, abs=2e-6)
    wanted = {f"{name}_{axis}": course[:, at] for name, course in courses.items() for at, axis in enumerate("xy")}
    for values, name in zip(track.values.T, CHANNELS, strict=True):
        expected = wanted.get(name, np.full(len(values), np.nan))
        np.testing.assert_allclose(values, expected, rtol=0, atol=atol, err_msg=name)


def assert_extra(utterance: Utterance, courses: Mapping[str, np.ndarray], *, atol: float = 1e-9) -> None:
    """Compare further channels with x to the front and y up (time, 2), mm; there are no others."""
    wanted = {f"{name}_{axis}": course[:, at] for name, course in courses.items() for at, axis in enumerate("xy")}
    assert set(utterance.extra) == set(wanted)
    for name, expected in wanted.items():
        np.testing.assert_allclose(utterance.extra[name], expected, rtol=0, atol=atol, err_msg=name)


def assert_phones(phones: Sequence[Phone], written: Sequence[Span], tick_s: float) -> None:
    assert [phone.label for phone in phones] == [label for label, *_ in written]
    edges_s = [(start * tick_s, end * tick_s) for _, start, end in written]
    assert [(phone.start_s, phone.end_s) for phone in phones] == [pytest.approx(edges, abs=1e-9) for edges in edges_s]
