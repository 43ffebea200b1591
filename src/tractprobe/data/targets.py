"""Targets: what heads predict at an encoder's frames, in named sets of channels that are never averaged together.

============  ========================================================================================================
``ema``       the twelve positions, mm
``tract``     tract variables of these positions, mm; those with a palate for speakers whose trace the corpus has
``source``    pitch, voicing and loudness, of corpora that were prepared with ``source_channels=true``
``phones``    the phone, one channel for each phone of the corpora, in IPA (``phone_targets``)
``features``  its manner, voicing, place, height, backness and rounding, one channel for each value (``phone_targets``)
``rate``      phones and syllable nuclei per second around a frame (``rate_targets``)
``extra``     further sensors, such as the velum's, of corpora that have them, mm (``extra_targets``)
``control``   fixed random positions for each third of each phone, mm: a control task (``control_targets``)
============  ========================================================================================================

Another set is a class that follows ``TargetSet``. ``Targets`` takes an instance wherever it takes a name; an entry in
``SETS`` gives it a name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.data.control_targets import Control
from tractprobe.data.extra_targets import ExtraSensors
from tractprobe.data.phone_targets import Features, Phones
from tractprobe.data.rate_targets import SpeechRate
from tractprobe.data.target_set import DependsOnCorpora, TargetSet
from tractprobe.signals.channels import CHANNELS, UNIT
from tractprobe.signals.smoothing import Smoothing
from tractprobe.signals.track import Track
from tractprobe.signals.tract_variables import UNITS as TRACT_UNITS
from tractprobe.signals.tract_variables import VARIABLES, tract_variables
from tractprobe.signals.voicing import SOURCE_CHANNELS, SOURCE_UNITS, SourceTrack
from tractprobe.system.errors import ConfigError

_F0, _VOICING, _LOUDNESS = range(len(SOURCE_CHANNELS))


@dataclass(frozen=True)
class Positions:
    """The articulators' positions."""

    smoothing: Smoothing
    name, channels, units, identity = "ema", CHANNELS, (UNIT,) * len(CHANNELS), None

    def at(
        self, corpus: PreparedCorpus, entry: Entry, times_s: Float[np.ndarray, " frame"]
    ) -> Float[np.ndarray, "frame channel"]:
        """Return the smoothed positions."""
        return self.smoothing(corpus.track(entry.id)).at(times_s)


@dataclass(frozen=True)
class TractVariables:
    """Tract variables of the smoothed positions."""

    smoothing: Smoothing
    name, channels, units, identity = "tract", VARIABLES, TRACT_UNITS, None

    def at(
        self, corpus: PreparedCorpus, entry: Entry, times_s: Float[np.ndarray, " frame"]
    ) -> Float[np.ndarray, "frame channel"]:
        """Return the variables; those with a palate are NaN for a speaker without one."""
        positions = self.smoothing(corpus.track(entry.id)).at(times_s)
        return tract_variables(positions, corpus.palates.get(entry.speaker.partition("/")[2]))


@dataclass(frozen=True)
class Source:
    """Pitch and loudness, low-passed like positions but with no gap bridged, and voicing as it is."""

    smoothing: Smoothing
    name, channels, units, identity = "source", SOURCE_CHANNELS, SOURCE_UNITS, None

    def at(
        self, corpus: PreparedCorpus, entry: Entry, times_s: Float[np.ndarray, " frame"]
    ) -> Float[np.ndarray, "frame channel"]:
        """Return the channels; CorpusError if the corpus was prepared without them."""
        return _source_at(corpus.source_track(entry.id), self.smoothing, times_s)


SETS: dict[str, Callable[[Smoothing], TargetSet]] = {
    "ema": Positions,
    "tract": TractVariables,
    "source": Source,
    "phones": lambda _: Phones(),
    "features": lambda _: Features(),
    "rate": lambda _: SpeechRate(),
    "extra": ExtraSensors,
    "control": Control,
}
"""Name of each set to what makes it, given what happens to movements before they are sampled."""


@dataclass(frozen=True)
class Channel:
    """One column of the targets."""

    target: str
    name: str
    unit: str


class Targets:
    """Reads the targets of an utterance at given times.

    Parameters
    ----------
    sets
        Sets of channels, by name or as they are; choices (of epochs, for instance) are made by the first.
    smoothing
        What happens to movements before they are sampled.
    """

    def __init__(self, sets: Sequence[str | TargetSet] = ("ema",), smoothing: Smoothing | None = None):
        self.smoothing = smoothing or Smoothing()
        self.sets = _made(sets, self.smoothing)
        self.names = tuple(target_set.name for target_set in self.sets)
        self.channels = tuple(
            Channel(target_set.name, channel, unit)
            for target_set in self.sets
            for channel, unit in zip(target_set.channels, target_set.units, strict=True)
        )

    def over(self, corpora: Sequence[PreparedCorpus]) -> "Targets":
        """Return the targets with the channels of those sets that depend on corpora; ConfigError if these have none."""
        sets = [each.over(corpora) if isinstance(each, DependsOnCorpora) else each for each in self.sets]
        return Targets(sets, self.smoothing)

    @property
    def as_they_are(self) -> Bool[np.ndarray, " channel"]:
        """Which channels are yes or no, and so are not standardised per speaker."""
        return np.array([getattr(each, "is_binary", False) for each in self.sets for _ in each.channels], bool)

    @property
    def lost_together(self) -> tuple[tuple[int, ...], ...]:
        """Channels that may be lost together, as x and y of a sensor: as sets say, otherwise each two neighbours."""
        found: list[tuple[int, ...]] = []
        neighbours: list[int] = []
        first = 0
        for each in self.sets:
            own = range(first, first + len(each.channels))
            if blocks := getattr(each, "lost_together", None):
                found += [*_in_pairs(neighbours), *(tuple(own[channel] for channel in block) for block in blocks)]
                neighbours = []
            else:
                neighbours += own
            first = own.stop
        return (*found, *_in_pairs(neighbours))

    @property
    def first(self) -> slice:
        """The columns of the first set."""
        return slice(0, len(self.sets[0].channels))

    @property
    def identity(self) -> list[Any]:
        """What the values depend on besides the corpora."""
        further = {each.name: each.identity for each in self.sets if each.identity is not None}
        return [list(self.names), self.smoothing.identity, *([further] if further else [])]

    def at(
        self, corpus: PreparedCorpus, entry: Entry, times_s: Float[np.ndarray, " frame"]
    ) -> Float[np.ndarray, "frame channel"]:
        """Return an utterance's targets at given times, NaN where there are none and outside the audio.

        Raises
        ------
        CorpusError
            Source channels are asked for, and the corpus was prepared without them.
        """
        values = np.concatenate([each.at(corpus, entry, times_s) for each in self.sets], axis=1)
        values[times_s >= entry.duration_s] = np.nan
        return values


def _in_pairs(channels: Sequence[int]) -> list[tuple[int, ...]]:
    return [tuple(channels[first : first + 2]) for first in range(0, len(channels), 2)]


def _made(sets: Any, smoothing: Smoothing) -> tuple[TargetSet, ...]:
    """Return target sets, having made those given by name; ConfigError if a name is unknown or given twice."""
    asked = list(sets) if isinstance(sets, Sequence) and not isinstance(sets, str) else []
    if not all(each in SETS if isinstance(each, str) else isinstance(each, TargetSet) for each in asked):
        asked = []
    made = [SETS[each](smoothing) if isinstance(each, str) else each for each in asked]
    if not made or len({each.name for each in made}) < len(made):
        raise ConfigError(f"targets={sets}: expected a list of {', '.join(SETS)}, each at most once")
    return tuple(made)


def _source_at(source: SourceTrack, smoothing: Smoothing, times_s: np.ndarray) -> Float[np.ndarray, "frame 3"]:
    """Return pitch and loudness low-passed, and voicing, which is yes or no, as it is at the nearest time."""
    smooth, names = [_F0, _LOUDNESS], ("f0_st", "loudness_db")
    track = Track(source.values[:, smooth], source.rate_hz, source.start_s, names)
    values = np.full((len(times_s), len(SOURCE_CHANNELS)), np.nan)
    values[:, smooth] = replace(smoothing, max_gap_s=0.0)(track).at(times_s)
    nearest = np.round((times_s - source.start_s) * source.rate_hz).astype(int)
    inside = (nearest >= 0) & (nearest < len(source.values))
    values[inside, _VOICING] = source.values[nearest[inside], _VOICING]
    return values
