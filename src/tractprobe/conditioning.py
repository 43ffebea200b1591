"""From measured movements to targets: filtering, short gaps, and each speaker's mean and scale."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from tractprobe.errors import ConfigError
from tractprobe.track import Track

_LEAST_SD = 1e-3  # of mm, semitones, dB or a share of time: what never moves


@dataclass(frozen=True)
class Conditioning:
    """What happens to movements before they become targets.

    Attributes
    ----------
    lowpass_hz, order
        Zero-phase Butterworth low-pass.
    max_gap_s
        Longest gap that is bridged; frames in longer ones are not valid.
    """

    lowpass_hz: float = 10.0
    order: int = 5
    max_gap_s: float = 0.05

    def __post_init__(self):
        if not (self.lowpass_hz > 0 and 1 <= self.order <= 10 and self.max_gap_s >= 0):
            raise ConfigError(f"ema: a cutoff above 0 Hz, an order of 1 to 10 and a gap of 0 s or more, not {self}")

    def __call__(self, track: Track) -> Track:
        if 2 * self.lowpass_hz >= track.rate_hz:
            raise ConfigError(f"ema.lowpass_hz={self.lowpass_hz} is too high for movements at {track.rate_hz:g} Hz")
        return track.bridged(self.max_gap_s).lowpassed(self.lowpass_hz, self.order)


@dataclass(frozen=True, eq=False)
class SpeakerScale:
    """Mean and standard deviation of a speaker's channels, in their units; NaN for a channel that cannot be used.

    ``from_test`` marks channels that occur in the speaker's test frames only and are described by these.
    """

    mean: Float[np.ndarray, " channel"]
    sd: Float[np.ndarray, " channel"]
    from_test: Bool[np.ndarray, " channel"]

    def plain(self) -> dict[str, list]:
        """Return the numbers as JSON has them, None for NaN."""
        known = {name: getattr(self, name).tolist() for name in ("mean", "sd", "from_test")}
        return {name: [None if value != value else value for value in values] for name, values in known.items()}

    @classmethod
    def unit(cls, channels: int) -> "SpeakerScale":
        """Leave channels as they are."""
        return cls(np.zeros(channels), np.ones(channels), np.zeros(channels, bool))

    @classmethod
    def of(
        cls, developed: Float[np.ndarray, "3 channel"] | None, tested: Float[np.ndarray, "3 channel"] | None
    ) -> "SpeakerScale":
        """Describe a speaker by its development frames, and by its test frames where there are no others."""
        if developed is None:
            developed = np.zeros_like(tested)
        if tested is None:
            tested = np.zeros_like(developed)
        from_test = developed[0] == 0
        count, total, squares = np.where(from_test, tested, developed)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total / count
            sd = np.sqrt(np.maximum(squares / count - mean**2, 0))
        still = ~(sd >= _LEAST_SD)  # a channel that never moves, or was never measured
        mean[still] = sd[still] = np.nan
        return cls(mean, sd, from_test & ~still)
