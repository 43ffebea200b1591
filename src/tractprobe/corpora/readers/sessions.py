"""Sessions of an articulograph: what sensors on the head that did not move say over all of its sweeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.formats.carstens import Sweep, read_sweep
from tractprobe.corpora.geometry.head_motion import Motion, distance_deviations, mean_configuration
from tractprobe.corpora.utterance import HeadFit
from tractprobe.system.errors import CorpusError

MAX_REFERENCE_ERROR_MM = 10.0
MAX_DEVIATION_MM = 1.0
"""References on bone deviate by 0.1 to 0.2 mm in three real AG501 recordings. The upper lip, which deviates least of
all else, does so by 1.8 to 2.6 mm, the jaw by 4.9 to 7.5."""
MAX_RMS = 30.0
STILL_MM = 0.3
"""References that move less than this in a whole session were made to: no living head is as still."""
_SWEEPS_PER_SESSION, _FRAMES_PER_SWEEP = 50, 40
Positions = Float[np.ndarray, "time sensor 3"]


@dataclass(frozen=True, eq=False)
class Session:
    """What a session's references say together.

    Attributes
    ----------
    configuration
        Their positions (mm) in the head's mean pose.
    deviation_mm
        How far the distance of each two of them deviates, see ``distance_deviations``.
    movement_mm
        Standard deviation of their positions over the session, before any correction.
    """

    configuration: Float[np.ndarray, "sensor 3"]
    deviation_mm: Float[np.ndarray, "sensor sensor"]
    movement_mm: float

    def fit(self, name: str, references: Sequence[str], motion: Motion, is_corrected: bool) -> HeadFit | None:
        """Return how well the references of one sweep fit; None if none of its frames has a fit."""
        fitted = motion.error_mm[np.isfinite(motion.error_mm)]
        if not len(fitted):
            return None
        pairs = combinations(range(len(references)), 2)
        deviation = {f"{references[a]} {references[b]}": round(float(self.deviation_mm[a, b]), 3) for a, b in pairs}
        lost = 1 - len(fitted) / len(motion.error_mm)
        return HeadFit(name, deviation, round(float(np.median(fitted)), 3), round(lost, 4), is_corrected)


def channels_of(path: Path, sweep: Sweep, numbers: Sequence[int], max_rms: float | None) -> Positions:
    """Return the positions (mm) of channels, which are counted from 1."""
    return np.stack([sweep.channel(path, number, max_rms) for number in numbers], axis=1)


def session_name(root: Path, path: Path, speaker: str) -> str:
    """Return what the session of a sweep is called in summaries: its speaker and folder."""
    return f"{speaker} in {path.parent.relative_to(root).as_posix()}"


def session_of(paths: Sequence[Path], references: Sequence[int], max_rms: float | None) -> Session:
    """Return what references say over a session's sweeps; unreadable sweeps are left out."""
    paths = sorted(paths)
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(len(paths), _SWEEPS_PER_SESSION)).round().astype(int))
    stats = [(paths[index], paths[index].stat()) for index in chosen]
    return _session_of(
        tuple((path, stat.st_mtime_ns, stat.st_size) for path, stat in stats), tuple(references), max_rms
    )


@lru_cache(maxsize=64)
def _session_of(
    files: tuple[tuple[Path, int, int], ...], references: tuple[int, ...], max_rms: float | None
) -> Session:
    points = [np.empty((0, len(references), 3))]
    for path, *_ in files:
        try:
            positions = channels_of(path, read_sweep(path), references, max_rms)
        except CorpusError:
            continue  # reported when this sweep itself is read
        points.append(positions[:: max(1, len(positions) // _FRAMES_PER_SWEEP)])
    together = np.concatenate(points)
    configuration = mean_configuration(together)
    measured = together[np.isfinite(together).all(axis=(1, 2))]
    movement_mm = float(np.median(measured.std(axis=0).max(axis=1)))
    return Session(configuration, distance_deviations(together), movement_mm)
