"""The result of an audit: checks with their verdicts, and the data of each speaker."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.utterance import Frame, Phone
from tractprobe.signals.track import Track

Verdict = Literal["fail", "pass", "not applicable"]
VERDICTS: tuple[Verdict, ...] = ("fail", "pass", "not applicable")


def short(number: float) -> str:
    """Format a number with three digits, or with all digits before the point if there are more."""
    return f"{number:.3g}" if abs(number) < 1000 else f"{number:.0f}"


@dataclass(frozen=True)
class Check:
    """One check of one speaker.

    Attributes
    ----------
    measured
        The number compared with ``low`` and ``high`` (``None``: no limit on that side); ``None`` if there is no such
        number, with the reason in ``detail``.
    detail
        Where the number comes from: its channel, its parts, n.
    cause
        What usually causes a failure.
    """

    name: str
    measured: float | None
    unit: str
    low: float | None
    high: float | None
    detail: str
    cause: str

    @property
    def verdict(self) -> Verdict:
        """Whether the number is within its limits; a number that is not finite fails."""
        if self.measured is None:
            return "not applicable"
        low, high = -np.inf if self.low is None else self.low, np.inf if self.high is None else self.high
        return "pass" if np.isfinite(self.measured) and low <= self.measured <= high else "fail"

    @property
    def value(self) -> str:
        """The number with its unit."""
        if self.measured is None or not np.isfinite(self.measured):
            return "" if self.measured is None else "none"
        return f"{short(self.measured)} {self.unit}".strip()

    @property
    def limits(self) -> str:
        """The limits with their unit."""
        if self.low is None or self.high is None:
            sign, limit = ("≤", self.high) if self.low is None else ("≥", self.low)
            return f"{sign} {short(limit or 0.0)} {self.unit}".strip()
        return f"{short(self.low)} to {short(self.high)} {self.unit}".strip()


@dataclass(frozen=True, eq=False)
class Example:
    """The beginning of one utterance, to be drawn."""

    id: str
    text: str
    audio: Float[np.ndarray, " sample"]
    audio_rate_hz: int
    track: Track
    phones: tuple[Phone, ...]


@dataclass(frozen=True, eq=False)
class SpeakerAudit:
    """The checks of one speaker, with the data to draw.

    Attributes
    ----------
    frames
        The reference frames of the utterances: what positions are relative to.
    channels, cloud
        Names of channels, and positions (mm) in at most ``gather.SAMPLE`` frames (time steps) drawn uniformly from all;
        the corpus's extra channels come last.
    lag_curves
        R² at each of ``lag.LAGS_MS`` for "all", "first third" and "last third" of the utterances; at positive lags the
        audio is late.
    """

    speaker: str
    languages: tuple[str, ...]
    frames: tuple[Frame, ...]
    utterances: int
    duration_s: float
    checks: tuple[Check, ...]
    channels: tuple[str, ...]
    cloud: Float[np.ndarray, "frame all_channels"]
    palate: Float[np.ndarray, "point 2"] | None
    lag_curves: Mapping[str, Float[np.ndarray, " lag"]]
    example: Example

    @property
    def failures(self) -> int:
        """Number of checks that failed."""
        return sum(check.verdict == "fail" for check in self.checks)

    def check(self, name: str) -> Check:
        """Return a check by its name."""
        return next(check for check in self.checks if check.name == name)
