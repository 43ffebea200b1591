"""Coarticulation: how the target of a consonant depends on the vowels around it (Birkholz 2013)."""

import numpy as np

from vocaltract.states import TRACT

CORNERS = ("a", "i", "u")
TONGUE_BODY = [TRACT.index("TCX"), TRACT.index("TCY")]


def weights(around: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Shares of a, i and u in a vowel state, from where its tongue body lies among theirs.

    Birkholz (2013) describes every vowel by its place in the triangle that /a, i, u/ span, and a
    consonant in its context by the same weighted mean of the consonant's three variants. Here the
    place is that of the tongue body's centre (TCX, TCY), each axis divided by the triangle's extent;
    vowels outside the triangle count as the nearest point of it.

    Parameters
    ----------
    around
        (19,) state of the vowel, or of a mixture of two vowels.
    corners
        (3, 19) states of a, i and u of the same speaker.

    Returns
    -------
    numpy.ndarray
        (3,), not negative, with sum 1.
    """
    points = corners[:, TONGUE_BODY]
    extent = np.ptp(points, axis=0)
    return _nearest_in_triangle(around[TONGUE_BODY] / extent, points / extent)


def _nearest_in_triangle(point: np.ndarray, triangle: np.ndarray) -> np.ndarray:
    inside = np.linalg.solve(np.vstack([triangle.T, np.ones(3)]), np.append(point, 1.0))
    if (inside >= 0).all():
        return inside
    candidates = [_nearest_on_edge(point, triangle, i, (i + 1) % 3) for i in range(3)]
    return min(candidates, key=lambda w: float(np.sum((w @ triangle - point) ** 2)))


def _nearest_on_edge(point: np.ndarray, triangle: np.ndarray, i: int, j: int) -> np.ndarray:
    edge = triangle[j] - triangle[i]
    share = np.clip((point - triangle[i]) @ edge / (edge @ edge), 0.0, 1.0)
    result = np.zeros(3)
    result[i], result[j] = 1.0 - share, share
    return result


ARTICULATORS = [TRACT.index(name) for name in ("JA", "LP", "LD", "TCX", "TCY", "TTX", "TTY", "TBX", "TBY")]


def shares(around: np.ndarray, vowels: np.ndarray) -> np.ndarray:
    """Shares of all vowels in a state, by the inverse fourth power of its distance from each (Shepard 1968).

    Exactly one vowel's where the state is that vowel. Distances are those of jaw, lips and tongue, each
    parameter divided by its spread among the vowels.

    Parameters
    ----------
    around
        (19,)
    vowels
        (vowel, 19)

    Returns
    -------
    numpy.ndarray
        (vowel,), with sum 1.
    """
    points = vowels[:, ARTICULATORS]
    distance = np.sum(((points - around[ARTICULATORS]) / points.std(axis=0)) ** 2, axis=1)
    nearest = int(distance.argmin())
    if distance[nearest] < 1e-9:
        return np.eye(len(vowels))[nearest]
    nearness = distance**-2.0
    return nearness / nearness.sum()
