"""One pass over prepared corpora: frames in, the moments of every group out (``fit`` takes them from there).

Groups come one after another. When the last frame of a group has been added, the group is written while the next is
encoded. So memory holds two groups however many there are, a group's moments do not depend on what else is passed over,
and a pass that was killed resumes after the last group that was written, to the same bits.
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

from tractprobe.corpora.languages import is_language
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.data.batches import Batch, EmaBatches
from tractprobe.data.groups import GroupKey
from tractprobe.data.splits import Split
from tractprobe.data.targets import Targets
from tractprobe.probes.linear.group_moments import GroupMoments, SavedMoments
from tractprobe.probes.linear.moment_store import Group, MomentStore
from tractprobe.probes.states import HeadInput, HiddenStates
from tractprobe.runs.settings import LoadingPolicy
from tractprobe.system.files import digest
from tractprobe.system.products import is_made_from, staged_folder, write_index
from tractprobe.system.threads import give_back

log = logging.getLogger(__name__)

_FORMAT = 1
_GIVEN_BACK = 32  # groups after which freed memory is given back; after each one, it would be asked for again at once


def partition(corpora: Sequence[PreparedCorpus], splits: Sequence[Split]) -> tuple[Group, ...]:
    """Divide utterances into the fewest groups of one speaker and language that no split cuts through."""
    parts = [part for split in splits for part in _parts(split)]
    groups: dict[tuple[GroupKey, tuple[bool, ...]], list[str]] = {}
    for corpus in corpora:
        for entry in corpus.entries:
            sides = tuple(entry.id in part for part in parts)
            if any(sides):
                groups.setdefault((GroupKey.of(entry), sides), []).append(entry.id)
    return tuple(Group(*key, ids=tuple(sorted(ids))) for (key, _), ids in sorted(groups.items()))


def _parts(split: Split) -> list[set[str]]:
    return [set(part) for part in (split.development, split.test)] + [
        set(part) for fold in split.folds for part in (fold.train, fold.validation)
    ]


def sum_groups(
    states: HiddenStates,
    corpora: Sequence[PreparedCorpus],
    groups: Sequence[Group],
    targets: Targets,
    inputs: Sequence[HeadInput],
    folder: Path,
    loading: LoadingPolicy,
    device: torch.device | str = "cpu",
) -> MomentStore:
    """Return the moments of groups, from disk if they were passed over before.

    Parameters
    ----------
    folder
        Where moments of any kind are kept; these have a folder of their own in it, named by all that determines them.
    """
    encoder, ids = states.encoder, [id_ for group in groups for id_ in group.ids]
    data = EmaBatches(
        corpora,
        Split(tuple(ids), ()),
        encoder.geometry,
        encoder.count_frames,
        layers=states.layers,
        states=states.caches,
        targets=targets,
        features=tuple(states.features.values()),
        **vars(loading),
    )
    identity = _identity(states, corpora, groups, targets, inputs)
    widths = {str(read.label): read.width(encoder, states.features) for read in inputs}
    place = folder / digest(identity)[:16]
    names = [f"group-{number:05}.safetensors" for number in range(len(groups))]
    with staged_folder(place, lambda: _is_complete(place, identity, names, widths), resume=place.name) as staging:
        if staging is not None:
            over_frames = _Pass(data, groups, [staging / name for name in names], inputs, widths, torch.device(device))
            encoder.to(device)
            over_frames.run(states)
            write_index(staging, identity)
    give_back()
    return MomentStore(groups, [place / name for name in names], widths)


def _identity(
    states: HiddenStates,
    corpora: Sequence[PreparedCorpus],
    groups: Sequence[Group],
    targets: Targets,
    inputs: Sequence[HeadInput],
) -> dict[str, Any]:
    features = {
        "read": {str(read.label): list(read.features) for read in inputs},
        "identity": {name: [feature.width, feature.identity] for name, feature in states.features.items()},
    }
    return {
        "format": _FORMAT,
        "encoder": states.encoder.identity_on(corpora),
        "corpora": {corpus.name: corpus.content_hash for corpus in corpora},
        "inputs": {str(read.label): list(read.layers) for read in inputs},
        "targets": targets.identity,
        "storage": states.storage,
        "groups": [list(group.ids) for group in groups],
        **({"features": features} if states.features else {}),
        **({"speakers": "by their speech"} if _hold_babble(corpora) else {}),  # they were described by babble, too
    }


def _hold_babble(corpora: Sequence[PreparedCorpus]) -> bool:
    return not all(is_language(entry.language) for corpus in corpora for entry in corpus.entries)


def _is_complete(folder: Path, identity: Any, names: Sequence[str], widths: Mapping[str, int]) -> bool:
    return is_made_from(folder, identity) and all(
        SavedMoments(folder / name).is_complete(list(widths)) for name in names
    )


class _Pass:
    """The pass itself: which groups are still missing, and where their moments go."""

    def __init__(
        self,
        data: EmaBatches,
        groups: Sequence[Group],
        files: Sequence[Path],
        inputs: Sequence[HeadInput],
        widths: Mapping[str, int],
        device: torch.device,
    ):
        self.data, self.inputs, self.widths, self.device = data, inputs, widths, device
        self.missing = [
            (group, file)
            for group, file in zip(groups, files, strict=True)
            if not (file.exists() and SavedMoments(file).is_complete(list(widths)))
        ]
        if len(self.missing) < len(groups):
            log.info("resuming: %d of %d groups done", len(groups) - len(self.missing), len(groups))

    def run(self, states: HiddenStates) -> None:
        """Add up the moments of the groups that are missing."""
        batches = [
            self.data.batching.in_order([self.data.entries[id_] for id_ in group.ids]) for group, _ in self.missing
        ]
        loaded = self._with_progress(iter(self.data.loader([batch for of_group in batches for batch in of_group])))
        with ThreadPoolExecutor(1) as writer:
            written: Future[None] | None = None
            for number, ((_, file), of_group) in enumerate(zip(self.missing, batches, strict=True), start=1):
                targets = self.data.targets
                moments = GroupMoments(self.widths, len(targets.channels), self.device, targets.lost_together)
                for _ in of_group:
                    batch = next(loaded).to(self.device)
                    used = batch.valid.any(dim=2)
                    frames = states.at(batch)[:, used]
                    features = None if batch.features is None else batch.features[used]
                    parts = {str(read.label): states.side_by_side([read], frames, features)[0] for read in self.inputs}
                    moments.include(parts, batch.target[used], batch.valid[used])
                if written is not None:
                    written.result()
                written = writer.submit(moments.save, file)
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
