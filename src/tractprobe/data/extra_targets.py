"""Sensors that few corpora have: velum, upper incisor, corners of the lips, further pellets of the tongue."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.data.speech import speech_of
from tractprobe.signals.channels import UNIT
from tractprobe.signals.smoothing import Smoothing
from tractprobe.system.errors import ConfigError

_ON_THE_HEAD = {"bn"}  # the bridge of the nose only tells how well the head's movement was removed


@dataclass(frozen=True)
class ExtraSensors:
    """Positions of the further sensors of corpora, smoothed as movements are; NaN in a corpus that lacks them.

    Parameters
    ----------
    sensors
        Channels such as ``v_x``; ``None`` for all sensors of the corpora that ``over`` is given but the nose's, and but
        those that only babble has, where speech has any.
    """

    smoothing: Smoothing
    sensors: tuple[str, ...] | None = None
    name = "extra"

    def over(self, corpora: Sequence[PreparedCorpus]) -> "ExtraSensors":
        """Return the set with the sensors of some corpora; ConfigError if these have none."""
        if self.sensors is not None:
            return self
        by_name = {corpus.name: corpus for corpus in corpora}
        entries = [entry for corpus in corpora for entry in corpus.entries]
        kept = _sensors(by_name, speech_of(entries)) or _sensors(by_name, entries)
        if not kept:
            names = "+".join(corpus.name for corpus in corpora)
            raise ConfigError(f"targets=extra: {names} has no sensor besides the canonical six (and the nose's)")
        return replace(self, sensors=tuple(kept))

    @property
    def channels(self) -> tuple[str, ...]:
        return self.sensors or ()

    @property
    def units(self) -> tuple[str, ...]:
        return (UNIT,) * len(self.channels)

    @property
    def identity(self) -> Any:
        return {"version": 1, "sensors": list(self.channels)}

    @property
    def lost_together(self) -> tuple[tuple[int, ...], ...]:
        """A sensor's x and y have the same frames."""
        numbered = groupby(enumerate(self.channels), key=lambda one: _sensor(one[1]))
        return tuple(tuple(number for number, _ in group) for _, group in numbered)

    def at(
        self, corpus: PreparedCorpus, entry: Entry, times_s: Float[np.ndarray, " frame"]
    ) -> Float[np.ndarray, "frame channel"]:
        """Return the smoothed positions."""
        if self.sensors is None:
            raise ValueError("sensors of no corpora yet: Targets(...).over(corpora) gives them")
        values = np.full((len(times_s), len(self.sensors)), np.nan)
        track = corpus.extra_track(entry.id)
        if track is not None:
            sampled = self.smoothing(track).at(times_s)
            for column, channel in enumerate(self.sensors):
                if channel in track.channels:
                    values[:, column] = sampled[:, track.channels.index(channel)]
        return values


def _sensors(corpora: Mapping[str, PreparedCorpus], entries: Iterable[Entry]) -> list[str]:
    """Return the channels of some utterances, but for those on the head."""
    found = {channel for entry in entries for channel in corpora[entry.corpus].extra_channels(entry.id)}
    return sorted(channel for channel in found if _sensor(channel) not in _ON_THE_HEAD)


def _sensor(channel: str) -> str:
    return channel.rpartition("_")[0]
