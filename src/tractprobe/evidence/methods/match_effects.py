"""What a match between the language that an encoder heard and that of heads or of the test adds to r.

r of encoder e, which heard language p_e, by heads of language h, in language t of speaker s::

    r_ehts = c_hts + a_e + Σ_k β_k x_k(p_e, h, t) + noise

How hard a language is to read (c) and how good an encoder is (a) are removed by subtracting means over encoders and
over pairs (h, t): what is left of a regressor x is an interaction. Least squares then is a weighted sum of scores, with
weights w that sum to 0 over encoders and over pairs (Frisch and Waugh, 1933)::

    β = Σ_t mean_s Σ_eh w_eht r_ehts,    w = q / Σ q²,    q: x without its means, and without the other regressors

So every tested language and speaker has one number, T Σ_eh w_eht r_ehts, whose mean over the speakers of each of the T
languages, then over languages, is β: its interval over speakers is that of any other mean (``runs.estimate``).
Encoders are few and trained once each, and how much β would change with other trainings is not in that interval. So the
languages heard are also dealt to the encoders in all other ways, and deals with an effect as large are counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, permutations
from math import factorial

import numpy as np
from jaxtyping import Float

from tractprobe.runs.estimate import Scores

Unit = tuple[str, str]
"""A language and a speaker."""
Regressor = Float[np.ndarray, "encoder head test"]
_NOTHING_LEFT = 1e-9
_MOST_DEALS = 5040
FEWEST_DEALS = 3
"""Encoders from which on the deals of languages tell anything."""


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

    def effects(self, regressors: Sequence[Regressor]) -> list[Scores | None]:
        """Return the effect of each regressor beside the others, as a number for each tested language and speaker.

        ``None`` for one that the design cannot tell from encoders, languages and the other regressors.
        """
        place = {test: number for number, test in enumerate(self.tested)}
        found: list[Scores | None] = []
        for weights in weights_of(regressors):
            if weights is None:
                found.append(None)
                continue
            own = np.stack([weights[:, :, place[language]] for language, _ in self.units], axis=2)
            numbers = len(place) * np.einsum("ehu,ehu->u", own, self.r)
            found.append(dict(zip(self.units, numbers.tolist(), strict=True)))
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
