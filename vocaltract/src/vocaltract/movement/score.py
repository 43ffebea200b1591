"""The gestural score of a tract: vowels, with lips, tongue and velum above them.

After Birkholz (2013), *Modeling consonant-vowel coarticulation for articulatory speech synthesis*: vowels follow one
another without a gap and run under the consonants; a consonant sets only the parameters of its articulator, to a target
that depends on the vowel below it.
"""

import numpy as np

from vocaltract.movement import contact
from vocaltract.movement.phones import gestures
from vocaltract.movement.timing import phrases
from vocaltract.movement.trajectories import FAR_S, Target
from vocaltract.spoken import Phone
from vocaltract.states import TRACT

VOWEL_TAU_S = 0.015
VELUM_TAU_S = 0.014
TAP_CONTACT_S = 0.024
NASAL_CM2, NASAL_VOWEL_CM2 = 0.45, 0.35
VOICED_LEAK_CM2 = 0.025
"""Opening of the velum in voiced closures, which keeps the folds going (Sole 2018): without it, -55 dB re the vowel."""
_VELUM = TRACT.index("VO")
_RESTING_GAP_S = 0.15


def constriction_s(phone: Phone) -> tuple[float, float]:
    """Start and end in seconds of a consonant's (first) constriction: of plosives and affricates the closure."""
    spec = gestures(phone.ipa)
    duration = phone.end_s - phone.start_s
    if spec.manner == "tap":
        centre = (phone.start_s + phone.end_s) / 2.0
        return centre - TAP_CONTACT_S / 2.0, centre + TAP_CONTACT_S / 2.0
    if spec.manner == "affricate":
        return phone.start_s, phone.start_s + 0.5 * duration
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
        events += _phrase(phones[first:last], speaker)
        events.append((phones[last - 1].end_s, rest(speaker)))
    starts = [start for start, _ in events]
    ends = [*starts[1:], FAR_S]
    return [
        Target(a, b, np.arange(len(TRACT)), shape, VOWEL_TAU_S)
        for (a, shape), b in zip(events, ends, strict=True)
        if b > a
    ]


def _phrase(phones: tuple[Phone, ...], speaker) -> list[tuple[float, np.ndarray]]:
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
    """Open the velum for nasals and nasal vowels, from before the label on, and shut it in time for obstruents."""
    column = np.array([_VELUM])
    shut = float(speaker.shapes.vowel("neutral")[_VELUM])
    targets = [leak for phone in phones for leak in _leak(phone, shut)]
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


def _leak(phone: Phone, shut: float) -> list[Target]:
    """Open the velum a little within the closure of a voiced plosive or affricate."""
    spec = gestures(phone.ipa)
    if not (spec.voiced and spec.manner in ("plosive", "affricate")):
        return []
    start, end = constriction_s(phone)
    share = -shut / (VOICED_LEAK_CM2 - shut)
    begin, finish, tau = contact.activation(max(round(end - start - 0.016, 3), 0.02), VELUM_TAU_S, share, share)
    return [Target(start + 0.008 + begin, start + 0.008 + finish, np.array([_VELUM]), np.array([VOICED_LEAK_CM2]), tau)]
