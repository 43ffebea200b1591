"""How long phones last at least, and the times that follow."""

from vocaltract.languages.sounds import LONG, Sound, is_vowel
from vocaltract.spoken import Phone

MINIMUM_S = {
    "vowel": 0.040,
    "reduced": 0.030,
    "tap": 0.022,
    "glide": 0.030,
    "stop": 0.045,
    "aspirated": 0.060,
    "long": 0.110,
}
"""The shortest phones of read speech are about as long (Klatt 1976); shorter ones would miss their targets."""
OTHER_S = 0.045


def minimum_s(ipa: str) -> float:
    """Shortest duration of a phone in seconds."""
    if is_vowel(ipa):
        return MINIMUM_S["reduced" if ipa in ("ə", "ɐ", "ə̃") else "vowel"]
    if ipa.endswith(LONG):
        return MINIMUM_S["long"]
    if ipa in ("ɾ", "ɽ"):
        return MINIMUM_S["tap"]
    if ipa in ("j", "w", "ɥ", "ɹ", "ʔ"):
        return MINIMUM_S["glide"]
    if ipa[-1] in "ʰʱ":
        return MINIMUM_S["aspirated"]
    return MINIMUM_S["stop"] if ipa[0] in "pbtdkɡcɟqʈɖ" else OTHER_S


def phones(sounds: list[Sound]) -> tuple[Phone, ...]:
    """Turn durations and gaps into times; a phone below its minimum is lengthened and all after it is later."""
    found, time = [], 0.0
    for sound in sounds:
        start = round(time + sound.gap_s, 4)
        time = round(start + max(sound.duration_s, minimum_s(sound.ipa)), 4)
        found.append(Phone(sound.ipa, start, time, sound.stress, sound.tone, sound.word, sound.syllable))
    return tuple(found)
