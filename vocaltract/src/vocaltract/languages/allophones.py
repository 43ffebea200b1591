"""What a phone becomes among its neighbours, where espeak-ng leaves it coarse: one short rule each, and each language's list of rules.

Sources: Illustrations of the IPA (Handbook of the International Phonetic Association, 1999; Journal of the IPA) for American
English (Ladefoged 1999), German (Kohler 1999), Italian (Rogers, d'Arcangeli 2004), Castilian Spanish (Martínez-Celdrán et al. 2003),
Dutch (Gussenhoven 1992), Finnish (Suomi, Toivanen, Ylitalo 2008) and Hindi (Ohala 1994).
"""

import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType

from vocaltract.languages.sounds import LONG, OBSTRUENT_PAIRS, VOICELESS_STOPS, Sound, following, preceding

Rule = Callable[[list[Sound]], None]

NASAL_PLACES = {
    **dict.fromkeys(("p", "b", "m", "pʰ", "bʱ"), "m"),
    **dict.fromkeys(("t̪", "d̪", "t̪ʰ", "d̪ʱ", "θ"), "n̪"),
    **dict.fromkeys(("ʈ", "ɖ", "ʈʰ", "ɖʱ"), "ɳ"),
    **dict.fromkeys(("k", "ɡ", "x", "kʰ", "ɡʱ"), "ŋ"),
}
LONG_FACTOR = 1.7
"""Length of a geminate relative to a single consonant, where espeak does not give it (Esposito, Di Benedetto 1999: 1.6 to 2)."""
WEAK_VOWELS = frozenset("ə ɚ i ɪ oʊ".split())
NASALS = frozenset({"m", "n", "ŋ", "ɲ", "n̪"})
VOICELESS = frozenset("p t k f s ʃ x ç χ ts tʃ pf".split())
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
    _merge(sounds, lambda first, second: first.ipa == second.ipa == "ɹ", lambda first: first.ipa)


def flap(sounds: list[Sound]) -> None:
    """American ``t`` and ``d`` after a vowel or ``ɹ`` and before a weak vowel of the same word are tapped, not before ``ən``."""
    for index, sound in enumerate(sounds):
        before, after = preceding(sounds, index), following(sounds, index)
        if sound.ipa not in ("t", "d") or not before or not after or not (before.is_vowel or before.ipa == "ɹ"):
            continue
        nasal = following(sounds, index + 1)
        if (
            after.ipa in WEAK_VOWELS
            and not after.stress
            and not (after.ipa == "ə" and nasal and nasal.ipa in ("n", "m"))
        ):
            sound.ipa = "ɾ"


def final_devoicing(sounds: list[Sound]) -> None:
    """Obstruents at the end of a word and before voiceless ones are voiceless (German, Dutch)."""
    for index, sound in enumerate(sounds):
        after = following(sounds, index)
        if sound.ipa in OBSTRUENT_PAIRS and (after is None or after.short in VOICELESS):
            sound.ipa = OBSTRUENT_PAIRS[sound.ipa]


def german_affricate(sounds: list[Sound]) -> None:
    """``t`` and ``ʃ`` of one word are an affricate (*deutsch*)."""
    _merge(sounds, lambda first, second: first.ipa == "t" and second.ipa == "ʃ", lambda first: "tʃ")


def german_r(sounds: list[Sound]) -> None:
    """``ʁ`` after a long vowel and not before a vowel is vocalised: *Uhr* ``uːɐ`` (Kohler 1999)."""
    for index, sound in enumerate(sounds):
        before, after = preceding(sounds, index), following(sounds, index)
        if sound.ipa == "ʁ" and before and before.is_vowel and before.is_long and not (after and after.is_vowel):
            sound.ipa, sound.stress, sound.syllabic = "ɐ", 0, False


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
    """``n`` takes the place of the stop or fricative after it, across words too; ``ŋ`` that espeak has elsewhere is ``n``."""
    _assimilate(sounds, in_word=False)


def nasal_place_in_word(sounds: list[Sound]) -> None:
    """``nasal_place`` within words only (Hindi)."""
    _assimilate(sounds, in_word=True)


def _assimilate(sounds: list[Sound], in_word: bool) -> None:
    for index, sound in enumerate(sounds):
        if sound.ipa in ("n", "ŋ"):
            after = following(sounds, index, in_word=in_word)
            place = NASAL_PLACES.get(after.short) if after else None
            if place or sound.ipa == "ŋ":
                sound.ipa = place or "n"


def dental_l(sounds: list[Sound]) -> None:
    """``l`` before a dental is dental."""
    for index, sound in enumerate(sounds):
        after = following(sounds, index, in_word=False)
        if sound.ipa == "l" and after and after.short in ("t̪", "d̪", "θ"):
            sound.ipa = "l̪"


def romance_glides(sounds: list[Sound]) -> None:
    """Unstressed ``i u`` next to another vowel of the word make one syllable with it (Italian, Spanish).

    Between vowels and between a consonant and a vowel they are ``j w`` (*soffia*, *suona*, *fornaio*), after a vowel the second
    half of a diphthong (*lei*, *autobus*). ``i`` before ``u`` and ``u`` before ``i`` stay (*riunione*, *costruisce*).
    """
    glides = {"i": "j", "u": "w"}
    for index, sound in enumerate(sounds):
        before, after = preceding(sounds, index), following(sounds, index)
        if sound.ipa in glides and not sound.stress and before and after and after.is_vowel and after.ipa not in glides:
            sound.ipa = glides[sound.ipa]
    vowels = {"i": "i", "u": "u", "j": "i", "w": "u"}
    index = 0
    while index + 1 < len(sounds):
        sound, after = sounds[index], following(sounds, index)
        beyond = following(sounds, index + 1)
        falls = after and after.ipa in vowels and not after.stress and not (beyond and beyond.is_vowel)
        if falls and sound.is_vowel and sound.ipa not in glides:
            sound.ipa = sound.short + vowels[after.ipa]
            sound.duration_s += after.duration_s
            del sounds[index + 1]
        index += 1


def short_vowels(sounds: list[Sound]) -> None:
    """Vowels have no length of their own (Italian)."""
    for sound in sounds:
        if sound.is_vowel:
            sound.ipa = sound.short


def short_initials(sounds: list[Sound]) -> None:
    """No word begins with a long consonant (Hindi)."""
    for index, sound in enumerate(sounds):
        if preceding(sounds, index) is None and not sound.is_vowel:
            sound.ipa = sound.short


def hindi_schwa(sounds: list[Sound]) -> None:
    """``ə`` between single consonants inside a word is silent, from the right: *sunəkəɾ* ``sunkəɾ`` (Ohala 1983, VC_CV).

    What is left of it is ``ɛ`` around an ``ɦ`` that no other vowel follows: *pəhnaː* ``pɛɦnaː`` (Ohala 1983).
    """
    for index in range(len(sounds) - 3, 1, -1):
        sound, context = sounds[index], sounds[index - 2 : index + 3]
        same = (
            len(context) == 5 and len({other.word for other in context}) == 1 and not any(o.gap_s for o in context[1:])
        )
        shape = [other.is_vowel for other in context] == [True, False, True, False, True]
        if (
            same
            and shape
            and sound.ipa == "ə"
            and sound.stress < 2
            and not any(other.is_long for other in context[1:4:2])
        ):
            context[1].duration_s += sound.duration_s / 3
            context[3].duration_s += sound.duration_s / 3
            del sounds[index]
    for index, sound in enumerate(sounds):
        after = following(sounds, index)
        if sound.ipa == "ə" and after and after.ipa == "ɦ":
            vowel = following(sounds, index + 1)
            if vowel is None or vowel.ipa == "ə" or not vowel.is_vowel:
                sound.ipa = "ɛ"
                if vowel and vowel.ipa == "ə":
                    vowel.ipa = "ɛ"


def hindi_nasal(sounds: list[Sound]) -> None:
    """No ``n`` between a nasal vowel and a consonant that is not a stop: *gaːv* with a nasal ``aː`` (espeak adds one)."""
    index = 0
    while index + 1 < len(sounds):
        before, after = preceding(sounds, index), following(sounds, index)
        if (
            before
            and after
            and sounds[index].ipa == "n"
            and "\u0303" in _decomposed(before.ipa)
            and after.ipa in ("ʋ", "ɦ", "ɽ", "s")
        ):
            before.duration_s += sounds[index].duration_s
            del sounds[index]
        else:
            index += 1


def _decomposed(ipa: str) -> str:
    return unicodedata.normalize("NFD", ipa)


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
        after = following(sounds, index)
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
        "it": (short_vowels, romance_glides, geminates, italian_inherent_length, italian_tap, nasal_place),
        "es": (romance_glides, nasal_place, spanish_lenition, dental_l, spanish_z),
        "nl": (dutch_palatals, dutch_w, final_devoicing),
        "fi": (geminates, finnish_h, nasal_place),
        "hi": (geminates, short_initials, nasal_place_in_word, hindi_schwa, hindi_nasal),
    }
)
AFTER_SYLLABLES: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    {"en": (aspiration, flap, dark_l), "de": (aspiration,)}
)
"""Rules that need syllables."""
