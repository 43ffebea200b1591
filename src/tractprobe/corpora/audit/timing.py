"""Checks of clocks: lag of the audio, rates, durations, speeds. Their limits, with reasons, are in ``limits.toml``.

For the peak of the lag, see ``lag``. A growing lag is visible only with five or more utterances of a speaker.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from tractprobe.corpora.audit.gather import MOVEMENT_CUTOFF_HZ, SPEED_EDGES_MM_S, Gathered
from tractprobe.corpora.audit.lag import GRID_HZ, clarity, peak_ms
from tractprobe.corpora.audit.result import Measured, short

LAG, LAG_GROWTH = "audio in time with movements", "lag constant over utterances"

CLEAR_SHORT, NEAR_MS = 9.0, 35.0
"""How clear, in deviations, a peak of less than 10 s of speech must be to tell of a lag, unless that is so near to 0.

Of 329 single utterances of `virtual`, in time by construction, 11 have a peak farther away, one of them with 8.2."""


def timing(parts: Gathered, curves: Mapping[str, np.ndarray]) -> Iterator[Measured]:
    """Check clocks and speeds."""
    yield _lag(parts, curves["all"])
    yield _lag_growth(parts, curves)
    yield _coverage(parts)
    ratio = parts.track_s / parts.duration_s
    detail = f"all tracks {parts.track_s:.1f} s, all audio {parts.duration_s:.1f} s"
    yield Measured("track no longer than audio", ratio, detail)
    low_hz, high_hz = parts.lowest_rate_hz, parts.highest_rate_hz
    detail = f"{short(low_hz)} to {short(high_hz)} Hz in {parts.utterances} utterances"
    yield Measured("one sampling rate", high_hz / low_hz - 1, detail)
    yield _frequency(parts)
    yield _speed(parts)


def _lag(parts: Gathered, curve: np.ndarray) -> Measured:
    scored_s, clear = parts.lags.scored_s, clarity(curve)
    peak = f"{parts.utterances} utterances, {scored_s:.1f} s; peak of R² {curve.max():.2f}, {clear:.1f} sd clear"
    if scored_s < 1.5 or (clear < 3.5 and scored_s < 10):
        return Measured(LAG, None, f"too little speech for a clear peak: {peak}")
    if clear < 7 and scored_s >= 10:
        return Measured(LAG, np.nan, f"movements match the audio at no lag: {peak}")
    lag_ms = peak_ms(curve)
    if scored_s < 10 and clear < CLEAR_SHORT and abs(lag_ms) > NEAR_MS:
        return Measured(LAG, None, f"too little speech to tell of a lag of {lag_ms:.0f} ms: {peak}")
    return Measured(LAG, lag_ms, f"{_jackknife(parts)}positive: audio is late; {peak}")


def _jackknife(parts: Gathered) -> str:
    """Return the lag's standard error as text, empty if there are too few groups of utterances."""
    error = parts.lags.jackknife()
    return f"± {error[0]:.1f} ms (jackknife over {error[1]} groups); " if error else ""


def _lag_growth(parts: Gathered, curves: Mapping[str, np.ndarray]) -> Measured:
    scored_s = parts.lags.scored_s
    speech = f"{parts.utterances} utterances, {scored_s:.1f} s"
    if parts.utterances < 5 or scored_s < 10:
        return Measured(LAG_GROWTH, None, f"{speech}; needs 5 and 10 s")
    early, late = curves["first third"], curves["last third"]
    if min(clarity(early), clarity(late)) < 4.5:
        return Measured(LAG_GROWTH, None, f"no clear peaks in first and last thirds; {speech}")
    first, last = peak_ms(early), peak_ms(late)
    detail = f"first thirds {first:.0f} ms, last thirds {last:.0f} ms; {speech}"
    return Measured(LAG_GROWTH, last - first, detail)


def _coverage(parts: Gathered) -> Measured:
    if not parts.loud:
        return Measured("movements cover the speech", None, "no sound")
    detail = f"of {parts.loud / GRID_HZ:.1f} s of audio within 30 dB of its loudest"
    return Measured("movements cover the speech", parts.covered / parts.loud, detail)


def _frequency(parts: Gathered) -> Measured:
    """Check the root mean squared frequency of movements: sd of velocity over 2π sd of position."""
    frequency = np.sqrt(parts.velocity2 / parts.position2) / (2 * np.pi)
    finite = frequency[np.isfinite(frequency)]
    middle = float(np.median(finite)) if len(finite) else None
    detail = f"rms, below {MOVEMENT_CUTOFF_HZ:.0f} Hz, median of channels" if len(finite) else "nothing moves"
    return Measured("frequency of movements", middle, detail)


def _speed(parts: Gathered) -> Measured:
    counts = parts.speeds[parts.speeds.sum(axis=1) > 0]
    if not len(counts):
        return Measured("speed of the tongue", None, "no sensor on the tongue")
    shares = np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True)
    fastest = max(float(SPEED_EDGES_MM_S[1:][np.searchsorted(share, 0.99)]) for share in shares)
    return Measured("speed of the tongue", fastest, "99th percentile, fastest sensor")
