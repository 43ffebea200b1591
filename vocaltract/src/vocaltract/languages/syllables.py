"""Syllables by the maximal-onset principle (Kahn 1976), with the onsets that a language allows as a table."""

from vocaltract.languages.sounds import Sound


def number(sounds: list[Sound], onsets: frozenset[tuple[str, ...]], never: frozenset[str]) -> None:
    """Count the syllables of a sentence from 0, in place.

    Parameters
    ----------
    onsets
        Sequences of consonants that may begin a syllable. Any single consonant may, except those in ``never``.
    never
        Consonants that begin no syllable, such as ``ŋ``.

    Notes
    -----
    A word without a vowel (Italian *l'*) belongs to the syllable after it.
    """
    nuclei = [index for index, sound in enumerate(sounds) if sound.is_vowel and sound.syllabic]
    if not nuclei:
        for sound in sounds:
            sound.syllable = 0
        return
    start = 0
    for count, nucleus in enumerate(nuclei):
        last = count + 1 == len(nuclei)
        end = len(sounds) if last else _onset(sounds, nucleus + 1, nuclei[count + 1], onsets, never)
        for sound in sounds[start:end]:
            sound.syllable = count
        start = end


def _onset(
    sounds: list[Sound], start: int, nucleus: int, onsets: frozenset[tuple[str, ...]], never: frozenset[str]
) -> int:
    """Index where the syllable of ``nucleus`` begins, among its consonants from ``start`` on."""
    for index in range(start, nucleus + 1):
        if sounds[index].word != sounds[index - 1].word or sounds[index].gap_s > 0:
            return index
    for index in range(start, nucleus):
        onset = tuple(sound.short for sound in sounds[index:nucleus])
        if onset in onsets or (len(onset) == 1 and onset[0] not in never):
            return index
    return nucleus
