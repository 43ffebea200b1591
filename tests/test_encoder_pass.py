from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.data.splits import Split, SplitRule
from tractprobe.data.targets import Targets
from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.state_cache import cached
from tractprobe.encoders.untrained import untrained
from tractprobe.evidence.tables.rows import tidy
from tractprobe.evidence.tables.table import layer_tables
from tractprobe.jobs import train
from tractprobe.probes.linear.accumulate import partition, sum_groups
from tractprobe.probes.linear.group_moments import GroupMoments
from tractprobe.probes.linear.moment_store import MomentStore
from tractprobe.probes.states import HeadInput, HiddenStates
from tractprobe.runs.settings import LoadingPolicy


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return untrained(layers=2, width=48, channels=16)


def splits_of(corpus: PreparedCorpus) -> list[Split]:
    return [SplitRule("language")(corpus.entries, language, 0) for language in ("en", "it", "de")]


def sums(
    encoder: Encoder,
    corpus: PreparedCorpus,
    folder: Path,
    splits: list[Split] | None = None,
    caches: Any = None,
    num_workers: int = 0,
) -> MomentStore:
    groups = partition([corpus], splits_of(corpus) if splits is None else splits)
    inputs = [HeadInput.of((1,)), HeadInput.of((0, 2))]
    states = HiddenStates(encoder, (0, 1, 2), "float16", caches)
    loading = LoadingPolicy(8, 120.0, 1.0, num_workers)
    return sum_groups(states, [corpus], groups, Targets(), inputs, folder, loading)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("group-*")}


def test_no_split_cuts_through_a_group_and_groups_are_few(toy: PreparedCorpus):
    splits = splits_of(toy)
    groups = partition([toy], splits)
    assert sorted(id_ for group in groups for id_ in group.ids) == sorted(entry.id for entry in toy.entries)
    for split in splits:
        for part in (split.development, split.test, *(side for fold in split.folds for side in vars(fold).values())):
            assert all(set(group.ids) <= set(part) or not set(group.ids) & set(part) for group in groups)
    assert len(groups) <= 3 * 3 * 3  # languages, speakers, sentence folds


def test_sums_do_not_depend_on_cache_workers_or_other_groups(toy: PreparedCorpus, encoder: Encoder, tmp_path: Path):
    first = sums(encoder, toy, tmp_path / "one")
    states = {"toy": cached(encoder, toy, tmp_path / "cache", "float16", torch.device("cpu"))}
    fewer = splits_of(toy)[0]
    alone = Split((), fewer.test, ())
    others = [
        sums(encoder, toy, tmp_path / "two", caches=states),
        sums(encoder, toy, tmp_path / "three", num_workers=2),
        sums(encoder, toy, tmp_path / "four", [alone]),
    ]
    for other in others:
        for name in ("1", "0+2"):
            for index, group in enumerate(other.groups):
                pieces = [i for i, one in enumerate(first.groups) if set(one.ids) <= set(group.ids)]
                total = sum(first.layer(name).triangles([np.eye(len(first.groups))[[i]]])[0] for i in pieces)
                ours = other.layer(name).triangles([np.eye(len(other.groups))[[index]]])[0]
                np.testing.assert_allclose(ours, total, rtol=2e-3, atol=1e-2)  # float16, rounded apart in batches
    assert first.widths == {"1": 48, "0+2": 96}


def test_a_pass_that_was_killed_goes_on_to_the_same_bits(
    toy: PreparedCorpus, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sums(encoder, toy, tmp_path / "whole")
    save, saved = GroupMoments.save, []

    def fail(self: GroupMoments, path: Path) -> None:
        if len(saved) == 5:
            raise KeyboardInterrupt
        save(self, path)
        saved.append(path)

    monkeypatch.setattr(GroupMoments, "save", fail)
    with pytest.raises(KeyboardInterrupt):
        sums(encoder, toy, tmp_path / "killed")
    saved[2].write_bytes(saved[2].read_bytes()[:-20])  # the machine went down, too
    monkeypatch.setattr(GroupMoments, "save", lambda self, path: (saved.append(path), save(self, path)))
    sums(encoder, toy, tmp_path / "killed")
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert len(saved) == 5 + len(files(tmp_path / "whole")) - 4
    count = len(saved)
    sums(encoder, toy, tmp_path / "killed")
    assert len(saved) == count  # it is there


def test_all_held_out_values_at_once_are_the_cells_one_by_one(configure: Callable[..., Any], tmp_path: Path):
    model = ["model=random", "model.layers=2", "model.width=48", "model.channels=16"]
    together = train(configure("study=held_out", *model))
    assert [result["identity"]["held_out"] for result in together] == ["de", "en", "it"]
    alone = train(configure("held_out=it", *model, f"paths.runs={tmp_path / 'alone'}"))
    assert alone["identity"] == together[2]["identity"] and alone["fit"] == together[2]["fit"]
    for one, other in zip(alone["scores"], together[2]["scores"], strict=True):
        for name, value in one.items():
            assert other[name] == (pytest.approx(value, abs=1e-5) if isinstance(value, float) else value)
    (study,) = (tmp_path / "runs/random/all/ridge/all").iterdir()
    assert {path.name for path in study.glob("*.png")} >= {"layers.png"} and (study / "scores.csv").is_file()
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in study.glob("*.png"))
    rows = [row for result in together for row in tidy("run", result)]
    assert layer_tables(rows)[0].columns == ("de", "en", "it", "mean")
    removed = next((tmp_path / "runs/random/all/ridge").glob("it/*/result.json"))
    removed.unlink()
    again = train(configure("study=held_out", *model))  # what is missing comes from the same sums
    assert [result["scores"] for result in again] == [result["scores"] for result in together]


def test_cells_of_a_cut_encoder_have_the_identity_that_they_have_alone(configure: Callable[..., Any], tmp_path: Path):
    cell = ["model=random", "model.layers=2", "model.width=48", "model.channels=16", "layer=1", "features.cache=false"]
    together = train(configure("held_out=all", *cell))
    alone = train(configure("held_out=it", *cell, f"paths.runs={tmp_path / 'alone'}"))
    assert alone["identity"] == together[2]["identity"]
