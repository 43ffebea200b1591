"""The voice source: pitch, voicing and loudness at equal steps, given, from a laryngograph or estimated from the audio.

These channels are targets in addition to the articulators' and never part of their score. The glottis of a synthesiser
is used as given. Otherwise pitch comes from WORLD's Harvest (pyworld), which finds one nearly everywhere; the folds
count as vibrating where the signal repeats itself after that period and is not far below its own loudest part. The
signal of a laryngograph, which contains nothing but the folds, is processed in the same way. Loudness is always the
audio's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from tractprobe.system.errors import ConfigError

SOURCE_CHANNELS = ("f0_st", "voicing", "loudness_db")
SOURCE_UNITS = ("semitone re 100 Hz", "1", "dB re full scale")
SOURCE_STEP_S = 0.005
REFERENCE_HZ = 100.0
LOUDNESS_WINDOW_S = 0.025
LOUDNESS_FLOOR_DB = -96.0  # one step of 16 bits

Origin = Literal["given", "laryngograph", "estimated"]
Signal = Float[np.ndarray, " sample"]

_MIN_RATE_HZ = 4000
_HARVEST_RATE_HZ = 4000  # as accurate as at 16 kHz, and twice as fast
_BLOCK_S, _MARGIN_S = 20.0, 0.5  # Harvest holds 1000 frames a second for each of its 100 filters
_SHORTEST_S = 0.2  # shorter signals are padded for Harvest
_MIN_VOICED_S = 0.015
_POINTS = 64
_ENVELOPE_HZ = 1000.0
# Tuned on synthetic voices in noise, and on the laryngograph of one MOCHA-TIMIT sentence.
_MIN_CORRELATION = 0.7
_MIN_LEVEL_DB = {"estimated": -30.0, "laryngograph": -22.0}


@dataclass(frozen=True, eq=False)
class SourceTrack:
    """Pitch, voicing and loudness over time.

    Attributes
    ----------
    values
        One column per channel: ``f0_st``, semitones above 100 Hz, NaN where the folds do not vibrate; ``voicing``, 1
        where they vibrate and 0 where they do not; ``loudness_db``, RMS within 25 ms, 0 dB for a constant at full scale
        (a sine at full scale has -3.01 dB), at least -96 dB. The first two are NaN after the end of the laryngograph's
        signal.
    rate_hz
        Frames per second.
    start_s
        Time of the first frame, in seconds from the start of the audio.
    origin
        Where pitch and voicing come from; ``given`` means known exactly, such as from the glottis of a synthesiser.
    """

    values: Float[np.ndarray, "time 3"]
    rate_hz: float
    start_s: float
    origin: Origin

    @property
    def times_s(self) -> Float[np.ndarray, " time"]:
        """Time of each frame, in seconds from the start of the audio."""
        return self.start_s + np.arange(len(self.values)) / self.rate_hz


def source_track(
    audio: Signal,
    rate_hz: int = 16000,
    larynx: Float[np.ndarray, " larynx_sample"] | None = None,
    larynx_rate_hz: int = 0,
    step_s: float = SOURCE_STEP_S,
    lowest_hz: float = 60.0,
    highest_hz: float = 500.0,
    f0_hz: Float[np.ndarray, " f0_frame"] | None = None,
    f0_rate_hz: float = 0.0,
) -> SourceTrack:
    """Measure pitch, voicing and loudness at 0, ``step_s``, 2 ``step_s``, ... within the audio.

    Parameters
    ----------
    audio
        Samples, full scale 1.
    larynx, larynx_rate_hz
        The laryngograph's signal from the start of the audio; a constant signal counts as missing.
    lowest_hz, highest_hz
        Range in which pitch is searched for.
    f0_hz, f0_rate_hz
        The known f0 from the start of the audio, 0 where the folds do not vibrate; pitch and voicing are then taken
        from nothing else.
    """
    _check(audio, rate_hz, step_s, (lowest_hz, highest_hz))
    times_s = np.arange(int(np.ceil(len(audio) / rate_hz / step_s - 1e-9))) * step_s
    values = np.full((len(times_s), len(SOURCE_CHANNELS)), np.nan)
    values[:, 2] = _loudness_db(_above(audio, rate_hz, lowest_hz), rate_hz, times_s)
    if f0_hz is not None:
        values[:, :2] = _given(f0_hz, f0_rate_hz, times_s)
        return SourceTrack(values, 1 / step_s, 0.0, "given")
    origin, signal, signal_rate_hz = "estimated", audio, rate_hz
    if larynx is not None and len(larynx) and np.ptp(larynx) > 0:
        _check(larynx, larynx_rate_hz, step_s, (lowest_hz, highest_hz))
        origin, signal, signal_rate_hz = "laryngograph", larynx, larynx_rate_hz
    covered = times_s < len(signal) / signal_rate_hz
    pitch_hz = _pitch(signal, signal_rate_hz, times_s[covered], (lowest_hz, highest_hz), _MIN_LEVEL_DB[origin])
    values[covered, 0] = _semitones(pitch_hz)
    values[covered, 1] = np.isfinite(pitch_hz)
    return SourceTrack(values, 1 / step_s, 0.0, origin)


def _check(signal: np.ndarray, rate_hz: float, step_s: float, range_hz: tuple[float, float]) -> None:
    if not (rate_hz >= _MIN_RATE_HZ and len(signal) and np.isfinite(signal).all()):
        raise ValueError(
            f"{len(signal)} samples at {rate_hz} Hz; expected one or more, all finite, at {_MIN_RATE_HZ} Hz or more"
        )
    if not (0.001 <= step_s <= 1 and 40 <= range_hz[0] < range_hz[1] <= 800):
        given = f"a step of {step_s} s and pitch from {range_hz[0]} to {range_hz[1]} Hz"
        raise ValueError(f"{given}; expected a step of 0.001 to 1 s and a range within 40 to 800 Hz")


def _given(
    f0_hz: Float[np.ndarray, " f0_frame"], f0_rate_hz: float, times_s: Float[np.ndarray, " time"]
) -> Float[np.ndarray, "time 2"]:
    """Return known pitch and voicing at other times: voicing of the nearest frame, pitch between voiced neighbours."""
    clock_s = np.arange(len(f0_hz)) / f0_rate_hz
    nearest = np.round(times_s * f0_rate_hz).astype(int)
    covered = nearest < len(f0_hz)
    voiced = np.zeros(len(times_s), bool)
    voiced[covered] = f0_hz[nearest[covered]] > 0
    pitch_and_voicing = np.full((len(times_s), 2), np.nan)
    pitch_and_voicing[covered, 1] = voiced[covered]
    if voiced.any():
        pitch_and_voicing[voiced, 0] = np.interp(times_s[voiced], clock_s[f0_hz > 0], _semitones(f0_hz[f0_hz > 0]))
    return pitch_and_voicing


def _semitones(f0_hz: Float[np.ndarray, " time"]) -> Float[np.ndarray, " time"]:
    return 12 * np.log2(f0_hz / REFERENCE_HZ)


def _pitch(
    signal: np.ndarray, rate_hz: int, times_s: np.ndarray, range_hz: tuple[float, float], min_level_db: float
) -> Float[np.ndarray, " time"]:
    """Return f0 in Hz, NaN where nothing vibrates."""
    signal = _above(signal, rate_hz, range_hz[0])
    peak = np.abs(signal).max()
    f0_hz = np.full(len(times_s), np.nan)
    if peak < 1e-9:
        return f0_hz
    signal = signal / peak
    for frames, start, stop in _blocks(len(signal), rate_hz, times_s):
        f0_hz[frames] = _harvest(signal[start:stop], rate_hz, times_s[frames] - start / rate_hz, range_hz)
    below = _below(signal, rate_hz, max(_ENVELOPE_HZ, 2 * range_hz[1]))
    correlation, level_db = _periodicity(below, rate_hz, times_s, f0_hz)
    voiced = (correlation >= _MIN_CORRELATION) & (
        level_db >= _loudness_db(below, rate_hz, times_s).max() + min_level_db
    )
    return np.where(_lasting(voiced, times_s), f0_hz, np.nan)


def _blocks(samples: int, rate_hz: int, times_s: np.ndarray) -> Iterator[tuple[np.ndarray, int, int]]:
    """Yield the frames of each 20 s, and the samples from a margin before to a margin after them."""
    for number in range(int(np.ceil(samples / rate_hz / _BLOCK_S))):
        frames = np.flatnonzero((times_s >= number * _BLOCK_S) & (times_s < (number + 1) * _BLOCK_S))
        start = max(0, round((number * _BLOCK_S - _MARGIN_S) * rate_hz))
        yield frames, start, min(samples, round(((number + 1) * _BLOCK_S + _MARGIN_S) * rate_hz))


def _harvest(signal: np.ndarray, rate_hz: int, times_s: np.ndarray, range_hz: tuple[float, float]) -> np.ndarray:
    """Return f0 in Hz at given times, NaN where Harvest finds no pitch."""
    import soxr

    try:
        import pyworld
    except ImportError:
        raise ConfigError("voice source channels need pyworld: pip install 'tractprobe[source]'") from None

    padding = max(0, int(_SHORTEST_S * rate_hz) - len(signal))
    slow = soxr.resample(np.pad(signal, (0, padding)), rate_hz, _HARVEST_RATE_HZ, quality="HQ")
    f0_hz, clock_s = pyworld.harvest(slow, _HARVEST_RATE_HZ, *range_hz, frame_period=1.0)
    nearest = np.clip(np.round(times_s / (clock_s[1] - clock_s[0])).astype(int), 0, len(f0_hz) - 1)
    return np.where(f0_hz[nearest] > 0, f0_hz[nearest], np.nan)


def _periodicity(
    signal: np.ndarray, rate_hz: int, times_s: np.ndarray, f0_hz: np.ndarray
) -> tuple[Float[np.ndarray, " time"], Float[np.ndarray, " time"]]:
    """Correlate the signal half a period before each time with that half a period after it; also return its level."""
    correlation, level_db = np.zeros(len(times_s)), np.full(len(times_s), -np.inf)
    pitched = np.flatnonzero(np.isfinite(f0_hz))
    period_s = 1 / f0_hz[pitched, None]
    around_s = (np.arange(_POINTS) / _POINTS - 0.5) * np.maximum(period_s, 0.0075)
    clock_s = np.arange(len(signal)) / rate_hz
    early, late = (
        np.interp(times_s[pitched, None] + around_s + shift * period_s, clock_s, signal, left=0, right=0)
        for shift in (-0.5, 0.5)
    )
    energy = (early**2).sum(axis=1), (late**2).sum(axis=1)
    correlation[pitched] = (early * late).sum(axis=1) / np.sqrt(np.maximum(energy[0] * energy[1], 1e-30))
    level_db[pitched] = 10 * np.log10(np.maximum((energy[0] + energy[1]) / (2 * _POINTS), 1e-30))
    return correlation, level_db


def _lasting(voiced: Bool[np.ndarray, " time"], times_s: np.ndarray) -> Bool[np.ndarray, " time"]:
    """Drop voiced stretches of less than 15 ms: fewer than one to four cycles."""
    lasting = voiced.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], voiced, [False]]).astype(np.int8)))
    step_s = times_s[1] - times_s[0] if len(times_s) > 1 else _MIN_VOICED_S
    for start, stop in edges.reshape(-1, 2):
        if (stop - start) * step_s < _MIN_VOICED_S - 1e-9:
            lasting[start:stop] = False
    return lasting


def _loudness_db(signal: np.ndarray, rate_hz: int, times_s: np.ndarray) -> Float[np.ndarray, " time"]:
    """Return the RMS of the samples within 12.5 ms of each time."""
    energy = np.concatenate([[0.0], np.cumsum(signal**2)])
    starts = np.round((times_s - LOUDNESS_WINDOW_S / 2) * rate_hz).astype(int).clip(0, len(signal) - 1)
    stops = np.round((times_s + LOUDNESS_WINDOW_S / 2) * rate_hz).astype(int).clip(1, len(signal))
    power = (energy[stops] - energy[starts]) / (stops - starts)
    return 10 * np.log10(np.maximum(power, 10 ** (LOUDNESS_FLOOR_DB / 10)))


def _above(signal: np.ndarray, rate_hz: int, lowest_hz: float) -> np.ndarray:
    """Remove the constant part and what is slower than the folds, such as the movement of the larynx itself."""
    return _filtered(signal, rate_hz, 0.7 * lowest_hz, "highpass")


def _below(signal: np.ndarray, rate_hz: int, highest_hz: float) -> np.ndarray:
    return _filtered(signal, rate_hz, highest_hz, "lowpass")


def _filtered(signal: np.ndarray, rate_hz: int, cutoff_hz: float, kind: Literal["lowpass", "highpass"]) -> np.ndarray:
    from scipy.signal import butter, sosfiltfilt

    sections = butter(2, cutoff_hz, kind, fs=rate_hz, output="sos")
    return sosfiltfilt(sections, np.asarray(signal, np.float64), padlen=min(rate_hz // 20, len(signal) - 1))
