"""What is said: names of symbols, in the words of each language, out of espeak-ng's own dictionaries.

espeak-ng reads emoji aloud. For that, its dictionaries hold the names that CLDR (Unicode License v3) gives some 1100
symbols, in 65 languages: two or three words each, such as *fire engine*, *gari la zimamoto*. So all languages
can say the same things.

A compiled dictionary (espeak-ng 1.52, ``compiledict.c``) begins with two int32: number of hash chains and offset of
the rules. Each chain is a sequence of entries, ended by a zero: length of the entry; length of the word (6 bits) with
flags, of which the highest says that nothing but flags follows; word; phonemes or, for a name, text; zero; flags.
"""

import struct
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import espeakng_loader

from vocaltract.errors import VocalTractError

VOICES = {"zh": "cmn"}
"""espeak-ng's names of languages that it calls otherwise than ISO 639-1."""
UNREADABLE = {"ja": "espeak-ng cannot read the Chinese characters in them"}
FEWEST = 1000
"""Of about 1120 symbols; languages with fewer would say other things than the rest."""
CHAINS, FLAGS_ONLY, WORD_BYTES = 1024, 0x80, 0x3F


def voice_of(language: str) -> str:
    """Return espeak-ng's name of a language."""
    return VOICES.get(language, language)


@cache
def symbols() -> tuple[str, ...]:
    """All symbols that have a name in English, by code point: what speech is drawn from, in every language."""
    return tuple(sorted(_symbol_names("en")))


@cache
def names(language: str) -> Mapping[str, str]:
    """Name of each symbol in a language, such as ``"it"``, ``"zh"`` or ``"pt-br"``.

    Raises
    ------
    VocalTractError
        If espeak-ng has no names of symbols in the language or cannot read them.
    """
    if (reason := UNREADABLE.get(language)) is not None:
        raise VocalTractError(f"language {language!r} has names of symbols, but {reason}")
    known = _symbol_names(voice_of(language).split("-")[0])
    if len(known) < FEWEST:
        raise VocalTractError(
            f"espeak-ng has no names of symbols in language {language!r}; it has them in {', '.join(languages())}"
        )
    return known


@cache
def languages() -> tuple[str, ...]:
    """All languages that ``names`` knows, without their regional forms."""
    files = Path(espeakng_loader.get_data_path()).glob("*_dict")
    codes = {voice: code for code, voice in VOICES.items()}
    found = (file.name.removesuffix("_dict") for file in files)
    readable = (name for name in found if codes.get(name, name) not in UNREADABLE)
    return tuple(sorted(codes.get(name, name) for name in readable if len(_symbol_names(name)) >= FEWEST))


@cache
def _symbol_names(dictionary: str) -> Mapping[str, str]:
    file = Path(espeakng_loader.get_data_path()) / f"{dictionary}_dict"
    if not dictionary.isalpha() or not file.is_file():
        return {}
    found = {}
    for word, said in _entries(file.read_bytes()):
        if _is_symbol(word) and (name := _text(said)):
            found[_text(word)] = name
    return found


def _entries(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Word and phonemes, or text, of each entry that has any; nothing of a file that is laid out otherwise."""
    chains, rules = struct.unpack_from("<ii", content)
    at = 8
    for _ in range(chains if chains == CHAINS and rules <= len(content) else 0):
        while at < rules and content[at]:
            end, begin = at + content[at], at + 2 + (content[at + 1] & WORD_BYTES)
            if not content[at + 1] & FLAGS_ONLY:
                yield content[at + 2 : begin], content[begin:end].split(b"\0", 1)[0]
            at = end
        at += 1


def _is_symbol(word: bytes) -> bool:
    """Whether an entry is of one emoji or other pictograph."""
    text = _text(word)
    return len(text) == 1 and ("\u2600" <= text <= "\u27bf" or "\U0001f300" <= text <= "\U0001faff")


def _text(content: bytes) -> str:
    """Decode text; empty if it is none, as phonemes are not."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return ""
    shown = "".join(sign for sign in text if unicodedata.category(sign) != "Cf")  # joiners are part of a spelling
    return " ".join(text.split()) if shown.isprintable() else ""
