"""Means over speakers and languages, each with an interval and an n."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

DRAWS = 10_000


@dataclass(frozen=True)
class Estimate:
    """A mean, its 95 % interval (``None`` with fewer than two speakers) and the number of speakers behind it."""

    mean: float
    low: float | None
    high: float | None
    n: int

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{_short(self.mean)} (n=1)"
        return f"{_short(self.mean)} [{_short(self.low)}, {_short(self.high)}]"


def mean_over_speakers(values: Mapping[tuple[str, str], float], seed: int = 0) -> Estimate:
    """Average over the speakers of each language, then over languages, with a bootstrap over speakers.

    Speakers are drawn with replacement (percentile interval, 10,000 draws) among those who speak the same languages,
    and a speaker of several languages is drawn into all of them at once. Languages are taken as they are: the interval
    says nothing of languages that were not tested.

    Parameters
    ----------
    values
        (language, speaker) to score.
    """
    table = _table(values)
    point = float(_mean_of_languages(np.ones((1, len(table))), table)[0])
    if len(table) < 2:
        return Estimate(point, None, None, len(table))
    low, high = np.quantile(_mean_of_languages(_draws(table, seed), table), [0.025, 0.975])
    return Estimate(point, float(low), float(high), len(table))


def _table(values: Mapping[tuple[str, str], float]) -> Float[np.ndarray, "speaker language"]:
    languages = sorted({language for language, _ in values})
    speakers = sorted({speaker for _, speaker in values})
    table = np.full((len(speakers), len(languages)), np.nan)
    for (language, speaker), value in values.items():
        table[speakers.index(speaker), languages.index(language)] = value
    return table


def _mean_of_languages(
    weights: Float[np.ndarray, "draw speaker"], table: Float[np.ndarray, "speaker language"]
) -> Float[np.ndarray, " draw"]:
    known = np.isfinite(table)
    return (weights @ np.where(known, table, 0) / (weights @ known)).mean(axis=1)


def _draws(table: Float[np.ndarray, "speaker language"], seed: int) -> Float[np.ndarray, "draw speaker"]:
    """Return how often each speaker is drawn; within a set of speakers of the same languages the total is constant."""
    random = np.random.default_rng(seed)
    weights = np.zeros((DRAWS, len(table)))
    _, strata = np.unique(np.isfinite(table), axis=0, return_inverse=True)
    for stratum in range(strata.max() + 1):
        members = np.flatnonzero(strata == stratum)
        weights[:, members] = random.multinomial(len(members), np.full(len(members), 1 / len(members)), size=DRAWS)
    return weights


def _short(value: float) -> str:
    """Return a correlation as papers print it.

    >>> _short(0.613), _short(-0.02), _short(1.0)
    ('.613', '-.020', '1.000')
    """
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 0.9995 else f"{value:.3f}"
