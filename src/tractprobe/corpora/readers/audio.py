"""Sound alone, of any languages and speakers, for encoders to be pretrained on: a manifest, or folders that say it.

Either the root holds ``manifest.csv`` with the columns

========  ========  ================================================================================================
column    required  meaning
========  ========  ================================================================================================
file      yes       path below the root, of sound at any rate
language  yes       ISO 639 code or locale, such as ``it``, ``sv-SE``; a locale is kept as the label ``locale``
speaker   yes       unique within its source: where two sources share a name, the source becomes part of it
text      no        what was said
source    no        where it is from; what follows a first ``:`` is the place in the source. Label ``source``
licence   no        label ``licence``, and ``licence_note`` for a remark behind it, from ``(`` or ``;`` on
gender    no        label ``gender``
seconds   no        compared with the sound
========  ========  ================================================================================================

or it holds ``<language>/<speaker>/`` with WAV, FLAC, Ogg, Opus or MP3 files, nested as they may be. What the
root's ``folder.toml`` says of the corpus is kept, as that of ``corpus=folder``.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from tractprobe.corpora.formats.sound_manifest import (
    OPTIONAL,
    REQUIRED,
    SoundLine,
    SoundManifest,
    licence_labels,
    read_sound_manifest,
)
from tractprobe.corpora.languages import of_locale
from tractprobe.corpora.names import file_safe, originals
from tractprobe.corpora.readers.folder import ABOUT_FILE, read_about
from tractprobe.corpora.readers.options import AUDIO_CHANNEL, check_audio_channel
from tractprobe.corpora.utterance import Reader, Utterance, added, checked_labels, found, naming
from tractprobe.signals.audio import read_audio
from tractprobe.system.errors import ConfigError, CorpusError
from tractprobe.system.files import digest, is_there

MANIFEST = "manifest.csv"
SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".sph")
MAX_SECONDS_ERROR_S = 0.05
"""Declared and decoded length may differ by this much: MP3 decoders differ by a frame (24 ms at 48 kHz)."""
_MAX_ID = 128
_LAYOUT = f"expected {MANIFEST}, or files in <language>/<speaker>/ folders, such as it/anna/01.wav"


@dataclass
class Audio(Reader):
    """Reader of sound alone (see the module's documentation for the layout).

    Attributes
    ----------
    licence
        Of whatever does not state one.
    licences
        Only files under these licences are read; by default, all are.
    labels
        Further columns of the manifest, to be kept as labels.
    audio_channel
        Channel of the audio, counted from 0, if it has several.
    """

    name: str
    root: Path
    licence: str | None = None
    labels: Sequence[str] = ()
    audio_channel: int | None = None
    licences: Sequence[str] = added(())

    def __post_init__(self):
        self.root = Path(self.root).expanduser()
        self.labels = [self.labels] if isinstance(self.labels, str) else list(self.labels)
        self.licences = (self.licences,) if isinstance(self.licences, str) else tuple(self.licences)
        check_audio_channel(self.audio_channel)
        try:
            checked_labels({**dict.fromkeys(self.labels, "x"), **licence_labels(self.licence or "")})
        except ValueError as error:
            raise ConfigError(f"corpus.labels, corpus.licence: {error}") from None
        if taken := {*REQUIRED, *OPTIONAL, "locale", "licence_note"} & set(self.labels):
            raise ConfigError(
                f"corpus.labels names {', '.join(sorted(taken))}, which this reader has a use for already"
            )

    @property
    def has_movements(self) -> bool:
        """False: there is sound and nothing else."""
        return False

    def about(self) -> Mapping[str, Any]:
        path = self.root / ABOUT_FILE
        return read_about(path) if is_there(path) else {}

    def sources(self) -> list[str]:
        if is_there(self.root / MANIFEST):
            return [MANIFEST, *self._chosen(self._manifest().lines.values())]
        files = found(self.root, sound_files(self.root), f"sound; {_LAYOUT}")
        if not any(_place(file) for file in files):
            raise CorpusError(self.root, f"says neither language nor speaker of {files[0]}; {_LAYOUT}")
        if self.licences:
            self._chosen([])
        return files

    def read(self, source: str) -> Sequence[Utterance | CorpusError]:
        if source == MANIFEST:
            return [*self._manifest().problems, *self._unlisted()]
        path, line = self.root / source, self._line(source)
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise CorpusError(
                path, f"is a link to {path.resolve()}, outside of the corpus; copy the file, or give its root"
            )
        audio, rate_hz = read_audio(path, self.audio_channel, AUDIO_CHANNEL)
        seconds = len(audio) / rate_hz
        if line.seconds is not None and abs(line.seconds - seconds) > MAX_SECONDS_ERROR_S:
            raise CorpusError(
                path, f"lasts {seconds:.2f} s, but {MANIFEST} says {line.seconds:g} s: another recording?"
            )
        stem = str(PurePosixPath(source).with_suffix(""))
        with naming(path):
            return [
                Utterance(
                    id=_id(stem),
                    speaker=file_safe(line.speaker),
                    language=line.language,
                    text=line.text,
                    audio=audio,
                    audio_rate_hz=rate_hz,
                    track=None,
                    labels=checked_labels({**self._own_licence, **line.labels}),
                    original=_originals(stem, line),
                )
            ]

    @property
    def _own_licence(self) -> dict[str, str]:
        return licence_labels(self.licence or "")

    def _chosen(self, lines: Collection[SoundLine]) -> list[str]:
        """Return the files of lines under the licences that are asked for; CorpusError for one that none is under."""
        by_licence: dict[str, list[str]] = {licence: [] for licence in [self._own_licence.get("licence")] if licence}
        for line in lines:
            by_licence.setdefault((self._own_licence | dict(line.labels)).get("licence", ""), []).append(line.file)
        if unknown := [licence for licence in self.licences if licence not in by_licence]:
            there = ", ".join(sorted(filter(None, by_licence))) or "none stated"
            raise CorpusError(self.root, f"no file is under {', '.join(unknown)} (corpus.licences); there are: {there}")
        chosen = {file for licence, files in by_licence.items() for file in files if licence in self.licences}
        return [line.file for line in lines if not self.licences or line.file in chosen]

    def _line(self, source: str) -> SoundLine:
        """Return what is known of a file; CorpusError if that is nothing."""
        if is_there(self.root / MANIFEST):
            return self._manifest().lines[source]
        if (place := _place(source)) is None:
            raise CorpusError(self.root / source, f"lies in no <language>/<speaker>/ folder; {_LAYOUT}")
        locale, speaker = place
        with naming(self.root / source):
            language = of_locale(locale)
        labels = {} if locale.lower() == language else {"locale": locale}
        return SoundLine(source, language, speaker, speaker, labels=labels)

    def _manifest(self) -> SoundManifest:
        path = self.root / MANIFEST
        status = path.stat()
        return _read_once(path, tuple(self.labels), (status.st_mtime_ns, status.st_size))

    def _unlisted(self) -> list[CorpusError]:
        """Return one error for all sound that the manifest does not name."""
        listed = self._manifest().lines
        files = sorted(path.relative_to(self.root).as_posix() for path in sound_files(self.root))
        if not (unlisted := [file for file in files if file not in listed]):
            return []
        count = f"{len(unlisted)} sound file{'' if len(unlisted) == 1 else 's'}"
        return [CorpusError(self.root / MANIFEST, f"does not name {count} of this folder, such as {unlisted[0]}")]


@lru_cache(maxsize=2)
def _read_once(path: Path, kept: tuple[str, ...], _stamp: tuple[int, int]) -> SoundManifest:
    """Read a manifest once in each process, as long as it does not change."""
    return read_sound_manifest(path, kept)


def sound_files(root: Path) -> list[Path]:
    """Return all files of sound below a folder; CorpusError for a folder that cannot be read."""

    def refuse(error: OSError) -> None:
        raise CorpusError(error.filename or root, error.strerror or str(error)) from None

    paths = []
    for folder, folders, names in os.walk(root, onerror=refuse if root.is_dir() else None):
        folders[:] = [name for name in folders if not name.startswith(".")]
        sound = (name for name in names if name.lower().endswith(SUFFIXES) and not name.startswith("."))
        paths += [Path(folder, name) for name in sound]
    return paths


def _place(file: str) -> tuple[str, str] | None:
    """Return language and speaker of a file, by its folders.

    >>> _place("sv-SE/anna/session 1/01.wav"), _place("anna/01.wav")
    (('sv-SE', 'anna'), None)
    """
    language, *rest = file.split("/")
    return (language, rest[0]) if len(rest) > 1 else None


def _id(stem: str) -> str:
    """Return a file's path as an id, shortened if it is longer than a file's name should be."""
    safe = file_safe(stem)
    return safe if len(safe) <= _MAX_ID else f"{safe[: _MAX_ID - 17]}-{digest(stem)[:16]}"


def _originals(stem: str, line: SoundLine) -> dict[str, str]:
    named = originals(id=stem)
    changed = file_safe(line.speaker) != line.original_speaker
    return named | ({"speaker": line.original_speaker} if changed else {})
