"""Freed memory, back to the system."""

import ctypes
import sys


def give_back() -> None:
    """Return freed memory to the system, where the C library is glibc.

    It keeps what lies between blocks still in use: with tensors of ever different lengths that grows with every batch.
    """
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        except (OSError, AttributeError):  # another C library, with habits of its own
            return
