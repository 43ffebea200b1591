"""Work shared among processes that may be killed by what they work on: by a library's crash, or for want of memory.

Each process has one item at a time, so that the one it died of is known. That one is tried a second time, in a fresh
process while no other works, as the machine, rather than the item, may have been at fault. If that process dies too,
the item is given up.
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
    """What becomes of an item that kills the process that works on it.

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
    """Yield each item and what a task makes of it, in their order; close it to end the processes.

    Raises
    ------
    ProcessError
        ``MAX_DEATHS_IN_A_ROW`` items each killed a process of their own and none was done between them, so that the
        machine may be to blame; or a fresh process died before it began. Nothing has been said of these items.
    """
    work = _Work(task, items, processes)
    try:
        for index, item in enumerate(items):
            work.go_on(0)
            while index not in work.done:
                work.go_on(None)
            result, error = work.done.pop(index)
            if error is not None:
                raise error
            yield item, cast(Result | Death, result)
    finally:
        work.stop()


class _Process:
    """A process that does a task for one item after another.

    Attributes
    ----------
    index
        Which item it has, None if it is idle.
    was_ready
        Whether it got as far as asking for one.
    """

    def __init__(self, task: Callable[[Any], Any]):
        self.connection, theirs = _SPAWN.Pipe()
        self.index: int | None = None
        self.was_ready = False
        self._process = _SPAWN.Process(target=_serve, args=(theirs, task), daemon=True)
        self._process.start()
        theirs.close()  # held open here, its end would go unnoticed

    def give(self, index: int, item: Any) -> None:
        self.index = index
        with suppress(OSError):  # of one that died meanwhile, which is noticed when its answer is taken
            self.connection.send(item)

    def stop(self, patience_s: float = 0) -> int:
        """End the process unless it ends by itself in time, and return its exit code."""
        self.connection.close()
        self._process.join(patience_s)
        self._process.kill()
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode


class _Work(Generic[Item, Result]):
    """What waits, what is being done by which process, and what is done: a result, or an error to be raised."""

    def __init__(self, task: Callable[[Item], Result], items: Sequence[Item], processes: int):
        self.done: dict[int, tuple[Result | Death | None, Exception | None]] = {}
        self._task, self._items, self._most = task, items, processes
        self._waiting, self._suspects = deque(range(len(items))), deque[int]()
        self._deaths: dict[int, Death] = {}  # since an item was last done: not to be believed before the next one is
        self._processes: list[_Process] = []

    def go_on(self, timeout_s: float | None) -> None:
        """Give idle processes work, and take what comes back within a time (None: as long as it takes)."""
        while self._waiting and not self._suspects and (idle := self._idle()):
            self._give(idle, self._waiting.popleft())
        if any(process.index is not None for process in self._processes):
            by_connection: dict[Any, _Process] = {process.connection: process for process in self._processes}
            for connection in wait(list(by_connection), timeout_s):
                self._take_or_suspect(by_connection[connection])
        elif self._suspects:
            self._try_alone(self._suspects.popleft())
        else:
            self._believe_deaths()

    def stop(self) -> None:
        for process in self._processes:
            process.stop()

    def _idle(self) -> _Process | None:
        """Return a process that has nothing to do, a new one if there may be more."""
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
        self._believe_deaths()

    def _take_or_suspect(self, process: _Process) -> None:
        try:
            self._take(process)
        except (EOFError, OSError):
            death = self._buried(process)
            if process.index is not None:
                log.warning("%s: %s; trying it once more, alone", self._items[process.index], death)
                self._suspects.append(process.index)

    def _try_alone(self, index: int) -> None:
        """Have one item done by a fresh process, while all others are idle."""
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
            each = ", ".join(f"{self._items[index]} {death}" for index, death in self._deaths.items())
            advice = "If memory was short, try again when it is not; if it was not, move them out of the corpus"
            raise ProcessError(f"one after another, each alone and at its second attempt: {each}. {advice}")

    def _believe_deaths(self) -> None:
        self.done.update((index, (death, None)) for index, death in self._deaths.items())
        self._deaths.clear()


def _serve(connection: Connection, task: Callable[[Any], Any]) -> None:
    """Do a task for each item that comes, until none can come any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the one that started us decides
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
    """Return an error that arrives in another process, with the traceback, which would not."""
    told = traceback.format_exc()
    error.add_note(told)
    try:
        _PICKLER.loads(_PICKLER.dumps(error))
    except Exception:
        return RuntimeError(told)
    return error


def _die_with_parent() -> None:
    """End this process when the one that started it is killed, so that none goes on writing."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
