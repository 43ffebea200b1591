"""Work shared among processes that an item may kill: because a library crashes, or because memory runs out.

Each process has one item at a time, so we know which item it died of. That item is tried a second time, in a fresh
process while no other is working, because the machine, rather than the item, may have been at fault. If that process
dies too, the item is given up.
"""

import logging
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any, Generic, TypeVar, cast

from tractprobe.system.errors import ProcessError

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_DEATHS_IN_A_ROW = 5
_SPAWN = get_context("spawn")
_PICKLER: Any = ForkingPickler  # what connections between processes use
_READY = "ready"
_GRACE_S = 5


@dataclass(frozen=True)
class Death:
    """The result of an item that kills the process that works on it.

    >>> print(Death(-9))
    killed the process that read it (signal 9)
    >>> print(Death(3))
    ended the process that read it (exit code 3)
    """

    exit_code: int

    def __str__(self) -> str:
        if self.exit_code < 0:
            return f"killed the process that read it (signal {-self.exit_code})"
        return f"ended the process that read it (exit code {self.exit_code})"


def in_processes(
    task: Callable[[Item], Result], items: Sequence[Item], processes: int
) -> Generator[tuple[Item, Result | Death], None, None]:
    """Yield each item with the task's result, in the items' order; close the generator to end the processes.

    Raises
    ------
    ProcessError
        ``MAX_DEATHS_IN_A_ROW`` items each killed a process of their own and none between them was finished, so the
        machine may be to blame; or a fresh process died before it began. Nothing has been yielded for these items.
    """
    work = _Work(task, items, processes)
    try:
        for index, item in enumerate(items):
            work.advance(0)
            while index not in work.done:
                work.advance(None)
            result, error = work.done.pop(index)
            if error is not None:
                raise error
            yield item, cast(Result | Death, result)
    finally:
        work.stop()


class _Process:
    """A process that runs a task on one item after another.

    Attributes
    ----------
    index
        The item it is working on; None if it is idle.
    was_ready
        Whether it got as far as asking for an item.
    """

    def __init__(self, task: Callable[[Any], Any]):
        self.connection, theirs = _SPAWN.Pipe()
        self.index: int | None = None
        self.was_ready = False
        self._process = _SPAWN.Process(target=_serve, args=(theirs, task), daemon=True)
        self._process.start()
        theirs.close()  # left open here, the process's death would go unnoticed

    def give(self, index: int, item: Any) -> None:
        self.index = index
        with suppress(OSError):  # it has died meanwhile, which is noticed when its answer is taken
            self.connection.send(item)

    def stop(self, patience_s: float = 0) -> int:
        """Kill the process unless it exits in time, and return its exit code."""
        self.connection.close()
        self._process.join(patience_s)
        self._process.kill()
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode


class _Work(Generic[Item, Result]):
    """The items that wait, the processes with the items they work on, and what is done: a result or an error each."""

    def __init__(self, task: Callable[[Item], Result], items: Sequence[Item], processes: int):
        self.done: dict[int, tuple[Result | Death | None, Exception | None]] = {}
        self._task, self._items, self._most = task, items, processes
        self._waiting, self._suspects = deque(range(len(items))), deque[int]()
        self._deaths: dict[int, Death] = {}  # since the last finished item; not confirmed until the next one finishes
        self._processes: list[_Process] = []

    def advance(self, timeout_s: float | None) -> None:
        """Give idle processes work, and take what comes back within the timeout (None: wait without limit)."""
        while self._waiting and not self._suspects and (idle := self._idle()):
            self._give(idle, self._waiting.popleft())
        if any(process.index is not None for process in self._processes):
            by_connection: dict[Any, _Process] = {process.connection: process for process in self._processes}
            for connection in wait(list(by_connection), timeout_s):
                self._take_or_suspect(by_connection[connection])
        elif self._suspects:
            self._try_alone(self._suspects.popleft())
        else:
            self._confirm_deaths()

    def stop(self) -> None:
        for process in self._processes:
            process.stop()

    def _idle(self) -> _Process | None:
        """Return an idle process, a new one if none is idle and the limit allows; None otherwise."""
        for process in self._processes:
            if process.index is None:
                return process
        return self._started() if len(self._processes) < self._most else None

    def _started(self) -> _Process:
        self._processes.append(_Process(self._task))
        return self._processes[-1]

    def _give(self, process: _Process, index: int) -> None:
        process.give(index, self._items[index])

    def _take(self, process: _Process) -> None:
        """Take what a process sends; EOFError or OSError if it has died."""
        message = process.connection.recv()
        if message == _READY:
            process.was_ready = True
            return
        assert process.index is not None
        self.done[process.index], process.index = message, None
        self._confirm_deaths()

    def _take_or_suspect(self, process: _Process) -> None:
        try:
            self._take(process)
        except (EOFError, OSError):
            death = self._buried(process)
            if process.index is not None:
                log.warning("%s: %s; trying it once more, alone", self._items[process.index], death)
                self._suspects.append(process.index)

    def _try_alone(self, index: int) -> None:
        """Run one item in a fresh process, while all others are idle."""
        process = self._started()
        self._give(process, index)
        try:
            while process.index is not None:
                self._take(process)
        except (EOFError, OSError):
            death = self._buried(process)
            if not process.was_ready:
                raise ProcessError(f"a fresh process died before it began (exit code {death.exit_code})") from None
            self._deaths[index] = death
            self._check_deaths()

    def _buried(self, process: _Process) -> Death:
        self._processes.remove(process)
        return Death(process.stop(_GRACE_S))

    def _check_deaths(self) -> None:
        if len(self._deaths) == MAX_DEATHS_IN_A_ROW:
            deaths = ", ".join(f"{self._items[index]} {self._deaths[index]}" for index in sorted(self._deaths))
            advice = "If memory was short, try again when it is not; if it was not, move these files out of the corpus"
            raise ProcessError(f"in a row, each alone and at its second attempt: {deaths}. {advice}")

    def _confirm_deaths(self) -> None:
        self.done.update((index, (death, None)) for index, death in self._deaths.items())
        self._deaths.clear()


def _serve(connection: Connection, task: Callable[[Any], Any]) -> None:
    """Run the task on each item received, until the connection closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent process decides
    _die_with_parent()
    connection.send(_READY)
    while True:
        try:
            item = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer = task(item), None
        except Exception as error:
            answer = None, _portable(error)
        connection.send(answer)


def _portable(error: Exception) -> Exception:
    """Return an error that can be sent to another process, with its traceback as a note, since that is not sent."""
    trace = traceback.format_exc()
    error.add_note(trace)
    try:
        _PICKLER.loads(_PICKLER.dumps(error))
    except Exception:
        return RuntimeError(trace)
    return error


def _die_with_parent() -> None:
    """End this process when its parent is killed, so that no orphan keeps writing."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
