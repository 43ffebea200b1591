"""Numbers about interventions: of the pairs of one speaker, or of one utterance.

With d(t) the exact change of the moved articulator's own channels and y(t) what their read-outs did, both over the
frames of the window and a margin on either side,

    gain             Σ y·d / Σ d·d                         1: read-outs move as far as the articulator
    response         R_ij = Σ y_i d_j / Σ d_j²              of channel i, for each unit of the moved channel j
    specificity      |y| of the own articulator / Σ over articulators of |y|, in deviations
    sign             share of pairs with Σ y·d > 0
    lag              of the maximum of Σ_t y(t + lag)·d(t)

Each is a regression through zero: no change, no response. There is one for each thing that is moved (an articulator in
one direction), then averaged over these, so that what was moved more often does not count for more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.readers.interventions import ANATOMY, ARTICULATOR, NOISE, VOICE
from tractprobe.evidence.methods.intervened import SENSORS, Course, channels_of
from tractprobe.runs.estimate import Estimate, Scores, mean_over_speakers
from tractprobe.signals.channels import CHANNELS

GROUPS: tuple[tuple[str, ...], ...] = (("tt",), ("td", "tb"), ("ul", "ll"), ("li",))
"""Articulators among which movement is shared: tip, body, lips, jaw."""

ALL = "all"
"""In place of a language: a speaker's pairs in all languages are taken together."""

_MAIN = {"tongue_tip": "tt", "tongue_body": "td", "lip_aperture": "ll", "lip_protrusion": "ll", "jaw": "li"}
EVERYWHERE = (VOICE, ANATOMY, NOISE)
"""Kinds of pairs that differ throughout the utterance."""

_MOST_LAG_S, _SPREAD_S = 0.2, 0.1
Metric = Callable[[Sequence[Course]], float | None]
Read = Callable[[Course], Float[np.ndarray, "frame channel"]]
"""What is taken as read of a pair: heads of a layer, shuffled heads, or the truth itself."""


S = TypeVar("S")
K = TypeVar("K")
V = TypeVar("V")


def remembered(method: Callable[[S, K], V]) -> Callable[[S, K], V]:
    """Keep what a method says of each argument: the same pairs are asked for by speaker, language, phone and so on."""

    @wraps(method)
    def known(self: S, key: K) -> V:
        values = vars(self).setdefault("_known", {}).setdefault(method.__name__, {})
        if key not in values:
            values[key] = method(self, key)
        return values[key]

    return known


def at(layer: int) -> Read:
    """Take what the heads of a layer read."""
    return lambda course: course.moved[layer]


def shuffled(draw: int) -> Read:
    """Take what heads read that were fitted to movements of another time."""
    return lambda course: course.shuffled[draw]


def truth(course: Course) -> Float[np.ndarray, "frame channel"]:
    """Take what the positions did."""
    assert course.true is not None
    return course.true


def is_moved(course: Course, kind: str = ARTICULATOR) -> bool:
    """Whether an articulator with channels of its own was moved, or moved at another time, and these tell how far."""
    return course.pair.kind == kind and course.tells


def what(course: Course) -> str:
    """Name what was moved, and which way."""
    return f"{course.pair.moved.replace('_', ' ')} {course.pair.direction}".strip()


def by_what(courses: Sequence[Course], kind: str = ARTICULATOR) -> dict[str, list[Course]]:
    """Return the pairs in which an articulator was moved, by what was moved."""
    found: dict[str, list[Course]] = {}
    for course in courses:
        if is_moved(course, kind):
            found.setdefault(what(course), []).append(course)
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class Responses:
    """What follows from pairs in which articulators were moved, as something reads them.

    Attributes
    ----------
    margin_s
        On either side of the window, since both low-pass and encoders spread a change.
    kind
        ``articulator``, or ``timing``.
    """

    read: Read
    margin_s: float = 0.05
    kind: str = ARTICULATOR

    def gain(self, courses: Sequence[Course]) -> float | None:
        """Return the mean slope of own read-outs on own channels, in mm per mm."""
        return self._mean(courses, self._gain_of)

    def closeness(self, courses: Sequence[Course]) -> float | None:
        """Return the mean of the slopes, of which one above 1 counts 1 less what it exceeds 1 by: 1 - |1 - gain|."""

        def close(courses: Sequence[Course]) -> float | None:
            gain = self._gain_of(courses)
            return None if gain is None else 1 - abs(1 - gain)

        return self._mean(courses, close)

    def specificity(self, courses: Sequence[Course]) -> float | None:
        """Return the mean share of movement that is the moved articulator's, of that of all four."""
        return self._mean(courses, lambda each: _defined_mean([self.share(course) for course in each]))

    def sign(self, courses: Sequence[Course]) -> float | None:
        """Return the mean share of pairs in which own read-outs move the true way; none at all counts half."""
        return self._mean(courses, lambda each: _defined_mean([_way(*self._sums(course)) for course in each]))

    def lag_ms(self, courses: Sequence[Course]) -> float | None:
        """Return by how much own read-outs follow own channels, ms; ``None`` where they do not.

        Of the sum over all that is moved, so that what is hardly read says little.
        """
        each = list(by_what(courses, self.kind).values())
        if not each:
            return None
        step_s = float(np.median(np.diff(each[0][0].times_s)))
        total = np.sum([self._along(some, int(np.ceil(_MOST_LAG_S / step_s))) for some in each], axis=0)
        middle, peak = len(total) // 2, int(total.argmax())
        if total[peak] <= 0 or peak in (0, len(total) - 1):
            return None
        before, here, after = total[peak - 1 : peak + 2]
        curve = before - 2 * here + after
        return 1000 * step_s * (peak - middle + (0.5 * (before - after) / curve if curve else 0.0))

    @remembered
    def share(self, course: Course) -> float | None:
        """Return the moved articulator's share of the movement of one pair; ``None`` where nothing moved."""
        moved = np.abs(self.read(course)[course.within(self.margin_s)])
        of_groups = {group: _defined_mean(moved[:, channels_of(group)]) for group in GROUPS}
        sizes = {group: size for group, size in of_groups.items() if size is not None}
        own = next(group for group in GROUPS if group == SENSORS[course.pair.moved])
        total = sum(sizes.values())
        return sizes[own] / total if own in sizes and total > 0 else None

    def chance(self, courses: Sequence[Course]) -> float:
        """Return the share that is each articulator's if all that are read move alike; NaN without any pair."""
        moved = [course for each in by_what(courses, self.kind).values() for course in each]
        shares = [1 / sum(np.isfinite(self.read(course)[:, channels_of(group)]).any() for group in GROUPS)
                  for course in moved]  # fmt: skip
        return float(np.mean(shares)) if shares else float("nan")

    def response(self, courses: Sequence[Course]) -> Float[np.ndarray, " channel"]:
        """Return the response of each channel in deviations, for each deviation of the main channel of one thing."""
        return self._response(tuple(courses))

    @remembered
    def _response(self, courses: tuple[Course, ...]) -> Float[np.ndarray, " channel"]:
        main = main_channel(courses)
        pairs = [(course.within(self.margin_s), course) for course in courses]
        moved = np.concatenate([self.read(course)[frames] for frames, course in pairs])
        true = np.concatenate([truth(course)[frames, main] for frames, course in pairs])
        squares = float(true @ true)
        return true @ moved / squares if squares > 0 else np.full(len(CHANNELS), np.nan)

    def _mean(self, courses: Sequence[Course], of: Metric) -> float | None:
        return _defined_mean([of(each) for each in by_what(courses, self.kind).values()])

    @remembered
    def _sums(self, course: Course) -> tuple[float, float]:
        """Return Σ y·d and Σ d·d over the window, in mm²."""
        own, frames = course.own, course.within(self.margin_s)
        d = truth(course)[frames][:, own] * course.sd_mm[own]
        y = self.read(course)[frames][:, own] * course.sd_mm[own]
        known = np.isfinite(y) & np.isfinite(d)
        return float((y * d)[known].sum()), float((d * d)[known].sum())

    def _gain_of(self, courses: Sequence[Course]) -> float | None:
        along, squares = np.sum([self._sums(course) for course in courses], axis=0)
        return float(along / squares) if squares > 0 else None

    def _along(self, courses: Sequence[Course], most: int) -> Float[np.ndarray, " lag"]:
        """Return Σ y(t + lag)·d(t) / Σ d·d of one thing for lags of up to so many frames either way."""
        each = [self._products((course, most)) for course in courses]
        return np.sum([products for products, _ in each], axis=0) / sum(squares for _, squares in each)

    @remembered
    def _products(self, asked: tuple[Course, int]) -> tuple[Float[np.ndarray, " lag"], float]:
        course, most = asked
        y, d = (np.nan_to_num(of(course)[:, course.own]) for of in (self.read, truth))
        products = [float((np.roll(y, -lag, axis=0) * d).sum()) for lag in range(-most, most + 1)]
        return np.array(products), float((d * d).sum())


def main_channel(courses: Sequence[Course]) -> int:
    """Return the channel whose mm responses are counted in when one thing is moved."""
    pair = courses[0].pair
    axis = pair.direction or ("x" if pair.moved == "lip_protrusion" else "y")
    return CHANNELS.index(f"{_MAIN[pair.moved]}_{axis}")


def displacement_mm(course: Course) -> float:
    """Return how far own sensors truly moved, root mean square over these, as ``area`` has it."""
    own = course.own
    d = np.nan_to_num(truth(course)[:, own] * course.sd_mm[own]).reshape(len(course.times_s), -1, 2)
    return area(course, np.sqrt((d**2).sum(axis=2).mean(axis=1)))


def area(course: Course, sizes: Float[np.ndarray, " frame"]) -> float:
    """Return the sum of sizes over the window and .1 s on either side, divided by the window's frames.

    A change that an encoder spreads over more frames than production has is as large as one that it does not.
    """
    start_s, end_s = course.pair.window_s
    frames = (end_s - start_s) / float(np.median(np.diff(course.times_s)))
    return float(sizes[course.within(_SPREAD_S)].sum() / min(frames, len(sizes)))


def extent(course: Course, sizes: Float[np.ndarray, " frame"]) -> float:
    """Return how large sizes are in one pair: the mean over phones where the whole utterance is said otherwise.

    Otherwise as ``area`` has it. NaN for an utterance without phones: silence, in which nothing can differ, would
    make what is said in a short one look less different.
    """
    if course.pair.kind not in EVERYWHERE:
        return area(course, sizes)
    return float(sizes[course.spoken].mean()) if course.spoken.any() else float("nan")


def over_units(
    courses: Sequence[Course], metric: Metric, unit: Callable[[Course], str]
) -> dict[tuple[str, str], float]:
    """Return a number for each unit, such as a speaker, whose pairs in all languages are taken together."""
    by_unit: dict[str, list[Course]] = {}
    for course in courses:
        by_unit.setdefault(unit(course), []).append(course)
    values = {(ALL, name): metric(each) for name, each in sorted(by_unit.items())}
    return {key: value for key, value in values.items() if value is not None and np.isfinite(value)}


def speaker(course: Course) -> str:
    return course.speaker


def utterance(course: Course) -> str:
    return course.pair.base


def over(values: Scores) -> Estimate | None:
    """Return the mean over units with a t interval; ``None`` without any."""
    return mean_over_speakers(values) if values else None


def _way(along: float, squares: float) -> float | None:
    return None if not squares > 0 else 0.5 if along == 0 else float(along > 0)


def _defined_mean(values: Sequence[float | None] | np.ndarray) -> float | None:
    each = np.asarray(values, dtype=float)  # None becomes NaN
    known = np.isfinite(each)
    return float(each[known].mean()) if known.any() else None
