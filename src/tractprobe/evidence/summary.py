"""Several runs together: their tables, pictures, and a W&B run of their own."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tractprobe.evidence.figures import drawings, model_matrix, write_picture
from tractprobe.evidence.rows import CSV_FIELDS, csv_text
from tractprobe.evidence.table import layer_tables, transfer
from tractprobe.runs.configuration import Plain
from tractprobe.runs.result import Row
from tractprobe.system.errors import CorpusError
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

log = logging.getLogger(__name__)


def summarise(name: str, folder: Path, about: Plain, tracking: "Tracking", rows: Sequence[Row]) -> None:
    """Write, draw and log tables of runs: layers x held-out values, and models x held-out values if there are several.

    Files that were made of the same rows by the same version are not made again, unless one was removed or changed.

    Parameters
    ----------
    about
        What W&B is told about the study, beside its name.
    """
    tables, across = layer_tables(rows), transfer(rows)
    texts, pictures = {SCORES: csv_text(rows, CSV_FIELDS)}, drawings(tables)
    logged = {table.title: table.rows() for table in tables}
    if len({row["probe"] for row in across}) > 1:
        texts[MODELS], pictures["models.png"] = csv_text(across), lambda: model_matrix(across)
        logged["models"] = across
    files_changed = _write(folder, texts, pictures)
    _log(name, folder, about, tracking, logged, [folder / picture for picture in pictures], files_changed)


def _write(folder: Path, texts: dict[str, str], pictures: "Mapping[str, Callable[[], Figure]]") -> bool:
    """Write tables and pictures unless all are what was made of these tables; return whether they were written.

    The note of what was made is removed first and written last: if it holds, so do all files.
    """
    made_of = digest([texts, sorted(pictures), __version__])
    match _noted(folder / MADE):
        case {"of": of, "files": dict(files)} if of == made_of:
            if all(_is(folder / name, files.get(name)) for name in (*texts, *pictures)):
                return False
    (folder / MADE).unlink(missing_ok=True)
    for picture, draw in pictures.items():
        write_picture(folder / picture, draw())
    for file, text in texts.items():
        with atomic(folder / file) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
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
    pictures: Sequence[Path],
    files_changed: bool,
) -> None:
    """Log tables and pictures, unless the same were logged as the same run."""
    made_of = {"of": digest([name, about, asdict(tracking), repr(logged), __version__])}
    if not files_changed and _noted(folder / LOGGED) == made_of:
        return
    (folder / LOGGED).unlink(missing_ok=True)
    with tracking.run(name, folder, about, "study") as logger:
        if logger is None:
            return
        from tractprobe.runs.tracking import log_study

        log_study(logger, logged, pictures)
    write_json(folder / LOGGED, made_of)


def _noted(file: Path) -> Plain | None:
    try:
        return read_json(file) if file.is_file() else None
    except CorpusError:  # a damaged note: log again
        return None
