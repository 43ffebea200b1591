"""Track: the measurements of an articulograph, on its own clock until they are sampled at other times.

In: positions in mm at a constant rate, NaN where a sensor was lost. Out: the same, filtered or sampled at given times.
Time is never stretched: a track is filtered on its own clock and then evaluated at the times of the encoder's frames.

In the shapes below, ``time`` counts the track's own samples and ``frame`` the times that are asked for.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from tractprobe.signals.channels import CHANNELS

Values = Float[np.ndarray, "time channel"]


@dataclass(frozen=True, eq=False)
class Track:
    """Positions of articulators over time.

    Attributes
    ----------
    values
        mm, one column per channel; NaN where the sensor was lost or the corpus has no such channel.
    rate_hz
        Samples per second.
    start_s
        Time of the first sample, in seconds from the start of the audio.
    channels
        Name of each column.
    """

    values: Values
    rate_hz: float
    start_s: float = 0.0
    channels: tuple[str, ...] = CHANNELS

    def __post_init__(self):
        if self.values.ndim != 2 or self.values.shape[1] != len(self.channels):
            raise ValueError(f"a track of {len(self.channels)} channels cannot have shape {self.values.shape}")
        if not (np.isfinite(self.rate_hz) and self.rate_hz > 0 and np.isfinite(self.start_s)):
            raise ValueError(f"rate {self.rate_hz} Hz, start {self.start_s} s: not a clock")
        if np.isinf(self.values).any():
            raise ValueError("infinite positions; expected NaN where a sensor was lost")

    @property
    def valid(self) -> Bool[np.ndarray, "time channel"]:
        """True where there is a measurement."""
        return np.isfinite(self.values)

    @property
    def times_s(self) -> Float[np.ndarray, " time"]:
        """Time of each sample, in seconds from the start of the audio."""
        return self.start_s + np.arange(len(self.values)) / self.rate_hz

    @property
    def end_s(self) -> float:
        """End of the last sample's interval, in seconds from the start of the audio."""
        return self.start_s + len(self.values) / self.rate_hz

    def bridged(self, max_gap_s: float = 0.05) -> "Track":
        """Bridge gaps of at most ``max_gap_s`` by a straight line between two measurements, channel by channel.

        The length of a gap is the time between the measurements on its two sides. Longer gaps stay missing, as does
        everything before the first and after the last measurement.
        """
        values = self.values.copy()
        for channel in values.T:
            measured = np.flatnonzero(np.isfinite(channel))
            steps = np.diff(measured)
            for gap in np.flatnonzero((steps > 1) & (steps / self.rate_hz <= max_gap_s + 1e-9)):
                left, right = measured[gap], measured[gap + 1]
                channel[left : right + 1] = np.linspace(channel[left], channel[right], right - left + 1)
        return replace(self, values=values)

    def lowpassed(self, cutoff_hz: float = 10.0, order: int = 5) -> "Track":
        """Remove what is faster than ``cutoff_hz``, without delay (Butterworth filter forwards and backwards).

        Each unbroken run of measurements is filtered separately, so nothing leaks across a gap. The two passes
        together attenuate by 6 dB at the cutoff.
        """
        if not 0 < cutoff_hz < self.rate_hz / 2:
            raise ValueError(
                f"a cutoff of {cutoff_hz} Hz needs more than {2 * cutoff_hz} samples/s; the track has {self.rate_hz}"
            )
        from scipy.signal import sosfiltfilt  # half a second, for those who filter

        sections = _butterworth(order, cutoff_hz, self.rate_hz)
        padding = int(np.ceil(3 * self.rate_hz / cutoff_hz))
        values = np.full_like(self.values, np.nan)
        for samples, columns in self._runs():
            run = self.values[samples, columns]
            values[samples, columns] = sosfiltfilt(sections, run, axis=0, padlen=min(padding, len(run) - 1))
        return replace(self, values=values)

    def at(self, times_s: Float[np.ndarray, " frame"]) -> Float[np.ndarray, "frame channel"]:
        """Return the positions (mm) at given times, NaN where the track has none.

        Each run of measurements is interpolated by a cubic spline, or by straight lines if it has fewer than four.
        Low-pass the track first: a spline does not remove what is faster than half the new rate.
        """
        sampled = np.full((len(times_s), self.values.shape[1]), np.nan)
        clock = self.times_s
        for samples, columns in self._runs():
            inside = np.flatnonzero((times_s >= clock[samples][0] - 1e-9) & (times_s <= clock[samples][-1] + 1e-9))
            if len(inside):
                curve = _curve(clock[samples], self.values[samples, columns])
                sampled[np.ix_(inside, columns)] = curve(times_s[inside])
        return sampled

    def resampled(self, rate_hz: float) -> "Track":
        """Return the track at whole multiples of 1 / ``rate_hz``, from its first to its last sample.

        A track that becomes slower is first low-passed at 0.4 times the new rate.
        """
        track = self.lowpassed(0.4 * rate_hz) if rate_hz < self.rate_hz else self
        first = int(np.ceil(self.start_s * rate_hz - 1e-6))
        stop = int(np.floor((self.end_s - 1 / self.rate_hz) * rate_hz + 1e-6)) + 1
        values = track.at(np.arange(first, max(first, stop)) / rate_hz)
        return replace(self, values=values, rate_hz=float(rate_hz), start_s=first / rate_hz)

    def _runs(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield each unbroken run of measurements as (samples, the columns that have exactly this run)."""
        if self.values.size and self.valid.all():  # as in most tracks
            yield slice(0, len(self.values)), np.arange(self.values.shape[1])
            return
        spans: dict[tuple[int, int], list[int]] = {}
        for column, valid in enumerate(self.valid.T):
            edges = np.flatnonzero(np.diff(np.concatenate([[False], valid, [False]]).astype(np.int8)))
            for start, stop in edges.reshape(-1, 2):
                spans.setdefault((int(start), int(stop)), []).append(column)
        for (start, stop), columns in spans.items():
            yield slice(start, stop), np.array(columns)


@lru_cache(maxsize=32)
def _butterworth(order: int, cutoff_hz: float, rate_hz: float) -> Float[np.ndarray, "section 6"]:
    """Return a low-pass filter in second-order sections; to design one takes longer than to filter an utterance."""
    from scipy.signal import butter

    sections: Any = butter(order, cutoff_hz, fs=rate_hz, output="sos")
    return sections


def _curve(times_s: np.ndarray, values: Values) -> Callable[[np.ndarray], np.ndarray]:
    if len(times_s) >= 4:
        from scipy.interpolate import CubicSpline

        return CubicSpline(times_s, values, axis=0)
    if len(times_s) == 1:
        return lambda times: np.repeat(values, len(times), axis=0)
    return lambda times: np.stack([np.interp(times, times_s, column) for column in values.T], axis=1)
