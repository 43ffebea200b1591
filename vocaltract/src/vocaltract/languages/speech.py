"""Text to phones with times in the languages of espeak-ng."""

import re
import unicodedata
from dataclasses import replace

from vocaltract.errors import VocalTractError
from vocaltract.languages import allophones, durations, espeak, syllables, symbols
from vocaltract.languages.rules.common import LONG_FACTOR
from vocaltract.languages.sounds import LONG, Sound, is_vowel
from vocaltract.spoken import Spoken

WORD = r"[^\W\d_][^\s.,;:!?।]*"
VOICELESS, VOICED = "ptkʈcqʔ", "bdɡɖɟ"
LONGEST_CLOSURE_S, LONGEST_VOICED_CLOSURE_S = 0.06, 0.035
"""Of stops after a pause, where closure and pause are one silence; espeak's own elsewhere."""
PAUSE_FACTOR = 1.8
"""espeak's pauses at commas are 0.12 s at these rates; readers' are 0.2 s and more (Campione, Veronis 2002)."""
GEMINATE_CLOSURE_S = 0.1
"""Silence before a stop from which on espeak has made it long itself."""
VOWEL_SHARE = 0.6
"""Of a vowel's part in the time of a symbol that stands for a vowel and a consonant."""


def say(text: str, language: str) -> Spoken:
    """Phones of a text by espeak-ng.

    Parameters
    ----------
    text
        One sentence, in the language's orthography.
    language
        One that has a table in ``tables/``.

    Raises
    ------
    VocalTractError
        If espeak-ng has a symbol that the table lacks (names symbol, word and language), or says nothing.
    """
    table = symbols.load(language)
    spelling = re.sub(WORD, lambda word: table.respelled.get(word[0], word[0]), unicodedata.normalize("NFC", text))
    sounds = _sounds(espeak.events(spelling, table.voice, table.rate_wpm), table, spelling)
    if not sounds:
        raise VocalTractError(f"no phones in {text!r} ({language})")
    for rule in allophones.BEFORE_SYLLABLES.get(language, ()):
        rule(sounds)
    syllables.number(sounds, table.onsets, table.never_onsets)
    for rule in allophones.AFTER_SYLLABLES.get(language, ()):
        rule(sounds)
    return Spoken(text, language, durations.phones(sounds), question="?" in text)


def _sounds(events: tuple[espeak.Event, ...], table: symbols.Table, text: str) -> list[Sound]:
    """Events as phones: closures given to their stops, pauses as gaps, symbols in IPA."""
    words = re.findall(r"\S+", text)
    sounds: list[Sound] = []
    gap = 0.0
    for index, event in enumerate(events):
        duration = event.end_s - event.start_s
        if event.symbol in ("_", "_:", "_::", "_;_", "_^_"):
            gap += PAUSE_FACTOR * duration
            continue
        ipa = table.ipa(event.symbol, words[min(event.word, len(words) - 1)])
        if not ipa:
            if sounds and not gap:
                sounds[-1].duration_s += duration
            continue
        if event.symbol == "_!":
            after = events[min(index + 1, len(events) - 1)]
            event = replace(event, word=after.word)
            if not is_vowel((table.symbols.get(after.symbol) or "ʔ")[0]):
                continue  # German only: a break before a consonant is no glottal stop
        closure = _closure(ipa[0], event, sounds, gap)
        if closure and sounds and not gap:
            sounds[-1].duration_s -= closure
        gap = max(gap - closure, 0.0)
        sounds += _split(ipa, event, duration + closure, gap if sounds else 0.0, closure)
        gap = 0.0
    return sounds


def _closure(ipa: str, event: espeak.Event, sounds: list[Sound], gap: float) -> float:
    """Silence before the event that is the stop's own, in seconds."""
    if ipa[0] not in VOICELESS + VOICED:
        return 0.0
    if sounds and not gap:
        return event.silent_s
    return min(event.silent_s, LONGEST_CLOSURE_S if ipa[0] in VOICELESS else LONGEST_VOICED_CLOSURE_S)


def _split(ipa: tuple[str, ...], event: espeak.Event, duration_s: float, gap_s: float, closure_s: float) -> list[Sound]:
    """One symbol's phones: stress on the vowel, time by ``VOWEL_SHARE``, length on the last."""
    weights = [VOWEL_SHARE if is_vowel(phone) else 1 - VOWEL_SHARE for phone in ipa]
    parts = []
    for phone, weight in zip(ipa, weights, strict=True):
        stress = event.stress if is_vowel(phone) and not any(part.stress for part in parts) else 0
        parts.append(Sound(phone, duration_s * weight / sum(weights), stress=stress, word=event.word))
    parts[0].gap_s = gap_s
    last = parts[-1]
    if event.long and not last.is_long:
        if not last.is_vowel and closure_s < GEMINATE_CLOSURE_S:
            last.duration_s *= LONG_FACTOR
        last.ipa += LONG
    return parts
