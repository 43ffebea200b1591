"""Lists of numbered sentences, such as MOCHA-TIMIT's (``001. Its text.``) and MSPKA's (``12) Il testo.``)."""

import re
from pathlib import Path

from tractprobe.system.errors import CorpusError

_NUMBERED = re.compile(r"([0-9]{1,9})[.)\s]\s*(\S.*)")


def numbered_sentence(path: Path, content: str, number: int) -> str:
    """Return the sentence with a number from the content of the list at ``path``; lines without a number are ignored.

    Raises
    ------
    CorpusError
        There is no such sentence, or there are several different ones.
    """
    matches = [_NUMBERED.fullmatch(line.strip()) for line in content.split("\n")]
    texts = {match[2] for match in matches if match and int(match[1]) == number}
    if len(texts) != 1:
        expected = f"expected one line such as '{number}. Its text.'"
        raise CorpusError(path, f"{len(texts)} sentences with the number {number}; {expected}")
    return texts.pop()
