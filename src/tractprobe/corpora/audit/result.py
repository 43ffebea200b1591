"""The result of an audit: checks with their verdicts, and the data of each speaker."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.audit.limits import Interval, Limits
from tractprobe.corpora.utterance import Frame, Phone
from tractprobe.signals.track import Track

Verdict = Literal["fail", "look", "pass", "not applicable"]
VERDICTS: tuple[Verdict, ...] = ("fail", "look", "pass", "not applicable")
"""What no living mouth does; what is rare; what is usual; what cannot be told."""


def short(number: float) -> str:
    """Format a number with three digits, or with all digits before the point if there are more."""
    return f"{number:.3g}" if abs(number) < 1000 else f"{number:.0f}"


@dataclass(frozen=True)
class Measured:
    """What was measured for one check of one speaker.

    Attributes
    ----------
    number
        ``None`` if there is no such number, with the reason in ``detail``.
    detail
        Where the number comes from: its channel, its parts, n.
    """

    name: str
    number: float | None
    detail: str


@dataclass(frozen=True)
class Check:
    """A measured number with its limits."""

    name: str
    measured: float | None
    detail: str
    limits: Limits

    @classmethod
    def of(cls, measured: Measured, limits: Limits, movements_s: float) -> "Check":
        """Judge what was measured in some seconds of movements; too few of them are not called rare.

        Statistics of one sentence vary more than those of a whole speaker: of 240 good sentences by the 4 virtual
        speakers, 25 are rare when judged singly; of 824 random sets of five sentences (12 s and more), none is.
        """
        number = None if measured.number is None else float(measured.number)
        check = cls(measured.name, number, measured.detail, limits)
        if check.verdict != "look" or movements_s >= limits.enough_s:
            return check
        told = f"{check.value} is rare ({check.usual}), but {movements_s:.1f} s are too little to tell"
        return cls(check.name, None, f"{told}: {limits.enough_s:.0f} s needed; {check.detail}", limits)

    @property
    def verdict(self) -> Verdict:
        """Whether the number is within its limits; a number that is not finite fails."""
        if self.measured is None:
            return "not applicable"
        if not np.isfinite(self.measured) or not _within(self.measured, self.limits.fail):
            return "fail"
        return "pass" if _within(self.measured, self.limits.look) else "look"

    @property
    def value(self) -> str:
        """The number with its unit."""
        if self.measured is None or not np.isfinite(self.measured):
            return "" if self.measured is None else "none"
        return f"{short(self.measured)} {self.limits.unit}".strip()

    @property
    def usual(self) -> str:
        """The interval of what is not rare, with its unit."""
        return f"usual {_said(self.limits.look, self.limits.unit)}"

    @property
    def expected(self) -> str:
        """What is usual; of a failure also what is possible."""
        possible = _said(self.limits.fail, self.limits.unit)
        return f"possible {possible}, {self.usual}" if self.verdict == "fail" else self.usual


def _within(number: float, interval: Interval) -> bool:
    return interval[0] <= number <= interval[1]


def _said(interval: Interval, unit: str) -> str:
    """Return an interval in words.

    >>> _said((-np.inf, 0.5), "mm"), _said((5.0, 45.0), "mm")
    ('≤ 0.5 mm', '5 to 45 mm')
    """
    low, high = interval
    if np.isinf(low) or np.isinf(high):
        sign, limit = ("≤", high) if np.isinf(low) else ("≥", low)
        return f"{sign} {short(limit)} {unit}".strip()
    return f"{short(low)} to {short(high)} {unit}".strip()


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

    def count(self, verdict: Verdict) -> int:
        """Return the number of checks with a verdict."""
        return sum(check.verdict == verdict for check in self.checks)

    @property
    def failures(self) -> int:
        """Number of checks that failed."""
        return self.count("fail")

    def check(self, name: str) -> Check:
        """Return a check by its name."""
        return next(check for check in self.checks if check.name == name)
