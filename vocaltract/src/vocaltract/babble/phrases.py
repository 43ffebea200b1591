"""What speech and babble share: phrases and pauses, pitch, lung pressure, and the way from target to target."""

import numpy as np

from vocaltract.babble.walk import Knot, edges_s
from vocaltract.manner import Manner
from vocaltract.movement.contact import ORDER as TRACT_ORDER
from vocaltract.movement.glottis import GLOTTIS_TAU_S, PRESSURE_TAU_S
from vocaltract.movement.glottis import LIMITS as GLOTTIS_LIMITS
from vocaltract.movement.glottis import ORDER as GLOTTAL_ORDER
from vocaltract.movement.pitch import ORDER as F0_ORDER
from vocaltract.movement.pitch import TAU_S as F0_TAU_S
from vocaltract.movement.score import rest
from vocaltract.movement.timing import silences_s
from vocaltract.movement.trajectories import FAR_S, Target, approximate
from vocaltract.speakers import Speaker
from vocaltract.states import GLOTTIS, TRACT

PHRASE_S, PAUSE_S = (1.6, 3.2), (0.2, 0.4)
SYLLABLE_S = 0.18
"""Median time from one target of F0 to the next."""
F0_MEAN_ST, F0_SD_ST = 0.5, 2.9
"""Targets of F0 in semitones re the speaker's base; approached, they spread as in the sentences of eight languages."""
PRESSURE_SPREAD = 0.08
F0, PRESSURE = GLOTTIS.index("F0"), GLOTTIS.index("PR")
FOLDS = np.array([k for k in range(len(GLOTTIS)) if k not in (F0, PRESSURE)])
Phrase = tuple[float, float]


def voice_of(speaker: Speaker, manner: Manner) -> str:
    """Voice quality: the speaker's own unless the manner asks for another."""
    return speaker.voice if manner.voice == "modal" else manner.voice


def drawn(seconds: float, random: np.random.Generator, manner: Manner) -> tuple[Phrase, ...]:
    """Draw starts and ends of phrases, with silence around and between them as in speech."""
    lead_s, trail_s = silences_s(int(random.integers(2**31)))
    start, end = lead_s, seconds - trail_s
    phrases = []
    while True:
        length = random.uniform(*PHRASE_S)
        pause = random.uniform(*PAUSE_S) * manner.pauses / manner.rate
        if start + length + pause + PHRASE_S[0] / 2 > end:
            return (*phrases, (start, end))
        phrases.append((start, start + length))
        start += length + pause


def filled(
    speaker: Speaker,
    active: tuple[Phrase, ...],
    knots: list[Knot],
    random: np.random.Generator,
    manner: Manner,
    times_s: np.ndarray,
    tau_s: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Trajectories of tract (state, 19) and glottis (state, 11) through the knots, at rest between the phrases.

    Every parameter of the tract approaches its targets with the time constant ``tau_s``.
    """
    columns = np.arange(len(TRACT))
    targets = [Target(-FAR_S, FAR_S, columns, rest(speaker), tau_s)]
    targets += [Target(knot.start_s, knot.end_s, columns, knot.tract, tau_s) for knot in knots]
    tract = approximate(targets, rest(speaker), times_s, TRACT_ORDER)
    glottis = approximate(_glottal(speaker, active, knots, random, manner), _silent(speaker), times_s, GLOTTAL_ORDER)
    glottis[:, F0] = f0_hz(speaker, active, random, manner, times_s)
    # Targets are within the limits, but an articulator that is still moving when its target changes overshoots.
    return np.clip(tract, *speaker.limits.T), np.clip(glottis, *GLOTTIS_LIMITS.T)


def f0_hz(
    speaker: Speaker, active: tuple[Phrase, ...], random: np.random.Generator, manner: Manner, times_s: np.ndarray
) -> np.ndarray:
    """F0 that approaches random targets, one for each syllable's time: (state,) in Hz."""
    column = np.array([0])
    targets = [Target(-FAR_S, FAR_S, column, np.zeros(1), F0_TAU_S)]
    for start, end in active:
        edges = edges_s(start, end, SYLLABLE_S / manner.rate, random)
        heights = F0_MEAN_ST + F0_SD_ST * random.standard_normal(len(edges) - 1)
        spans = zip(edges[:-1], edges[1:], np.clip(heights, -6.0, 7.0), strict=True)
        targets += [Target(a, b, column, np.array([height]), F0_TAU_S) for a, b, height in spans]
    semitones = approximate(targets, np.zeros(1), times_s, F0_ORDER)[:, 0]
    return speaker.f0_hz * 2.0 ** (manner.f0_movement * semitones / 12.0)


def _glottal(
    speaker: Speaker, active: tuple[Phrase, ...], knots: list[Knot], random: np.random.Generator, manner: Manner
) -> list[Target]:
    base, pressure = speaker.shapes.glottis(voice_of(speaker, manner)), np.array([PRESSURE])
    silent = _silent(speaker)
    targets = [Target(-FAR_S, FAR_S, FOLDS, silent[FOLDS], GLOTTIS_TAU_S)]
    targets.append(Target(-FAR_S, FAR_S, pressure, np.zeros(1), PRESSURE_TAU_S))
    targets.append(Target(-FAR_S, FAR_S, np.array([F0]), np.array([speaker.f0_hz]), F0_TAU_S))  # set by ``f0_hz``
    for start, end in active:
        targets.append(Target(start - 0.08, end - 0.01, FOLDS, base[FOLDS], GLOTTIS_TAU_S))
        edges = edges_s(start - 0.07, end - 0.02, 2 * SYLLABLE_S, random)
        effort = np.exp(PRESSURE_SPREAD * random.standard_normal(len(edges) - 1))
        spans = zip(edges[:-1], edges[1:], base[PRESSURE] * effort, strict=True)
        targets += [Target(a, b, pressure, np.array([value]), PRESSURE_TAU_S) for a, b, value in spans]
    for knot in knots:
        if knot.glottis is not None:
            targets.append(Target(knot.start_s, knot.end_s, FOLDS, knot.glottis[FOLDS], GLOTTIS_TAU_S))
            if knot.glottis[PRESSURE] > 1.1 * base[PRESSURE]:  # voiceless fricatives
                targets.append(Target(knot.start_s, knot.end_s, pressure, knot.glottis[pressure], PRESSURE_TAU_S))
    return targets


def _silent(speaker: Speaker) -> np.ndarray:
    silent = np.array(speaker.shapes.glottis("voiceless-fricative"), dtype=np.float64)
    silent[PRESSURE] = 0.0
    return silent
