"""What is said: phones with their times, between text and movement."""

from dataclasses import dataclass

_WRITTEN = {"ɿ": "ɹ̩", "ʅ": "ɻ̩"}
"""Sinologists' symbols for the apical vowels, which are not IPA, and what files have instead."""


def written(ipa: str) -> str:
    """Spell a phone as files do, in IPA."""
    for here, there in _WRITTEN.items():
        ipa = ipa.replace(here, there)
    return ipa


def read(ipa: str) -> str:
    """Undo ``written``."""
    for here, there in _WRITTEN.items():
        ipa = ipa.replace(there, here)
    return ipa


@dataclass(frozen=True)
class Phone:
    """One phone.

    Attributes
    ----------
    ipa
        In IPA, such as ``"tʰ"``, ``"aɪ"``, ``"iː"``; one of ``movement.phones.PHONES``.
    start_s, end_s
        From the start of the first phone; gaps between phones are pauses.
    stress
        0 for none, 1 for secondary, 2 for primary stress, on the vowel of the syllable.
    tone
        1 to 5 in Mandarin (5 is neutral), on the vowel of the syllable; ``None`` elsewhere.
    word, syllable
        Counted from 0 through the sentence.
    """

    ipa: str
    start_s: float
    end_s: float
    stress: int = 0
    tone: int | None = None
    word: int = 0
    syllable: int = 0


@dataclass(frozen=True)
class Spoken:
    """A sentence, or a stretch of babble, as phones.

    Attributes
    ----------
    language
        ISO 639-1; ``"zxx"`` (ISO 639-2: no linguistic content) for babble.
    question
        Whether its pitch rises at the end.
    """

    text: str
    language: str
    phones: tuple[Phone, ...]
    question: bool = False
