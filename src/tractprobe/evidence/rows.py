"""Run directories in, one tidy table out: the scores of each run, with what tells it from other runs."""

import csv
import io
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tractprobe.encoders.layers import ALL
from tractprobe.evidence.condition import Condition
from tractprobe.runs.result import MOMENTS, RESULT, RUN_FIELDS, SCORE_FIELDS, Row, read_result
from tractprobe.system.errors import RunError
from tractprobe.system.files import atomic, digest
from tractprobe.system.printable import csv_cell, one_line

TRAIN_MIN = "split.train_min"
CSV_FIELDS = (*RUN_FIELDS, "material", "settings", "train_min", "own_scale", *SCORE_FIELDS, *MOMENTS)
"""Columns of the tidy table."""

_SAME_RUN = 1e-6  # in r: what another machine or number of threads may change
_SUFFIX = re.compile(r"s-?\d+-(.+)")

log = logging.getLogger(__name__)


def collect(runs: Path) -> list[Row]:
    """Return the score rows of every finished run below a folder, each with what tells its run from others.

    ``material`` names encoder and corpora by their content; ``own_scale`` marks mm that rest on a speaker's test
    frames. A copy of a run counts once.

    Raises
    ------
    RunError
        There is no finished run, a result is damaged, or two runs of one identity and seed have different scores.
    """
    folders = sorted(path.parent for path in runs.rglob(RESULT)) if runs.is_dir() else []
    if not folders:
        raise RunError(f"no finished run below {runs}" if runs.is_dir() else f"{runs}: no such folder")
    results: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for folder in folders:
        name, result = folder.relative_to(runs).as_posix(), read_result(folder)
        identity = {key: value for key, value in result["identity"].items() if key != "versions"}
        first, other = results.setdefault(digest([identity, _variant(name, identity)]), (name, result))
        if other is not result:
            _check_copy(runs / first, other, runs / name, result)
    return [row for name, result in results.values() for row in tidy(name, result)]


def _check_copy(first: Path, result: Mapping[str, Any], second: Path, other: Mapping[str, Any]) -> None:
    """Say that two results of one identity are the same; RunError if their scores are not."""
    r, r_of_other = (
        {tuple(row[name] for name in SCORE_FIELDS[:6]): row["r"] for row in each["scores"]} for each in (result, other)
    )
    if not all(_close(value, r_of_other.get(key)) for key, value in r.items()) or len(r) != len(r_of_other):
        raise RunError(
            f"{first} and {second} are two results of one run, with the same settings, data and seed but different "
            "scores: remove one, or move it out of the folder that is read"
        )
    log.warning("%s", one_line(f"{second} is the same run as {first}, which is counted once"))


def _close(one: float | None, other: float | None) -> bool:
    return one is other if one is None or other is None else abs(one - other) <= _SAME_RUN


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
    labels["variant"] = _variant(run, identity)
    labels["at_once"] = identity.get("layer", ALL) == ALL
    return [
        labels | {"own_scale": row["speaker"] in own_scale} | {name: row.get(name) for name in SCORE_FIELDS + MOMENTS}
        for row in result["scores"]
    ]


def _variant(run: str, identity: Mapping[str, Any]) -> str:
    """Return the name of a run's settings: a hash of what differs from the shipped ones, or nothing."""
    if "differences" in identity:
        return digest(identity["differences"])[:6] if identity["differences"] else ""
    suffix = _SUFFIX.fullmatch(run.rpartition("/")[2])  # early versions noted them in the directory's name alone
    return suffix[1] if suffix else ""


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
