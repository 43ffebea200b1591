"""Units and codebooks: what k-means and codecs keep, read by the same heads as states are."""

from typing import Any

import numpy as np
import pytest
from scipy.cluster.vq import vq

from tractprobe.evidence.analyses.tokens import Tokens
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.units import Units, fitted_units, nearest
from tractprobe.probes.states import HeadInput
from tractprobe.runs.configuration import plain
from tractprobe.runs.settings import Settings
from tractprobe.system.errors import ConfigError

SMALL = ["model=random", "model.layers=1", "model.width=16", "model.channels=8"]


def bench_of(configure: Any, *overrides: str) -> Bench:
    return Bench(Settings.of(plain(configure(*SMALL, *overrides))))


def test_the_nearest_centroid_is_scipys():
    rng = np.random.default_rng(0)
    states, centroids = rng.normal(size=(200, 6)).astype(np.float32), rng.normal(size=(9, 6)).astype(np.float32)
    np.testing.assert_array_equal(nearest(states, centroids), vq(states, centroids)[0])


def test_units_are_fitted_to_the_frames_that_may_be_learned_from_and_drawn_again(configure, monkeypatch):
    bench = bench_of(configure)
    split, read = bench.splits()["it"], []
    states_of = Bench.states_of
    monkeypatch.setattr(
        Bench, "states_of", lambda self, id_, layers=None: read.append(id_) or states_of(self, id_, layers)
    )
    first = fitted_units(bench, 1, split.development, 8, 20, 5)
    assert set(read) == set(split.development) and not set(read) & set(split.test)
    np.testing.assert_array_equal(first, fitted_units(bench, 1, split.development[::-1], 8, 20, 5))
    assert first.shape == (8, 16) and len(np.unique(first, axis=0)) == 8


def test_a_head_on_units_predicts_each_units_mean(configure):
    bench = bench_of(configure, "head.alphas=[0.000001]")
    split = bench.splits()["it"]
    units = Units(bench, 1, fitted_units(bench, 1, split.development, 5, 100, 10))
    read = HeadInput(units.name, (), (units.name,))
    (fitted,) = bench.fit([split], None, [read], [units])

    def frames(ids):
        of_unit, targets = [], []
        for id_ in ids:
            entry = bench.entries[id_]
            values = bench.problem.targets.at(bench.corpus_of(entry), entry, bench.times_s(id_))
            scale = fitted.scales[entry.speaker]
            of_unit.append(nearest(bench.states_of(id_, [1])[0], units.centroids))
            targets.append((values - scale.mean) / scale.sd)
        return np.concatenate(of_unit), np.concatenate(targets)

    of_unit, targets = frames(split.development)
    means = np.stack([np.nanmean(targets[of_unit == unit], axis=0) for unit in range(5)])
    speaker = bench.entries[split.test[0]].speaker
    own = [id_ for id_ in split.test if bench.entries[id_].speaker == speaker]
    of_unit, targets = frames(own)
    rows = {row["channel"]: row["r"] for row in fitted.rows() if row["speaker"] == speaker}
    for place, channel in enumerate(bench.problem.targets.sets[0].channels):
        known = np.isfinite(targets[:, place])
        r = np.corrcoef(means[of_unit[known], place], targets[known, place])[0, 1]
        assert rows[channel] == pytest.approx(r, abs=1e-5)


def test_inputs_of_different_widths_are_scored_as_each_by_itself(configure):
    bench = bench_of(configure)
    splits = list(bench.splits().values())
    small, large = (Units(bench, 1, fitted_units(bench, 1, splits[0].development, count, 20, 3)) for count in (4, 7))
    inputs = [HeadInput(each.name, (), (each.name,)) for each in (small, large)]
    together = bench.rows(splits, inputs, features=[small, large])
    for read, feature in zip(inputs, (small, large), strict=True):
        alone = [row for fitted in bench.fit(splits, None, [read], [feature]) for row in fitted.rows()]
        assert [row["r"] for row in together[read.label]] == pytest.approx([row["r"] for row in alone], abs=1e-9)


def test_the_analysis_tells_what_units_keep_and_names_those_that_are_left_out(configure):
    evidence = Tokens(units=(4, 8, 100_000), beside=(4,))(bench_of(configure))
    names = {finding.name for finding in evidence.findings}
    assert {"movements_states", "movements_units4", "movements_kept_units8", "movements_lost_units4"} <= names
    assert not any("100000" in name for name in names)
    assert any("100000 units were left out" in caveat for caveat in evidence.caveats)
    lost = evidence.finding("movements_lost_units4")
    states, units = evidence.finding("movements_states"), evidence.finding("movements_units4")
    assert lost and states and units and lost.value == pytest.approx(units.value - states.value, abs=1e-9)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"units": ()}, "different numbers"), ({"units": (5, 5)}, "different numbers"), ({"units": (1,)}, "2 or more"),
     ({"iterations": 0}, "1 or more"), ({"units": (4,), "beside": (5,)}, "beside")],
)  # fmt: skip
def test_settings_that_say_nothing_are_one_line(settings, said):
    with pytest.raises(ConfigError, match=said):
        Tokens(**{"beside": (), **settings})


def test_codebooks_of_a_codec_are_read_depth_by_depth(configure, tmp_path):
    from test_codec import model_of

    model_of("mimi").save_pretrained(tmp_path / "codec")
    config = configure("model=hub", f"model.name={tmp_path / 'codec'}", "model.label=codec")
    evidence = Tokens()(Bench(Settings.of(plain(config))))
    names = [finding.name for finding in evidence.findings if finding.name.startswith("movements_kept")]
    assert names == [f"movements_kept_codebooks{depth}" for depth in range(1, 5)]
