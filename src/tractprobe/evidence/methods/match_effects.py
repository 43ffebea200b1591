"""What a match between the language that an encoder heard and that of heads or of the test adds to r.

r of encoder e, which heard language p_e, by heads of language h, in language t of speaker s::

    r_ehts = c_hts + a_e + Σ_k β_k x_k(p_e, h, t) + noise

How hard a language is to read (c) and how good an encoder is (a) are removed by subtracting means over encoders and
over pairs (h, t): what is left of a regressor x is an interaction. Least squares then is a weighted sum of scores, with
weights w that sum to 0 over encoders and over pairs (Frisch and Waugh, 1933)::

    β = Σ_t mean_s Σ_eh w_eht r_ehts,    w = q / Σ q²,    q: x without its means, and without the other regressors

So every tested language and speaker has one number, T Σ_eh w_eht r_ehts, whose mean over the speakers of each of the T
languages, then over languages, is β: its interval over speakers is that of any other mean (``runs.estimate``).

Speakers are not all there is to chance. An encoder may read one language better than another because of how its
training went, which all speakers then agree about. So there is a second standard error, over encoders: means over
speakers are taken apart into what encoders and tested languages have together, encoders and languages of heads, and all
three; in each part the weights' sum of squares times the mean square that regressors leave is added to the variance (a
split-plot analysis of variance), with Satterthwaite's (1946) degrees of freedom. The interval is by the larger of the
two errors, as the second has the speakers' own noise in it, too. Also, the languages heard are dealt to the encoders in
all other ways, and deals with an effect as large are counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, permutations
from math import factorial, sqrt

import numpy as np
from jaxtyping import Float

from tractprobe.evidence.statistics.inference import effect
from tractprobe.runs.estimate import Estimate, Scores, interval

Unit = tuple[str, str]
"""A language and a speaker."""
Regressor = Float[np.ndarray, "encoder head test"]
_NOTHING_LEFT = 1e-9
_MOST_DEALS = 5040
FEWEST_DEALS = 3
"""Encoders from which on the deals of languages tell anything."""


@dataclass(frozen=True)
class Effect:
    """What a regressor adds.

    Attributes
    ----------
    scores
        A number for each tested language and speaker, whose mean is the effect.
    se, df
        Standard error over encoders and its degrees of freedom; ``None`` where nothing is left to estimate it from.
    """

    scores: Scores
    se: float | None
    df: float | None

    def estimate(self, level: float = 0.95) -> Estimate:
        """Return the effect with the wider of its intervals, over speakers and encoders; none if one is unknown."""
        own = effect(self.scores, level)
        if own.low is None or own.high is None or self.se is None or self.df is None:
            return replace(own, low=None, high=None, se=None, df=None)
        low, high = interval(own.mean, self.se, self.df, level)
        if own.high - own.low >= high - low:
            return own
        return replace(own, low=low, high=high, se=self.se, df=self.df)

    @property
    def over_speakers(self) -> bool:
        """Whether the interval is over speakers, so that more of them would narrow it."""
        return self.estimate().se == effect(self.scores).se

    def p(self, margin: float | None = None) -> float | None:
        """Return p of no effect, two-sided, or of one beyond ± margin (the larger of two one-sided tests)."""
        from scipy.special import stdtr

        own = self.estimate()
        if own.se is None or own.df is None:
            return None
        inside = abs(own.mean) if margin is None else margin - abs(own.mean)
        if own.se == 0:
            return float(inside <= 0)
        return float((2 if margin is None else 1) * stdtr(own.df, -inside / own.se))


@dataclass(frozen=True, eq=False)
class Crossing:
    """Scores of several encoders, by heads of each language on each language, of the same speakers.

    Attributes
    ----------
    heard
        The language that each encoder heard.
    heads
        Languages of heads.
    units
        Tested languages and speakers.
    """

    heard: tuple[str, ...]
    heads: tuple[str, ...]
    units: tuple[Unit, ...]
    r: Float[np.ndarray, "encoder head unit"]

    @property
    def tested(self) -> tuple[str, ...]:
        """The tested languages."""
        return tuple(sorted({language for language, _ in self.units}))

    @property
    def _shape(self) -> tuple[int, int, int]:
        return len(self.heard), len(self.heads), len(self.tested)

    def means(self) -> Float[np.ndarray, "encoder head test"]:
        """Return r as means over the speakers of each tested language."""
        of_test = np.array([[language == test for language, _ in self.units] for test in self.tested], float)
        return self.r @ (of_test / of_test.sum(axis=1, keepdims=True)).T

    def matches(self) -> dict[str, Regressor]:
        """Return where the language heard is that of heads alone, of the test alone, and of both."""
        head, test = self._is_of_heads(), self._is_tested()
        return {"learned": head * (1 - test), "tested": test * (1 - head), "both": head * test}

    def match(self) -> Regressor:
        """Return where the language heard is the tested one, whatever heads heard."""
        return self._is_tested()

    def own_matches(self) -> list[Regressor]:
        """Return the same for each encoder alone."""
        test, one = self._is_tested(), np.eye(len(self.heard))
        return [test * which[:, None, None] for which in one]

    def distance(self, between: Mapping[tuple[str, str], float]) -> Regressor | None:
        """Return how far the language heard is from the tested one; ``None`` if some distance is not known."""
        rows = [[0.0 if p == t else between.get((p, t)) for t in self.tested] for p in self.heard]
        if any(value is None for row in rows for value in row):
            return None
        return np.broadcast_to(np.array(rows, float)[:, None, :], self._shape)

    def _is_tested(self) -> Regressor:
        rows = np.array([[p == t for t in self.tested] for p in self.heard], float)
        return np.broadcast_to(rows[:, None, :], self._shape)

    def _is_of_heads(self) -> Regressor:
        rows = np.array([[p == h for h in self.heads] for p in self.heard], float)
        return np.broadcast_to(rows[:, :, None], self._shape)

    def effects(self, regressors: Sequence[Regressor]) -> list[Effect | None]:
        """Return the effect of each regressor beside the others.

        ``None`` for one that the design cannot tell from encoders, languages and the other regressors.
        """
        place = {test: number for number, test in enumerate(self.tested)}
        at = [place[language] for language, _ in self.units]
        means = self.means()
        found: list[Effect | None] = []
        for weights in weights_of(regressors):
            if weights is None:
                found.append(None)
                continue
            numbers = len(place) * np.einsum("ehu,ehu->u", weights[:, :, at], self.r)
            se, df = error_over_encoders(means, regressors, weights)
            found.append(Effect(dict(zip(self.units, numbers.tolist(), strict=True)), se, df))
        return found

    def by_chance(self) -> tuple[float, int] | None:
        """Return the share of deals of these languages to these encoders with an effect as large, and their number.

        Of the effect of the tested language, in either direction; ``None`` with fewer than three encoders. All deals
        are counted, of more than seven encoders the first 5,040 in the order of places moved least.
        """
        count = len(self.heard)
        if count < FEWEST_DEALS or (own := weights_of([self.match()])[0]) is None:
            return None
        means, test = self.means(), self._is_tested()
        observed = abs(float(np.sum(own * means)))
        deals = list(islice(permutations(range(count)), min(factorial(count), _MOST_DEALS)))
        larger = 0
        for deal in deals:
            (weights,) = weights_of([test[list(deal)]])
            assert weights is not None  # as many matches as before
            larger += abs(float(np.sum(weights * means))) >= observed - 1e-12
        return larger / len(deals), len(deals)


def weights_of(regressors: Sequence[Regressor]) -> list[Regressor | None]:
    """Return the weights of scores whose sum is the coefficient of each regressor; ``None`` where it has none."""
    shape = regressors[0].shape
    centred = np.stack([_without_means(each.reshape(shape[0], -1)).ravel() for each in regressors])
    found: list[Regressor | None] = []
    for number, own in enumerate(centred):
        others = np.delete(centred, number, axis=0).T
        left = own - others @ np.linalg.lstsq(others, own, rcond=None)[0] if others.size else own
        size, whole = float(left @ left), float(regressors[number].ravel() @ regressors[number].ravel())
        found.append((left / size).reshape(shape) if size > _NOTHING_LEFT * max(whole, _NOTHING_LEFT) else None)
    return found


def _without_means(values: Float[np.ndarray, "encoder pair"]) -> Float[np.ndarray, "encoder pair"]:
    """Return values without the means of encoders and of pairs of languages."""
    values = values - values.mean(axis=0, keepdims=True)
    return values - values.mean(axis=1, keepdims=True)


def error_over_encoders(
    means: Regressor, regressors: Sequence[Regressor], weights: Regressor
) -> tuple[float, float] | tuple[None, None]:
    """Return the standard error of a weighted sum of means, and its degrees of freedom, by what regressors leave."""
    parts, size = [], means.shape[0] - 1
    each = zip(_strata(means), _strata(weights), *(_strata(each) for each in regressors), strict=True)
    pairs = (means.shape[2] - 1, means.shape[1] - 1, (means.shape[1] - 1) * (means.shape[2] - 1))
    for (values, own, *explained), count in zip(each, pairs, strict=True):
        if float(np.sum(own**2)) <= _NOTHING_LEFT * float(np.sum(weights**2)):
            continue
        design = np.stack([one.ravel() for one in explained], axis=1)
        solved, _, rank, _ = np.linalg.lstsq(design, values.ravel(), rcond=1e-9)
        if (df := size * count - int(rank)) < 1:
            return None, None
        left = float(np.sum((values.ravel() - design @ solved) ** 2)) / df
        parts.append((left * float(np.sum(own**2)), df))
    variance = sum(part for part, _ in parts)
    if not variance:
        return 0.0, float(sum(df for _, df in parts))
    return sqrt(variance), variance**2 / sum(part**2 / df for part, df in parts)


def _strata(values: Regressor) -> tuple[Regressor, Regressor, Regressor]:
    """Return what encoders have together with tested languages, with languages of heads, and with both."""
    values = values - values.mean(axis=0, keepdims=True)
    values = values - values.mean(axis=(1, 2), keepdims=True)
    test, head = (np.broadcast_to(values.mean(axis=axis, keepdims=True), values.shape) for axis in (1, 2))
    return test, head, values - test - head
