"""Babble of known phones in orders that none of the languages has."""

import functools
from itertools import pairwise

import numpy as np

from vocaltract.errors import VocalTractError
from vocaltract.languages import LANGUAGES
from vocaltract.languages.durations import minimum_s
from vocaltract.languages.inventory import inventory, spoken_texts
from vocaltract.languages.rhythm import phrases
from vocaltract.languages.sounds import is_vowel
from vocaltract.spoken import Phone, Spoken

LANGUAGE = "zxx"  # ISO 639-2: no linguistic content
PHRASE_PHONES = (15, 36)
PAUSE_S = (0.15, 0.45)
LONGEST_RUN = 5  # consonants, or vowels, one after another
STRESSED_SHARE = 0.3


@functools.cache
def bigrams() -> frozenset[tuple[str, str]]:
    """All pairs of neighbouring phones in the texts of all languages, across words, not across pauses."""
    found = set()
    for language in LANGUAGES:
        for spoken in spoken_texts(language):
            for phrase in phrases(spoken):
                found |= {(first.ipa, second.ipa) for first, second in pairwise(phrase)}
    return frozenset(found)


@functools.cache
def _durations_s() -> dict[str, tuple[float, ...]]:
    """Every duration of every phone of the inventories, in seconds; in a fixed order."""
    found: dict[str, list[float]] = {}
    for language in LANGUAGES:
        known = inventory(language).phones
        for spoken in spoken_texts(language):
            for phone in spoken.phones:
                if phone.ipa in known:
                    found.setdefault(phone.ipa, []).append(phone.end_s - phone.start_s)
    return {ipa: tuple(found[ipa]) for ipa in sorted(found)}


def reordered(random: np.random.Generator, seconds: float) -> Spoken:
    """Known phones in orders that no language has.

    Phones are drawn uniformly from all inventories together, so that vowels follow vowels and consonants consonants
    as chance has it. No two neighbours are neighbours anywhere in the texts of the eight languages. Durations are
    drawn from those of the same phone in the texts; 30 % of vowels are stressed; phrases of 15 to 35 phones end in
    pauses of 0.15 to 0.45 s.

    Parameters
    ----------
    seconds
        The phones end before this, by less than a phone and a pause.

    Raises
    ------
    VocalTractError
        If ``seconds`` has no room for one phone.
    """
    durations = _durations_s()
    symbols = np.array(list(durations))
    phones: list[Phone] = []
    time, left, phrase, syllable = 0.0, int(random.integers(*PHRASE_PHONES)), 0, 0
    run: list[str] = []
    while True:
        ipa = _next(random, symbols, run)
        if left == 0:
            time, left, phrase, run = (
                time + float(random.uniform(*PAUSE_S)),
                int(random.integers(*PHRASE_PHONES)),
                phrase + 1,
                [],
            )
            continue
        end = round(time + max(float(random.choice(durations[ipa])), minimum_s(ipa)), 4)
        stress = int(random.integers(1, 3)) if is_vowel(ipa) and random.random() < STRESSED_SHARE else 0
        if end > seconds:
            break
        phones.append(Phone(ipa, round(time, 4), end, stress, None, phrase, syllable))
        syllable += is_vowel(ipa)
        time, left = end, left - 1
        run = [*run[-LONGEST_RUN:], ipa]
    if not phones:
        raise VocalTractError(f"{seconds} s has no room for a phone")
    return Spoken("", LANGUAGE, tuple(phones))


def _next(random: np.random.Generator, symbols: np.ndarray, run: list[str]) -> str:
    """Draw a phone that may follow the ones in ``run``."""
    kinds = {is_vowel(ipa) for ipa in run[-LONGEST_RUN:]}
    full = kinds.pop() if len(run) >= LONGEST_RUN and len(kinds) == 1 else None
    while True:
        ipa = str(random.choice(symbols))
        if is_vowel(ipa) is not full and not (run and ((run[-1], ipa) in bigrams() or run[-1] == ipa)):
            return ipa
