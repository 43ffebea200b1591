from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from conftest import real
from damage import refusals
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tractprobe.corpora.formats.carstens import Sweep, read_sweep
from tractprobe.system.errors import CorpusError

FIELDS = ("X", "Y", "Z", "phi", "theta", "RMS", "Extra")


def ag501_bytes(
    records: np.ndarray, *, version: str = "V003", rate_hz: object = 250, channels: object = None,
    length: int | None = None, more: str = "", header_bytes: object = None,
) -> bytes:  # fmt: skip
    """Return a .pos file of an AG501 that holds records (time, channel, 7); the header is padded with NUL."""
    count = records.shape[1] if channels is None else channels
    about = f"NumberOfChannels={count}\nSamplingFrequencyHz={rate_hz}\n{more}\0\x1a"
    length = length or 24 + len(about)
    size = f"{length:08d}" if header_bytes is None else header_bytes
    header = f"AG50xDATA_{version}\n{size}\n{about}".encode()
    return header.ljust(length, b"\0") + records.astype("<f4").tobytes()


def ag500_bytes(records: np.ndarray) -> bytes:
    """Return a .pos file of an AG500, which has no header; channels that are not given are not plugged in."""
    return np.pad(records, ((0, 0), (0, 12 - records.shape[1]), (0, 0))).astype("<f4").tobytes()


def text_bytes(records: np.ndarray, *, header: bool = True, end: str = "\r\n", gap: str = "\t") -> bytes:
    """Return a text export of records (time, channel, 7)."""
    names = [f"Ch{channel}_{field}" for channel in range(1, records.shape[1] + 1) for field in FIELDS]
    lines = [gap.join(f"{value:.2f}" for value in row) for row in records.reshape(len(records), -1)]
    return end.join([gap.join(names), *lines, ""][0 if header else 1 :]).encode()


def records(frames: int = 20, channels: int = 12) -> np.ndarray:
    """Return frames that tell every number apart: time, channel and field."""
    rows = np.arange(frames)[:, None, None] + 100.0 * np.arange(1, channels + 1)[:, None] + np.arange(1.0, 8) / 8
    rows[..., 5] = np.arange(1, channels + 1)
    return rows


def read(path: Path, content: bytes) -> Sweep:
    path.write_bytes(content)
    return read_sweep(path)


@pytest.mark.parametrize("version", ["V001", "V002", "V003"])
@pytest.mark.parametrize("length", [None, 4096])
def test_an_ag501_file_gives_what_was_written(tmp_path: Path, version: str, length: int | None):
    written = records(channels=16)
    sweep = read(tmp_path / "a.pos", ag501_bytes(written, version=version, rate_hz=1250, length=length))
    assert (sweep.device, sweep.rate_hz) == ("AG501", 1250)
    np.testing.assert_array_equal(sweep.positions, written[..., :3])
    np.testing.assert_array_equal(sweep.rms, written[..., 5])


def test_an_ag500_file_has_12_channels_and_no_header(tmp_path: Path):
    written = records()
    sweep = read(tmp_path / "a.pos", ag500_bytes(written))
    assert (sweep.device, sweep.rate_hz) == ("AG500", None)
    np.testing.assert_array_equal(sweep.positions, written[..., :3])
    np.testing.assert_array_equal(sweep.rms, written[..., 5])


def test_direction_vectors_move_the_rms_error_to_the_last_place(tmp_path: Path):
    written = records()
    directions = np.random.default_rng(0).normal(size=(20, 12, 3))
    written[..., 3:6] = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    np.testing.assert_array_equal(read(tmp_path / "a.pos", ag500_bytes(written)).rms, written[..., 6])


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize(("end", "gap"), [("\n", "\t"), ("\r\n", " "), ("\r\n", "\t")])
def test_a_text_export_gives_what_was_written(tmp_path: Path, header: bool, end: str, gap: str):
    written = records(channels=3).round(2)
    sweep = read(tmp_path / "a.pos", text_bytes(written, header=header, end=end, gap=gap))
    assert (sweep.device, sweep.rate_hz) == ("text", None)
    np.testing.assert_allclose(sweep.positions, written[..., :3], atol=0.005)
    np.testing.assert_allclose(sweep.rms, written[..., 5], atol=0.005)


def test_columns_of_text_are_found_by_name(tmp_path: Path):
    content = "Time Ch3_Z Ch3_X Ch1_X Ch1_Y Ch1_Z\n9 33 31 11 12 13\n9 43 41 21 22 23\n"
    sweep = read(tmp_path / "a.txt", content.encode())
    np.testing.assert_array_equal(sweep.positions[:, 0], [[11, 12, 13], [21, 22, 23]])
    assert np.isnan(sweep.positions[:, 1]).all() and np.isnan(sweep.positions[:, 2, 1]).all()
    np.testing.assert_array_equal(sweep.positions[:, 2, [0, 2]], [[31, 33], [41, 43]])
    assert sweep.rms is None


def test_zeros_of_all_fields_are_missing_and_one_zero_is_not(tmp_path: Path):
    written = records(channels=4)
    written[:, 1] = 0
    written[3, 2] = 0
    written[5, 3, 0] = 0
    for content in (ag501_bytes(written), text_bytes(written)):
        sweep = read(tmp_path / "a.pos", content)
        lost = np.isnan(sweep.positions).all(axis=2)
        assert lost[:, 1].all() and lost.sum() == 21 and lost[3, 2]
        assert sweep.positions[5, 3, 0] == 0


def test_a_sensor_at_the_origin_of_a_text_export_is_not_missing(tmp_path: Path):
    written = records(channels=2)
    written[:, 0, :3] = 0.001
    assert (read(tmp_path / "a.txt", text_bytes(written)).positions[:, 0] == 0).all()


def test_failed_fits_are_missing(tmp_path: Path):
    written = records(channels=4)
    written[2, 1, 2], written[3, 2, 0], written[4, 3, 1] = 1e30, np.inf, np.nan
    positions = read(tmp_path / "a.pos", ag501_bytes(written)).positions
    assert np.isnan(positions[2, 1]).all() and np.isnan(positions[3, 2]).all() and np.isnan(positions[4, 3, 1])
    assert np.isfinite(positions).sum() == positions.size - 7


def test_a_channel_is_counted_from_one_and_masked_by_its_rms(tmp_path: Path):
    written = records(channels=4)
    written[7, 1, 5] = 31
    path = tmp_path / "a.pos"
    sweep = read(path, ag501_bytes(written))
    np.testing.assert_array_equal(sweep.channel(path, 2), written[:, 1, :3])
    assert np.isnan(sweep.channel(path, 2, max_rms=30)).all(axis=1).nonzero()[0].tolist() == [7]
    for number in (0, 5):
        with pytest.raises(CorpusError, match=rf"a\.pos \(channel {number}\)"):
            sweep.channel(path, number)


BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "cut AG501": (ag501_bytes(records())[:-3], r"byte \d+"),
    "cut AG500": (ag500_bytes(records())[:-1], r"byte \d+"),
    "no frames": (ag501_bytes(records(frames=0)), "0 whole frames"),
    "magic only": (b"AG50xDATA_V003\n", "line 2"),
    "unknown version": (ag501_bytes(records(), version="V009"), "line 1"),
    "amplitudes": (ag501_bytes(records(), more="Calf_Channel_0=1\n"), "amplitudes"),
    "header longer than the file": (ag501_bytes(records(), header_bytes="99999999"), "line 2"),
    "header shorter than itself": (ag501_bytes(records(), header_bytes="00000003"), "line 2"),
    "header of no digits": (ag501_bytes(records(), header_bytes="abcdefgh"), "line 2"),
    "absurd channels": (ag501_bytes(records(), channels=2**31), "NumberOfChannels"),
    "no channels": (ag501_bytes(records(), channels=0), "NumberOfChannels"),
    "half a channel": (ag501_bytes(records(), channels=1.5), "NumberOfChannels"),
    "channels in words": (ag501_bytes(records(), channels="many"), "NumberOfChannels"),
    "rate of nothing": (ag501_bytes(records(), rate_hz=0), "SamplingFrequencyHz"),
    "rate nan": (ag501_bytes(records(), rate_hz="nan"), "SamplingFrequencyHz"),
    "no rate": (ag501_bytes(records()).replace(b"SamplingFrequencyHz", b"SamplingFrequencyXX"), "SamplingFrequencyHz"),
    "no positions": (ag501_bytes(records() * 1e6), "not positions"),
    "a WAV file": (b"RIFF\x00\x01" + bytes(1000), "it holds WAV audio"),
    "prose": (b"To be read aloud.\n", "line 1"),
    "names without Ch": (b"a_X b_Y\n1 2\n", "line 1"),
    "a name twice": (b"Ch1_X Ch1_X\n1 2\n", "Ch1_X"),
    "an absurd channel of text": (b"Ch999_X Ch1_X\n1 2\n", "Ch999_X"),
    "names only": (b"Ch1_X Ch1_Y Ch1_Z\n", "no frames"),
    "text of 8 columns": (b"1 2 3 4 5 6 7 8\n", "8 columns"),
    "a short line": (b"Ch1_X Ch1_Y Ch1_Z\n1 2 3\n1 2\n", "line 3"),
    "no number": (b"Ch1_X Ch1_Y Ch1_Z\n1 2 three\n", "line 2"),
    "text that turns binary": (b"1 2 3 4 5 6 7\n" * 400 + b"\xff\xfe", "byte 5600"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_sweep_is_named(tmp_path: Path, case: str):
    content, problem = BROKEN[case]
    with pytest.raises(CorpusError, match=problem) as error:
        read(tmp_path / "a.pos", content)
    assert "a.pos" in str(error.value)


@given(
    arrays(
        np.float32, st.tuples(st.integers(1, 5), st.integers(1, 20), st.just(7)), elements=st.floats(0.5, 999, width=32)
    )
)
def test_any_records_come_back(tmp_path_factory: pytest.TempPathFactory, written: np.ndarray):
    path = tmp_path_factory.mktemp("any") / "a.pos"
    sweep = read(path, ag501_bytes(written))
    np.testing.assert_array_equal(sweep.positions, written[..., :3])
    np.testing.assert_array_equal(sweep.rms, written[..., 5])


@given(st.binary(max_size=700))
def test_any_bytes_are_a_sweep_or_one_error(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    path = tmp_path_factory.mktemp("bytes") / "a.pos"
    try:
        read(path, content)
    except CorpusError as error:
        assert "a.pos" in str(error)


@pytest.mark.parametrize("content", [ag501_bytes(records()), ag500_bytes(records()), text_bytes(records())])
def test_bit_rot_is_an_error_or_harmless(tmp_path: Path, content: bytes):
    path = tmp_path / "a.pos"
    path.write_bytes(content)
    assert refusals(path, lambda: read_sweep(path)) > 30


def channels_in_use(sweep: Sweep) -> list[int]:
    return [int(index) + 1 for index in np.isfinite(sweep.positions).all(axis=(0, 2)).nonzero()[0]]


def test_real_ag501_with_a_header_of_4096_bytes():
    folder = real("TRACTPROBE_SAMPLES", "ema2wav_ag501")
    sweep = read_sweep(folder / "0023.pos")
    assert (sweep.device, sweep.rate_hz, sweep.positions.shape) == ("AG501", 250, (896, 16, 3))
    assert channels_in_use(sweep) == list(range(1, 10))
    np.testing.assert_allclose(sweep.positions[:, [4, 7]].mean(axis=0)[:, 0], [-38.59, 8.60], atol=0.01)


def test_real_sweep_is_what_another_tool_made_of_it():
    from scipy.signal import butter, filtfilt

    folder = real("TRACTPROBE_SAMPLES", "ema2wav_ag501")
    header, *lines = (folder / "0023.csv").read_text().splitlines()
    table = np.array([line.split(",") for line in lines], dtype=float)
    sweep, filtered = read_sweep(folder / "0023.pos"), butter(4, 25 / 125)
    for name, channel in (("ttip_y", 7), ("ulip_y", 8), ("llip_y", 9)):
        vertical = filtfilt(*filtered, sweep.channel(folder, channel)[:, 2])
        np.testing.assert_allclose(vertical, table[:, header.split(",").index(name)], atol=1e-9)


def test_real_sweep_in_two_formats():
    folder = real("TRACTPROBE_SAMPLES", "reidy_ag501_greek")
    binary, text = read_sweep(folder / "0021.pos"), read_sweep(folder / "0021.txt")
    assert (binary.device, binary.rate_hz, text.device, text.rate_hz) == ("AG501", 250, "text", None)
    assert binary.positions.shape == text.positions.shape == (5021, 16, 3)
    assert channels_in_use(binary) == channels_in_use(text) == list(range(1, 9))
    np.testing.assert_allclose(binary.positions, text.positions, atol=0.005)


def test_real_text_export_is_what_its_ssff_tracks_hold():
    from tractprobe.corpora.formats.ssff import read_ssff

    folder = real("TRACTPROBE_SAMPLES", "tardis_ag501")
    sweep = read_sweep(folder / "ema_original/sf2_0005.txt")
    assert sweep.positions.shape == (703, 16, 3) and channels_in_use(sweep) == [*range(1, 8), 12, 13, 14]
    for channel, name in enumerate(("TT", "TB", "TD", "LT", "UT", "UL", "LL"), start=1):
        columns: Mapping[str, np.ndarray] = read_ssff(folder / f"ema_ssff/sf2_0005.{name}").columns
        written = np.concatenate([columns[f"{name}{axis}_raw"] for axis in "xyz"], axis=1)
        np.testing.assert_allclose(sweep.channel(folder, channel), written, atol=1e-4)


def test_real_ag500_with_direction_vectors():
    sweep = read_sweep(real("TRACTPROBE_SAMPLES", "rticulate_ag500") / "0025.pos")
    assert (sweep.device, sweep.positions.shape) == ("AG500", (20, 12, 3)) and channels_in_use(sweep) == [*range(1, 13)]
    assert sweep.rms is not None and (sweep.rms > 0).all()
    right_ear, left_ear, upper_jaw = sweep.positions[:, [0, 1, 5]].mean(axis=0)
    assert right_ear[0] < upper_jaw[0] < left_ear[0]  # here x is lateral, and y grows to the back
    assert min(right_ear[1], left_ear[1]) > 100 > abs(upper_jaw[1])


def test_real_counters():
    folder = real("TRACTPROBE_SAMPLES", "m2ci_artk")
    for device, channels in (("ag500", 12), ("ag501", 16)):
        counted = np.arange(1.0, 70 * channels + 1).reshape(10, channels, 7)
        for path in (folder / f"{device}.pos", folder / f"{device}.txt"):
            sweep = read_sweep(path)
            np.testing.assert_array_equal(sweep.positions, counted[..., :3])
            np.testing.assert_array_equal(sweep.rms, counted[..., 5])


@pytest.mark.parametrize(
    ("content", "kind"), [(b"\x89HDF\r\n\x1a\n" + bytes(3352), "HDF5"), (b"RIFF" + bytes(3356), "WAV")]
)
def test_what_is_no_sweep_says_what_it_is(tmp_path: Path, content: bytes, kind: str):
    (tmp_path / "a.pos").write_bytes(content)
    with pytest.raises(CorpusError, match=rf"a\.pos \(byte 0\): not positions.*it holds {kind}"):
        read_sweep(tmp_path / "a.pos")
