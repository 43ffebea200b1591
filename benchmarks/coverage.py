"""How often intervals hold the truth and tests err, where the truth is known; prints Markdown tables.

    python benchmarks/coverage.py [simulations] [intervals] [tests] [languages]     some 6 min for 4,000 on one core

Scores are of speakers of one language, of six languages that all speak (crossed), of three with speakers of their own
(nested), of three of unequal numbers (n, 1.5 n, 2 n), and of two languages that half of the speakers share.
"""

import sys
from collections.abc import Callable

import numpy as np

from tractprobe.evidence.statistics.inference import effect, equivalence, max_t, over_languages, sign_flip_p

N = (2, 3, 4, 8, 20)
SHARED = 0.5  # of a speaker's variance, what all languages have in common
MARGIN = 0.03


def apart(*numbers: int) -> np.ndarray:
    """Return who speaks what (speaker, language) if every language has speakers of its own."""
    return np.repeat(np.eye(len(numbers), dtype=bool), numbers, axis=0)


def half_shared(n: int) -> np.ndarray:
    own = n - n // 2
    return np.concatenate([np.ones((n // 2, 2), bool), apart(own, own)])


DESIGNS: dict[str, Callable[[int], np.ndarray]] = {
    "one language": lambda n: np.ones((n, 1), bool),
    "crossed": lambda n: np.ones((n, 6), bool),
    "nested": lambda n: apart(n, n, n),
    "unequal": lambda n: apart(n, -(-3 * n // 2), 2 * n),
    "half shared": half_shared,
}


def deviations(spoken: np.ndarray, random: np.random.Generator, draw: Callable[..., np.ndarray]) -> np.ndarray:
    speakers, languages = spoken.shape
    own, common = draw(random, (speakers, languages)), draw(random, (speakers, 1))
    return np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * own


def normal(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return random.normal(size=shape)


def skewed(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return 2 - random.gamma(4, 0.5, shape)  # skewness -1, variance 1


def correlations(z: float, deviation: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda deviations: np.tanh(z + deviation * deviations)


KINDS: dict[str, tuple[Callable[..., np.ndarray], Callable[[np.ndarray], np.ndarray], bool]] = {
    "normal": (normal, lambda deviations: 0.7 + 0.05 * deviations, False),
    "skewed": (skewed, lambda deviations: 0.7 + 0.05 * deviations, False),
    "r about .79": (normal, correlations(1.1, 0.15), True),
    "r about .96": (normal, correlations(2, 0.3), True),
    "the same, not on z": (normal, correlations(2, 0.3), False),
}


def scores(table: np.ndarray, spoken: np.ndarray) -> dict[tuple[str, str], float]:
    return {(f"l{column}", f"s{row}"): float(table[row, column]) for row, column in np.argwhere(spoken)}


def coverage(draw, score, fisher: bool, spoken: np.ndarray, simulations: int, level: float = 0.95) -> float:
    truth = float(score(deviations(np.ones((2_000_000, 1), bool), np.random.default_rng(99), draw)).mean())
    random, held = np.random.default_rng(1), 0
    for _ in range(simulations):
        found = effect(scores(score(deviations(spoken, random, draw)), spoken), level, fisher=fisher)
        held += found.low is not None and found.high is not None and found.low <= truth <= found.high
    return held / simulations


def percentile_bootstrap(n: int, simulations: int) -> float:
    """What tractprobe printed until 2026-11 as 95 %."""
    random, held = np.random.default_rng(2), 0
    drawn = random.integers(n, size=(10_000, n))
    for _ in range(simulations):
        low, high = np.quantile(random.normal(size=n)[drawn].mean(axis=1), [0.025, 0.975])
        held += low <= 0 <= high
    return held / simulations


def errors(spoken: np.ndarray, simulations: int, draw: Callable[..., np.ndarray]) -> list[float]:
    """Return how often a null is rejected by interval and by flips, and equivalence is found at the margin's edge."""
    random, wrong = np.random.default_rng(3), np.zeros(3)
    for _ in range(simulations):
        differences = 0.02 * deviations(spoken, random, draw)
        found, p = effect(scores(differences, spoken)), sign_flip_p(scores(differences, spoken), draws=999)
        at_the_edge = equivalence(scores(differences + MARGIN, spoken), MARGIN)
        wrong += [not found.low <= 0 <= found.high, p <= 0.05, at_the_edge.equivalent is True]
    return list(wrong / simulations)


def of_languages(spoken: np.ndarray, deviation: float, simulations: int) -> float:
    random, held = np.random.default_rng(4), 0
    for _ in range(simulations):
        table = deviation * random.normal(size=(1, spoken.shape[1])) + deviations(spoken, random, normal)
        found = over_languages(scores(table, spoken), draws=1000)
        held += found.low <= 0 <= found.high
    return held / simulations


def family(simulations: int) -> float:
    """Return how often max-T finds anything among 60 correlated tests of which none is true."""
    random, wrong = np.random.default_rng(5), 0
    for _ in range(simulations):
        statistics = random.normal(size=(1000, 60)) + random.normal(size=(1000, 1))
        wrong += max_t(statistics[0], statistics[1:]).min() <= 0.05
    return wrong / simulations


def row(*cells: object) -> None:
    print("|", " | ".join(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells), "|", flush=True)


def intervals(simulations: int) -> None:
    error = (0.05 * 0.95 / simulations) ** 0.5
    print(f"Coverage of 95 % intervals, {simulations} simulations (standard error {error:.3f})\n")
    row("design", "scores", *(f"n = {n}" for n in N))
    row(*["---"] * (2 + len(N)))
    row("one language", "percentile bootstrap, normal", *(percentile_bootstrap(n, simulations // 2) for n in N))
    for design, speak in DESIGNS.items():
        for kind, how in KINDS.items():
            row(design, kind, *(coverage(*how, speak(n), simulations) for n in N))


def tests(simulations: int) -> None:
    print("How often what is not so is found, at 5 %\n")
    row("design", "n", "interval leaves out 0", "sign flips", "equivalent at the margin")
    row(*["---"] * 5)
    for design, speak in DESIGNS.items():
        for n in N:
            row(design, n, *errors(speak(n), simulations, normal))
    row("one language, skewed", 8, *errors(DESIGNS["one language"](8), simulations, skewed))
    print(f"\nmax-T over 60 correlated tests: {family(simulations // 4):.3f}")


def languages(simulations: int) -> None:
    print("Coverage of 95 % intervals over languages (sd between languages, of that between speakers)\n")
    row("design", "0", "0.3", "1", "3")
    row(*["---"] * 5)
    several = {"5 languages of 2": apart(*[2] * 5), "8 of 2 to 20": apart(2, 2, 3, 4, 4, 8, 8, 20)}
    several |= {"20 of 2": apart(*[2] * 20)}
    several |= {f"{n} speakers of all {m}": np.ones((n, m), bool) for n, m in ((4, 6), (8, 6), (4, 20), (20, 6))}
    for name, spoken in several.items():
        row(name, *(of_languages(spoken, deviation, simulations // 4) for deviation in (0, 0.3, 1, 3)))


if __name__ == "__main__":
    of = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    for part in (intervals, tests, languages):
        if part.__name__ in (sys.argv[2:] or [part.__name__]):
            part(of)
            print()
