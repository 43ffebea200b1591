"""Sentences to be spoken: our own, one plain file a language, so that anybody can read and extend them."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, cast

from vocaltract.errors import VocalTractError

FOLDER = Path(__file__).parent / "texts"

Set = Literal["main", "interventions"]
SETS: tuple[Set, ...] = ("main", "interventions")

_ENDS = ".?!。？！।"
_PAUSES = ",;:，；：、"
_WIDE = str.maketrans("，；：、。？！", ",;:,.?!")
_PINYIN = frozenset({"zh"})
_SYLLABLE = re.compile(r"[a-zü]+[1-5]")


@dataclass(frozen=True)
class Sentence:
    """One sentence of the corpus.

    Attributes
    ----------
    number
        From 1, in the order of the file, through both sets.
    text
        As a native reader would read it.
    spoken
        What ``speak`` takes: the text itself, or for Mandarin pinyin, a syllable with its tone number (5 is neutral)
        between spaces, tone sandhi not applied.
    set
        ``"main"`` for the corpus, ``"interventions"`` for the utterances in which one articulator is moved.
    """

    number: int
    text: str
    spoken: str
    set: Set


@cache
def texts(language: str) -> tuple[Sentence, ...]:
    """Return all sentences of a language (ISO 639-1), those of the set ``"interventions"`` last.

    Raises
    ------
    VocalTractError
        There is no such language, or a line of its file is wrong: the message names file and line.
    """
    known = sorted(path.stem for path in FOLDER.glob("*.txt"))
    if language not in known:
        raise VocalTractError(f"no sentences for language {language!r}; there are some for {', '.join(known)}")
    return read(FOLDER / f"{language}.txt", pinyin=language in _PINYIN)


def read(path: Path, *, pinyin: bool) -> tuple[Sentence, ...]:
    """Read a file of sentences: ``[main]`` and ``[interventions]`` above their sentences, one a line.

    Blank lines and lines that begin with ``#`` are comments. With `pinyin`, a line is ``text | pinyin``.

    Raises
    ------
    VocalTractError
        For a line that is wrong or a sentence that occurs twice; case, punctuation and spaces make no difference.
    """
    sentences: list[Sentence] = []
    first_lines: dict[str, int] = {}
    for number, set_, line in _lines(path):
        where = f"{path}, line {number}"
        text, spoken = _split(line, where, pinyin=pinyin)
        problem = _problem(text, spoken, set_)
        if problem:
            raise VocalTractError(f"{where}: {problem}: {line}")
        first = first_lines.setdefault(letters(text), number)
        if first != number:
            raise VocalTractError(f"{where}: the same sentence as in line {first}: {text}")
        sentences.append(Sentence(len(sentences) + 1, text, spoken, set_))
    return tuple(sentences)


def letters(text: str) -> str:
    """Return letters and vowel signs, case folded: equal for two texts that differ in case and punctuation only."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(character for character in folded if unicodedata.category(character)[0] in "LM")


def _lines(path: Path) -> Iterator[tuple[int, Set, str]]:
    """Yield line number, set and content of every line that holds a sentence."""
    sets = [f"[{name}]" for name in SETS]
    seen = -1
    for number, raw in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            if line not in sets or sets.index(line) <= seen:
                raise VocalTractError(
                    f"{path}, line {number}: {line} is not one of {', '.join(sets)}, each once and in this order"
                )
            seen = sets.index(line)
        elif seen < 0:
            raise VocalTractError(f"{path}, line {number}: a sentence before {sets[0]}: {line}")
        else:
            yield number, cast(Set, SETS[seen]), line


def _split(line: str, where: str, *, pinyin: bool) -> tuple[str, str]:
    parts = [part.strip() for part in line.split("|")]
    if len(parts) != 1 + pinyin:
        expected = "text | pinyin" if pinyin else "a sentence without |"
        raise VocalTractError(f"{where}: expected {expected}: {line}")
    return parts[0], parts[-1]


def _problem(text: str, spoken: str, set_: Set) -> str | None:
    """Say what is wrong with a sentence, if anything is."""
    if text[-1:] not in tuple(_ENDS):
        return f"the sentence has to end with one of {_ENDS}"
    if any(character.isdigit() for character in text):
        return "digits can be read in several ways: write the number out"
    if set_ == "interventions" and any(character in _PAUSES for character in text):
        return "sentences for interventions have no pause inside"
    return None if spoken is text else _pinyin_problem(text, spoken)


def _pinyin_problem(text: str, spoken: str) -> str | None:
    """Say where Hanzi and pinyin differ in number of syllables or in punctuation."""
    syllables = re.sub(r"[,;:.?!]", " ", spoken).split()
    wrong = [syllable for syllable in syllables if not _SYLLABLE.fullmatch(syllable)]
    if wrong:
        return f"{wrong[0]!r} is no pinyin syllable with a tone number from 1 to 5"
    hanzi = letters(text)
    if len(hanzi) != len(syllables):
        return f"{len(hanzi)} characters but {len(syllables)} syllables"
    of_text, of_spoken = _punctuation(text.translate(_WIDE)), _punctuation(spoken)
    return None if of_text == of_spoken else "Hanzi and pinyin differ in their punctuation"


def _punctuation(text: str) -> list[tuple[int, str]]:
    """Return every mark of punctuation with the number of syllables before it."""
    tokens = re.findall(r"[a-zü]+[1-5]|[^\W\d_]|[,;:.?!]", text)
    marks = [(place, token) for place, token in enumerate(tokens) if token in ",;:.?!"]
    return [(place - order, token) for order, (place, token) in enumerate(marks)]
