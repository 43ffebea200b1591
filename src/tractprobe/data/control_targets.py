"""Controls for movements: targets of the same kind and frames that inputs should not be able to follow as well.

``Control`` depends on the phones alone, so that what reads it out has learned a table of phones (Hewitt & Liang 2019,
1909.03368, whose control task gives each word type a random tag). ``Shifted`` and ``Mismatched`` are movements that
were not made with this sound, so that what reads them out follows the statistics of movements, not this one.
"""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.ipa import SILENCE
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.corpora.prepared.texts import sentence
from tractprobe.data.phone_labels import PhoneLabels
from tractprobe.data.speech import of_speaker, session
from tractprobe.signals.channels import CHANNELS, UNIT
from tractprobe.signals.smoothing import Smoothing
from tractprobe.signals.track import Track
from tractprobe.system.errors import ConfigError

_PARTS = 3  # of a phone, each with a value of its own
_QUANTILES = np.linspace(0, 1, 101)
_DESCRIBED_BY = 20  # utterances of a speaker

Frames = Float[np.ndarray, " frame"]


@dataclass(frozen=True)
class Control:
    """Control task: in each third of each phone a fixed random position, low-passed as movements are.

    A value is drawn for each (phone, third, channel) as a quantile, from the seed and these names alone, so that it is
    the same for all utterances, speakers and corpora, and in whatever order these come. Quantiles become mm by the
    distribution of the speaker's channel (of 20 utterances of speech at most). Frames without a phone, and those that
    the movements lack, are NaN: compare with ``InPhones(Positions(...))``. Selectivity is the score of movements minus
    this one's.
    """

    smoothing: Smoothing
    seed: int = 0
    name: str = "control"
    _marginals: dict[str, np.ndarray] = field(default_factory=dict, init=False, repr=False, compare=False)
    channels, units = CHANNELS, (UNIT,) * len(CHANNELS)

    @property
    def identity(self) -> Any:
        return {"version": 1, "seed": self.seed}

    def at(self, corpus: PreparedCorpus, entry: Entry, times_s: Frames) -> Float[np.ndarray, "frame channel"]:
        """Return the drawn positions at given times."""
        labels, measured = PhoneLabels.of(corpus, entry), corpus.track(entry.id)
        clock_s = measured.times_s
        drawn = self._quantiles(labels, clock_s)
        marginal = self._marginal(corpus, entry.speaker)
        positions = np.stack(
            [np.interp(drawn[:, channel], _QUANTILES, marginal[:, channel]) for channel in range(len(CHANNELS))], axis=1
        )
        values = self.smoothing(Track(positions, measured.rate_hz, measured.start_s)).at(times_s)
        values[labels.phone_at(times_s) < 0] = np.nan
        values[np.isnan(self.smoothing(measured).at(times_s))] = np.nan
        return values

    def _quantiles(self, labels: PhoneLabels, clock_s: np.ndarray) -> Float[np.ndarray, "time channel"]:
        index = labels.label_at(clock_s)
        third = np.minimum(np.nan_to_num(labels.position_at(clock_s) * _PARTS).astype(int), _PARTS - 1)
        types = [(labels.ipa[label], int(part)) if label >= 0 else (SILENCE, 0) for label, part in zip(index, third)]  # noqa: B905
        return np.array([_drawn(self.seed, *one) for one in types]).reshape(len(clock_s), len(CHANNELS))

    def _marginal(self, corpus: PreparedCorpus, speaker: str) -> Float[np.ndarray, "quantile channel"]:
        """Return quantiles of a speaker's smoothed channels, NaN for one that was never measured."""
        if speaker not in self._marginals:
            ids = sorted((entry.id for entry in of_speaker(corpus, speaker)), key=_hash)
            tracks = [self.smoothing(corpus.track(id_)).values for id_ in ids[:_DESCRIBED_BY]]
            values = np.concatenate(tracks)
            quantiles = np.full((len(_QUANTILES), len(CHANNELS)), np.nan)
            for channel in np.flatnonzero(np.isfinite(values).any(axis=0)):
                quantiles[:, channel] = np.nanquantile(values[:, channel], _QUANTILES)
            self._marginals[speaker] = quantiles
        return self._marginals[speaker]


@dataclass(frozen=True)
class Shifted:
    """The speaker's movements from another time: each frame has the position of ``shift_s`` later, in a circle.

    Autocorrelation, range and sensors stay as they are; the relation to the sound is lost. ``within="utterance"`` turns
    each utterance round by itself; ``"session"`` turns round all utterances of the speaker in the corpus, by their ids,
    one after the other, speech and babble apart. Nothing is stretched. Positions are low-passed before they are
    shifted, so that nothing leaks over the seam.
    """

    smoothing: Smoothing
    shift_s: float = 5.0
    within: Literal["utterance", "session"] = "session"
    name: str = "shifted"
    channels, units = CHANNELS, (UNIT,) * len(CHANNELS)

    def __post_init__(self):
        if not np.isfinite(self.shift_s) or self.within not in ("utterance", "session"):
            raise ConfigError(f"shifted targets: expected seconds and utterance or session, not {self}")

    @property
    def identity(self) -> Any:
        return {"version": 1, "shift_s": self.shift_s, "within": self.within}

    def at(self, corpus: PreparedCorpus, entry: Entry, times_s: Frames) -> Float[np.ndarray, "frame channel"]:
        """Return the positions of the shifted times, NaN where there are none."""
        circle = [entry] if self.within == "utterance" else session(corpus, entry)
        ends_s = np.cumsum([each.duration_s for each in circle])
        starts_s = ends_s - [each.duration_s for each in circle]
        (own,) = (number for number, each in enumerate(circle) if each.id == entry.id)
        inside = times_s < entry.duration_s
        asked_s = (starts_s[own] + times_s + self.shift_s) % ends_s[-1]
        source = np.minimum(np.searchsorted(ends_s, asked_s, side="right"), len(circle) - 1)
        values = np.full((len(times_s), len(CHANNELS)), np.nan)
        for number in np.unique(source[inside]):
            chosen = inside & (source == number)
            track = self.smoothing(corpus.track(circle[number].id))
            values[chosen] = track.at(asked_s[chosen] - starts_s[number])
        return values


@dataclass(frozen=True)
class Mismatched:
    """The same speaker's movements in another sentence of the same language, from its start, cut to the shorter.

    Which sentence is drawn from the seed and the utterances' ids alone. NaN where the other one has ended, and
    throughout for a speaker of a single sentence.
    """

    smoothing: Smoothing
    seed: int = 0
    name: str = "mismatched"
    channels, units = CHANNELS, (UNIT,) * len(CHANNELS)

    @property
    def identity(self) -> Any:
        return {"version": 1, "seed": self.seed}

    def at(self, corpus: PreparedCorpus, entry: Entry, times_s: Frames) -> Float[np.ndarray, "frame channel"]:
        """Return the other sentence's positions."""
        other = self.partner(corpus, entry)
        if other is None:
            return np.full((len(times_s), len(CHANNELS)), np.nan)
        values = self.smoothing(corpus.track(other.id)).at(times_s)
        values[times_s >= min(entry.duration_s, other.duration_s)] = np.nan
        return values

    def partner(self, corpus: PreparedCorpus, entry: Entry) -> Entry | None:
        """Return whose movements an utterance is given; ``None`` if the speaker has no other sentence."""
        own = sentence(entry)
        others = [each for each in session(corpus, entry) if each.language == entry.language and sentence(each) != own]
        return min(others, key=lambda each: _hash(self.seed, entry.id, each.id), default=None)


@lru_cache(maxsize=4096)
def _drawn(seed: int, phone: str, third: int) -> np.ndarray:
    """Return a quantile between 0 and 1 for each channel."""
    each = [_hash(seed, phone, third, channel)[:8] for channel in CHANNELS]
    return np.array([int.from_bytes(digest, "big") / 2**64 for digest in each])


def _hash(*names: object) -> bytes:
    return hashlib.sha256("\x1f".join(map(str, names)).encode()).digest()
