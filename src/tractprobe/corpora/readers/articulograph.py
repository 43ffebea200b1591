"""A laboratory's own recordings with a Carstens AG500 or AG501: sweeps (``.pos`` or text exports) next to audio.

No file says which sensor is on which articulator, whether positions are already head-corrected, or where the device's
axes point: these are settings, and so are the places of audio and texts. Formats are those of ``formats.carstens``. If
the device has not corrected for head movement, references on the head (nose, ears) are brought onto their mean
configuration in the session, which is the speaker's sweeps in the same folder. With ``turn_axes``, axes are then turned
so that x runs from between the ears to the nose, with the origin at the nose.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.formats.carstens import AG500_RATE_HZ, Sweep, read_sweep
from tractprobe.corpora.geometry.head_motion import MIN_REFERENCES, midsagittal_axes, rigid_motion
from tractprobe.corpora.names import file_safe, originals
from tractprobe.corpora.readers.options import (
    AUDIO_CHANNEL,
    check_articulators,
    check_audio_channel,
    check_axes,
    check_default_speakers,
    check_label_pattern,
    check_pattern,
    direction,
    in_plane,
    labels_of,
    speaker_of,
)
from tractprobe.corpora.readers.sessions import (
    MAX_DEVIATION_MM,
    MAX_REFERENCE_ERROR_MM,
    MAX_RMS,
    STILL_MM,
    Positions,
    Session,
    channels_of,
    session_name,
    session_of,
)
from tractprobe.corpora.utterance import Frame, HeadFit, Reader, Utterance, added, found, naming
from tractprobe.signals.audio import read_audio
from tractprobe.signals.channels import ARTICULATORS, in_canonical_order, named_columns
from tractprobe.signals.track import Track
from tractprobe.system.errors import ConfigError, CorpusError
from tractprobe.system.files import read_text

_SPEAKER = r"^(?P<speaker>[^/_]+)"
_TURNED_BY = ("left_ear", "right_ear", "nose")

Plane = Float[np.ndarray, "time sensor 2"]


@dataclass
class Articulograph(Reader):
    """Reader of Carstens recordings in a laboratory's own layout.

    Attributes
    ----------
    language
        ISO 639-1.
    sensors
        Channel of each articulator, counted from 1; an articulator that is left out is missing.
    extra
        Channel of further midsagittal sensors, such as ``ui`` (upper incisor) or ``bn`` (bridge of the nose).
    references
        Channel of each sensor by which head movement is corrected, at least three; empty: no correction.
    head_corrected
        Whether positions are already relative to the head.
    turn_axes
        Turn the axes by the references, which must include ``left_ear``, ``right_ear`` and ``nose``; otherwise axes
        remain those of the device, in the head's mean pose.
    overrides
        Different channels for the sensors and references of a speaker, or of a folder of the corpus; null for a sensor
        that was not used there.
    front, up
        The device's axes that grow to the front and upwards, such as ``x`` or ``-y``.
    tracks
        Pattern of the sweeps' names below the corpus.
    audio_folder, prompt_folder
        Folders of the audio ``<stem>.wav`` and the text ``<stem>.txt``, relative to the folder of the sweep.
    audio_channel
        Channel of the audio, from 0, if it has several.
    prompt_file
        Alternatively, a file of lines ``<stem> <text>``, relative to the corpus's folder.
    speaker_pattern
        Regular expression searched for in the sweep's path; its group ``speaker`` is the speaker.
    speaker
        The speaker of a corpus that has only one; ``speaker_pattern`` is not used.
    label_pattern
        Regular expression searched for in the sweep's path; its groups, such as ``(?P<style>read|free)``, are labels.
    rate_hz
        Frames per second if the file does not say; null: 200 for the AG500, and an error for text.
    max_rms
        A sensor counts as lost where its rms error is above this; null: nowhere.
    max_reference_deviation_mm
        A session is refused if the distances between its references deviate by more than this; null: never.
    """

    name: str
    root: Path
    language: str
    sensors: Mapping[str, int]
    extra: Mapping[str, int] = field(default_factory=dict)
    references: Mapping[str, int] = field(default_factory=dict)
    head_corrected: bool = False
    turn_axes: bool = False
    overrides: Mapping[str, Mapping[str, int | None]] = field(default_factory=dict)
    front: str = "x"
    up: str = "z"
    tracks: str = "**/*.pos"
    audio_folder: str = "."
    prompt_folder: str | None = None
    prompt_file: str | None = None
    speaker_pattern: str = _SPEAKER
    rate_hz: float | None = None
    max_rms: float | None = MAX_RMS
    audio_channel: int | None = None
    speaker: str | None = added(None)
    max_reference_deviation_mm: float | None = added(MAX_DEVIATION_MM)
    label_pattern: str | None = added(None)

    def __post_init__(self):
        self.root = Path(self.root).expanduser()
        check_label_pattern(self.label_pattern)
        known = {*ARTICULATORS, *self.extra, *self.references}
        if unknown := sorted({sensor for own in self.overrides.values() for sensor in own} - known):
            raise ConfigError(f"corpus.overrides names {', '.join(unknown)}, not among this corpus's sensors")
        check_articulators("corpus.sensors", self.sensors)
        for sensors in (self.sensors, self.extra, self.references, *self.overrides.values()):
            if wrong := [channel for channel in sensors.values() if not isinstance(channel, int | None)]:
                raise ConfigError(f"expected channels as numbers, counted from 1, not {wrong[0]!r}")
        if not self.tracks or Path(self.tracks).is_absolute() or ".." in Path(self.tracks).parts:
            raise ConfigError(f"corpus.tracks={self.tracks}: expected a pattern below the corpus, such as **/*.pos")
        check_pattern("corpus.speaker_pattern", self.speaker_pattern, "speaker")
        check_axes(self.front, self.up)
        check_audio_channel(self.audio_channel)
        self._check_references()

    def _check_references(self) -> None:
        if self.head_corrected and self.references:
            raise ConfigError(
                "corpus.references have no effect if corpus.head_corrected is true; give only one of them"
            )
        if self.references and len(set(self.references.values())) < MIN_REFERENCES:
            raise ConfigError(f"corpus.references: expected at least {MIN_REFERENCES} different channels")
        if self.turn_axes and not {*_TURNED_BY} <= set(self.references):
            raise ConfigError(f"corpus.turn_axes needs {', '.join(_TURNED_BY)} among corpus.references")

    @property
    def frame(self) -> Frame:
        """The reference frame: what positions are relative to."""
        return "head" if self.head_corrected or self.references else "device"

    def sources(self) -> list[str]:
        paths = [path for path in self.root.glob(self.tracks) if path.is_file()] if self.root.is_dir() else []
        return found(self.root, paths, f"sweep {self.tracks}")

    def check_speakers(self, sources: Sequence[str]) -> None:
        names = [str(Path(source).with_suffix("")) for source in sources]
        check_default_speakers(self.root, names, self.speaker, self.speaker_pattern, _SPEAKER)

    def read(self, source: str) -> list[Utterance]:
        path = self.root / source
        speaker = self.speaker or speaker_of(path, source, self.speaker_pattern)
        id_ = "_".join(Path(source).with_suffix("").parts)
        audio, audio_rate_hz = read_audio(
            path.parent / self.audio_folder / f"{path.stem}.wav", self.audio_channel, AUDIO_CHANNEL
        )
        with naming(path):
            track, extra, head = self._movements(path, speaker)
            return [
                Utterance(
                    id=file_safe(id_),
                    speaker=file_safe(speaker),
                    language=self.language,
                    text=self._text(path),
                    audio=audio,
                    audio_rate_hz=audio_rate_hz,
                    track=track,
                    extra=extra,
                    frame=self.frame,
                    original=originals(id=id_, speaker=speaker),
                    head=head,
                    labels=labels_of(source, self.label_pattern),
                )
            ]

    def _text(self, path: Path) -> str:
        if self.prompt_folder is not None:
            return read_text(path.parent / self.prompt_folder / f"{path.stem}.txt").strip()
        if self.prompt_file is None:
            return ""
        prompt_path = self.root / self.prompt_file
        for line in read_text(prompt_path).split("\n"):
            match line.split(maxsplit=1):
                case [stem, text] if stem == path.stem:
                    return text.strip()
        raise CorpusError(prompt_path, f"has no text for {path.stem}")

    def _movements(self, path: Path, speaker: str) -> tuple[Track, dict[str, np.ndarray], HeadFit | None]:
        sweep = read_sweep(path)
        rate_hz = sweep.rate_hz or self.rate_hz or (AG500_RATE_HZ if sweep.device == "AG500" else None)
        if rate_hz is None:
            raise CorpusError(path, "does not state its rate; give corpus.rate_hz")
        sensors = self._channels(path, speaker, {**self.sensors, **self.extra}, ARTICULATORS)
        positions = channels_of(path, sweep, list(sensors.values()), self.max_rms)
        head = None
        if self.references:
            plane, head = self._corrected(path, speaker, sweep, positions)
        else:
            plane = in_plane(positions, self.front, self.up)
            if sweep.is_head_corrected and not self.head_corrected:
                head = HeadFit(session_name(self.root, path, speaker), {}, 0.0, 0.0, is_corrected=True)
        columns = named_columns(list(sensors), plane)
        extra = {name: column for name, column in columns.items() if name[:-2] in self.extra}
        canonical = {name: columns[name] for name in columns if name not in extra}
        return Track(in_canonical_order(canonical), rate_hz), extra, head

    def _channels(
        self, path: Path, speaker: str, sensors: Mapping[str, int], more: Sequence[str] = ()
    ) -> dict[str, int]:
        """Return the channel of each sensor; overrides of a folder take precedence over those of a speaker."""
        folder = path.parent.relative_to(self.root).as_posix()
        own = {**self.overrides.get(speaker, {}), **self.overrides.get(folder, {})}
        merged = {**sensors, **{sensor: own[sensor] for sensor in own if sensor in {*sensors, *more}}}
        return {sensor: channel for sensor, channel in merged.items() if channel is not None}

    def _corrected(self, path: Path, speaker: str, sweep: Sweep, positions: Positions) -> tuple[Plane, HeadFit | None]:
        channels = self._channels(path, speaker, self.references)
        session = session_of(self._session(path, speaker), list(channels.values()), self.max_rms)
        references = channels_of(path, sweep, list(channels.values()), self.max_rms)
        is_corrected = sweep.is_head_corrected or session.movement_mm < STILL_MM
        self._check_deviation(path, session, channels, is_corrected)
        motion = rigid_motion(references, session.configuration, MAX_REFERENCE_ERROR_MM)
        head = session.fit(session_name(self.root, path, speaker), list(channels), motion, is_corrected)
        positions = motion.apply(positions)
        if not self.turn_axes:
            return in_plane(positions, self.front, self.up), head
        if lacking := sorted({*_TURNED_BY} - set(channels)):
            raise CorpusError(path, f"corpus.turn_axes needs {', '.join(lacking)}, which corpus.overrides removes")
        left, right, nose = (session.configuration[list(channels).index(reference)] for reference in _TURNED_BY)
        axes = midsagittal_axes(left, right, nose, up=direction(self.up))
        return (positions - nose) @ axes[:2].T, head

    def _check_deviation(self, path: Path, session: Session, channels: Mapping[str, int], is_corrected: bool) -> None:
        """Raise CorpusError if one of the references is not fixed to the head."""
        limit_mm, deviation_mm = self.max_reference_deviation_mm, session.deviation_mm
        if limit_mm is None or deviation_mm.max() <= limit_mm:
            return
        loose = int(deviation_mm.sum(axis=0).argmax())
        name, channel = list(channels.items())[loose]
        problem = (
            f"reference {name} (channel {channel}) moves against the others, by {deviation_mm[loose].max():.1f} mm"
        )
        advice = f"is it on lip, jaw or tongue? (corpus.max_reference_deviation_mm={limit_mm:g})"
        again = " These sweeps are head-corrected already: give corpus.head_corrected=true and no references"
        raise CorpusError(path, f"{problem} in its session: {advice}{again if is_corrected else ''}")

    def _session(self, path: Path, speaker: str) -> list[Path]:
        """Return the sweeps of the same speaker in the same folder."""
        paths = [candidate for candidate in path.parent.glob(Path(self.tracks).name) if candidate.is_file()]
        if self.speaker is not None:
            return paths
        sources = {candidate: candidate.relative_to(self.root).as_posix() for candidate in paths}
        matches = {candidate: re.search(self.speaker_pattern, source) for candidate, source in sources.items()}
        return [candidate for candidate, match in matches.items() if match and match["speaker"] == speaker]
