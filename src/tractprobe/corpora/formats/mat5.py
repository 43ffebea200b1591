"""MAT v5 files (MATLAB's -v6 and -v7): numbers, text, cells and structs, read within bounds.

Ours rather than scipy's because ``scipy.io.loadmat`` trusts the sizes in a file: a few changed bytes can crash the
interpreter (scipy 1.17). Here every size is checked against the bytes that are there before anything is made from it.
Layout after "MAT-File Format" (MathWorks), level 5: a header of 128 bytes, then elements of tag, data and padding to
8 bytes; arrays are elements of elements.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from math import prod
from pathlib import Path
from typing import Union

import numpy as np

from tractprobe.system.errors import CorpusError
from tractprobe.system.files import read_bytes

MAX_FILE_BYTES = 1 << 30
MAX_INFLATED_BYTES = 1 << 28

_HEADER_BYTES = 128
_MAX_DEPTH = 16
_MAX_PARTS = 100_000
_MATRIX, _COMPRESSED = 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXT = {2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}


Value = Union[np.ndarray, str, list, "StructArray"]


@dataclass(frozen=True, eq=False)
class StructArray:
    """A struct array, its elements in MATLAB's (column-major) order, each as field to value.

    Values are arrays of numbers (MATLAB's shape), ``str``, lists (cell arrays, column-major) or struct arrays.
    """

    shape: tuple[int, ...]
    elements: tuple[dict[str, Value], ...]


def read_mat5(path: Path, variable: str) -> Value:
    """Read one variable; CorpusError names the file and the byte where it goes wrong."""
    content = read_bytes(path, MAX_FILE_BYTES)
    if content.startswith(b"MATLAB 7.3"):
        raise CorpusError(path, "a MAT v7.3 (HDF5) file; save it as -v7", place="byte 0")
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if len(content) < _HEADER_BYTES or order is None:
        raise CorpusError(path, "no header of a MAT v5 file", place="byte 0")
    for start, kind, data in _elements(_Source(path, order, _HEADER_BYTES), content[_HEADER_BYTES:]):
        source = _Source(path, order, start)
        if kind == _COMPRESSED:
            source, kind, data = _inflated(source, data)
        if kind == _MATRIX:
            name, value = _matrix(source, data, wanted=variable)
            if name == variable:
                return value
    raise CorpusError(path, f"holds no variable {variable}")


@dataclass(frozen=True)
class _Source:
    """Where some bytes come from, to say so when they are wrong."""

    path: Path
    order: str
    start: int
    depth: int = 0

    def fail(self, problem: str) -> CorpusError:
        return CorpusError(self.path, problem, place=f"element at byte {self.start}")


def _elements(source: _Source, content: bytes | memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Yield (byte in the file or the inflated data, type, data) of each element."""
    view, position = memoryview(content), 0
    while position < len(view):
        if len(view) - position < 8:
            raise source.fail("ends within a tag; cut short?")
        kind, count = struct.unpack_from(source.order + "II", view, position)
        start, padding = position + 8, 8
        if kind == 0:
            raise source.fail(f"no type at byte {position} of {len(view)}")
        if kind >> 16:  # a small element: size and data share the tag
            count, kind, start, padding = kind >> 16, kind & 0xFFFF, position + 4, 4
        if count > (4 if padding == 4 else len(view) - start):
            raise source.fail(f"an element at byte {position} of {len(view)} claims {count} bytes; cut short?")
        yield source.start + position, kind, view[start : start + count]
        position = start + (count if kind == _COMPRESSED else -(-count // padding) * padding)


def _inflated(source: _Source, data: memoryview) -> tuple[_Source, int, memoryview]:
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(data, MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise source.fail(f"compressed data is broken: {error}") from None
    if inflater.unconsumed_tail:
        raise source.fail(f"inflates to more than {MAX_INFLATED_BYTES} bytes")
    for _, kind, inner in _elements(source, content):
        return source, kind, inner
    raise source.fail("compressed data holds nothing")


def _matrix(source: _Source, data: memoryview, wanted: str | None = None) -> tuple[str, Value]:
    """Return name and value of an array; the value is left empty if another name is wanted."""
    if not len(data):  # an empty array may be nothing but its tag
        return "", np.zeros((0, 0))
    if source.depth > _MAX_DEPTH:
        raise source.fail(f"arrays nested more than {_MAX_DEPTH} deep")
    parts = list(islice(_elements(source, data), _MAX_PARTS + 1))
    if len(parts) > _MAX_PARTS:
        raise source.fail(f"more than {_MAX_PARTS} elements in an array")
    if len(parts) < 3 or parts[0][1] != 6 or len(parts[0][2]) != 8 or parts[1][1] != 5 or parts[2][1] != 1:
        raise source.fail("no array: flags, dimensions and name are wanted")
    kind = struct.unpack_from(source.order + "I", parts[0][2])[0] & 0xFF
    shape = tuple(int(size) for size in np.frombuffer(_whole(source, parts[1][2], 4), source.order + "i4"))
    name = bytes(parts[2][2]).decode("latin-1")
    if len(shape) < 2 or len(shape) > 8 or min(shape) < 0:
        raise source.fail(f"dimensions {shape}")
    if wanted not in (None, name):
        return name, np.zeros((0, 0))
    inner = _Source(source.path, source.order, source.start, source.depth + 1)
    return name, _value(inner, kind, shape, parts[3:])


def _value(source: _Source, kind: int, shape: tuple[int, ...], parts: list[tuple[int, int, memoryview]]) -> Value:
    if kind == _CELL:
        return [_matrix(source, data)[1] for data in _arrays(source, parts, prod(shape))]
    if kind == _STRUCT:
        return _struct(source, shape, parts)
    if not parts:
        raise source.fail("an array without data")
    _, stored, data = parts[0]
    if kind == _CHAR:
        return _text(source, stored, data)
    if kind not in _NUMBERS or stored not in _STORED:
        raise source.fail(f"array class {kind} of type {stored} is not read here")
    dtype = np.dtype(source.order + _STORED[stored])
    if len(data) != prod(shape) * dtype.itemsize:
        raise source.fail(f"{len(data)} bytes do not fill {shape} numbers of {dtype.itemsize}")
    return np.frombuffer(data, dtype).reshape(shape, order="F").astype(_NUMBERS[kind])


def _struct(source: _Source, shape: tuple[int, ...], parts: list[tuple[int, int, memoryview]]) -> StructArray:
    if len(parts) < 2 or len(parts[0][2]) != 4 or parts[1][1] != 1:
        raise source.fail("a struct without field names")
    (width,) = struct.unpack_from(source.order + "i", parts[0][2])
    names = bytes(parts[1][2])
    if not 1 <= width <= 4096 or len(names) % width:
        raise source.fail(f"{len(names)} bytes of field names, {width} each")
    fields = [names[at : at + width].partition(b"\0")[0].decode("latin-1") for at in range(0, len(names), width)]
    count = prod(shape) if fields else 0
    values = [_matrix(source, data)[1] for data in _arrays(source, parts[2:], count * len(fields))]
    rows = [values[at : at + len(fields)] for at in range(0, len(values), len(fields) or 1)]
    return StructArray(shape, tuple(dict(zip(fields, row, strict=True)) for row in rows))


def _arrays(source: _Source, parts: list[tuple[int, int, memoryview]], count: int) -> list[memoryview]:
    if len(parts) != count or any(kind != _MATRIX for _, kind, _ in parts):
        raise source.fail(f"{len(parts)} arrays where {count} are announced")
    return [data for *_, data in parts]


def _text(source: _Source, stored: int, data: memoryview) -> str:
    if stored not in _TEXT:
        raise source.fail(f"text of type {stored} is not read here")
    encoding = _TEXT[stored]
    if encoding in ("utf-16", "utf-32"):
        encoding += "-le" if source.order == "<" else "-be"
    try:
        return bytes(data).decode(encoding)
    except UnicodeDecodeError as error:
        raise source.fail(f"text is broken: {error}") from None


def _whole(source: _Source, data: memoryview, size: int) -> memoryview:
    if len(data) % size:
        raise source.fail(f"{len(data)} bytes are no whole number of {size}")
    return data
