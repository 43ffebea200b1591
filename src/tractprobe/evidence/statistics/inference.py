"""What scores of speakers tell about speakers: effects, equivalence, tests, and how many speakers would decide.

Scores are ``{(language, speaker): value}``. The unit is the speaker: one who speaks several languages is drawn, flipped
and counted once. Means are over the speakers of each language, then over languages (see ``runs/estimate.py``). Whatever
has too few units to be known is ``None``, never a number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Real

from tractprobe.runs.estimate import Estimate, Scores, mean_over_speakers, table_of

DRAWS = 10_000
FEWEST_LANGUAGES = 5
"""With fewer, nothing is said about languages that were not tested."""

_EXACT = 14  # speakers up to whom all 2^n flips are counted
_MOST = 100_000  # speakers


def effect(values: Scores, level: float = 0.95, *, fisher: bool = False) -> Estimate:
    """Return the mean over speakers, then languages, with a t interval over speakers; undefined values are left out.

    Parameters
    ----------
    fisher
        Whether values are correlations, not differences of them: then the interval is on Fisher's z of the mean.

    Raises
    ------
    ValueError
        There is no value.
    """
    if not (defined := {key: value for key, value in values.items() if np.isfinite(value)}):
        raise ValueError("a mean over no speaker")
    return mean_over_speakers(defined, level, fisher=fisher)


def differences(one: Scores, other: Scores) -> dict[tuple[str, str], float]:
    """Return one minus the other for each speaker in a language who has both."""
    return {key: one[key] - other[key] for key in one if key in other and np.isfinite(one[key] - other[key])}


def paired(one: Scores, other: Scores, level: float = 0.95) -> Estimate:
    """Return the mean of one minus the other within each speaker and language that has both, with its interval."""
    return effect(differences(one, other), level)


@dataclass(frozen=True)
class Equivalence:
    """Whether a difference is smaller than a margin, by two one-sided tests at 5 % (Schuirmann, 1987).

    Attributes
    ----------
    estimate90
        The mean difference with the 90 % interval whose two ends are those tests.
    p
        Of the hypothesis that the true difference is the margin or more, in either direction; ``None``: not known.
    equivalent
        True: the 90 % interval is within ± margin. False: it is wholly beyond. ``None``: undecided.
    """

    estimate90: Estimate
    margin: float
    p: float | None
    equivalent: bool | None


def equivalence(differences: Scores, margin: float) -> Equivalence:
    """Test whether the mean difference is within ± a margin that was stated beforehand."""
    from scipy.special import stdtr

    if not margin > 0:
        raise ValueError(f"margin {margin}: expected a positive number")
    estimate = effect(differences, 0.90)
    if estimate.low is None or estimate.high is None or estimate.se is None:
        return Equivalence(estimate, margin, None, None)
    inside = margin - abs(estimate.mean)
    p = float(stdtr(estimate.df, -inside / estimate.se)) if estimate.se > 0 else float(inside <= 0)
    equivalent = True if p < 0.05 else False if estimate.low >= margin or estimate.high <= -margin else None
    return Equivalence(estimate, margin, p, equivalent)


def farthest(effects: Mapping[str, Estimate], margin: float) -> str:
    """Return where an effect is farthest from 0: surely, if some interval lies beyond the margin; else at most."""
    beyond = {name: each for name, each in effects.items() if _reach(each, least=True) >= margin}
    return max(beyond or effects, key=lambda name: _reach(effects[name], least=bool(beyond)))


def _reach(estimate: Estimate, *, least: bool) -> float:
    """Return how far from 0 an effect may be by its interval, or is at least."""
    low, high = estimate.low or 0.0, estimate.high or 0.0
    return max(low, -high) if least else max(-low, high)


def t_p(differences: Scores) -> float | None:
    """Return the two-sided p of no difference by which ``effect`` leaves out 0; ``None`` where it has no interval.

    Unlike flips of signs, which cannot reach .05 with five speakers or fewer, it takes contributions to be normal.
    """
    from scipy.special import stdtr

    estimate = effect(differences)
    if estimate.se is None or estimate.df is None:
        return None
    if estimate.se == 0:
        return float(estimate.mean == 0)
    return float(2 * stdtr(estimate.df, -abs(estimate.mean) / estimate.se))


def sign_flip_p(differences: Scores, draws: int = DRAWS, seed: int = 0) -> float:
    """Return the two-sided p of differences that are as likely with either sign, a speaker's all at once.

    All 2^n flips are counted for up to 14 speakers; beyond, so many draws and the observed one (Phipson and Smyth,
    2010). The smallest p of n speakers is 2^(1 - n): five can never reach .05.
    """
    table = table_of({key: value for key, value in differences.items() if np.isfinite(value)})
    n = np.isfinite(table).sum(axis=0)
    shares = np.nansum(table / n, axis=1) / table.shape[1]  # of each speaker in the mean: array (speaker,)
    speakers, observed = len(shares), abs(shares.sum())
    if speakers <= _EXACT:
        bits = (np.arange(2 ** (speakers - 1))[:, None] >> np.arange(speakers)) & 1  # the last sign is fixed: two-sided
        return float(np.mean(_as_large(np.abs((1 - 2 * bits) @ shares), observed)))
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), size=(draws, speakers))
    return float((1 + np.sum(_as_large(np.abs(signs @ shares), observed))) / (1 + draws))


def _as_large(null: np.ndarray, observed: Any) -> np.ndarray:
    """Whether a statistic is the observed one or more, but for rounding."""
    return null >= observed - 1e-12 * np.maximum(1, np.abs(observed))


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Return p adjusted for their number by Holm (1979), each in its place; a test without p is none.

    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]
    """
    adjusted: list[float | None] = [None] * len(ps)
    known = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[place] = largest
    return adjusted


def max_t(observed: Float[np.ndarray, " test"], null: Float[np.ndarray, "draw test"]) -> Float[np.ndarray, " test"]:
    """Return p of each test that hold for all of them together: by the largest statistic of each draw of the null.

    One-sided, larger is more; statistics of different tests have to be on one scale, as r of channels is (Westfall and
    Young, 1993, single step). The observed ones count as a draw, so no p is below 1 / (1 + draws).
    """
    largest = np.sort(null.max(axis=1))
    tolerance = 1e-12 * np.maximum(1, np.abs(observed))
    as_large = len(largest) - np.searchsorted(largest, observed - tolerance)
    return (1 + as_large) / (1 + len(largest))


def speakers_needed(
    differences: Scores,
    margin: float,
    *,
    aim: Literal["equivalence", "superiority"] = "equivalence",
    power: float = 0.8,
) -> int | None:
    """Return how many speakers would decide with this power at this margin, by how much these speakers differ.

    ``equivalence``: the two tests of ``equivalence`` if there is no true difference. ``superiority``: the 95 % interval
    leaves out 0 if the true difference is the margin. Further speakers are thought to be spread over languages as these
    are. The deviation is itself an estimate: with four speakers it may be half or almost four times as large.

    Returns
    -------
    int | None
        At least 2; ``None`` where the deviation is unknown or more than 100,000 would be needed.
    """
    estimate = effect(differences)
    if estimate.se is None or not margin > 0:
        return None
    deviation = estimate.se * np.sqrt(estimate.n)
    power_of = _power_of_equivalence if aim == "equivalence" else _power_of_superiority
    enough = _MOST + 1
    below = 1
    if power_of(_MOST, margin, deviation) < power:
        return None
    while enough - below > 1:  # power grows with n
        middle = (below + enough) // 2
        below, enough = (below, middle) if power_of(middle, margin, deviation) >= power else (middle, enough)
    return enough


def _power_of_superiority(n: int, margin: float, deviation: float) -> float:
    """Return the probability that a two-sided t test at 5 % finds a true difference of the margin, in its direction."""
    from scipy.special import nctdtr, stdtrit

    if deviation == 0:
        return 1.0
    shift = margin * np.sqrt(n) / deviation
    return 1 - float(nctdtr(n - 1, shift, stdtrit(n - 1, 0.975))) if shift < 30 else 1.0


def _power_of_equivalence(n: int, margin: float, deviation: float) -> float:
    """Return the probability that two one-sided t tests at 5 % find no true difference to be within the margin.

    Averaged over what the deviation may be estimated as: P(|mean| < margin - t s / √n) over quantiles of s.
    """
    from scipy.special import chdtri, ndtr, stdtrit

    if deviation == 0:
        return 1.0
    quantiles = (np.arange(400) + 0.5) / 400
    s = deviation * np.sqrt(chdtri(n - 1, quantiles) / (n - 1))
    reach = (margin - stdtrit(n - 1, 0.95) * s / np.sqrt(n)) / (deviation / np.sqrt(n))
    return float(np.mean(np.where(reach > 0, 2 * ndtr(np.maximum(reach, 0)) - 1, 0)))


def over_languages(values: Scores, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> Estimate | None:
    """Return the mean with an interval over the languages that these were drawn from; ``None`` with fewer than five.

    The hierarchical bootstrap: languages are drawn with replacement, and speakers among those of the same languages,
    each into all languages of theirs. It is studentised and symmetric (Hall, 1988): ``m ± q se``, where q is the
    quantile of ``|m* - m| / se*`` over draws. The squared standard error is that of the languages' means plus what
    speakers of several languages have in common (Cameron, Gelbach and Miller, 2011)::

        se² = Σ_l (ȳ_l - m)² / (L (L - 1)) + max(0, Σ_s (Σ_l u_ls)² - Σ_ls u_ls²),
        u_ls = (y_ls - ȳ_l) / (L √(n_l (n_l - 1)))
    """
    table = table_of({key: value for key, value in values.items() if np.isfinite(value)})
    speakers, languages = table.shape
    if languages < FEWEST_LANGUAGES:
        return None
    (mean,), (se,) = _mean_and_se(table, np.ones((1, speakers)), np.ones((1, languages)))
    random = np.random.default_rng(seed)
    drawn_languages = random.multinomial(languages, np.full(languages, 1 / languages), size=draws)
    means, errors = _mean_and_se(table, _draw_speakers(np.isfinite(table), draws, random), drawn_languages)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(
            errors > 0, np.abs(means - mean) / errors, np.inf
        )  # one language drawn every time: as bad as can be
    half = float(np.quantile(t, level, method="higher")) * se
    if not np.isfinite(half):
        return Estimate(float(mean), None, None, speakers, level, languages)
    return Estimate(float(mean), float(mean - half), float(mean + half), speakers, level, languages, float(se))


def _draw_speakers(
    scored: Bool[np.ndarray, "speaker language"], draws: int, random: np.random.Generator
) -> Float[np.ndarray, "draw speaker"]:
    """Return how often each speaker is drawn, among those of the same languages, so that no language is left empty."""
    times = np.empty((draws, len(scored)))
    _, kind = np.unique(scored, axis=0, return_inverse=True)
    for same in (np.flatnonzero(kind == number) for number in range(kind.max() + 1)):
        times[:, same] = random.multinomial(len(same), np.full(len(same), 1 / len(same)), size=draws)
    return times


def _mean_and_se(
    table: Float[np.ndarray, "speaker language"],
    times: Float[np.ndarray, "draw speaker"],
    drawn: Real[np.ndarray, "draw language"],
) -> tuple[Float[np.ndarray, " draw"], Float[np.ndarray, " draw"]]:
    """Return mean and standard error of each draw of speakers and languages; see ``over_languages``."""
    scored = np.isfinite(table)
    y, n, languages = np.where(scored, table, 0.0), scored.sum(axis=0), table.shape[1]
    by_language = times @ y / n
    mean = np.sum(drawn * by_language, axis=1) / languages
    between = np.sum(drawn * (by_language - mean[:, None]) ** 2, axis=1) / (languages * (languages - 1))
    scale = np.where(n > 1, 1 / (languages * np.sqrt(np.maximum(n * (n - 1), 1))), 0.0)
    u = (drawn * scale) @ y.T - (drawn * scale * by_language) @ scored.T.astype(float)  # Σ_l u_ls: (draw, speaker)
    single = np.sum(drawn * scale**2 * (times @ y**2 - n * by_language**2), axis=1)
    return mean, np.sqrt(between + np.maximum(0, np.sum(times * u**2, axis=1) - single))
