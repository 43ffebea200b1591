"""Scores against SUPERB: rank correlations against scipy, published examples, simulations and earlier results."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtri

from tractprobe.evidence.analyses.downstream import Downstream, _comparable, own_scores
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.literature import TASKS, cho_2022, overall, superb
from tractprobe.evidence.record import Evidence, Finding, Record, write_record
from tractprobe.evidence.statistics.correlation import (
    difference_interval,
    partial,
    pearson,
    rank_interval,
    ranks,
    spearman,
    williams_p,
)

# Of articulatory score and of minus PER with each task, the score given PER, and given parameters: nine models.
BEFORE = {
    "ASR": (0.98, 1.00, None, 0.93, 0.94),
    "KS": (0.78, 0.80, -0.03, 0.31, 0.86),
    "QbE": (0.47, 0.53, None, None, 0.58),
    "IC": (0.93, 0.97, -0.37, 0.72, 0.92),
    "SF": (0.90, 0.93, -0.27, 0.66, 0.98),
    "SID": (0.98, 0.95, 0.87, 0.93, 0.85),
    "ASV": (0.92, 0.93, -0.02, 0.67, 0.94),
    "SD": (0.97, 0.98, -0.01, 0.87, 0.91),
    "ER": (0.98, 1.00, None, 0.93, 0.91),
}
DRAWS_BEFORE = {"ASR": (-0.14, 0), "KS": (-0.18, 0), "IC": (-0.26, 0), "SF": (-0.25, 0), "SID": (0, 0.26),
                "ASV": (-0.18, 0), "SD": (-0.14, 0), "ER": (-0.14, 0)}  # fmt: skip


@pytest.fixture(scope="module")
def published() -> Evidence:
    return Downstream(draws=2000).of_scores("published", "Cho et al. (2022)", cho_2022())


def test_rank_correlations_are_scipy_s():
    random = np.random.default_rng(0)
    x, y = random.integers(0, 6, (2, 40, 12)).astype(float)  # with ties
    expected = [stats.spearmanr(one, other).statistic for one, other in zip(x, y, strict=True)]
    assert spearman(x, y) == pytest.approx(np.array(expected))
    assert np.isnan(spearman(np.ones(4), np.arange(4.0)))


def test_a_partial_correlation_is_that_of_residuals():
    x, y, z = ranks(np.random.default_rng(1).normal(size=(3, 15)))
    residuals = [values - np.polyval(np.polyfit(z, values, 1), z) for values in (x, y)]
    found = partial(float(pearson(x, y)), float(pearson(x, z)), float(pearson(y, z)))
    assert found == pytest.approx(stats.pearsonr(*residuals).statistic)
    assert partial(0.5, 1.0, 0.5) is None


def test_tests_of_dependent_correlations_give_the_published_examples():
    """Steiger (1980), masculinity and femininity against verbal ability; Zou (2007), overlapping correlations."""
    assert williams_p(0.5, 0.4, 0.1, 103) == pytest.approx(0.37, abs=0.005)

    def fisher(r: float, n: int, level: float) -> tuple[float, float]:
        half = ndtri((1 + level) / 2) / np.sqrt(n - 3)
        return np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)

    assert difference_interval(0.396, 0.179, 0.088, 66, of_one=fisher) == pytest.approx((-0.093, 0.517), abs=5e-4)


def of_normals(n: int, xy: float, xz: float, yz: float, draws: int) -> np.ndarray:
    """Return draws of three correlated variables: array (variable, draw, n)."""
    root = np.linalg.cholesky([[1, xy, xz], [xy, 1, yz], [xz, yz, 1]])
    return np.moveaxis(np.random.default_rng(n).normal(size=(draws, n, 3)) @ root.T, 2, 0)


@pytest.mark.parametrize("n", [9, 20])
def test_intervals_of_rank_correlations_and_their_difference_hold_their_level(n: int):
    x, y, z = of_normals(n, 0.85, 0.8, 0.8, 1500)
    true = [6 / np.pi * np.arcsin(r / 2) for r in (0.85, 0.8)]  # ρ of normal variables
    of_one = of_difference = 0
    for xy, xz, yz in zip(spearman(x, y), spearman(x, z), spearman(y, z), strict=True):
        low, high = rank_interval(float(xy), n)
        of_one += low is not None and low <= true[0] <= high
        low, high = difference_interval(float(xy), float(xz), float(yz), n)
        of_difference += low is not None and low <= true[0] - true[1] <= high
    assert 0.93 < of_one / 1500 < 0.98 and 0.92 < of_difference / 1500 < 0.98


def test_williams_errs_in_5_percent_of_normal_variables():
    x, y, z = of_normals(9, 0.8, 0.8, 0.7, 2000)
    triples = zip(pearson(x, y), pearson(x, z), pearson(y, z), strict=True)
    assert np.mean([williams_p(*map(float, each), 9) < 0.05 for each in triples]) == pytest.approx(0.05, abs=0.015)


def test_what_is_one_or_too_few_has_no_interval():
    assert rank_interval(1.0, 20) == rank_interval(0.3, 4) == difference_interval(1.0, 0.5, 0.5, 9) == (None, None)
    assert williams_p(0.5, 0.5, 1.0, 9) is None and williams_p(0.5, 0.4, 0.1, 3) is None


def test_superb_s_table_is_whole():
    models = superb()
    assert len(models) == 20 and all(model.good(task) is not None for model in models.values() for task in TASKS)
    assert models["HuBERT Large"].metrics["pr_per"] == 3.53 and models["WavLM Large"].good("ASR") == -3.44
    assert models["wav2vec 2.0 Base"].option == "wav2vec2_base" and models["FBANK"].parameters_m == 0
    assert overall([models["FBANK"]]) == pytest.approx([0.0]) and max(overall(list(models.values()))) <= 1


def test_published_scores_say_what_was_computed_before(published: Evidence):
    assert len(cho_2022()) == 9
    rows = {row["task"]: row for row in published.tables[0].rows}
    assert rows["PR"]["rho_articulatory"] == pytest.approx(0.98, abs=0.006)
    for task, (articulatory, phonetic, given_per, given_parameters, r_of_per) in BEFORE.items():
        row = rows[task]
        assert (row["rho_articulatory"], row["rho_phonetic"]) == pytest.approx((articulatory, phonetic), abs=0.006)
        assert row["pearson_phonetic"] == pytest.approx(r_of_per, abs=0.006)
        if given_per is not None:
            assert row["partial_phonetic"] == pytest.approx(given_per, abs=0.006)
        if given_parameters is not None:
            assert row["partial_parameters"] == pytest.approx(given_parameters, abs=0.006)
    for task, ends in DRAWS_BEFORE.items():
        assert (rows[task]["draws_low"], rows[task]["draws_high"]) == pytest.approx(ends, abs=0.06)


def test_only_speaker_identification_shows_an_advantage_of_articulation(published: Evidence):
    difference = published.finding("published_difference")
    assert {part.name for part in difference.by if part.value is not None and part.value > 0} == {"SID"}
    assert difference.low < 0 < difference.high and difference.n == {"models": 9, "tasks": 9}
    models = published.tables[1].rows
    parameters = spearman(*(np.array([row[key] for row in models]) for key in ("articulatory", "parameters_m")))
    assert parameters == pytest.approx(0.88, abs=0.006)


def test_leaving_one_model_out_is_what_its_columns_say(published: Evidence):
    scores = cho_2022()
    row = next(row for row in published.tables[0].rows if row["task"] == "KS")
    without = []
    for left in scores:
        kept = [name for name in scores if name != left]
        goods = [superb()[name].metrics["ks_accuracy"] for name in kept]
        without.append(stats.spearmanr([scores[name] for name in kept], goods).statistic)
    assert (row["least"], row["most"]) == pytest.approx((min(without), max(without)))


def test_few_models_leave_every_finding_undefined_with_its_reason():
    for scores in ({}, {"HuBERT Base": 0.5, "WavLM Base": 0.6}, dict.fromkeys(cho_2022(), 0.5)):
        found = Downstream().of_scores("own", "ours on virtual", scores)
        assert all(finding.value is None and "are needed" in finding.says for finding in found.findings)


class Records(Bench):
    """What the analysis reads of a bench."""

    def __init__(self, runs: Path):
        self.problem = SimpleNamespace(identity={"corpora": {"virtual": "ab"}, "seed": 0, "differences": {}})
        self.settings = SimpleNamespace(corpora=["virtual"], paths=SimpleNamespace(runs=runs))


def curves(folder, model: str, r: float | None, **changes) -> None:
    identity = {"model": model, "seed": 0, "corpora": {"virtual": "ab"}, "encoder": {}, "analysis": {},
                "differences": {"model.revision": "x"}} | changes  # fmt: skip
    finding = Finding("r_language", "r", r, None, None, "r", "speakers", {"speakers": 4})
    write_record(folder, Record("curves", 1, identity, {}, "", {}, {}, {}, Evidence((finding,))))


def test_our_scores_are_those_of_layer_curves_on_the_same_corpora(tmp_path):
    models = ["hubert_base", "hubert_large", "wavlm_base", "wavlm_large", "wav2vec2_base", "mel"]
    for number, model in enumerate(models):
        curves(tmp_path / f"{model}/all/evidence/curves/s0", model, 0.5 + number / 100)
    curves(tmp_path / "wavlm_base_plus/all/evidence/curves/s0", "wavlm_base_plus", 0.6, corpora={"mocha": "cd"})
    curves(tmp_path / "distilhubert/all/evidence/curves/s0", "distilhubert", None)
    broken = tmp_path / "distilhubert/all/evidence/curves/s1/evidence.json"
    broken.parent.mkdir()
    broken.write_text("{")
    scores, left_out = own_scores(Records(tmp_path))
    assert scores == pytest.approx({"HuBERT Base": 0.5, "HuBERT Large": 0.51, "WavLM Base": 0.52, "WavLM Large": 0.53,
                                    "wav2vec 2.0 Base": 0.54})  # fmt: skip
    assert len(left_out) == 2 and "other corpora" in left_out[1] and str(broken) in left_out[0]
    evidence = Downstream(draws=200)(Records(tmp_path))
    assert evidence.finding("own_articulatory").n["models"] == 5
    assert evidence.finding("published_articulatory").n["models"] == 9 and left_out[1] in evidence.caveats


def test_evidence_is_finite_and_can_be_written(tmp_path):
    evidence = Downstream(draws=100)(Records(tmp_path))
    identity = {"model": "mel", "seed": 0, "corpora": {}, "encoder": {}, "analysis": {}}
    write_record(tmp_path, Record("downstream", 1, identity, {}, "", {}, {}, {}, evidence))
    assert json.loads((tmp_path / "evidence.json").read_text())["evidence"]["findings"][0]["value"] > 0.9


def test_settings_of_encoders_do_not_make_records_incomparable():
    one = {"corpora": {}, "seed": 0, "differences": {"model.revision": "x", "ema.lowpass_hz": 20}}
    assert _comparable(one) == {"corpora": {}, "seed": 0, "settings": {"ema.lowpass_hz": 20}}
