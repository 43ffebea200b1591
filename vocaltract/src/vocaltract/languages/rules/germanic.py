"""Rules of English (General American), German and Dutch."""

from vocaltract.languages.rules.common import merge
from vocaltract.languages.sounds import OBSTRUENT_PAIRS, Sound, following, preceding

WEAK_VOWELS = frozenset("ə ɚ i ɪ oʊ".split())
VOICELESS = frozenset("p t k f s ʃ x ç χ ts tʃ pf".split())


def dark_l(sounds: list[Sound]) -> None:
    """English ``l`` is velarised unless a vowel or ``j`` follows in the word."""
    for index, sound in enumerate(sounds):
        after = following(sounds, index)
        if sound.ipa == "l" and not (after and (after.is_vowel or after.ipa == "j")):
            sound.ipa = "ɫ"


def single_rhotic(sounds: list[Sound]) -> None:
    """Make one of the ``ɹ`` of a rhotic vowel and the one that espeak writes after it."""
    merge(sounds, lambda first, second: first.ipa == second.ipa == "ɹ", lambda first: first.ipa)


def flap(sounds: list[Sound]) -> None:
    """American ``t d`` between a vowel or ``ɹ`` and a weak vowel of the same word are tapped, not before ``ən``."""
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
    merge(sounds, lambda first, second: first.ipa == "t" and second.ipa == "ʃ", lambda first: "tʃ")


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
        merge(
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
