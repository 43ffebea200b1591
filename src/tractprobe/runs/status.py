"""What has become of runs: done, running, failed or missing, as files and locks say; or copies of others.

::

    <run>/failure.json        why the last attempt failed; gone when the run is tried again
    <run>/traceback.txt       where it failed
    .sweeps/<hash>.json       which runs a sweep, or a study of all held-out values, asked for
"""

import os
import re
import socket
import traceback
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tractprobe.encoders.layers import order
from tractprobe.runs.result import (
    EVIDENCE,
    RESULT,
    RunResult,
    chosen_layer,
    key_of,
    mean_r,
    point_r,
    read_result,
    same_scores,
    undefined_r,
    variant,
)
from tractprobe.system.errors import CorpusError, RunError, TractprobeError, first_line
from tractprobe.system.files import atomic, digest, held_by, now, read_json, write_json
from tractprobe.system.printable import one_line

FAILURE, TRACEBACK, SWEEPS = "failure.json", "traceback.txt", ".sweeps"
STATES = ("done", "running", "failed", "missing", "copy")
_NO_RUNS_WITHIN = {"wandb", "checkpoints", "evaluations", "predictions"}
_LOCK_OF_RUN = re.compile(r"\.(s-?\d+(-[0-9a-f]{6})?)\.lock")  # corpora and caches have locks, too

State = Literal["done", "running", "failed", "missing", "copy"]


@dataclass(frozen=True)
class Status:
    """What has become of one run, named by its directory below the folder of runs."""

    run: str
    state: State
    note: str


@contextmanager
def failure_noted(folders: Sequence[Path]) -> Iterator[None]:
    """Leave a note in run directories if an exception ends the attempt; an older note is removed first."""
    for folder in folders:
        (folder / FAILURE).unlink(missing_ok=True)
        (folder / TRACEBACK).unlink(missing_ok=True)
    try:
        yield
    except Exception as error:
        note = {"reason": first_line(error), "error": type(error).__name__, "traceback": TRACEBACK}
        note |= {"time": now(), "host": socket.gethostname(), "process": os.getpid()}
        for folder in folders:
            with atomic(folder / TRACEBACK) as temporary:
                temporary.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
            write_json(folder / FAILURE, note)
        raise


def ask_for(runs: Path, names: Iterable[str], *, sweep: Sequence[str] = (), study: str | None = None) -> None:
    """Note which runs a sweep (by its overrides) or a study (by its own name) asks for."""
    asked = {"sweep": list(sweep), "study": study, "runs": sorted(set(names))}
    file = runs / SWEEPS / f"{digest([asked['sweep'], study])[:16]}.json"
    if not file.is_file() or read_json(file) != asked:
        write_json(file, asked)


def statuses(runs: Path, only: Container[str] | None = None) -> list[Status]:
    """Return the status of each run below a folder that was asked for, begun or finished.

    Parameters
    ----------
    only
        Names of runs, or of studies for their runs; others are left out.
    """
    if not runs.is_dir():
        raise RunError(f"{runs}: no such folder")
    runs = runs.resolve()
    asked, begun = _asked_for(runs), set[str]()
    for folder in _run_folders(runs):
        begun.add(folder.relative_to(runs).as_posix())
    studies = {study for _, study in asked if study}
    names = {name for name, _ in asked} | begun
    if only is not None:
        names = {name for name in names if name in only} | {name for name, study in asked if study and study in only}
    each = _each_once(runs, sorted(names), {name for name, _ in asked})
    return [status for status in each if status.run not in studies or status.state in ("running", "failed")]


def summary(runs: Sequence[Status]) -> str:
    """Return how many runs are in each state.

    >>> summary([Status("a", "done", ""), Status("b", "missing", ""), Status("a.old", "copy", "copy of a")])
    '1 done, 0 running, 0 failed, 1 missing (1 copy not counted)'
    """
    count = Counter(status.state for status in runs)
    copies = f"{count['copy']} {'copy' if count['copy'] == 1 else 'copies'} not counted"
    return ", ".join(f"{count[state]} {state}" for state in STATES[:-1]) + f" ({copies})" * (count["copy"] > 0)


def table(runs: Sequence[Status]) -> str:
    """Return a line for each run, finished ones first, with r, holder or reason."""
    width = max((len(one_line(status.run)) for status in runs), default=0)
    lines = sorted(runs, key=lambda status: (STATES.index(status.state), status.run))
    return "\n".join(
        f"{status.state:8} {one_line(status.run):{width}}  {one_line(status.note)}".rstrip() for status in lines
    )


def _asked_for(runs: Path) -> set[tuple[str, str | None]]:
    """Return the runs that were asked for below a folder, each with the study that it stands for."""
    asked = set()
    for file in runs.rglob(f"{SWEEPS}/*.json"):
        above = file.parents[1].relative_to(runs)
        match read_json(file):
            case {"runs": list(names), "study": str() | None as study}:
                asked |= {((above / str(name)).as_posix(), study and (above / study).as_posix()) for name in names}
            case _:
                raise CorpusError(file, "not the list of a sweep's runs; remove the file")
    return asked


def _run_folders(runs: Path) -> Iterator[Path]:
    """Yield each folder that has a result, the note of a failure, or a lock beside it (and was not removed since)."""
    for path, folders, files in os.walk(runs):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _NO_RUNS_WITHIN]
        if {RESULT, EVIDENCE, FAILURE} & set(files):
            yield Path(path)
        locked = [Path(path, match[1]) for name in files if (match := _LOCK_OF_RUN.fullmatch(name))]
        yield from (folder for folder in locked if folder.is_dir() or held_by(folder))


def _status(folder: Path, name: str) -> tuple[Status, RunResult | None]:
    """Return a run's status, with its result if it is done."""
    if holder := held_by(folder):
        return Status(name, "running", holder), None
    try:
        if (folder / FAILURE).is_file():
            return Status(name, "failed", _reason(folder / FAILURE)), None
        if (folder / RESULT).is_file():
            result = read_result(folder)
            return Status(name, "done", _reached(result)), result
        if (folder / EVIDENCE).is_file():
            return Status(name, "done", _found(folder / EVIDENCE)), None
    except TractprobeError as error:  # a damaged file must not hide other runs
        return Status(name, "failed", first_line(error)), None
    begun = folder.is_dir()
    return Status(name, "missing", "begun, then stopped" if begun else ""), None


def _each_once(runs: Path, names: Iterable[str], asked: Container[str]) -> list[Status]:
    """Return the status of each run; of finished ones with one identity, one is the run and the others its copies.

    Tables see it so, too. The run itself was asked for, or lies where its identity says, nearest to the top.
    """
    each, same = list[Status](), dict[str, list[tuple[bool, int, str]]]()
    for name in names:
        status, result = _status(runs / name, name)
        each.append(status)
        if result is not None:
            elsewhere = name not in asked and not _is_in_place(name, result["identity"])
            same.setdefault(key_of(name, result), []).append((elsewhere, name.count("/"), name))
    original = {name: min(own)[-1] for own in same.values() for _, _, name in own if name not in asked}
    return [
        status if original.get(status.run, status.run) == status.run else _copy(runs, status.run, original[status.run])
        for status in each
    ]


def _is_in_place(name: str, identity: Mapping[str, Any]) -> bool:
    """Whether a directory ends in the names of model, head and seed that its result's identity has."""
    *_, model, _, head, _, last = [*[""] * 5, *name.split("/")]
    own = variant(name, identity)
    return (model, head, last) == (identity["model"], identity["head"], f"s{identity['seed']}" + (own and f"-{own}"))


def _copy(runs: Path, name: str, original: str) -> Status:
    agrees = same_scores(read_result(runs / original), read_result(runs / name))
    differs = "" if agrees else ", with other scores: remove one, or move it out of the folder"
    return Status(name, "copy", f"copy of {original}{differs}")


def _reason(note: Path) -> str:
    match read_json(note):
        case {"reason": reason, "time": time, "host": host}:
            return f"{reason} ({time} on {host})"
    raise CorpusError(note, "not the note of a failure; run the command again")


def _found(record: Path) -> str:
    """Return what a finished analysis found, in a word."""
    match read_json(record):
        case {"evidence": {"findings": list(findings)}}:
            undefined = sum(not isinstance(each, dict) or each.get("value") is None for each in findings)
            return f"{len(findings)} findings" + (f", {undefined} of them undefined" if undefined else "")
    raise CorpusError(record, "not the record of an analysis; remove its folder, and it is made again")


def _reached(result: RunResult) -> str:
    """Return r of a finished run at the layer that validation chose, or the range of its layers."""
    layers = sorted({row["layer"] for row in result["scores"]}, key=order)
    chosen = chosen_layer(result)
    if chosen is not None and (reached := mean_r(result, chosen)) is not None:
        undefined, count = undefined_r(result, chosen)
        left_out = f", {undefined} of {count} undefined" if undefined else ""
        return f"r {reached}" + (f" at layer {chosen} of {layers[-1]}" if len(layers) > 1 else "") + left_out
    means = [mean for layer in layers if (mean := point_r(result, layer)) is not None]
    undefined = f", undefined in {len(layers) - len(means)}" if len(means) < len(layers) else ""
    return f"r {min(means):.3f} to {max(means):.3f} over {len(layers)} layers{undefined}" if means else "r is undefined"
