"""Hidden states of a whole corpus, from one pass of the encoder, cached on disk for every later fit and score.

::

    <cache>/<encoder hash>/<corpus content hash>/states.npy     (layer, frame, width), memory-mapped
    <cache>/<encoder hash>/<corpus content hash>/index.json     each utterance's span of frames, and the identity

The folder's names are hashes of everything that determines its content; the index repeats all of it in full, with a
checksum for each utterance and layer that is compared on reading. A folder is written atomically, by one process while
others wait for it; after a kill, the next process resumes with the same batches.
"""

import logging
import os
import sys
import time
import zlib
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from tractprobe.corpora.languages import is_language
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.encoders.encoder import Encoder, Storage
from tractprobe.system.errors import ConfigError, CorpusError, EncoderError, first_line
from tractprobe.system.files import digest, is_there, read_json, writing
from tractprobe.system.products import INDEX, Journal, staged_folder, write_index

log = logging.getLogger(__name__)

_FORMAT = 2
_STATES = "states.npy"


def as_storage(name: str) -> Storage:
    """Return the precision with a name; ConfigError unless states can be stored in it."""
    if name not in ("float16", "float32"):
        raise ConfigError(f"features.storage={name}: expected float16 or float32")
    return name


def rounded(
    states: Shaped[torch.Tensor, "layer *frames width"],
    storage: Storage,
    layers: Sequence[int] | None = None,
    of: str = "hidden states",
) -> Shaped[torch.Tensor, "layer *frames width"]:
    """Round hidden states as the cache stores them, so that cached and freshly encoded states are identical.

    Parameters
    ----------
    layers
        Which layers these are, for messages; by default all of an encoder's.
    of
        Whose states these are, for messages.

    Raises
    ------
    EncoderError
        A layer holds NaN or infinity, or exceeds the range of float16.
    """
    check_finite(states, layers, of)
    if storage == "float32":
        return states.float()
    half = states.half()
    if (layer := _first_not_finite(half, layers)) is not None:
        raise EncoderError(f"{of}: layer {layer} exceeds the range of float16; use features.storage=float32")
    return half


def check_finite(
    states: Shaped[torch.Tensor, "layer *frames width"], layers: Sequence[int] | None = None, of: str = "hidden states"
) -> None:
    """Raise EncoderError if a layer holds NaN or infinity; parameters are ``rounded``'s."""
    if (layer := _first_not_finite(states, layers)) is not None:
        causes = "its weights may be damaged, or model.dtype has too small a range for it (float32 has the largest)"
        raise EncoderError(f"{of}: layer {layer} holds NaN or infinity; {causes}")


def _first_not_finite(states: torch.Tensor, layers: Sequence[int] | None) -> int | None:
    if not states.numel() or torch.stack(states.aminmax()).isfinite().all():  # both extremes are NaN if any number is
        return None
    index = next(index for index, layer in enumerate(states) if not torch.stack(layer.aminmax()).isfinite().all())
    return index if layers is None else layers[index]


class FeatureCache:
    """The states of one encoder on one corpus, read by utterance.

    Raises
    ------
    EncoderError
        The files are incomplete, or belong to a different encoder or corpus.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]):
        self.folder = folder
        try:
            index = read_json(folder / INDEX)
            self._states = np.load(folder / _STATES, mmap_mode="r", allow_pickle=False)
            made_of, shape, rows = index["identity"], index["shape"], index["utterances"]
            self._spans = dict(_span(self._states, *row) for row in rows)
        except (CorpusError, OSError, ValueError, TypeError, KeyError, IndexError) as error:
            raise EncoderError(f"{folder}: incomplete ({first_line(error)})") from None
        if made_of != identity or list(self._states.shape) != shape:
            raise EncoderError(f"{folder} contains states of a different encoder or corpus")

    def read(self, utterance_id: str, layers: Sequence[int]) -> Shaped[np.ndarray, "layer time width"]:
        """Return the states of one utterance at given layers, verified by their checksums."""
        if utterance_id not in self._spans:
            raise EncoderError(f"{self.folder}: lacks {utterance_id}; remove the folder to have it made again")
        start, count, checks = self._spans[utterance_id]
        states = np.stack([self._states[layer, start : start + count] for layer in layers])
        if [_checksum(layer) for layer in states] != [checks[layer] for layer in layers]:
            raise EncoderError(f"{self.folder}: damaged at {utterance_id}; remove the folder to have it made again")
        return states


def _span(
    states: np.ndarray, id_: str, start: int, count: int, checks: list[int]
) -> tuple[str, tuple[int, int, list[int]]]:
    """Return a row of the index; ValueError if it does not fit the states."""
    is_span = isinstance(id_, str) and type(start) is type(count) is int and isinstance(checks, list)
    if not is_span or not 0 <= start <= start + count <= states.shape[1] or len(checks) != len(states):
        raise ValueError(f"a row of the index that does not fit the states: {id_!r:.60}")
    return id_, (start, count, checks)


def cached(
    encoder: Encoder,
    corpus: PreparedCorpus,
    cache: Path,
    storage: Storage,
    device: torch.device,
    batch_size: int = 8,
    num_workers: int = 0,
) -> FeatureCache:
    """Open the states of an encoder on a corpus; missing states are encoded first, resuming after a kill."""
    identity = _identity(encoder, corpus, storage)
    folder = cache / digest(identity)[:16] / corpus.content_hash[:16]
    name = digest([identity, batch_size])[:16]
    with staged_folder(folder, lambda: _is_whole(folder, identity), resume=name) as staging:
        if staging is not None:
            _fill(encoder, corpus, staging, identity, storage, device, batch_size, num_workers)
    return FeatureCache(folder, identity)


def _is_whole(folder: Path, identity: dict[str, Any]) -> bool:
    if not is_there(folder):
        return False
    try:
        FeatureCache(folder, identity)
    except EncoderError as error:
        log.warning("%s; making it again", error)
        return False
    return True


def _checksum(states: Shaped[np.ndarray, "time width"]) -> int:
    return zlib.crc32(np.ascontiguousarray(states).data)


def _identity(encoder: Encoder, corpus: PreparedCorpus, storage: Storage) -> dict[str, Any]:
    import transformers

    return {
        "format": _FORMAT,
        "encoder": encoder.identity,
        "corpus": corpus.content_hash,
        "storage": storage,
        "transformers": transformers.__version__,  # releases differ in what a hidden state is
    }


def _fill(
    encoder: Encoder,
    corpus: PreparedCorpus,
    staging: Path,
    identity: dict[str, Any],
    storage: Storage,
    device: torch.device,
    batch_size: int,
    num_workers: int,
) -> None:
    """Encode the utterances missing from the journal; batches are noted there when their states are in place."""
    counts = [encoder.count_frames(entry.num_samples) for entry in corpus.entries]
    starts = np.concatenate([[0], np.cumsum(counts)]).tolist()
    begin = dict(zip((entry.id for entry in corpus.entries), starts, strict=False))
    shape = (encoder.num_layers, starts[-1], encoder.width)
    states, journal = _opened(staging / _STATES, shape, storage), Journal(staging)
    done = _noted(journal, states, begin)
    if done:
        log.info("resuming: %d of %d utterances done", len(done), len(corpus.entries))
    with journal.noting() as note:
        for entry, encoded in _encode(encoder.to(device), corpus, done, device, batch_size, num_workers):
            values = rounded(encoded, storage, of=f"{encoder.label}, {entry.id}").cpu().numpy()
            start = begin[entry.id]
            states[:, start : start + values.shape[1]] = values
            done[entry.id] = [entry.id, start, values.shape[1], [_checksum(layer) for layer in values]]
            note(done[entry.id])
    states.flush()
    write_index(staging, identity, shape=list(shape), utterances=sorted(done.values()))
    journal.remove()


def _opened(path: Path, shape: tuple[int, ...], storage: Storage) -> np.memmap:
    """Open the file of states: as an earlier process left it, or a new one."""
    try:
        states = np.lib.format.open_memmap(path, mode="r+")
        if states.shape == shape and states.dtype == np.dtype(storage):
            return states
    except (OSError, ValueError):
        pass
    Journal(path.parent).remove()
    states = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(storage), shape=shape)
    with writing(path), open(path, "rb+") as file:  # a disk that fills up later would kill the process
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return states


def _noted(journal: Journal, states: np.memmap, begin: Mapping[str, int]) -> dict[str, list[Any]]:
    """Return an earlier process's journal by utterance, up to the first entry that its states do not match."""
    done: dict[str, list[Any]] = {}
    for utterance in journal.entries():
        id_, start, count, checks = utterance
        if begin.get(id_) != start or [_checksum(layer[start : start + count]) for layer in states] != checks:
            break
        done[id_] = utterance
    journal.keep(len(done))
    return done


def _encode(
    encoder: Encoder,
    corpus: PreparedCorpus,
    done: Container[str],
    device: torch.device,
    batch_size: int,
    num_workers: int,
) -> Iterator[tuple[Entry, torch.Tensor]]:
    """Yield the states of each utterance that is not done; the longest come first, so that batches need little padding.

    Batches do not depend on what is done; one that is only partly done is encoded again. Babble has batches of its own:
    what speech is padded with, and so the last bits of its states, does not depend on it.
    """
    entries = sorted(corpus.entries, key=lambda entry: (-entry.num_samples, entry.id))
    speech = [entry for entry in entries if is_language(entry.language)]
    babble = [entry for entry in entries if not is_language(entry.language)]
    batches = [
        side[first : first + batch_size] for side in (speech, babble) for first in range(0, len(side), batch_size)
    ]
    batches = [batch for batch in batches if not all(entry.id in done for entry in batch)]
    total_s, began = sum(entry.duration_s for batch in batches for entry in batch), time.perf_counter()
    description = f"encoding {corpus.name} with {encoder.label}"
    bar = tqdm(
        total=round(total_s), desc=description, unit=" s of speech", disable=not sys.stderr.isatty(), leave=False
    )
    with bar:
        waves = DataLoader(_Waves(corpus, batches), batch_size=None, num_workers=num_workers)
        for batch, decoded in zip(batches, waves, strict=True):
            encoded = encoder([wave.to(device) for wave in decoded])
            yield from ((entry, states) for entry, states in zip(batch, encoded, strict=True) if entry.id not in done)
            bar.update(round(sum(entry.duration_s for entry in batch)))
    elapsed_s = time.perf_counter() - began
    log.info("%s: %.0f s of speech in %.1f s (%.1f x real time)", description, total_s, elapsed_s, total_s / elapsed_s)


class _Waves(Dataset[list[torch.Tensor]]):
    """Batches of waves, decoded ahead by worker processes if there are any."""

    def __init__(self, corpus: PreparedCorpus, batches: Sequence[Sequence[Entry]]):
        self.corpus, self.batches = corpus, batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> list[torch.Tensor]:
        return [torch.from_numpy(self.corpus.audio(entry.id)) for entry in self.batches[index]]
