"""k-means on minibatches, the same to the bit whenever it is run again on one machine.

Centroids are seeded by k-means++ (Arthur & Vassilvitskii 2007) with a few candidates for each, on a part of the frames.
A centroid then moves towards the mean of its frames in each minibatch, by a share that falls with the number of frames
it has had (Sculley 2010), and the last steps are Lloyd's, on all of the frames. A centroid that has no frames takes the
place of a frame that is far from its own.
"""

import numpy as np
from jaxtyping import Float, Int64

Frames = Float[np.ndarray, "frame width"]
Centroids = Float[np.ndarray, "cluster width"]

_SEEDED = 30  # frames for each cluster that seeds are chosen from
_BLOCK = 1 << 15  # frames


def found_clusters(
    frames: Frames,
    clusters: int,
    random: np.random.Generator,
    *,
    batches: int = 100,
    batch: int = 10_000,
    last: int = 5,
) -> Centroids:
    """Return the centroids of frames.

    Parameters
    ----------
    batches, batch
        Number of minibatches, and of frames in each.
    last
        Number of Lloyd's steps at the end.

    Raises
    ------
    ValueError
        There are fewer frames than clusters.
    """
    if len(frames) < clusters:
        raise ValueError(f"{len(frames)} frames for {clusters} clusters")
    frames = np.ascontiguousarray(frames, np.float32)
    part = frames[random.permutation(len(frames))[: max(clusters * _SEEDED, clusters)]]
    centroids, counts = _seeds(part, clusters, random), np.zeros(clusters)
    for _ in range(batches):
        drawn = frames[random.integers(0, len(frames), min(batch, len(frames)))]
        sums, own = _sums(drawn, nearest(drawn, centroids), clusters)
        counts += own
        moved = own > 0
        centroids[moved] += (sums[moved] - own[moved, None] * centroids[moved]) / counts[moved, None]
    for _ in range(last):
        labels = nearest(frames, centroids)
        sums, own = _sums(frames, labels, clusters)
        centroids[own > 0] = sums[own > 0] / own[own > 0, None]
        if empty := np.flatnonzero(own == 0).tolist():
            centroids[empty] = frames[_farthest(frames, labels, centroids, len(empty))]
    return centroids.astype(np.float32)


def nearest(frames: Frames, centroids: Centroids) -> Int64[np.ndarray, " frame"]:
    """Return the index of the centroid nearest to each frame: of |x - c|², what depends on c."""
    centroids = centroids.astype(np.float32)
    squares, labels = np.square(centroids).sum(axis=1), np.empty(len(frames), np.int64)
    for start in range(0, len(frames), _BLOCK):
        block = frames[start : start + _BLOCK]
        labels[start : start + _BLOCK] = np.argmin(squares - 2 * block @ centroids.T, axis=1)
    return labels


def _seeds(frames: Frames, clusters: int, random: np.random.Generator) -> Float[np.ndarray, "cluster width"]:
    """Choose frames far from one another: each is drawn in proportion to the square of its distance to the others."""
    candidates = 2 + int(np.log(clusters))
    frames = frames.astype(np.float64)
    norms = np.square(frames).sum(axis=1)
    chosen = [int(random.integers(len(frames)))]
    distance = _squares(frames, norms, chosen)[0]
    while len(chosen) < clusters:
        total = distance.sum()
        share = distance / total if total > 0 else np.full(len(frames), 1 / len(frames))
        drawn = random.choice(len(frames), candidates, p=share).tolist()
        nearer = np.minimum(distance, _squares(frames, norms, drawn))
        best = int(np.argmin(nearer.sum(axis=1)))
        chosen.append(drawn[best])
        distance = nearer[best]
    return frames[chosen].copy()


def _squares(
    frames: Float[np.ndarray, "frame width"], norms: Float[np.ndarray, " frame"], chosen: list[int]
) -> Float[np.ndarray, "place frame"]:
    """Return |x - c|² of each frame x and each chosen frame c, as |x|² - 2 x'c + |c|²; that of a frame itself is 0."""
    squares = norms - 2 * frames[chosen] @ frames.T + norms[chosen, None]
    squares[np.arange(len(chosen)), chosen] = 0
    return np.maximum(squares, 0, out=squares)


def _sums(frames: Frames, labels: Int64[np.ndarray, " frame"], clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum and the number of each cluster's frames."""
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels, minlength=clusters)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    sums = np.zeros((clusters, frames.shape[1]))
    there = counts > 0
    sums[there] = np.add.reduceat(frames[order].astype(np.float64), starts[there], axis=0)
    return sums, counts.astype(np.float64)


def _farthest(frames: Frames, labels: np.ndarray, centroids: np.ndarray, count: int) -> np.ndarray:
    distance = np.concatenate([
        np.square(frames[start : start + _BLOCK] - centroids[labels[start : start + _BLOCK]]).sum(axis=1)
        for start in range(0, len(frames), _BLOCK)
    ])  # fmt: skip
    return np.argsort(distance, kind="stable")[::-1][:count]
