"""A restricted machine that reads pickles, without ever running what is in them.

A pickle is a program that may call anything. Here a machine interprets it that knows only a few steps: plain values,
lists, tuples and dicts, and calls of the functions listed in a ``Vocabulary``. Names are never looked up or imported;
any other name, and any other step, is an error.
"""

import pickletools
import warnings
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from tractprobe.system.errors import first_line

MAX_STEPS = 100_000

_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "SHORT_BINBYTES", "BINBYTES",
}  # fmt: skip


class PickleError(Exception):
    """A pickle that cannot be read, with the byte of the refused step."""

    def __init__(self, problem: str, byte: int):
        super().__init__(problem)
        self.byte = byte


@dataclass(frozen=True)
class Name:
    """A global that the pickle names: only the name, never the object."""

    name: str


@dataclass(eq=False)
class Unfinished:
    """A value that a call announces and a later BUILD step makes from a state.

    Attributes
    ----------
    finish
        Takes the state, a tuple, and returns the value.
    keys
        The keys under which the machine's memo holds it.
    """

    finish: Callable[[tuple], Any]
    keys: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Vocabulary:
    """What a pickle may name and call. Functions get arguments of any type and number, and ``refuse`` invalid ones.

    Attributes
    ----------
    names
        Globals that may only be named, as ``module name``.
    calls
        Functions of ours that replace globals; they return a value or an ``Unfinished`` one.
    persistent
        Takes the parts of a persistent id, and returns the value that it stands for.
    """

    names: Set[str]
    calls: Mapping[str, Callable[..., Any]]
    persistent: Callable[..., Any]


def run(program: bytes, vocabulary: Vocabulary) -> Any:
    """Return the value that a pickle leaves.

    Values are shared where the pickle shares them, and may contain themselves.

    Raises
    ------
    PickleError
        The pickle is damaged, or needs anything but plain values and the vocabulary.
    """
    return _Machine(program, vocabulary).run()


class _Refusal(Exception):
    """A step that the machine refuses."""


def refuse(problem: str) -> NoReturn:
    """Stop the machine at the current step; for functions of a vocabulary."""
    raise _Refusal(problem)


@dataclass(eq=False)
class _Machine:
    """Runs the steps of a pickle. Every step pushes at most one value on the stack and traverses no container."""

    program: bytes
    vocabulary: Vocabulary
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    marks: list[int] = field(default_factory=list)

    def run(self) -> Any:
        byte = 0
        try:
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # escapes in names
                for count, (opcode, argument, at) in enumerate(pickletools.genops(self.program)):
                    byte = at or 0
                    if opcode.name == "STOP":
                        return self._pop()
                    if count >= MAX_STEPS:
                        refuse(f"more than {MAX_STEPS} steps")
                    self._step(opcode.name, argument)
        except (_Refusal, ValueError, TypeError, LookupError, OverflowError) as error:
            raise PickleError(first_line(error), byte) from None
        raise PickleError("ends without a STOP", byte)

    def _step(self, name: str, argument: Any) -> None:
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            if type(argument) is int and argument.bit_length() > 63:
                refuse(f"a number of {argument.bit_length()} bits")
            self.stack.append(argument)
        elif step := _STEPS.get(name):
            step(self, argument)
        else:
            refuse(f"step {name} is not supported")

    def _pop(self) -> Any:
        if not self.stack or (self.marks and self.marks[-1] == len(self.stack)):
            refuse("nothing is left on the stack")
        return self.stack.pop()

    def _take(self, count: int) -> list[Any]:
        return [self._pop() for _ in range(count)][::-1]

    def _since_mark(self) -> list[Any]:
        if not self.marks:
            refuse("items without a MARK")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _append(self, items: list[Any]) -> None:
        self._top(list).extend(map(_finished, items))

    def _top(self, kind: type) -> Any:
        value = self._pop()
        if type(value) is not kind:
            refuse(f"expected a {kind.__name__}, not a {type(value).__name__}")
        self.stack.append(value)
        return value

    def _get(self, key: int) -> None:
        if key not in self.memo:
            refuse("recalls a value that it never memorised")
        self.stack.append(self.memo[key])

    def _put(self, key: int) -> None:
        value = self._pop()
        self.stack.append(value)
        self.memo[key] = value
        if isinstance(value, Unfinished):
            value.keys.append(key)

    def _global(self, name: str) -> None:
        if name not in self.vocabulary.names and name not in self.vocabulary.calls:
            refuse(f"names {name.replace(' ', '.')!r:.80}; only arrays and plain values are supported")
        self.stack.append(Name(name))

    def _set_items(self, pairs: list[Any]) -> None:
        target = self._top(dict)
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if type(key) is not str:
                refuse(f"a {type(key).__name__} as a key")
            target[key] = _finished(value)

    def _call(self, callee: Any, arguments: Any) -> None:
        if not isinstance(callee, Name) or callee.name not in self.vocabulary.calls or type(arguments) is not tuple:
            refuse("a call of something that is not a supported function")
        self.stack.append(self.vocabulary.calls[callee.name](*arguments))

    def _build(self, unfinished: Any, state: Any) -> None:
        if not isinstance(unfinished, Unfinished) or type(state) is not tuple:
            refuse(f"a state for a {type(unfinished).__name__}")
        value = unfinished.finish(state)
        for key in unfinished.keys:
            if self.memo[key] is unfinished:
                self.memo[key] = value
        self.stack.append(value)

    def _persistent(self, identity: Any) -> None:
        self.stack.append(self.vocabulary.persistent(*identity))


def _finished(value: Any) -> Any:
    """Return a value that may go into a list or dict; refuse our own placeholders."""
    if isinstance(value, Name | Unfinished | np.dtype):
        refuse("an unfinished value in a container")
    return value


# Listed explicitly rather than looked up by name: any other step is refused.
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, version: None if version <= 4 else refuse(f"protocol {version}"),
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
    "BINPERSID": lambda machine, _: machine._persistent(machine._pop()),
}
