"""The F0 tier: declination, accents, phrase ends and lexical tones, as target lines per syllable.

Parallel encoding and target approximation (Xu 2005; Prom-on, Xu and Thipakorn 2009): each syllable has one line, in
semitones re the speaker's base, that F0 approaches from the syllable's start to its end as a third-order system.
"""

import numpy as np

from vocaltract.movement.phones import gestures
from vocaltract.movement.timing import phrases
from vocaltract.movement.trajectories import FAR_S, Target, approximate
from vocaltract.spoken import Phone, Spoken

ORDER = 3
TAU_S = 0.022
"""Prom-on et al. fit rates of 40 to 60 per second to the full tones."""
WEAK_TAU_S = 0.035
_ONSET_S = 0.15
"""A line begins at most so long before its rhyme: through a longer onset, a steep one would leave any voice."""
TONES = {1: (3.5, 3.5), 2: (-3.0, 3.0), 3: (-4.5, -5.5), 4: (4.5, -4.5), 5: (-1.0, -1.5)}
"""Start and end of the target line in semitones: Chao's 55, 35, 21(4), 51 and the neutral tone, with a range of ten."""
DECLINATION = -1.0
"""Semitones per second, at most ``_FALL`` in all; each phrase starts anew (Maeda 1976; 't Hart 1990)."""
_FALL = -3.5
ACCENTS = {0: 0.0, 1: 1.2, 2: 3.0}
"""Semitones of unstressed, secondarily and primarily stressed syllables."""
_RISING = frozenset({"hi"})
_COLUMN = np.array([0])


def f0_hz(spoken: Spoken, base_hz: float, movement: float, times_s: np.ndarray) -> np.ndarray:
    """F0 of a sentence.

    Parameters
    ----------
    spoken
        With its final times.
    base_hz
        Speaker's base.
    movement
        Scale of all excursions: 0 for a monotone.
    times_s
        (state,).

    Returns
    -------
    (state,) Hz.
    """
    targets = [Target(-FAR_S, FAR_S, _COLUMN, np.zeros(1), TAU_S)]
    found = phrases(spoken.phones)
    for number, (first, last) in enumerate(found):
        targets += _phrase(spoken, spoken.phones[first:last], final=number == len(found) - 1)
    semitones = approximate(targets, np.zeros(1), times_s, ORDER)[:, 0]
    return base_hz * 2.0 ** (movement * semitones / 12.0)


def _phrase(spoken: Spoken, phones: tuple[Phone, ...], final: bool) -> list[Target]:
    syllables = _syllables(phones)
    tonal = any(phone.tone is not None for phone in phones)
    lines = _tones(syllables) if tonal else _accents(syllables, spoken, final)
    start_s = phones[0].start_s
    targets = []
    for syllable, (low, high) in zip(syllables, lines, strict=True):
        end, rhyme = syllable[-1].end_s, _rhyme_s(syllable)
        start = max(syllable[0].start_s, rhyme - _ONSET_S)
        slope = (high - low) / max(end - rhyme, 0.05)
        tilt = max(DECLINATION * (rhyme - start_s), _FALL) * (0.6 if tonal else 1.0) + 0.5 + _segmental(syllable)
        value = np.array([low + tilt - slope * (rhyme - start)])
        tau = WEAK_TAU_S if any(phone.tone == 5 for phone in syllable) else TAU_S
        targets.append(
            Target(start, end if syllable is not syllables[-1] else end + 0.05, _COLUMN, value, tau, np.array([slope]))
        )
    if tonal and final and spoken.question:
        targets[-1] = _raised(targets[-1], 2.5)
    return targets


def _raised(target: Target, semitones: float) -> Target:
    return Target(target.start_s, target.end_s, target.columns, target.values + semitones, target.tau_s, target.slopes)


def _syllables(phones: tuple[Phone, ...]) -> list[tuple[Phone, ...]]:
    groups: dict[tuple[int, int], list[Phone]] = {}
    for phone in phones:
        groups.setdefault((phone.word, phone.syllable), []).append(phone)
    return [tuple(group) for group in groups.values()]


def _rhyme_s(syllable: tuple[Phone, ...]) -> float:
    return next((phone.start_s for phone in syllable if gestures(phone.ipa).vowel), syllable[0].start_s)


def _segmental(syllable: tuple[Phone, ...]) -> float:
    """Small effects of the sounds themselves: voiceless onsets and close vowels raise F0 (Hombert 1978)."""
    onset = gestures(syllable[0].ipa)
    raised = 0.0 if not onset.obstruent else -0.2 if onset.voiced else 0.4
    close = any(gestures(phone.ipa).places[:1] in (("i",), ("u",), ("y",)) for phone in syllable)
    return raised + 0.3 * close


def _tones(syllables: list[tuple[Phone, ...]]) -> list[tuple[float, float]]:
    lines: list[tuple[float, float]] = []
    before = None
    for syllable in syllables:
        tone = next((phone.tone for phone in syllable if phone.tone is not None), 5)
        low, high = TONES[tone]
        if tone == 5 and before == 3:
            low, high = 1.0, 0.0
        lines.append((low, high))
        before = tone
    return lines


def _accents(syllables: list[tuple[Phone, ...]], spoken: Spoken, final: bool) -> list[tuple[float, float]]:
    stresses = [max(phone.stress for phone in syllable) for syllable in syllables]
    nucleus = max((k for k, stress in enumerate(stresses) if stress == max(stresses)), default=0)
    lines = []
    for k, stress in enumerate(stresses):
        height = ACCENTS[min(stress, 2)]
        lines.append(
            (height - 1.5, height + 1.0) if spoken.language in _RISING and stress else (height + 0.5, height - 0.5)
        )
        if k >= nucleus:
            lines[-1] = _ending(k, nucleus, len(stresses), height, final, spoken.question)
    return lines


def _ending(k: int, nucleus: int, count: int, height: float, final: bool, question: bool) -> tuple[float, float]:
    """Target of a syllable from the nucleus of a phrase on: fall, continuation or the rise of a question."""
    last = k == count - 1
    if final and question:
        low, high = -1.0, 5.5
        share = (k - nucleus) / max(count - nucleus, 1), (k + 1 - nucleus) / max(count - nucleus, 1)
        return low + share[0] * (high - low), low + share[1] * (high - low)
    if not final:
        return (height, height + 1.5) if last else (height, height)
    if k == nucleus:
        return (height + 1.0, height - (4.5 if last else 2.0))
    return -3.0, -4.0
