"""Layer curves: r of known and unheard languages, minutes to learn from, bits saved, nonlinear heads that were run."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.nonlinear import finished_heads
from tractprobe.evidence.record import Evidence, Record
from tractprobe.evidence.tables.means import Mean
from tractprobe.jobs import train
from tractprobe.runs.configuration import plain
from tractprobe.runs.settings import Settings

Configure = Callable[..., Any]
FRAME = ["model=mel_frame", "model.bands=16"]
MLP = ["head=mlp", "head.hidden=8", "trainer.max_epochs=2", "data.batch_size=8", "held_out=all"]


def evidence_of(configure: Configure, *overrides: str) -> Evidence:
    record = train(configure("analysis=curves", "analysis.minutes=[0.1,0.3,4]", *FRAME, *overrides))
    assert isinstance(record, Record)
    return record.evidence


def table(evidence: Evidence, name: str) -> tuple[dict[str, Any], ...]:
    (found,) = [each.rows for each in evidence.tables if each.name == name]
    return found


def test_curves_are_those_of_runs(configure):
    evidence = evidence_of(configure)
    for by in ("language", "sentence"):
        folds = ["split.folds=4"] if by == "sentence" else []  # of as many sentences of each language
        results = train(configure(f"split={by}", "held_out=all", *folds, *FRAME))
        rows = [{**row, **{key: run["identity"][key] for key in ("seed", "held_out")}, "run": str(number)}
                for number, run in enumerate(results) for row in run["scores"]]  # fmt: skip
        expected = Mean.of(rows).estimate
        found = evidence.finding(f"r_{by}")
        assert expected is not None
        assert (found.value, found.low, found.high) == pytest.approx((expected.mean, expected.low, expected.high))
        (row,) = [row for row in table(evidence, "layers") if row["split"] == f"held-out {by}"]
        assert row["r"] == pytest.approx(expected.mean)
    cost = evidence.finding("language_cost")
    assert cost.value == pytest.approx(evidence.finding("r_sentence").value - evidence.finding("r_language").value)
    assert "sentences are held out in 4 folds, not 5, as no language has more of them" in evidence.caveats
    assert {part.kind for part in cost.by} == {"language", "speaker", "articulator"}


def test_more_minutes_include_fewer_and_what_there_is_not_is_named(configure):
    evidence = evidence_of(configure)
    sizes = {row["minutes"]: row["r"] for row in table(evidence, "sizes")}
    assert list(sizes)[:2] == [0.1, 0.3] and len(sizes) == 3
    everything = max(sizes)
    assert sizes[everything] == evidence.finding("r_language").value
    assert everything == pytest.approx(24 * 1.2 / 60, abs=0.01)
    assert any("no score from 4 min" in caveat for caveat in evidence.caveats)
    results = train(configure("held_out=all", "split.train_min=0.1", *FRAME))
    expected = np.mean([row["r"] for run in results for row in run["scores"]])
    assert sizes[0.1] == pytest.approx(expected)


def test_bits_are_saved_where_movements_follow_from_the_sound(configure):
    evidence = evidence_of(configure)
    bits = evidence.finding("bits_saved")
    assert bits.unit == "bit/frame" and bits.low > 0.1
    blocks = table(evidence, "blocks")
    assert blocks[0]["bits"] == pytest.approx(0, abs=1e-9) and blocks[-1]["bits"] > 0.3
    assert blocks[-1]["share"] == 1 and blocks[-1]["minutes"] == pytest.approx(36 * 1.2 / 60)
    (layer,) = table(evidence, "bits")
    rows = [row["bits"] for row in evidence.rows if row["condition"] == "online code"]
    assert len(rows) == 9 and np.mean(rows) == pytest.approx(bits.value) == pytest.approx(layer["bits"])


def test_nonlinear_heads_that_were_run_for_every_language_are_shown(configure):
    results = train(configure(*FRAME, *MLP))
    evidence = evidence_of(configure)
    (gain,) = [found for found in evidence.findings if found.name.startswith("gain_of_mlp")]
    r = np.mean([row["r"] for run in results for row in run["scores"]])
    assert gain.value == pytest.approx(r - evidence.finding("r_language").value)
    assert len(evidence.figures[0].series) == 3


def test_nonlinear_heads_of_other_settings_or_too_few_languages_are_not(configure):
    train(configure(*FRAME, *MLP[:-1], "held_out=it"))
    train(configure("model=mel_frame", "model.bands=12", *MLP))
    bench = Bench(Settings.of(plain(configure(*FRAME))))
    found, left_out = finished_heads(bench, bench.splits())
    assert found == [] and len(left_out) == 1 and "do not hold out de, en" in left_out[0]
    other = replace(bench.settings.paths, runs=bench.settings.paths.runs / "nowhere")
    bench.settings = replace(bench.settings, paths=other)
    assert finished_heads(bench, bench.splits()) == ([], [])
