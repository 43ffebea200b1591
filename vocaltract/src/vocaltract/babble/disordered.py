"""Kind c: phones of all languages in orders that none of them has."""

from itertools import pairwise

import numpy as np

from vocaltract.babble import near_speech
from vocaltract.manner import Manner
from vocaltract.movement import gestures, move
from vocaltract.speakers import Speaker
from vocaltract.spoken import Phone, Spoken
from vocaltract.states import Movement

NO_LANGUAGE = "zxx"
SILENCE_S = 0.43
"""Before and after, on average."""
CONSONANTS = 2
"""At most, between vowels: speech has about as many."""
PAUSE_EVERY_S, PAUSE_S = 2.4, 0.28


def movement(speaker: Speaker, seconds: float, seed: int, random: np.random.Generator, manner: Manner) -> Movement:
    """Say random phones, each with a length and a stress that it has in some sentence."""
    phones = drawn(speaker, (seconds - SILENCE_S) * manner.rate, random)
    return move(Spoken("", NO_LANGUAGE, phones), speaker, manner, seed)


def drawn(speaker: Speaker, seconds: float, random: np.random.Generator) -> tuple[Phone, ...]:
    """Phones for about ``seconds``, no two of which follow each other in any of the sentences."""
    said = [m.spoken.phones for m in near_speech.speech(speaker.name)]
    pool = [phone for phones in said for phone in phones]
    heard = {(a.ipa, b.ipa) for phones in said for a, b in pairwise(phones)}
    phones: list[Phone] = []
    now = since_pause = 0.0
    while now < seconds:
        phone = pool[random.integers(len(pool))]
        if phones and not _follows(phones, phone, heard):
            continue
        if since_pause > PAUSE_EVERY_S:
            now, since_pause = now + PAUSE_S, 0.0
        length = phone.end_s - phone.start_s
        syllable = len([p for p in phones if gestures(p.ipa).vowel])
        phones.append(Phone(phone.ipa, now, now + length, phone.stress, phone.tone, syllable, 0))
        now, since_pause = now + length, since_pause + length
    return tuple(phones)


def _follows(phones: list[Phone], phone: Phone, heard: set[tuple[str, str]]) -> bool:
    before = [gestures(p.ipa).vowel for p in phones[-CONSONANTS:]]
    vowel = gestures(phone.ipa).vowel
    if (phones[-1].ipa, phone.ipa) in heard or phones[-1].ipa == phone.ipa:
        return False
    return not before[-1] if vowel else any(before)
