"""Phones on their way from espeak's symbols to ``Spoken``: still to be changed."""

import unicodedata
from dataclasses import dataclass

VOWELS = frozenset("iɪeɛæaɑʌɔoʊuyʏøœəɐɨɤɚɜɿʅ")
VOICELESS_STOPS = frozenset({"p", "t", "k", "t̪", "ʈ", "c", "q"})
OBSTRUENT_PAIRS = {
    "b": "p",
    "d": "t",
    "ɡ": "k",
    "v": "f",
    "z": "s",
    "ʒ": "ʃ",
    "ɣ": "x",
    "dʒ": "tʃ",
    "dz": "ts",
    "ð": "θ",
}
"""Voiced obstruents and their voiceless partners."""
LONG = "ː"


@dataclass
class Sound:
    """One phone; ``gap_s`` is the pause before it; a vowel that is not ``syllabic`` has no syllable of its own."""

    ipa: str
    duration_s: float
    gap_s: float = 0.0
    stress: int = 0
    word: int = 0
    syllable: int = 0
    tone: int | None = None
    syllabic: bool = True

    @property
    def is_vowel(self) -> bool:
        return is_vowel(self.ipa)

    @property
    def is_long(self) -> bool:
        return self.ipa.endswith(LONG)

    @property
    def short(self) -> str:
        """The symbol without its length mark."""
        return self.ipa.removesuffix(LONG)


def is_vowel(ipa: str) -> bool:
    """Whether a symbol is a vowel or diphthong, oral or nasal."""
    return unicodedata.normalize("NFD", ipa)[0] in VOWELS


def following(sounds: list[Sound], index: int, in_word: bool = True) -> Sound | None:
    """Return the next phone, if no pause (and, with ``in_word``, no end of word) comes before it."""
    if index + 1 >= len(sounds):
        return None
    sound = sounds[index + 1]
    return None if sound.gap_s > 0 or (in_word and sound.word != sounds[index].word) else sound


def preceding(sounds: list[Sound], index: int, in_word: bool = True) -> Sound | None:
    """Return the phone before, if no pause (and, with ``in_word``, no start of word) lies between."""
    if index == 0 or sounds[index].gap_s > 0:
        return None
    sound = sounds[index - 1]
    return None if in_word and sound.word != sounds[index].word else sound
