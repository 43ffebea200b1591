"""Measured movements against those that a head of other corpora reads in the same audio: what only these can show.

A mirrored axis, exchanged sensors or a late clock look like speech in themselves. A head that learned elsewhere reads a
mirrored channel at a strongly negative r, an exchanged sensor where another one should be, and a late one best at
another lag. In: a head, and a prepared corpus. Out: r of each speaker's channels, and numbers for the audit, which
``corpora/audit/limits.toml`` judges.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.audit import Measured
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.signals.audio import RATE_HZ
from tractprobe.signals.channels import ARTICULATORS, CHANNELS
from tractprobe.signals.smoothing import Smoothing
from tractprobe.signals.track import Track

ENOUGH_S = 120.0
"""Seconds of speech that are compared of each speaker."""

REACH_S = 0.2
"""Movements are compared up to this much earlier and later."""

LEAST_S, READABLE_R = 10.0, 0.3
"""Less speech of a speaker, or a head that reads no channel with this r or with its negative, tell nothing."""

IN_TIME_MS = 40.0
"""Sensors are not told from each other in movements that are later or earlier than this."""

_AGAINST = "against the head"
NAMES = tuple(f"{what} {_AGAINST}" for what in ("time", "x", "y", "sensors", "channels", "places"))

Head = Callable[[np.ndarray, float], Track]
"""Takes a wave and its rate, and returns the movements in it, as an ``Inverter`` does."""


class Sums:
    """Sums of one speaker, for r of what was read against what was measured, at each lag and between channels."""

    def __init__(self, channels: Sequence[str], rate_hz: float):
        self.read = [channels.index(name) for name in CHANNELS if name in channels]
        self.names = [name for name in CHANNELS if name in channels]
        self.rate_hz, self.reach = rate_hz, round(REACH_S * rate_hz)
        count = 2 * self.reach + 1
        self.lagged = np.zeros((count, 6, len(self.names)))
        self.crossed = np.zeros((6, len(self.names), len(self.names)))
        self.seconds = 0.0

    def add(self, read: Track, measured: Track) -> None:
        """Add an utterance."""
        frames = np.arange(-self.reach, len(read.values) + self.reach)
        moved = measured.at(read.start_s + frames / self.rate_hz)[:, [CHANNELS.index(name) for name in self.names]]
        values = read.values[:, self.read]
        for lag in range(len(self.lagged)):
            self.lagged[lag] += _sums(values, moved[lag : lag + len(values)])
        own = moved[self.reach : self.reach + len(values)]
        for channel in range(len(self.names)):
            self.crossed[:, channel] += _sums(values, own[:, [channel]])
        self.seconds += len(values) / self.rate_hz

    def compared(self) -> "Compared":
        """Return the correlations."""
        lags_ms = np.arange(-self.reach, self.reach + 1) * 1000 / self.rate_hz
        lagged = _r(self.lagged.transpose(1, 0, 2))
        best = int(np.argmax(np.nan_to_num(lagged**2).sum(axis=1)))
        return Compared(tuple(self.names), self.seconds, lagged, float(lags_ms[best]), lagged[best], _r(self.crossed))


@dataclass(frozen=True, eq=False)
class Compared:
    """What became of one speaker's channels; r is NaN where one was not measured, or does not move.

    Attributes
    ----------
    channels
        Those that the head reads, in canonical order.
    lagged
        r of each channel at each lag (rows), from movements early to movements late.
    lag_ms, r
        The lag at which all channels fit best, and r of each channel there.
    crossed
        r of each measured channel (rows) with each channel that was read (columns), at no lag.
    """

    channels: tuple[str, ...]
    seconds: float
    lagged: Float[np.ndarray, "lag channel"]
    lag_ms: float
    r: Float[np.ndarray, " channel"]
    crossed: Float[np.ndarray, "channel channel"]

    def measured(self) -> list[Measured]:
        """Return the numbers for the audit."""
        best = max((abs(r) for _, r in self._known()), default=0.0)
        if self.seconds < LEAST_S:
            reason = f"{self.seconds:.1f} s of speech were compared; {LEAST_S:.0f} s needed"
        elif best < READABLE_R:
            reason = f"the head reads none of this speaker's channels: |r| up to {best:.2f}, {READABLE_R} needed"
        else:
            of_axes = (self._axis("x"), self._axis("y"))
            return [self._lag(), *of_axes, self._sensors(), self._channels(), self._places()]
        return [Measured(name, None, reason) for name in NAMES]

    def _axis(self, axis: str) -> Measured:
        """Return the mean r of an axis; a single channel may be read badly, or be the only one that is mirrored."""
        name = f"{axis} {_AGAINST}"
        r = {channel: value for channel, value in self._known() if channel.endswith(axis)}
        if len(r) < 2:
            return Measured(name, None, f"fewer than two channels in {axis}")
        return Measured(name, sum(r.values()) / len(r), f"mean of {_listed(r)}")

    def _sensors(self) -> Measured:
        """Return the sensor that is read worst, by the better one of its axes."""
        known = dict(self._known())
        r = {
            sensor: max(known.get(f"{sensor}_{axis}", -1.0) for axis in "xy")
            for sensor in ARTICULATORS
            if f"{sensor}_x" in known or f"{sensor}_y" in known
        }
        worst = min(r, key=r.__getitem__)
        median = float(np.median([value for _, value in self._known()]))
        detail = f"{worst}, r of its better axis; median of all channels {median:.2f}"
        return Measured(f"sensors {_AGAINST}", r[worst], detail)

    def _channels(self) -> Measured:
        r = dict(self._known())
        worst = min(r, key=r.__getitem__)
        return Measured(f"channels {_AGAINST}", r[worst], f"least: {worst}")

    def _places(self) -> Measured:
        """Return by how much each sensor follows its own place in the head better than any other's."""
        name = f"places {_AGAINST}"
        if abs(self.lag_ms) > IN_TIME_MS:
            return Measured(name, None, f"movements fit best {self.lag_ms:.0f} ms later; mend their clock first")
        places = [sensor for sensor in ARTICULATORS if {f"{sensor}_x", f"{sensor}_y"} <= set(self.channels)]
        columns = {sensor: [self.channels.index(f"{sensor}_{axis}") for axis in "xy"] for sensor in places}
        margins = {}
        for sensor in places:
            # Signs are another check's: a mirrored sensor still follows its own place.
            score = {place: float(np.abs(self.crossed[columns[sensor], columns[place]]).mean()) for place in places}
            if np.isfinite(score[sensor]) and len(places) > 1:
                other = max((place for place in places if place != sensor), key=score.__getitem__)
                detail = f"{sensor}: |r| {score[sensor]:.2f} in its own place, {score[other]:.2f} in that of {other}"
                margins[detail] = score[sensor] - score[other]
        if not margins:
            return Measured(name, None, "fewer than two sensors with both axes")
        worst = min(margins, key=margins.__getitem__)
        return Measured(name, margins[worst], worst)

    def _lag(self) -> Measured:
        there, here = (float(np.nanmean(np.abs(r))) for r in (self.r, self.lagged[len(self.lagged) // 2]))
        detail = f"mean |r| {there:.2f} there and {here:.2f} as prepared; positive: movements are late"
        return Measured(f"time {_AGAINST}", self.lag_ms, detail)

    def _known(self) -> Iterable[tuple[str, float]]:
        return [(name, float(r)) for name, r in zip(self.channels, self.r, strict=True) if np.isfinite(r)]


def compared(head: Head, corpus: PreparedCorpus, entries: Iterable[Entry]) -> dict[str, Compared]:
    """Return the comparison for each speaker, named as the audit does."""
    speakers: dict[str, Sums] = {}
    smooth = Smoothing()
    for entry in entries:
        read = head(corpus.audio(entry.id), RATE_HZ)
        speaker = entry.speaker.partition("/")[2]
        sums = speakers.setdefault(speaker, Sums(read.channels, read.rate_hz))
        sums.add(read, smooth(corpus.track(entry.id)))
    return {speaker: sums.compared() for speaker, sums in speakers.items()}


def sampled(entries: Iterable[Entry], enough_s: float = ENOUGH_S) -> list[Entry]:
    """Return utterances of each speaker that together last a given time; always the same, in the corpus's order."""
    kept, total = set[str](), dict[str, float]()
    entries = list(entries)
    for entry in sorted(entries, key=lambda entry: hashlib.sha256(entry.id.encode()).digest()):
        if total.get(entry.speaker, 0.0) < enough_s:
            total[entry.speaker] = total.get(entry.speaker, 0.0) + entry.duration_s
            kept.add(entry.id)
    return [entry for entry in entries if entry.id in kept]


def table(speakers: dict[str, Compared]) -> str:
    """Return r of each speaker's channels as text."""
    lines = [["speaker", "s", *CHANNELS]]
    for name, of in sorted(speakers.items()):
        r = dict(zip(of.channels, of.lagged[len(of.lagged) // 2], strict=True))
        cells = [f"{r[channel]:.2f}" if np.isfinite(r.get(channel, np.nan)) else "" for channel in CHANNELS]
        lines.append([name, f"{of.seconds:.0f}", *cells])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    padded = ([cell.rjust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join("  ".join(cells).rstrip() for cells in padded)


def _sums(x: Float[np.ndarray, "time channel"], y: Float[np.ndarray, "time #channel"]) -> np.ndarray:
    """Return n, Σx, Σy, Σx², Σy² and Σxy of each channel over the frames that have both."""
    both = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(both, x, 0.0), np.where(both, y, 0.0)
    return np.stack([part.sum(axis=0) for part in (both, x, y, x * x, y * y, x * y)])


def _r(sums: np.ndarray) -> np.ndarray:
    """Return correlations from sums, whose first axis is what ``_sums`` returns."""
    n, x, y, xx, yy, xy = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        var_x, var_y = xx / n - (x / n) ** 2, yy / n - (y / n) ** 2
        moves = (var_x > 1e-12 * xx / n) & (var_y > 1e-12 * yy / n)
        return np.where(moves, (xy / n - x * y / n**2) / np.sqrt(np.where(moves, var_x * var_y, 1)), np.nan)


def _listed(r: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in r.items())
