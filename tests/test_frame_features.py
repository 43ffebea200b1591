"""Heads that read frame-wise features beside an encoder's layers, or in their place."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.data.datamodule import EmaData
from tractprobe.data.features import FrameFeatures
from tractprobe.data.splits import Split
from tractprobe.data.targets import Targets
from tractprobe.probes.fitted import Fitted, load_heads, new_head
from tractprobe.probes.gradient.fit import fit as fit_by_gradients
from tractprobe.probes.linear.accumulate import _identity, partition
from tractprobe.probes.linear.fit import fit as fit_linear
from tractprobe.probes.problem import Problem
from tractprobe.probes.states import HeadInput, HiddenStates
from tractprobe.runs.configuration import plain
from tractprobe.runs.settings import Settings
from tractprobe.runs.trainer import trainer_of
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import ConfigError, RunError

Configure = Callable[..., Any]
SMALL = ["held_out=it", "model=random", "model.layers=2", "model.width=48", "model.channels=16"]
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Waves:
    """Sines of the time, of other phases for each speaker; one speaker has none after a while."""

    name: str = "waves"
    width: int = 3
    identity: Any = None
    ends_s: float = np.inf

    def at(self, corpus: PreparedCorpus, entry: Entry, times_s: np.ndarray) -> np.ndarray:
        phases = sum(map(ord, entry.speaker)) + np.arange(self.width)
        values = np.sin(6 * times_s[:, None] * (1 + np.arange(self.width)) + phases)
        values[(times_s > self.ends_s) & entry.speaker.endswith("s1"), -1] = np.nan
        return values


@dataclass(frozen=True)
class Tongue:
    """The movements of the tongue's tip, without what is a speaker's own (as ``write_utterance`` makes it)."""

    name: str = "tongue"
    width: int = 2
    identity: Any = None

    def at(self, corpus: PreparedCorpus, entry: Entry, times_s: np.ndarray) -> np.ndarray:
        speaker = sum(map(ord, entry.speaker.partition("/")[2]))
        return (Targets().at(corpus, entry, times_s)[:, 4:6] - 10 * (speaker % 7)) / (1 + 0.2 * (speaker % 5))


BOTH = (Tongue(), Waves(ends_s=0.6))
INPUTS = {
    "a layer and features": HeadInput("both", (1,), ("waves",)),
    "layers and features in another order": HeadInput("both", (0, 2), ("waves", "tongue")),
    "features alone": HeadInput("alone", (), ("tongue", "waves")),
}


@pytest.fixture
def problem(configure: Configure) -> Problem:
    return Problem.of(Settings.of(plain(configure(*SMALL, "head.alphas=[100]"))))


def linear(problem: Problem) -> Fitted:
    (fitted,) = fit_linear([problem], problem.states(CPU), CPU)
    return fitted


def frames_of(problem: Problem, read: HeadInput, ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs, targets in units, and speakers of the frames that can be used, read one by one."""
    (corpus,), states = problem.corpora, problem.states(CPU)
    found = []
    for entry in (problem.entries[id_] for id_ in ids):
        times_s = problem.encoder.geometry.times_s(problem.encoder.count_frames(entry.num_samples))
        layers = [states.caches[corpus.name].read(entry.id, [layer])[0] for layer in read.layers]
        features = [problem.features[name].at(corpus, entry, times_s).astype(np.float32) for name in read.features]
        x = np.concatenate([*layers, *features], axis=1).astype(np.float64)
        y = problem.targets.at(corpus, entry, times_s)
        used = np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)
        found.append((x[used], y[used], np.full(used.sum(), entry.speaker)))
    x, y, speakers = zip(*found, strict=True)
    return np.concatenate(x), np.concatenate(y), np.concatenate(speakers)


@pytest.mark.parametrize("name", INPUTS)
def test_ridge_is_that_of_scikit_learn_on_layers_and_features_side_by_side(problem: Problem, name: str):
    read = INPUTS[name]
    problem = problem.reading([read], BOTH)
    fitted = linear(problem)
    x, y, speakers = frames_of(problem, read, problem.split.development)
    for speaker in np.unique(speakers):
        own = speakers == speaker
        y[own] = (y[own] - y[own].mean(axis=0)) / y[own].std(axis=0)
    expected = make_pipeline(StandardScaler(), Ridge(alpha=100)).fit(x, y)
    tested, _, speakers = frames_of(problem, read, problem.split.test)
    head = fitted.head.state_dict()
    ours = tested @ head["weight"][0].numpy() + head["bias"].numpy()[0]
    np.testing.assert_allclose(ours, expected.predict(tested), atol=1e-8)
    rows = fitted.rows()
    assert {row["speaker"]: row["n_frames"] for row in rows} == Counter(speakers.tolist())
    lost = {row["speaker"]: row["n_frames"] for row in rows}
    assert lost["toy/s1"] < 0.6 * lost["toy/s0"]  # of every channel


def test_what_is_read_out_of_an_utterance_is_nan_where_features_are(problem: Problem):
    problem = problem.reading([INPUTS["features alone"]], BOTH)
    fitted = linear(problem)
    id_ = next(id_ for id_ in problem.split.test if problem.entries[id_].speaker == "toy/s1")
    times_s, predicted, truth = fitted.example(id_, "alone")
    np.testing.assert_array_equal(np.isnan(predicted).any(axis=1), times_s > 0.6)
    early = times_s < 0.6
    assert np.corrcoef(predicted[early, 4], truth[early, 4])[0, 1] > 0.95
    with pytest.raises(RunError, match="also read tongue, waves, which a wave alone does not give"):
        fitted.predict(torch.zeros(16000))


def test_features_beside_cached_and_fresh_states_are_read_alike(problem: Problem):
    problem = problem.reading([INPUTS["a layer and features"]], BOTH)
    id_ = problem.split.test[0]
    fitted = linear(problem)
    fresh = replace(fitted, states=replace(fitted.states, caches=None))
    for one, other in zip(fitted.example(id_, "both"), fresh.example(id_, "both"), strict=True):
        np.testing.assert_allclose(one, other, atol=0.02)  # states are float16


@pytest.mark.parametrize("name", INPUTS)
def test_trained_heads_read_the_same_frames_and_learn_from_features(configure: Configure, tmp_path: Path, name: str):
    overrides = ["head=mlp", "head.hidden=16", "trainer.max_epochs=10", "data.batch_size=4", "optimizer.lr=0.01"]
    problem = Problem.of(Settings.of(plain(configure(*SMALL, *overrides)))).reading([INPUTS[name]], BOTH)
    trainer = trainer_of(problem.settings, tmp_path / "run", None)
    (fitted,) = fit_by_gradients([problem], problem.states(CPU), trainer, tmp_path / "run")
    rows = fitted.rows()
    x, y, speakers = frames_of(problem, INPUTS[name], problem.split.test)
    assert {row["speaker"]: row["n_frames"] for row in rows} == Counter(speakers.tolist())
    with torch.no_grad():
        predicted = fitted.head(torch.from_numpy(x)[None, None])[0, 0].numpy()
    for row in rows:
        own, channel = speakers == row["speaker"], CHANNELS.index(row["channel"])
        assert row["r"] == pytest.approx(np.corrcoef(predicted[own, channel], y[own, channel])[0, 1], abs=1e-4)
    if not INPUTS[name].layers:
        assert min(row["r"] for row in rows if row["channel"] == "tt_x") > 0.7
    fitted.save_heads(tmp_path / "head.safetensors")
    again = load_heads(problem, tmp_path / "head.safetensors").state_dict()
    assert all(torch.equal(value, again[key]) for key, value in fitted.head.state_dict().items())
    with pytest.raises(RunError, match="another run"):
        load_heads(problem.reading([INPUTS[name]], (Tongue(), Waves(identity="other"))), tmp_path / "head.safetensors")


def test_features_enter_identities_only_where_they_are_read(problem: Problem, tmp_path: Path):
    states, groups = problem.states(CPU), partition(problem.corpora, [problem.split])
    assert _identity(states, problem.corpora, groups, problem.targets, problem.inputs) == {
        "format": 1,
        "encoder": problem.encoder.identity,
        "corpora": {"toy": problem.corpora[0].content_hash},
        "inputs": {"0": [0], "1": [1], "2": [2]},
        "targets": [["ema"], problem.targets.smoothing.identity],
        "storage": "float16",
        "groups": [list(group.ids) for group in groups],
    }
    read, folder = HeadInput("alone", (), ("waves",)), problem.settings.paths.cache / "sums"
    for number, features in enumerate([Waves(), Waves(identity=2), Waves(width=2), Waves(), Waves(identity=2)]):
        other = problem.reading([read], [features])
        assert other.identity["features"] == {"waves": [features.width, features.identity]}
        linear(other)
        assert len([path for path in folder.iterdir() if path.is_dir()]) == min(number + 1, 3)
    assert "features" not in problem.identity


def batches_of(corpus: PreparedCorpus, problem: Problem, features: Sequence[FrameFeatures], **settings: Any) -> list:
    ids = tuple(entry.id for entry in corpus.entries[:5])
    encoder = problem.encoder
    data = EmaData([corpus], Split((), ids), encoder.geometry, encoder.count_frames, features=features, **settings)
    return list(data.test_dataloader())


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_carry_features_in_order_and_no_waves_that_nobody_reads(
    toy: PreparedCorpus, problem: Problem, num_workers: int
):
    batches = batches_of(toy, problem, BOTH, layers=[], num_workers=num_workers, batch_size=3)
    assert len(batches) == 2
    for batch in batches:
        assert batch.waves == [] and batch.states is None and batch.features.dtype == torch.float32
        for row, id_ in enumerate(batch.ids):
            (entry,) = (entry for entry in toy.entries if entry.id == id_)
            times_s = problem.encoder.geometry.times_s(int(batch.present[row].sum()))
            expected = np.concatenate([one.at(toy, entry, times_s) for one in BOTH], axis=1)
            np.testing.assert_allclose(batch.features[row, : len(times_s)], np.nan_to_num(expected), rtol=1e-6)
            usable = np.isfinite(expected).all(axis=1)
            assert not batch.valid[row, : len(times_s)][~usable].any()
    (batch,) = batches_of(toy, problem, (), layers=[0])
    assert batch.features is None and len(batch.waves) == 5 and batch.valid[:, 40].all()


@dataclass(frozen=True)
class Wrong(Waves):
    """Features that are not what they say."""

    how: str = "shape"

    def at(self, corpus: PreparedCorpus, entry: Entry, times_s: np.ndarray) -> np.ndarray:
        values = super().at(corpus, entry, times_s)
        return values[1:] if self.how == "shape" else np.where(values > 0.9, np.inf, values)


@pytest.mark.parametrize(("how", "problem_text"), [("shape", "have shape"), ("inf", "are infinite; give NaN")])
def test_features_that_are_not_what_they_say_are_named(
    toy: PreparedCorpus, problem: Problem, how: str, problem_text: str
):
    with pytest.raises(RunError, match=f"features waves of toy/.* {problem_text}"):
        batches_of(toy, problem, [Wrong(how=how)], layers=[])


def test_inputs_that_cannot_be_read_are_named(problem: Problem, configure: Configure):
    with pytest.raises(ConfigError, match="no features pitch; there are tongue, waves"):
        problem.reading([HeadInput("x", (0,), ("waves", "pitch"))], BOTH)
    with pytest.raises(ConfigError, match="no features waves; there are none"):
        HiddenStates.of(problem.encoder, (), [HeadInput("x", (), ("waves",))], problem.settings, CPU)
    for wrong in ((), ("waves", "waves")):
        with pytest.raises(ConfigError, match="input x: "):
            HeadInput("x", (), wrong)
    unequal = problem.reading([HeadInput("x", (), ("waves",)), HeadInput("y", (), ("tongue",))], BOTH)
    with pytest.raises(ConfigError, match="x: 3, y: 2"):
        new_head(unequal)
    weighted = Problem.of(Settings.of(plain(configure(*SMALL, "head=weighted", "head.head.hidden=8"))))
    with pytest.raises(ConfigError, match="cannot read waves"):
        new_head(weighted.reading([HeadInput("x", (0, 1), ("waves",))], BOTH))
