"""Track: what an articulograph measured, on its own clock, until somebody asks for it at other times.

In: positions in mm at a constant rate, NaN where a sensor was lost. Out: the same filtered, or sampled at given times.
Nothing here ever stretches time: a track is filtered on its own clock and then read off where the encoder's frames are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

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
        Time of the first row, in seconds from the start of the audio.
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
            raise ValueError("infinite positions")

    @property
    def valid(self) -> Bool[np.ndarray, "time channel"]:
        """Where there is a measurement."""
        return np.isfinite(self.values)

    @property
    def times_s(self) -> Float[np.ndarray, " time"]:
        """Time of each row, in seconds from the start of the audio."""
        return self.start_s + np.arange(len(self.values)) / self.rate_hz

    @property
    def end_s(self) -> float:
        """Time just after the last row's sampling interval."""
        return self.start_s + len(self.values) / self.rate_hz

    def bridged(self, max_gap_s: float = 0.05) -> "Track":
        """Fill gaps of at most ``max_gap_s`` between two measurements by a straight line, each channel by itself.

        A gap is as long as the time between the measurements on its two sides; longer ones stay missing, and so does
        what lies before the first or after the last measurement.
        """
        values = self.values.copy()
        for channel in values.T:
            known = np.flatnonzero(np.isfinite(channel))
            steps = np.diff(known)
            for gap in np.flatnonzero((steps > 1) & (steps / self.rate_hz <= max_gap_s + 1e-9)):
                left, right = known[gap], known[gap + 1]
                channel[left : right + 1] = np.linspace(channel[left], channel[right], right - left + 1)
        return replace(self, values=values)

    def lowpassed(self, cutoff_hz: float = 10.0, order: int = 5) -> "Track":
        """Remove what is faster than ``cutoff_hz``, without delay (Butterworth forwards and backwards).

        Each unbroken run of measurements is filtered by itself, so that nothing leaks across a gap. Both passes
        together attenuate by 6 dB at the cutoff.
        """
        if not 0 < cutoff_hz < self.rate_hz / 2:
            raise ValueError(
                f"a cutoff of {cutoff_hz} Hz needs more than {2 * cutoff_hz} samples/s, not {self.rate_hz}"
            )
        from scipy.signal import butter, sosfiltfilt  # half a second, for those who filter

        sections = butter(order, cutoff_hz, fs=self.rate_hz, output="sos")
        padding = int(np.ceil(3 * self.rate_hz / cutoff_hz))

        def smooth(run: Values) -> Values:
            return sosfiltfilt(sections, run, axis=0, padlen=min(padding, len(run) - 1))

        values = np.full_like(self.values, np.nan)
        for rows, columns in self._runs():
            values[rows, columns] = smooth(self.values[rows, columns])
        return replace(self, values=values)

    def at(self, times_s: Float[np.ndarray, " frame"]) -> Float[np.ndarray, "frame channel"]:
        """Return the positions (mm) at given times, NaN where the track has none.

        Between measurements of one run a cubic spline is read off (a straight line if the run has fewer than four).
        Low-pass first: a spline does not keep out what is faster than half the new rate.
        """
        sampled = np.full((len(times_s), self.values.shape[1]), np.nan)
        clock = self.times_s
        for rows, columns in self._runs():
            inside = np.flatnonzero((times_s >= clock[rows][0] - 1e-9) & (times_s <= clock[rows][-1] + 1e-9))
            if len(inside):
                curve = _curve(clock[rows], self.values[rows, columns])
                sampled[np.ix_(inside, columns)] = curve(times_s[inside])
        return sampled

    def resampled(self, rate_hz: float) -> "Track":
        """Return the track at whole multiples of 1 / ``rate_hz``, from its first to its last row.

        Before it is thinned out, what is faster than 0.4 times the new rate is removed.
        """
        track = self.lowpassed(0.4 * rate_hz) if rate_hz < self.rate_hz else self
        first = int(np.ceil(self.start_s * rate_hz - 1e-6))
        stop = int(np.floor((self.end_s - 1 / self.rate_hz) * rate_hz + 1e-6)) + 1
        values = track.at(np.arange(first, max(first, stop)) / rate_hz)
        return replace(self, values=values, rate_hz=float(rate_hz), start_s=first / rate_hz)

    def _runs(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield each unbroken run as (rows, the columns that have exactly this run)."""
        spans: dict[tuple[int, int], list[int]] = {}
        for column, valid in enumerate(self.valid.T):
            edges = np.flatnonzero(np.diff(np.concatenate([[False], valid, [False]]).astype(np.int8)))
            for start, stop in edges.reshape(-1, 2):
                spans.setdefault((int(start), int(stop)), []).append(column)
        for (start, stop), columns in spans.items():
            yield slice(start, stop), np.array(columns)


def _curve(times_s: np.ndarray, values: Values) -> Callable[[np.ndarray], np.ndarray]:
    if len(times_s) >= 4:
        from scipy.interpolate import CubicSpline

        return CubicSpline(times_s, values, axis=0)
    if len(times_s) == 1:
        return lambda times: np.repeat(values, len(times), axis=0)
    return lambda times: np.stack([np.interp(times, times_s, column) for column in values.T], axis=1)
