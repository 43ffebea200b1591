"""One source of a raw corpus in; files and a line of the manifest for each of its utterances out.

This runs in the processes that preparation starts. Only the process that writes the manifest imports lhotse, which is
slow.
"""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from tractprobe.corpora.ipa import UNKNOWN, to_ipa
from tractprobe.corpora.names import checked_original
from tractprobe.corpora.prepared.manifest import (
    AUDIO,
    EMA,
    EXTRA,
    LARYNX,
    SOURCE,
    PreparedPhone,
    PreparedTrack,
    PreparedUtterance,
)
from tractprobe.corpora.utterance import HeadFit, Reader, Utterance, checked_labels, naming
from tractprobe.signals.audio import RATE_HZ, to_pcm16
from tractprobe.signals.voicing import Origin, source_track
from tractprobe.system.errors import ConfigError, CorpusError, StorageError
from tractprobe.system.files import array_sha256, writing


@dataclass(frozen=True)
class Written:
    """An utterance whose files have temporary names; ``files`` are pairs of (temporary, final)."""

    utterance: PreparedUtterance
    files: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Converted:
    """What became of one source; ``skipped`` is ``{source, problem}`` of what could not be read."""

    source: str
    written: list[Written] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    heads: list[HeadFit] = field(default_factory=list)

    def skip(self, error: CorpusError) -> None:
        """Note what could not be read."""
        self.skipped.append({"source": self.source, "problem": str(error)})


def convert(reader: Reader, source: str, staging: Path, with_source: bool = False) -> Converted:
    """Read a source and write its audio, movements and, if asked, source channels under temporary names."""
    converted = Converted(source)
    with _skipping(converted, reader.root / source):
        for number, utterance in enumerate(reader.read(source), start=1):
            if isinstance(utterance, CorpusError):
                converted.skip(utterance)
                continue
            with _skipping(converted, reader.root / source, f"utterance {number}"):
                with naming(reader.root / source):
                    utterance.check_times()
                    _check_movements(utterance, reader)
                converted.written.append(_files_of(utterance, staging, with_source))
                if utterance.head is not None:
                    converted.heads.append(utterance.head)
    return converted


def _check_movements(utterance: Utterance, reader: Reader) -> None:
    """Raise ValueError unless an utterance has movements if and only if its corpus has."""
    if (utterance.track is not None) != reader.has_movements:
        has, corpus = ("movements", "no") if utterance.track else ("no movements", "all")
        raise ValueError(f"{utterance.id} has {has}, though {corpus} utterances of the corpus have them")


@contextmanager
def _skipping(converted: Converted, path: Path, place: str | None = None) -> Iterator[None]:
    """Note what goes wrong with a source, or with one of its utterances, instead of raising it."""
    try:
        yield
    except (ConfigError, StorageError):
        raise
    except CorpusError as error:
        converted.skip(error)
    except (ValueError, ArithmeticError, LookupError, TypeError, MemoryError) as error:
        # A reader should have raised a CorpusError; that it did not must not cost the other files.
        converted.skip(CorpusError(path, f"not readable: {error!r}", place=place))


def _files_of(utterance: Utterance, staging: Path, with_source: bool) -> Written:
    """Write an utterance's files under temporary names."""
    pcm = to_pcm16(utterance.audio, utterance.audio_rate_hz)
    arrays = {EMA: utterance.track.values.astype(np.float32)} if utterance.track else {}
    if utterance.extra:
        arrays[EXTRA] = np.stack(list(utterance.extra.values()), axis=1).astype(np.float32)
    origin = None
    if with_source or utterance.f0_hz is not None:
        larynx = utterance.larynx, utterance.larynx_rate_hz
        source = source_track(pcm / 32768, RATE_HZ, *larynx, f0_hz=utterance.f0_hz, f0_rate_hz=utterance.f0_rate_hz)
        arrays[SOURCE], origin = source.values.astype(np.float32), source.origin
    sounds = {AUDIO: pcm}
    if utterance.larynx is not None:
        sounds[LARYNX] = to_pcm16(utterance.larynx, utterance.larynx_rate_hz)
    files, temporary = [], f".{os.getpid()}-{os.urandom(4).hex()}"
    for kind, samples in sounds.items():
        _write(staging / f"{temporary}-{kind}.flac", partial(_flac, samples))
        files.append((f"{temporary}-{kind}.flac", f"{kind}/{utterance.id}.flac"))
    for kind, values in arrays.items():
        _write(staging / f"{temporary}-{kind}.npy", partial(np.save, arr=values, allow_pickle=False))
        files.append((f"{temporary}-{kind}.npy", f"{kind}/{utterance.id}.npy"))
    sha256 = {kind: array_sha256(values) for kind, values in (sounds | arrays).items()}
    return Written(_prepared(utterance, len(pcm), origin, sha256), tuple(files))


def _write(path: Path, encode: Callable[[io.BytesIO], None]) -> None:
    """Encode in memory, then write: encoders do not report a full disk."""
    content = io.BytesIO()
    encode(content)
    with writing(path):
        path.write_bytes(content.getbuffer())


def _flac(samples: np.ndarray, file: io.BytesIO) -> None:
    soundfile.write(file, samples, RATE_HZ, format="FLAC", subtype="PCM_16")


def _prepared(
    utterance: Utterance, num_samples: int, source_origin: Origin | None, sha256: dict[str, str]
) -> PreparedUtterance:
    phone_set, track = utterance.phone_set, utterance.track
    return PreparedUtterance(
        id=utterance.id,
        speaker=utterance.speaker,
        language=utterance.language,
        text=utterance.text,
        frame=utterance.frame,
        phone_set=phone_set,
        track=track and PreparedTrack(track.rate_hz, track.start_s, (len(track.values), track.values.shape[1])),
        extra=tuple(utterance.extra),
        phones=tuple(
            PreparedPhone(phone.label, to_ipa(phone_set, phone.label) or UNKNOWN, phone.start_s, phone.end_s)
            for phone in utterance.phones
        ),
        num_samples=num_samples,
        source_origin=source_origin,
        sha256=sha256,
        labels=checked_labels(utterance.labels),
        original=checked_original(utterance.original),
    )
