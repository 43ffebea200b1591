"""The gestural score of a tract: vowels, with lips, tongue and velum above them.

After Birkholz (2013), *Modeling consonant-vowel coarticulation for articulatory speech synthesis*: vowels follow each other
without a gap and run under the consonants; a consonant sets only the parameters of its articulator, to a target that
depends on the vowel below it.
"""

from dataclasses import dataclass

import numpy as np

from vocaltract.manner import Manner
from vocaltract.movement import contact
from vocaltract.movement.phones import Gestures, gestures
from vocaltract.movement.timing import phrases
from vocaltract.movement.trajectories import FAR_S, Target, approximate
from vocaltract.spoken import Phone
from vocaltract.states import TRACT

VOWEL_TAU_S = 0.015
VELUM_TAU_S = 0.014
CONSONANT_TAU_S = 0.011
TAP_CONTACT_S = 0.024
TRILL_HZ = 26.0
NASAL_CM2, NASAL_VOWEL_CM2 = 0.45, 0.35
_VELUM = TRACT.index("VO")
_ORAL = np.array([k for k in range(len(TRACT)) if k != _VELUM])
_RESTING_GAP_S = 0.15


@dataclass(frozen=True, eq=False)
class Trill:
    """Openings of a held contact: ``depth`` cm of ``column`` between ``start_s`` and ``end_s``."""

    start_s: float
    end_s: float
    column: int
    depth: float


def constriction_s(phone: Phone) -> tuple[float, float]:
    """Start and end in seconds of a consonant's (first) constriction: of plosives and affricates the closure."""
    spec = gestures(phone.ipa)
    duration = phone.end_s - phone.start_s
    if spec.manner == "tap":
        centre = (phone.start_s + phone.end_s) / 2.0
        return centre - TAP_CONTACT_S / 2.0, centre + TAP_CONTACT_S / 2.0
    if spec.manner == "affricate":
        return phone.start_s, phone.start_s + 0.45 * duration
    if spec.aspiration:
        return phone.start_s, phone.end_s - min(0.45 * duration, 0.06)
    return phone.start_s, phone.end_s


def closures(phones: tuple[Phone, ...]) -> list[tuple[Phone, float, float]]:
    """Phones that shut the mouth, with start and end of the closure in seconds (trills and taps included)."""
    return [(phone, *constriction_s(phone)) for phone in phones if gestures(phone.ipa).closed]


def rest(speaker) -> np.ndarray:
    """(19,) posture of a tract that does not speak: the neutral one with the lips nearly together."""
    state = np.array(speaker.shapes.vowel("neutral"), float)
    lips = TRACT.index("LD")
    state[lips] = 0.4 * state[lips]
    return state


def vocalic(phones: tuple[Phone, ...], speaker, end_s: float) -> list[Target]:
    """Targets of the vowels, one after another from the first state on, and the rest posture between phrases."""
    events = [(-FAR_S, rest(speaker))]
    for first, last in phrases(phones, _RESTING_GAP_S):
        events += _phrase(phones[first:last], speaker, events[0][1] if first == 0 else rest(speaker))
        events.append((phones[last - 1].end_s, rest(speaker)))
    starts = [start for start, _ in events]
    ends = [*starts[1:], FAR_S]
    return [
        Target(a, b, np.arange(len(TRACT)), shape, VOWEL_TAU_S)
        for (a, shape), b in zip(events, ends, strict=True)
        if b > a
    ]


def _phrase(phones: tuple[Phone, ...], speaker, _before: np.ndarray) -> list[tuple[float, np.ndarray]]:
    half = contact.time_to(0.5) * VOWEL_TAU_S
    events, earliest = [], -FAR_S
    for k, phone in enumerate(phones):
        spec = gestures(phone.ipa)
        if not spec.vowel:
            continue
        start = phone.start_s - half
        if k == 0 or not any(gestures(p.ipa).vowel for p in phones[:k]):
            start = phone.start_s - 2.0 * half
        elif not gestures(phones[k - 1].ipa).vowel:
            start = min(max(phones[k - 1].start_s, phone.start_s - 0.12), start)
        start = max(start, earliest)
        events.append((start, speaker.shapes.vowel(spec.places[0])))
        earliest = start + 0.02
        if len(spec.places) == 2:
            turn = max(phone.start_s + 0.55 * (phone.end_s - phone.start_s) - half, earliest)
            events.append((turn, speaker.shapes.vowel(spec.places[1])))
            earliest = turn + 0.02
    return events


def velic(phones: tuple[Phone, ...], speaker) -> list[Target]:
    """Openings of the velum for nasals and nasal vowels, from before the label on; shut in time for obstruents."""
    column = np.array([_VELUM])
    shut = float(speaker.shapes.vowel("neutral")[_VELUM])
    targets = []
    for k, phone in enumerate(phones):
        spec = gestures(phone.ipa)
        if not spec.nasal:
            continue
        following = gestures(phones[k + 1].ipa) if k + 1 < len(phones) else None
        opening = NASAL_VOWEL_CM2 if spec.vowel else NASAL_CM2
        opening = min(opening, float(speaker.limits[_VELUM, 1]))
        zero = -shut / (opening - shut) if opening > shut else 0.5
        lag = 0.0 if following is not None and following.obstruent else 0.04
        end = phone.end_s + lag - contact.time_to(1.0 - zero) * VELUM_TAU_S
        start = min(phone.start_s - 0.03 - contact.time_to(zero) * VELUM_TAU_S, end - 5.0 * VELUM_TAU_S)
        targets.append(Target(start, end, column, np.array([opening]), VELUM_TAU_S))
    return targets


def tract_targets(
    phones: tuple[Phone, ...], speaker, manner: Manner, times_s: np.ndarray
) -> tuple[list[Target], list[Trill]]:
    """The whole score of the tract.

    Returns
    -------
    Targets for :func:`trajectories.approximate`, later ones above earlier ones, and the openings of trills.
    """
    vowels = vocalic(phones, speaker, times_s[-1])
    below = approximate(vowels, rest(speaker), times_s, contact.ORDER)
    consonants, releases, trills = [], [], []
    previous = None
    for k, phone in enumerate(phones):
        spec = gestures(phone.ipa)
        if spec.vowel or not spec.places:
            previous = previous if not spec.places and not spec.vowel else None
            continue
        around = below[min(np.searchsorted(times_s, (phone.start_s + phone.end_s) / 2.0), len(times_s) - 1)]
        new = _consonant(phone, spec, around, speaker, manner, previous)
        for target in new:
            consonants.append(target)
            releases.append(Target(target.end_s, target.end_s + 8.0 * target.tau_s, target.columns, None, target.tau_s))
        if spec.manner == "trill":
            trills.append(_trill(phone, spec))
        previous = new[-1]
    return [*vowels, *velic(phones, speaker), *releases, *consonants], trills


def _consonant(phone: Phone, spec: Gestures, around: np.ndarray, speaker, manner: Manner, previous) -> list[Target]:
    """One target per place of a consonant, each of which starts and ends early enough for the labels."""
    first = constriction_s(phone)
    spans = [first] if len(spec.places) == 1 else [first, (first[1], phone.end_s)]
    targets = []
    for k, (place, (start, end)) in enumerate(zip(spec.places, spans, strict=True)):
        closed = spec.closed and k == 0
        columns, values = _shape(place, spec, around, speaker, manner)
        on, off = _thresholds(spec.manner, closed, homorganic_next=len(spec.places) > k + 1)
        begin, finish, tau = contact.activation(round(end - start, 3), _tau(spec.manner), on, off)
        begin, finish = start + begin, start + finish
        if (
            previous is not None
            and np.intersect1d(previous.columns, columns).size
            and previous.end_s > begin
            and not closed
        ):
            begin = min(previous.end_s, finish - 0.01)
        targets.append(Target(begin, finish, columns, values, tau))
        previous = targets[-1]
    return targets


def _shape(place: str, spec: Gestures, around: np.ndarray, speaker, manner: Manner) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values of a constriction above the vowel ``around``.

    The consonant is shaped for surroundings between the neutral tract (``manner.coarticulation`` 0) and the vowel (1).
    Where those differ, the parameters that the consonant leaves alone are drawn to the same surroundings.
    """
    neutral = speaker.shapes.vowel("neutral")
    if spec.colour:
        around = 0.5 * (around + speaker.shapes.vowel(spec.colour))
    context = np.clip(neutral + manner.coarticulation * (around - neutral), *speaker.limits.T)
    target = np.array(speaker.shapes.consonant(place, context), float)
    target = context + spec.strength * (target - context)
    active = np.array([TRACT.index(name) for name in speaker.shapes.active(place)])
    columns = np.setdiff1d(active, [_VELUM]) if manner.coarticulation == 1.0 and not spec.colour else _ORAL
    return columns, target[columns]


def _thresholds(manner: str, closed: bool, homorganic_next: bool) -> tuple[float, float]:
    if closed:
        return 0.8, 0.5 if homorganic_next else 0.8
    return {"approximant": (0.6, 0.6), "lateral": (0.7, 0.7)}.get(manner, (0.85, 0.85))


def _tau(manner: str) -> float:
    return {"tap": 0.007, "approximant": 0.013, "trill": 0.010}.get(manner, CONSONANT_TAU_S)


def _trill(phone: Phone, spec: Gestures) -> Trill:
    body = spec.places[0].startswith("uvular")
    return Trill(phone.start_s, phone.end_s, TRACT.index("TCY" if body else "TTY"), -0.35)


def add_trills(tract: np.ndarray, trills: list[Trill], times_s: np.ndarray) -> None:
    """Open held contacts at ``TRILL_HZ``, in place: contact first and last, raised cosines between."""
    for trill in trills:
        inside = (times_s >= trill.start_s) & (times_s <= trill.end_s)
        openings = max(round((trill.end_s - trill.start_s) * TRILL_HZ) - 1, 1)
        phase = (times_s[inside] - trill.start_s) / (trill.end_s - trill.start_s) * openings
        tract[inside, trill.column] += trill.depth * 0.5 * (1.0 - np.cos(2.0 * np.pi * phase))
