"""The audio of a prepared corpus in one file of 16-bit samples, mapped into memory, from which crops are read.

Decoding and checking a whole FLAC file for a crop of three seconds would take as long as learning from it. A store is
made once for each corpus, named by the corpus's content hash, and checked as a whole when it is opened.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int16, Int64

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.encoders.frames import count_frames
from tractprobe.pretraining.frames import HOP, STACK, WINDOW
from tractprobe.signals.audio import RATE_HZ, to_pcm16
from tractprobe.system.errors import ConfigError, CorpusError
from tractprobe.system.files import file_sha256, read_json
from tractprobe.system.products import INDEX, is_made_from, staged_folder, write_index
from tractprobe.system.progress import progress

log = logging.getLogger(__name__)

_SAMPLES = "samples.i16"
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Utterance:
    """Where an utterance lies in its store.

    Attributes
    ----------
    start, length
        In samples.
    frame, frames
        Its first frame among those of all utterances that are used, and how many it has.
    """

    entry: Entry
    store: int
    start: int
    length: int
    frame: int
    frames: int


class SpeechStore:
    """The samples of one corpus, opened; ``starts`` has where each utterance begins, by id."""

    def __init__(self, folder: Path, corpus: PreparedCorpus):
        index, path = read_json(folder / INDEX), folder / _SAMPLES
        try:
            known, count = str(index["sha256"]), int(index["samples"])
            self.starts: dict[str, int] = {str(name): int(start) for name, start in index["starts"].items()}
        except (KeyError, TypeError, ValueError, AttributeError):
            raise CorpusError(folder / INDEX, "damaged; remove the folder, and it is made again") from None
        if not path.is_file() or path.stat().st_size != 2 * count or file_sha256(path) != known:
            raise CorpusError(path, f"damaged; remove {folder}, and it is made again")
        ends = {entry.id: self.starts.get(entry.id, count) + entry.num_samples for entry in corpus.entries}
        if max(ends.values()) > count:
            raise CorpusError(folder / INDEX, f"not of corpus {corpus.name}; remove {folder}, and it is made again")
        self._path, self._count = path, count

    @cached_property
    def samples(self) -> Int16[np.ndarray, " sample"]:
        """All samples, mapped into memory."""
        return np.memmap(self._path, dtype="<i2", mode="r", shape=(self._count,))

    def __getstate__(self) -> dict[str, Any]:
        """Leave the samples out: a process that prepares batches maps the file again."""
        return {name: value for name, value in self.__dict__.items() if name != "samples"}


def opened_store(corpus: PreparedCorpus, cache: Path) -> SpeechStore:
    """Open a corpus's store, which is made first if there is none."""
    identity = {"format": _FORMAT, "corpus": corpus.content_hash}
    folder = cache / "speech" / f"{corpus.name}-{corpus.content_hash[:16]}"
    if not is_made_from(folder, identity):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with staged_folder(folder, lambda: is_made_from(folder, identity)) as staging:
            if staging is not None:
                _write(corpus, staging, identity)
    return SpeechStore(folder, corpus)


def _write(corpus: PreparedCorpus, folder: Path, identity: Mapping[str, Any]) -> None:
    hashed, starts, count = hashlib.sha256(), dict[str, int](), 0
    with open(folder / _SAMPLES, "wb") as file:
        for entry in progress(corpus.entries, f"reading the audio of {corpus.name}", unit="utterance"):
            samples = to_pcm16(corpus.audio(entry.id), RATE_HZ).astype("<i2").tobytes()
            hashed.update(samples)
            file.write(samples)
            starts[entry.id], count = count, count + entry.num_samples
    write_index(folder, identity, samples=count, sha256=hashed.hexdigest(), starts=starts)


class Speech:
    """The utterances of some languages of some corpora, numbered, with their samples.

    Raises
    ------
    ConfigError
        A language is in none of the corpora.
    """

    def __init__(self, corpora: Sequence[PreparedCorpus], cache: Path, languages: Sequence[str] | None = None):
        self.corpora = tuple(corpora)
        there = {entry.language for corpus in corpora for entry in corpus.entries}
        if missing := sorted(set(languages or ()) - there):
            names = ", ".join(corpus.name for corpus in corpora)
            raise ConfigError(
                f"pretrain.languages: {missing[0]} is in none of the corpora {names}; there are "
                f"{', '.join(sorted(there))}"
            )
        self._stores = [opened_store(corpus, cache) for corpus in corpora]
        self.utterances = tuple(self._numbered(set(languages) if languages else there))
        if not self.utterances:
            raise ConfigError("corpora: no utterance is as long as a frame; there is nothing to learn from")

    def _numbered(self, languages: set[str]) -> "list[Utterance]":
        chosen, frame = list[Utterance](), 0
        for number, (corpus, store) in enumerate(zip(self.corpora, self._stores, strict=True)):
            for entry in sorted(corpus.entries, key=lambda entry: entry.id):
                frames = count_frames(STACK, entry.num_samples)
                if entry.language in languages and frames:
                    place = number, store.starts[entry.id], entry.num_samples
                    chosen.append(Utterance(entry, *place, frame, frames))
                    frame += frames
        return chosen

    @cached_property
    def num_frames(self) -> int:
        """How many frames there are."""
        return sum(utterance.frames for utterance in self.utterances)

    @cached_property
    def hours(self) -> dict[str, float]:
        """Hours of each language."""
        hours: dict[str, float] = {}
        for utterance in self.utterances:
            language = utterance.entry.language
            hours[language] = hours.get(language, 0.0) + utterance.length / RATE_HZ / 3600
        return dict(sorted(hours.items()))

    @property
    def identity(self) -> dict[str, Any]:
        """What tells these utterances from others."""
        hashes = {corpus.name: corpus.content_hash for corpus in self.corpora}
        return {"corpora": hashes, "languages": list(self.hours)}

    def samples(self, number: int, start: int = 0, count: int | None = None) -> Float[np.ndarray, " sample"]:
        """Return samples of an utterance, full scale 1; all that there are from ``start`` by default."""
        utterance = self.utterances[number]
        count = utterance.length - start if count is None else count
        begin = utterance.start + start
        return self._stores[utterance.store].samples[begin : begin + count].astype(np.float32) / 32768

    def nearest_frames(self, number: int, samples: Float[np.ndarray, " place"]) -> Int64[np.ndarray, " place"]:
        """Return which of all frames has its centre nearest to each place (samples) in an utterance."""
        utterance = self.utterances[number]
        own = np.rint((samples - (WINDOW - 1) / 2) / HOP).astype(np.int64)
        return utterance.frame + np.clip(own, 0, utterance.frames - 1)
