"""Checks of the tract's geometry against the labels: closures, open vowels, channels of fricatives, the velum."""

from collections.abc import Sequence

import numpy as np

from vocaltract import speakers
from vocaltract.checks.measures import Report, Share
from vocaltract.checks.reading import Utterance
from vocaltract.movement.phones import gestures
from vocaltract.movement.score import closures
from vocaltract.speakers.acoustics import constriction
from vocaltract.spoken import Phone
from vocaltract.states import STATE_HZ, TRACT, Movement

CLOSED_CM2 = 0.02
OPEN_CM2 = 0.08
CHANNEL_CM2 = (0.005, 0.5)
OPEN_VELUM_CM2 = 0.1
SHUT_VELUM_CM2 = 0.05
LEAST = {"closed": 0.95, "vowels_open": 0.95, "channels": 0.9, "velum": 0.97}
"""Shares of all phones of a speaker below which a check fails. Coarticulation and fast speech cost some contacts."""
TIMING_S = 0.02
NEAR_S = 0.05


def check_tract(some: Sequence[Utterance], report: Report) -> None:
    """Check the geometry of one speaker's speech; makes the speaker the synthesiser's."""
    speaker = some[0].speaker
    speakers.load(speaker).activate()
    shares = {name: Share() for name in LEAST}
    off_s: list[float] = []
    wrong: dict[str, list[str]] = {name: [] for name in LEAST}
    for one in some:
        found = [*closed_phones(one.movement), *other_phones(one.movement)]
        for name, phone, good in found:
            shares[name].add(good)
            if not good:
                wrong[name].append(f"{phone.ipa} at {phone.start_s:.2f} s of {one.id}")
        off_s += timing_errors_s(one.movement)
    for name, share in shares.items():
        report.put(name, speaker, share)
        if share.all:
            report.require(
                share.rate >= LEAST[name], f"{speaker}: {name} {share}, such as {'; '.join(wrong[name][:4])}"
            )
    report.put("not", speaker, {name: phones for name, phones in wrong.items() if phones})
    if off_s:
        median = float(np.median(off_s))
        report.put("timing_ms", speaker, 1000 * median)
        report.require(median < TIMING_S, f"{speaker}: closures {1000 * median:.0f} ms (median) beside their labels")


def closed_phones(movement: Movement) -> list[tuple[str, Phone, bool]]:
    """Whether each phone that shuts the mouth has it shut in the middle of its closure (trills open and shut)."""
    found = []
    for phone, start, end in closures(movement.spoken.phones):
        if gestures(phone.ipa).manner != "trill":
            middle = (start + end) / 2
            found.append(("closed", phone, mouth_cm2(movement, middle) <= CLOSED_CM2))
    return found


def other_phones(movement: Movement) -> list[tuple[str, Phone, bool]]:
    """Vowels whose mouth is open, fricatives with a channel, nasals with an open velum, obstruents with a shut one."""
    found = []
    velum = movement.tract[:, TRACT.index("VO")]
    for phone in movement.spoken.phones:
        kind = gestures(phone.ipa)
        middle = (phone.start_s + phone.end_s) / 2
        if kind.vowel:
            found.append(("vowels_open", phone, mouth_cm2(movement, middle) >= OPEN_CM2))
        elif kind.manner == "fricative":
            found.append(("channels", phone, CHANNEL_CM2[0] <= mouth_cm2(movement, middle) <= CHANNEL_CM2[1]))
        if kind.manner == "nasal":
            found.append(("velum", phone, state(velum, middle) >= OPEN_VELUM_CM2))
        elif kind.obstruent:
            found.append(("velum", phone, state(velum, middle) <= SHUT_VELUM_CM2))
    return found


def timing_errors_s(movement: Movement) -> list[float]:
    """How far a closure begins and ends from its label, measured on every state near.

    Of one closure alone, the middle one of those that have no other closure next to them, which would prolong them.
    """
    shut = [(gestures(phone.ipa).manner, start, end) for phone, start, end in closures(movement.spoken.phones)]
    alone = [
        (start, end)
        for place, (manner, start, end) in enumerate(shut)
        if manner != "trill"
        and (place == 0 or start - shut[place - 1][2] > NEAR_S)
        and (place == len(shut) - 1 or shut[place + 1][1] - end > NEAR_S)
    ]
    if not alone:
        return []
    start, end = alone[len(alone) // 2]
    middle = (start + end) / 2
    if mouth_cm2(movement, middle) > CLOSED_CM2:
        return []
    step = 1 / STATE_HZ
    first = last = middle
    while first > start - NEAR_S and mouth_cm2(movement, first - step) <= CLOSED_CM2:
        first -= step
    while last < end + NEAR_S and mouth_cm2(movement, last + step) <= CLOSED_CM2:
        last += step
    return [abs(first - start), abs(last - end)]


def mouth_cm2(movement: Movement, at_s: float) -> float:
    """Smallest area between the pharynx and the lips."""
    return constriction(state(movement.tract, at_s)).area_cm2


def state(values: np.ndarray, at_s: float) -> np.ndarray:
    """State nearest to a time."""
    return values[min(max(0, round(at_s * STATE_HZ)), len(values) - 1)]
