"""Arrays from ``torch.save`` files, which are pickles, without ever running what is in them (see ``pickles``).

Layout (torch 1.6 and later): an uncompressed zip archive with ``<any>/data.pkl`` and the bytes of each tensor in
``<any>/data/<key>``. Without compression, nothing in it can be larger than the file; what the pickle copies out of
itself is bounded by its own length. Older files, which are not zip archives, are refused.

The calls with which numpy and torch write an array are recognised by name, and replaced by functions defined here.
"""

import io
import re
import zipfile
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from tractprobe.corpora.formats.pickles import Name, PickleError, Unfinished, Vocabulary, refuse, run
from tractprobe.system.errors import CorpusError, first_line
from tractprobe.system.files import read_bytes

MAX_FILE_BYTES = 1 << 24
MAX_MEMBERS = 4096

_MAX_DIMENSIONS = 8
_DTYPE = re.compile(r"b1|[iu][1248]|f[248]")
_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NDARRAY = Name("numpy ndarray")
_STORAGES = {
    f"torch {name}Storage": code
    for name, code in {
        "Half": "f2", "Float": "f4", "Double": "f8", "Char": "i1", "Short": "i2", "Int": "i4", "Long": "i8",
        "Byte": "u1", "Bool": "b1",
    }.items()
}  # fmt: skip

Value = np.ndarray | str | bytes | int | float | bool | list | tuple | dict | None


def read_tensors(path: Path) -> dict[str, Value]:
    """Read a dict of arrays and plain values that ``torch.save`` wrote; arrays may be read-only.

    Values are shared where the file shares them, and may contain themselves: access the keys you need, and never
    traverse all of it.

    Raises
    ------
    CorpusError
        The file is damaged, contains anything but arrays and plain values, or is not a dict with names as keys.
    """
    content = read_bytes(path, MAX_FILE_BYTES)
    if not content.startswith(b"PK\x03\x04"):
        problem = "not a zip archive, as torch.save has written since 1.6: save it again with a newer torch"
        raise CorpusError(path, problem)
    archive = _Archive(_members(path, content))
    try:
        value = run(archive.members["data.pkl"], archive.vocabulary)
    except PickleError as error:
        problem = f"cannot be read as arrays and plain values: {error}"
        raise CorpusError(path, problem, place=f"data.pkl, byte {error.byte}") from None
    if type(value) is not dict:
        raise CorpusError(path, f"expected a dict with names as keys, not a {type(value).__name__}", place="data.pkl")
    return value


def _members(path: Path, content: bytes) -> dict[str, bytes]:
    """Return the archive's members by their names within its single folder."""
    if content.count(b"PK\x01\x02") > MAX_MEMBERS:
        raise CorpusError(path, f"an archive of more than {MAX_MEMBERS} members")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
            if any(info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size for info in infos):
                raise CorpusError(path, "a compressed archive, which torch.save never writes")
            if sum(info.file_size for info in infos) > len(content):
                raise CorpusError(path, "an archive that claims more bytes than the file has")
            members = {info.filename.partition("/")[2]: archive.read(info) for info in infos}
    except CorpusError:
        raise
    except Exception as error:  # zipfile raises whatever its bytes lead to: BadZipFile, struct.error, RuntimeError ...
        raise CorpusError(path, f"a broken zip archive: {first_line(error)}") from None
    if len(members) != len(infos) or "data.pkl" not in members:
        raise CorpusError(path, "expected one data.pkl in one folder, as torch.save writes")
    if members.get("byteorder", b"little") != b"little":
        raise CorpusError(path, "written on a big-endian machine", place="byteorder")
    return members


@dataclass(eq=False)
class _Archive:
    """The members of an archive, and how many bytes its pickle has copied out of itself."""

    members: dict[str, bytes]
    copied_bytes: int = 0

    @property
    def vocabulary(self) -> Vocabulary:
        calls = {
            "__builtin__ bytes": lambda: b"",
            "_codecs encode": self._encoded,
            "collections OrderedDict": lambda: {},
            "numpy dtype": _dtype,
            "torch._utils _rebuild_tensor_v2": _tensor,
            **{f"{module} _reconstruct": _array for module in _NUMPY},
            **{f"{module} scalar": _scalar for module in _NUMPY},
        }
        return Vocabulary({*_STORAGES, _NDARRAY.name}, calls, self._storage)

    def _storage(self, kind: Any, storage: Any, key: Any, location: Any, count: Any) -> np.ndarray:
        if type(kind) is not str or kind != "storage" or getattr(storage, "name", None) not in _STORAGES:
            refuse("a persistent id that is not a storage of numbers")
        if type(key) is not str or f"data/{key}" not in self.members:
            refuse("a storage that the archive does not contain")
        values = np.frombuffer(self.members[f"data/{key}"], np.dtype("<" + _STORAGES[storage.name]))
        if type(count) is not int or count != len(values):
            refuse(f"a storage of {len(values)} numbers that claims to have another count")
        return values

    def _encoded(self, text: Any, encoding: Any) -> bytes:
        if type(text) is not str or type(encoding) is not str or encoding != "latin1":
            refuse("bytes in an encoding that numpy does not use")
        self.copied_bytes += len(text)
        if self.copied_bytes > len(self.members["data.pkl"]):
            refuse("copies out more bytes than the pickle has")
        return text.encode("latin-1")


def _dtype(code: Any, align: Any, copy: Any) -> Unfinished:
    if type(code) is not str or not _DTYPE.fullmatch(code):
        refuse(f"an array of type {code if type(code) is str else type(code).__name__!r:.40}, not of numbers")
    return Unfinished(partial(_ordered, np.dtype(code)))


def _ordered(dtype: np.dtype, state: tuple) -> np.dtype:
    if len(state) < 2 or type(state[1]) is not str or state[1] not in ("<", ">", "|", "="):
        refuse("a dtype without a byte order")
    return dtype.newbyteorder("<" if state[1] in "|=" else state[1])


def _array(kind: Any, shape: Any, code: Any) -> Unfinished:
    if not isinstance(kind, Name) or kind != _NDARRAY:
        refuse("an array of a class other than numpy's")
    return Unfinished(_filled)


def _filled(state: tuple) -> np.ndarray:
    _, shape, dtype, by_column, content = state
    if not isinstance(dtype, np.dtype) or type(content) is not bytes or type(by_column) is not bool:
        refuse("an array of anything but numbers")
    count = prod(_sizes(shape))
    if count * dtype.itemsize != len(content):
        refuse(f"{len(content)} bytes do not fill an array of {count} numbers of {dtype.itemsize} bytes")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if by_column else "C")


def _scalar(dtype: Any, content: Any) -> bool | int | float:
    if not isinstance(dtype, np.dtype) or type(content) is not bytes or len(content) != dtype.itemsize:
        refuse("a number of unknown type")
    return np.frombuffer(content, dtype)[0].item()


def _tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, requires_grad: Any, hooks: Any, *more: Any
) -> np.ndarray:
    if not isinstance(storage, np.ndarray) or storage.ndim != 1:
        refuse("a tensor without a storage")
    sizes, steps = _sizes(shape), _sizes(strides)
    if type(offset) is not int or offset < 0 or len(sizes) != len(steps):
        refuse("a tensor with sizes and strides that do not match")
    if prod(sizes) == 0:
        return np.zeros(sizes, storage.dtype)
    last = offset + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
    if prod(sizes) > len(storage) or last >= len(storage):
        refuse(f"a tensor of shape {sizes} in a storage of {len(storage)} numbers")
    bytes_per_step = tuple(step * storage.itemsize for step in steps)
    return np.lib.stride_tricks.as_strided(storage[offset:], sizes, bytes_per_step, writeable=False)


def _sizes(sizes: Any) -> tuple[int, ...]:
    if type(sizes) is not tuple or len(sizes) > _MAX_DIMENSIONS:
        refuse(f"sizes are not a tuple of at most {_MAX_DIMENSIONS}")
    if not all(type(size) is int and 0 <= size < 1 << 40 for size in sizes):
        refuse("sizes that are not counts")
    return sizes
