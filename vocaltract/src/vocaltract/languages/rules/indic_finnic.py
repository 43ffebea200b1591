"""Rules of Hindi and Finnish."""

import unicodedata

from vocaltract.languages.sounds import Sound, following, preceding

NASAL = "\u0303"


def finnish_h(sounds: list[Sound]) -> None:
    """``h`` between vowels is breathy voiced."""
    for index, sound in enumerate(sounds):
        before, after = preceding(sounds, index), following(sounds, index)
        if sound.ipa == "h" and before and before.is_vowel and after and after.is_vowel:
            sound.ipa = "ɦ"


def short_initials(sounds: list[Sound]) -> None:
    """No word begins with a long consonant (Hindi)."""
    for index, sound in enumerate(sounds):
        if preceding(sounds, index) is None and not sound.is_vowel:
            sound.ipa = sound.short


def hindi_schwa(sounds: list[Sound]) -> None:
    """``ə`` between single consonants inside a word is silent, from the right: *sunəkəɾ* ``sunkəɾ`` (Ohala 1983).

    What is left of it is ``ɛ`` around an ``ɦ`` that no other vowel follows: *pəhnaː* ``pɛɦnaː``.
    """
    for index in range(len(sounds) - 3, 1, -1):
        context = sounds[index - 2 : index + 3]
        if _deletes(context):
            for consonant in (context[1], context[3]):
                consonant.duration_s += context[2].duration_s / 3
            del sounds[index]
    for index, sound in enumerate(sounds):
        after = following(sounds, index)
        if sound.ipa == "ə" and after and after.ipa == "ɦ":
            vowel = following(sounds, index + 1)
            if vowel is None or vowel.ipa == "ə" or not vowel.is_vowel:
                sound.ipa = "ɛ"
                if vowel and vowel.ipa == "ə":
                    vowel.ipa = "ɛ"


def _deletes(context: list[Sound]) -> bool:
    """Whether the middle one of five sounds is an unstressed ``ə`` in VC_CV of one word."""
    vowel, first, schwa, second, after = context
    joined = all(sound.word == vowel.word for sound in context) and not any(sound.gap_s for sound in context[1:])
    shape = vowel.is_vowel and after.is_vowel and not first.is_vowel and not second.is_vowel
    return joined and shape and schwa.ipa == "ə" and schwa.stress < 2 and not (first.is_long or second.is_long)


def hindi_nasal(sounds: list[Sound]) -> None:
    """Drop the ``n`` that espeak has between a nasal vowel and a consonant that is not a stop: *gãːʋ*."""
    index = 0
    while index + 1 < len(sounds):
        before, after = preceding(sounds, index), following(sounds, index)
        if (
            before
            and after
            and sounds[index].ipa == "n"
            and "\u0303" in unicodedata.normalize("NFD", before.ipa)
            and after.ipa in ("ʋ", "ɦ", "ɽ", "s")
        ):
            before.duration_s += sounds[index].duration_s
            del sounds[index]
        else:
            index += 1
