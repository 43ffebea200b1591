"""Lag of the audio relative to the movements, from sums over utterances.

The lag is the shift at which audio predicts movements best: ridge regression of the rates of change of all channels on
those of six cepstra, shifted against each other by up to 400 ms; R² is averaged over channels. A peak is judged by its
height above the part of the curve more than 120 ms away, in standard deviations of that part:

======================================  ===================  =========  ===============
sentences (built-in corpus, 2.9 s each)  lag, mean and sd     peak       other audio's
======================================  ===================  =========  ===============
1 (real ones: -29 to 11 ms)             3 ms, 2 to 5         3.6 to 24  1.6 to 6.3
2 (real ones: 5 and 4 ms)               3 to 4 ms, 2         8 to 42    2.0 to 5.9
5                                       3 to 4 ms, 1         18 to 55   1.9 to 5.6
10                                      3 ms, 1              22 to 79   1.6 to 7.3
======================================  ===================  =========  ===============

Hence a peak needs 7 if there are 10 s of speech, and 3.5 for less. For thirds of utterances, one sentence is too little
(sd 200 ms) and five are enough (sd 3 to 4 ms). A single bad file among many good ones is not detected here.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.fft import dct

from tractprobe.signals.channels import CHANNELS
from tractprobe.signals.track import Track

GRID_HZ = 100
LAGS_MS = np.arange(-400, 401, 1000 // GRID_HZ)

_CEPSTRA, _BANDS, _FOLDS = 6, 20, 8


@dataclass
class LagSums:
    """Sums for predicting movements y from audio x at each lag; both are rates of change, with zero mean.

    Attributes
    ----------
    n
        Number of frames.
    xx, xy, yy
        Sums of products: (lag, cepstrum, cepstrum), (lag, cepstrum, channel) and (channel,).
    """

    n: int = 0
    xx: np.ndarray = field(default_factory=lambda: np.zeros((len(LAGS_MS), _CEPSTRA, _CEPSTRA)))
    xy: np.ndarray = field(default_factory=lambda: np.zeros((len(LAGS_MS), _CEPSTRA, len(CHANNELS))))
    yy: np.ndarray = field(default_factory=lambda: np.zeros(len(CHANNELS)))

    def add(self, x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> None:
        """Add movements y (time, channel) at the frames ``rows``; beyond its ends the audio x does not change."""
        reach = len(LAGS_MS) // 2
        padded, moving = np.pad(x, ((reach, reach), (0, 0))), np.nan_to_num(y[rows])
        for index in range(len(LAGS_MS)):
            moved = padded[rows + index]
            self.xx[index] += moved.T @ moved
            self.xy[index] += moved.T @ moving
        self.yy += (moving**2).sum(axis=0)
        self.n += len(rows)

    def combined(self, other: "LagSums", sign: int = 1) -> "LagSums":
        return LagSums(*(getattr(self, name) + sign * getattr(other, name) for name in ("n", "xx", "xy", "yy")))

    def curve(self) -> Float[np.ndarray, " lag"]:
        """Return R² at each lag, averaged over channels that move."""
        live = self.yy > 0
        if not live.any() or not all(np.isfinite(sums).all() for sums in (self.xx, self.xy, self.yy)):
            return np.zeros(len(LAGS_MS))
        power = np.trace(self.xx, axis1=1, axis2=2)[:, None, None] / _CEPSTRA
        weights = np.linalg.solve(self.xx + (1e-3 * power + 1e-12) * np.eye(_CEPSTRA), self.xy)
        return ((weights * self.xy).sum(axis=1)[:, live] / self.yy[live]).mean(axis=1)


class Lags:
    """The sums kept for a speaker: for each third of utterances, and for groups of utterances (folds)."""

    def __init__(self):
        self.thirds = [LagSums() for _ in range(3)]
        self.folds = [LagSums() for _ in range(_FOLDS)]

    @property
    def scored_s(self) -> float:
        """Duration of the movements that were compared with audio."""
        return sum(third.n for third in self.thirds) / GRID_HZ

    def add(self, id_: str, bands: Float[np.ndarray, "time band"], smooth: Track) -> None:
        """Add an utterance: its ``log_bands`` and its low-passed movements."""
        if len(bands) < 3:
            return
        y = np.gradient(smooth.at(np.arange(len(bands)) / GRID_HZ), axis=0)
        rows = np.flatnonzero(np.isfinite(y).any(axis=1))
        if len(rows) < 3:
            return
        x = np.gradient(np.asarray(dct(bands, axis=1, norm="ortho"))[:, :_CEPSTRA], axis=0)
        place = (rows - rows[0]) * 3 // (rows[-1] - rows[0] + 1)
        whole = LagSums()
        for third, sums in enumerate(self.thirds):
            part = LagSums()
            part.add(x, y, rows[place == third])
            self.thirds[third], whole = sums.combined(part), whole.combined(part)
        fold = hashlib.sha256(id_.encode()).digest()[-1] % _FOLDS
        self.folds[fold] = self.folds[fold].combined(whole)

    def curves(self) -> dict[str, Float[np.ndarray, " lag"]]:
        """Return R² at each of LAGS_MS, for all and for the outer thirds of utterances."""
        first, _, last = self.thirds
        return {"all": _total(self.thirds).curve(), "first third": first.curve(), "last third": last.curve()}

    def jackknife(self) -> tuple[float, int] | None:
        """Return the lag's standard error (ms) and the number of groups, leaving out one group at a time."""
        folds = [fold for fold in self.folds if fold.n]
        if len(folds) < 3:
            return None
        total = _total(folds)
        lags = np.array([peak_ms(total.combined(fold, sign=-1).curve()) for fold in folds])
        return float(np.sqrt((len(folds) - 1) * lags.var())), len(folds)


def _total(parts: Iterable[LagSums]) -> LagSums:
    total = LagSums()
    for part in parts:
        total = total.combined(part)
    return total


def peak_ms(curve: np.ndarray) -> float:
    """Return the lag (ms) at a curve's maximum, by a parabola through it and its neighbours."""
    top = int(np.argmax(curve))
    if not 0 < top < len(curve) - 1:
        return float(LAGS_MS[top])
    left, middle, right = curve[top - 1 : top + 2]
    bend = left - 2 * middle + right
    return float(LAGS_MS[top] + (0.5 * (left - right) / bend if bend else 0) * 1000 / GRID_HZ)


def clarity(curve: np.ndarray) -> float:
    """Return the peak's height above the curve more than 120 ms away from it, in standard deviations of that part."""
    far = curve[np.abs(LAGS_MS - LAGS_MS[np.argmax(curve)]) > 120]
    return float((curve.max() - np.median(far)) / far.std()) if far.std() > 0 else 0.0


def log_bands(audio: np.ndarray, rate_hz: int) -> Float[np.ndarray, "time band"]:
    """Return the log power in mel bands of 25 ms windows centred at 0, 10, 20, ... ms."""
    width = max(int(0.025 * rate_hz), 8)
    window, padded = np.hanning(width), np.pad(audio, (width // 2, width))
    middles = np.arange(int(len(audio) / rate_hz * GRID_HZ)) * rate_hz // GRID_HZ
    filters, blocks = _mel_filters(width, rate_hz), []
    for first in range(0, len(middles), 1000):
        pieces = padded[middles[first : first + 1000, None] + np.arange(width)] * window
        blocks.append(np.abs(np.fft.rfft(pieces)) ** 2 @ filters)
    power = np.concatenate(blocks)
    return np.log(power + 1e-5 * power.max() + 1e-20)


def _mel_filters(width: int, rate_hz: int) -> Float[np.ndarray, "bin band"]:
    def mel(frequency_hz: np.ndarray) -> np.ndarray:
        return 1127 * np.log1p(frequency_hz / 700)

    lowest, highest = mel(np.array([80.0, min(7000.0, rate_hz / 2)]))
    edges = np.linspace(lowest, highest, _BANDS + 2)
    bins = mel(np.fft.rfftfreq(width, 1 / rate_hz))[:, None]
    rising, falling = (bins - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - bins) / np.diff(edges)[1:]
    return np.clip(np.minimum(rising, falling), 0, None)
