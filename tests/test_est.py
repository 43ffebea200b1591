from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import real
from damage import refusals
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tractprobe.corpora.formats.est import read_est
from tractprobe.system.errors import CorpusError

# Order of the header's keys: the Speech Tools' own, MOCHA's, and mngu0's normalised files'.
SPEECH_TOOLS = ("DataType", "ByteOrder", "NumFrames", "NumChannels", "EqualSpace", "BreaksPresent", "CommentChar")
MOCHA = ("DataType", "NumFrames", "ByteOrder", "NumChannels", "EqualSpace", "BreaksPresent", "CommentChar")
MNGU0_NORM = ("DataType", "NumFrames", "NumChannels", "EqualSpace", "BreaksPresent", "CommentChar", ..., "ByteOrder")


def write_est(
    path: Path, values: np.ndarray, names: Sequence[str], *, rate_hz: float = 500, start_s: float = 0.0,
    kind: str = "binary", order: str = "01", keys: Sequence[Any] = MOCHA, flags: np.ndarray | None = None,
    times_s: np.ndarray | None = None, **header: Any,
) -> Path:  # fmt: skip
    """Write a track as the Speech Tools do: text header, then rows of time, flag and channels."""
    times_s = start_s + np.arange(len(values)) / rate_hz if times_s is None else times_s
    flags = np.ones(len(values)) if flags is None else flags
    rows = np.column_stack([times_s, flags, values])
    fields = {
        "DataType": kind, "ByteOrder": order, "NumFrames": len(values), "NumChannels": values.shape[1],
        "EqualSpace": 1, "BreaksPresent": "true", "CommentChar": ";\n",
    }  # fmt: skip
    channels = [f"Channel_{index} {name}" for index, name in enumerate(names)]
    lines = ["EST_File Track"]
    for key in keys:
        lines += channels if key is ... else [f"{key} {(fields | header)[key]}"]
    lines += [] if ... in keys else channels
    lines += [f"{key} {value}" for key, value in header.items() if key not in fields]
    head = "\n".join([*lines, "EST_Header_End", ""]).encode("latin-1")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + (rows_as_text(rows) if kind == "ascii" else rows_as_bytes(rows, order)))
    return path


def rows_as_bytes(rows: np.ndarray, order: str) -> bytes:
    return rows.astype({"01": "<f4", "10": ">f4"}.get(order, "<f4")).tobytes()


def rows_as_text(rows: np.ndarray) -> bytes:
    lines = [f"{row[0]:.6f}\t{row[1]:g} \t" + " ".join(f"{value:.9g}" for value in row[2:]) for row in rows]
    return "".join(f"{line} \n" for line in lines).encode()


VALUES = np.arange(60).reshape(10, 6) + 0.25
NAMES = ("tt_x", "tt_y", "v_x ", "****", "v_y ", "****")


@pytest.mark.parametrize("kind", ["binary", "ascii"])
@pytest.mark.parametrize("order", ["01", "10"])
@pytest.mark.parametrize("keys", [SPEECH_TOOLS, MOCHA, MNGU0_NORM])
def test_the_header_is_read_by_key_in_any_order(tmp_path: Path, kind: str, order: str, keys: tuple):
    track = read_est(write_est(tmp_path / "a.ema", VALUES, NAMES, kind=kind, order=order, keys=keys, start_s=0.25))
    assert track.channels == ("tt_x", "tt_y", "v_x", "****", "v_y", "****")
    assert (track.rate_hz, track.start_s, track.duration_s) == (500, 0.25, 0.02)
    np.testing.assert_array_equal(track.values, VALUES)


@given(
    values=arrays("<f4", st.tuples(st.integers(2, 30), st.integers(1, 8)), elements=st.floats(width=32)),
    order=st.sampled_from(["01", "10"]),
    kind=st.sampled_from(["binary", "ascii"]),
    rate_hz=st.sampled_from([100, 145.645, 200, 250, 500, 1250]),
    start_s=st.sampled_from([0.0, 0.005, 1.5]),
)
def test_any_track_comes_back(
    tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, order: str, kind: str, rate_hz: float, start_s: float
):
    path = tmp_path_factory.mktemp("est") / "a.ema"
    names = [f"c{index}" for index in range(values.shape[1])]
    track = read_est(write_est(path, values, names, order=order, kind=kind, rate_hz=rate_hz, start_s=start_s))
    np.testing.assert_array_equal(track.values.astype(np.float32), values)
    assert track.rate_hz == pytest.approx(rate_hz, rel=1e-3) and track.start_s == pytest.approx(start_s, abs=1e-6)


def test_time_and_flag_come_before_the_first_channel(tmp_path: Path):
    track = read_est(write_est(tmp_path / "a.ema", VALUES, NAMES))
    np.testing.assert_array_equal(track.column("tt_x"), VALUES[:, 0])
    np.testing.assert_array_equal(track.column("v_x"), VALUES[:, 2])


@pytest.mark.parametrize("kind", ["binary", "ascii"])
@pytest.mark.parametrize("flag", [0.0, np.nan])
def test_a_frame_flagged_as_a_break_is_missing(tmp_path: Path, kind: str, flag: float):
    flags = np.ones(10)
    flags[3:5] = flag
    values = read_est(write_est(tmp_path / "a.ema", VALUES, NAMES, kind=kind, flags=flags)).values
    assert np.isnan(values).all(axis=1).nonzero()[0].tolist() == [3, 4]
    np.testing.assert_array_equal(values[5:], VALUES[5:])


def test_a_break_needs_no_time_but_a_measurement_does(tmp_path: Path):
    times_s, flags = np.arange(10) / 500, np.ones(10)
    times_s[[0, 4]], flags[[0, 4]] = np.nan, np.nan
    track = read_est(write_est(tmp_path / "a.ema", VALUES, NAMES, times_s=times_s, flags=flags))
    assert (track.rate_hz, track.start_s) == (500, 0)
    path = write_est(tmp_path / "a.ema", VALUES, NAMES, times_s=times_s)
    with pytest.raises(CorpusError, match=r"a\.ema \(row 1\): a measurement without a time"):
        read_est(path)


@pytest.mark.parametrize("rate_hz", [145.645, 199.9])
def test_a_rate_that_is_no_whole_number_stays_so(tmp_path: Path, rate_hz: float):
    values = np.zeros((1000, 1))
    assert read_est(write_est(tmp_path / "a.ema", values, ["a"], rate_hz=rate_hz)).rate_hz == pytest.approx(
        rate_hz, rel=1e-5
    )


def test_a_long_track_keeps_an_even_clock_despite_float32(tmp_path: Path):
    values = np.zeros((60_000, 1))
    assert read_est(write_est(tmp_path / "a.ema", values, ["a"])).rate_hz == 500


def test_a_channel_is_asked_for_by_a_name_that_occurs_once(tmp_path: Path):
    track = read_est(write_est(tmp_path / "a.ema", VALUES, NAMES))
    for name, count in (("****", 2), ("td_x", 0)):
        with pytest.raises(CorpusError, match=rf"a\.ema: expected one channel .*, not {count}") as error:
            track.column(name)
        assert "tt_x tt_y v_x **** v_y ****" in str(error.value)


def test_rows_without_a_header_are_read_if_their_channels_are_given(tmp_path: Path):
    path = tmp_path / "a.ema"
    path.write_bytes(rows_as_text(np.column_stack([np.arange(10) / 500, np.ones(10), VALUES])))
    track = read_est(path, headerless_channels=("a", "b", "c", "d", "e", "f"))
    np.testing.assert_array_equal(track.column("b"), VALUES[:, 1])
    for channels in ((), ("a", "b")):
        with pytest.raises(CorpusError, match=r"a\.ema"):
            read_est(path, headerless_channels=channels)


def replaced(old: bytes, new: bytes) -> Callable[[Path], Any]:
    def change(path: Path) -> None:
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new, 1))

    return change


def clock(change: Callable[[np.ndarray], Any]) -> Callable[[Path], Any]:
    def write(path: Path) -> None:
        times_s = np.arange(10) / 500
        change(times_s)
        write_est(path, VALUES, NAMES, times_s=times_s)

    return write


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "byte 0"),
    "another format": (lambda path: path.write_bytes(b"RIFF" + bytes(100)), "does not start with"),
    "no end of the header": (replaced(b"EST_Header_End", b"EST_Header_Off"), "EST_Header_End"),
    "header only": (lambda path: path.write_bytes(path.read_bytes()[:60]), "EST_Header_End"),
    "unknown type": (replaced(b"DataType binary", b"DataType packed"), "DataType 'packed'"),
    "no type": (replaced(b"DataType binary\n", b""), "DataType None"),
    "text for bytes": (lambda path: write_est(path, VALUES, NAMES, kind="ascii", DataType="binary"), "bytes of data"),
    "bytes for text": (replaced(b"DataType binary", b"DataType ascii"), "line 17"),
    "unknown byte order": (replaced(b"ByteOrder 01", b"ByteOrder 11"), "ByteOrder '11'"),
    "no byte order": (replaced(b"ByteOrder 01\n", b""), "ByteOrder None"),
    "the other byte order": (replaced(b"ByteOrder 01", b"ByteOrder 10"), "row"),
    "no count": (replaced(b"NumFrames 10\n", b""), "NumFrames"),
    "no number": (replaced(b"NumFrames 10", b"NumFrames ten"), "NumFrames is 'ten'"),
    "a negative count": (replaced(b"NumChannels 6", b"NumChannels -6"), "NumChannels is '-6'"),
    "more frames than bytes": (replaced(b"NumFrames 10", b"NumFrames 999999999"), "999999999 x"),
    "more channels than bytes": (replaced(b"NumChannels 6", b"NumChannels 999999999"), "999999999 channels"),
    "fewer channels than numbers": (replaced(b"NumChannels 6", b"NumChannels 5"), "bytes of data"),
    "auxiliary channels": (replaced(b"CommentChar", b"NumAuxChannels 2\nCommentChar"), "auxiliary"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-3]), "317 bytes of data, 320 announced"),
    "something after": (lambda path: path.write_bytes(path.read_bytes() + b"\n"), "byte"),
    "fewer lines of text": (lambda path: write_est(path, VALUES, NAMES, kind="ascii", NumFrames=11), "10 rows"),
    "one frame": (lambda path: write_est(path, VALUES[:1], NAMES), "1 rows with a time"),
    "no frame": (lambda path: write_est(path, VALUES[:0], NAMES, kind="ascii"), "0 rows with a time"),
    "time goes back": (clock(lambda times: times.__setitem__(5, 0.001)), "row 6.*equal steps"),
    "time stands still": (clock(lambda times: times.fill(1)), "equal steps"),
    "time leaps": (clock(lambda times: times.__setitem__(slice(6, None), times[6:] + 0.002)), "equal steps"),
    "time leaps after the first frame": (clock(lambda times: times.__setitem__(0, -0.002)), "row 2.*equal steps"),
    "time is infinite": (clock(lambda times: times.__setitem__(5, np.inf)), "row 6"),
    "time is absurd": (clock(lambda times: times.__imul__(3e30)), "equal steps"),
    "steps of a minute": (clock(lambda times: times.__imul__(30_000)), "equal steps"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_track_is_one_error_that_names_file_and_place(tmp_path: Path, case: str):
    change, problem = BROKEN[case]
    change(write_est(tmp_path / "a.ema", VALUES, NAMES))
    with pytest.raises(CorpusError, match=problem) as error:
        read_est(tmp_path / "a.ema")
    assert error.value.file.endswith("a.ema")


@pytest.mark.parametrize(("kind", "order"), [("binary", "01"), ("binary", "10"), ("ascii", "01")])
def test_bit_rot_is_an_error_or_harmless_but_nothing_else(tmp_path: Path, kind: str, order: str):
    path = write_est(tmp_path / "a.ema", VALUES, NAMES, kind=kind, order=order)

    def read() -> None:
        track = read_est(path, ("a", "b", "c", "d", "e", "f"))
        assert len(track.channels) == track.values.shape[1] and np.isfinite([track.rate_hz, track.start_s]).all()

    assert refusals(path, read, 300) > 150


def test_real_tracks_binary_and_text_hold_the_same_count():
    folder = real("TRACTPROBE_SAMPLES", "m2ci_artk")
    tracks = [read_est(folder / name) for name in ("esttrack.bin", "esttrack.txt")]
    for track in tracks:
        assert (track.rate_hz, track.start_s, len(track.channels)) == (200, 0.005, 84)
        np.testing.assert_array_equal(track.values, np.arange(1, 841).reshape(10, 84))
        assert track.column("Ch1_theta")[0] == 5
