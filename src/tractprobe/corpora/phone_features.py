"""Articulatory features of phones in IPA: what the letters and diacritics of the 2020 chart say, and nothing more.

=============  ====================================================  =============================================
category       values                                                of
=============  ====================================================  =============================================
``manner``     stop, nasal, affricate, fricative, tap, trill,        every phone
               approximant, lateral, click, vowel
``voicing``    voiced, voiceless                                     every phone
``place``      bilabial, labiodental, dental, alveolar,              consonants
               postalveolar, retroflex, alveolopalatal, palatal,
               labiovelar, velar, uvular, pharyngeal, glottal
``height``     close, mid, open                                      vowels; near-close counts as close, near-open as
                                                                     open, close-mid and open-mid as mid
``backness``   front, central, back                                  vowels
``rounding``   rounded, unrounded                                    vowels
=============  ====================================================  =============================================

A category of a phone is undefined where the phone does not have it (the height of a stop), and where its letters
differ: a diphthong such as ``ai`` has no one height, ``ɔɹ`` has no one manner. A stop and a fricative of one phone make
an affricate with the place of the fricative; ``kp`` and ``ɡb`` are labiovelar. The place of ``t`` is alveolar, as its
letter says, in languages where it is dental, too, unless it is written ``t̪``.

Source: International Phonetic Association, chart of 2020.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType

from tractprobe.corpora.ipa import SILENCE, UNKNOWN

CATEGORIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "manner": (
            *("stop", "nasal", "affricate", "fricative", "tap", "trill", "approximant", "lateral", "click", "vowel"),
        ),
        "voicing": ("voiced", "voiceless"),
        "place": (
            *("bilabial", "labiodental", "dental", "alveolar", "postalveolar", "retroflex", "alveolopalatal"),
            *("palatal", "labiovelar", "velar", "uvular", "pharyngeal", "glottal"),
        ),
        "height": ("close", "mid", "open"),
        "backness": ("front", "central", "back"),
        "rounding": ("rounded", "unrounded"),
    }
)
"""Each category of features to its values."""

# Manner and voicing to letters in the order of places; a dot stands for no letter.
_PLACES = (
    *("bilabial", "labiodental", "dental", "alveolar", "postalveolar", "retroflex", "alveolopalatal"),
    *("palatal", "velar", "uvular", "pharyngeal", "glottal"),
)
_CONSONANTS = """
    stop         voiceless  p . . t . ʈ . c k q ʡ ʔ
    stop         voiced     b . . d . ɖ . ɟ ɡ ɢ . .
    stop         voiced     ɓ . . ɗ . . . ʄ ɠ ʛ . .
    nasal        voiced     m ɱ . n . ɳ . ɲ ŋ ɴ . .
    trill        voiced     ʙ . . r . . . . . ʀ ʢ .
    trill        voiceless  . . . . . . . . . . ʜ .
    tap          voiced     . ⱱ . ɾ . ɽ . . . . . .
    tap          voiced     . . . ɺ . . . . . . . .
    fricative    voiceless  ɸ f θ s ʃ ʂ ɕ ç x χ ħ h
    fricative    voiced     β v ð z ʒ ʐ ʑ ʝ ɣ ʁ ʕ ɦ
    fricative    voiceless  . . . ɬ ɧ . . . . . . .
    fricative    voiced     . . . ɮ . . . . . . . .
    approximant  voiced     . ʋ . ɹ . ɻ . j ɰ . . .
    lateral      voiced     . . . l . ɭ . ʎ ʟ . . .
    lateral      voiced     . . . ɫ . . . . . . . .
    click        voiceless  ʘ . ǀ ǃ ǂ . . . . . . .
    click        voiceless  . . . ǁ . . . . . . . .
"""
_VOWELS = """
    close  front    unrounded  i ɪ
    close  front    rounded    y ʏ
    close  central  unrounded  ɨ
    close  central  rounded    ʉ
    close  back     unrounded  ɯ
    close  back     rounded    u ʊ
    mid    front    unrounded  e ɛ
    mid    front    rounded    ø œ
    mid    central  unrounded  ɘ ə ɜ ɚ ɝ
    mid    central  rounded    ɵ ɞ
    mid    back     unrounded  ɤ ʌ
    mid    back     rounded    o ɔ
    open   front    unrounded  æ a
    open   front    rounded    ɶ
    open   central  unrounded  ɐ
    open   back     unrounded  ɑ
    open   back     rounded    ɒ
"""
_OBSTRUENTS = {"stop", "fricative"}


def _letters() -> dict[str, dict[str, str]]:
    features: dict[str, dict[str, str]] = {}
    for line in _CONSONANTS.strip().splitlines():
        manner, voicing, *row = line.split()
        for place, letter in zip(_PLACES, row, strict=True):
            features[letter] = {"manner": manner, "voicing": voicing, "place": place}
    for line in _VOWELS.strip().splitlines():
        height, backness, rounding, *row = line.split()
        for letter in row:
            vowel = {"manner": "vowel", "voicing": "voiced", "height": height}
            features[letter] = {**vowel, "backness": backness, "rounding": rounding}
    labiovelar = {"manner": "approximant", "place": "labiovelar"}
    features["w"] = {**labiovelar, "voicing": "voiced"}
    features["ʍ"] = {**labiovelar, "voicing": "voiceless"}
    features["ɥ"] = {"manner": "approximant", "voicing": "voiced", "place": "palatal"}
    del features["."]
    return features


_LETTERS = _letters()
_CHANGES = {  # diacritics after a letter to the feature that they change; ç is decomposed
    **dict.fromkeys("\u0325\u030a", ("voicing", "voiceless")),
    **dict.fromkeys("\u032c\u0324\u0330", ("voicing", "voiced")),
    "\u032a": ("place", "dental"),
    "\u033c": ("place", "labiodental"),
}
_LOWERED = "\u031e"  # makes an approximant of a fricative, as in ð̞


@lru_cache(maxsize=4096)
def phone_features(ipa: str) -> Mapping[str, str]:
    """Return the value of each category that a phone has; none for silence and what is unknown.

    >>> dict(phone_features("b"))
    {'manner': 'stop', 'voicing': 'voiced', 'place': 'bilabial'}
    >>> phone_features("tʃ")["manner"], phone_features("tʃ")["place"], "height" in phone_features("ai")
    ('affricate', 'postalveolar', False)
    """
    if ipa in (SILENCE, UNKNOWN):
        return MappingProxyType({})
    each = _of_letters(ipa)
    if not each:
        return MappingProxyType({})
    manners = [features["manner"] for features in each]
    found = _agreed(each)
    if len(each) == 2 and manners == ["stop", "fricative"]:
        found |= {"manner": "affricate", "place": each[1]["place"]}
    if len(each) == 2 and {features.get("place") for features in each} == {"velar", "bilabial"}:
        found["place"] = "labiovelar"
    return MappingProxyType(found)


def values_of(phones: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the values of each category that occur among some phones, in the order of ``CATEGORIES``.

    >>> values_of(["a", "m", "p"])["voicing"]
    ('voiced', 'voiceless')
    """
    each = [phone_features(phone) for phone in phones]
    occurring = {category: {features.get(category) for features in each} for category in CATEGORIES}
    return {
        category: tuple(value for value in values if value in occurring[category])
        for category, values in CATEGORIES.items()
    }


def _of_letters(ipa: str) -> list[dict[str, str]]:
    """Return the features of each letter with its diacritics; a letter that has none, as of no chart, is left out."""
    each: list[dict[str, str]] = []
    for sign in unicodedata.normalize("NFD", ipa.replace("ç", "\ue000")):
        letter = "ç" if sign == "\ue000" else sign
        if letter in _LETTERS:
            each.append(dict(_LETTERS[letter]))
        elif each and sign in _CHANGES:
            category, value = _CHANGES[sign]
            if category in each[-1]:
                each[-1][category] = value
        elif each and sign == _LOWERED and each[-1]["manner"] == "fricative":
            each[-1]["manner"] = "approximant"
    return each


def _agreed(each: list[dict[str, str]]) -> dict[str, str]:
    """Return the categories of which all letters say the same."""
    first = each[0]
    return {
        category: value
        for category, value in first.items()
        if all(features.get(category) == value for features in each)
    }
