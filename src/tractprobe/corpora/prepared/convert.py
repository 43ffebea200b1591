"""One source of a raw corpus in, files and a line of the manifest for each of its utterances out.

Runs in the processes that preparation starts; lhotse, slow to import, is needed only where the manifest is written.
"""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tractprobe.corpora.ipa import UNKNOWN, to_ipa
from tractprobe.corpora.prepared.manifest import AUDIO, EMA, EXTRA, LARYNX, SOURCE
from tractprobe.corpora.utterance import Reader, Utterance
from tractprobe.signals.audio import RATE_HZ, to_pcm16
from tractprobe.signals.voicing import source_track
from tractprobe.system.errors import ConfigError, CorpusError, StorageError
from tractprobe.system.files import array_sha256, writing


@dataclass(frozen=True)
class Converted:
    """What became of one source.

    Attributes
    ----------
    utterances
        What the manifest says of each; their files lie under temporary names until they are placed.
    skipped
        ``{source, problem}`` of what could not be read.
    """

    source: str
    utterances: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)

    def skip(self, error: CorpusError) -> None:
        """Note what could not be read."""
        self.skipped.append({"source": self.source, "problem": str(error)})


def convert(reader: Reader, source: str, staging: Path, with_source: bool = False) -> Converted:
    """Read a source and write its audio and movements, if asked the vocal folds too, under temporary names."""
    converted = Converted(source)
    with _skipping(converted, reader.root / source):
        for number, one in enumerate(reader.read(source), start=1):
            if isinstance(one, CorpusError):
                converted.skip(one)
                continue
            with _skipping(converted, reader.root / source, f"utterance {number}"):
                converted.utterances.append(_files_of(one, staging, with_source))
    return converted


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
        # A reader should have said what is wrong itself; that it did not must not cost the other files.
        converted.skip(CorpusError(path, f"not readable: {error!r}", place=place))


def _files_of(utterance: Utterance, staging: Path, with_source: bool) -> dict[str, Any]:
    """Write an utterance's files; return what is to be known of it, with the files as (temporary, final) names."""
    pcm, track = to_pcm16(utterance.audio, utterance.audio_rate_hz), utterance.track
    arrays = {EMA: track.values.astype(np.float32)}
    if utterance.extra:
        arrays[EXTRA] = np.stack(list(utterance.extra.values()), axis=1).astype(np.float32)
    origin = None
    if with_source or utterance.f0_hz is not None:
        larynx, known = (utterance.larynx, utterance.larynx_rate_hz), (utterance.f0_hz, utterance.f0_rate_hz)
        folds = source_track(pcm / 32768, RATE_HZ, *larynx, f0_hz=known[0], f0_rate_hz=known[1])
        arrays[SOURCE], origin = folds.values.astype(np.float32), folds.origin
    sounds = {AUDIO: pcm}
    if utterance.larynx is not None:
        sounds[LARYNX] = to_pcm16(utterance.larynx, utterance.larynx_rate_hz)
    files, temporary = [], f".{os.getpid()}-{os.urandom(4).hex()}"
    for kind, samples in sounds.items():
        _write(staging / f"{temporary}-{kind}.flac", partial(_flac, samples))
        files.append([f"{temporary}-{kind}.flac", f"{kind}/{utterance.id}.flac"])
    for kind, values in arrays.items():
        _write(staging / f"{temporary}-{kind}.npy", partial(np.save, arr=values, allow_pickle=False))
        files.append([f"{temporary}-{kind}.npy", f"{kind}/{utterance.id}.npy"])
    return _about(utterance) | {
        "num_samples": len(pcm),
        "ema_shape": list(arrays[EMA].shape),
        "source_origin": origin,
        "sha256": {kind: array_sha256(values) for kind, values in (sounds | arrays).items()},
        "files": files,
    }


def _write(path: Path, encode: Callable[[io.BytesIO], None]) -> None:
    """Encode in memory, as an encoder that runs out of disk does not say so, and write."""
    content = io.BytesIO()
    encode(content)
    with writing(path):
        path.write_bytes(content.getbuffer())


def _flac(samples: np.ndarray, file: io.BytesIO) -> None:
    soundfile.write(file, samples, RATE_HZ, format="FLAC", subtype="PCM_16")


def _about(utterance: Utterance) -> dict[str, Any]:
    names = ("id", "speaker", "language", "text", "frame", "phone_set")
    return {name: getattr(utterance, name) for name in names} | {
        "ema_rate_hz": utterance.track.rate_hz,
        "ema_start_s": utterance.track.start_s,
        "extra": list(utterance.extra),
        "phones": [
            [phone.label, to_ipa(utterance.phone_set, phone.label) or UNKNOWN, phone.start_s, phone.end_s]
            for phone in utterance.phones
        ],
    }
