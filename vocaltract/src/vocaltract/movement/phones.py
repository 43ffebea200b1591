"""Every phone by its IPA symbol: manner, place, voicing, aspiration, nasality, rounding and length, read by rule."""

import unicodedata
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType

from vocaltract.errors import VocalTractError

LONG, NASAL, DENTAL, LOWERED, ASPIRATED, BREATHY = "ː", "\u0303", "\u032a", "\u031e", "ʰ", "ʱ"

VOWELS = tuple("i ɪ e e̞ ɛ æ a ɑ ʌ ɔ o o̞ ʊ u y ʏ ø œ ə ɐ ɨ ɤ ɚ ɜ ɿ ʅ".split())
ROUNDED = frozenset("ɔ o o̞ ʊ u y ʏ ø œ".split())
_SHAPE_OF_VOWEL = {"e̞": "e_mid", "o̞": "o_mid"}

# IPA: (manner, places, voiced); an affricate has a closure and a fricative.
_CONSONANTS = {
    "p": ("plosive", ("labial-closure",), False),
    "b": ("plosive", ("labial-closure",), True),
    "t": ("plosive", ("alveolar-closure",), False),
    "d": ("plosive", ("alveolar-closure",), True),
    "t̪": ("plosive", ("dental-closure",), False),
    "d̪": ("plosive", ("dental-closure",), True),
    "ʈ": ("plosive", ("retroflex-closure",), False),
    "ɖ": ("plosive", ("retroflex-closure",), True),
    "c": ("plosive", ("palatal-closure",), False),
    "ɟ": ("plosive", ("palatal-closure",), True),
    "k": ("plosive", ("velar-closure",), False),
    "ɡ": ("plosive", ("velar-closure",), True),
    "q": ("plosive", ("uvular-closure",), False),
    "ʔ": ("glottal", (), False),
    "pf": ("affricate", ("labial-closure", "labiodental-fricative"), False),
    "ts": ("affricate", ("alveolar-closure", "alveolar-fricative"), False),
    "dz": ("affricate", ("alveolar-closure", "alveolar-fricative"), True),
    "tʃ": ("affricate", ("postalveolar-closure", "postalveolar-fricative"), False),
    "dʒ": ("affricate", ("postalveolar-closure", "postalveolar-fricative"), True),
    "tɕ": ("affricate", ("alveolopalatal-closure", "alveolopalatal-fricative"), False),
    "dʑ": ("affricate", ("alveolopalatal-closure", "alveolopalatal-fricative"), True),
    "tʂ": ("affricate", ("retroflex-closure", "retroflex-fricative"), False),
    "dʐ": ("affricate", ("retroflex-closure", "retroflex-fricative"), True),
    "m": ("nasal", ("labial-closure",), True),
    "n": ("nasal", ("alveolar-closure",), True),
    "n̪": ("nasal", ("dental-closure",), True),
    "ɳ": ("nasal", ("retroflex-closure",), True),
    "ɲ": ("nasal", ("palatal-closure",), True),
    "ŋ": ("nasal", ("velar-closure",), True),
    "ɸ": ("fricative", ("labial-fricative",), False),
    "β": ("fricative", ("labial-fricative",), True),
    "f": ("fricative", ("labiodental-fricative",), False),
    "v": ("fricative", ("labiodental-fricative",), True),
    "θ": ("fricative", ("dental-fricative",), False),
    "ð": ("fricative", ("dental-fricative",), True),
    "s": ("fricative", ("alveolar-fricative",), False),
    "z": ("fricative", ("alveolar-fricative",), True),
    "ʃ": ("fricative", ("postalveolar-fricative",), False),
    "ʒ": ("fricative", ("postalveolar-fricative",), True),
    "ɕ": ("fricative", ("alveolopalatal-fricative",), False),
    "ʑ": ("fricative", ("alveolopalatal-fricative",), True),
    "ʂ": ("fricative", ("retroflex-fricative",), False),
    "ʐ": ("fricative", ("retroflex-fricative",), True),
    "ç": ("fricative", ("palatal-fricative",), False),
    "ʝ": ("fricative", ("palatal-fricative",), True),
    "x": ("fricative", ("velar-fricative",), False),
    "ɣ": ("fricative", ("velar-fricative",), True),
    "χ": ("fricative", ("uvular-fricative",), False),
    "ʁ": ("fricative", ("uvular-fricative",), True),
    "h": ("glottal", (), False),
    "ɦ": ("glottal", (), True),
    "β̞": ("approximant", ("labial-fricative",), True),
    "ð̞": ("approximant", ("dental-fricative",), True),
    "ɣ̞": ("approximant", ("velar-approximant",), True),
    "ʋ": ("approximant", ("labiodental-approximant",), True),
    "ɹ": ("approximant", ("alveolar-approximant",), True),
    "ɻ": ("approximant", ("retroflex-approximant",), True),
    "j": ("approximant", ("palatal-approximant",), True),
    "w": ("approximant", ("labiovelar-approximant",), True),
    "ɥ": ("approximant", ("labiopalatal-approximant",), True),
    "l": ("lateral", ("alveolar-lateral",), True),
    "l̪": ("lateral", ("dental-lateral",), True),
    "ɫ": ("lateral", ("alveolar-lateral",), True),
    "ʎ": ("lateral", ("palatal-lateral",), True),
    "ɾ": ("tap", ("alveolar-closure",), True),
    "ɽ": ("tap", ("retroflex-closure",), True),
    "r": ("trill", ("alveolar-trill",), True),
    "ʀ": ("trill", ("uvular-trill",), True),
}
CONSONANTS = tuple(_CONSONANTS)
_WEAKENED = {"β̞": 0.75, "ð̞": 0.85}
_COLOUR = {"ɫ": "ɤ"}


@dataclass(frozen=True)
class Gestures:
    """What the articulators do for one phone.

    Attributes
    ----------
    manner
        ``vowel``, ``plosive``, ``affricate``, ``nasal``, ``fricative``, ``approximant``, ``lateral``, ``tap``,
        ``trill`` or ``glottal``.
    places
        Names of ``speakers.Shapes``: of a vowel one quality, or two of a diphthong; of a consonant one constriction,
        or the closure and the fricative of an affricate; none of a glottal consonant.
    aspiration
        ``""``, ``"aspirated"`` or ``"breathy"``.
    strength
        How far from the vowel towards the constriction: below 1 for approximants that are weakened fricatives.
    colour
        Vowel quality that the tongue body takes on under the consonant (velarisation), or ``""``.
    """

    ipa: str
    manner: str
    places: tuple[str, ...]
    voiced: bool = True
    aspiration: str = ""
    nasal: bool = False
    rounded: bool = False
    long: bool = False
    strength: float = 1.0
    colour: str = ""

    @property
    def vowel(self) -> bool:
        """Whether it is a vowel or a diphthong."""
        return self.manner == "vowel"

    @property
    def closed(self) -> bool:
        """Whether the mouth is shut during a part of it."""
        return self.manner in ("plosive", "affricate", "nasal", "tap", "trill")

    @property
    def obstruent(self) -> bool:
        """Whether it needs a shut velum to build up pressure."""
        return self.manner in ("plosive", "affricate", "fricative")


def parse(ipa: str) -> Gestures:
    """Read one IPA symbol with its diacritics.

    Raises
    ------
    VocalTractError
        If the symbol is none of a vowel, two vowels (a diphthong) or a consonant, with length, nasality or aspiration.
    """
    symbol = unicodedata.normalize("NFD", ipa).replace("c\u0327", "ç").replace("g", "ɡ")
    long = symbol.endswith(LONG)
    symbol = symbol.removesuffix(LONG)
    consonant = _consonant(symbol)
    if consonant is not None:
        return replace(consonant, ipa=ipa, long=long)
    qualities = _qualities(symbol.replace(NASAL, ""))
    if not qualities:
        raise VocalTractError(
            f"the phone {ipa!r} is none of movement.phones: no vowel, diphthong or consonant of the table"
        )
    shapes = tuple(_SHAPE_OF_VOWEL.get(quality, quality) for quality in qualities)
    rounded = any(quality in ROUNDED for quality in qualities)
    return Gestures(ipa, "vowel", shapes, nasal=NASAL in symbol, rounded=rounded, long=long)


def _consonant(symbol: str) -> Gestures | None:
    aspiration = {ASPIRATED: "aspirated", BREATHY: "breathy"}.get(symbol[-1:], "")
    bare = symbol.rstrip(ASPIRATED + BREATHY)
    if bare not in _CONSONANTS:
        return None
    manner, places, voiced = _CONSONANTS[bare]
    if aspiration and manner not in ("plosive", "affricate"):
        return None
    return Gestures(
        symbol,
        manner,
        places,
        voiced,
        aspiration,
        nasal=manner == "nasal",
        rounded=bare in "wɥ",
        strength=_WEAKENED.get(bare, 1.0),
        colour=_COLOUR.get(bare, ""),
    )


def _qualities(symbol: str) -> tuple[str, ...]:
    """Split a symbol into one or two vowels of ``VOWELS``, or into nothing where that cannot be."""
    if symbol in VOWELS:
        return (symbol,)
    for first in VOWELS:
        if symbol.startswith(first) and symbol[len(first) :] in VOWELS:
            return first, symbol[len(first) :]
    return ()


def _table() -> dict[str, Gestures]:
    plosives = [symbol for symbol, (manner, _, _) in _CONSONANTS.items() if manner in ("plosive", "affricate")]
    consonants = [*CONSONANTS, *(symbol + ASPIRATED for symbol in plosives), *(symbol + BREATHY for symbol in plosives)]
    diphthongs = [first + second for first in VOWELS for second in VOWELS if first != second]
    vowels = [*VOWELS, *(vowel[0] + NASAL + vowel[1:] for vowel in VOWELS), *diphthongs]
    vowels += [first + NASAL + second + NASAL for first in VOWELS for second in VOWELS if first != second]
    symbols = [*vowels, *consonants, *(symbol + LONG for symbol in (*vowels, *consonants))]
    table = {}
    for symbol in symbols:
        for form in {unicodedata.normalize("NFC", symbol), unicodedata.normalize("NFD", symbol), symbol}:
            table[form] = parse(form)
    table["g"] = table["ɡ"]
    return table


PHONES = MappingProxyType(_table())
"""Every symbol that can be moved; composed and decomposed forms of the same symbol are both there."""


@cache
def gestures(ipa: str) -> Gestures:
    """As ``PHONES[ipa]``, but also for combinations of diacritics that the table lacks; errors as of :func:`parse`."""
    return PHONES[ipa] if ipa in PHONES else parse(ipa)
