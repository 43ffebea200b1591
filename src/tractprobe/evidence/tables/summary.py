"""Several runs together: their tables, pictures, and a W&B run of their own."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tractprobe.evidence.tables.figures import drawings, model_matrix, write_picture
from tractprobe.evidence.tables.rows import CSV_FIELDS, csv_text
from tractprobe.evidence.tables.table import layer_tables, transfer
from tractprobe.runs.configuration import Plain
from tractprobe.runs.result import Row
from tractprobe.system.errors import CorpusError, optional
from tractprobe.system.files import atomic, digest, file_sha256, read_json, write_json
from tractprobe.system.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tractprobe.runs.tracking import Tracking

SCORES, MODELS = "scores.csv", "models.csv"
MADE = ".made.json"
"""Which tables and pictures were made of what, with their checksums."""
LOGGED = "wandb/summary.json"
"""A hash of what was logged of a summary; removed with the folder that W&B writes to."""

_NUMBERS = ("layer", "r", "low", "high", "n")  # of a model at the layer that is best for what else was held out
log = logging.getLogger(__name__)


def summarise(
    name: str,
    folder: Path,
    about: Plain,
    tracking: "Tracking",
    rows: Sequence[Row],
    cells: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write, draw and log tables of runs: layers x held-out values, and models x held-out values if there are several.

    Files that were made of the same rows by the same version are not made again, unless one was removed or changed.

    Parameters
    ----------
    about
        What W&B is told about the study, beside its name.
    cells
        Each run's name to its identity; W&B is told which runs a study is made of, and of which corpora.
    """
    tables, across = layer_tables(rows), transfer(rows)
    texts, pictures = {SCORES: csv_text(rows, CSV_FIELDS)}, drawings(tables)
    logged = {table.title: table.rows() for table in tables}
    if len({row["probe"] for row in across}) > 1:
        texts[MODELS], pictures["models.png"] = csv_text(across), lambda: model_matrix(across)
        logged["models"] = across
    files_changed = _write(folder, texts, pictures)
    drawn = [folder / picture for picture in pictures if (folder / picture).is_file()]
    numbers = {f"{row['probe']}/{row['held_out']}/{key}": row[key] for row in across for key in _NUMBERS}
    with optional(f"logging {name}"):
        _log(name, folder, about, tracking, logged, numbers, drawn, _material(cells or {}), files_changed)


def _write(folder: Path, texts: dict[str, str], pictures: "Mapping[str, Callable[[], Figure]]") -> bool:
    """Write tables, then pictures, unless all are what was made of these tables; return whether they were written.

    The note of what was made is removed first and written last: if it holds, so do all files. A picture that cannot be
    drawn is one line, none of another table stays in its place, and the next time it is tried again.
    """
    made_of = digest([texts, sorted(pictures), __version__])
    match _noted(folder / MADE):
        case {"of": of, "files": dict(files)} if of == made_of:
            if all(_is(folder / name, files.get(name)) for name in (*texts, *pictures)):
                return False
    for name in (MADE, *pictures):
        (folder / name).unlink(missing_ok=True)
    for file, text in texts.items():
        with atomic(folder / file) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
    for picture, draw in pictures.items():
        with optional(f"drawing {folder / picture}"):
            write_picture(folder / picture, draw())
    if all((folder / picture).is_file() for picture in pictures):
        files = {name: file_sha256(folder / name) for name in (*texts, *pictures)}
        write_json(folder / MADE, {"of": made_of, "files": files})
    return True


def _is(file: Path, sha256: str | None) -> bool:
    return file.is_file() and file_sha256(file) == sha256


def _log(
    name: str,
    folder: Path,
    about: Plain,
    tracking: "Tracking",
    logged: Mapping[str, Sequence[Row]],
    numbers: Plain,
    pictures: Sequence[Path],
    material: Plain,
    files_changed: bool,
) -> None:
    """Log tables and pictures, unless the same were logged as the same run."""
    made_of = {"of": digest([name, about, asdict(tracking), repr(logged), material, __version__])}
    if not files_changed and _noted(folder / LOGGED) == made_of:
        return
    (folder / LOGGED).unlink(missing_ok=True)
    with tracking.run(name, folder, about | {"cells": material["cells"]}, "study", material) as logger:
        if logger is None:
            return
        from tractprobe.runs.tracking import log_study

        log_study(logger, logged, pictures, numbers)
    write_json(folder / LOGGED, made_of)


def _material(cells: Mapping[str, Mapping[str, Any]]) -> Plain:
    """Return the runs of a study, the content hashes of all their corpora, and what identifies their encoders."""
    of_corpora: dict[str, set[str]] = {}
    for identity in cells.values():
        for corpus, content_hash in identity["corpora"].items():
            of_corpora.setdefault(corpus, set()).add(content_hash)
    return {
        "cells": sorted(cells),
        "corpora": {corpus: "+".join(sorted(hashes)) for corpus, hashes in sorted(of_corpora.items())},
        "encoder": sorted({digest(identity["encoder"]) for identity in cells.values()}),
    }


def _noted(file: Path) -> Plain | None:
    try:
        return read_json(file) if file.is_file() else None
    except CorpusError:  # a damaged note: log again
        return None
