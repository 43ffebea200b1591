"""Languages: texts, phones, inventories."""

import numpy as np

from vocaltract.errors import VocalTractError
from vocaltract.languages import mandarin, speech
from vocaltract.languages.texts import Sentence, texts
from vocaltract.spoken import Spoken

LANGUAGES = ("en", "it", "de", "es", "nl", "zh", "fi", "hi")
"""ISO 639-1; see ``docs/virtual_corpus.md`` on why these."""


def speak(text: str, language: str) -> Spoken:
    """Phones of a text with their times, the first at 0 s.

    Parameters
    ----------
    text
        One sentence: orthography; pinyin with tone numbers in Mandarin (``Sentence.spoken``).
    language
        One of ``LANGUAGES``.

    Raises
    ------
    VocalTractError
        For an unknown language, syllable or symbol; the message names it.
    """
    if language not in LANGUAGES:
        raise VocalTractError(f"language {language!r} is none of {', '.join(LANGUAGES)}")
    return mandarin.say(text) if language == "zh" else speech.say(text, language)


def reordered(random: np.random.Generator, seconds: float) -> Spoken:
    """Known phones in orders that no language has; see ``reordering.reordered``."""
    from vocaltract.languages import reordering  # it speaks every language's texts, so it needs this module first

    return reordering.reordered(random, seconds)


__all__ = ["LANGUAGES", "Sentence", "reordered", "speak", "texts"]
