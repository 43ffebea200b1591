"""Samples that no articulograph measured: zeros and repeated values put where a sensor was lost.

A measurement jitters. In the 8 real speakers' files a sensor gave the same x and y for 16 ms at most (AG501 text,
rounded to 1/100 mm; 6 of the others never twice in a row), for 76 ms when they are rounded to 1/50 mm, and for 172 ms
when rounded to 1/10 mm, which is coarser than any corpus we know. The virtual speakers rest for up to 260 ms. Hence
``HELD_S``, about twice that. In none of these, rounded or not, is a sample found; 1 in 500 is the limit in ``checks``.
References of the head are not looked at: they do stand still, and one of them kept one value for 660 ms.

Not found: short losses filled with something near by, or by a line from one end to the other.
"""

import numpy as np
from jaxtyping import Bool, Float

HELD_S = 0.5
"""Seconds for which no sensor measures the same position, to the last bit."""

JUMP_MM = 8.0
"""Between neighbouring samples; no sensor jumps by that much and then stands still. Virtual tips set off by 6.4 mm in
10 ms from a rest that is one if rounded to 1/10 mm."""


def filled(positions: Float[np.ndarray, "time 2"], rate_hz: float) -> Bool[np.ndarray, " time"]:
    """Say which samples of one sensor (mm, x and y) are no measurements.

    These are a position repeated for ``HELD_S``, and a repeated one, or the origin itself, that was jumped to or from.
    """
    steps = np.diff(positions, axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], (steps == 0).all(axis=1), [False]]).astype(np.int8)))
    jumps = np.concatenate([[False], np.hypot(*steps.T) >= JUMP_MM, [False]])  # one before each sample, one at the end
    found = (positions == 0).all(axis=1) & (jumps[:-1] | jumps[1:])
    for first, last in edges.reshape(-1, 2):
        if (last - first) / rate_hz >= HELD_S or jumps[first] or jumps[last + 1]:
            found[first : last + 1] = True
    return found
