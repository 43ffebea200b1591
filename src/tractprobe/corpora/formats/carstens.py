"""Carstens articulographs: the ``.pos`` files of the AG500 and AG501, and their text exports.

Every frame holds seven numbers for each channel: x, y, z in mm, two angles, the rms error of the position fit and one
more. The meaning of the axes depends on the recording session: in most, as delivered or after the maker's head
correction, x is horizontal, y lateral and z vertical.

AG501
    ``AG50xDATA_V001`` to ``V003`` on the first line; on the second, eight digits: the length of the header in bytes,
    both lines included. Then ``NumberOfChannels=``, ``SamplingFrequencyHz=`` and more, padded with NUL; then
    little-endian float32. ``.amp`` files of raw amplitudes have the same magic and are recognised by
    ``Calf_Channel_0``.
AG500
    No header: little-endian float32, 12 channels, 200 Hz (fixed by the device). Some programs write a direction vector
    instead of the angles, which moves the rms error to the last field.
Text
    One frame per line, with or without a first line of names (``Ch1_X``, ``Ch1_Y``, ...); no rate.

A channel that is not plugged in or was lost is 0 in all of its fields. Layouts follow Praat's EMA.cpp and
m2ci-msp/artk, and were checked on real files of both devices.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.formats.tables import parse_rows
from tractprobe.system.errors import CorpusError
from tractprobe.system.files import read_bytes

AG500_RATE_HZ = 200.0
MAX_FILE_BYTES = 1 << 28
MAX_CHANNELS = 256
MAX_RATE_HZ = 10_000.0
MAX_DISTANCE_MM = 2000.0
"""No articulograph measures this far from its origin: a position beyond it is a failed fit."""

_AG500_CHANNELS = 12
_FIELDS = ("X", "Y", "Z", "PHI", "THETA", "RMS", "EXTRA")
_RMS, _LAST = 5, 6
_MAGIC = b"AG50xDATA_V"
_VERSIONS = {b"001", b"002", b"003"}
_MIN_HEADER_BYTES, _MAX_HEADER_BYTES = 24, 1 << 20
_SNIFFED_BYTES = 4096
_TEXT = re.compile(rb"(?:\xef\xbb\xbf)?[\t\n\r\x20-\x7e]+")
_COLUMN = re.compile(r"Ch(\d{1,3})_(\w+)", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Sweep:
    """The contents of one file of an articulograph.

    Attributes
    ----------
    device
        The kind of file.
    positions
        x, y, z in mm along the file's own axes; NaN where a channel was lost, or not plugged in.
    rms
        Error of the position fit, in the device's units; None if the file does not contain it.
    rate_hz
        Frames per second; None if the file does not say.
    is_head_corrected
        The header says that the maker's ``normpos`` has removed the head's movement.
    """

    device: Literal["AG500", "AG501", "text"]
    positions: Float[np.ndarray, "time channel 3"]
    rms: Float[np.ndarray, "time channel"] | None
    rate_hz: float | None
    is_head_corrected: bool = False

    def channel(self, path: Path, number: int, max_rms: float | None = None) -> Float[np.ndarray, "time 3"]:
        """Return the positions (mm) of a channel, counted from 1; NaN where its rms error is above ``max_rms``.

        Raises
        ------
        CorpusError
            The file has no such channel.
        """
        if not 1 <= number <= self.positions.shape[1]:
            raise CorpusError(path, f"has channels 1 to {self.positions.shape[1]}", place=f"channel {number}")
        positions = self.positions[:, number - 1].copy()
        if max_rms is not None and self.rms is not None:
            positions[self.rms[:, number - 1] > max_rms] = np.nan
        return positions


def read_sweep(path: Path) -> Sweep:
    """Read a ``.pos`` file or a text export; CorpusError names the offending byte, line or header key."""
    content = read_bytes(path, MAX_FILE_BYTES)
    if not content:
        raise CorpusError(path, "is empty")
    if content.startswith(_MAGIC):
        return _read_ag501(path, content)
    if _TEXT.fullmatch(content[:_SNIFFED_BYTES]):
        return _read_text(path, content)
    records = _records(path, content, 0, _AG500_CHANNELS)
    return _sweep(path, "AG500", records, _ag500_rms_field(records), None)


def _read_ag501(path: Path, content: bytes) -> Sweep:
    lines = content[:_SNIFFED_BYTES].split(b"\n", maxsplit=2)
    if lines[0].removeprefix(_MAGIC).strip() not in _VERSIONS:
        raise CorpusError(path, f"version {lines[0][:20]!r}; V001, V002 and V003 are supported", place="line 1")
    if len(lines) < 2 or not re.fullmatch(rb"\d{8}", lines[1].strip()):
        raise CorpusError(path, "expected the header's length in eight digits", place="line 2")
    length = int(lines[1])
    if not _MIN_HEADER_BYTES <= length <= min(len(content), _MAX_HEADER_BYTES):
        raise CorpusError(path, f"a header of {length} bytes in a file of {len(content)}", place="line 2")
    if b"Calf_Channel_0" in content[:length]:
        raise CorpusError(path, "contains amplitudes (.amp), not positions", place="Calf_Channel_0")
    header = _parse_header(content[:length])
    channels = _number(path, header, "NumberOfChannels", MAX_CHANNELS)
    rate_hz = _number(path, header, "SamplingFrequencyHz", MAX_RATE_HZ)
    if channels < 1 or channels % 1:
        raise CorpusError(path, f"expected a whole number of channels, not {channels}", place="NumberOfChannels")
    sweep = _sweep(path, "AG501", _records(path, content, length, int(channels)), _RMS, rate_hz)
    return replace(sweep, is_head_corrected=any(key.startswith("normpos.") for key in header))


def _parse_header(header: bytes) -> dict[str, str]:
    text = re.split("[\0\x1a]", header.decode("latin-1"), maxsplit=1)[0]
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def _number(path: Path, header: Mapping[str, str], key: str, most: float) -> float:
    try:
        value = float(header[key])
    except KeyError:
        raise CorpusError(path, "missing from the header", place=key) from None
    except ValueError:
        raise CorpusError(path, f"{header[key]!r:.40} is not a number", place=key) from None
    if not 0 < value <= most:
        raise CorpusError(path, f"expected a number above 0 and at most {most}, not {value}", place=key)
    return value


def _records(path: Path, content: bytes, start: int, channels: int) -> Float[np.ndarray, "time channel field"]:
    """Return the float32 frames from byte ``start`` on."""
    frame_bytes = 4 * channels * len(_FIELDS)
    count, excess = divmod(len(content) - start, frame_bytes)
    if excess or not count:
        problem = (
            f"{excess} bytes after {count} whole frames of {channels} channels; cut short, or another kind of file?"
        )
        raise CorpusError(path, problem, place=f"byte {len(content) - excess}")
    values = np.frombuffer(content, "<f4", offset=start).reshape(count, channels, len(_FIELDS))
    with np.errstate(invalid="ignore"):  # a signalling NaN is as good as any other
        return values.astype(np.float64)


def _ag500_rms_field(records: Float[np.ndarray, "time channel field"]) -> int:
    """Return the field of the rms error: the last one if the three fields before are vectors of length 1."""
    with np.errstate(over="ignore", invalid="ignore"):
        length = np.linalg.norm(records[..., 3:6], axis=-1)
    used = (records != 0).any(axis=-1)
    return _LAST if used.any() and np.mean(np.abs(length[used] - 1) < 0.01) > 0.9 else _RMS


def _read_text(path: Path, content: bytes) -> Sweep:
    try:
        lines = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").rstrip().split("\n")
    except UnicodeDecodeError as error:
        raise CorpusError(path, "begins as text, but is not text here", place=f"byte {error.start}") from None
    if "_" in lines[0] and any(map(str.isalpha, lines[0])):
        names = lines[0].split()
        rows = parse_rows(path, lines[1:], first_line=2, columns=len(names))
        records = _named_records(path, names, rows)
    else:
        rows = parse_rows(path, lines)
        if not rows.shape[1] or rows.shape[1] % len(_FIELDS):
            problem = f"{rows.shape[1]} columns; expected {len(_FIELDS)} for each channel, as there are no names"
            raise CorpusError(path, problem, place="line 1")
        records = rows.reshape(len(rows), -1, len(_FIELDS))
    if not len(rows):
        raise CorpusError(path, "contains no frames")
    return _sweep(path, "text", records, _RMS, None)


def _named_records(
    path: Path, names: Sequence[str], rows: Float[np.ndarray, "time column"]
) -> Float[np.ndarray, "time channel field"]:
    """Sort columns ``Ch<number>_<field>`` into channels and fields; fields without a column are NaN."""
    places: dict[tuple[int, int], int] = {}
    for column, name in enumerate(names):
        parsed = _COLUMN.fullmatch(name)
        if parsed is None or parsed[2].upper() not in _FIELDS:
            continue  # for example a column of times
        place = int(parsed[1]), _FIELDS.index(parsed[2].upper())
        if not 1 <= place[0] <= MAX_CHANNELS or place in places:
            raise CorpusError(path, f"column {name} is there twice, or beyond channel {MAX_CHANNELS}", place="line 1")
        places[place] = column
    if not places:
        raise CorpusError(path, "no column has a name such as Ch1_X", place="line 1")
    records = np.full((len(rows), max(channel for channel, _ in places), len(_FIELDS)), np.nan)
    for (channel, field), column in places.items():
        records[:, channel - 1, field] = rows[:, column]
    return records


def _sweep(
    path: Path,
    device: Literal["AG500", "AG501", "text"],
    records: Float[np.ndarray, "time channel field"],
    rms_field: int,
    rate_hz: float | None,
) -> Sweep:
    positions, rms = records[..., :3].copy(), records[..., rms_field]
    # A text export rounds: three zeros may be a sensor at the origin, if its other fields are not 0.
    zero_if_lost = records if device == "text" else positions
    lost = (np.nan_to_num(zero_if_lost, nan=0.0) == 0).all(axis=-1)
    with np.errstate(invalid="ignore"):
        failed = ~lost & (np.abs(positions) > MAX_DISTANCE_MM).any(axis=-1)
    if failed.sum() > (~lost).sum() / 2:
        raise CorpusError(path, f"most values are beyond {MAX_DISTANCE_MM:.0f} mm: these are not positions")
    positions[lost | failed] = np.nan
    return Sweep(device, positions, None if np.isnan(rms).all() else rms, rate_hz)
