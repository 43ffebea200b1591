"""Progress bars with rates, shown on a terminal and silent elsewhere."""

import sys
from collections.abc import Iterable, Sized
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(items: Iterable[T], doing: str, *, unit: str, total: int | None = None) -> Iterable[T]:
    """Iterate with a bar that shows how many items are done, how fast, and how long the rest will take."""
    total = len(items) if isinstance(items, Sized) else total
    return tqdm(items, desc=doing, unit=f" {unit}", total=total, disable=not sys.stderr.isatty(), leave=False)


def time_left(done: int, left: int, elapsed_s: float) -> str:
    """Return how long the rest will take at the rate so far.

    >>> time_left(3, 9, 280), time_left(1, 1, 20), time_left(1, 200, 3600)
    ('about 14 min left', 'about 20 s left', 'about 200 h left')
    """
    seconds = elapsed_s / done * left
    for unit, length_s in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"about {seconds / length_s:.0f} {unit} left"
    return f"about {seconds:.0f} s left"
