"""Hidden states of a whole corpus, from one pass of the encoder, kept on disk for every later fit and score.

::

    <cache>/<encoder hash>/<corpus content hash>/states.npy     (layer, frame, width), memory-mapped
    <cache>/<encoder hash>/<corpus content hash>/index.json     where each utterance's frames are, and what made them

The folder's names are hashes of everything that determines its content; the index repeats it in full, with a checksum
of each utterance and layer that is compared on reading. A folder appears whole or not at all, and is made by one
process while others wait for it.
"""

import logging
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Shaped
from tqdm import tqdm

from tractprobe.encoders import Encoder
from tractprobe.errors import ConfigError, CorpusError, EncoderError, first_line
from tractprobe.files import digest, read_json, staged_folder, write_json
from tractprobe.prepared import Entry, PreparedCorpus

log = logging.getLogger(__name__)

Storage = Literal["float16", "float32"]
_FORMAT = 2
_INDEX, _STATES = "index.json", "states.npy"


def as_storage(name: str) -> Storage:
    """Return a precision by its name; ConfigError if states are not stored so."""
    if name not in ("float16", "float32"):
        raise ConfigError(f"features.storage={name}: float16 or float32")
    return name


def rounded(states: torch.Tensor, storage: Storage) -> torch.Tensor:
    """Round hidden states as the cache stores them, so that cached and fresh ones are the same numbers."""
    if storage == "float32":
        return states.float()
    half = states.half()
    if not torch.isfinite(half).all():
        raise EncoderError("hidden states exceed the range of float16; use features.storage=float32")
    return half


class FeatureCache:
    """The states of one encoder on one corpus, read by utterance.

    Raises
    ------
    EncoderError
        The files are not whole, or were made by something else.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]):
        self.folder = folder
        try:
            index = read_json(folder / _INDEX)
            self._states = np.load(folder / _STATES, mmap_mode="r", allow_pickle=False)
            spans = {id_: (start, count, checks) for id_, start, count, checks in index["utterances"]}
        except (CorpusError, OSError, ValueError, TypeError, KeyError) as error:
            raise EncoderError(f"{folder}: not whole ({first_line(error)})") from None
        if index["identity"] != identity or list(self._states.shape) != index["shape"]:
            raise EncoderError(f"{folder} holds features of something else")
        self._spans: dict[str, tuple[int, int, list[int]]] = spans

    def read(self, utterance_id: str, layers: Sequence[int]) -> Shaped[np.ndarray, "layer time width"]:
        """Return the states of one utterance at some layers, checked against what was written."""
        start, count, checks = self._spans[utterance_id]
        states = np.stack([self._states[layer, start : start + count] for layer in layers])
        if [_check(one) for one in states] != [checks[layer] for layer in layers]:
            raise EncoderError(f"{self.folder}: damaged at {utterance_id}; remove the folder and it is made again")
        return states


def cached(
    encoder: Encoder, corpus: PreparedCorpus, cache: Path, storage: Storage, device: torch.device, batch_size: int = 8
) -> FeatureCache:
    """Open the states of an encoder on a corpus, making them first if they are not there, or not whole."""
    identity = _identity(encoder, corpus, storage)
    folder = cache / digest(identity)[:16] / corpus.content_hash[:16]
    with staged_folder(folder, lambda: _is_whole(folder, identity)) as staging:
        if staging is not None:
            _fill(encoder, corpus, staging, identity, storage, device, batch_size)
    return FeatureCache(folder, identity)


def _is_whole(folder: Path, identity: dict[str, Any]) -> bool:
    if not folder.exists():
        return False
    try:
        FeatureCache(folder, identity)
    except EncoderError as error:
        log.warning("%s; it is made again", error)
        return False
    return True


def _check(states: Shaped[np.ndarray, "time width"]) -> int:
    return zlib.crc32(np.ascontiguousarray(states).data)


def _identity(encoder: Encoder, corpus: PreparedCorpus, storage: Storage) -> dict[str, Any]:
    import transformers

    return {
        "format": _FORMAT,
        "encoder": encoder.identity,
        "corpus": corpus.content_hash,
        "storage": storage,
        "transformers": transformers.__version__,  # releases disagree on what a hidden state is
    }


def _fill(
    encoder: Encoder,
    corpus: PreparedCorpus,
    staging: Path,
    identity: dict[str, Any],
    storage: Storage,
    device: torch.device,
    batch_size: int,
) -> None:
    counts = [encoder.count_frames(entry.num_samples) for entry in corpus.entries]
    starts = np.concatenate([[0], np.cumsum(counts)]).tolist()
    begin = dict(zip((entry.id for entry in corpus.entries), starts, strict=False))
    shape = (encoder.num_layers, starts[-1], encoder.width)
    states = np.lib.format.open_memmap(staging / _STATES, mode="w+", dtype=np.dtype(storage), shape=shape)
    rows = []
    for entry, encoded in _encode(encoder.to(device), corpus, device, batch_size):
        values, start = rounded(encoded, storage).cpu().numpy(), begin[entry.id]
        states[:, start : start + values.shape[1]] = values
        rows.append([entry.id, start, values.shape[1], [_check(layer) for layer in values]])
    states.flush()
    write_json(staging / _INDEX, {"identity": identity, "shape": list(shape), "utterances": sorted(rows)})


def _encode(
    encoder: Encoder, corpus: PreparedCorpus, device: torch.device, batch_size: int
) -> Iterator[tuple[Entry, torch.Tensor]]:
    """Yield each utterance's states, longest utterances first, so that batches waste little on padding."""
    entries = sorted(corpus.entries, key=lambda entry: -entry.num_samples)
    total_s, began = sum(entry.duration_s for entry in entries), time.perf_counter()
    description = f"encoding {corpus.name} with {encoder.label}"
    bar = tqdm(
        total=round(total_s), desc=description, unit=" s of speech", disable=not sys.stderr.isatty(), leave=False
    )
    with bar:
        for first in range(0, len(entries), batch_size):
            batch = entries[first : first + batch_size]
            waves = [torch.from_numpy(corpus.audio(entry.id)).to(device) for entry in batch]
            yield from zip(batch, encoder(waves), strict=True)
            bar.update(round(sum(entry.duration_s for entry in batch)))
    elapsed_s = time.perf_counter() - began
    log.info("%s: %.0f s of speech in %.1f s (%.1f x real time)", description, total_s, elapsed_s, total_s / elapsed_s)
