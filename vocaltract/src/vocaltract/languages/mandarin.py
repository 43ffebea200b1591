"""Mandarin from pinyin with tone numbers: phones by a table of syllables, tone sandhi, durations of its own."""

import functools
import re
import tomllib
import unicodedata
from dataclasses import dataclass, replace

from vocaltract.errors import VocalTractError
from vocaltract.languages import durations
from vocaltract.languages.sounds import Sound, is_vowel
from vocaltract.languages.symbols import FOLDER
from vocaltract.spoken import Spoken

NEUTRAL = 5
MARKS = ",;:.?!"


@dataclass(frozen=True)
class Syllable:
    """A pinyin syllable.

    Attributes
    ----------
    spelling
        Without tone, with ``ü``.
    tone
        1 to 5; 5 is neutral.
    mark
        The punctuation after it, or ``""``.
    """

    spelling: str
    tone: int
    mark: str = ""

    @property
    def pinyin(self) -> str:
        """Spelling and tone: ``"ni3"``."""
        return f"{self.spelling}{self.tone}"


@functools.cache
def table() -> dict:
    """``tables/zh.toml``."""
    return tomllib.loads(unicodedata.normalize("NFC", (FOLDER / "zh.toml").read_text(encoding="utf-8")))


def say(text: str) -> Spoken:
    """Phones of a sentence in pinyin.

    Parameters
    ----------
    text
        Syllables with tone numbers between spaces, without sandhi: ``"ni3 hao3, wo3 lai2 le5."``; ``v`` and ``u:`` mean
        ``ü`` too.

    Raises
    ------
    VocalTractError
        For anything that is not a syllable of the table with a tone from 1 to 5; names it.
    """
    syllables = sandhi(parse(text))
    sounds: list[Sound] = []
    gap = 0.0
    for number, syllable in enumerate(syllables):
        last = number + 1 == len(syllables)
        parts = _sounds(syllable, number, after_pause=number == 0 or gap > 0, at_pause=last or bool(syllable.mark))
        parts[0].gap_s = gap
        sounds += parts
        gap = _gap_s(syllable.mark)
    return Spoken(text, "zh", durations.phones(sounds), question="?" in text)


def parse(text: str) -> tuple[Syllable, ...]:
    """Syllables of a text; see ``say``."""
    found: list[Syllable] = []
    for token in re.findall(rf"[^\s{MARKS}]+:?[^\s{MARKS}]*|[{MARKS}]", unicodedata.normalize("NFC", text.lower())):
        if token in MARKS:
            if not found:
                raise VocalTractError(f"pinyin begins with {token!r}: {text}")
            found[-1] = replace(found[-1], mark=token)
            continue
        match = re.fullmatch(r"([a-zü:]+)([1-5])", token.replace("u:", "ü").replace("v", "ü"))
        if match is None:
            raise VocalTractError(f"{token!r} is no pinyin syllable with a tone from 1 to 5")
        phones(match[1])
        found.append(Syllable(match[1], int(match[2])))
    if not found:
        raise VocalTractError(f"no pinyin syllables in {text!r}")
    return tuple(found)


@functools.cache
def phones(spelling: str) -> tuple[str, ...]:
    """IPA of a syllable without tone: ``phones("zhuang") == ("tʂ", "w", "ɑ", "ŋ")``.

    Raises
    ------
    VocalTractError
        If Mandarin has no such syllable.
    """
    data = table()
    if spelling in data["alone"]:
        return tuple(data["finals"][data["alone"][spelling]].split())
    for length in (2, 1):
        initial, final = spelling[:length], spelling[length:]
        if initial in data["initials"]:
            break
    else:
        raise VocalTractError(f"Mandarin has no syllable {spelling!r}")
    if initial in "jqx" and final.startswith("u"):
        final = "ü" + final[1:]
    if final not in data["syllables"][initial].split():
        raise VocalTractError(f"Mandarin has no syllable {spelling!r}")
    if final == "i" and initial in ("z", "c", "s"):
        final = "i after z c s"
    elif final == "i" and initial in ("zh", "ch", "sh", "r"):
        final = "i after zh ch sh r"
    return (data["initials"][initial], *data["finals"][final].split())


def sandhi(syllables: tuple[Syllable, ...]) -> tuple[Syllable, ...]:
    """Tones as they are spoken (Chao 1968; Chen 2000).

    *yi1* is tone 4 before tones 1, 2 and 3, and tone 2 before tone 4; *bu4* is tone 2 before tone 4; both are neutral
    between two equal verbs. Every third tone of a run is tone 2 but the last. Nothing changes across punctuation, and
    pairs of ``other_words`` in the table stay as they are.
    """
    spoken = list(syllables)
    for index, syllable in enumerate(syllables):
        before = syllables[index - 1] if index and not syllables[index - 1].mark else None
        after = syllables[index + 1] if index + 1 < len(syllables) and not syllable.mark else None
        if syllable.pinyin in ("yi1", "bu4") and after and not _other_word(before, syllable, after):
            spoken[index] = replace(syllable, tone=_yi_bu(before, syllable, after))
    for index in range(len(spoken) - 2, -1, -1):
        if spoken[index].tone == 3 and syllables[index + 1].tone == 3 and not spoken[index].mark:
            spoken[index] = replace(spoken[index], tone=2)
    return tuple(spoken)


def _other_word(before: Syllable | None, syllable: Syllable, after: Syllable) -> bool:
    pairs = table()["other_words"][syllable.pinyin]
    return f"{syllable.pinyin} {after.pinyin}" in pairs or (
        before is not None and f"{before.pinyin} {syllable.pinyin}" in pairs
    )


def _yi_bu(before: Syllable | None, syllable: Syllable, after: Syllable) -> int:
    if before and before.pinyin == after.pinyin:
        return NEUTRAL
    if after.tone == 4 or after.pinyin == "ge5":  # ge5 is a weak ge4
        return 2
    return 4 if after.tone != NEUTRAL else syllable.tone


def _gap_s(mark: str) -> float:
    factors = table()["factors"]
    if not mark:
        return 0.0
    return factors["stop_s"] if mark in ".?!" else factors["comma_s"]


def _sounds(syllable: Syllable, number: int, *, after_pause: bool, at_pause: bool) -> list[Sound]:
    """Phones of a syllable: durations by their kind, the final's times the factors of tone and place."""
    factors = table()["factors"]
    parts = phones(syllable.spelling)
    initial = syllable.spelling not in table()["alone"]
    tone = "tone_3_at_pause" if syllable.tone == 3 and at_pause else f"tone_{syllable.tone}"
    place_factor = factors["final_at_pause"] if at_pause else factors["final_after_pause"] if after_pause else 1.0
    of_final = factors[tone] * place_factor
    of_initial = factors["neutral_initial"] if syllable.tone == NEUTRAL else 1.0
    found = []
    for place, ipa in enumerate(parts):
        kind = _kind(ipa, place + 1 < len(parts), coda=place > 0 and place + 1 == len(parts))
        duration = table()["durations"][kind] * (of_initial if initial and place == 0 else of_final)
        tone_number = syllable.tone if is_vowel(ipa) else None
        found.append(Sound(ipa, duration, word=number, syllable=number, tone=tone_number))
    return found


def _kind(ipa: str, more: bool, coda: bool) -> str:
    """Which duration of the table a phone has."""
    if is_vowel(ipa):
        if ipa in "ɿʅ":
            return "apical"
        return "diphthong" if len(ipa) > 1 else "vowel_before_nasal" if more else "vowel"
    if ipa in ("j", "w", "ɥ"):
        return "glide"
    if ipa in ("n", "ŋ", "m"):
        return "coda" if coda else "nasal"
    if ipa in ("l", "ʐ"):
        return "approximant"
    aspirated = "aspirated_" if ipa.endswith("ʰ") else ""
    stem = ipa.removesuffix("ʰ")
    if stem in ("p", "t", "k"):
        return aspirated + "stop"
    return aspirated + "affricate" if len(stem) == 2 else "fricative"
