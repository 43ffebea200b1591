"""The bench of analyses: what it fits is what runs fit, what it predicts is what heads predict."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from tractprobe.evidence.bench import Bench, chosen_layer
from tractprobe.jobs import train
from tractprobe.probes.states import HeadInput
from tractprobe.runs.configuration import plain
from tractprobe.runs.settings import Settings
from tractprobe.system.errors import ConfigError

SMALL = ["model=random", "model.layers=2", "model.width=16", "model.channels=8"]
KEY = ("layer", "corpus", "language", "speaker", "channel")
Configure = Callable[..., Any]


def bench_of(configure: Configure, *overrides: str) -> Bench:
    return Bench(Settings.of(plain(configure(*SMALL, *overrides))))


def scores(rows: Sequence[Any]) -> dict[tuple, tuple]:
    return {tuple(row[name] for name in KEY): tuple(row[name] for name in ("n_frames", "r", "rmse")) for row in rows}


def test_it_fits_what_runs_fit(configure):
    bench = bench_of(configure)
    of_bench = dict(zip(bench.splits(), bench.fit(list(bench.splits().values())), strict=True))
    of_runs = {run["identity"]["held_out"]: run for run in train(configure("held_out=all", *SMALL))}
    assert of_bench.keys() == of_runs.keys() == {"de", "en", "it"}
    for value, run in of_runs.items():
        mine, theirs = scores(of_bench[value].rows()), scores(run["scores"])
        assert mine.keys() == theirs.keys()
        np.testing.assert_allclose(list(mine.values()), list(theirs.values()), rtol=0, atol=1e-12)
        np.testing.assert_allclose(
            of_bench[value].report["best_validation_r"], run["fit"]["best_validation_r"], rtol=0, atol=1e-12
        )
    values = [fit["best_validation_r"] for fit in (run["fit"] for run in of_runs.values())]
    assert [chosen_layer(fitted) for fitted in of_bench.values()] == [int(np.argmax(r)) for r in values]


def test_predictions_are_those_of_the_heads_and_score_as_they_do(configure):
    bench = bench_of(configure)
    (fitted,) = bench.fit([bench.splits()["it"]])
    ids = fitted.problem.split.test
    found = {each.entry.id: each for each in bench.predictions(fitted, ids, [2, 0])}
    assert list(found) == list(ids)
    for place, label in enumerate((2, 0)):
        for id_ in ids[:3]:
            times_s, predicted, measured = fitted.example(id_, label)
            np.testing.assert_array_equal(found[id_].times_s, times_s)
            np.testing.assert_array_equal(found[id_].predicted[place], predicted)
            np.testing.assert_array_equal(found[id_].measured, measured)
        of_speaker = [each for each in found.values() if each.entry.speaker == "toy/s1"]
        predicted = np.concatenate([each.predicted[place] for each in of_speaker])
        measured = np.concatenate([each.measured for each in of_speaker])
        for channel, name in enumerate(fitted.problem.targets.sets[0].channels):
            known = np.isfinite(measured[:, channel])
            r = np.corrcoef(predicted[known, channel], measured[known, channel])[0, 1]
            row = scores(fitted.rows())[label, "toy", "it", "toy/s1", name]
            np.testing.assert_allclose((known.sum(), r), row[:2], rtol=0, atol=1e-6)  # states are float16


def test_states_are_what_the_encoder_makes_of_the_audio(configure):
    bench = bench_of(configure, "features.storage=float32")
    id_ = next(iter(bench.entries))
    audio = bench.corpus_of(bench.entries[id_]).audio(id_)
    (expected,) = bench.encoder([torch.from_numpy(audio)])
    np.testing.assert_allclose(bench.states_of(id_, [2, 1]), expected[[2, 1]], atol=1e-5)
    np.testing.assert_array_equal(bench.times_s(id_), bench.encoder.geometry.times_s(expected.shape[1]))
    uncached = bench_of(configure, "features.storage=float32", "features.cache=false")
    np.testing.assert_allclose(uncached.states_of(id_), bench.states_of(id_), atol=1e-5)


def test_a_twin_has_other_weights_the_same_shape_and_is_drawn_again(configure):
    bench = bench_of(configure, "seed=3", "features.storage=float32")
    twin, again, other = (bench.twin(seed) for seed in (7, 7, 8))
    assert twin is not None and again is not None and other is not None
    id_ = next(iter(bench.entries))
    states = {name: each.states_of(id_) for name, each in
              {"bench": bench, "twin": twin, "again": again, "other": other}.items()}  # fmt: skip
    np.testing.assert_array_equal(states["twin"], states["again"])
    assert states["twin"].shape == states["bench"].shape
    for one, two in (("bench", "twin"), ("twin", "other")):
        assert np.abs(states[one] - states[two]).max() > 0.1
    assert twin.seed == bench.seed == 3  # that of splits
    assert twin.splits() == bench.splits()
    assert twin.settings.id.model != bench.settings.id.model
    assert twin.settings.model.arguments["about"]["training"] == "none"


def test_acoustics_have_no_twin_and_another_encoder_keeps_every_other_setting(configure):
    bench = bench_of(configure, "seed=3", "ema.lowpass_hz=8")
    mel = bench.other(bench.option("mel_frame"))
    assert mel.twin(0) is None
    assert (mel.encoder.label, mel.encoder.width, mel.labels) == ("mel_frame", 80, (0,))
    changed = {"model", "layer"}
    assert {key: value for key, value in mel.settings.raw.items() if key not in changed} == {
        key: value for key, value in bench.settings.raw.items() if key not in changed
    }
    assert mel.problem.targets.smoothing.lowpass_hz == 8


def test_other_inputs_are_read_from_the_same_frames(configure):
    bench = bench_of(configure)
    split = bench.splits()["it"]
    (both,) = bench.fit([split], inputs=[HeadInput("both", (0, 2))])
    (alone,) = bench.fit([split], inputs=[HeadInput("alone", (2,))])
    (layers,) = bench.fit([split])
    of_layers = {key[1:]: row for key, row in scores(layers.rows()).items() if key[0] == 2}
    assert {key[1:]: row for key, row in scores(alone.rows()).items()} == of_layers
    assert {key[1:] for key in scores(both.rows())} == set(of_layers)


def test_what_is_not_there_is_one_line(configure):
    bench = bench_of(configure)
    with pytest.raises(ConfigError, match="analyses need a closed-form head: give head=ridge"):
        bench_of(configure, "head=mlp")
    with pytest.raises(ConfigError, match="model=mell: there is no such option"):
        bench.option("mell")
    with pytest.raises(ConfigError, match=r"corpora=\['toy'\]: there is one corpus only, toy; nothing is left"):
        bench.splits("corpus")
    with pytest.raises(ConfigError, match=r"there are only .* min to learn from"):
        bench.splits(train_min=60)


def test_what_does_not_apply_is_recorded_and_not_a_failure(configure, monkeypatch):
    """So that a study of several analyses ends well, and the report says why."""
    from tractprobe.evidence.record import read_record
    from tractprobe.jobs import train as do

    monkeypatch.setattr("tractprobe.evidence.analyses.phones.phone_counts", lambda corpus: {})
    config = configure("analysis=phones", *SMALL)
    record = do(config)
    assert record.evidence.findings == () and record.evidence.caveats[0].startswith(
        "It does not apply: toy has no phone"
    )
    assert read_record(Settings.of(plain(config)).folder).evidence == record.evidence
    assert do(config).evidence == record.evidence  # finished: done once
