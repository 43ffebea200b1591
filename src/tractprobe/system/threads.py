"""Work side by side, a thread for each processor, and freed memory given back to the system."""

import ctypes
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch
from threadpoolctl import ThreadpoolController


def concurrently(function: Callable[..., Any], *arguments: Iterable[Any]) -> list[Any]:
    """Return the function of each argument, in their order.

    Each call has one thread, since the libraries of torch and of scipy would otherwise wait for each other's.
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
    return ThreadpoolController()  # looks through all that is loaded: milliseconds


def give_back() -> None:
    """Return freed memory to the system, where the C library is glibc.

    It keeps what lies between blocks still in use: with tensors of ever different lengths that grows with every batch.
    """
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        except (OSError, AttributeError):  # another C library, with habits of its own
            return
