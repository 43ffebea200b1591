import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tractprobe.system import processes as pool
from tractprobe.system.errors import ConfigError, ProcessError
from tractprobe.system.processes import Death, in_processes


def killed(number: int) -> None:
    os.kill(os.getpid(), number)


def leave(status: int) -> None:
    sys.exit(status)  # looked up here: W&B puts a function of its own in its place, which cannot be pickled


ENDS: dict[str, tuple[Callable[[], Any], int]] = {
    "killed": (partial(killed, signal.SIGKILL), -signal.SIGKILL),
    "exit": (partial(os._exit, 3), 3),
    "exit without an error": (partial(leave, 0), 0),
}


def square(number: int, deadly: tuple[int, ...] = (), end: Callable[[], Any] = ENDS["killed"][0]) -> int:
    time.sleep(0.01 * (number % 3))
    if number in deadly:
        end()
    return number * number


def deadly_once(number: int, folder: Path, deadly: tuple[int, ...]) -> int:
    """Die at the first attempt, and note each one."""
    attempts = folder / str(number)
    with open(attempts, "a") as file:
        file.write(f"{os.getpid()}\n")
    return square(number, deadly if len(attempts.read_text().split()) == 1 else ())


class Unportable(Exception):
    def __init__(self, one: int, two: int):
        super().__init__("cannot be made again from this")


def failing(number: int) -> int:
    if number == 1:
        time.sleep(0.3)
        raise ConfigError("no such setting")
    if number == 2:
        raise Unportable(1, 2)
    return number


class Deadly:
    """A task that kills whoever unpacks it."""

    def __reduce__(self):
        return os._exit, (7,)

    def __call__(self, item: int) -> int:
        return item


@pytest.mark.parametrize("processes", [2, 5])
def test_results_come_in_order(processes: int):
    assert list(in_processes(square, range(4), processes)) == [(number, number * number) for number in range(4)]
    assert list(in_processes(square, [], processes)) == []
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("how", ENDS)
def test_an_item_that_kills_its_process_twice_is_given_up_and_the_others_are_not(how: str):
    end, exit_code = ENDS[how]
    results = dict(in_processes(partial(square, deadly=(0, 3), end=end), range(5), 2))
    assert results == {number: Death(exit_code) if number in (0, 3) else number * number for number in range(5)}


def test_an_item_that_kills_its_process_once_is_done_at_the_second_attempt(tmp_path: Path):
    task = partial(deadly_once, folder=tmp_path, deadly=(0, 1, 5))
    assert list(in_processes(task, range(6), 2)) == [(number, number * number) for number in range(6)]
    attempts = {number: (tmp_path / str(number)).read_text().split() for number in range(6)}
    assert [len(attempts[number]) for number in range(6)] == [2, 2, 1, 1, 1, 2]
    assert all(len(set(attempts[number])) == 2 for number in (0, 1, 5))


def test_there_may_be_many_deaths_among_other_results(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pool, "MAX_DEATHS_IN_A_ROW", 2)
    results = dict(in_processes(partial(square, deadly=(0, 2, 4)), range(6), 1))
    assert [number for number, result in results.items() if isinstance(result, Death)] == [0, 2, 4]


@pytest.mark.parametrize("processes", [1, 2])
def test_processes_that_die_whatever_they_do_are_one_error_and_nothing_is_said_of_their_items(
    processes: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pool, "MAX_DEATHS_IN_A_ROW", 3)
    results = in_processes(partial(square, deadly=tuple(range(3, 30))), range(30), processes)
    assert [next(results) for _ in range(3)] == [(0, 0), (1, 1), (2, 4)]
    with pytest.raises(ProcessError, match=r"3 killed the process that read it \(signal 9\), .*If memory was short"):
        next(results)
    assert multiprocessing.active_children() == []


def test_fewer_deaths_than_that_at_the_end_are_believed():
    results = dict(in_processes(partial(square, deadly=(1, 2)), range(3), 2))
    assert results == {0: 0, 1: Death(-9), 2: Death(-9)}


def test_a_process_that_cannot_begin_is_an_error():
    with pytest.raises(ProcessError, match=r"before it began \(exit code 7\)"):
        list(in_processes(Deadly(), range(3), 2))


def test_errors_of_the_task_are_raised_when_their_turn_comes():
    results = in_processes(failing, range(4), 2)
    assert next(results) == (0, 0)
    with pytest.raises(ConfigError, match="no such setting") as error:
        next(results)
    assert "in failing" in error.value.__notes__[0]
    with pytest.raises(RuntimeError, match="cannot be made again"):
        list(in_processes(failing, [2], 2))


def test_idle_processes_that_are_killed_cost_nothing():
    results = in_processes(square, range(8), 2)
    found = [next(results)]
    time.sleep(0.3)  # both have answered and wait
    for process in multiprocessing.active_children():
        process.kill()
    assert [*found, *results] == [(number, number * number) for number in range(8)]


def test_whoever_has_seen_enough_leaves_no_process_behind():
    results = in_processes(square, range(100), 2)
    next(results)
    assert len(multiprocessing.active_children()) == 2
    results.close()
    assert multiprocessing.active_children() == []
