"""When two texts are the same sentence, in any script: by their letters, numbers and marks alone.

``你好，世界。`` is ``你好世界``, ``don't`` is ``dont``, full-width letters are letters, ``Ⅳ`` is ``iv``: whether a
transcriber typed an apostrophe, a hyphen or a character that nobody sees does not make another sentence. Accents and
vowel signs do. Where in doubt, texts count as the same, which costs an utterance of training and leaks nothing.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from tractprobe.corpora.languages import is_language
from tractprobe.corpora.prepared.manifest import Entry

VERSION = 2
"""Of the comparison. The first took punctuation and invisible characters for spaces, and letters as they were typed."""
OLDER = "an earlier comparison of texts, by which a sentence could lie on both sides"

# Letters and marks by Unicode that are typed for an apostrophe, only stretch a line, or are invisible.
_UNSEEN = re.compile("[\u02b9-\u02bf\ua78b\ua78c\u0640\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f"
                     "\U000e0100-\U000e01ef]")  # fmt: skip
_DOTTED_I = re.compile("i\u0307|\u0131")  # Turkish İ and ı: case folding takes I for i in every language
_PLACEHOLDERS = {
    "empty", "missing", "na", "nan", "none", "notext", "null", "placeholder", "sentence", "sil", "silence", "test",
    "text", "todo", "transcript", "undefined", "unk", "unknown", "utterance", "words", "x", "xx", "xxx", "xxxx",
}  # fmt: skip
_OF_SYLLABLES = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]")
_LETTERS_A_SYLLABLE = 3
_SILENCE_S, _LETTER_S = 2.0, 0.3  # around an utterance, and of very slow speech; read speech has 0.09 s a letter
_DOUBTFUL = 0.05  # the share of utterances from which on a doubt is told


@lru_cache(maxsize=1 << 17)
def letters(text: str) -> str:
    """Return a text in the form in which sentences are compared; empty if it says nothing.

    >>> letters("The  Birch-canoe, slid!") == letters("the birch canoe slid"), letters("１²，Ⅳ"), letters("…?")
    (True, '12iv', '')
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    kept = "".join(_digit(letter) for letter in folded if unicodedata.category(letter)[0] in "LNM")
    return _DOTTED_I.sub("i", _UNSEEN.sub("", kept))


def _digit(letter: str) -> str:
    """Return a digit of any script as 0 to 9, and every other letter as it is."""
    return str(unicodedata.decimal(letter, letter))


@lru_cache(maxsize=1 << 17)
def words(text: str) -> str:
    """Return a text in the form that the first version compared, by which sentences are still drawn for folds.

    >>> words("The  Birch-canoe, slid!")
    'the birch canoe slid'
    """
    folded = unicodedata.normalize("NFC", text).casefold()
    kept = (letter if unicodedata.category(letter)[0] in "LNM" else " " for letter in folded)
    return " ".join("".join(kept).split())


def sentence(entry: Entry) -> str:
    """Return what makes two utterances the same sentence; an utterance without text is a sentence of its own."""
    return letters(entry.text) or f" {entry.id}"


def silent(entries: Iterable[Entry]) -> list[str]:
    """Return the ids of utterances that lack a text; babble (zxx) has none to lack: each is a sentence of its own."""
    return [entry.id for entry in entries if is_language(entry.language) and not letters(entry.text)]


def drawn_as(entries: Iterable[Entry]) -> Mapping[str, str]:
    """Return the name under which each sentence is drawn: as the first version wrote it, so that folds stay theirs."""
    names: dict[str, str] = {}
    for entry in entries:
        name = words(entry.text) or f" {entry.id}"
        names[sentence(entry)] = min(name, names.get(sentence(entry), name))
    return names


def version(entries: Iterable[Entry]) -> int:
    """Return by which version of the comparison utterances are split: the first, if both have the same sentences."""
    pairs = {(sentence(entry), words(entry.text) or f" {entry.id}") for entry in entries}
    return 1 if len(pairs) == len({new for new, _ in pairs}) == len({old for _, old in pairs}) else VERSION


def doubts(entries: Sequence[Entry]) -> list[str]:
    """Say why texts may not be what was said: placeholders, and texts that are plainly a part of it."""
    entries = [entry for entry in entries if is_language(entry.language)]
    placeholders = [entry for entry in entries if letters(entry.text) in _PLACEHOLDERS]
    partial = [entry for entry in entries if letters(entry.text) and entry.duration_s > _longest_s(entry.text)]
    told = []
    if len(placeholders) > max(1, _DOUBTFUL * len(entries)):
        ((text, _),) = Counter(entry.text for entry in placeholders).most_common(1)
        told.append(
            f"{len(placeholders)} of {len(entries)} utterances have a text that looks like a placeholder ({text!r}): "
            "those of one text count as one sentence"
        )
    if len(partial) > _DOUBTFUL * len(entries):
        first = partial[0]
        told.append(
            f"{len(partial)} of {len(entries)} utterances are long for their text (the first: {first.id}, "
            f"{first.duration_s:.1f} s of {first.text!r}): where a text is only a part of what was said, its sentence "
            "may lie on both sides of the split"
        )
    return told


def _longest_s(text: str) -> float:
    """Return for how long a text can be spoken, silence around it included."""
    compared = letters(text)
    syllables = len(_OF_SYLLABLES.findall(compared))
    return _SILENCE_S + _LETTER_S * (len(compared) + (_LETTERS_A_SYLLABLE - 1) * syllables)
