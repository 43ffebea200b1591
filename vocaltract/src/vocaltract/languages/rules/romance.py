"""Rules of Italian and Castilian Spanish."""

from vocaltract.languages.rules.common import LONG_FACTOR
from vocaltract.languages.sounds import LONG, Sound, following, preceding

NASALS = frozenset({"m", "n", "ŋ", "ɲ", "n̪"})
VOICED_CONSONANTS = frozenset("b d̪ ɡ β̞ ð̞ ɣ̞ m n ɲ l ʎ ɾ ʝ".split())
GLIDES = {"i": "j", "u": "w"}
VOWELS_OF_GLIDES = {"j": "i", "w": "u"}


def short_vowels(sounds: list[Sound]) -> None:
    """Vowels have no length of their own (Italian)."""
    for sound in sounds:
        if sound.is_vowel:
            sound.ipa = sound.short


def glides(sounds: list[Sound]) -> None:
    """Join unstressed ``i u`` to the vowel beside them in the word (Italian, Spanish).

    Before a vowel they are ``j w`` (*soffia*, *suona*, *fornaio*), after the last vowel the second half of a diphthong
    (*lei*, *autobus*). ``i`` before ``u`` and ``u`` before ``i`` stay (*riunione*, *costruisce*).
    """
    for index, sound in enumerate(sounds):
        before, after = preceding(sounds, index), following(sounds, index)
        if sound.ipa in GLIDES and not sound.stress and before and after and after.is_vowel and after.ipa not in GLIDES:
            sound.ipa = GLIDES[sound.ipa]
    index = 0
    while index + 1 < len(sounds):
        sound, after = sounds[index], following(sounds, index)
        beyond = following(sounds, index + 1)
        weak = after and not after.stress and VOWELS_OF_GLIDES.get(after.ipa, after.ipa)
        if weak in GLIDES and sound.is_vowel and sound.ipa not in GLIDES and not (beyond and beyond.is_vowel):
            sound.ipa = sound.short + weak
            sound.duration_s += after.duration_s
            del sounds[index + 1]
        index += 1


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
    """Make a single ``r`` between vowels a tap."""
    for index, sound in enumerate(sounds):
        before, after = preceding(sounds, index), following(sounds, index)
        if sound.ipa == "r" and before and before.is_vowel and after and after.is_vowel:
            sound.ipa = "ɾ"


def spanish_lenition(sounds: list[Sound]) -> None:
    """Lenite ``b d̪ ɡ``: stops after a pause or nasal, ``d̪`` after ``l`` too, else approximants, across words too."""
    lenited = {"b": "β̞", "d̪": "ð̞", "ɡ": "ɣ̞"}
    stops = {approximant: stop for stop, approximant in lenited.items()}
    for index, sound in enumerate(sounds):
        before = preceding(sounds, index, in_word=False)
        voiced = stops.get(sound.ipa, sound.ipa)
        if voiced in lenited:
            stop = before is None or before.ipa in NASALS or (voiced == "d̪" and before.ipa in ("l", "l̪"))
            sound.ipa = voiced if stop else lenited[voiced]


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
        if sound.ipa == "s" and after and after.ipa in VOICED_CONSONANTS:
            sound.ipa = "z"
