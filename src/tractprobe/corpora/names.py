"""Names of utterances and speakers, which become parts of file names."""

import unicodedata
from collections.abc import Mapping
from typing import Any

_MAX_NAME = 256
_SAFE_LETTERS = {"ß": "ss", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "Ae", "œ": "oe", "ł": "l", "Ł": "L", "đ": "d", "ı": "i"}


def checked_original(names: Any) -> dict[str, str]:
    """Return the corpus's own names of an utterance; ValueError if they are anything but printable texts."""
    if not isinstance(names, Mapping) or not set(names) <= {"id", "speaker"}:
        raise ValueError("original: expected an object of id and speaker")
    if not all(isinstance(name, str) and 0 < len(name) <= _MAX_NAME and name.isprintable() for name in names.values()):
        raise ValueError(f"original: expected names of 1 to {_MAX_NAME} printable characters")
    return dict(sorted(names.items()))


def file_safe(name: str) -> str:
    """Return a name in letters, digits, ``.``, ``_`` and ``-`` of ASCII; one that is in them already stays as it is.

    >>> file_safe("Jörg Größe (2)"), file_safe("s1_001"), file_safe("林")
    ('Jorg_Grosse_-2-', 's1_001', 'u6797')
    """
    letters = (_SAFE_LETTERS.get(letter, letter) for letter in name.strip())
    letters = unicodedata.normalize("NFKD", "".join(letters))
    safe = "".join(map(_file_safe_letter, letters))
    return safe if not safe or safe[0].isalnum() else f"x{safe}"


def _file_safe_letter(letter: str) -> str:
    if letter.isspace():
        return "_"
    if letter.isascii():
        return letter if letter.isalnum() or letter in "._-" else "-"
    return "" if unicodedata.combining(letter) else f"u{ord(letter):04x}"


def originals(**names: str) -> dict[str, str]:
    """Return those of the names that ``file_safe`` changes.

    >>> originals(id="Anna 1", speaker="Anna")
    {'id': 'Anna 1'}
    """
    return {kind: name for kind, name in names.items() if file_safe(name) != name}
