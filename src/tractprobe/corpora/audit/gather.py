"""One pass over a speaker's utterances, keeping sums and a limited number of random samples.

No utterance is kept, except for the beginning of one example, so a corpus of any length fits in memory.
"""

import hashlib
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from tractprobe.corpora.audit.lag import GRID_HZ, Lags, log_bands
from tractprobe.corpora.audit.result import Example
from tractprobe.corpora.audit.stuck import STUCK_S, filled
from tractprobe.corpora.utterance import Frame, Utterance
from tractprobe.signals.channels import ARTICULATORS, CHANNELS
from tractprobe.signals.track import Track
from tractprobe.signals.tract_variables import VARIABLES, tract_variables

MOVEMENT_CUTOFF_HZ = 15.0
SAMPLE = 2000
"""Number of frames, and of phones of each kind, that are kept for a speaker."""
EXAMPLE_S = 6.0
SPEED_EDGES_MM_S = np.arange(0.0, 3001.0, 5.0)
TONGUE, STILL = ("td", "tb", "tt"), ("ui", "bn", "re", "le")

IsKind = Callable[[str, str], bool]
"""Takes a phone set and a label in it, and returns whether the phone is of a kind."""


class Sample:
    """At most ``size`` items drawn uniformly: those with the smallest keys, random but fixed by utterance ids."""

    def __init__(self, size: int = SAMPLE):
        self.size, self.keys, self.items = size, np.zeros(0), []

    def add(self, id_: str, items: list) -> None:
        self.keys = np.concatenate([self.keys, _random(id_, 0).random(len(items))])
        self.items = self.items + items
        if len(self.items) > self.size:
            kept = np.sort(np.argpartition(self.keys, self.size)[: self.size])
            self.keys, self.items = self.keys[kept], [self.items[index] for index in kept]


class Gathered:
    """Everything that is kept for one speaker."""

    def __init__(self, sample: int = SAMPLE, stuck_s: float = STUCK_S):
        self.stuck_s = stuck_s
        self.languages: set[str] = set()
        self.frames: set[Frame] = set()
        self.lowest_rate_hz, self.highest_rate_hz = np.inf, 0.0
        self.utterances, self.duration_s, self.track_s, self.frame_count = 0, 0.0, 0.0, 0
        self.valid = np.zeros(len(CHANNELS))
        self.filled, self.present = np.zeros(len(ARTICULATORS)), np.zeros(len(ARTICULATORS))
        self.cloud, self.closed, self.open = Sample(sample), Sample(sample), Sample(sample)
        self.n, self.products, self.squares = (np.zeros((len(CHANNELS), len(CHANNELS))) for _ in range(3))
        self.still: dict[str, tuple[float, int]] = {}
        self.velocity2, self.position2 = np.zeros(len(CHANNELS)), np.zeros(len(CHANNELS))
        self.speeds = np.zeros((len(TONGUE), len(SPEED_EDGES_MM_S) - 1), dtype=np.int64)
        self.loud = self.covered = 0
        self.lags = Lags()
        self.example: tuple[tuple, Example] | None = None

    def add(self, utterance: Utterance, bilabial: IsKind, silence: IsKind) -> None:
        """Add an utterance to every sum and sample."""
        track, within = utterance.measured, _within(utterance)
        self.languages.add(utterance.language)
        self.frames.add(utterance.frame)
        self.lowest_rate_hz = min(self.lowest_rate_hz, track.rate_hz)
        self.highest_rate_hz = max(self.highest_rate_hz, track.rate_hz)
        self.utterances += 1
        self.duration_s += utterance.duration_s
        self.track_s += track.end_s - track.start_s
        self.frame_count += int(within.sum())
        self.valid += track.valid[within].sum(axis=0)
        for sensor in range(len(ARTICULATORS)):
            positions = track.values[:, 2 * sensor : 2 * sensor + 2]
            self.filled[sensor] += filled(positions, track.rate_hz, self.stuck_s).sum()
            self.present[sensor] += np.isfinite(positions).all(axis=1).sum()
        smooth = _smoothed(track)
        self._add_positions(utterance, within)
        self._add_movements(smooth)
        self._add_references(utterance)
        self._add_phones(utterance, smooth, bilabial, silence)
        self._add_audio(utterance, smooth)
        self._add_example(utterance)

    def positions(self) -> tuple[tuple[str, ...], Float[np.ndarray, "frame all_channels"]]:
        """Return channels and the sampled positions (mm); utterances may differ in their extra channels."""
        rows = self.cloud.items
        extra = sorted({name for names, _ in rows for name in names} - set(CHANNELS))
        channels = (*CHANNELS, *extra)
        place = {name: index for index, name in enumerate(channels)}
        cloud = np.full((len(rows), len(channels)), np.nan)
        for row, (names, values) in zip(cloud, rows, strict=True):
            row[[place[name] for name in names]] = values
        return channels, cloud

    def _add_positions(self, utterance: Utterance, within: np.ndarray) -> None:
        names = (*CHANNELS, *utterance.extra)
        values = np.column_stack([utterance.measured.values, *utterance.extra.values()])[within]
        values = values[np.isfinite(values).any(axis=1)]
        self.cloud.add(utterance.id, [(names, row.copy()) for row in _thinned(utterance.id, values)])

    def _add_movements(self, smooth: Track) -> None:
        values = smooth.values - _mean(smooth.values)
        present, zeroed = np.isfinite(values).astype(float), np.nan_to_num(values)
        self.n += present.T @ present
        self.products += zeroed.T @ zeroed
        self.squares += (zeroed**2).T @ present
        if len(values) < 2:
            return
        velocity = np.gradient(smooth.values, axis=0) * smooth.rate_hz
        moving = np.isfinite(velocity)
        self.velocity2 += (np.where(moving, velocity, 0) ** 2).sum(axis=0)
        self.position2 += (np.where(moving, zeroed, 0) ** 2).sum(axis=0)
        for index, sensor in enumerate(TONGUE):
            x, y = (velocity[:, CHANNELS.index(f"{sensor}_{axis}")] for axis in "xy")
            speed = np.hypot(x, y)
            clipped = np.clip(speed[np.isfinite(speed)], 0, SPEED_EDGES_MM_S[-1])
            self.speeds[index] += np.histogram(clipped, SPEED_EDGES_MM_S)[0]

    def _add_references(self, utterance: Utterance) -> None:
        names = [name for name in utterance.extra if name.split("_")[0] in STILL]
        if not names or utterance.frame not in ("occlusal", "head"):
            return
        track = utterance.measured
        values = np.column_stack([utterance.extra[name] for name in names])
        smooth = _smoothed(Track(values, track.rate_hz, track.start_s, tuple(names))).values
        for name, column in zip(names, (smooth - _mean(smooth)).T, strict=True):
            column = column[np.isfinite(column)]
            total, n = self.still.get(name, (0.0, 0))
            self.still[name] = (total + float((column**2).sum()), n + len(column))

    def _add_phones(self, utterance: Utterance, smooth: Track, bilabial: IsKind, silence: IsKind) -> None:
        aperture, times_s = tract_variables(smooth.values)[:, VARIABLES.index("LA")], smooth.times_s
        closed, other = [], []
        for phone in utterance.phones:
            start, stop = np.searchsorted(times_s, [phone.start_s, phone.end_s])
            inside = aperture[start:stop]
            inside = inside[np.isfinite(inside)]
            if len(inside) and not silence(utterance.phone_set, phone.label):
                kind = closed if bilabial(utterance.phone_set, phone.label) else other
                kind.append(float(np.median(inside)))
        self.closed.add(utterance.id, closed)
        self.open.add(utterance.id, other)

    def _add_audio(self, utterance: Utterance, smooth: Track) -> None:
        bands = log_bands(utterance.audio, utterance.audio_rate_hz)
        times_s = np.arange(len(bands)) / GRID_HZ
        power = np.logaddexp.reduce(bands, axis=1)
        loud = power > np.percentile(power, 95) - np.log(1000)
        self.loud += int(loud.sum())
        self.covered += int((loud & (times_s >= smooth.start_s) & (times_s < smooth.end_s)).sum())
        self.lags.add(utterance.id, bands, smooth)

    def _add_example(self, utterance: Utterance) -> None:
        """Keep the most informative utterance: labelled, nearest to 3 s, with the fewest samples lost."""
        track, rate_hz = utterance.measured, utterance.audio_rate_hz
        rank = (not utterance.phones, round(abs(utterance.duration_s - 3)), -track.valid.mean().round(1), utterance.id)
        if self.example is None or rank < self.example[0]:
            end = max(int(np.searchsorted(track.times_s, EXAMPLE_S)), 1)
            shown = Track(track.values[:end].copy(), track.rate_hz, track.start_s)
            audio = utterance.audio[: int(EXAMPLE_S * rate_hz)].copy()
            phones = tuple(phone for phone in utterance.phones if phone.start_s < EXAMPLE_S)
            self.example = (rank, Example(utterance.id, utterance.text, audio, rate_hz, shown, phones))


def _within(utterance: Utterance) -> Bool[np.ndarray, " time"]:
    times_s = utterance.measured.times_s
    return (times_s >= 0) & (times_s < utterance.duration_s)


def _smoothed(track: Track) -> Track:
    """Bridge short gaps and remove what is faster than speech movements, so that noise does not count as motion."""
    return track.bridged().lowpassed(MOVEMENT_CUTOFF_HZ)


def _mean(values: np.ndarray) -> np.ndarray:
    """Return each column's mean over finite values; 0 if it has none."""
    finite = np.isfinite(values)
    return np.where(finite, values, 0).sum(axis=0) / np.maximum(finite.sum(axis=0), 1)


def _thinned(id_: str, rows: np.ndarray) -> np.ndarray:
    """Return at most SAMPLE rows, because an utterance may be an hour long."""
    if len(rows) <= SAMPLE:
        return rows
    return rows[np.sort(_random(id_, 1).choice(len(rows), SAMPLE, replace=False))]


def _random(id_: str, stream: int) -> np.random.Generator:
    """Return a random generator that depends only on the utterance's id, not on the order of utterances."""
    digest = hashlib.sha256(id_.encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[8 * stream : 8 * stream + 8], "big"))
