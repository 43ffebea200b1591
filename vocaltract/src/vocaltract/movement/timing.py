"""When phones are said: rate of speech, pauses and silences around a sentence."""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from vocaltract.manner import Manner
from vocaltract.movement.phones import gestures
from vocaltract.spoken import Phone, Spoken

SHORTEST_S = 0.03
"""Of a phone: the tip needs about that long to touch and let go (25 ms of contact: Recasens and Espinosa 2007)."""
_CONSONANT_SHARE = 0.75
"""Exponent of the rate in consonants: they give way less than vowels (Gay 1981)."""


def silences_s(seed: int) -> tuple[float, float]:
    """Lead and trailing silence, seconds, which vary with the seed."""
    generator = np.random.default_rng([seed, 0x51E9CE])
    return float(generator.uniform(0.12, 0.28)), float(generator.uniform(0.15, 0.3))


def timed(spoken: Spoken, manner: Manner, lead_s: float) -> Spoken:
    """Give phones the times at which they are said.

    Consonants are scaled by ``rate ** -0.75`` and vowels by whatever makes the whole 1 / ``rate`` as long; pauses by
    ``manner.pauses / rate``. No phone is made shorter than ``SHORTEST_S``.

    Returns
    -------
    The sentence with times from the first state on: the first phone starts at ``lead_s``.
    """
    durations = np.array([phone.end_s - phone.start_s for phone in spoken.phones])
    vowels = np.array([gestures(phone.ipa).vowel for phone in spoken.phones], bool)
    ends = np.array([0.0, *(phone.end_s for phone in spoken.phones)][:-1])
    gaps = np.array([phone.start_s for phone in spoken.phones]) - ends
    durations = _at_rate(durations, vowels, manner.rate)
    gaps[1:] *= manner.pauses / manner.rate
    phones, now = [], lead_s
    for k, phone in enumerate(spoken.phones):
        now += max(gaps[k], 0.0) if k else 0.0
        phones.append(replace(phone, start_s=now, end_s=now + durations[k]))
        now += durations[k]
    return replace(spoken, phones=tuple(phones))


def _at_rate(durations: np.ndarray, vowels: np.ndarray, rate: float) -> np.ndarray:
    consonants_total, vowels_total = durations[~vowels].sum(), durations[vowels].sum()
    consonant_scale = rate**-_CONSONANT_SHARE if vowels_total else 1.0 / rate
    total = (consonants_total + vowels_total) / rate
    vowel_scale = max((total - consonant_scale * consonants_total) / vowels_total, 0.4 / rate) if vowels_total else 1.0
    return np.maximum(durations * np.where(vowels, vowel_scale, consonant_scale), SHORTEST_S)


def phrases(phones: tuple[Phone, ...], gap_s: float = 0.06) -> list[tuple[int, int]]:
    """Stretches of phones between pauses of at least ``gap_s``, as (first, one past last)."""
    breaks = [k for k in range(1, len(phones)) if phones[k].start_s - phones[k - 1].end_s >= gap_s]
    edges = [0, *breaks, len(phones)]
    return list(pairwise(edges)) if phones else []
