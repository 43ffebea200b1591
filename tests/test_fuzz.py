"""Thousands of damaged files for each reader: every one gives utterances or a CorpusError (``make fuzz``)."""

import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
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
from damage import damaged, read_utterances, refused

from tractprobe.corpora.readers.emu import Emu
from tractprobe.corpora.readers.folder import Folder
from tractprobe.corpora.utterance import Reader

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
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of absurd numbers, which are refused a line later
def test_damaged_files_give_utterances_or_one_clear_error(corpus: str, tmp_path: Path):
    reader = WRITERS[corpus](tmp_path)
    assert all(read_utterances(reader, source) for source in reader.sources())
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
    """Read everything, and say whether it could be; anything but a CorpusError that names its file is the test's."""
    named = str(reader.root)
    if refused(reader.palates, named) | refused(reader.sources, named):
        return False
    return not sum(refused(partial(read_utterances, reader, source), named) for source in reader.sources())


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
