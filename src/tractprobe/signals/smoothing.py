"""Smoothing of measured movements: short gaps are bridged, fast noise is removed."""

from dataclasses import dataclass

from tractprobe.signals.track import Track
from tractprobe.system.errors import ConfigError


@dataclass(frozen=True)
class Smoothing:
    """What happens to movements before they become targets.

    Attributes
    ----------
    lowpass_hz, order
        Zero-phase Butterworth low-pass.
    max_gap_s
        Longest gap that is bridged; frames in longer gaps are invalid.
    """

    lowpass_hz: float = 10.0
    order: int = 5
    max_gap_s: float = 0.05

    def __post_init__(self):
        if not (self.lowpass_hz > 0 and 1 <= self.order <= 10 and self.max_gap_s >= 0):
            expected = "expected a cutoff above 0 Hz, an order of 1 to 10 and a gap of 0 s or more"
            raise ConfigError(f"ema: {expected}, not {self}")

    @property
    def identity(self) -> str:
        """How this enters the identity of stored moments: under the class's original name, which must not change."""
        return f"Conditioning(lowpass_hz={self.lowpass_hz!r}, order={self.order!r}, max_gap_s={self.max_gap_s!r})"

    def __call__(self, track: Track) -> Track:
        if 2 * self.lowpass_hz >= track.rate_hz:
            raise ConfigError(f"ema.lowpass_hz={self.lowpass_hz} is too high for movements at {track.rate_hz:g} Hz")
        return track.bridged(self.max_gap_s).lowpassed(self.lowpass_hz, self.order)
