"""Numbers in lines of text."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tractprobe.system.errors import CorpusError


def parse_rows(
    path: Path, lines: Sequence[str], *, first_line: int = 1, columns: int | None = None, delimiter: str | None = None
) -> Float[np.ndarray, "row column"]:
    """Return lines of numbers as an array; an empty cell and ``nan`` are NaN.

    Parameters
    ----------
    path, first_line
        For error messages: the file, and the number of the first of these lines in it.
    columns
        Number of cells in each line; by default that of the first line.
    delimiter
        Separates cells; by default any white space.

    Raises
    ------
    CorpusError
        A line has a different number of cells, or a cell is not a number.
    """
    rows = []
    for number, line in enumerate(lines, start=first_line):
        cells = line.split(delimiter)
        columns = len(cells) if columns is None else columns
        if len(cells) != columns:
            raise CorpusError(path, f"{len(cells)} cells instead of {columns}", place=f"line {number}")
        try:
            rows.append([float(cell) if cell.strip() else math.nan for cell in cells])
        except ValueError as error:
            raise CorpusError(path, str(error), place=f"line {number}") from None
    return np.array(rows, dtype=np.float64).reshape(len(rows), columns or 0)
