"""EST_Track (Edinburgh Speech Tools), the ``.ema`` of MOCHA-TIMIT and mngu0: a text header, then one row per frame.

The header consists of ``key value`` lines, in an order that differs between corpora, from ``EST_File Track`` to
``EST_Header_End``; ``Channel_<k>`` names the channels. Each row is the time in seconds, a flag (1: measured, 0 or NaN:
a break) and then the channels, so a row has two numbers MORE than ``NumChannels``. They are float32 in the byte order
of ``ByteOrder`` (01 little-endian, 10 big-endian), or text. Follows ``EST_TrackFile`` of the Speech Tools.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.formats.tables import parse_rows
from tractprobe.system.contents import holding
from tractprobe.system.errors import CorpusError
from tractprobe.system.files import read_bytes

MAX_FILE_BYTES = 1 << 28
_MAGIC = b"EST_File Track"
_END = re.compile(rb"\r?\nEST_Header_End[ \t]*\r?\n")
_MAX_HEADER_BYTES = 1 << 18
_MAX_CHANNELS = 4096
_ROW_BYTES = frozenset(b"0123456789.+-eE \t\r\nnaN")
_ORDERS = {"01": "<", "10": ">"}
_LEAD = 2  # time and flag


@dataclass(frozen=True, eq=False)
class EstTrack:
    """The contents of an EST track file.

    Attributes
    ----------
    path
        The file, for error messages.
    rate_hz, start_s
        Frames per second, and time of the first frame.
    channels
        Name of each column, without surrounding blanks; names may be empty, or occur twice.
    values
        In the file's own unit; NaN throughout a frame that is flagged as a break.
    """

    path: Path
    rate_hz: float
    start_s: float
    channels: tuple[str, ...]
    values: Float[np.ndarray, "time channel"]

    @property
    def duration_s(self) -> float:
        """Length of the track."""
        return len(self.values) / self.rate_hz

    def column(self, name: str) -> Float[np.ndarray, " time"]:
        """Return the channel with a name; CorpusError unless there is exactly one."""
        count = self.channels.count(name)
        if count != 1:
            has = " ".join(self.channels)
            raise CorpusError(self.path, f"expected one channel {name!r}, not {count}; it has {has:.300}")
        return self.values[:, self.channels.index(name)]


def read_est(path: Path, headerless_channels: Sequence[str] = ()) -> EstTrack:
    """Read an EST track file, binary or text.

    Parameters
    ----------
    path
        The file.
    headerless_channels
        Channels of a text file that consists of rows only, as some tools export it; without them, such a file is an
        error.

    Raises
    ------
    CorpusError
        The file is damaged or unsupported; the message names the header line, row or byte.
    """
    content = read_bytes(path, MAX_FILE_BYTES)
    if content.startswith(_MAGIC):
        channels, rows = _with_header(path, content)
    elif (
        headerless_channels and content[:64].strip() and not set(content[:64].lower()) - set(b"0123456789.+-ena \t\r\n")
    ):
        channels = tuple(headerless_channels)
        rows = _text_rows(path, content, len(channels), first_line=1)
    else:
        raise CorpusError(path, holding(path, f"does not start with {_MAGIC.decode()!r}"), place="byte 0")
    measured = rows[:, 1] == 1
    rate_hz, start_s = _clock(path, rows[:, 0], measured)
    return EstTrack(path, rate_hz, start_s, channels, np.where(measured[:, None], rows[:, _LEAD:], np.nan))


def _with_header(path: Path, content: bytes) -> tuple[tuple[str, ...], np.ndarray]:
    end = _END.search(content, 0, _MAX_HEADER_BYTES)
    if end is None:
        raise CorpusError(path, f"expected a line EST_Header_End within {_MAX_HEADER_BYTES} bytes")
    lines = content[: end.start()].decode("latin-1").split("\n")
    header = dict(_pair(line) for line in lines if line.strip())
    frames, channels = _count(path, header, "NumFrames"), _count(path, header, "NumChannels")
    if channels > _MAX_CHANNELS or _count(path, header, "NumAuxChannels", "0"):
        problem = f"{channels} channels, or auxiliary ones; at most {_MAX_CHANNELS} and none auxiliary are supported"
        raise CorpusError(path, problem, place="header")
    match header.get("DataType"):
        case "binary":
            rows = _binary_rows(path, header, content, end.end(), frames, channels)
        case "ascii":
            rows = _text_rows(path, content[end.end() :], channels, first_line=len(lines) + 2)
        case kind:
            raise CorpusError(path, f"DataType {kind!r}; expected binary or ascii", place="header")
    if len(rows) != frames:
        raise CorpusError(path, f"NumFrames says {frames}, but there are {len(rows)} rows; cut short?")
    return tuple(header.get(f"Channel_{index}", "") for index in range(channels)), rows


def _pair(line: str) -> tuple[str, str]:
    key, *value = line.split(None, 1)
    return key, value[0].strip() if value else ""


def _count(path: Path, header: dict[str, str], key: str, default: str = "") -> int:
    value = header.get(key, default)
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise CorpusError(path, f"{key} is {value!r:.60}, not a count", place="header")
    return int(value)


def _binary_rows(
    path: Path, header: dict[str, str], content: bytes, start: int, frames: int, channels: int
) -> np.ndarray:
    order = _ORDERS.get(header.get("ByteOrder", ""))
    if order is None:
        raise CorpusError(path, f"ByteOrder {header.get('ByteOrder')!r}; expected 01 or 10", place="header")
    announced = 4 * frames * (channels + _LEAD)
    if len(content) - start != announced:
        problem = f"{len(content) - start} bytes of data, {announced} announced ({frames} x ({channels} + {_LEAD}))"
        raise CorpusError(path, problem, place=f"byte {start}")
    rows = np.frombuffer(content, order + "f4", offset=start).reshape(frames, channels + _LEAD)
    with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one
        return rows.astype(np.float64)


def _text_rows(path: Path, content: bytes, channels: int, first_line: int) -> np.ndarray:
    lines = content.decode("latin-1").rstrip().split("\n")
    return parse_rows(path, lines if lines != [""] else [], first_line=first_line, columns=channels + _LEAD)


def _clock(path: Path, times_s: np.ndarray, measured: np.ndarray) -> tuple[float, float]:
    """Return rate (Hz) and time (s) of the first row; the step must not vary by more than 1 %."""
    timed = np.flatnonzero(np.isfinite(times_s))
    timeless = np.flatnonzero(measured & ~np.isfinite(times_s))
    if len(timeless):
        raise CorpusError(path, "a measurement without a time", place=f"row {timeless[0] + 1}")
    if len(timed) < 2:
        raise CorpusError(path, f"{len(timed)} rows with a time; expected at least two")
    first, last = timed[[0, -1]]
    with np.errstate(over="ignore", invalid="ignore"):
        step_s = (times_s[last] - times_s[first]) / (last - first)
        steps_s = np.diff(times_s[timed]) / np.diff(timed)
        # The tolerance grows by the resolution of float32 at such times.
        resolution_s = 4 * float(np.finfo(np.float32).eps) * np.abs(times_s[timed]).max()
        wrong = np.flatnonzero(~(np.abs(steps_s - step_s) <= 0.01 * step_s + min(resolution_s, 0.4 * step_s)))
    if not 0 < step_s < 1 or len(wrong):
        row = timed[wrong[0] + 1] + 1 if len(wrong) else first + 1
        raise CorpusError(path, f"time does not grow by equal steps ({step_s:.6g} s on average)", place=f"row {row}")
    rate_hz = 1 / step_s
    if abs(rate_hz - round(rate_hz)) <= 1e-4 * rate_hz:  # times are stored as float32, or with six decimals
        rate_hz = round(rate_hz)
    return float(rate_hz), round(float(times_s[first] - first * step_s), 6)
