"""One source of a raw corpus in, files and a line of the manifest for each of its utterances out.

Runs in the processes that preparation starts; lhotse, slow to import, is needed only where the manifest is written.
"""

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from jaxtyping import Float, Int16

from tractprobe.corpora import Reader, Utterance
from tractprobe.corpora.ipa import UNKNOWN, to_ipa
from tractprobe.errors import ConfigError, CorpusError, StorageError
from tractprobe.files import array_sha256, writing
from tractprobe.prepared import AUDIO, EMA, EXTRA, LARYNX, RATE_HZ, SOURCE
from tractprobe.source import source_track


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


def to_pcm16(audio: Float[np.ndarray, " sample"], rate_hz: int) -> Int16[np.ndarray, " resampled"]:
    """Resample to 16 kHz (soxr, high quality) and round to 16 bit; 16-bit audio at 16 kHz comes back bit for bit.

    Audio that exceeds full scale is scaled down as a whole rather than clipped.
    """
    if rate_hz != RATE_HZ:
        audio = soxr.resample(audio, rate_hz, RATE_HZ, quality="HQ")
    scaled = np.asarray(audio, np.float64) * 32768
    if len(scaled) and (peak := np.abs(scaled).max()) > 32768:
        scaled *= 32767 / peak
    return np.clip(np.round(scaled), -32768, 32767).astype(np.int16)


def manifest_line(corpus: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the lhotse cut of an utterance, from what was noted of it when it was written."""
    from lhotse import MonoCut, Recording, SupervisionSegment
    from lhotse.array import Array, TemporalArray
    from lhotse.audio import AudioSource
    from lhotse.supervision import AlignmentItem

    id_, count = f"{corpus}/{about['id']}", about["num_samples"]
    duration_s = count / RATE_HZ
    source = AudioSource("file", [0], f"{AUDIO}/{about['id']}.flac")
    array = Array("numpy_files", EMA, f"{about['id']}.npy", list(about["ema_shape"]))
    spans = [
        (phone, ipa, round(start_s, 6), round(end_s - start_s, 6)) for phone, ipa, start_s, end_s in about["phones"]
    ]
    alignment = {
        "phone": [AlignmentItem(phone, *span) for phone, _, *span in spans],
        "ipa": [AlignmentItem(ipa, *span) for _, ipa, *span in spans],
    }
    cut = MonoCut(
        id=id_,
        start=0.0,
        duration=duration_s,
        channel=0,
        recording=Recording(id_, [source], RATE_HZ, count, duration_s),
        supervisions=[
            SupervisionSegment(
                id=id_,
                recording_id=id_,
                start=0.0,
                duration=duration_s,
                text=about["text"],
                language=about["language"],
                speaker=f"{corpus}/{about['speaker']}",
                alignment=alignment if spans else None,
            )
        ],
        custom={
            "ema": TemporalArray(array, 0, frame_shift=1 / about["ema_rate_hz"], start=about["ema_start_s"]),
            "ema_rate_hz": about["ema_rate_hz"],
            "extra": list(about["extra"]),
            "sha256": dict(about["sha256"]),
            "frame": about["frame"],
            "source_origin": about["source_origin"],
            "phone_set": about["phone_set"],
        },
    )
    return json.loads(json.dumps(cut.to_dict()))
