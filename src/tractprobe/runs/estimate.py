"""Means over speakers and languages, each with an interval that holds its level, and what it is over.

The unit is the speaker, who may speak one language or several. With n_l speakers of language l, L languages and scores
y_ls, the mean and what each speaker s contributes to its error are::

    ȳ_l = Σ_s y_ls / n_l,    m = Σ_l ȳ_l / L,    u_s = Σ_l (y_ls - ȳ_l) / (L √(n_l (n_l - 1)))

and ``k Σ_s u_s²`` estimates the variance of m. This is the cluster-robust variance of a regression on languages with
speakers as clusters and Bell and McCaffrey's correction (2002; CR2 in Pustejovsky and Tipton, 2018). It is s² / n where
all speak all languages, Welch's sum of s_l² / n_l / L² where each speaks one, and between the two a mixture. Degrees of
freedom are Satterthwaite's: n - 1 and Welch's (1947) in the two pure cases. The factor k is 1 in both; between them it
keeps the variance from being too small, whether speakers differ in the same way in all their languages or in each in
its own. What one speaker of a language tells about others is nothing: then there is no interval.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

Scores = Mapping[tuple[str, str], float]
"""(language, speaker) to a score."""


@dataclass(frozen=True)
class Estimate:
    """A mean, its interval and what it is over.

    Attributes
    ----------
    low, high
        Ends of the interval; ``None`` where a language has one speaker.
    n
        Speakers.
    level
        How often such intervals hold the mean of the speakers that these were drawn from, in these languages.
    se, df
        Standard error and its degrees of freedom; ``None`` where there is no interval.
    alone
        Languages of one speaker, which are why there is none.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    level: float = 0.95
    languages: int = 1
    se: float | None = None
    df: float | None = None
    alone: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{_short(self.mean)} (n={self.n})"
        return f"{_short(self.mean)} [{_short(self.low)}, {_short(self.high)}]"


def mean_over_speakers(values: Scores, level: float = 0.95, *, fisher: bool = False) -> Estimate:
    """Average over the speakers of each language, then over languages, with a t interval over speakers.

    The interval is of the speakers that these were drawn from. It says nothing about languages that were not tested.

    Parameters
    ----------
    level
        Of the interval.
    fisher
        Whether the scores are correlations, not differences of them: the interval is then taken on Fisher's z of their
        mean, ``tanh(artanh m ± t se / (1 - m²))``, so that it stays within -1 and 1 and reaches further down where r
        is near 1. (The mean of speakers' own z is another quantity: intervals of it miss the mean r.)
    """
    return _estimate(tuple(sorted(values.items())), level, fisher)


def point_over_speakers(values: Scores) -> float:
    """Return the mean of ``mean_over_speakers`` alone."""
    return float(np.nanmean(np.nanmean(table_of(values), axis=0)))


@lru_cache(maxsize=1 << 14)  # a table is printed, drawn and logged
def _estimate(values: tuple[tuple[tuple[str, str], float], ...], level: float, fisher: bool) -> Estimate:
    table = table_of(dict(values))
    mean = point_over_speakers(dict(values))
    se, df = standard_error(table)
    low, high = (None, None) if se is None or df is None else interval(mean, se, df, level, fisher=fisher)
    speakers, languages = table.shape
    spoken = Counter(language for (language, _), _ in values)
    alone = tuple(language for language, count in sorted(spoken.items()) if count == 1)
    return Estimate(mean, low, high, speakers, level, languages, se, df, alone)


def interval(mean: float, se: float, df: float, level: float, *, fisher: bool = False) -> tuple[float, float]:
    """Return the ends of a t interval; of a correlation, on Fisher's z of it."""
    from scipy.special import stdtrit

    half = float(stdtrit(df, (1 + level) / 2)) * se
    if not fisher or abs(mean) >= 1:
        return mean - half, mean + half
    z, half_z = np.arctanh(mean), half / (1 - mean**2)
    return float(np.tanh(z - half_z)), float(np.tanh(z + half_z))


def table_of(values: Scores) -> Float[np.ndarray, "speaker language"]:
    """Return scores as a table, NaN where a speaker does not speak a language."""
    languages = {language: column for column, language in enumerate(sorted({language for language, _ in values}))}
    speakers = {speaker: row for row, speaker in enumerate(sorted({speaker for _, speaker in values}))}
    table = np.full((len(speakers), len(languages)), np.nan)
    for (language, speaker), value in values.items():
        table[speakers[speaker], languages[language]] = value
    return table


def standard_error(table: Float[np.ndarray, "speaker language"]) -> tuple[float, float] | tuple[None, None]:
    """Return the standard error of the mean over languages and its degrees of freedom; ``None`` if they are unknown.

    Speakers who share no language with others are a part of their own. Parts are independent, and their degrees of
    freedom f are put together by Welch's (1947) ``(Σ v)² / Σ (v² / (f + 2)) - 2`` for variances v, but between those of
    the poorest part and those that there would be with equal variances.
    """
    scored = np.isfinite(table)
    design = _design(scored.shape, scored.tobytes())
    if design is None:
        return None, None
    u = np.where(scored, table - np.nanmean(table, axis=0), 0.0) @ design.scale
    variances = np.array([np.sum(u[part] ** 2) for part in design.parts])
    total = float(variances.sum())
    df = design.df_if_equal
    if len(design.df) > 1 and total > 0:
        welch = total**2 / np.sum(variances**2 / (design.df + 2)) - 2
        df = min(max(welch, design.df.min()), df)
    return float(np.sqrt(design.factor * total)), float(df)


@dataclass(frozen=True)
class _Design:
    """Who speaks what, and what follows from it alone.

    Attributes
    ----------
    scale
        1 / (L √(n_l (n_l - 1))) of each language.
    parts
        The speakers of each independent part.
    df
        Degrees of freedom of each part.
    df_if_equal
        Of all of them together if scores vary equally in all languages.
    factor
        k: by which the sum of squares is multiplied.
    """

    scale: Float[np.ndarray, " language"]
    parts: tuple[np.ndarray, ...]
    df: Float[np.ndarray, " part"]
    df_if_equal: float
    factor: float


@lru_cache(maxsize=256)
def _design(shape: tuple[int, int], spoken: bytes) -> _Design | None:
    """Take a table (speaker, language) of who speaks what; ``None`` if a language has one speaker."""
    scored = np.frombuffer(spoken, bool).reshape(shape)
    n = scored.sum(axis=0)
    if n.min() < 2:
        return None
    scale = 1 / (len(n) * np.sqrt(n * (n - 1.0)))
    weights = scored / (n * len(n))
    grams = [_gram(scored, scale, rho) for rho in (0.0, 1.0)]  # scores of a speaker are unrelated, or differ alike
    variances = [np.sum(weights**2), np.sum(weights.sum(axis=1) ** 2)]
    factor = max(variance / np.trace(gram) for variance, gram in zip(variances, grams, strict=True))
    parts = tuple(_parts(scored))
    df = np.array([min(_satterthwaite(gram[np.ix_(part, part)]) for gram in grams) for part in parts])
    return _Design(scale, parts, df, min(map(_satterthwaite, grams)), float(factor))


def _gram(scored: np.ndarray, scale: np.ndarray, rho: float) -> Float[np.ndarray, "speaker speaker"]:
    """Return the covariance of u if scores have variance 1 and a speaker's are correlated by rho across languages."""
    n, once = scored.sum(axis=0), scored.astype(float)

    def centred(weights: np.ndarray) -> np.ndarray:
        """Σ_l weights_l C_l, where C_l takes the mean of language l's speakers from each of them: C_l = C_l C_l."""
        return np.diag(once @ weights) - (once * (weights / n)) @ once.T

    apart, together = centred(scale**2), centred(scale)  # u = Σ_l scale_l C_l y_l
    return (1 - rho) * apart + rho * together @ together


def _satterthwaite(gram: np.ndarray) -> float:
    """Return the degrees of freedom of a sum of squares with this covariance (Satterthwaite, 1946)."""
    return float(np.trace(gram) ** 2 / np.sum(gram**2))


def _parts(scored: np.ndarray) -> list[np.ndarray]:
    """Return the speakers who are connected by common languages, each set of them by itself."""
    parts, left = [], set(range(len(scored)))
    while left:
        found = {min(left)}
        while True:
            spoken = scored[np.array(sorted(found))].any(axis=0)
            grown = set(np.flatnonzero(scored[:, spoken].any(axis=1)).tolist())
            if grown == found:
                break
            found = grown
        parts.append(np.array(sorted(found)))
        left -= found
    return parts


def _short(value: float) -> str:
    """Return a correlation as papers print it.

    >>> _short(0.613), _short(-0.02), _short(1.0)
    ('.613', '-.020', '1.000')
    """
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 0.9995 else f"{value:.3f}"
