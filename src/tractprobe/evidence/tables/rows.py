"""Run directories in, one tidy table out: the scores of each run, with what tells it from other runs."""

import csv
import io
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tractprobe.encoders.layers import ALL
from tractprobe.evidence.tables.condition import Condition
from tractprobe.runs.result import (
    MOMENTS,
    RESULT,
    RUN_FIELDS,
    SCORE_FIELDS,
    Row,
    RunResult,
    key_of,
    read_result,
    same_scores,
    variant,
)
from tractprobe.system.errors import RunError
from tractprobe.system.files import atomic, digest
from tractprobe.system.printable import csv_cell, one_line

TRAIN_MIN = "split.train_min"
CSV_FIELDS = (*RUN_FIELDS, "material", "settings", "train_min", "own_scale", *SCORE_FIELDS, *MOMENTS)
"""Columns of the tidy table."""

_DISJOINT = ("language", "speaker", "corpus")  # splits whose values never test the same
_TESTED = ("corpus", "speaker", "language", "channel", "target", "layer")

log = logging.getLogger(__name__)


def collect(runs: Path) -> list[Row]:
    """Return the score rows of every finished run below a folder, each with what tells its run from others.

    ``material`` names encoder and corpora by their content; ``own_scale`` marks mm that rest on a speaker's test
    frames. A copy of a run counts once, and so does a speaker that two runs hold out under two names.

    Raises
    ------
    RunError
        There is no finished run, a result is damaged, or two runs of one identity and seed have different scores.
    """
    folders = sorted(path.parent for path in runs.rglob(RESULT)) if runs.is_dir() else []
    if not folders:
        raise RunError(f"no finished run below {runs}" if runs.is_dir() else f"{runs}: no such folder")
    names = [folder.relative_to(runs).as_posix() for folder in folders]
    results = [(name, read_result(runs / name)) for name in names]
    for line in namesakes([result["identity"]["corpora"] for _, result in results]):
        log.warning("%s", one_line(line))
    return rows_of(runs, results)


def namesakes(corpora: Iterable[Mapping[str, str]]) -> list[str]:
    """Return a line for each name that several corpora have, such as the built-in ones of two versions.

    Parameters
    ----------
    corpora
        Of each run or record: names to content hashes.
    """
    contents: dict[str, set[str]] = {}
    for own in corpora:
        for name, content_hash in own.items():
            contents.setdefault(name, set()).add(str(content_hash)[:6])
    return [
        f"{name} is {len(hashes)} corpora here, by content {', '.join(sorted(hashes))}: what was made on one is "
        "neither averaged nor compared with what was made on another"
        for name, hashes in sorted(contents.items())
        if len(hashes) > 1
    ]


def rows_of(runs: Path, results: Sequence[tuple[str, RunResult]]) -> list[Row]:
    """Return the score rows of results that were read, as ``collect`` does."""
    for key in (key_of, _what_is_tested):  # copies have one identity, whatever they say is tested
        results = _once(runs, results, key)
    return [row for name, result in results for row in tidy(name, result)]


def _once(
    runs: Path, results: Sequence[tuple[str, RunResult]], key: Callable[[str, RunResult], str]
) -> list[tuple[str, RunResult]]:
    """Return the first of the results that a key finds to be of one run."""
    firsts: dict[str, tuple[str, RunResult]] = {}
    for name, result in results:
        first, other = firsts.setdefault(key(name, result), (name, result))
        if other is not result:
            _check_copy(runs / first, other, runs / name, result)
    return list(firsts.values())


def _what_is_tested(name: str, result: RunResult) -> str:
    """Return what two results share if they hold out the same under two names, such as m1 and corpus/m1.

    Other values than folds of sentences never have a speaker, language and channel in common.
    """
    if not set(result["identity"]["split"].split(":")) <= set(_DISJOINT):
        return key_of(name, result)
    tested = sorted({tuple(str(row[field]) for field in _TESTED) for row in result["scores"]})
    return digest([key_of(name, result, but=("held_out",)), tested])


def _check_copy(first: Path, result: Mapping[str, Any], second: Path, other: Mapping[str, Any]) -> None:
    """Say that two results of one identity are the same; RunError if their scores are not."""
    held_out = [each["identity"]["held_out"] for each in (result, other)]
    both = [str(first), str(second)]
    if held_out[0] != held_out[1]:
        both = [f"{run} (held_out={value})" for run, value in zip(both, held_out, strict=True)]
    if not same_scores(result, other):
        raise RunError(
            f"{both[0]} and {both[1]} are two results of one run, with the same settings, data and seed but different "
            "scores: remove one, or move it out of the folder that is read"
        )
    log.warning("%s", one_line(f"{both[1]} is the same run as {both[0]}, which is counted once"))


def tidy(run: str, result: Mapping[str, Any]) -> list[Row]:
    """Return a result's rows as ``collect`` does.

    ``variant`` names the settings by which the run differs from the shipped ones, as its directory does; ``at_once``
    marks heads of all layers of an encoder that were fitted in one run.
    """
    identity, own_scale = result["identity"], set(result.get("scaled_by_own_test_frames", ()))
    differences = identity.get("differences", {})
    labels = {"run": run, **{name: identity[name] for name in RUN_FIELDS[1:]}}
    labels["material"] = digest([identity[name] for name in ("encoder", "corpora", "texts") if name in identity])[:6]
    labels["settings"] = Condition.of(differences)
    minutes = differences.get(TRAIN_MIN)
    labels["train_min"] = minutes if type(minutes) in (int, float) and minutes > 0 else None
    labels["variant"] = variant(run, identity)
    labels["at_once"] = identity.get("layer", ALL) == ALL
    return [
        labels | {"own_scale": row["speaker"] in own_scale} | {name: row.get(name) for name in SCORE_FIELDS + MOMENTS}
        for row in result["scores"]
    ]


def write_csv(path: Path, rows: Sequence[Row], *, bom: bool = False) -> None:
    """Write the tidy table, one row per run, layer, speaker and channel; undefined scores are empty.

    Parameters
    ----------
    bom
        Whether to begin with a byte order mark, by which spreadsheets know UTF-8.
    """
    with atomic(path) as temporary:
        temporary.write_text(csv_text(rows, CSV_FIELDS), encoding="utf-8-sig" if bom else "utf-8", newline="")


def csv_text(rows: Sequence[Row], fields: Sequence[str] | None = None) -> str:
    """Return rows as CSV, under some of their names or all; no cell is a formula to a spreadsheet."""
    file, fields = io.StringIO(newline=""), fields or list(rows[0])
    writer = csv.writer(file)
    writer.writerow(map(csv_cell, fields))
    writer.writerows(
        [csv_cell(str(value) if isinstance(value, Condition) else value) for value in map(row.get, fields)]
        for row in rows
    )
    return file.getvalue()
