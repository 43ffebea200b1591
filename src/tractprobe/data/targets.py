"""Targets: what heads predict at an encoder's frames, in named sets of channels that are never averaged together.

==========  ==========================================================================================================
``ema``     the twelve positions, mm
``tract``   tract variables of these positions, mm; those with a palate for speakers whose trace the corpus has
``source``  pitch, voicing and loudness, of corpora that were prepared with ``source_channels=true``
==========  ==========================================================================================================
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.signals.channels import CHANNELS, UNIT
from tractprobe.signals.smoothing import Smoothing
from tractprobe.signals.track import Track
from tractprobe.signals.tract_variables import UNITS as TRACT_UNITS
from tractprobe.signals.tract_variables import VARIABLES, tract_variables
from tractprobe.signals.voicing import SOURCE_CHANNELS, SOURCE_UNITS, SourceTrack
from tractprobe.system.errors import ConfigError

SETS = {
    "ema": (CHANNELS, (UNIT,) * len(CHANNELS)),
    "tract": (VARIABLES, TRACT_UNITS),
    "source": (SOURCE_CHANNELS, SOURCE_UNITS),
}
"""Name of each set to its channels and their units."""

_F0, _VOICING, _LOUDNESS = range(len(SOURCE_CHANNELS))


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
    names
        Sets of channels; the first is the one that choices (of epochs, say) are made by.
    smoothing
        What happens to positions before they are sampled; pitch and loudness are low-passed alike, and no gap of theirs
        is bridged.
    """

    def __init__(self, names: Sequence[str] = ("ema",), smoothing: Smoothing | None = None):
        if isinstance(names, str) or not names or len(set(names)) < len(names) or set(names) - set(SETS):
            raise ConfigError(f"targets={names}: a list of {', '.join(SETS)}, each once at most")
        self.names, self.smoothing = tuple(names), smoothing or Smoothing()
        self.channels = tuple(
            Channel(name, channel, unit) for name in names for channel, unit in zip(*SETS[name], strict=True)
        )

    @property
    def first(self) -> slice:
        """The columns of the first set."""
        return slice(0, len(SETS[self.names[0]][0]))

    def at(
        self, corpus: PreparedCorpus, entry: Entry, times_s: Float[np.ndarray, " frame"]
    ) -> Float[np.ndarray, "frame channel"]:
        """Return an utterance's targets at given times, NaN where there are none and outside the audio.

        Raises
        ------
        CorpusError
            Source channels of a corpus that was prepared without them.
        """
        values = np.concatenate([self._set(name, corpus, entry, times_s) for name in self.names], axis=1)
        values[times_s >= entry.duration_s] = np.nan
        return values

    def _set(
        self, name: str, corpus: PreparedCorpus, entry: Entry, times_s: np.ndarray
    ) -> Float[np.ndarray, "frame channel"]:
        if name == "source":
            return _source_at(corpus.source_track(entry.id), self.smoothing, times_s)
        positions = self.smoothing(corpus.track(entry.id)).at(times_s)
        if name == "ema":
            return positions
        return tract_variables(positions, corpus.palates.get(entry.speaker.partition("/")[2]))


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
