"""Rules that several languages share, and what rules are made of."""

from collections.abc import Callable

from vocaltract.languages.sounds import LONG, VOICELESS_STOPS, Sound, following, preceding

NASAL_PLACES = {
    **dict.fromkeys(("p", "b", "m", "pʰ", "bʱ"), "m"),
    **dict.fromkeys(("t̪", "d̪", "t̪ʰ", "d̪ʱ", "θ"), "n̪"),
    **dict.fromkeys(("ʈ", "ɖ", "ʈʰ", "ɖʱ"), "ɳ"),
    **dict.fromkeys(("k", "ɡ", "x", "kʰ", "ɡʱ"), "ŋ"),
}
LONG_FACTOR = 1.7
"""Length of a geminate over a single consonant, where espeak lacks it: 1.6 to 2 (Esposito, Di Benedetto 1999)."""


def aspiration(sounds: list[Sound]) -> None:
    """Voiceless stops that begin a word or a stressed syllable are aspirated, not after ``s`` or ``ʃ``."""
    stressed = {sound.syllable for sound in sounds if sound.stress}
    for index, sound in enumerate(sounds):
        before = preceding(sounds, index)
        begins = before is None or before.syllable != sound.syllable
        if sound.ipa in VOICELESS_STOPS and begins and (before is None or sound.syllable in stressed):
            sound.ipa += "ʰ"


def geminates(sounds: list[Sound]) -> None:
    """Two equal consonants of one word are a long one: *bella* (Italian), *pullo* (Finnish)."""
    merge(
        sounds,
        lambda first, second: not first.is_vowel and first.short == second.short,
        lambda first: first.short + LONG,
    )


def nasal_place(sounds: list[Sound]) -> None:
    """``n`` takes the place of the consonant after it, across words too; ``ŋ`` that espeak has elsewhere is ``n``."""
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


def merge(
    sounds: list[Sound],
    fits: Callable[[Sound, Sound], bool],
    becomes: Callable[[Sound], str],
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
