import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import write_corpus

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.data.targets import SETS, Channel, Positions, Targets, TargetSet, _made
from tractprobe.evidence.tables.rows import tidy
from tractprobe.evidence.tables.table import layer_means, layer_tables
from tractprobe.jobs import train
from tractprobe.probes.gradient.fit import fit as fit_by_gradients
from tractprobe.probes.linear.fit import fit as fit_linear
from tractprobe.probes.opening import open_corpora
from tractprobe.probes.problem import Problem
from tractprobe.runs.configuration import plain
from tractprobe.runs.settings import Settings
from tractprobe.runs.trainer import trainer_of
from tractprobe.signals.channels import CHANNELS
from tractprobe.signals.smoothing import Smoothing
from tractprobe.signals.tract_variables import VARIABLES, tract_variables
from tractprobe.signals.voicing import SOURCE_CHANNELS
from tractprobe.system.errors import ConfigError, CorpusError

PALATE = [[-40.0, 12.0], [-20.0, 15.0], [0.0, 5.0]]


class WithPalate(Folder):
    def palates(self):
        return {"s0": np.array(PALATE)}


@pytest.fixture(scope="module")
def data_with_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("with_source")
    raw = write_corpus(folder / "raw", sentences=3)
    prepare(WithPalate("toy", raw), folder / "data", source_channels=True)
    return folder / "data"


@pytest.fixture(scope="module")
def sourced(data_with_source: Path) -> PreparedCorpus:
    return PreparedCorpus(data_with_source / "toy")


TIMES_S = (320 * np.arange(70) + 199.5) / 16000


def test_sets_stand_side_by_side_and_name_their_units(sourced: PreparedCorpus):
    targets = Targets(["ema", "tract", "source"])
    assert [channel.name for channel in targets.channels] == [*CHANNELS, *VARIABLES, *SOURCE_CHANNELS]
    assert [channel.unit for channel in targets.channels][-3:] == ["semitone re 100 Hz", "1", "dB re full scale"]
    entry = sourced.entries[0]
    values = targets.at(sourced, entry, TIMES_S)
    np.testing.assert_array_equal(values[:, targets.first], Targets().at(sourced, entry, TIMES_S))
    assert np.isnan(values[TIMES_S >= entry.duration_s]).all()


def test_tract_variables_are_those_of_the_conditioned_positions_with_the_speakers_palate(sourced: PreparedCorpus):
    for entry in sourced.entries:
        positions = Targets().at(sourced, entry, TIMES_S)
        palate = np.array(PALATE) if entry.speaker == "toy/s0" else None
        expected = tract_variables(positions, palate)
        np.testing.assert_array_equal(Targets(["tract"]).at(sourced, entry, TIMES_S), expected)
        assert np.isfinite(expected[:50, 2:]).all() == (entry.speaker == "toy/s0")


def test_source_channels_are_low_passed_but_for_voicing_and_never_bridged(sourced: PreparedCorpus):
    entry = sourced.entries[0]
    source = sourced.source_track(entry.id)
    values = Targets(["source"], Smoothing(max_gap_s=1.0)).at(sourced, entry, source.times_s)
    np.testing.assert_array_equal(values[:, 1], source.values[:, 1])
    np.testing.assert_array_equal(np.isnan(values[:, 0]), np.isnan(source.values[:, 0]))
    changes = np.abs(np.diff(values[:, 2])).max(), np.abs(np.diff(source.values[:, 2])).max()
    assert changes[0] < changes[1]
    between = Targets(["source"]).at(sourced, entry, source.times_s[:-1] + 0.002)
    np.testing.assert_array_equal(between[:, 1], source.values[:-1, 1])


def test_a_corpus_without_source_channels_says_how_to_get_them(toy: PreparedCorpus):
    with pytest.raises(CorpusError, match="source_channels=true"):
        Targets(["ema", "source"]).at(toy, toy.entries[0], TIMES_S)


@pytest.mark.parametrize("names", [[], ["ema", "ema"], ["tongue"], "ema"])
def test_only_sets_that_there_are_each_once(names):
    with pytest.raises(ConfigError, match=r"targets=.*ema, tract, source"):
        Targets(names)


@dataclass(frozen=True)
class Later:
    """A set that this package does not have: two positions, some time later."""

    delay_s: float
    name, channels, units = "later", ("tt_x", "tt_y"), ("mm", "mm")

    @property
    def identity(self) -> Any:
        return {"delay_s": self.delay_s}

    def at(self, corpus: PreparedCorpus, entry: Entry, times_s: np.ndarray) -> np.ndarray:
        return Positions(Smoothing()).at(corpus, entry, times_s + self.delay_s)[:, 4:6]


def test_a_set_of_somebody_else_stands_beside_ours(toy: PreparedCorpus):
    targets, entry = Targets([Later(0.02), "ema"]), toy.entries[0]
    assert targets.names == ("later", "ema") and targets.first == slice(0, 2)
    assert targets.channels[:3] == (
        Channel("later", "tt_x", "mm"), Channel("later", "tt_y", "mm"), Channel("ema", "td_x", "mm"),
    )  # fmt: skip
    values = targets.at(toy, entry, TIMES_S)
    assert np.isfinite(values[:50]).all() and np.isnan(values[TIMES_S >= entry.duration_s]).all()
    np.testing.assert_allclose(values[:50, :2], values[1:51, 6:8], rtol=1e-9)
    assert all(isinstance(one, TargetSet) for one in (Later(0.02), *(make(Smoothing()) for make in SETS.values())))


def test_only_what_a_set_says_of_itself_is_added_to_the_identity_of_sums(toy: PreparedCorpus):
    smoothing = Smoothing(lowpass_hz=5.0)
    names = ["tract", "ema", "source"]
    assert Targets(names, smoothing).identity == [names, smoothing.identity]
    assert Targets(["ema", Later(0.1)], smoothing).identity == [
        ["ema", "later"], smoothing.identity, {"later": {"delay_s": 0.1}},
    ]  # fmt: skip


@pytest.mark.parametrize("sets", [[3], None, 3, [Later(0.1), Later(0.2)], ["later"], [["ema"]], {"ema": 1}])
def test_only_sets_and_names_of_sets_each_once(sets: Any):
    with pytest.raises(ConfigError, match=r"targets=.*ema, tract, source"):
        _made(sets, Smoothing())


NARROW = ["held_out=it", "model.context=1"]


def later_problem(config: Any, delay_s: float) -> Problem:
    return replace(Problem.of(Settings.of(plain(config))), targets=Targets(["ema", Later(delay_s)]))


def by_target(rows: list[Any]) -> dict[tuple[str, str, str], float]:
    return {(row["target"], row["channel"], row["speaker"]): row["r"] for row in rows}


def test_the_linear_engine_decodes_a_set_of_somebody_else(configure: Callable[..., Any]):
    cpu, found = torch.device("cpu"), {}
    for delay_s in (0.0, 0.2):
        problem = later_problem(configure(*NARROW), delay_s)
        (fitted,) = fit_linear([problem], problem.states(cpu), cpu)
        found[delay_s] = by_target(fitted.rows())
    speakers = ["toy/s0", "toy/s1", "toy/s2"]
    for channel, speaker in product(("tt_x", "tt_y"), speakers):
        ours = found[0.0]["ema", channel, speaker]
        assert found[0.0]["later", channel, speaker] == pytest.approx(ours, abs=1e-9) and ours > 0.9
        assert found[0.2]["ema", channel, speaker] == pytest.approx(ours, abs=1e-2)
        assert found[0.2]["later", channel, speaker] < ours - 0.1


def test_trained_heads_decode_a_set_of_somebody_else(configure: Callable[..., Any], tmp_path: Path):
    small = ["head=mlp", "head.hidden=16", "trainer.max_epochs=6", "data.batch_size=4", "optimizer.lr=0.01"]
    problem = later_problem(configure(*NARROW, *small), 0.0)
    trainer = trainer_of(problem.settings, tmp_path / "run", None)
    (fitted,) = fit_by_gradients([problem], problem.states(torch.device("cpu")), trainer, tmp_path / "run")
    found = by_target(fitted.rows())
    assert len(found) == 3 * 14
    own = [id_ for id_ in problem.split.test if problem.entries[id_].speaker == "toy/s0"]
    predicted, truth = (
        np.concatenate(parts) for parts in zip(*(fitted.example(id_, 0)[1:] for id_ in own), strict=True)
    )
    used = np.isfinite(truth).all(axis=1)
    for column, key in ((4, ("ema", "tt_x")), (12, ("later", "tt_x")), (13, ("later", "tt_y"))):
        r = np.corrcoef(predicted[used, column], truth[used, column])[0, 1]
        assert found[(*key, "toy/s0")] == pytest.approx(r, abs=1e-4)
    assert np.nanmean([r for (target, *_), r in found.items() if target == "later"]) > 0.3


@pytest.fixture
def with_source(configure: Callable[..., Any], data_with_source: Path) -> Callable[..., Any]:
    return lambda *overrides: train(configure(f"paths.data={data_with_source}", "held_out=it", *overrides))


def test_other_targets_leave_the_score_of_positions_as_it_is(with_source: Callable[..., Any], tmp_path: Path):
    alone, together = with_source(), with_source("targets=[ema,tract,source]")
    rows = [row for row in together["scores"] if row["target"] == "ema"]
    assert [row["channel"] for row in rows] == [row["channel"] for row in alone["scores"]]
    for before, after in zip(alone["scores"], rows, strict=True):
        assert after["r"] == pytest.approx(before["r"], abs=1e-9) and after["n_frames"] == before["n_frames"]
    before, after = layer_means(alone["scores"])[0], layer_means(together["scores"])[0]
    for name, mean in before.items():
        assert after[name] == pytest.approx(mean, abs=1e-9), name
    assert after["test/source/r/loudness_db"] > 0.8
    assert "test/source/rmse/mean" not in after and "test/tract/rmse/mean" in after
    first, *others = layer_tables(tidy("mel/all/ridge/it/s0-abc", together))
    assert "r by held-out language" in str(first)
    assert ["r of source by" in str(others[0]), "r of tract by" in str(others[1])] == [True, True]
    assert {len(set(row["channel"] for row in rows))} == {12}
    assert together["source_origins"] == {"toy": {"estimated": 27}} and alone["source_origins"] == {}
    heads = next(path for path in tmp_path.rglob("head.safetensors") if path.parent.name != "s0")
    size = int.from_bytes(heads.read_bytes()[:8], "little")
    about = json.loads(json.loads(heads.read_bytes()[8 : 8 + size])["__metadata__"]["tractprobe"])
    assert about["channels"][-1] == "loudness_db" and about["units"][-1] == "dB re full scale"


def test_nonlinear_heads_decode_several_sets_and_stop_by_the_first(with_source: Callable[..., Any]):
    result = with_source("targets=[source,ema]", "head=mlp", "head.hidden=8", "trainer.max_epochs=2")
    assert {row["target"] for row in result["scores"]} == {"ema", "source"}


def test_one_alpha_for_all_is_refused_for_several_sets(with_source: Callable[..., Any]):
    with pytest.raises(ConfigError, match="one set of targets"):
        with_source("targets=[ema,tract]", "head.alpha_per_channel=false")


def test_the_builtin_corpus_keeps_its_source_channels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    raw = write_corpus(tmp_path / "raw", languages=("en",), speakers=1, sentences=2)
    monkeypatch.setattr("tractprobe.probes.opening.builtin_corpus", lambda name: str(raw))
    (plain,) = open_corpora(["virtual"], tmp_path / "data")
    assert not plain.source_origins
    prepare(Folder("virtual", raw), tmp_path / "data", source_channels=True)
    (kept,) = open_corpora(["virtual"], tmp_path / "data")
    assert kept.source_origins == {"estimated": 2}
