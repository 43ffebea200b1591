"""Progress bars with rates, shown on a terminal and quiet elsewhere."""

import sys
from collections.abc import Iterable, Sized
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(items: Iterable[T], doing: str, *, unit: str, total: int | None = None) -> Iterable[T]:
    """Iterate with a bar that tells how many are done, how fast, and how long it will take."""
    total = len(items) if isinstance(items, Sized) else total
    return tqdm(items, desc=doing, unit=f" {unit}", total=total, disable=not sys.stderr.isatty(), leave=False)
