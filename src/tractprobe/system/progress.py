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
