"""MAT v5 files (MATLAB's -v6 and -v7): numbers, text, cells and structs, read within bounds.

We do not use ``scipy.io.loadmat`` because it trusts the sizes in a file: a few changed bytes can crash the interpreter
(scipy 1.17). Here every size is checked against the available bytes before anything is made from it. The layout is that
of "MAT-File Format" (MathWorks), level 5: a header of 128 bytes, then elements of tag, data and padding to 8 bytes;
arrays are elements of elements.
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

from tractprobe.system.contents import holding
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
    """A struct array; its elements, in MATLAB's (column-major) order, map fields to values.

    Values are arrays of numbers (in MATLAB's shape), ``str``, lists (cell arrays, column-major) or struct arrays.
    """

    shape: tuple[int, ...]
    elements: tuple[dict[str, Value], ...]


def read_mat5(path: Path, variable: str) -> Value:
    """Read one variable; CorpusError names the file and the offending byte."""
    content = read_bytes(path, MAX_FILE_BYTES)
    if content.startswith((b"MATLAB 7.3", b"\x89HDF")):
        raise CorpusError(path, "a MAT v7.3 (HDF5) file is not supported; save it as -v7", place="byte 0")
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if len(content) < _HEADER_BYTES or order is None:
        raise CorpusError(path, holding(path, "does not start with the header of a MAT v5 file"), place="byte 0")
    for start, kind, data in _elements(_Location(path, order, _HEADER_BYTES), content[_HEADER_BYTES:]):
        location = _Location(path, order, start)
        if kind == _COMPRESSED:
            location, kind, data = _inflated(location, data)
        if kind == _MATRIX:
            name, value = _matrix(location, data, only=variable)
            if name == variable:
                return value
    raise CorpusError(path, f"contains no variable {variable}")


@dataclass(frozen=True)
class _Location:
    """Where some bytes come from, for error messages, and how to read them."""

    path: Path
    order: str
    start: int
    depth: int = 0

    def fail(self, problem: str) -> CorpusError:
        return CorpusError(self.path, problem, place=f"element at byte {self.start}")


def _elements(location: _Location, content: bytes | memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Yield (byte in the file or the inflated data, type, data) of each element."""
    view, position = memoryview(content), 0
    while position < len(view):
        if len(view) - position < 8:
            raise location.fail("ends within a tag; cut short?")
        kind, count = struct.unpack_from(location.order + "II", view, position)
        start, padding = position + 8, 8
        if kind == 0:
            raise location.fail(f"no type at byte {position} of {len(view)}")
        if kind >> 16:  # a small element: size and data share the tag
            count, kind, start, padding = kind >> 16, kind & 0xFFFF, position + 4, 4
        if count > (4 if padding == 4 else len(view) - start):
            raise location.fail(f"an element at byte {position} of {len(view)} claims {count} bytes; cut short?")
        yield location.start + position, kind, view[start : start + count]
        position = start + (count if kind == _COMPRESSED else -(-count // padding) * padding)


def _inflated(location: _Location, data: memoryview) -> tuple[_Location, int, memoryview]:
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(data, MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise location.fail(f"compressed data is broken: {error}") from None
    if inflater.unconsumed_tail:
        raise location.fail(f"inflates to more than {MAX_INFLATED_BYTES} bytes")
    for _, kind, inner in _elements(location, content):
        return location, kind, inner
    raise location.fail("compressed data is empty")


def _matrix(location: _Location, data: memoryview, only: str | None = None) -> tuple[str, Value]:
    """Return name and value of an array; if its name is not ``only``, the value is not read and left empty."""
    if not len(data):  # an empty array may consist of its tag alone
        return "", np.zeros((0, 0))
    if location.depth > _MAX_DEPTH:
        raise location.fail(f"arrays nested more than {_MAX_DEPTH} deep")
    parts = list(islice(_elements(location, data), _MAX_PARTS + 1))
    if len(parts) > _MAX_PARTS:
        raise location.fail(f"more than {_MAX_PARTS} elements in an array")
    if len(parts) < 3 or parts[0][1] != 6 or len(parts[0][2]) != 8 or parts[1][1] != 5 or parts[2][1] != 1:
        raise location.fail("not an array: expected flags, dimensions and name")
    kind = struct.unpack_from(location.order + "I", parts[0][2])[0] & 0xFF
    shape = tuple(int(size) for size in np.frombuffer(_whole(location, parts[1][2], 4), location.order + "i4"))
    name = bytes(parts[2][2]).decode("latin-1")
    if len(shape) < 2 or len(shape) > 8 or min(shape) < 0:
        raise location.fail(f"dimensions {shape}")
    if only not in (None, name):
        return name, np.zeros((0, 0))
    inner = _Location(location.path, location.order, location.start, location.depth + 1)
    return name, _value(inner, kind, shape, parts[3:])


def _value(location: _Location, kind: int, shape: tuple[int, ...], parts: list[tuple[int, int, memoryview]]) -> Value:
    if kind == _CELL:
        return [_matrix(location, data)[1] for data in _arrays(location, parts, prod(shape))]
    if kind == _STRUCT:
        return _struct(location, shape, parts)
    if not parts:
        raise location.fail("an array without data")
    _, stored, data = parts[0]
    if kind == _CHAR:
        return _text(location, stored, data)
    if kind not in _NUMBERS or stored not in _STORED:
        raise location.fail(f"array class {kind} of type {stored} is not supported")
    dtype = np.dtype(location.order + _STORED[stored])
    if len(data) != prod(shape) * dtype.itemsize:
        raise location.fail(f"{len(data)} bytes do not fill {shape} numbers of {dtype.itemsize}")
    return np.frombuffer(data, dtype).reshape(shape, order="F").astype(_NUMBERS[kind])


def _struct(location: _Location, shape: tuple[int, ...], parts: list[tuple[int, int, memoryview]]) -> StructArray:
    if len(parts) < 2 or len(parts[0][2]) != 4 or parts[1][1] != 1:
        raise location.fail("a struct without field names")
    (width,) = struct.unpack_from(location.order + "i", parts[0][2])
    names = bytes(parts[1][2])
    if not 1 <= width <= 4096 or len(names) % width:
        raise location.fail(f"{len(names)} bytes of field names, {width} each")
    fields = [names[at : at + width].partition(b"\0")[0].decode("latin-1") for at in range(0, len(names), width)]
    count = prod(shape) if fields else 0
    values = [_matrix(location, data)[1] for data in _arrays(location, parts[2:], count * len(fields))]
    rows = [values[at : at + len(fields)] for at in range(0, len(values), len(fields) or 1)]
    return StructArray(shape, tuple(dict(zip(fields, row, strict=True)) for row in rows))


def _arrays(location: _Location, parts: list[tuple[int, int, memoryview]], count: int) -> list[memoryview]:
    if len(parts) != count or any(kind != _MATRIX for _, kind, _ in parts):
        raise location.fail(f"{len(parts)} arrays where {count} were announced")
    return [data for *_, data in parts]


def _text(location: _Location, stored: int, data: memoryview) -> str:
    if stored not in _TEXT:
        raise location.fail(f"text of type {stored} is not supported")
    encoding = _TEXT[stored]
    if encoding in ("utf-16", "utf-32"):
        encoding += "-le" if location.order == "<" else "-be"
    try:
        return bytes(data).decode(encoding)
    except UnicodeDecodeError as error:
        raise location.fail(f"text is broken: {error}") from None


def _whole(location: _Location, data: memoryview, size: int) -> memoryview:
    if len(data) % size:
        raise location.fail(f"{len(data)} bytes are not a multiple of {size}")
    return data
