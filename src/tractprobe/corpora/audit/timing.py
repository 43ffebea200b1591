"""Checks of clocks: lag of the audio, rates, durations, speeds; each with its limits.

Measured like the limits in ``checks``, on the same recordings and mistakes; for the peak of the lag, see ``lag``.

=====================================  =================  =======================================  ==============
what                                   good               mistakes                                 limits
=====================================  =================  =======================================  ==============
lag, one or more sentences             -29 to 14 ms       -76 and less, stretched by 5 %           within 50 ms
its growth, 5 or more sentences        -15 to 3 ms        -57 and -90, stretched by 3 and 5 %      within 30 ms
share of loud audio covered            0.98 to 1          0 to 0.55, 200 Hz read as 500            >= 0.9
duration of tracks over audio's        0.87 to 1.01 x     2.2 to 2.5, 500 Hz read as 200           <= 1.25 x
rms frequency of movements             1.4 to 3.2 Hz      3.3 to 5.7 and 0.6 to 1.08, these two    1.1 to 3.1/3.6
speed of the tongue, 99th percentile   160 to 475 mm/s    1575 and more and 20 to 40, 10 x units   50 to 480/600
=====================================  =================  =======================================  ==============

Frequencies above 3 Hz and speeds above 440 mm/s occur in single sentences, for which the second limits are. A growing
lag is visible only with five or more utterances of a speaker; none of the real recordings has that many.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from tractprobe.corpora.audit.amount import forgiving
from tractprobe.corpora.audit.gather import MOVEMENT_CUTOFF_HZ, SPEED_EDGES_MM_S, Gathered
from tractprobe.corpora.audit.lag import GRID_HZ, clarity, peak_ms
from tractprobe.corpora.audit.result import Check, short

LAG_GROWTH = "lag constant over utterances"


def timing(parts: Gathered, curves: Mapping[str, np.ndarray]) -> Iterator[Check]:
    """Check clocks and speeds."""
    yield _lag(parts, curves["all"])
    yield _lag_growth(parts, curves)
    yield _coverage(parts)
    ratio = parts.track_s / parts.duration_s
    cause = "A wrong rate, or movements of a longer recording than this audio."
    detail = f"all tracks {parts.track_s:.1f} s, all audio {parts.duration_s:.1f} s"
    yield Check("track no longer than audio", ratio, "x", None, 1.25, detail, cause)
    low_hz, high_hz = parts.lowest_rate_hz, parts.highest_rate_hz
    cause = "Some files have a different rate than their reader assumes."
    detail = f"{short(low_hz)} to {short(high_hz)} Hz in {parts.utterances} utterances"
    yield Check("one sampling rate", high_hz / low_hz - 1, "", None, 0.01, detail, cause)
    yield forgiving(_frequency(parts), parts.track_s, high=3.6)
    yield forgiving(_speed(parts), parts.track_s, high=600.0)


def _lag(parts: Gathered, curve: np.ndarray) -> Check:
    scored_s, clear = parts.lags.scored_s, clarity(curve)
    name = "audio in time with movements"
    cause = "An unread offset between audio and movements, a stretched track, or audio of another utterance."
    peak = f"{parts.utterances} utterances, {scored_s:.1f} s; peak of R² {curve.max():.2f}, {clear:.1f} sd clear"
    if scored_s < 1.5 or (clear < 3.5 and scored_s < 10):
        return Check(name, None, "ms", -50.0, 50.0, f"too little speech for a clear peak: {peak}", cause)
    if clear < 7 and scored_s >= 10:
        return Check(name, np.nan, "ms", -50.0, 50.0, f"movements match the audio at no lag: {peak}", cause)
    lag = peak_ms(curve)
    return Check(name, lag, "ms", -50.0, 50.0, f"{_jackknife(parts)}positive: audio is late; {peak}", cause)


def _jackknife(parts: Gathered) -> str:
    """Return the lag's standard error as text, empty if there are too few groups of utterances."""
    error = parts.lags.jackknife()
    return f"± {error[0]:.1f} ms (jackknife over {error[1]} groups); " if error else ""


def _lag_growth(parts: Gathered, curves: Mapping[str, np.ndarray]) -> Check:
    name = LAG_GROWTH
    cause = "Tracks stretched or compressed to the length of the audio, or a slightly wrong rate."
    scored_s = parts.lags.scored_s
    speech = f"{parts.utterances} utterances, {scored_s:.1f} s"
    if parts.utterances < 5 or scored_s < 10:
        return Check(name, None, "ms", -30.0, 30.0, f"{speech}; needs 5 and 10 s", cause)
    early, late = curves["first third"], curves["last third"]
    if min(clarity(early), clarity(late)) < 4.5:
        return Check(name, None, "ms", -30.0, 30.0, f"no clear peaks in first and last thirds; {speech}", cause)
    first, last = peak_ms(early), peak_ms(late)
    detail = f"first thirds {first:.0f} ms, last thirds {last:.0f} ms; {speech}"
    return Check(name, last - first, "ms", -30.0, 30.0, detail, cause)


def _coverage(parts: Gathered) -> Check:
    cause = "A rate read too high, movements cut short, or an unread start."
    if not parts.loud:
        return Check("movements cover the speech", None, "", 0.9, None, "no sound", cause)
    detail = f"of {parts.loud / GRID_HZ:.1f} s of audio within 30 dB of its loudest"
    return Check("movements cover the speech", parts.covered / parts.loud, "", 0.9, None, detail, cause)


def _frequency(parts: Gathered) -> Check:
    """Check the root mean squared frequency of movements: sd of velocity over 2π sd of position."""
    frequency = np.sqrt(parts.velocity2 / parts.position2) / (2 * np.pi)
    finite = frequency[np.isfinite(frequency)]
    cause = "A rate that is wrong by a factor (200 Hz read as 500), or noise instead of movements."
    middle = float(np.median(finite)) if len(finite) else None
    detail = f"rms, below {MOVEMENT_CUTOFF_HZ:.0f} Hz, median of channels" if len(finite) else "nothing moves"
    return Check("frequency of movements", middle, "Hz", 1.1, 3.1, detail, cause)


def _speed(parts: Gathered) -> Check:
    cause = "A rate or a unit that is wrong by a factor, or jumps of lost sensors."
    counts = parts.speeds[parts.speeds.sum(axis=1) > 0]
    if not len(counts):
        return Check("speed of the tongue", None, "mm/s", 50.0, 480.0, "no sensor on the tongue", cause)
    shares = np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True)
    fastest = max(float(SPEED_EDGES_MM_S[1:][np.searchsorted(share, 0.99)]) for share in shares)
    return Check("speed of the tongue", fastest, "mm/s", 50.0, 480.0, "99th percentile, fastest sensor", cause)
