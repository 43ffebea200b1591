"""How far read-outs and states move by pitch, voice, anatomy and velum, and how far by articulation."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.readers.interventions import ANATOMY, ARTICULATOR, F0, NOISE, VOICE
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.intervened import Course
from tractprobe.evidence.methods.responses import (
    Metric,
    Read,
    Responses,
    by_what,
    displacement_mm,
    extent,
    remembered,
    truth,
)
from tractprobe.signals.channels import CHANNELS

_LEAST_VARIANCE = 0.001


class Movement:
    """Sizes of read-outs' movements, either way, in deviations: the mean over channels, and over time as ``extent``.

    What they are divided by is a mean over the window, too: that of the own sensors' way in mm, and that of the course
    of pitch in semitones, which is below its nominal peak as it rises and falls (``Pair.mean_size``).
    """

    def __init__(self, read: Read):
        self.read = read

    @remembered
    def size(self, course: Course) -> float:
        """Return how far read-outs moved in one pair."""
        moved = np.abs(self.read(course))
        known = np.isfinite(moved).all(axis=0)
        return extent(course, moved[:, known].mean(axis=1)) if known.any() else float("nan")

    def per_mm(self, courses: Sequence[Course]) -> float | None:
        """Return how far they move for each mm of an articulator's own sensors; slope through zero."""
        return slope([(self._way_mm(course), self.size(course)) for course in _moved(courses)])

    @remembered
    def _way_mm(self, course: Course) -> float:
        return displacement_mm(course)

    def per_semitone(self, courses: Sequence[Course]) -> float | None:
        """Return how far they move for each semitone, the mean over the window; slope through zero."""
        return slope([(course.pair.mean_size, self.size(course)) for course in courses if is_of(course, F0)])

    def kept_from_pitch(self, courses: Sequence[Course]) -> float | None:
        """Return minus how many mm of articulation move them as far as a semitone does: the more, the less pitch."""
        tract, pitch = self.per_mm(courses), self.per_semitone(courses)
        return -pitch / tract if tract and pitch is not None else None

    def by_kind(self, kind: str) -> Metric:
        """Return how to tell how far they move by a change of voice or anatomy, or of the velum."""

        def mean(courses: Sequence[Course]) -> float | None:
            sizes = np.array([self.size(course) for course in courses if is_of(course, kind)])
            known = np.isfinite(sizes)
            return float(sizes[known].mean()) if known.any() else None

        return mean


class StateMovement(Movement):
    """The same of states at a layer: root mean square over features."""

    def __init__(self, layer: int):
        self.layer = layer

    @remembered
    def size(self, course: Course) -> float:
        return extent(course, course.states[self.layer])

    def tract_over_pitch(self, courses: Sequence[Course]) -> float | None:
        """Return log2 of how many semitones move states as far as a mm of articulation does."""
        tract, pitch = self.per_mm(courses), self.per_semitone(courses)
        return float(np.log2(tract / pitch)) if tract and pitch and min(tract, pitch) > 0 else None


def is_of(course: Course, kind: str) -> bool:
    """Whether a pair is a change of pitch, voice, anatomy or noise, or a movement of the velum."""
    if kind in (VOICE, ANATOMY, F0, NOISE):
        return course.pair.kind == kind
    return course.pair.kind == ARTICULATOR and course.pair.moved == kind


def slope(points: Sequence[tuple[float, float]]) -> float | None:
    """Return the slope of a line through zero; ``None`` where nothing was changed."""
    x, y = np.array(points, float).reshape(-1, 2).T
    known = np.isfinite(x) & np.isfinite(y)
    squares = float((x[known] ** 2).sum())
    return float((x * y)[known].sum() / squares) if squares > 0 else None


def _moved(courses: Sequence[Course]) -> list[Course]:
    return [course for each in by_what(courses).values() for course in each]


class Nearness:
    """Whether read-outs respond as positions do, or as channels usually move together.

    For each thing that is moved there are three patterns over channels, in deviations: the response r of read-outs, the
    response t of the exact positions, and what natural speech predicts of all channels from what the moved
    articulator's own channels o did, u = C_·o C_oo⁺ t_o with correlations C. Patterns are compared by their cosine, so
    that how far read-outs move plays no part.
    """

    def __init__(self, read: Read, correlations: Float[np.ndarray, "channel channel"], margin_s: float = 0.05):
        self.told, self.real = Responses(read, margin_s), Responses(truth, margin_s)
        self.correlations = correlations

    def beyond(self, courses: Sequence[Course]) -> float | None:
        """Return cos(r, t) - cos(r, u) cos(u, t), averaged over what is moved.

        It is how much nearer read-outs are to the truth than their nearness to the prediction explains, as the
        numerator of a partial correlation is: 0 for r = u and for noise, below 0 where others move even more than
        usual.
        """
        return _mean([_beyond(told, real, usual) for told, real, usual in self._patterns(courses)])

    def truth(self, courses: Sequence[Course]) -> float | None:
        """Return the cosine with the truth."""
        return _mean([cosine(told, real) for told, real, _ in self._patterns(courses)])

    def usual(self, courses: Sequence[Course]) -> float | None:
        """Return the cosine with what usually moves together."""
        return _mean([cosine(told, usual) for told, _, usual in self._patterns(courses)])

    def possible(self, courses: Sequence[Course]) -> float | None:
        """Return what ``beyond`` is of the exact positions: 1 - cos²(u, t)."""
        return _mean([_beyond(real, real, usual) for _, real, usual in self._patterns(courses)])

    def prediction(self, courses: Sequence[Course]) -> Float[np.ndarray, " channel"]:
        """Return what usually moves together with what own channels of one thing did, as ``Responses.response``."""
        return usual_of(self.correlations, courses[0].own, self.real.response(courses))

    def _patterns(self, courses: Sequence[Course]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        found = []
        for each in by_what(courses).values():
            told, real = self.told.response(each), self.real.response(each)
            usual = self.prediction(each)
            known = np.isfinite(told) & np.isfinite(real) & np.isfinite(usual)
            found += [(told[known], real[known], usual[known])] if known.any() else []
        return found


def usual_of(
    correlations: Float[np.ndarray, "channel channel"], own: Sequence[int], real: Float[np.ndarray, " channel"]
) -> Float[np.ndarray, " channel"]:
    """Return the regression of all channels on those own channels that are known, at what these did: C_·o C_oo⁺ t_o.

    Directions in which own channels hardly vary in speech (less than a thousandth of the most) predict nothing.
    """
    known = [place for place in own if np.isfinite(real[place]) and np.isfinite(correlations[place, place])]
    together = correlations[np.ix_(known, known)]
    return correlations[:, known] @ np.linalg.pinv(together, rcond=_LEAST_VARIANCE, hermitian=True) @ real[known]


def _beyond(told: np.ndarray, real: np.ndarray, usual: np.ndarray) -> float:
    return cosine(told, real) - cosine(told, usual) * cosine(usual, real)


def cosine(one: Float[np.ndarray, " n"], other: Float[np.ndarray, " n"]) -> float:
    """Return the cosine of two patterns; 0 where one of them is nothing."""
    size = np.linalg.norm(one) * np.linalg.norm(other)
    return float(one @ other / size) if size > 0 else 0.0


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def when(courses: Sequence[Course], read: Read) -> dict[str, float]:
    """Return which share of all movement of read-outs (squared, in deviations) lies when.

    Before the window, in it, within .1 s after it, within .3 s, and later.
    """
    edges_s = {"before": (-np.inf, 0.0), "in the window": (0.0, 0.0), "until .1 s after": (0.0, 0.1),
               "until .3 s after": (0.1, 0.3), "later": (0.3, np.inf)}  # fmt: skip
    total = dict.fromkeys(edges_s, 0.0)
    for course in courses:
        squares = np.nanmean(read(course) ** 2, axis=1)
        start_s, end_s = course.pair.window_s
        inside = course.within()
        total["in the window"] += float(squares[inside].sum())
        total["before"] += float(squares[~inside & (course.times_s < start_s)].sum())
        after_s = course.times_s - end_s
        for name in ("until .1 s after", "until .3 s after", "later"):
            low, high = edges_s[name]
            total[name] += float(squares[~inside & (after_s > low) & (after_s <= high)].sum())
    whole = sum(total.values())
    return {name: value / whole if whole else 0.0 for name, value in total.items()}


def correlations(bench: Bench) -> Float[np.ndarray, "channel channel"]:
    """Return how channels correlate within speakers over the corpora's frames: what usually moves together.

    NaN for a channel that the corpora lack.
    """
    targets = bench.targets("ema")
    by_speaker: dict[str, list[np.ndarray]] = {}
    for entry in bench.entries.values():
        values = targets.at(bench.corpus_of(entry), entry, bench.times_s(entry.id))
        by_speaker.setdefault(entry.speaker, []).append(values)
    total, count = np.zeros((len(CHANNELS),) * 2), np.zeros((len(CHANNELS),) * 2)
    for each in by_speaker.values():
        values = np.concatenate(each)
        with np.errstate(invalid="ignore", divide="ignore"):
            known = np.isfinite(values)
            frames = known.sum(axis=0)
            centred = np.where(known, values - np.nansum(values, axis=0) / frames, 0.0)
            scaled = np.nan_to_num(centred / np.sqrt((centred**2).sum(axis=0) / frames))
        total += scaled.T @ scaled
        count += known.astype(float).T @ known
    with np.errstate(invalid="ignore", divide="ignore"):
        together = total / count
        return together / np.sqrt(np.outer(together.diagonal(), together.diagonal()))
