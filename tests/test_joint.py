"""Several held-out values in one bank: each cell learns from its own training utterances and nothing else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_run import NARROW, NONLINEAR, SMALL

from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.evaluation import evaluate
from tractprobe.evidence.tables.rows import collect
from tractprobe.jobs import train
from tractprobe.probes.gradient.truth import Truths
from tractprobe.runs.result import read_result
from tractprobe.system.errors import ConfigError, RunError

Configure = Callable[..., Any]
TOGETHER = ["held_out=all", "together=true", NARROW, *NONLINEAR]


def heads(runs: Path) -> dict[str, dict[str, torch.Tensor]]:
    """Return each cell's tensors by what it held out."""
    files = sorted(runs.rglob("head.safetensors"))
    return {read_result(path.parent)["identity"]["held_out"]: load_file(path) for path in files}


def test_every_cell_of_a_linear_world_is_recovered(configure: Configure, tmp_path: Path):
    results = train(configure(*TOGETHER, "trainer.max_epochs=25", "optimizer.lr=0.02"))
    assert [result["identity"]["held_out"] for result in results] == ["de", "en", "it"]
    for result in results:
        assert {row["language"] for row in result["scores"]} == {result["identity"]["held_out"]}
        assert np.mean([row["r"] for row in result["scores"]]) > 0.8
        assert result["fit"]["best_validation_r"][0] > 0.8
    assert (tmp_path / "runs/mel/all/mlp/all").is_dir()
    (path,) = (tmp_path / "runs").glob("mel/all/mlp/it/*/result.json")
    own, again = read_result(path.parent)["scores"], evaluate(configure(f"run={path.parent}", name="evaluate"))
    assert [row["r"] for row in again] == pytest.approx([row["r"] for row in own], abs=1e-6)


def test_no_cell_learns_from_what_it_holds_out(configure: Configure, raw_corpus: Path, tmp_path: Path):
    """Other movements in Italian change the heads that may see them, and not by a bit those that may not."""
    raw = Path(shutil.copytree(raw_corpus, tmp_path / "raw"))
    for path in raw.rglob("*_it_*.ema.npy"):
        np.save(path, np.random.default_rng(0).normal(size=np.load(path).shape))
    for name, source in (("one", raw_corpus), ("other", raw)):
        prepare(Folder("toy", source), tmp_path / name)
        train(configure(*TOGETHER, f"paths.data={tmp_path / name}", f"paths.runs={tmp_path / name / 'runs'}"))
    one, other = (heads(tmp_path / name / "runs") for name in ("one", "other"))
    assert all(torch.equal(value, other["it"][name]) for name, value in one["it"].items())
    for held_out in ("de", "en"):
        assert not all(torch.equal(value, other[held_out][name]) for name, value in one[held_out].items())


def test_a_mask_that_lets_the_test_in_is_found(configure: Configure, monkeypatch: pytest.MonkeyPatch):
    prepared = Truths.__init__

    def careless(self: Truths, *args: Any, **more: Any) -> None:
        prepared(self, *args, **more)
        self._parts = [parts | {"train": frozenset(self._row)} for parts in self._parts]

    monkeypatch.setattr(Truths, "__init__", careless)
    with pytest.raises(RunError, match="learn from what they are tested on"):
        train(configure(*TOGETHER))


def test_missing_cells_become_what_they_would_have_been(configure: Configure, tmp_path: Path):
    train(configure(*TOGETHER))
    before = heads(tmp_path / "runs")
    for path in (tmp_path / "runs").glob("mel/all/mlp/it/s0-*"):
        shutil.rmtree(path)
    train(configure(*TOGETHER))
    after = heads(tmp_path / "runs")
    assert all(torch.equal(before[cell][name], after[cell][name]) for cell in before for name in before[cell])


def test_cells_trained_together_have_names_of_their_own(configure: Configure, tmp_path: Path):
    train(configure(*TOGETHER))
    train(configure("held_out=it", NARROW, *NONLINEAR))
    assert len(list((tmp_path / "runs").glob("mel/all/mlp/it/*/result.json"))) == 2
    assert len({(row["run"]) for row in collect(tmp_path / "runs")}) == 4


def test_what_cannot_be_trained_together_says_so(configure: Configure, tmp_path: Path):
    with pytest.raises(ConfigError, match="held_out=all"):
        train(configure("held_out=it", "together=true", NARROW, *NONLINEAR))
    with pytest.raises((ConfigError, RunError), match="head=weighted reads several"):
        train(configure("held_out=all", "together=true", NARROW, "head=weighted"))
    failures = [json.loads(path.read_text()) for path in (tmp_path / "runs").rglob("failure.json")]
    assert failures


def test_the_curve_of_a_cell_is_that_of_its_own_heads(configure: Configure):
    """Not the mean of the bank, whose other cells are validated on what this one holds out."""
    curves = []
    for result in train(
        configure("held_out=all", "together=true", *NONLINEAR, *SMALL, "model.layers=1", "patience=100")
    ):
        history, best = result["fit"]["history"], result["fit"]["best_validation_r"]
        for layer in (0, 1):
            assert max(epoch[f"val/r/layer{layer}"] for epoch in history) == best[layer]
        for epoch in history:
            assert set(epoch) == {"epoch", "val/r/mean", "val/r/layer0", "val/r/layer1"}
            assert epoch["val/r/mean"] == pytest.approx((epoch["val/r/layer0"] + epoch["val/r/layer1"]) / 2)
        curves.append(tuple(epoch["val/r/mean"] for epoch in history))
    assert len(set(curves)) == 3


def test_a_bank_of_held_out_values_does_not_stop_by_their_mean(configure: Configure):
    with pytest.raises((ConfigError, RunError), match=r"callbacks\.early_stopping .* patience=<epochs>"):
        train(configure(*TOGETHER, "callbacks=early_stopping"))
