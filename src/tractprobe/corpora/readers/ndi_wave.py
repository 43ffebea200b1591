"""A laboratory's own recordings with the NDI Wave: ``<id>.tsv`` in either of its dialects, with ``<id>.wav``.

Where each sensor was glued, and which of the device's axes point to the front and up, differs between laboratories:
both are settings without a default. Times are those of the file's own clock, in seconds from the start of the WAV file.
Labels are read from ``<id>.TextGrid`` if it exists.
"""

import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast, get_args

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.formats.ndi import WaveRecording, read_wave
from tractprobe.corpora.formats.textgrid import read_textgrid
from tractprobe.corpora.names import file_safe, originals
from tractprobe.corpora.readers.options import (
    AUDIO_CHANNEL,
    check_articulators,
    check_audio_channel,
    check_axes,
    check_default_speakers,
    check_label_pattern,
    check_pattern,
    in_plane,
    labels_of,
    speaker_of,
)
from tractprobe.corpora.utterance import Frame, Reader, Utterance, added, found, naming
from tractprobe.signals.audio import read_audio
from tractprobe.signals.channels import CHANNELS, in_canonical_order, named_columns
from tractprobe.signals.track import Track
from tractprobe.system.errors import ConfigError, CorpusError

_SPEAKER = r"^(?P<speaker>[^_]+)"


@dataclass
class NdiWave(Reader):
    """Reader of a folder of NDI Wave recordings.

    Attributes
    ----------
    language
        ISO 639-1; recordings do not state it.
    sensors
        Sensor of each articulator: its position in the file, counted from 1, or its name there
        (``"B5-03859-P01-CH0"``, ``"4"`` of ``Sensor 4 Id``). An articulator that is left out is missing.
    front, up
        Axes of the file that point to the front and upwards, such as ``x`` or ``-z``.
    speaker_sensors
        Differences from ``sensors`` for individual speakers; ``null`` for a sensor that a speaker does not have.
    extra
        Further midsagittal sensors, by the names of their channels: ``{ui: 7}`` gives ``ui_x`` and ``ui_y``.
    speaker_pattern
        Regular expression searched for in an id; its group ``speaker`` is the speaker.
    label_pattern
        Regular expression searched for there, too; its groups, such as ``(?P<style>read|free)``, are labels.
    suffix
        Ending of the names of recordings; what precedes it is the id.
    exclude
        Regular expression; files with a match in their names are not utterances (bite plates, palates).
    frame
        The reference frame: what positions are relative to.
    audio_channel
        Channel of the audio, counted from 0, if it has several.
    speaker
        The speaker of a corpus that has only one; ``speaker_pattern`` is not used.
    word_tier, phone_tier, phone_set
        Tiers of the TextGrids, ``None`` if there are none, and the set of the phone symbols.
    """

    name: str
    root: Path
    language: str
    sensors: Mapping[str, int | str | None]
    front: str
    up: str
    speaker_sensors: Mapping[str, Mapping[str, int | str | None]] = field(default_factory=dict)
    extra: Mapping[str, int | str] = field(default_factory=dict)
    speaker_pattern: str = _SPEAKER
    suffix: str = ".tsv"
    exclude: str | None = None
    frame: str = "unknown"
    audio_channel: int | None = None
    word_tier: str | None = None
    phone_tier: str | None = None
    phone_set: str = "ipa"
    speaker: str | None = added(None)
    label_pattern: str | None = added(None)

    def __post_init__(self):
        self.root = Path(self.root).expanduser()
        check_label_pattern(self.label_pattern)
        named = {*self.sensors, *(name for own in self.speaker_sensors.values() for name in own)} - set(self.extra)
        check_articulators("corpus.sensors", named)
        check_axes(self.front, self.up)
        check_audio_channel(self.audio_channel)
        if self.frame not in get_args(Frame):
            raise ConfigError(f"corpus.frame {self.frame!r}: expected one of {', '.join(get_args(Frame))}")
        check_pattern("corpus.speaker_pattern", self.speaker_pattern, "speaker")
        if self.exclude is not None:
            check_pattern("corpus.exclude", self.exclude)

    def sources(self) -> list[str]:
        paths = [path for path in self.root.rglob(f"*{glob.escape(self.suffix)}") if not self._is_excluded(path)]
        return found(self.root, paths, f"recording *{self.suffix}")

    def check_speakers(self, sources: Sequence[str]) -> None:
        names = [Path(source).name.removesuffix(self.suffix) for source in sources]
        check_default_speakers(self.root, names, self.speaker, self.speaker_pattern, _SPEAKER)

    def read(self, source: str) -> list[Utterance]:
        path = self.root / source
        id_ = path.name.removesuffix(self.suffix)
        speaker = self.speaker or speaker_of(path, id_, self.speaker_pattern)
        recording = read_wave(path)
        columns = self._columns(path, recording, speaker)
        canonical = {name: column for name, column in columns.items() if name in CHANNELS}
        audio, audio_rate_hz = read_audio(_nearest(self.root, path, f"{id_}.wav"), self.audio_channel, AUDIO_CHANNEL)
        grid_path = path.with_name(f"{id_}.TextGrid")
        has_grid = (self.word_tier or self.phone_tier) and grid_path.exists()
        grid = read_textgrid(grid_path).check_times(len(audio) / audio_rate_hz) if has_grid else None
        with naming(path):
            return [
                Utterance(
                    id=file_safe(id_),
                    speaker=file_safe(speaker),
                    language=self.language,
                    text=grid.text(self.word_tier) if grid and self.word_tier else "",
                    audio=audio,
                    audio_rate_hz=audio_rate_hz,
                    track=Track(in_canonical_order(canonical), recording.rate_hz, recording.start_s),
                    phones=grid.intervals(self.phone_tier) if grid and self.phone_tier else (),
                    phone_set=self.phone_set,
                    extra={name: column for name, column in columns.items() if name[:-2] in self.extra},
                    frame=cast(Frame, self.frame),
                    original=originals(id=id_, speaker=speaker),
                    labels=labels_of(id_, self.label_pattern),
                )
            ]

    def _is_excluded(self, path: Path) -> bool:
        return self.exclude is not None and re.search(self.exclude, path.name) is not None

    def _columns(self, path: Path, recording: WaveRecording, speaker: str) -> dict[str, Float[np.ndarray, " time"]]:
        """Return x (to the front) and y (up) in mm of each articulator and extra sensor."""
        given = {**self.sensors, **self.extra, **self.speaker_sensors.get(speaker, {})}
        chosen = {name: sensor for name, sensor in given.items() if sensor is not None}
        indices = [_index(path, recording.sensors, name, sensor) for name, sensor in chosen.items()]
        return named_columns(list(chosen), in_plane(recording.positions_mm[:, indices], self.front, self.up))


def _index(path: Path, names: tuple[str, ...], articulator: str, sensor: int | str) -> int:
    if isinstance(sensor, int) and 1 <= sensor <= len(names):
        return sensor - 1
    if isinstance(sensor, str) and sensor in names:
        return names.index(sensor)
    problem = f"has no sensor {sensor!r}, which corpus.sensors gives for {articulator}; it has {', '.join(names)}"
    raise CorpusError(path, problem, place="line 1")


def _nearest(root: Path, path: Path, name: str) -> Path:
    """Return the file called ``name`` below the nearest folder around ``path`` (up to the root) that has one."""
    inside = path.parent.relative_to(root)
    for folder in (inside, *inside.parents):
        candidates = sorted((root / folder).rglob(glob.escape(name)))
        if len(candidates) > 1:
            raise CorpusError(
                path, f"expected one file {name}, not {len(candidates)}: {candidates[0]}, {candidates[1]}"
            )
        if candidates:
            return candidates[0]
    raise CorpusError(path.with_name(name), "no such file, here or in the folders around it")
