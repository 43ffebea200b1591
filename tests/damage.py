"""Files as bad disks and careless hands leave them: reading one gives something, or a CorpusError that names it."""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from tractprobe.corpora.utterance import Reader, Utterance
from tractprobe.system.errors import CorpusError

Choice = TypeVar("Choice")
Way = Callable[[bytes, np.random.Generator], bytes]
Breakages = dict[str, tuple[Callable[[Path], Any], str]]
FRONTS = (256, 1500, 4000)  # bytes in which headers lie


def refusals(path: Path, read: Callable[[], Any], count: int = 60, *, named: str | None = None) -> int:
    """Damage one file in many ways, read after each, and count the times that it was refused by name."""
    return sum(refused(read, named or str(path)) for _ in damages(path, count))


def refusals_in_corpus(reader: Reader, count: int = 60) -> int:
    """Damage each file of a corpus in turn, and read all of the corpus each time."""
    files = sorted(path for path in reader.root.rglob("*") if path.is_file())
    named = str(reader.root)
    return sum(refused(read, named) for path in files for _ in damages(path, count) for read in everything(reader))


def everything(reader: Reader) -> list[Callable[[], Any]]:
    return [reader.palates, *(partial(read_utterances, reader, source) for source in reader.sources())]


def read_utterances(reader: Reader, source: str) -> list[Utterance]:
    """Read a source; what is wrong with one of its utterances counts as what is wrong with all."""
    read = []
    for one in reader.read(source):
        if isinstance(one, CorpusError):
            raise one
        assert isinstance(one, Utterance)
        read.append(one)
    return read


def refused(read: Callable[[], Any], named: str) -> bool:
    """Say whether reading ends in a CorpusError with some name in it; all other exceptions are the test's."""
    forget()
    try:
        read()
    except CorpusError as error:
        assert named in str(error), f"{error} does not name {named}"
        return True
    return False


def forget() -> None:
    """Empty what readers remember of files."""
    for clear in clearings(len(sys.modules)):
        clear()


@cache
def clearings(modules: int) -> list[Callable[[], None]]:
    """Find the readers' caches; again once more modules are loaded."""
    readers = [module for name, module in list(sys.modules.items()) if name.startswith("tractprobe.corpora")]
    values = [value for module in readers for value in vars(module).values()]
    return [value.cache_clear for value in values if hasattr(value, "cache_clear")]


def assert_refused(root: Path, read: Callable[[], Any], breakage: tuple[Callable[[Path], Any], str]) -> CorpusError:
    """Break something under a folder: reading is one CorpusError, which matches the breakage's pattern."""
    change, problem = breakage
    change(root)
    with pytest.raises(CorpusError, match=problem) as error:
        read()
    return error.value


def damages(path: Path, count: int, seed: int = 0) -> Iterator[None]:
    """Put one damaged copy after another in a file's place, and at last the file itself."""
    content = path.read_bytes()
    try:
        for broken in damaged_copies(content, count, seed):
            path.write_bytes(broken)
            yield
    finally:
        path.write_bytes(content)


def damaged_copies(content: bytes, count: int, seed: int = 0, ways: Sequence[Way] | None = None) -> Iterator[bytes]:
    random = np.random.default_rng(seed)
    return (damaged(content, random, ways) for _ in range(count))


def damaged(content: bytes, random: np.random.Generator, ways: Sequence[Way] | None = None) -> bytes:
    """Return a file's bytes after one to three small misfortunes, or one large."""
    for _ in range(random.integers(1, 4)):
        content = one_of(ways or WAYS, random)(content, random)
    return content


def one_of(choices: Sequence[Choice], random: np.random.Generator) -> Choice:
    return choices[random.integers(len(choices))]


def in_front(way: Way) -> Way:
    def damaged_in_front(content: bytes, random: np.random.Generator) -> bytes:
        reach = one_of(FRONTS, random)
        return way(content[:reach], random) + content[reach:]

    return damaged_in_front


def flipped(content: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for place in random.integers(len(content), size=random.integers(1, 8)) if content else ():
        changed[place] ^= 1 << random.integers(8)
    return bytes(changed)


def replaced(content: bytes, random: np.random.Generator) -> bytes:
    place = random.integers(max(len(content), 1))
    return content[:place] + random.bytes(1) + content[place + 1 :]


def cut(content: bytes, random: np.random.Generator) -> bytes:
    return content[: random.integers(len(content) + 1)]


def left_out(content: bytes, random: np.random.Generator) -> bytes:
    place = random.integers(len(content) + 1)
    longest = one_of((8, 64, 200, len(content) + 1), random)
    return content[:place] + content[place + random.integers(1, max(longest, 2)) :]


def put_in(content: bytes, random: np.random.Generator) -> bytes:
    place = random.integers(len(content) + 1)
    return content[:place] + random.bytes(random.integers(1, 20)) + content[place:]


def doubled(content: bytes, random: np.random.Generator) -> bytes:
    first, last = sorted(random.integers(len(content) + 1, size=2))
    return content[:last] + content[first:]


def overwritten(content: bytes, random: np.random.Generator) -> bytes:
    place = random.integers(len(content) + 1)
    new = one_of(
        (b"\xff" * 8, b"\0" * 8, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"nan ", b"-1 ", b"\n", b"1e308 "), random
    )
    return content[:place] + new + content[place + len(new) :]


def other_numbers(content: bytes, random: np.random.Generator) -> bytes:
    """Make a digit of a text a huge or negative number."""
    digits = [place for place, byte in enumerate(content[:4096]) if chr(byte).isdigit()]
    if not digits:
        return content
    place = one_of(digits, random)
    return content[:place] + one_of((b"99999999999", b"-7", b"0", b"1e9", b"\xc2\xb2"), random) + content[place + 1 :]


ANYWHERE: tuple[Way, ...] = (flipped, replaced, cut, left_out, put_in, doubled, overwritten, other_numbers)
WAYS = (*ANYWHERE, *map(in_front, ANYWHERE))
