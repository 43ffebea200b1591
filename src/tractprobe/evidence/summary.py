"""Several runs seen together: their tables, pictures, and a W&B run of its own."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tractprobe.evidence.table import layer_tables, transfer, write_csv
from tractprobe.runs.configuration import Plain
from tractprobe.runs.result import Row

if TYPE_CHECKING:
    from tractprobe.runs.tracking import Tracking

log = logging.getLogger(__name__)


def summarise(name: str, folder: Path, about: Plain, tracking: "Tracking", rows: Sequence[Row]) -> None:
    """Write, draw and log the tables of runs: layers x what was held out, and models x that if there are several.

    Parameters
    ----------
    about
        What W&B is told about the study, beside its name.
    """
    from tractprobe.evidence.figures import model_matrix, write_picture, write_pictures

    tables, across = layer_tables(rows), transfer(rows)
    write_csv(folder / "scores.csv", rows)
    pictures = write_pictures(tables, folder)
    logged = {table.title: table.rows() for table in tables}
    if len({row["probe"] for row in across}) > 1:
        write_csv(folder / "models.csv", across)
        pictures.append(write_picture(folder / "models.png", model_matrix(across)))
        logged["models"] = across
    with tracking.run(name, folder, about, "study") as logger:
        if logger is not None:
            from tractprobe.runs.tracking import log_study

            log_study(logger, logged, pictures)
