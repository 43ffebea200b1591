"""Running work in parallel, one thread per processor, and giving freed memory back to the system."""

import ctypes
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch
from threadpoolctl import ThreadpoolController


def concurrently(function: Callable[..., Any], *arguments: Iterable[Any]) -> list[Any]:
    """Map a function over its arguments in parallel threads; results come in the order of the arguments.

    Each call may use a single thread, because the thread pools of torch and scipy would otherwise block each other.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _libraries().limit(limits=1), ThreadPoolExecutor(threads) as pool:
            return list(pool.map(function, *arguments))
    finally:
        torch.set_num_threads(threads)


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # scans every loaded library, which takes milliseconds


def give_back() -> None:
    """Return freed memory to the system, if the C library is glibc.

    glibc keeps the gaps between blocks still in use; with tensors of ever-changing length these grow with every batch.
    """
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        except (OSError, AttributeError):  # another C library, which manages memory differently
            return
