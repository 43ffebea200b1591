"""Whether an audio file holds all the samples that its header promises.

libsndfile reads what is there. What a header promised it says only in its remarks on a file, and not for all formats.
"""

import re
from pathlib import Path

import soundfile

from tractprobe.system.errors import CorpusError

MAX_LACK_S = 0.1
"""A file that lacks less was not cut short: some programs count their header among the samples, and NDI's Wave does not
write its last block of 4096 bytes if that is not full (30 ms in the real recording of the tests)."""

_UNKNOWN_FROM = 0x7FFF_0000
"""Sizes from here on are those of programs that write into a pipe and do not know the length yet."""

_NO_END = 1 << 62
_SIZE = re.compile(r"^ *(?:data|SSND|Data Size) +: +(-?\d+)(?: \(should be (\d+)\))?", re.MULTILINE)
_LENGTH = re.compile(r"^Length : (\d+)", re.MULTILINE)
_DS64 = re.compile(r"frame count (\d+) does not match value from 'ds64' chunk of (\d+)")
_OGG = re.compile("lacks an end-of-stream bit|without an End-Of-Stream flag")
_MIN_LEFT_BYTES = 1024
_REPAIR = "copy or record it again, or keep what is there: ffmpeg -i IN OUT"
_KILLED = "its header does not say how much audio it holds, as if the recorder was killed"


def check_complete(path: Path, file: soundfile.SoundFile) -> None:
    """Raise CorpusError unless an opened file is as long as its header says, or the header leaves it open."""
    remarks = file.extra_info
    size, length = _SIZE.search(remarks), int(match[1]) if (match := _LENGTH.search(remarks)) else 0
    if file.frames > _NO_END:
        raise CorpusError(path, f"{_KILLED}; repair it: ffmpeg -i IN OUT")
    if not file.frames:
        lost = size is not None and int(size[1]) == 0 and length > _MIN_LEFT_BYTES
        repair = f"but has {length} bytes; repair it: ffmpeg -ignore_length 1 -i IN OUT"
        raise CorpusError(path, f"{_KILLED}, {repair}" if lost else "contains no audio")
    if ds64 := _DS64.search(remarks):
        _check_count(path, int(ds64[1]), int(ds64[2]), file.samplerate)
    if size and int(size[1]) < _UNKNOWN_FROM:
        promised, present = int(size[1]), int(size[2] or min(int(size[1]), length))
        _check_count(path, file.frames, round(file.frames * promised / max(present, 1)), file.samplerate)


def check_decoded(path: Path, file: soundfile.SoundFile, count: int) -> None:
    """Raise CorpusError if a file that was read to its end has not given the samples that it promised."""
    if _OGG.search(file.extra_info):
        raise CorpusError(path, f"ends in the middle of its stream: cut short? {_REPAIR}")
    _check_count(path, count, file.frames, file.samplerate)


def _check_count(path: Path, present: int, promised: int, rate_hz: int) -> None:
    if (promised - present) / rate_hz >= MAX_LACK_S:
        spans = f"promises {promised / rate_hz:.2f} s of audio and {present / rate_hz:.2f} s are there"
        raise CorpusError(path, f"its header {spans}: cut short? {_REPAIR}")
