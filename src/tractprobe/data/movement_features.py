"""Measured movements as features, to ask what can be told from them: phones, for instance."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.data.speech import of_speaker
from tractprobe.signals.channels import CHANNELS
from tractprobe.signals.smoothing import Smoothing

_LEAST_SD_MM = 1e-3


@dataclass(frozen=True)
class Movements:
    """Positions at a frame and some times around it, in deviations from the speaker's mean over all speech.

    A channel that the speaker lacks is 0 throughout; a frame at which a sensor was lost is NaN. Before the first and
    after the last measurement the nearest position counts.

    Parameters
    ----------
    around_s
        Times, counted from the frame's.
    """

    smoothing: Smoothing
    around_s: tuple[float, ...] = (0.0,)
    name: str = "movements"
    _scales: dict[str, tuple[np.ndarray, np.ndarray]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def width(self) -> int:
        return len(CHANNELS) * len(self.around_s)

    @property
    def identity(self) -> Any:
        return {"version": 1, "smoothing": self.smoothing.identity, "around_s": list(self.around_s)}

    def at(
        self, corpus: PreparedCorpus, entry: Entry, times_s: Float[np.ndarray, " frame"]
    ) -> Float[np.ndarray, "frame width"]:
        """Return the standardised positions, those of one time after those of another."""
        mean, sd = self._scale(corpus, entry.speaker)
        track = self.smoothing(corpus.track(entry.id))
        measured = np.flatnonzero(track.valid.any(axis=1))
        first_s, last_s = track.times_s[measured[[0, -1]]] if len(measured) else (0.0, 0.0)
        each = [track.at(np.clip(times_s + around_s, first_s, last_s)) for around_s in self.around_s]
        with np.errstate(invalid="ignore"):
            standardised = [np.where(np.isnan(sd), 0, (values - mean) / sd) for values in each]
        return np.concatenate(standardised, axis=1)

    def _scale(self, corpus: PreparedCorpus, speaker: str) -> tuple[np.ndarray, np.ndarray]:
        if speaker not in self._scales:
            own = of_speaker(corpus, speaker)
            values = np.concatenate([self.smoothing(corpus.track(entry.id)).values for entry in own])
            mean, sd = np.full(len(CHANNELS), np.nan), np.full(len(CHANNELS), np.nan)
            for channel in np.flatnonzero(np.isfinite(values).any(axis=0)):
                mean[channel], sd[channel] = np.nanmean(values[:, channel]), np.nanstd(values[:, channel])
            sd[~(sd >= _LEAST_SD_MM)] = np.nan
            self._scales[speaker] = mean, sd
        return self._scales[speaker]
