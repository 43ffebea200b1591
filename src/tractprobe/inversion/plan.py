"""What ``tractprobe invert`` is to do: which audio, and which outputs of each. Nothing slow is imported here."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tractprobe.inversion.video import require_video
from tractprobe.system.errors import ConfigError

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", ".sph", ".caf"})
COMPRESSED = frozenset({".m4a", ".mp4", ".m4b", ".aac", ".wma", ".amr", ".3gp", ".webm", ".mkv", ".mov", ".avi"})
"""Endings of sound and films that only ffmpeg decodes."""

FORMATS = ("csv", "npz", "phones", "html", "video")
_ENDINGS = {"csv": ".csv", "npz": ".npz", "phones": ".phones.csv", "html": ".html", "video": ".mp4"}
_MAX_RATE_HZ = 10_000.0

Existing = Literal["refuse", "skip", "replace"]


@dataclass(frozen=True)
class Wanted:
    """What to make of each file.

    Attributes
    ----------
    formats
        Some of FORMATS; ``phones`` is added for audio with a TextGrid beside it.
    rate_hz
        Rate of the tracks; that of the encoder's frames if not given.
    lowpass_hz
        Remove faster movements first.
    existing
        What to do about outputs that exist.
    tier
        The TextGrids' tier of phones.
    channel
        The channel of audio with several, from 0.
    grids
        Whether to read the TextGrids beside the audio.
    """

    formats: tuple[str, ...] = ("csv",)
    rate_hz: float | None = None
    lowpass_hz: float | None = None
    existing: Existing = "refuse"
    tier: str | None = None
    channel: int | None = None
    grids: bool = True

    def __post_init__(self):
        if not self.formats or set(self.formats) - set(FORMATS):
            raise ConfigError(f"--format {','.join(self.formats)}: expected some of {', '.join(FORMATS)}")
        if self.rate_hz is not None and not 0 < self.rate_hz <= _MAX_RATE_HZ:
            raise ConfigError(f"--rate {self.rate_hz}: expected a rate above 0 and up to {_MAX_RATE_HZ:g} Hz")
        if "phones" in self.formats and not self.grids:
            raise ConfigError("--format phones needs TextGrids, which --no-grids leaves out; give one of them")
        if "video" in self.formats:
            require_video()


@dataclass(frozen=True)
class Source:
    """An audio file, and the path of its outputs below their folder, without an ending."""

    audio: Path
    name: Path

    @property
    def grid(self) -> Path | None:
        """The TextGrid beside the audio."""
        path = self.audio.with_name(f"{self.audio.name.removesuffix(self.audio.suffix)}.TextGrid")
        return path if os.path.isfile(path) else None  # not pathlib's, which fails on names that are too long

    def outputs(self, folder: Path, wanted: Wanted) -> dict[str, Path]:
        """Return each format's file."""
        also = {"phones"} if self.grid and wanted.grids else set()
        formats = [name for name in FORMATS if name in {*wanted.formats, *also}]
        return {name: (folder / self.name).with_name(self.name.name + _ENDINGS[name]) for name in formats}


@dataclass(frozen=True)
class Plan:
    """The outputs to make of each audio file, how many files already have all of theirs, and what cannot be read."""

    wanted: Wanted
    outputs: Mapping[Source, Mapping[str, Path]]
    skipped: int
    ignored: str = ""

    @classmethod
    def of(cls, paths: Sequence[Path], folder: Path, wanted: Wanted) -> "Plan":
        """Find audio files among paths and below folders, and the outputs to make of each.

        Raises
        ------
        ConfigError
            There is no audio, an output exists, or two files would have the same output.
        """
        audio_files = sources(paths)
        outputs = _outputs_to_make(audio_files, folder, wanted)
        if outputs and not any(os.path.lexists(source.audio) for source in outputs):
            raise ConfigError(f"{', '.join(str(source.audio) for source in outputs)}: no such file or folder")
        return cls(wanted, outputs, len(audio_files) - len(outputs), _ignored(paths))


def sources(paths: Sequence[Path]) -> list[Source]:
    """Return the audio files among paths and below folders; ConfigError if there are none, or two of one name."""
    audio_files = []
    for path in paths:
        if path.is_dir():
            below = (file for file in sorted(path.rglob("*")) if file.suffix.lower() in SUFFIXES and file.is_file())
            audio_files += [Source(file, _named(file.relative_to(path))) for file in below]
        else:
            audio_files.append(Source(path, _named(Path(path.name))))
    if not audio_files:
        problem = f"no audio ({' '.join(sorted(SUFFIXES))}) in {', '.join(map(str, paths))}"
        ignored = _ignored(paths)
        raise ConfigError(f"{problem}; {ignored}" if ignored else problem)
    seen: dict[Path, Path] = {}
    for source in audio_files:
        if (other := seen.setdefault(source.name, source.audio)) != source.audio:
            raise ConfigError(f"{other} and {source.audio} would both become {source.name}.*; invert them separately")
    return audio_files


def _ignored(paths: Sequence[Path]) -> str:
    """Return in words what lies in folders and has a sound that is not read."""
    files = [file for path in paths if path.is_dir() for file in path.rglob("*") if file.suffix.lower() in COMPRESSED]
    if not files:
        return ""
    endings = ", ".join(sorted({file.suffix.lower() for file in files}))
    return f"{len(files)} file{'s' * (len(files) > 1)} ignored: {endings}, convert with ffmpeg -i IN OUT.wav"


def _named(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(path.suffix))


def _outputs_to_make(audio_files: Sequence[Source], folder: Path, wanted: Wanted) -> dict[Source, dict[str, Path]]:
    """Return the outputs to make of each file, without those that exist and stay."""
    made_of: dict[Path, Source] = {}
    todo = {}
    for source in audio_files:
        outputs = source.outputs(folder, wanted)
        for path in outputs.values():
            if (other := made_of.setdefault(path, source)) != source:
                raise ConfigError(f"{path} would be made of {other.audio} and {source.audio}; invert them separately")
        existing = {name for name, path in outputs.items() if os.path.lexists(path)}
        if existing and wanted.existing == "refuse":
            raise ConfigError(
                f"{outputs[min(existing)]} exists already; "
                "--existing skip makes what is missing, --existing replace makes all again"
            )
        missing = {name: path for name, path in outputs.items() if wanted.existing == "replace" or name not in existing}
        if missing:
            todo[source] = missing
    return todo
