"""Chance by counting: what is drawn for an update follows from the seed and the update's number alone.

No generator is carried from one update to the next, so that a training that was interrupted draws, from any update on,
what it would have drawn.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def number_of(seed: int, *place: int | str) -> int:
    """Return a number of 63 bits for a place, such as an update and what is drawn in it."""
    key = hashlib.sha256(":".join(map(str, (seed, *place))).encode()).digest()[:8]
    return int.from_bytes(key, "big") >> 1


def random_of(seed: int, *place: int | str) -> np.random.Generator:
    """Return a generator for a place."""
    return np.random.default_rng(number_of(seed, *place))


@contextmanager
def global_numpy_seeded(number: int) -> Iterator[None]:
    """Seed numpy's global generator, from which transformers draws masks, and put it back as it was."""
    before = np.random.get_state()
    np.random.seed(number % (1 << 32))
    try:
        yield
    finally:
        np.random.set_state(before)
