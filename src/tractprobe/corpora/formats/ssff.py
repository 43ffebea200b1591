"""SSFF (Simple Signal File Format, SHLRC): a text header that names typed columns, then binary rows.

The header ends with a line of dashes. ``Machine`` gives the byte order, ``Record_Freq`` the rows per second and
``Start_Time`` the time of the first row in seconds.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tractprobe.system.contents import holding
from tractprobe.system.errors import CorpusError
from tractprobe.system.files import read_bytes

_MAGIC = b"SSFF -- (c) SHLRC"
_END = re.compile(rb"\r?\n-{5,}\r?\n")
_MAX_HEADER_BYTES = 1 << 16
MAX_FILE_BYTES = 1 << 30
_ORDERS = {"IBM-PC": "<", "SPARC": ">"}
_TYPES = {"CHAR": "i1", "BYTE": "u1", "SHORT": "i2", "LONG": "i4", "FLOAT": "f4", "DOUBLE": "f8"}


@dataclass(frozen=True, eq=False)
class SignalFile:
    """The contents of an SSFF file.

    Attributes
    ----------
    rate_hz
        Rows per second.
    start_s
        Time of the first row in seconds.
    columns
        Maps the name of a column to an array of shape (time, field), in the file's own type.
    """

    rate_hz: float
    start_s: float
    columns: dict[str, np.ndarray]


def read_ssff(path: Path) -> SignalFile:
    """Read an SSFF file; CorpusError names the offending header line or byte."""
    content = read_bytes(path, MAX_FILE_BYTES)
    if not content.startswith(_MAGIC):
        raise CorpusError(path, holding(path, f"does not start with {_MAGIC.decode()!r}"), place="byte 0")
    end = _END.search(content, 0, _MAX_HEADER_BYTES)
    if end is None:
        problem = f"expected a line of dashes at the end of the header, within {_MAX_HEADER_BYTES} bytes"
        raise CorpusError(path, problem)
    rate_hz, start_s, record = _parse_header(path, content[: end.start()].decode("latin-1"))
    excess = (len(content) - end.end()) % record.itemsize
    if excess:
        problem = f"{excess} bytes after the last whole row of {record.itemsize}; cut short?"
        raise CorpusError(path, problem, place=f"byte {len(content) - excess}")
    rows = np.frombuffer(content, record, offset=end.end())
    return SignalFile(rate_hz, start_s, {name: rows[name].reshape(len(rows), -1) for name in record.names or ()})


def _parse_header(path: Path, header: str) -> tuple[float, float, np.dtype]:
    order, rate_hz, start_s, fields = None, None, 0.0, []
    for number, line in enumerate(header.splitlines(), start=1):
        try:
            match line.split():
                case ["Machine", machine]:
                    order = _ORDERS[machine]
                case ["Record_Freq", value]:
                    rate_hz = float(value)
                case ["Start_Time", value]:
                    start_s = float(value)
                case ["Column", name, kind, count]:
                    fields.append((name, _TYPES[kind], _width(count)))
                # Other lines (comments, Original_Freq DOUBLE 24000.0, ...) do not affect how the rows are read.
        except KeyError as error:
            raise CorpusError(path, f"unknown {error} in {line.strip()!r}", place=f"line {number}") from None
        except ValueError:
            raise CorpusError(path, f"bad number in {line.strip()!r}", place=f"line {number}") from None
    if order is None or rate_hz is None or not 0 < rate_hz < 1e6 or not np.isfinite(start_s) or not fields:
        raise CorpusError(path, "the header lacks a valid Machine, Record_Freq, Start_Time or Column")
    if len({name for name, *_ in fields}) != len(fields):
        raise CorpusError(path, "the header names the same column twice")
    return rate_hz, start_s, np.dtype([(name, order + kind, (count,)) for name, kind, count in fields])


def _width(count: str) -> int:
    width = int(count)
    if not 1 <= width <= 4096:
        raise ValueError(count)
    return width
