"""Hidden states of a whole corpus, from one pass of the encoder, kept on disk for every later fit and score.

::

    <cache>/<encoder hash>/<corpus content hash>/states.npy     (layer, frame, width), memory-mapped
    <cache>/<encoder hash>/<corpus content hash>/index.json     where each utterance's frames are, and what made them

The folder's names are hashes of everything that determines its content, and the index repeats it in full and is
compared on opening. A folder appears whole or not at all.
"""

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from tqdm import tqdm

from tractprobe.encoders import Encoder
from tractprobe.errors import EncoderError
from tractprobe.files import digest, read_json, staged_folder, write_json
from tractprobe.prepared import Entry, PreparedCorpus

log = logging.getLogger(__name__)

Storage = Literal["float16", "float32"]
_FORMAT = 1
_INDEX, _STATES = "index.json", "states.npy"


def rounded(states: torch.Tensor, storage: Storage) -> torch.Tensor:
    """Round hidden states as the cache stores them, so that cached and fresh ones are the same numbers."""
    if storage == "float32":
        return states.float()
    half = states.half()
    if not torch.isfinite(half).all():
        raise EncoderError("hidden states exceed the range of float16; use features.storage=float32")
    return half


class FeatureCache:
    """The states of one encoder on one corpus, read by utterance."""

    def __init__(self, folder: Path, identity: dict[str, Any]):
        self.folder = folder
        index = read_json(folder / _INDEX)
        if index["identity"] != identity:
            raise EncoderError(f"{folder} holds features of something else; remove it and they are made again")
        self._spans: dict[str, tuple[int, int]] = {id_: (start, count) for id_, start, count in index["utterances"]}
        self._states = np.load(folder / _STATES, mmap_mode="r", allow_pickle=False)

    def read(self, utterance_id: str, layers: Sequence[int]) -> Float[np.ndarray, "layer time width"]:
        """Return the states of one utterance at some layers."""
        start, count = self._spans[utterance_id]
        return np.stack([self._states[layer, start : start + count] for layer in layers])


def cached(
    encoder: Encoder, corpus: PreparedCorpus, cache: Path, storage: Storage, device: torch.device, batch_size: int = 8
) -> FeatureCache:
    """Open the states of an encoder on a corpus, making them first if they are not there yet."""
    identity = _identity(encoder, corpus, storage)
    folder = cache / digest(identity)[:16] / corpus.content_hash[:16]
    if not (folder / _INDEX).is_file():
        _fill(encoder, corpus, folder, identity, storage, device, batch_size)
    return FeatureCache(folder, identity)


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
    folder: Path,
    identity: dict[str, Any],
    storage: Storage,
    device: torch.device,
    batch_size: int,
) -> None:
    counts = [encoder.count_frames(entry.num_samples) for entry in corpus.entries]
    starts = np.concatenate([[0], np.cumsum(counts)]).tolist()
    spans = dict(zip((entry.id for entry in corpus.entries), starts, strict=False))
    shape = (encoder.num_layers, starts[-1], encoder.width)
    with staged_folder(folder) as staging:
        states = np.lib.format.open_memmap(staging / _STATES, mode="w+", dtype=np.dtype(storage), shape=shape)
        for entry, encoded in _encode(encoder.to(device), corpus, device, batch_size):
            start = spans[entry.id]
            states[:, start : start + encoded.shape[1]] = rounded(encoded, storage).cpu().numpy()
        states.flush()
        rows = [[entry.id, start, count] for entry, start, count in zip(corpus.entries, starts, counts, strict=False)]
        write_json(staging / _INDEX, {"identity": identity, "utterances": rows})


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
