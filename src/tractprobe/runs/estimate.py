"""Means over speakers and languages, each with an interval and an n."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

DRAWS = 10_000


@dataclass(frozen=True)
class Estimate:
    """A mean, its 95 % interval (``None`` with fewer than two speakers) and the number of speakers that it is over."""

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

    Speakers are drawn with replacement from all that there are (percentile interval, 10,000 draws), and a speaker of
    several languages is drawn into all of them at once; a language of which a draw has no speaker is left out of that
    draw. The interval says nothing about languages that were not tested.

    Parameters
    ----------
    values
        (language, speaker) to score.
    """
    return _estimate(tuple(sorted(values.items())), seed)


def point_over_speakers(values: Mapping[tuple[str, str], float]) -> float:
    """Return the mean of ``mean_over_speakers`` alone, which takes no draws."""
    return _point(_table(values))


@lru_cache(maxsize=1 << 14)  # a table is printed, drawn and logged
def _estimate(values: tuple[tuple[tuple[str, str], float], ...], seed: int) -> Estimate:
    table = _table(dict(values))
    if len(table) < 2:
        return Estimate(_point(table), None, None, len(table))
    low, high = np.quantile(_mean_of_languages(_draws(len(table), seed), table), [0.025, 0.975])
    return Estimate(_point(table), float(low), float(high), len(table))


def _point(table: Float[np.ndarray, "speaker language"]) -> float:
    return float(_mean_of_languages(np.ones((1, len(table))), table)[0])


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
    scored = np.isfinite(table)
    with np.errstate(invalid="ignore"):
        by_language = weights @ np.where(scored, table, 0) / (weights @ scored)
    return np.nanmean(by_language, axis=1)


@lru_cache(maxsize=8)
def _draws(speakers: int, seed: int) -> Float[np.ndarray, "draw speaker"]:
    """Return how often each speaker is drawn; read-only, since it is kept for the next estimate."""
    draws = np.random.default_rng(seed).multinomial(speakers, np.full(speakers, 1 / speakers), size=DRAWS)
    kept = draws.astype(np.float64)
    kept.flags.writeable = False
    return kept


def _short(value: float) -> str:
    """Return a correlation as papers print it.

    >>> _short(0.613), _short(-0.02), _short(1.0)
    ('.613', '-.020', '1.000')
    """
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 0.9995 else f"{value:.3f}"
