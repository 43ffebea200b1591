from itertools import product

import numpy as np
import pytest

from tractprobe.runs.estimate import Estimate, mean_over_speakers


def test_mean_is_over_speakers_then_languages():
    values = {("it", "a"): 0.2, ("it", "b"): 0.4, ("en", "c"): 0.9}
    assert mean_over_speakers(values).mean == pytest.approx((0.3 + 0.9) / 2)


def test_interval_of_one_language_is_the_bootstrap_of_the_mean():
    scores = np.random.default_rng(0).normal(0.7, 0.05, 12)
    estimate = mean_over_speakers({("it", f"s{n}"): score for n, score in enumerate(scores)})
    draws = np.random.default_rng(1).choice(scores, (40_000, 12)).mean(axis=1)
    assert estimate.low == pytest.approx(np.quantile(draws, 0.025), abs=0.002)
    assert estimate.high == pytest.approx(np.quantile(draws, 0.975), abs=0.002)
    assert estimate.n == 12


def test_speakers_of_several_languages_are_drawn_together():
    """What differs between speakers in the same way in every language does not average out over languages."""
    scores = np.random.default_rng(0).normal(0.7, 0.05, 8)
    one = mean_over_speakers({("it", f"s{n}"): score for n, score in enumerate(scores)})
    six = mean_over_speakers({(language, f"s{n}"): s for n, s in enumerate(scores) for language in "abcdef"})
    assert (six.low, six.high) == pytest.approx((one.low, one.high))


def test_a_language_of_which_a_draw_has_no_speaker_is_left_out_of_it():
    values = {("it", "a"): 0.2, ("it", "d"): 0.3, ("en", "b"): 0.9, ("en", "c"): 0.7}
    means = []
    for drawn in product(values, repeat=4):
        by_language: dict[str, list[float]] = {}
        for key in drawn:
            by_language.setdefault(key[0], []).append(values[key])
        means.append(np.mean([np.mean(some) for some in by_language.values()]))
    estimate = mean_over_speakers(values)
    assert estimate.mean == pytest.approx((0.25 + 0.8) / 2)
    assert estimate.low == pytest.approx(np.quantile(means, 0.025), abs=0.02)
    assert estimate.high == pytest.approx(np.quantile(means, 0.975), abs=0.02)


def test_coverage_is_near_nominal_with_many_speakers():
    random, inside = np.random.default_rng(0), 0
    for _ in range(100):
        scores = random.normal(0.5, 0.1, 30)
        estimate = mean_over_speakers({("it", f"s{n}"): score for n, score in enumerate(scores)})
        inside += estimate.low <= 0.5 <= estimate.high
    assert 87 <= inside <= 100


def test_one_speaker_has_no_interval():
    estimate = mean_over_speakers({("it", "a"): 0.613})
    assert estimate == Estimate(0.613, None, None, 1) and str(estimate) == ".613 (n=1)"


def test_the_same_values_give_the_same_interval_in_any_order():
    values = {("it", f"s{n}"): n / 10 for n in range(5)}
    assert mean_over_speakers(values) == mean_over_speakers(dict(reversed(values.items())))
