"""Arrays out of ``torch.save`` files, which are pickles, without ever running what is in them.

A pickle is a program that may call anything. Here it is read step by step by a machine of our own that knows a few
steps only: plain values, lists, tuples and dicts, and the handful of calls by which numpy and torch write an array.
These are recognised by their names and never looked up or imported; any other name, and any other step, is an error.

Layout (torch 1.6 and later): a zip archive, nothing compressed, with ``<any>/data.pkl`` and the bytes of each tensor in
``<any>/data/<key>``. Since nothing is compressed, nothing in it can be larger than the file; what the pickle copies out
of itself is bounded by its own length. Older files (no zip) are refused.
"""

import io
import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from tractprobe.errors import CorpusError, first_line
from tractprobe.files import read_bytes

MAX_FILE_BYTES = 1 << 24
MAX_MEMBERS = 4096
MAX_STEPS = 100_000

_MAX_DIMENSIONS = 8
_DTYPE = re.compile(r"b1|[iu][1248]|f[248]")
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "SHORT_BINBYTES", "BINBYTES",
}  # fmt: skip
_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
_STORAGES = {
    f"torch {name}Storage": code
    for name, code in {
        "Half": "f2", "Float": "f4", "Double": "f8", "Char": "i1", "Short": "i2", "Int": "i4", "Long": "i8",
        "Byte": "u1", "Bool": "b1",
    }.items()
}  # fmt: skip
_CALLS = {
    "__builtin__ bytes": "_no_bytes",
    "_codecs encode": "_encode",
    "collections OrderedDict": "_ordered_dict",
    "numpy dtype": "_dtype",
    "torch._utils _rebuild_tensor_v2": "_tensor",
    **{f"{module} _reconstruct": "_reconstruct" for module in _NUMPY},
    **{f"{module} scalar": "_scalar" for module in _NUMPY},
}
_NAMES = {*_CALLS, *_STORAGES, "numpy ndarray"}

Value = np.ndarray | str | bytes | int | float | bool | list | tuple | dict | None


def read_tensors(path: Path) -> dict[str, Value]:
    """Read a dict of arrays and plain values, saved by ``torch.save``; arrays may be read-only.

    Values are shared where the file shares them, and may hold themselves: look at what you need, never walk them all.

    Raises
    ------
    CorpusError
        The file is damaged, holds anything but arrays and plain values, or no dict with names.
    """
    content = read_bytes(path, MAX_FILE_BYTES)
    if not content.startswith(b"PK\x03\x04"):
        raise CorpusError(path, "no zip archive, as torch.save has written since 1.6: save it again with a newer torch")
    members = _members(path, content)
    value = _Machine(path, members).run()
    if type(value) is not dict:
        raise CorpusError(path, f"holds no dict with names but a {type(value).__name__}", place="data.pkl")
    return value


def _members(path: Path, content: bytes) -> dict[str, bytes]:
    """Return the archive's members by their names below its one folder."""
    if content.count(b"PK\x01\x02") > MAX_MEMBERS:
        raise CorpusError(path, f"an archive of more than {MAX_MEMBERS} members")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
            if any(info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size for info in infos):
                raise CorpusError(path, "a compressed archive; torch.save compresses nothing")
            if sum(info.file_size for info in infos) > len(content):
                raise CorpusError(path, "an archive that claims more than the file holds")
            members = {info.filename.partition("/")[2]: archive.read(info) for info in infos}
    except CorpusError:
        raise
    except Exception as error:  # zipfile raises whatever its bytes lead to: BadZipFile, struct.error, RuntimeError ...
        raise CorpusError(path, f"a broken zip archive: {first_line(error)}") from None
    if len(members) != len(infos) or "data.pkl" not in members:
        raise CorpusError(path, "not one data.pkl in one folder, as torch.save writes")
    if members.get("byteorder", b"little") != b"little":
        raise CorpusError(path, "written on a big-endian machine", place="byteorder")
    return members


@dataclass(frozen=True)
class _Name:
    """A global that the pickle names; it stands for itself and is nothing."""

    name: str


@dataclass(eq=False)
class _Unfinished:
    """An array or dtype between the call that announces it and its BUILD."""

    kind: str
    dtype: np.dtype | None = None
    keys: list[int] = field(default_factory=list)


class _Refusal(Exception):
    """A step that is not taken."""


def _refuse(problem: str) -> NoReturn:
    raise _Refusal(problem)


@dataclass(eq=False)
class _Machine:
    """Runs the steps of a pickle. Every step puts at most one value on the stack and walks no container."""

    path: Path
    members: dict[str, bytes]
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    marks: list[int] = field(default_factory=list)
    copied_bytes: int = 0

    def run(self) -> Any:
        """Return the value that the pickle leaves."""
        place = 0
        try:
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # escapes in names
                for count, (opcode, argument, at) in enumerate(pickletools.genops(self.members["data.pkl"])):
                    place = at
                    if opcode.name == "STOP":
                        return self._pop()
                    if count >= MAX_STEPS:
                        _refuse(f"more than {MAX_STEPS} steps")
                    self._step(opcode.name, argument)
        except (_Refusal, ValueError, TypeError, LookupError, OverflowError) as error:
            problem = f"not read as arrays and plain values: {first_line(error)}"
            raise CorpusError(self.path, problem, place=f"data.pkl, byte {place}") from None
        raise CorpusError(self.path, "ends without a STOP", place="data.pkl")

    def _step(self, name: str, argument: Any) -> None:
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            if type(argument) is int and argument.bit_length() > 63:
                _refuse(f"a number of {argument.bit_length()} bits")
            self.stack.append(argument)
        elif step := _STEPS.get(name):
            step(self, argument)
        else:
            _refuse(f"step {name} is not taken here")

    def _pop(self) -> Any:
        if not self.stack or (self.marks and self.marks[-1] == len(self.stack)):
            _refuse("nothing is left on the stack")
        return self.stack.pop()

    def _take(self, count: int) -> list[Any]:
        return [self._pop() for _ in range(count)][::-1]

    def _since_mark(self) -> list[Any]:
        if not self.marks:
            _refuse("items without a MARK")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _append(self, items: list[Any]) -> None:
        self._top(list).extend(map(_finished, items))

    def _top(self, kind: type) -> Any:
        value = self._pop()
        if type(value) is not kind:
            _refuse(f"a {kind.__name__} is wanted, not a {type(value).__name__}")
        self.stack.append(value)
        return value

    def _get(self, key: int) -> None:
        if key not in self.memo:
            _refuse("recalls what it never put aside")
        self.stack.append(self.memo[key])

    def _put(self, key: int) -> None:
        value = self._pop()
        self.stack.append(value)
        self.memo[key] = value
        if isinstance(value, _Unfinished):
            value.keys.append(key)

    def _global(self, name: str) -> None:
        if name not in _NAMES:
            _refuse(f"names {name.replace(' ', '.')!r:.80}; only arrays and plain values are read")
        self.stack.append(_Name(name))

    def _set_items(self, pairs: list[Any]) -> None:
        target = self._top(dict)
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if type(key) is not str:
                _refuse(f"a {type(key).__name__} as a key")
            target[key] = _finished(value)

    def _call(self, callee: Any, arguments: Any) -> None:
        if not isinstance(callee, _Name) or callee.name not in _CALLS or type(arguments) is not tuple:
            _refuse("a call of what is no function known here")
        self.stack.append(getattr(self, _CALLS[callee.name])(*arguments))

    def _build(self, unfinished: Any, state: Any) -> None:
        if not isinstance(unfinished, _Unfinished) or type(state) is not tuple:
            _refuse(f"a state for a {type(unfinished).__name__}")
        value = self._ordered(unfinished, state) if unfinished.kind == "dtype" else self._filled(state)
        for key in unfinished.keys:
            if self.memo[key] is unfinished:
                self.memo[key] = value
        self.stack.append(value)

    def _persistent(self, kind: Any, storage: Any, key: Any, location: Any, count: Any) -> None:
        if type(kind) is not str or kind != "storage" or getattr(storage, "name", None) not in _STORAGES:
            _refuse("a persistent id of no storage of numbers")
        if type(key) is not str or f"data/{key}" not in self.members:
            _refuse("a storage that the archive does not hold")
        values = np.frombuffer(self.members[f"data/{key}"], np.dtype("<" + _STORAGES[storage.name]))
        if type(count) is not int or count != len(values):
            _refuse(f"a storage of {len(values)} numbers that claims to have another count")
        self.stack.append(values)

    # What the names stand for.

    def _encode(self, text: Any, encoding: Any) -> bytes:
        if type(text) is not str or type(encoding) is not str or encoding != "latin1":
            _refuse("bytes encoded otherwise than numpy does")
        self.copied_bytes += len(text)
        if self.copied_bytes > len(self.members["data.pkl"]):
            _refuse("copies out more bytes than there are")
        return text.encode("latin-1")

    def _no_bytes(self) -> bytes:
        return b""

    def _ordered_dict(self) -> dict:
        return {}

    def _dtype(self, code: Any, align: Any, copy: Any) -> _Unfinished:
        if type(code) is not str or not _DTYPE.fullmatch(code):
            _refuse(f"an array of type {code if type(code) is str else type(code).__name__!r:.40}, not of numbers")
        return _Unfinished("dtype", np.dtype(code))

    def _ordered(self, unfinished: _Unfinished, state: tuple) -> np.dtype:
        assert unfinished.dtype is not None
        if len(state) < 2 or type(state[1]) is not str or state[1] not in ("<", ">", "|", "="):
            _refuse("a dtype without a byte order")
        return unfinished.dtype.newbyteorder("<" if state[1] in "|=" else state[1])

    def _reconstruct(self, kind: Any, shape: Any, code: Any) -> _Unfinished:
        if not isinstance(kind, _Name) or kind.name != "numpy ndarray":
            _refuse("an array of another class than numpy's")
        return _Unfinished("array")

    def _filled(self, state: tuple) -> np.ndarray:
        _, shape, dtype, by_column, content = state
        if not isinstance(dtype, np.dtype) or type(content) is not bytes or type(by_column) is not bool:
            _refuse("an array of anything but numbers")
        count = prod(_sizes(shape))
        if count * dtype.itemsize != len(content):
            _refuse(f"{len(content)} bytes do not fill an array of {count} numbers of {dtype.itemsize} bytes")
        return np.frombuffer(content, dtype).reshape(shape, order="F" if by_column else "C")

    def _scalar(self, dtype: Any, content: Any) -> bool | int | float:
        if not isinstance(dtype, np.dtype) or type(content) is not bytes or len(content) != dtype.itemsize:
            _refuse("a number of unknown type")
        return np.frombuffer(content, dtype)[0].item()

    def _tensor(
        self, storage: Any, offset: Any, shape: Any, strides: Any, requires_grad: Any, hooks: Any, *more: Any
    ) -> np.ndarray:
        if not isinstance(storage, np.ndarray) or storage.ndim != 1:
            _refuse("a tensor without a storage")
        sizes, steps = _sizes(shape), _sizes(strides)
        if type(offset) is not int or offset < 0 or len(sizes) != len(steps):
            _refuse("a tensor whose sizes and strides do not fit")
        if prod(sizes) == 0:
            return np.zeros(sizes, storage.dtype)
        last = offset + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
        if prod(sizes) > len(storage) or last >= len(storage):
            _refuse(f"a tensor of shape {sizes} in a storage of {len(storage)} numbers")
        bytes_per_step = tuple(step * storage.itemsize for step in steps)
        return np.lib.stride_tricks.as_strided(storage[offset:], sizes, bytes_per_step, writeable=False)


def _finished(value: Any) -> Any:
    """Return what may go into a list or dict: no stand-in of ours."""
    if isinstance(value, _Name | _Unfinished | np.dtype):
        _refuse("something unfinished among the values")
    return value


def _sizes(sizes: Any) -> tuple[int, ...]:
    if type(sizes) is not tuple or len(sizes) > _MAX_DIMENSIONS:
        _refuse(f"sizes are no tuple of at most {_MAX_DIMENSIONS}")
    if not all(type(size) is int and 0 <= size < 1 << 40 for size in sizes):
        _refuse("sizes that are no counts")
    return sizes


# Written out, not looked up by name: what is not here is not done.
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, version: None if version <= 4 else _refuse(f"protocol {version}"),
    "FRAME": lambda machine, _: None,
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "MEMOIZE": lambda machine, _: machine._put(len(machine.memo)),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Machine._put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Machine._get),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine._since_mark())),
    "TUPLE1": lambda machine, _: machine.stack.append(tuple(machine._take(1))),
    "TUPLE2": lambda machine, _: machine.stack.append(tuple(machine._take(2))),
    "TUPLE3": lambda machine, _: machine.stack.append(tuple(machine._take(3))),
    "APPEND": lambda machine, _: machine._append(machine._take(1)),
    "APPENDS": lambda machine, _: machine._append(machine._since_mark()),
    "SETITEM": lambda machine, _: machine._set_items(machine._take(2)),
    "SETITEMS": lambda machine, _: machine._set_items(machine._since_mark()),
    "GLOBAL": _Machine._global,
    "STACK_GLOBAL": lambda machine, _: machine._global(" ".join(machine._take(2))),
    "REDUCE": lambda machine, _: machine._call(*machine._take(2)),
    "BUILD": lambda machine, _: machine._build(*machine._take(2)),
    "BINPERSID": lambda machine, _: machine._persistent(*machine._pop()),
}
