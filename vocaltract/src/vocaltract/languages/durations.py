"""How long phones last at least, and the times that follow."""

from vocaltract.languages.sounds import LONG, Sound, is_vowel, preceding
from vocaltract.spoken import Phone

MINIMUM_S = {
    "vowel": 0.040,
    "reduced": 0.030,
    "tap": 0.022,
    "glide": 0.030,
    "stop": 0.045,
    "aspirated": 0.065,
    "breathy": 0.085,
    "dark": 0.055,
    "long": 0.110,
}
"""The shortest phones of read speech are about as long (Klatt 1976); shorter ones would miss their targets."""
OTHER_S = 0.045
SPARED = 1.8  # times their minimum, what phones keep that lend time


def minimum_s(ipa: str) -> float:
    """Shortest duration of a phone in seconds."""
    if is_vowel(ipa):
        return MINIMUM_S["reduced" if ipa in ("ə", "ɐ", "ə̃") else "vowel"]
    if ipa.endswith(LONG):
        return MINIMUM_S["long"]
    if ipa in ("ɾ", "ɽ"):
        return MINIMUM_S["tap"]
    if ipa == "ɫ":
        return MINIMUM_S["dark"]
    if ipa in ("j", "w", "ɥ", "ɹ"):
        return MINIMUM_S["glide"]
    if ipa[-1] in "ʰʱ":
        return MINIMUM_S["aspirated" if ipa[-1] == "ʰ" else "breathy"]
    return MINIMUM_S["stop"] if ipa[0] in "pbtdkɡcɟqʈɖ" else OTHER_S


def phones(sounds: list[Sound]) -> tuple[Phone, ...]:
    """Turn durations and gaps into times.

    A phone below its minimum borrows from the one before it, as far as that can spare time; what still lacks is added,
    so that all after it is later.
    """
    found, time = [], 0.0
    borrow(sounds)
    for sound in sounds:
        start = round(time + sound.gap_s, 4)
        time = round(start + max(sound.duration_s, minimum_s(sound.ipa)), 4)
        found.append(Phone(sound.ipa, start, time, sound.stress, sound.tone, sound.word, sound.syllable))
    return tuple(found)


def borrow(sounds: list[Sound]) -> None:
    """Let short phones have time of the longer ones before them, which keep ``SPARED`` times their minimum."""
    for index, sound in enumerate(sounds):
        before = preceding(sounds, index, in_word=False)
        lacks = minimum_s(sound.ipa) - sound.duration_s
        if before and lacks > 0:
            borrowed = min(lacks, max(before.duration_s - SPARED * minimum_s(before.ipa), 0.0))
            before.duration_s -= borrowed
            sound.duration_s += borrowed
