"""NIST SPHERE audio, which MOCHA-TIMIT ships under the names ``.wav`` and ``.lar``.

``NIST_1A``, a line with the header's size in bytes (1024), then ``name -type value`` lines (``-i`` integer, ``-r``
real, ``-s<n>`` text of n characters) up to ``end_head``; the samples begin where the header's size says.
``sample_byte_format`` 01 is little-endian, 10 is big-endian. Only 16-bit PCM with one channel is supported.
"""

import re
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tractprobe.signals.audio import MAX_RATE_HZ, read_audio
from tractprobe.system.errors import CorpusError
from tractprobe.system.files import read_bytes

MAX_FILE_BYTES = 1 << 28
_MAGIC = b"NIST_1A"
_SIZE = re.compile(rb"NIST_1A\r?\n *([0-9]{1,6})\r?\n")
_FULL_SCALE = 1 << 15
_ORDERS = {"01": "<", "10": ">"}


def read_recording(path: Path) -> tuple[Float[np.ndarray, " sample"], int]:
    """Read the samples (full scale 1) and rate (Hz) of a SPHERE, WAV or FLAC file, whichever its first bytes say."""
    content = read_bytes(path, MAX_FILE_BYTES)
    return _parse(path, content) if content.startswith(_MAGIC) else read_audio(path)


def _parse(path: Path, content: bytes) -> tuple[Float[np.ndarray, " sample"], int]:
    size = _SIZE.match(content)
    if size is None or int(size[1]) > len(content):
        raise CorpusError(path, "a SPHERE header without a size, or with one beyond the file's end", place="line 2")
    start = int(size[1])
    header = _header(path, content[size.end() : start])
    _check_coding(path, header)
    count, rate_hz = _number(path, header, "sample_count"), _number(path, header, "sample_rate")
    if not 0 < rate_hz <= MAX_RATE_HZ:
        raise CorpusError(path, f"a rate of {rate_hz} Hz", place="sample_rate")
    if not 0 < count <= (len(content) - start) // 2:
        problem = f"{count} samples announced, {(len(content) - start) // 2} present; cut short?"
        raise CorpusError(path, problem, place=f"byte {start}")
    dtype = _ORDERS[header["sample_byte_format"]] + "i2"
    return np.frombuffer(content, dtype, count, start).astype(np.float32) / _FULL_SCALE, rate_hz


def _header(path: Path, content: bytes) -> dict[str, str]:
    lines = re.split(r"\r?\n", content.decode("latin-1"))
    header = {"channel_count": "1", "sample_coding": "pcm"}
    for number, line in enumerate(lines, start=3):
        match line.split(None, 2):
            case ["end_head", *_]:
                return header
            case [name, kind, value] if re.fullmatch(r"-(i|r|s[0-9]+)", kind):
                header[name] = value.strip()
            case [comment, *_] if not comment.startswith(";"):
                raise CorpusError(path, f"not 'name -type value': {line!r:.60}", place=f"line {number}")
    raise CorpusError(path, "a SPHERE header without end_head")


def _check_coding(path: Path, header: dict[str, str]) -> None:
    supported = {"sample_coding": ("pcm",), "channel_count": ("1",), "sample_n_bytes": ("2",)}
    for key, values in (supported | {"sample_byte_format": tuple(_ORDERS)}).items():
        if header.get(key) not in values:
            expected = f"expected {' or '.join(values)} (16-bit PCM, one channel)"
            problem = f"{header.get(key)!r:.60}; {expected}: convert it"
            raise CorpusError(path, problem, place=key)


def _number(path: Path, header: dict[str, str], key: str) -> int:
    value = header.get(key, "")
    if not re.fullmatch(r"[0-9]{1,12}(\.0*)?", value):
        raise CorpusError(path, f"{value!r:.60} is not a whole number", place=key)
    return int(value.partition(".")[0])
