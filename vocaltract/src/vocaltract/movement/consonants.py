"""Consonants above the vowels: constrictions that begin and end when the labels say so.

The gesture of a closure has to begin before its label, by as much as its articulator needs to come to contact. That
depends on the neighbours, so the gestures are timed in rounds: let the tract move, see when each closure crosses its
plane of contact (``planes``), and move the gesture's start and end by the error.
"""

from dataclasses import dataclass

import numpy as np

from vocaltract.manner import Manner
from vocaltract.movement import contact
from vocaltract.movement.phones import Gestures, gestures
from vocaltract.movement.planes import GROOVED_CM, Plane, plane
from vocaltract.movement.score import constriction_s
from vocaltract.movement.trajectories import Target, approximate
from vocaltract.spoken import Phone
from vocaltract.states import TRACT

TRILL_HZ = 26.0
TAUS_S = {"tap": 0.007, "approximant": 0.013, "trill": 0.010, "affricate": 0.009}
TAU_S = 0.011
_ON = {"approximant": 0.6, "lateral": 0.7, "fricative": 0.85}
_CLOSED_ON = 0.8
_ROUNDS = 8
_SAFE_CM = 0.06
"""By which every closure goes beyond contact at least."""
_TRILL_OPENING_CM = 0.12
_VELUM = TRACT.index("VO")
_LEADING = [TRACT.index(name) for name in ("LD", "TTY", "TCY")]
"""Heights of lips, tip and body: neighbours that share one of them need the same articulator."""
_ROOT = ("HX", "HY", "TRX", "TRY")
"""Hyoid and root go with the tongue's body: left at an open vowel's, they would shut the pharynx."""
_GROOVE = TRACT.index("TS3")
_GROOVE_LEAD_S = 0.025
"""By which the groove of a sibilant comes before the tongue and stays after it: without it the tract is shut."""
_ORAL = np.array([k for k in range(len(TRACT)) if k != _VELUM])


@dataclass(eq=False)
class Constriction:
    """A gesture of a consonant; its times are those that :func:`timed` finds.

    Attributes
    ----------
    start_s, end_s
        Label: when the constriction is to be there.
    begin_s, finish_s
        Gesture: when the articulator heads for it.
    contact
        Plane of contact of a closure, or ``None``.
    """

    manner: str
    start_s: float
    end_s: float
    begin_s: float
    finish_s: float
    tau_s: float
    columns: np.ndarray
    values: np.ndarray
    contact: Plane | None
    before: "Constriction | None" = None
    held_on: bool = False
    held_off: bool = False

    best: tuple[float, float, float, float] = (np.inf, 0.0, 0.0, 0.0)

    def targets(self) -> list[Target]:
        """Targets of the gesture, and first in the list the pace at which its articulator leaves again."""
        begin = self.begin_s
        after_closure = self.before is not None and self.before.contact is not None and self.contact is None
        if after_closure:
            begin = max(begin, min(self.before.finish_s, self.finish_s - 0.01))
        pace = Target(self.finish_s, self.finish_s + 8.0 * self.tau_s, self.columns, None, self.tau_s)
        grooved = np.isin(self.columns, _GROOVE) & (self.values > GROOVED_CM)
        early = self.start_s - contact.time_to(GROOVED_CM) * self.tau_s if after_closure else begin - _GROOVE_LEAD_S
        spans = ((~grooved, begin, self.finish_s), (grooved, early, self.finish_s + _GROOVE_LEAD_S))
        parts = [Target(t, end, self.columns[k], self.values[k], self.tau_s) for k, t, end in spans if k.any()]
        return [pace, *parts]


def constrictions(
    phones: tuple[Phone, ...], below: np.ndarray, times_s: np.ndarray, speaker, manner: Manner
) -> list[Constriction]:
    """Shape every constriction above the vowels' trajectory ``below``, (state, 19), with first guesses of its times."""
    found: list[Constriction] = []
    for phone in phones:
        spec = gestures(phone.ipa)
        first = constriction_s(phone)
        spans = [first, (first[1], phone.end_s)]
        middle = np.searchsorted(times_s, (phone.start_s + phone.end_s) / 2.0)
        around = below[min(middle, len(times_s) - 1)]
        for k, place in enumerate(spec.places if not spec.vowel else ()):
            new = _constriction(place, spec, spec.manner if k == 0 else "fricative", spans[k], around, speaker, manner)
            if (
                found
                and new.start_s - found[-1].end_s < 0.02
                and np.intersect1d(found[-1].columns, np.intersect1d(new.columns, _LEADING)).size
            ):
                _join(found[-1], new)
            found.append(new)
    return found


def _join(first: Constriction, second: Constriction) -> None:
    """Let two neighbours that need the same articulator share the time between them."""
    second.before = first
    if first.contact is not None and second.contact is not None:
        first.held_off = second.held_on = True
        second.begin_s = second.start_s - contact.time_to(0.5) * second.tau_s
        first.finish_s = max(first.finish_s, second.begin_s)


def _constriction(
    place: str, spec: Gestures, kind: str, span: tuple[float, float], around, speaker, manner: Manner
) -> Constriction:
    touching = plane(speaker.name, place) if spec.closed and kind == spec.manner else None
    columns, values = _shape(place, spec, around, speaker, manner, touching)
    on = _CLOSED_ON if touching is not None else _ON.get(kind, 0.85)
    begin, finish, tau = contact.activation(round(span[1] - span[0], 3), TAUS_S.get(kind, TAU_S), on, on)
    return Constriction(kind, *span, span[0] + begin, span[0] + finish, tau, columns, values, touching)


def _shape(
    place: str, spec: Gestures, around: np.ndarray, speaker, manner: Manner, touching: Plane | None
) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values of a constriction above the vowel ``around``.

    The consonant is shaped for surroundings between the neutral tract (``manner.coarticulation`` 0) and the vowel (1).
    Where those differ, the parameters that the consonant leaves alone are drawn to the same surroundings.
    """
    neutral = speaker.shapes.vowel("neutral")
    context = around
    if spec.colour:
        context = 0.5 * (context + speaker.shapes.vowel(spec.colour))
    context = np.clip(neutral + manner.coarticulation * (context - neutral), *speaker.limits.T)
    names = speaker.shapes.active(place)
    active = np.array([TRACT.index(name) for name in (*names, *(_ROOT if "TCX" in names else ())) if name != "VO"])
    target = context.copy()
    target[active] += spec.strength * (speaker.shapes.consonant(place, context) - context)[active]
    if touching is not None:
        target = _touching(target, active, touching, speaker.limits)
    columns = (
        np.setdiff1d(active, [_VELUM])
        if np.array_equal(context, around) or (manner.coarticulation == 1.0 and not spec.colour)
        else _ORAL
    )
    return columns, target[columns]


def _touching(target: np.ndarray, active: np.ndarray, touching: Plane, limits: np.ndarray) -> np.ndarray:
    """Push a closure's target at least ``_SAFE_CM`` beyond contact, with the parameters that the consonant controls."""
    lacking = _SAFE_CM - float(touching.excess(target))
    direction = np.zeros(len(TRACT))
    direction[touching.columns] = touching.weights
    direction[np.setdiff1d(np.arange(len(TRACT)), active)] = 0.0
    if lacking <= 0.0 or not direction.any():
        return target
    return np.clip(target + lacking * direction / (direction @ direction), *limits.T)


def timed(found: list[Constriction], others: list[Target], initial: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """Time the gestures by their closures.

    Parameters
    ----------
    found
        Constrictions in time order; their ``begin_s`` and ``finish_s`` are changed.
    others
        Targets of the tiers below.
    initial
        (19,) posture at the start.
    times_s
        (state,).

    Returns
    -------
    (state, 19) movement of the tract.
    """
    for remaining in range(_ROUNDS, -1, -1):
        tract = approximate(_targets(found, others), initial, times_s, contact.ORDER)
        for constriction in found if remaining else ():
            if constriction.contact is not None:
                _corrected(constriction, tract, times_s)
                if remaining == 1:
                    _, constriction.begin_s, constriction.finish_s, constriction.tau_s = constriction.best
    return tract


def _targets(found: list[Constriction], others: list[Target]) -> list[Target]:
    lists = [constriction.targets() for constriction in found]
    return [*others, *(targets[0] for targets in lists), *(target for targets in lists for target in targets[1:])]


def _corrected(closure: Constriction, tract: np.ndarray, times_s: np.ndarray) -> None:
    """Move a gesture's start and end by what its closure lacks, and remember the best of all rounds."""
    window = slice(*np.searchsorted(times_s, (closure.start_s - 0.08, closure.end_s + 0.08)))
    excess = closure.contact.excess(tract[window])
    begins, ends = _crossings(excess, times_s[window], closure)
    early = 0.0 if closure.held_on else closure.start_s - begins if begins is not None else -0.004
    short = 0.0 if closure.held_off else closure.end_s - ends if begins is not None else 0.004
    error = max(abs(early), abs(short)) if begins is not None else 1.0 - float(excess.max())
    if error < closure.best[0]:
        closure.best = (error, closure.begin_s, closure.finish_s, closure.tau_s)
    gain = 0.9 if closure.end_s - closure.start_s > 6.0 * closure.tau_s else 0.6
    closure.begin_s += gain * float(np.clip(early, -0.03, 0.03))
    closure.finish_s = max(closure.finish_s + gain * float(np.clip(short, -0.03, 0.03)), closure.begin_s + 0.01)
    if begins is None:
        closure.tau_s = max(0.93 * closure.tau_s, 0.003)


def _crossings(excess: np.ndarray, times_s: np.ndarray, closure: Constriction) -> tuple[float | None, float]:
    """Start and end of the stretch of contact that has most of the label in it; ``None`` first where there is none."""
    shut = np.concatenate([[False], excess >= 0.0, [False]]).astype(int)
    starts, ends = np.flatnonzero(np.diff(shut) == 1), np.flatnonzero(np.diff(shut) == -1)
    if not len(starts):
        return None, 0.0
    inside = [
        min(times_s[b - 1], closure.end_s) - max(times_s[a], closure.start_s) for a, b in zip(starts, ends, strict=True)
    ]
    a, b = starts[np.argmax(inside)], ends[np.argmax(inside)]
    return _between(excess, times_s, a - 1, a), _between(excess, times_s, b - 1, b)


def _between(excess: np.ndarray, times_s: np.ndarray, before: int, after: int) -> float:
    """Moment of the zero between two states, by a straight line; the window's edge where it lies beyond."""
    if before < 0 or after >= len(excess):
        return float(times_s[max(before, 0) if before < 0 else before])
    share = excess[before] / (excess[before] - excess[after])
    return float(times_s[before] + share * (times_s[after] - times_s[before]))


def add_trills(tract: np.ndarray, found: list[Constriction], times_s: np.ndarray) -> None:
    """Open the held contacts of trills at ``TRILL_HZ``, in place: contact first and last, raised cosines between."""
    for trill in found:
        if trill.manner != "trill" or trill.contact is None:
            continue
        inside = (times_s >= trill.start_s) & (times_s <= trill.end_s)
        duration = trill.end_s - trill.start_s
        phase = (times_s[inside] - trill.start_s) / duration * max(round(duration * TRILL_HZ - 0.5), 1)
        weights = np.where(np.isin(trill.contact.columns, _LEADING), trill.contact.weights, 0.0)
        highest = np.argmax(weights)
        margin = np.maximum(trill.contact.beyond(tract[inside]), 0.0) + _TRILL_OPENING_CM
        depth = margin / weights[highest]
        tract[inside, trill.contact.columns[highest]] -= depth * 0.5 * (1.0 - np.cos(2.0 * np.pi * phase))
