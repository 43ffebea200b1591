"""One pass over prepared corpora: frames in, the sums of every group out (``linear`` takes them from there).

Groups come one after another and each is written, while the next is encoded, when its last frame was added. So memory
holds two groups however many there are, a group's sums do not depend on what else is passed over, and a pass that was
killed goes on behind the last group that was written, to the same bits.
"""

import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.data.datamodule import Batch, EmaData, StateSource
from tractprobe.data.splits import Split
from tractprobe.data.targets import Targets
from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.layers import read_by, side_by_side
from tractprobe.encoders.state_cache import Storage
from tractprobe.probes.linear.group_moments import GroupSums, SavedSums
from tractprobe.probes.linear.moment_store import Group, SumStore
from tractprobe.probes.states import states_of
from tractprobe.system.errors import CorpusError
from tractprobe.system.files import digest, read_json, staged_folder, write_json
from tractprobe.system.threads import give_back

log = logging.getLogger(__name__)

_FORMAT, _INDEX = 1, "index.json"
_GIVEN_BACK = 32  # groups behind which freed memory is given back: behind each, it would be asked for again at once


def partition(corpora: Sequence[PreparedCorpus], splits: Sequence[Split]) -> tuple[Group, ...]:
    """Divide utterances into the fewest groups of one speaker and language that no split cuts through."""
    parts = [part for split in splits for part in _parts(split)]
    groups: dict[tuple[str, str, str, tuple[bool, ...]], list[str]] = {}
    for corpus in corpora:
        for entry in corpus.entries:
            sides = tuple(entry.id in part for part in parts)
            if any(sides):
                groups.setdefault((entry.corpus, entry.language, entry.speaker, sides), []).append(entry.id)
    return tuple(Group(*key[:3], ids=tuple(sorted(ids))) for key, ids in sorted(groups.items()))


def _parts(split: Split) -> list[set[str]]:
    return [set(part) for part in (split.development, split.test)] + [
        set(part) for fold in split.folds for part in (fold.train, fold.validation)
    ]


def sum_groups(
    encoder: Encoder,
    corpora: Sequence[PreparedCorpus],
    groups: Sequence[Group],
    targets: Targets,
    inputs: Mapping[str, Sequence[int]],
    folder: Path,
    *,
    states: Mapping[str, StateSource] | None = None,
    storage: Storage = "float16",
    device: torch.device | str = "cpu",
    batch_size: int = 8,
    batch_s: float = 120.0,
    num_workers: int = 0,
) -> SumStore:
    """Return the sums of groups, from disk if they were passed over before.

    Parameters
    ----------
    inputs
        Name of each input to the encoder's layers that it is made of, side by side.
    folder
        Where sums of any kind are kept; these have a folder of their own in it, named by all that determines them.
    states
        Cached hidden states by corpus; where there are none, waves are encoded now.
    """
    layers = read_by([tuple(some) for some in inputs.values()])
    ids = [id_ for group in groups for id_ in group.ids]
    data = EmaData(
        corpora,
        Split(tuple(ids), ()),
        encoder.geometry,
        encoder.count_frames,
        layers=layers,
        states=states,
        targets=targets,
        standardise=False,
        batch_size=batch_size,
        batch_s=batch_s,
        num_workers=num_workers,
    )
    data.setup()
    identity = _identity(encoder, corpora, groups, targets, inputs, storage)
    widths = {name: encoder.width * len(some) for name, some in inputs.items()}
    place = folder / digest(identity)[:16]
    names = [f"group-{number:05}.safetensors" for number in range(len(groups))]
    with staged_folder(place, lambda: _is_whole(place, identity, names, widths), resume=place.name) as staging:
        if staging is not None:
            sums = _Pass(data, groups, [staging / name for name in names], inputs, widths, torch.device(device))
            sums.run(encoder.to(device), layers, storage)
            write_json(staging / _INDEX, {"identity": identity})
    give_back()
    return SumStore(groups, [place / name for name in names], widths)


def _identity(
    encoder: Encoder,
    corpora: Sequence[PreparedCorpus],
    groups: Sequence[Group],
    targets: Targets,
    inputs: Mapping[str, Sequence[int]],
    storage: Storage,
) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "encoder": encoder.identity,
        "corpora": {corpus.name: corpus.content_hash for corpus in corpora},
        "inputs": {name: list(some) for name, some in inputs.items()},
        "targets": [list(targets.names), targets.smoothing.identity],
        "storage": storage,
        "groups": [list(group.ids) for group in groups],
    }


def _is_whole(folder: Path, identity: Any, names: Sequence[str], widths: Mapping[str, int]) -> bool:
    try:
        known = read_json(folder / _INDEX)["identity"] == identity
    except (CorpusError, KeyError, TypeError):
        return False
    return known and all(SavedSums(folder / name).is_whole(list(widths)) for name in names)


class _Pass:
    """The pass itself: which groups are still to be summed, and where they go."""

    def __init__(
        self,
        data: EmaData,
        groups: Sequence[Group],
        files: Sequence[Path],
        inputs: Mapping[str, Sequence[int]],
        widths: Mapping[str, int],
        device: torch.device,
    ):
        self.data, self.inputs, self.widths, self.device = data, inputs, widths, device
        self.missing = [
            (group, file)
            for group, file in zip(groups, files, strict=True)
            if not (file.exists() and SavedSums(file).is_whole(list(widths)))
        ]
        if len(self.missing) < len(groups):
            log.info("going on behind %d of %d groups", len(groups) - len(self.missing), len(groups))

    def run(self, encoder: Encoder, layers: Sequence[int], storage: Storage) -> None:
        """Sum what is missing."""
        batches = [
            self.data.batching.in_order([self.data.entries[id_] for id_ in group.ids]) for group, _ in self.missing
        ]
        loaded = self._with_progress(iter(self.data.loader([batch for some in batches for batch in some])))
        with ThreadPoolExecutor(1) as writer:
            written: Future[None] | None = None
            for number, ((_, file), own) in enumerate(zip(self.missing, batches, strict=True), start=1):
                sums = GroupSums(self.widths, len(self.data.targets.channels), self.device)
                for _ in own:
                    batch = next(loaded).to(self.device)
                    used = batch.valid.any(dim=2)
                    states = states_of(batch, encoder, layers, storage)[:, used]
                    parts = {name: side_by_side(states, layers, [tuple(some)])[0] for name, some in self.inputs.items()}
                    sums.include(parts, batch.target[used], batch.valid[used])
                if written is not None:
                    written.result()
                written = writer.submit(sums.save, file)
                if number % _GIVEN_BACK == 0:
                    give_back()
            if written is not None:
                written.result()
        next(loaded, None)

    def _with_progress(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        seconds = sum(self.data.entries[id_].duration_s for group, _ in self.missing for id_ in group.ids)
        began = time.perf_counter()
        with tqdm(
            total=round(seconds),
            desc="summing frames",
            unit=" s of speech",
            disable=not sys.stderr.isatty(),
            leave=False,
        ) as bar:
            done = 0.0
            for batch in batches:
                yield batch
                done += sum(self.data.entries[id_].duration_s for id_ in batch.ids)
                bar.update(round(done) - bar.n)
        elapsed_s = time.perf_counter() - began
        if self.missing:
            log.info("summed %.0f s of speech in %.1f s (%.1f x real time)", seconds, elapsed_s, seconds / elapsed_s)
