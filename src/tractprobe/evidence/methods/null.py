"""What predictions reach by chance: against movements of another time, and of another sentence, of the same speaker.

A circular shift keeps everything of two courses (spectra, distributions, the speaker's position and rhythm) but that
they belong together. Scores pool a speaker's frames in a language, so shifts turn round the same frames: the
speaker's test utterances in that language, one after the other. (Within single utterances, of some seconds each, few
shifts of more than a second would be left.) Shifted movements partly belong to the speaker's other sentences; how much
an aligned start and end alone give is what mismatched sentences tell.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from tractprobe.corpora.prepared.texts import sentence
from tractprobe.data.groups import GroupKey
from tractprobe.encoders.layers import Label
from tractprobe.evidence.bench import Bench, Prediction
from tractprobe.evidence.record import Column, Table
from tractprobe.evidence.statistics.inference import max_t
from tractprobe.probes.fitted import Fitted

_MOST_PARTNERS = 10  # sentences that one is set against
_LEAST_VARIANCE = 1e-9  # as a share of the variance of all frames: less is rounding

Courses = Float[np.ndarray, "..."]
"""Arrays whose last axis is frames."""


@dataclass(frozen=True, eq=False)
class Read:
    """A speaker's test utterances in one language, as heads read them, in the order of their ids."""

    key: GroupKey
    labels: tuple[Label, ...]
    utterances: tuple[Prediction, ...]

    @cached_property
    def predicted(self) -> Float[np.ndarray, "label channel frame"]:
        """All frames, one utterance after the other."""
        return np.concatenate([each.predicted for each in self.utterances], axis=1).transpose(0, 2, 1)

    @cached_property
    def measured(self) -> Float[np.ndarray, "channel frame"]:
        """All frames, one utterance after the other."""
        return np.concatenate([each.measured for each in self.utterances]).T

    def r(self) -> Float[np.ndarray, "label channel"]:
        """Return r of predictions and movements that belong together; NaN where there is none."""
        return paired_r(self.predicted, self.measured)

    def shifted(self, shifts: Int[np.ndarray, " shift"]) -> Float[np.ndarray, "label channel shift"]:
        """Return r at some circular shifts, in frames."""
        of_labels = [shifted_r(predicted, self.measured)[:, shifts] for predicted in self.predicted]
        return np.stack(of_labels)

    def shifts(self, longer_than_s: float, rate_hz: float) -> Int[np.ndarray, " shift"]:
        """Return the circular shifts (frames) of more than a duration in both directions; there may be none."""
        least, frames = int(np.floor(longer_than_s * rate_hz)) + 1, self.measured.shape[1]
        return np.arange(least, frames - least + 1)

    def mismatched(self) -> Float[np.ndarray, "label channel"] | None:
        """Return r against the movements in the speaker's other sentences; ``None`` for a speaker of one sentence.

        Each utterance is set against up to 10 others in turn, whose frames are taken at the same share of their
        duration, so that starts and ends meet. r pools the frames of a turn; the mean is over turns.
        """
        texts = [sentence(each.entry) for each in self.utterances]
        turns = []
        for turn in _spread(len(texts)):
            pairs = [(one, (one + turn) % len(texts)) for one in range(len(texts))]
            pairs = [(one, other) for one, other in pairs if texts[one] != texts[other]]
            if pairs:
                predicted = np.concatenate([self.utterances[one].predicted for one, _ in pairs], axis=1)
                measured = np.concatenate([
                    _stretched(self.utterances[other].measured, len(self.utterances[one].times_s))
                    for one, other in pairs
                ])  # fmt: skip
                turns.append(paired_r(predicted.transpose(0, 2, 1), measured.T))
        return _mean(np.stack(turns), axis=0) if turns else None


def reads(bench: Bench, fitted: Fitted) -> Iterator[Read]:
    """Yield what heads of every label read of the test, speaker by speaker and language by language."""
    groups: dict[GroupKey, list[str]] = {}
    for id_ in fitted.problem.split.test:
        groups.setdefault(GroupKey.of(fitted.problem.entries[id_]), []).append(id_)
    for key, ids in sorted(groups.items()):
        yield Read(key, fitted.problem.labels, tuple(bench.predictions(fitted, sorted(ids))))


def paired_r(predicted: Courses, measured: Courses) -> Float[np.ndarray, "..."]:
    """Return r over the frames that both courses have (NaN: not); NaN where one of them does not vary."""
    both = np.isfinite(predicted) & np.isfinite(measured)
    one, other = (_centred(np.where(both, course, np.nan))[0] for course in np.broadcast_arrays(predicted, measured))
    sums = (both.sum(axis=-1), one.sum(-1), other.sum(-1), (one**2).sum(-1), (other**2).sum(-1), (one * other).sum(-1))
    return _r(*map(np.asarray, sums))


def shifted_r(predicted: Courses, measured: Courses) -> Float[np.ndarray, "... shift"]:
    """Return r of predictions at frame t and movements at t + shift, in a circle, for every shift, exactly.

    With masks u and v of the frames that there are, n, sums and sums of products of all shifts are circular
    cross-correlations, (a ⋆ b)(s) = Σ_t a(t) b(t + s) = F⁻¹(F(a)* F(b)): u ⋆ v, up ⋆ v, u ⋆ vm, up² ⋆ v, u ⋆ vm² and
    up ⋆ vm. r follows from them at each shift as it does from the sums of any frames.
    """
    frames = np.broadcast_shapes(predicted.shape, measured.shape)[-1]
    p, u = _centred(predicted)
    m, v = _centred(measured)
    left, right = ([np.fft.rfft(course) for course in (mask, values, values**2)] for mask, values in ((u, p), (v, m)))
    products = ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (1, 1))
    n, *sums = (np.fft.irfft(left[one].conj() * right[other], frames) for one, other in products)
    return _r(np.rint(n), *sums)


def _centred(course: Courses) -> tuple[Courses, Courses]:
    """Return a course of mean 0 and variance 1 over the frames that it has, 0 at the others, and which it has."""
    known = np.isfinite(course)
    count = np.maximum(known.sum(axis=-1, keepdims=True), 1)
    filled = np.where(known, course, 0.0)
    centred = np.where(known, filled - filled.sum(axis=-1, keepdims=True) / count, 0.0)
    deviation = np.sqrt((centred**2).sum(axis=-1, keepdims=True) / count)
    return centred / np.where(deviation > 0, deviation, 1.0), known.astype(float)


def _r(n: np.ndarray, x: np.ndarray, y: np.ndarray, xx: np.ndarray, yy: np.ndarray, xy: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        var_x, var_y = xx / n - (x / n) ** 2, yy / n - (y / n) ** 2
        r = (xy / n - x / n * (y / n)) / np.sqrt(var_x * var_y)
    defined = (n >= 2) & (var_x > _LEAST_VARIANCE) & (var_y > _LEAST_VARIANCE)
    return np.where(defined, np.clip(r, -1, 1), np.nan)


def _stretched(measured: Float[np.ndarray, "time channel"], frames: int) -> Float[np.ndarray, "frame channel"]:
    """Return the frames at the same shares of the duration."""
    return measured[np.rint(np.linspace(0, len(measured) - 1, frames)).astype(int)]


def _spread(count: int) -> list[int]:
    """Return up to 10 steps from an utterance to its partner, from 1 to all but the last."""
    return sorted({round(step) for step in np.linspace(1, count - 1, min(count - 1, _MOST_PARTNERS))})


@dataclass(frozen=True)
class Null:
    """Means of r over channels, speakers and languages under random shifts, and what they were without.

    Attributes
    ----------
    observed, drawn
        For each label, then for the labels that were chosen, then for each label and channel; NaN where undefined.
    left_out
        (language, speaker) of those with too few frames to be shifted.
    fewest
        The smallest number of different shifts that a speaker had.
    """

    labels: tuple[Label, ...]
    channels: tuple[str, ...]
    observed: Float[np.ndarray, " test"]
    drawn: Float[np.ndarray, "draw test"]
    left_out: tuple[tuple[str, str], ...]
    fewest: int

    @property
    def chosen(self) -> int:
        """The column of the chosen labels."""
        return len(self.labels)

    def column(self, label: int, channel: int) -> int:
        """Return the column of a label and channel."""
        return len(self.labels) + 1 + label * len(self.channels) + channel

    def band(self, test: int, level: float = 0.95) -> tuple[float, float, float]:
        """Return the mean of a test's null and the ends of its middle part."""
        low, high = np.quantile(self.drawn[:, test], [(1 - level) / 2, (1 + level) / 2])
        return float(self.drawn[:, test].mean()), float(low), float(high)

    @cached_property
    def p(self) -> Float[np.ndarray, " test"]:
        """P by the largest statistic of each draw over all tests (max-T), each in deviations of its own null."""
        p = np.full(len(self.observed), np.nan)
        mean, deviation = self.drawn.mean(axis=0), self.drawn.std(axis=0)
        known = np.isfinite(self.observed) & (deviation > 0)
        scaled = ((values - mean)[..., known] / deviation[known] for values in (self.observed, self.drawn))
        if known.any():
            p[known] = max_t(*scaled)
        return p

    def table(self) -> Table:
        """Return each channel at each layer against its own null."""
        columns = (Column("layer"), Column("channel"), Column("r", "r"),
                   Column("null", "r", "95 % of shifts are below"), Column("p", "", "p (max-T)"))  # fmt: skip
        tests = {
            (layer, channel): self.column(number, place)
            for number, layer in enumerate(self.labels)
            for place, channel in enumerate(self.channels)
        }
        rows = tuple(
            {"layer": layer, "channel": channel, "r": float(self.observed[test]), "null": self.band(test, 0.9)[2],
             "p": float(self.p[test])}
            for (layer, channel), test in tests.items()
            if np.isfinite(self.p[test])
        )  # fmt: skip
        return Table("null", "r of each channel against circular shifts; p of all tests together", columns, rows)


class ShiftedScores:
    """Adds up r under random circular shifts: each speaker in a language is shifted independently, all channels alike.

    Parameters
    ----------
    draws
        Number of random shifts of each speaker.
    longer_than_s
        What each exceeds, in s, in both directions.
    """

    def __init__(self, draws: int, longer_than_s: float, seed: int):
        self.draws, self.longer_than_s, self.seed = draws, longer_than_s, seed
        self._by_language: dict[str, np.ndarray] = {}  # sums and counts: (2, 1 + draw, label + 1, 1 + channel)
        self._left_out: list[tuple[str, str]] = []
        self._fewest: list[int] = []

    def include(self, read: Read, chosen: Label, rate_hz: float) -> None:
        """Add a speaker in a language."""
        possible = read.shifts(self.longer_than_s, rate_hz)
        if not len(possible):
            self._left_out.append((read.key.language, read.key.speaker))
            return
        self._fewest.append(len(possible))
        name = "\x1f".join((str(self.seed), *read.key))
        random = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
        drawn = read.shifted(random.choice(possible, self.draws))
        r = np.concatenate([read.r()[..., None], drawn], axis=-1).transpose(2, 0, 1)
        r = np.concatenate([_mean(r, axis=2)[..., None], r], axis=2)
        r = np.concatenate([r, r[:, [read.labels.index(chosen)]]], axis=1)
        sums = np.stack([np.nan_to_num(r), np.isfinite(r)])
        self._by_language[read.key.language] = self._by_language.get(read.key.language, 0) + sums

    def null(self, labels: Sequence[Label], channels: Sequence[str]) -> Null | None:
        """Return the means over speakers, then languages; ``None`` if nobody could be shifted."""
        if not self._by_language:
            return None
        with np.errstate(invalid="ignore"):
            r = _mean(np.stack([total / count for total, count in self._by_language.values()]), axis=0)
        parts = (r[:, :-1, 0], r[:, -1:, 0], r[:, :-1, 1:].reshape(len(r), -1))
        tests = np.concatenate(parts, axis=1)
        left_out = tuple(sorted(self._left_out))
        return Null(tuple(labels), tuple(channels), tests[0], tests[1:], left_out, min(self._fewest))


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the mean of what is defined, NaN where nothing is."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, values, 0).sum(axis=axis) / known.sum(axis=axis)
