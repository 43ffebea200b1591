"""Whether one speaker's head reads the phones of others alike: patterns of phone means, and contrasts of minimal pairs.

The means of a head's read-outs over the middle third of each phone are a pattern (phone x channel) of every speaker
whom it reads. Patterns of two speakers are compared on the phones that both have. Since heads are linear, the read-out
of a phone's mean state is the mean of its read-outs: one mean state for each speaker and phone is all they need.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.phone_features import phone_features
from tractprobe.data.phone_labels import PhoneLabels
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.affine import ReadOut

Pattern = dict[str, Float[np.ndarray, " channel"]]
"""Phone to what is read in it."""


@dataclass(frozen=True, eq=False)
class PhoneStates:
    """Means over the middle thirds of phones, by speaker and phone, of phones that occur often enough.

    Attributes
    ----------
    states
        By the name of each input.
    measured
        mm; NaN for a channel that was never measured.
    """

    states: Mapping[str, Mapping[str, Mapping[str, Float[np.ndarray, " width"]]]]
    measured: Mapping[str, Pattern]

    def read(self, head: ReadOut, speaker: str) -> Pattern:
        """Return the pattern that a head reads of a speaker."""
        return {phone: x @ head.weight + head.bias for phone, x in self.states[head.name][speaker].items()}


def phone_states(bench: Bench, ids: Sequence[str], layers: Sequence[int], least: int) -> PhoneStates:
    """Return mean states and positions of the phones of some utterances.

    Parameters
    ----------
    least
        Tokens that a speaker's phone needs.
    """
    sums: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    positions: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    for id_ in ids:
        entry = bench.entries[id_]
        corpus, times_s = bench.corpus_of(entry), bench.times_s(id_)
        labels = PhoneLabels.of(corpus, entry)
        index, place = labels.phone_at(times_s), labels.position_at(times_s)
        if not (middle := (index >= 0) & (np.abs(np.nan_to_num(place) - 0.5) <= 1 / 6)).any():
            continue
        own, measured = bench.states_of(id_, layers), bench.problem.targets.at(corpus, entry, times_s)
        for token in np.unique(index[middle]):
            frames, key = middle & (index == token), (entry.speaker, labels.ipa[token])
            sums[key].append(own[:, frames].mean(axis=1, dtype=np.float64))
            positions[key].append(_mean(measured[frames]))
    often = sorted(key for key, tokens in sums.items() if len(tokens) >= least)
    states: dict[str, dict[str, dict[str, np.ndarray]]] = {str(layer): defaultdict(dict) for layer in layers}
    patterns: dict[str, Pattern] = defaultdict(dict)
    for speaker, phone in often:
        mean = np.mean(sums[speaker, phone], axis=0)
        patterns[speaker][phone] = _mean(np.array(positions[speaker, phone]))
        for layer, x in zip(layers, mean, strict=True):
            states[str(layer)][speaker][phone] = x
    return PhoneStates(states, patterns)


def _mean(values: Float[np.ndarray, "some channel"]) -> Float[np.ndarray, " channel"]:
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, values, 0).sum(axis=0) / known.sum(axis=0)


def likeness(one: Pattern, other: Pattern, least: int) -> float | None:
    """Return the mean over channels of r between two patterns over the phones of both; ``None`` with too few phones."""
    shared = sorted(one.keys() & other.keys())
    if len(shared) < least:
        return None
    left, right = (np.array([pattern[phone] for phone in shared]) for pattern in (one, other))
    left, right = left - left.mean(axis=0), right - right.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (left * right).sum(axis=0) / np.sqrt((left**2).sum(axis=0) * (right**2).sum(axis=0))
    return float(r[np.isfinite(r)].mean()) if np.isfinite(r).any() else None


def contrasts(one: Pattern, other: Pattern) -> float | None:
    """Return the mean cosine between two patterns' contrasts, over the minimal pairs of phones of both.

    A minimal pair differs in one feature, such as place, but not in voicing alone, which is the larynx's. Its contrast
    is the difference of the two positions, each channel by its deviation over the phones of the pattern. ``None``
    without any pair.
    """
    shared = sorted(one.keys() & other.keys())
    pairs = [pair for pair in combinations(range(len(shared)), 2) if _is_minimal(shared[pair[0]], shared[pair[1]])]
    if not pairs:
        return None
    left, right = (np.array([pattern[phone] for phone in shared]) for pattern in (one, other))
    with np.errstate(invalid="ignore", divide="ignore"):
        left, right = left / left.std(axis=0), right / right.std(axis=0)
    known = np.isfinite(left).all(axis=0) & np.isfinite(right).all(axis=0)
    first, second = np.array(pairs).T
    a, b = (values[first][:, known] - values[second][:, known] for values in (left, right))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(axis=1)[lengths > 0] / lengths[lengths > 0]).mean()) if (lengths > 0).any() else None


def _is_minimal(one: str, other: str) -> bool:
    left, right = phone_features(one), phone_features(other)
    differing = [name for name in left if left[name] != right.get(name)]
    return left.keys() == right.keys() and len(differing) == 1 and differing != ["voicing"]
