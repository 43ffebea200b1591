"""What a phone becomes among its neighbours, where espeak-ng leaves it coarse: one short rule each, and each language's list of rules.

Sources: Illustrations of the IPA (Handbook of the International Phonetic Association, 1999; Journal of the IPA) for American
English (Ladefoged 1999), German (Kohler 1999), Italian (Rogers, d'Arcangeli 2004), Castilian Spanish (Martínez-Celdrán et al. 2003),
Dutch (Gussenhoven 1992), Finnish (Suomi, Toivanen, Ylitalo 2008) and Hindi (Ohala 1994).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from vocaltract.languages.sounds import LONG, OBSTRUENT_PAIRS, VOICELESS_STOPS, Sound, following, preceding

Rule = Callable[[list[Sound]], None]

LONG_FACTOR = 1.7
"""Length of a geminate relative to a single consonant, where espeak does not give it (Esposito, Di Benedetto 1999: 1.6 to 2)."""
NASALS = frozenset({"m", "n", "ŋ", "ɲ", "n̪"})
VOICED_CONSONANTS = frozenset("b d̪ d ɡ β̞ ð̞ ɣ̞ m n ɲ l ʎ r ɾ ʝ v z ɣ".split())


def aspiration(sounds: list[Sound]) -> None:
    """Voiceless stops that begin a word or a stressed syllable are aspirated, not after ``s`` or ``ʃ``."""
    stressed = {sound.syllable for sound in sounds if sound.stress}
    for index, sound in enumerate(sounds):
        before = preceding(sounds, index)
        begins = before is None or before.syllable != sound.syllable
        if sound.ipa in VOICELESS_STOPS and begins and (before is None or sound.syllable in stressed):
            sound.ipa += "ʰ"


def dark_l(sounds: list[Sound]) -> None:
    """English ``l`` is velarised unless a vowel or ``j`` follows in the word."""
    for index, sound in enumerate(sounds):
        after = following(sounds, index)
        if sound.ipa == "l" and not (after and (after.is_vowel or after.ipa == "j")):
            sound.ipa = "ɫ"


def single_rhotic(sounds: list[Sound]) -> None:
    """The ``ɹ`` of a rhotic vowel and the one that espeak writes after it are one."""
    _merge(sounds, lambda first, second: first.ipa == second.ipa == "ɹ", lambda first: first.ipa, across_words=True)


def flap(sounds: list[Sound]) -> None:
    """American ``t`` and ``d`` between a vowel and an unstressed vowel of the same word are tapped."""
    for index, sound in enumerate(sounds):
        before, after = preceding(sounds, index), following(sounds, index)
        if sound.ipa == "d" and before and before.is_vowel and after and after.is_vowel and not after.stress:
            sound.ipa = "ɾ"


def final_devoicing(sounds: list[Sound]) -> None:
    """Obstruents at the end of a word are voiceless (German, Dutch)."""
    for index, sound in enumerate(sounds):
        after = following(sounds, index)
        if sound.ipa in OBSTRUENT_PAIRS and (after is None or not (after.is_vowel or after.ipa in VOICED_CONSONANTS)):
            sound.ipa = OBSTRUENT_PAIRS[sound.ipa]


def german_affricate(sounds: list[Sound]) -> None:
    """``t`` and ``ʃ`` of one word are an affricate (*deutsch*)."""
    _merge(sounds, lambda first, second: first.ipa == "t" and second.ipa == "ʃ", lambda first: "tʃ")


def german_r(sounds: list[Sound]) -> None:
    """``ʁ`` after a long vowel and not before a vowel is vocalised: *Uhr* ``uːɐ`` (Kohler 1999)."""
    for index, sound in enumerate(sounds):
        before, after = preceding(sounds, index), following(sounds, index)
        if sound.ipa == "ʁ" and before and before.is_vowel and before.is_long and not (after and after.is_vowel):
            sound.ipa, sound.stress = "ɐ", 0


def german_dorsal(sounds: list[Sound]) -> None:
    """``x`` is uvular after low vowels: *Bach* (Kohler 1990)."""
    for index, sound in enumerate(sounds):
        before = preceding(sounds, index)
        if sound.ipa == "x" and before and before.short in ("a", "ɔ"):
            sound.ipa = "χ"


def dutch_palatals(sounds: list[Sound]) -> None:
    """``t j`` and ``n j`` within a word are palatal: *katje*, *oranje* (Gussenhoven 1992)."""
    for pair, palatal in ((("t", "j"), "c"), (("n", "j"), "ɲ")):
        _merge(
            sounds,
            lambda first, second, pair=pair: (first.ipa, second.ipa) == pair,
            lambda first, palatal=palatal: palatal,
        )


def dutch_w(sounds: list[Sound]) -> None:
    """``ʋ`` after a vowel that no vowel follows is ``w``: *nieuw*."""
    for index, sound in enumerate(sounds):
        before, after = preceding(sounds, index), following(sounds, index)
        if sound.ipa == "ʋ" and before and before.is_vowel and not (after and after.is_vowel):
            sound.ipa = "w"


def geminates(sounds: list[Sound]) -> None:
    """Two equal consonants of one word are a long one: *bella* (Italian), *pullo* (Finnish)."""
    _merge(
        sounds,
        lambda first, second: not first.is_vowel and first.short == second.short,
        lambda first: first.short + LONG,
    )


def italian_inherent_length(sounds: list[Sound]) -> None:
    """``ʎ ɲ ʃ ts dz`` between vowels are long: *figlio* (Rogers, d'Arcangeli 2004)."""
    for index, sound in enumerate(sounds):
        before, after = preceding(sounds, index), following(sounds, index)
        if (
            sound.ipa in ("ʎ", "ɲ", "ʃ", "ts", "dz")
            and before
            and before.is_vowel
            and after
            and (after.is_vowel or after.ipa in "jw")
        ):
            sound.ipa += LONG
            sound.duration_s *= LONG_FACTOR


def italian_tap(sounds: list[Sound]) -> None:
    """A single ``r`` between vowels has one contact."""
    for index, sound in enumerate(sounds):
        before, after = preceding(sounds, index), following(sounds, index)
        if sound.ipa == "r" and before and before.is_vowel and after and after.is_vowel:
            sound.ipa = "ɾ"


def spanish_lenition(sounds: list[Sound]) -> None:
    """``b d̪ ɡ`` are stops after a pause or nasal (and ``d̪`` after ``l``), approximants elsewhere, across words too."""
    lenited = {"b": "β̞", "d̪": "ð̞", "ɡ": "ɣ̞"}
    stops = {approximant: stop for stop, approximant in lenited.items()}
    for index, sound in enumerate(sounds):
        before = preceding(sounds, index, in_word=False)
        voiced = stops.get(sound.ipa, sound.ipa)
        if voiced in lenited:
            stop = before is None or before.ipa in NASALS or (voiced == "d̪" and before.ipa in ("l", "l̪"))
            sound.ipa = voiced if stop else lenited[voiced]


def nasal_place(sounds: list[Sound]) -> None:
    """``n`` takes the place of the consonant after it, across words too; ``ŋ`` that espeak has elsewhere is ``n``."""
    places = {"p": "m", "b": "m", "m": "m", "pʰ": "m", "bʱ": "m", "t̪": "n̪", "d̪": "n̪", "t̪ʰ": "n̪", "d̪ʱ": "n̪", "θ": "n̪"}
    places |= {"k": "ŋ", "ɡ": "ŋ", "x": "ŋ", "kʰ": "ŋ", "ɡʱ": "ŋ", "w": "ŋ", "ʈ": "ɳ", "ɖ": "ɳ", "ʈʰ": "ɳ", "ɖʱ": "ɳ"}
    for index, sound in enumerate(sounds):
        if sound.ipa in ("n", "ŋ", "m"):
            after = following(sounds, index, in_word=False)
            place = places.get(after.short) if after else None
            if place or sound.ipa == "ŋ":
                sound.ipa = place or "n"


def dental_l(sounds: list[Sound]) -> None:
    """``l`` before a dental is dental."""
    for index, sound in enumerate(sounds):
        after = following(sounds, index, in_word=False)
        if sound.ipa == "l" and after and after.short in ("t̪", "d̪", "θ"):
            sound.ipa = "l̪"


def spanish_z(sounds: list[Sound]) -> None:
    """``s`` before a voiced consonant is voiced: *mismo*."""
    for index, sound in enumerate(sounds):
        after = following(sounds, index, in_word=False)
        if sound.ipa == "s" and after and after.ipa in VOICED_CONSONANTS - {"z", "r"}:
            sound.ipa = "z"


def finnish_h(sounds: list[Sound]) -> None:
    """``h`` between vowels is breathy voiced."""
    for index, sound in enumerate(sounds):
        before, after = preceding(sounds, index), following(sounds, index)
        if sound.ipa == "h" and before and before.is_vowel and after and after.is_vowel:
            sound.ipa = "ɦ"


def _merge(
    sounds: list[Sound],
    fits: Callable[[Sound, Sound], bool],
    becomes: Callable[[Sound], str],
    across_words: bool = False,
) -> None:
    """Make one phone of every two neighbours that ``fits``, as long as both together."""
    index = 0
    while index + 1 < len(sounds):
        after = following(sounds, index, in_word=not across_words)
        if after and fits(sounds[index], after):
            sounds[index].ipa = becomes(sounds[index])
            sounds[index].duration_s += after.duration_s
            del sounds[index + 1]
        else:
            index += 1


BEFORE_SYLLABLES: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    {
        "en": (single_rhotic,),
        "de": (german_affricate, german_r, german_dorsal, final_devoicing),
        "it": (geminates, italian_inherent_length, italian_tap, nasal_place),
        "es": (nasal_place, spanish_lenition, dental_l, spanish_z),
        "nl": (dutch_palatals, dutch_w, final_devoicing),
        "fi": (geminates, finnish_h),
        "hi": (nasal_place,),
    }
)
AFTER_SYLLABLES: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    {"en": (aspiration, flap, dark_l), "de": (aspiration,)}
)
"""Rules that need syllables."""
