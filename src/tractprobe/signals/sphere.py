"""NIST SPHERE audio, which MOCHA-TIMIT ships under the names ``.wav`` and ``.lar``, and others as ``.sph``.

``NIST_1A``, a line with the header's size in bytes (1024), then ``name -type value`` lines (``-i`` integer, ``-r``
real, ``-s<n>`` text of n characters) up to ``end_head``; the samples begin where the header's size says.
``sample_byte_format`` 01 is little-endian, 10 is big-endian. Samples are 16-bit PCM, A-law or mu-law; those compressed
with shorten are refused.
"""

import re
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tractprobe.system.errors import CorpusError

MAGIC = b"NIST_1A"
_SIZE = re.compile(rb"NIST_1A\r?\n *([0-9]{1,6})\r?\n")
_SIZE_BYTES = 64
_ORDERS = {"01": "LITTLE", "10": "BIG"}
_LAWS = {"alaw": "ALAW", "ulaw": "ULAW", "mu-law": "ULAW"}
_SHORTEN = "compressed with shorten; decompress it with NIST's sph2pipe: sph2pipe -p -f wav IN OUT"


class Samples:
    """The samples of an opened SPHERE file, as a file of its own that libsndfile can read."""

    def __init__(self, file: BinaryIO, start: int, size: int):
        self._file, self._start, self._size = file, start, size
        file.seek(start)

    def tell(self) -> int:
        """Return the place in the samples, in bytes."""
        return self._file.tell() - self._start

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a place in the samples."""
        from_start = offset + (0, self.tell(), self._size)[whence]
        return self._file.seek(self._start + from_start) - self._start

    def read(self, size: int) -> bytes:
        """Read bytes, none of them after the announced samples."""
        return self._file.read(max(0, min(size, self._size - self.tell())))


class Sphere(NamedTuple):
    """What a SPHERE header says about its samples, in the words of libsndfile."""

    samples: Samples
    rate_hz: int
    channels: int
    subtype: str
    endian: str


def opened_sphere(path: Path, file: BinaryIO) -> Sphere:
    """Read the header of an opened SPHERE file; CorpusError names its field that is wrong or not supported."""
    length = file.seek(0, 2)
    file.seek(0)
    size = _SIZE.match(file.read(_SIZE_BYTES))
    if size is None or int(size[1]) > length:
        raise CorpusError(path, "a SPHERE header without a size, or with one beyond the file's end", place="line 2")
    start = int(size[1])
    file.seek(size.end())
    header = _header(path, file.read(max(0, start - size.end())))
    subtype = _subtype(path, header)
    sample_bytes = 2 if subtype == "PCM_16" else 1
    channels, rate_hz = _number(path, header, "channel_count"), _number(path, header, "sample_rate")
    if not 1 <= channels <= 64:
        raise CorpusError(path, f"{channels} channels", place="channel_count")
    if not rate_hz:
        raise CorpusError(path, f"a rate of {rate_hz} Hz", place="sample_rate")
    count, present = _number(path, header, "sample_count"), (length - start) // (sample_bytes * channels)
    if not 0 < count <= present:
        problem = f"{count} samples announced, {present} present; cut short?"
        raise CorpusError(path, problem, place=f"byte {start}")
    endian = _ORDERS[header["sample_byte_format"]] if sample_bytes == 2 else "FILE"
    return Sphere(Samples(file, start, count * sample_bytes * channels), rate_hz, channels, subtype, endian)


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


def _subtype(path: Path, header: dict[str, str]) -> str:
    """Return libsndfile's name of the samples' coding."""
    coding = header["sample_coding"]
    if "shorten" in coding or header.get("sample_byte_format", "").startswith("short"):
        raise CorpusError(path, _SHORTEN, place="sample_coding")
    needed = {"sample_coding": ("pcm", *_LAWS)}
    if coding not in _LAWS:
        needed |= {"sample_n_bytes": ("2",), "sample_byte_format": tuple(_ORDERS)}
    for key, values in needed.items():
        if header.get(key) not in values:
            problem = f"{header.get(key)!r:.60}; expected {' or '.join(values)}; convert it to 16-bit PCM"
            raise CorpusError(path, problem, place=key)
    return _LAWS.get(coding, "PCM_16")


def _number(path: Path, header: dict[str, str], key: str) -> int:
    value = header.get(key, "")
    if not re.fullmatch(r"[0-9]{1,12}(\.0*)?", value):
        raise CorpusError(path, f"{value!r:.60} is not a whole number", place=key)
    return int(value.partition(".")[0])
