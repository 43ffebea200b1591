"""Units: hidden states put into classes by k-means, as systems that work on discrete tokens hear them.

A unit is all that such a system knows of a frame, so a head reads which of the units it is (one-hot): it then predicts
each unit's mean, which no function of single units can better in squared error.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.evidence.bench import Bench
from tractprobe.system.errors import RunError
from tractprobe.system.files import digest

Centroids = Float[np.ndarray, "unit width"]


@dataclass(frozen=True, eq=False)
class Units:
    """Which unit each frame of a layer is, one-hot.

    Attributes
    ----------
    layer
        Of the bench's encoder.
    """

    bench: Bench
    layer: int
    centroids: Centroids

    @property
    def name(self) -> str:
        """How many units there are, which is what inputs of heads call them."""
        return f"units{len(self.centroids)}"

    @property
    def width(self) -> int:
        return len(self.centroids)

    @cached_property
    def identity(self) -> Any:
        return {
            "encoder": digest(self.bench.encoder.identity_on(self.bench.corpora)),
            "layer": self.layer,
            "centroids_sha256": hashlib.sha256(np.ascontiguousarray(self.centroids).tobytes()).hexdigest(),
        }

    def at(
        self, corpus: PreparedCorpus, entry: Entry, times_s: Float[np.ndarray, " frame"]
    ) -> Float[np.ndarray, "frame unit"]:
        """Return the units of an utterance's own frames; RunError if other times are asked for."""
        states = self.bench.states_of(entry.id, [self.layer])[0]
        if len(states) != len(times_s):
            raise RunError(f"{entry.id} has {len(states)} frames, and units are asked for at {len(times_s)} times")
        return np.eye(len(self.centroids), dtype=np.float32)[nearest(states, self.centroids)]


def nearest(states: Float[np.ndarray, "frame width"], centroids: Centroids) -> Int[np.ndarray, " frame"]:
    """Return the index of the centroid that is nearest to each frame: of |x - c|², what depends on c."""
    return np.argmin(np.square(centroids).sum(axis=1) - 2 * states @ centroids.T, axis=1)


def fitted_units(
    bench: Bench, layer: int, ids: Sequence[str], count: int, frames_per_unit: int, iterations: int
) -> Centroids:
    """Return the centroids of k-means on frames of a layer, as k-means++ seeds them.

    Parameters
    ----------
    ids
        Utterances whose frames may be learned from; those of them are drawn by the bench's seed, as many as asked for.
    count
        Number of units.
    frames_per_unit
        How many frames for each unit are learned from, at most: more hardly move a centroid.
    """
    from sklearn.cluster import KMeans

    frames = np.concatenate([bench.states_of(id_, [layer])[0] for id_ in sorted(ids)])
    most = count * frames_per_unit
    if len(frames) > most:
        drawn = np.random.default_rng([bench.seed, count, layer]).choice(len(frames), most, replace=False)
        frames = frames[np.sort(drawn)]
    options: dict[str, Any] = {"n_init": 1, "max_iter": iterations, "random_state": bench.seed}
    fitted = KMeans(count, **options).fit(frames)
    return np.asarray(fitted.cluster_centers_, np.float32)


def count_of_frames(bench: Bench, ids: Sequence[str]) -> int:
    """Return how many frames some utterances have."""
    return sum(len(bench.times_s(id_)) for id_ in ids)
