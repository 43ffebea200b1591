"""Local speech rate as a target: phones and syllable nuclei per second of speech around a frame."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.phone_features import phone_features
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.data.phone_labels import PhoneLabels
from tractprobe.system.errors import ConfigError

_STEP_S = 0.005  # of the time axis that windows are summed on
_SYLLABIC = "\u0329"  # below a consonant that is a syllable's nucleus, as in n̩
_SYLLABIC_ABOVE = "\u030d"


@dataclass(frozen=True)
class SpeechRate:
    """Phones and syllable nuclei per second, weighted by a Hann window of ``window_s`` around each frame.

    With d(τ) the length of the phone at τ, n(τ) whether it is a nucleus (a vowel or a syllabic consonant), and s(τ) 1
    in phones and 0 elsewhere,

        phones_per_s(t) = Σ w(τ - t) s(τ) / d(τ) / Σ w(τ - t) s(τ),    nuclei_per_s with n(τ) s(τ) / d(τ),

    which is an articulation rate: pauses count neither as speech nor as time. A phone that has a part in the window
    counts by that part. NaN at frames without a phone. A window of 0.6 s holds two or three syllables, as in
    Pfitzinger's local speech rate (ICSLP 1998).
    """

    window_s: float = 0.6
    name, channels, units = "rate", ("phones_per_s", "nuclei_per_s"), ("1/s", "1/s")

    def __post_init__(self):
        if not (0.02 <= self.window_s <= 60):
            raise ConfigError(f"speech rate: a window of {self.window_s} s; expected 0.02 to 60 s")

    @property
    def identity(self) -> Any:
        return {"version": 1, "window_s": self.window_s}

    def at(
        self, corpus: PreparedCorpus, entry: Entry, times_s: Float[np.ndarray, " frame"]
    ) -> Float[np.ndarray, "frame 2"]:
        """Return both rates at given times."""
        labels = PhoneLabels.of(corpus, entry)
        clock_s = np.arange(0, entry.duration_s, _STEP_S) + _STEP_S / 2
        at = labels.phone_at(clock_s)
        length_s = np.append(labels.end_s - labels.start_s, np.inf)[at]
        is_nucleus = np.array([*map(_is_nucleus, labels.ipa), False])[at]
        half = max(1, round(self.window_s / 2 / _STEP_S))
        window = np.hanning(2 * half + 1)
        spoken, phones, nuclei = (
            np.convolve(values, window)[half : half + len(clock_s)]
            for values in ((at >= 0).astype(float), 1 / length_s, is_nucleus / length_s)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            rates = np.stack([phones, nuclei], axis=1) / spoken[:, None]
        nearest = np.clip(np.round((times_s - _STEP_S / 2) / _STEP_S).astype(int), 0, len(clock_s) - 1)
        return np.where((labels.phone_at(times_s) >= 0)[:, None], rates[nearest], np.nan)


def _is_nucleus(ipa: str) -> bool:
    return _SYLLABIC in ipa or _SYLLABIC_ABOVE in ipa or "height" in phone_features(ipa[:1])
