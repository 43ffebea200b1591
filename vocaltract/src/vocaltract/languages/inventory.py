"""Which phones each language has, how far languages share them, and whether the texts hold them all."""

import functools
import tomllib
import unicodedata
from collections import Counter
from dataclasses import dataclass

from vocaltract.errors import VocalTractError
from vocaltract.languages import LANGUAGES, speak
from vocaltract.languages.symbols import FOLDER
from vocaltract.languages.texts import texts
from vocaltract.spoken import Spoken


@dataclass(frozen=True)
class Inventory:
    """A language's phones, as narrow as they are emitted.

    Attributes
    ----------
    consonants, vowels
        Those that belong to the language, diphthongs among the vowels.
    marginal
        Those of loans, and rare allophones; not counted in overlap and coverage.
    """

    language: str
    consonants: tuple[str, ...]
    vowels: tuple[str, ...]
    marginal: tuple[str, ...]

    @property
    def phones(self) -> frozenset[str]:
        """Consonants and vowels."""
        return frozenset(self.consonants + self.vowels)


@functools.cache
def inventory(language: str) -> Inventory:
    """Read a language's inventory from its table.

    Raises
    ------
    VocalTractError
        If there is no such language.
    """
    if language not in LANGUAGES:
        raise VocalTractError(f"language {language!r} is none of {', '.join(LANGUAGES)}")
    path = FOLDER / f"{language}.toml"
    rows = tomllib.loads(unicodedata.normalize("NFC", path.read_text(encoding="utf-8")))["inventory"]
    return Inventory(language, *(tuple(rows[name].split()) for name in ("consonants", "vowels", "marginal")))


@functools.cache
def spoken_texts(language: str) -> tuple[Spoken, ...]:
    """Speak all sentences of a language; 0.3 s of processor time."""
    return tuple(speak(sentence.spoken, language) for sentence in texts(language))


def counts(language: str) -> Counter[str]:
    """Count every phone in a language's texts."""
    return Counter(phone.ipa for spoken in spoken_texts(language) for phone in spoken.phones)


def jaccard(first: str, second: str) -> float:
    """Shared phones of two languages over all phones of the two (Jaccard 1901), 0 to 1."""
    a, b = inventory(first).phones, inventory(second).phones
    return len(a & b) / len(a | b)


def inventories() -> list[dict[str, str | int]]:
    """Rows of the inventories' table, one a language."""
    return [
        {
            "language": language,
            "consonants": len(inventory(language).consonants),
            "vowels": len(inventory(language).vowels),
            "of the consonants": " ".join(inventory(language).consonants),
            "of the vowels": " ".join(inventory(language).vowels),
        }
        for language in LANGUAGES
    ]


def overlaps() -> list[dict[str, str | float]]:
    """Rows of the overlap table: Jaccard index of every pair of languages, rounded to two digits."""
    return [
        {"language": first} | {second: round(jaccard(first, second), 2) for second in LANGUAGES} for first in LANGUAGES
    ]


def coverage(least: int = 3) -> list[dict[str, str | int]]:
    """Rows of the coverage table.

    Parameters
    ----------
    least
        How often every phone of the inventory should be in the texts.

    Returns
    -------
    list of dict
        Language, sentences, phones spoken, how many of the inventory are there ``least`` times, which are rarer.
    """
    rows: list[dict[str, str | int]] = []
    for language in LANGUAGES:
        found, phones = counts(language), inventory(language).phones
        rare = sorted(phone for phone in phones if found[phone] < least)
        rows.append(
            {
                "language": language,
                "sentences": len(spoken_texts(language)),
                "phones spoken": sum(found.values()),
                "inventory": len(phones),
                f"at least {least} times": len(phones) - len(rare),
                "rarer": " ".join(f"{phone} {found[phone]}" for phone in rare),
            }
        )
    return rows
