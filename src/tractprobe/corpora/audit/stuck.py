"""Samples that no articulograph measured: zeros and repeated values that replace a lost sensor.

Measurements jitter. In the files of the 8 real speakers, a sensor had the same x and y for at most 16 ms (AG501 text,
rounded to 1/100 mm; 6 of the others never twice in a row), for 76 ms if they are rounded to 1/50 mm, and for 172 ms if
rounded to 1/10 mm, which is coarser than any corpus we know. ``STUCK_S`` is about three times that. In none of these
recordings, rounded or not, is any sample flagged. References on the head are not examined, because they do stand still:
one of them kept one value for 660 ms.

Not detected: short losses filled with similar values, or by a straight line from one end to the other.
"""

import numpy as np
from jaxtyping import Bool, Float

STUCK_S = 0.5
"""No sensor measures the same position, to the last bit, for this many seconds."""
STUCK_SIMULATED_S = 2.0
"""Sensors of a simulated tract do not jitter: in a pause the virtual speakers rest for up to 520 ms."""

JUMP_MM = 8.0
"""Distance between neighbouring samples; no sensor jumps this far and then stands still. Virtual tongue tips move by
6.4 mm in 10 ms from a position that is at rest if rounded to 1/10 mm."""


def filled(
    positions: Float[np.ndarray, "time 2"], rate_hz: float, stuck_s: float = STUCK_S
) -> Bool[np.ndarray, " time"]:
    """Return which samples of one sensor (x and y in mm) are not measurements.

    These are positions repeated for ``stuck_s``, and repeated positions, or the origin itself, next to a jump.
    """
    steps = np.diff(positions, axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], (steps == 0).all(axis=1), [False]]).astype(np.int8)))
    jumps = np.concatenate([[False], np.hypot(*steps.T) >= JUMP_MM, [False]])  # one before each sample, one at the end
    is_filled = (positions == 0).all(axis=1) & (jumps[:-1] | jumps[1:])
    for first, last in edges.reshape(-1, 2):
        if (last - first) / rate_hz >= stuck_s or jumps[first] or jumps[last + 1]:
            is_filled[first : last + 1] = True
    return is_filled
