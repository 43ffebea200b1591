"""Numbers in lines of text."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tractprobe.system.errors import CorpusError


def number(cell: str) -> float:
    """Return a cell's number, whose decimal sign may be a comma; an empty one is NaN, and others raise ValueError.

    >>> number("1.5"), number("-1,5e3")
    (1.5, -1500.0)
    """
    if not cell.strip():
        return math.nan
    return float(cell.replace(",", ".") if cell.count(",") == 1 and "." not in cell else cell)


def parse_rows(
    path: Path, lines: Sequence[str], *, first_line: int = 1, columns: int | None = None, delimiter: str | None = None
) -> Float[np.ndarray, "row column"]:
    """Return lines of numbers as an array; an empty cell and ``nan`` are NaN, and decimal commas are points.

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
    for at, line in enumerate(lines, start=first_line):
        cells = line.split(delimiter)
        columns = len(cells) if columns is None else columns
        if len(cells) != columns:
            raise CorpusError(path, f"{len(cells)} cells instead of {columns}", place=f"line {at}")
        try:
            rows.append([number(cell) for cell in cells])
        except ValueError as error:
            raise CorpusError(path, str(error), place=f"line {at}") from None
    return np.array(rows, dtype=np.float64).reshape(len(rows), columns or 0)
