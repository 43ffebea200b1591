"""Tests and intervals of differences between speakers: against scipy, published numbers and simulated truth."""

import itertools

import numpy as np
import pytest
from scipy import stats

from tractprobe.evidence.statistics.inference import (
    differences,
    effect,
    equivalence,
    holm,
    max_t,
    over_languages,
    paired,
    sign_flip_p,
    speakers_needed,
    t_p,
)
from tractprobe.runs.estimate import interval, standard_error

NORMAL = np.random.default_rng(0).normal


def scores(table: np.ndarray) -> dict[tuple[str, str], float]:
    """Return finite scores of a table (speaker, language)."""
    return {(f"l{column}", f"s{row}"): float(table[row, column]) for row, column in np.argwhere(np.isfinite(table))}


def apart(*numbers: int) -> np.ndarray:
    """Return who speaks what if every language has speakers of its own."""
    return np.repeat(np.eye(len(numbers), dtype=bool), numbers, axis=0)


def drawn(spoken: np.ndarray, simulations: int, seed: int, *, skewed: bool = False) -> np.ndarray:
    """Return tables of mean 0 and variance 1; half of it is of the speaker, in all languages of theirs."""
    random = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return 2 - random.gamma(4, 0.5, shape) if skewed else random.normal(size=shape)

    speakers, languages = spoken.shape
    tables = (draw(simulations, speakers, 1) + draw(simulations, speakers, languages)) / np.sqrt(2)
    return np.where(spoken, tables, np.nan)


def held(tables: np.ndarray, truth: float, level: float = 0.95, *, fisher: bool = False) -> float:
    """Return the share of intervals that hold the truth."""
    inside = 0
    for table in tables:
        mean, (se, df) = float(np.nanmean(np.nanmean(table, axis=0))), standard_error(table)
        low, high = interval(mean, se, df, level, fisher=fisher)
        inside += low <= truth <= high
    return inside / len(tables)


DESIGNS = {
    "one language": lambda n: np.ones((n, 1), bool),
    "crossed": lambda n: np.ones((n, 6), bool),
    "nested": lambda n: apart(n, n, n),
    "unequal": lambda n: apart(n, -(-3 * n // 2), 2 * n),
}


@pytest.mark.parametrize("n", [4, 8, 20])
@pytest.mark.parametrize("design", DESIGNS)
def test_intervals_hold_their_level(design: str, n: int):
    """Within 93 to 97 %, and three standard errors of 1,000 simulations (benchmarks/coverage.py takes 4,000)."""
    spoken, margin = DESIGNS[design](n), 3 * (0.05 * 0.95 / 1000) ** 0.5
    for skewed in (False, True):
        assert 0.93 - margin / 2 < held(drawn(spoken, 1000, n, skewed=skewed), 0.0) < 0.97 + margin / 2


@pytest.mark.parametrize("n", [4, 8, 20])
def test_intervals_of_correlations_near_1_hold_their_level_on_fisher_s_z(n: int):
    random = np.random.default_rng(n)
    truth = np.tanh(random.normal(2, 0.3, 1_000_000)).mean()  # r about .96
    tables = np.tanh(random.normal(2, 0.3, (2000, n, 1)))
    on_z = held(tables, truth, fisher=True)
    assert 0.92 < on_z < 0.97 and on_z > held(tables, truth)


@pytest.mark.parametrize("n", [4, 8, 20])
def test_a_null_is_rejected_in_5_percent(n: int):
    for spoken in (np.ones((n, 6), bool), apart(n, n)):
        tables = drawn(spoken, 800, n)
        by_interval = 1 - held(tables, 0.0)
        by_flips = np.mean([sign_flip_p(scores(table), draws=199) <= 0.05 for table in tables[:300]])
        assert 0.03 < by_interval < 0.075 and by_flips < 0.09


@pytest.mark.parametrize("n", [4, 8, 20])
def test_equivalence_errs_in_5_percent_at_the_edge_of_the_margin(n: int):
    for spoken in (np.ones((n, 6), bool), apart(n, n)):
        tables = 0.03 + 0.01 * drawn(spoken, 800, n)
        wrong = np.mean([equivalence(scores(table), 0.03).equivalent is True for table in tables])
        assert 0.025 < wrong < 0.08


def test_effect_leaves_out_what_is_undefined_and_refuses_nothing():
    assert effect({("a", "s"): 0.5, ("a", "t"): np.nan}).n == 1
    with pytest.raises(ValueError, match="over no speaker"):
        effect({("a", "s"): np.nan})


def test_paired_differences_are_within_speakers_that_have_both():
    one = {("a", "s"): 0.5, ("a", "t"): 0.9, ("b", "s"): 0.4, ("b", "u"): 0.2}
    other = {("a", "s"): 0.4, ("a", "t"): 0.7, ("b", "s"): np.nan, ("b", "v"): 0.1}
    assert differences(one, other) == pytest.approx({("a", "s"): 0.1, ("a", "t"): 0.2})
    low, high = stats.ttest_rel([0.5, 0.9], [0.4, 0.7]).confidence_interval(0.9)
    found = paired(one, other, 0.9)
    assert (found.low, found.high, found.n) == (pytest.approx(low), pytest.approx(high), 2)


@pytest.mark.parametrize("mean", [0.0, 0.01, -0.025, 0.05])
def test_equivalence_is_two_one_sided_t_tests(mean: float):
    sample = mean + 0.02 * NORMAL(size=9)
    lower = stats.ttest_1samp(sample, -0.03, alternative="greater").pvalue
    upper = stats.ttest_1samp(sample, 0.03, alternative="less").pvalue
    found = equivalence(scores(sample[:, None]), 0.03)
    assert found.p == pytest.approx(max(lower, upper)) and (found.equivalent is True) == (max(lower, upper) < 0.05)
    low, high = found.estimate90.low, found.estimate90.high
    assert (found.equivalent is True) == (-0.03 < low and high < 0.03)


def test_equivalence_is_undecided_where_the_interval_reaches_over_the_margin_and_false_beyond():
    assert equivalence(scores(np.array([[0.0], [0.08], [0.02]])), 0.03).equivalent is None
    assert equivalence(scores(np.array([[0.08], [0.081], [0.082]])), 0.03).equivalent is False
    alone = equivalence({("a", "s"): 0.0}, 0.03)
    assert (alone.p, alone.equivalent, alone.estimate90.mean) == (None, None, 0.0)
    with pytest.raises(ValueError, match="margin 0"):
        equivalence({("a", "s"): 0.0}, 0)


def test_sign_flips_are_scipy_s_exact_permutation_test():
    sample = NORMAL(size=9) + 0.5
    exact = stats.permutation_test((sample,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(scores(sample[:, None])) == pytest.approx(exact.pvalue)


def test_a_speaker_is_flipped_in_all_languages_at_once():
    spoken = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1], [0, 0, 1]], bool)
    table = np.where(spoken, 0.4 + NORMAL(size=spoken.shape), np.nan)

    def mean(signs: tuple[int, ...]) -> float:
        return abs(np.nanmean(np.nanmean(table * np.array(signs)[:, None], axis=0)))

    flips = [mean(signs) for signs in itertools.product((1, -1), repeat=5)]
    expected = np.mean(np.array(flips) >= flips[0] - 1e-12)
    assert sign_flip_p(scores(table)) == pytest.approx(expected)
    assert sign_flip_p(scores(np.full((5, 6), 0.1))) == 2 / 2**5  # five speakers can never reach .05


def test_p_is_that_of_the_t_test_and_agrees_with_the_interval():
    sample = NORMAL(size=7) + 0.6
    p = t_p(scores(sample[:, None]))
    assert p == pytest.approx(stats.ttest_1samp(sample, 0).pvalue)
    found = effect(scores(sample[:, None]), 1 - p)
    assert min(abs(found.low), abs(found.high)) == pytest.approx(0, abs=1e-9)
    assert t_p({("a", "s"): 0.4}) is None and t_p(scores(np.full((4, 1), 0.125))) == 0.0


def test_drawn_sign_flips_agree_with_the_interval_s_test_for_many_speakers():
    sample = NORMAL(size=40) + 0.25
    assert sign_flip_p(scores(sample[:, None])) == pytest.approx(stats.ttest_1samp(sample, 0).pvalue, abs=0.02)


def test_holm_is_by_its_definition():
    ps = [0.011, 0.02, 0.3, None, 0.001, 0.04]
    adjusted = holm(ps)
    for level in (0.01, 0.05, 0.1, 0.3):
        ordered, rejected = sorted(p for p in ps if p is not None), set()
        for rank, p in enumerate(ordered):
            if p > level / (len(ordered) - rank):
                break
            rejected.add(p)
        assert {p for p, q in zip(ps, adjusted, strict=True) if q is not None and q <= level} == rejected
    assert adjusted[3] is None and holm([]) == [] and holm([0.7, 0.6]) == [1.0, 1.0]


def test_max_t_counts_draws_whose_largest_statistic_is_as_large():
    null = np.array([[0.1, 0.5], [0.3, 0.2], [0.9, 0.0], [0.2, 0.2]])
    assert max_t(np.array([0.5, 0.95]), null) == pytest.approx([3 / 5, 1 / 5])
    assert max_t(np.array([-1.0, 0.2]), null) == pytest.approx([1.0, 1.0])


def test_max_t_holds_over_all_tests_together():
    random, wrong = np.random.default_rng(1), 0
    for _ in range(1000):
        statistics = random.normal(size=(200, 30)) + random.normal(size=(200, 1))
        wrong += max_t(statistics[0], statistics[1:]).min() <= 0.05
    assert 0.03 < wrong / 1000 < 0.07


def test_speakers_for_superiority_are_those_of_the_tables():
    """Cohen's d of .5 and .8 at 80 %: 34 and 15 pairs (paired t test, two-sided 5 %)."""
    sample = np.array([-1.0, 1.0, -1.0, 1.0, 1.0, -1.0])
    sample /= sample.std(ddof=1)
    for d, n in ((0.5, 34), (0.8, 15)):
        assert speakers_needed(scores(sample[:, None]), d, aim="superiority") == n


@pytest.mark.parametrize("aim", ["equivalence", "superiority"])
@pytest.mark.parametrize("deviation", [0.01, 0.03, 0.08])
def test_speakers_needed_are_just_enough(aim, deviation: float):
    sample = np.array([-1.0, 1.0, -1.0, 1.0, 0.0])
    n = speakers_needed(scores(deviation * (sample / sample.std(ddof=1))[:, None]), 0.03, aim=aim)
    truth, random = 0.0 if aim == "equivalence" else 0.03, np.random.default_rng(4)
    powers = []
    for speakers in (n, n - 1):
        if speakers < 2:
            continue
        draws = truth + deviation * random.normal(size=(40_000, speakers))
        mean, se = draws.mean(axis=1), draws.std(axis=1, ddof=1) / np.sqrt(speakers)
        reach = stats.t.ppf(0.95 if aim == "equivalence" else 0.975, speakers - 1) * se
        powers.append(np.mean(np.abs(mean) + reach < 0.03 if aim == "equivalence" else mean - reach > 0))
    assert powers[0] > 0.79 and (len(powers) == 1 or powers[1] < 0.81)


def test_speakers_needed_grow_with_the_languages_that_each_speaks_in_their_own_way():
    """What speakers of six languages differ in averages out over them, if it is of each language alone."""
    table = np.random.default_rng(3).normal(0, 0.05, (8, 6))
    crossed, one = speakers_needed(scores(table), 0.03), speakers_needed(scores(table[:, :1]), 0.03)
    assert crossed is not None and one is not None and crossed < one


def test_speakers_needed_are_unknown_of_one_and_unbounded():
    assert speakers_needed({("a", "s"): 0.1}, 0.03) is None
    assert speakers_needed(scores(np.array([[-1e3], [1e3]])), 0.03) is None
    assert speakers_needed(scores(np.zeros((3, 1))), 0.03) == 2


@pytest.mark.parametrize("spoken", [apart(*[3] * 6), np.ones((8, 6), bool)], ids=["nested", "crossed"])
def test_intervals_over_languages_hold_their_level(spoken: np.ndarray):
    random, inside = np.random.default_rng(5), 0
    for table in drawn(spoken, 300, 6):
        found = over_languages(scores(table + random.normal(size=(1, 6))), draws=400)
        inside += found.low <= 0 <= found.high
    assert 0.92 < inside / 300 <= 0.99


def test_nothing_is_said_of_languages_by_fewer_than_five():
    table = np.random.default_rng(0).normal(size=(4, 5))
    assert over_languages(scores(table[:, :4])) is None
    assert over_languages(scores(table)).mean == pytest.approx(table.mean())


def test_languages_that_differ_widen_the_interval_over_languages_alone():
    table = np.array([0.0, 0.1, 0.2, 0.3, 0.4]) + 0.001 * NORMAL(size=(6, 5))
    over_speakers, over_both = effect(scores(table)), over_languages(scores(table))
    assert over_both.high - over_both.low > 50 * (over_speakers.high - over_speakers.low)
    assert over_both.se == pytest.approx(table.mean(axis=0).std(ddof=1) / np.sqrt(5), rel=0.02)
