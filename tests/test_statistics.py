"""Means over speakers with intervals, against scipy where it has the case, and against truth where it is known."""

import numpy as np
import pytest
from scipy import stats

from tractprobe.runs.estimate import Estimate, mean_over_speakers, standard_error, table_of


def of_one_language(scores) -> dict[tuple[str, str], float]:
    return {("it", f"s{n}"): score for n, score in enumerate(scores)}


def test_mean_is_over_speakers_then_languages():
    values = {("it", "a"): 0.2, ("it", "b"): 0.4, ("en", "c"): 0.9}
    assert mean_over_speakers(values).mean == pytest.approx((0.3 + 0.9) / 2)


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_interval_of_one_language_is_student_s(level: float):
    scores = np.random.default_rng(0).normal(0.7, 0.05, 12)
    estimate = mean_over_speakers(of_one_language(scores), level)
    low, high = stats.ttest_1samp(scores, 0).confidence_interval(level)
    assert (estimate.low, estimate.high) == (pytest.approx(low), pytest.approx(high))
    assert (estimate.n, estimate.level, estimate.languages) == (12, level, 1)
    assert estimate.se == pytest.approx(scores.std(ddof=1) / np.sqrt(12)) and estimate.df == pytest.approx(11)


def test_speakers_of_all_languages_are_one_unit_each():
    """What differs between speakers in the same way in every language does not average out over languages."""
    scores = np.random.default_rng(0).normal(0.7, 0.05, 8)
    one = mean_over_speakers(of_one_language(scores))
    six = mean_over_speakers({(language, f"s{n}"): s for n, s in enumerate(scores) for language in "abcdef"})
    assert (six.low, six.high) == pytest.approx((one.low, one.high)) and (six.n, six.languages) == (8, 6)


def test_interval_of_crossed_speakers_is_student_s_of_their_means():
    table = np.random.default_rng(1).normal(0.7, 0.05, (5, 3))
    values = {
        (language, f"s{n}"): score for n, row in enumerate(table) for language, score in zip("abc", row, strict=True)
    }
    low, high = stats.ttest_1samp(table.mean(axis=1), 0).confidence_interval(0.95)
    estimate = mean_over_speakers(values)
    assert (estimate.low, estimate.high) == (pytest.approx(low), pytest.approx(high))


def test_standard_error_of_nested_speakers_is_welch_s():
    """The mean of two languages is their difference with one sign turned."""
    random = np.random.default_rng(2)
    one, other = random.normal(0.7, 0.05, 6), random.normal(0.5, 0.05, 9)
    values = of_one_language(one) | {("en", f"e{n}"): score for n, score in enumerate(other)}
    welch = stats.ttest_ind(one, -other, equal_var=False)
    estimate = mean_over_speakers(values)
    assert estimate.se == pytest.approx((one.mean() + other.mean()) / welch.statistic / 2)
    equal = (1 / 6 + 1 / 9) ** 2 / (1 / 36 / 5 + 1 / 81 / 8)  # Satterthwaite's, with equal variances
    assert estimate.df is not None and 5 <= estimate.df <= equal + 1e-9


def test_variance_is_unbiased_between_crossed_and_nested():
    """Whether a speaker's scores go together (rho) or not, the squared error is not underestimated."""
    scored = np.zeros((12, 3), bool)
    scored[:, 0], scored[:4, 1], scored[8:, 2] = True, True, True
    random = np.random.default_rng(0)
    ratios = []
    for rho in (0.0, 0.5, 1.0):
        scores = np.sqrt(rho) * random.normal(size=(1500, 12, 1)) + np.sqrt(1 - rho) * random.normal(size=(1500, 12, 3))
        scores[:, ~scored] = np.nan
        means = np.nanmean(np.nanmean(scores, axis=1), axis=1)
        ratios.append(np.mean([standard_error(table)[0] ** 2 for table in scores]) / np.mean(means**2))
    assert min(ratios) > 0.93 and max(ratios) < 1.25


def test_a_language_of_one_speaker_leaves_no_interval_and_is_named():
    estimate = mean_over_speakers({("it", "a"): 0.5, ("it", "b"): 0.6, ("fr", "c"): 0.7})
    assert (estimate.low, estimate.high, estimate.se, estimate.alone) == (None, None, None, ("fr",))
    assert str(estimate) == ".625 (n=3)" and (estimate.n, estimate.languages) == (3, 2)


def test_one_speaker_has_no_interval():
    estimate = mean_over_speakers({("it", "a"): 0.613})
    assert estimate == Estimate(0.613, None, None, 1, alone=("it",)) and str(estimate) == ".613 (n=1)"


def test_interval_of_a_correlation_is_on_fisher_s_z_of_the_mean():
    scores = [0.98, 0.99, 0.94, 0.97]
    plain, fisher = (mean_over_speakers(of_one_language(scores), fisher=fisher) for fisher in (False, True))
    half = (plain.high - plain.low) / 2 / (1 - plain.mean**2)
    assert fisher.mean == plain.mean and plain.high > 1 > fisher.high
    assert np.arctanh([fisher.low, fisher.high]) == pytest.approx(np.arctanh(fisher.mean) + np.array([-half, half]))


def test_equal_scores_have_an_interval_of_no_width():
    for fisher in (False, True):
        estimate = mean_over_speakers(of_one_language([1.0, 1.0, 1.0]), fisher=fisher)
        assert (estimate.low, estimate.high) == (1.0, 1.0)


def test_the_same_values_give_the_same_interval_in_any_order():
    values = {("it", f"s{n}"): n / 10 for n in range(5)}
    assert mean_over_speakers(values) == mean_over_speakers(dict(reversed(values.items())))


def test_table_of_scores_is_empty_where_a_speaker_does_not_speak():
    table = table_of({("it", "a"): 0.1, ("en", "b"): 0.2})
    assert np.array_equal(table, [[np.nan, 0.1], [0.2, np.nan]], equal_nan=True)
