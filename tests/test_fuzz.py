"""Thousands of damaged files for each reader: every one gives utterances or a CorpusError (``make fuzz``)."""

import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_articulograph
import test_ema_mae
import test_emu
import test_frost
import test_hprc
import test_mngu0
import test_mocha
import test_mspka
import test_pb2007
import test_spire
import test_torgo
import test_usc_timit
import test_wave
import test_xrmb
from conftest import write_utterance

from tractprobe.corpora import Reader, Utterance
from tractprobe.corpora.emu import Emu
from tractprobe.corpora.folder import Folder
from tractprobe.errors import CorpusError

pytestmark = pytest.mark.fuzz

FILES = 2000
LONGEST_S = 20.0
MOST_MEMORY_MIB = 600


def folder(root: Path) -> Reader:
    for number in range(2):
        write_utterance(root, f"u{number}", speaker="anna", language="it", text="prova", seed=number, duration_s=0.4)
    return Folder("lab", root)


def emu(root: Path) -> Reader:
    test_emu.write_bundle(root)
    return Emu("lab", root, "de")


WRITERS: dict[str, Callable[[Path], Reader]] = {
    "articulograph": test_articulograph.write,
    "ema_mae": test_ema_mae.write,
    "emu": emu,
    "folder": folder,
    "frost": test_frost.write,
    "hprc": test_hprc.write,
    "mngu0 basic": test_mngu0.write,
    "mngu0 norm": test_mngu0.write_norm,
    "mocha": test_mocha.write,
    "mspka": test_mspka.write,
    "ndi_wave": test_wave.write,
    "pb2007": test_pb2007.write,
    "spire": test_spire.write,
    "torgo": test_torgo.write,
    "usc_timit": test_usc_timit.write,
    "xrmb": test_xrmb.write,
}


@pytest.mark.parametrize("corpus", WRITERS)
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_give_utterances_or_one_clear_error(corpus: str, tmp_path: Path):
    reader = WRITERS[corpus](tmp_path)
    assert all(isinstance(one, Utterance) for source in reader.sources() for one in read(reader, source))
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    random, refused = np.random.default_rng(0), 0
    before_mib = peak_mib()
    for number in range(FILES):
        path = files[number % len(files)]
        original = path.read_bytes()
        path.write_bytes(damaged(original, random))
        with at_most(LONGEST_S):
            refused += not survived(reader)
        path.write_bytes(original)
    assert refused > FILES / 20
    assert peak_mib() - before_mib < MOST_MEMORY_MIB


def survived(reader: Reader) -> bool:
    """Read everything; anything but a CorpusError that names its file goes on to the test."""
    forget()
    whole = True
    try:
        reader.palates()
        sources = reader.sources()
    except CorpusError:
        return False
    for source in sources:
        try:
            errors = [one for one in read(reader, source) if isinstance(one, CorpusError)]
        except CorpusError as error:
            errors = [error]
        assert all(str(reader.root) in str(error) for error in errors)
        whole = whole and not errors
    return whole


def read(reader: Reader, source: str) -> list[Utterance | CorpusError]:
    return list(reader.read(source))


def forget() -> None:
    """Empty what modules remember of files."""
    for name, module in list(sys.modules.items()):
        if name.startswith("tractprobe.corpora"):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    """Return a file's bytes after one to three small misfortunes, or one large."""
    for _ in range(random.integers(1, 4)):
        content = DAMAGE[random.integers(len(DAMAGE))](content, random)
    return content


def flipped(content: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for place in random.integers(len(content), size=random.integers(1, 8)) if content else ():
        changed[place] ^= 1 << random.integers(8)
    return bytes(changed)


def flipped_in_front(content: bytes, random: np.random.Generator) -> bytes:
    return flipped(content[:256], random) + content[256:]


def cut(content: bytes, random: np.random.Generator) -> bytes:
    return content[: random.integers(len(content) + 1)]


def left_out(content: bytes, random: np.random.Generator) -> bytes:
    first, last = sorted(random.integers(len(content) + 1, size=2))
    return content[:first] + content[min(last, first + 64) :]


def doubled(content: bytes, random: np.random.Generator) -> bytes:
    first, last = sorted(random.integers(len(content) + 1, size=2))
    return content[:last] + content[first:]


def overwritten(content: bytes, random: np.random.Generator) -> bytes:
    place = random.integers(len(content) + 1)
    new: Any = random.choice(
        [b"\xff" * 8, b"\0" * 8, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"nan ", b"-1 ", b"\n", b"1e308 "]
    )
    return content[:place] + bytes(new) + content[place + len(new) :]


def other_numbers(content: bytes, random: np.random.Generator) -> bytes:
    """Make a digit of a text a huge or negative number."""
    digits = [place for place, byte in enumerate(content[:4096]) if chr(byte).isdigit()]
    if not digits:
        return content
    place, number = (
        digits[random.integers(len(digits))],
        random.choice([b"99999999999", b"-7", b"0", b"1e9", b"\xc2\xb2"]),
    )
    return content[:place] + bytes(number) + content[place + 1 :]


DAMAGE = [flipped, flipped_in_front, cut, left_out, doubled, overwritten, other_numbers]


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    def too_long(*_: Any) -> None:
        raise TimeoutError(f"not read within {seconds} s")

    signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
