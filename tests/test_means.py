"""Means over folds, seeds, channels, speakers and languages, against numpy and scipy on the frames themselves."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from test_results import write_run

from tractprobe.data.groups import GroupKey
from tractprobe.data.targets import Channel
from tractprobe.evidence.tables.comparison import differences
from tractprobe.evidence.tables.rows import collect
from tractprobe.evidence.tables.table import layer_tables, transfer
from tractprobe.probes.scores import scores_from_sums
from tractprobe.runs.result import MOMENTS, ScoreRow
from tractprobe.system.errors import RunError

KEYS = [GroupKey("c", language, f"c/{speaker}") for language in ("en", "it") for speaker in "ab"]
CHANNELS = [Channel("ema", f"ch{number}", "mm") for number in range(3)]
Frames = dict[tuple[GroupKey, int], np.ndarray]
"""(predicted or measured, frame) of each group and channel."""


def frames(random: np.random.Generator, noise: float = 1.0) -> Frames:
    """Frames of one fold: its sentences have means of their own, so r within it is not r over all."""
    count = int(random.integers(20, 200))
    made = {}
    for key in KEYS:
        for channel in range(len(CHANNELS)):
            measured = 30 + random.normal(0, 4) + random.normal(0, 1, count)
            made[key, channel] = np.stack([measured + random.normal(0, noise, count) + random.normal(0, 2), measured])
    return made


def scored(folder: Path, part: Frames, change: Callable[[ScoreRow], object] = lambda row: None) -> None:
    """Give a run the scores of frames."""
    x, y = (
        torch.tensor(np.array([[[part[key, channel][side] for channel in range(len(CHANNELS))] for key in KEYS]]))
        for side in (0, 1)
    )
    sums = [torch.ones_like(x), x, y, x * x, y * y, x * y]
    rows = scores_from_sums(*(term.sum(dim=-1) for term in sums)).rows([0], KEYS, CHANNELS)
    for row in rows:
        change(row)
    result = json.loads((folder / "result.json").read_text())
    result["identity"]["split"] = "sentence"
    (folder / "result.json").write_text(json.dumps(result | {"scores": rows}))


def forget(row: ScoreRow) -> None:
    """Make a row as earlier versions wrote it."""
    for name in MOMENTS:
        row.pop(name)


def pooled_r(folds: list[Frames]) -> float:
    """The mean over channels, speakers and languages of r over the frames of all folds."""
    joined = {key: np.concatenate([fold[key] for fold in folds], axis=1) for key in folds[0]}
    return float(np.mean([stats.pearsonr(*both).statistic for both in joined.values()]))


@pytest.mark.parametrize("count", [2, 5, 11])
def test_folds_are_pooled(tmp_path: Path, count: int):
    random = np.random.default_rng(count)
    folds = [frames(random) for _ in range(count)]
    for number, fold in enumerate(folds):
        scored(write_run(tmp_path, held_out=f"fold{number}"), fold)
    (table,) = layer_tables(collect(tmp_path))
    assert table.columns == (*(f"fold{number}" for number in range(count)), "pooled")  # fold10 after fold9
    assert table.cells[0, "pooled"].mean == pytest.approx(pooled_r(folds), abs=1e-12)
    assert len(table.means[0, "pooled"].rows) == len(KEYS) * len(CHANNELS)
    for number, fold in enumerate(folds):
        assert table.cells[0, f"fold{number}"].mean == pytest.approx(pooled_r([fold]))
    mean_of_folds = np.mean([pooled_r([fold]) for fold in folds])
    assert abs(table.cells[0, "pooled"].mean - mean_of_folds) > 0.01 and "is a mean of theirs" not in str(table)


def test_the_same_frames_in_other_folds_have_the_same_mean(tmp_path: Path):
    """As the ceiling of a language has to be, to be compared with what transfers to it."""
    random, means = np.random.default_rng(0), []
    sentences = [frames(random) for _ in range(6)]
    for count in (2, 3, 6):
        for number in range(count):
            part = sentences[number::count]
            fold = {key: np.concatenate([one[key] for one in part], axis=1) for key in part[0]}
            scored(write_run(tmp_path / str(count), held_out=f"fold{number}"), fold)
        (table,) = layer_tables(collect(tmp_path / str(count)))
        means.append(table.cells[0, "pooled"].mean)
    assert means == pytest.approx([means[0]] * 3, abs=1e-12)


def test_folds_of_an_earlier_version_are_averaged_and_said_to_be(tmp_path: Path):
    random = np.random.default_rng(1)
    folds = [frames(random) for _ in range(3)]
    for number, fold in enumerate(folds):
        scored(write_run(tmp_path, held_out=f"fold{number}"), fold, forget if number == 1 else lambda row: None)
    (table,) = layer_tables(collect(tmp_path))
    assert table.cells[0, "pooled"].mean == pytest.approx(np.mean([pooled_r([fold]) for fold in folds]))
    assert "r of several folds is a mean of theirs, not r over all their frames" in str(table)


def test_a_fold_without_predictions_leaves_its_rows_undefined(tmp_path: Path):
    random = np.random.default_rng(2)
    folds = [frames(random) for _ in range(3)]
    lost = folds[1][KEYS[0], 1] * np.nan
    folds[1][KEYS[0], 1] = np.stack([lost[0], folds[1][KEYS[0], 1][1]])
    for number, fold in enumerate(folds):
        scored(write_run(tmp_path, held_out=f"fold{number}"), fold)
    (table,) = layer_tables(collect(tmp_path))
    mean = table.means[0, "pooled"]
    assert [(row["speaker"], row["channel"]) for row in mean.undefined] == [("c/a", "ch1")] and not mean.averaged


def test_a_fold_in_which_nothing_moves_counts_with_its_frames(tmp_path: Path):
    random = np.random.default_rng(2)
    folds = [frames(random) for _ in range(3)]
    folds[1][KEYS[0], 1][:] = 30.0
    for number, fold in enumerate(folds):
        scored(write_run(tmp_path, held_out=f"fold{number}"), fold)
    (table,) = layer_tables(collect(tmp_path))
    assert table.cells[0, "pooled"].mean == pytest.approx(pooled_r(folds)) and not table.means[0, "pooled"].undefined


def test_seeds_are_averaged_after_their_folds_were_pooled(tmp_path: Path):
    random = np.random.default_rng(3)
    seeds = [[frames(random) for _ in range(count)] for count in (4, 2)]
    for seed, folds in enumerate(seeds):
        for number, fold in enumerate(folds):
            scored(write_run(tmp_path, held_out=f"fold{number}", seed=seed), fold)
    (table,) = layer_tables(collect(tmp_path))
    assert table.cells[0, "pooled"].mean == pytest.approx(np.mean([pooled_r(folds) for folds in seeds]))


@pytest.mark.parametrize("earlier", [False, True])
def test_heads_are_compared_over_pooled_folds_that_both_have(tmp_path: Path, earlier: bool):
    """If one head's results are of an earlier version, the folds of both are averaged."""
    random = np.random.default_rng(4)
    ridge, mlp = [frames(random) for _ in range(3)], [frames(random, 0.5) for _ in range(2)]
    for head, folds in (("ridge", ridge), ("mlp", mlp)):
        for number, fold in enumerate(folds):
            folder = write_run(tmp_path, held_out=f"fold{number}", suffix=f"-{head}")
            result = json.loads((folder / "result.json").read_text())
            result["identity"]["head"] = head
            (folder / "result.json").write_text(json.dumps(result))
            scored(folder, fold, forget if earlier and head == "ridge" else lambda row: None)
    (found,) = differences(collect(tmp_path), "ridge")
    if earlier:
        expected = np.mean([pooled_r([fold]) for fold in mlp]) - np.mean([pooled_r([fold]) for fold in ridge[:2]])
    else:
        expected = pooled_r(mlp) - pooled_r(ridge[:2])
    assert found.difference.mean == pytest.approx(expected) and found.held_out == ("fold0", "fold1")


def test_two_results_of_one_kind_are_not_averaged(tmp_path: Path):
    """A run of layer 0 and one of layer [0] are two runs by identity, and have the same place in a table."""
    for suffix, layer in (("", 0), ("-other", [0])):
        folder = write_run(tmp_path, held_out="fold0", suffix=suffix)
        scored(folder, frames(np.random.default_rng(5)))
        result = json.loads((folder / "result.json").read_text())
        result["identity"]["layer"] = layer
        (folder / "result.json").write_text(json.dumps(result))
    with pytest.raises(RunError, match=r"s0 and .*s0-other are two results of one kind for held_out=fold0 and seed 0"):
        str(layer_tables(collect(tmp_path))[0])


def test_rows_of_transfer_say_how_many_are_undefined(tmp_path: Path):
    def lose(row: Any) -> None:
        row["r"] = None if row["channel"] == "ch1" else row["r"]

    scored(write_run(tmp_path, held_out="fold0"), frames(np.random.default_rng(6)), lose)
    (row,) = transfer(collect(tmp_path))
    assert row["undefined"] == len(KEYS)
