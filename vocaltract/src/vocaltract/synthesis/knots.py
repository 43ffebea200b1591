"""Where a curve has to be read so that straight lines between the readings are good enough."""

import numpy as np


def knots(curve: np.ndarray, tolerance: np.ndarray, travel: np.ndarray) -> np.ndarray:
    """Frames between which a curve is straight and short (Ramer 1972; Douglas and Peucker 1973, with a limit).

    What is read at the knots may have kinks, as lips do when they meet. Where it follows the curve with slopes of
    0 to s, a kink lies at most s * travel / 4 from the straight line between two readings.

    Parameters
    ----------
    curve
        (frame, parameter), at least two frames.
    tolerance
        (parameter,), the largest distance from the straight line between two knots.
    travel
        (parameter,), the largest extent between two knots that are not neighbours.

    Returns
    -------
    numpy.ndarray
        Frames in order, the first and the last among them.
    """
    keep = np.zeros(len(curve), dtype=bool)
    keep[[0, -1]] = True
    spans = [(0, len(curve) - 1)]
    while spans:
        start, end = spans.pop()
        middle = _cut(curve[start : end + 1], tolerance, travel)
        if middle is not None:
            keep[start + middle] = True
            spans += [(start, start + middle), (start + middle, end)]
    return np.flatnonzero(keep)


def _cut(span: np.ndarray, tolerance: np.ndarray, travel: np.ndarray) -> int | None:
    if len(span) < 3:
        return None
    share = np.linspace(0.0, 1.0, len(span))[:, None]
    excess = (np.abs(span - (1.0 - share) * span[0] - share * span[-1]) - tolerance)[1:-1].max(axis=1)
    if excess.max() > 0:
        return 1 + int(np.argmax(excess))
    return len(span) // 2 if (np.ptp(span, axis=0) > travel).any() else None
