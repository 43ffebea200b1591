"""Raw corpus in, prepared corpus out: once, whole or not at all, the source untouched.

Audio becomes 16 kHz 16-bit FLAC, movements float32 .npy at their own rate; both are listed in a lhotse manifest. What
cannot be read is reported and skipped. The folder appears under its name only when it is complete.
"""

import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr
from jaxtyping import Float, Int16

from tractprobe import __version__
from tractprobe.articulators import CHANNELS, UNIT
from tractprobe.corpora import Reader, Utterance
from tractprobe.errors import CorpusError
from tractprobe.files import array_sha256, digest, file_sha256, read_json, staged_folder, write_json
from tractprobe.prepared import DESCRIPTION, FORMAT, MANIFEST, RATE_HZ, PreparedCorpus, content_hash
from tractprobe.progress import progress

if TYPE_CHECKING:
    from lhotse import MonoCut

log = logging.getLogger(__name__)

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def prepare(reader: Reader, data: Path) -> PreparedCorpus:
    """Prepare a corpus under ``data/<reader.name>``, or do nothing if that is done and the source has not changed.

    Raises
    ------
    CorpusError
        The name is unfit, the source is missing, or not one utterance could be read.
    """
    if not _NAME.fullmatch(reader.name):
        raise CorpusError(reader.root, f"corpus.name={reader.name!r}: lower-case letters, digits, '_' and '-' only")
    folder, sources = data / reader.name, reader.sources()
    fingerprint = _fingerprint(reader)
    with staged_folder(folder, lambda: _is_done(folder, fingerprint)) as staging:
        if staging is not None:
            _write(reader, sources, staging, fingerprint)
    return PreparedCorpus(folder)


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


def _is_done(folder: Path, fingerprint: str) -> bool:
    try:
        description = read_json(folder / DESCRIPTION)
    except CorpusError:
        return False
    match description:
        case {"format": written, "fingerprint": made_from}:
            return written == FORMAT and made_from == fingerprint
    return False


def _fingerprint(reader: Reader) -> str:
    """Name what the result depends on: the reader with its settings, and the source's files by size and time."""
    settings = {key: value for key, value in vars(reader).items() if key != "root"}
    files = sorted(path for path in reader.root.rglob("*") if path.is_file())
    stats = [(path.relative_to(reader.root).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    kind = f"{type(reader).__module__}.{type(reader).__qualname__}"
    return digest([FORMAT, kind, str(settings), str(reader.root.resolve()), stats])


def _write(reader: Reader, sources: Sequence[str], staging: Path, fingerprint: str) -> None:
    """Write everything; the description last, so that a folder without one is never taken for complete."""
    from lhotse.serialization import SequentialJsonlWriter

    for folder in ("audio", "ema"):
        (staging / folder).mkdir(parents=True)
    skipped: list[dict[str, str]] = []
    hashes: dict[str, str] = {}
    seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
    with SequentialJsonlWriter(staging / MANIFEST) as manifest:
        for utterance in _read_all(reader, sources, skipped):
            if utterance.id in hashes:
                _skip(skipped, utterance.id, CorpusError(reader.root, f"a second utterance named {utterance.id}"))
                continue
            cut, hashes[utterance.id] = _write_utterance(reader.name, utterance, staging)
            manifest.write(cut)
            seconds[utterance.language, f"{reader.name}/{utterance.speaker}"] += utterance.duration_s
    if not hashes:
        raise CorpusError(reader.root, f"not one of {len(sources)} sources could be read; {_first(skipped)}")
    write_json(staging / DESCRIPTION, {
        "format": FORMAT,
        "name": reader.name,
        "source": str(reader.root),
        "content_hash": content_hash(hashes.values()),
        "fingerprint": fingerprint,
        "manifest_sha256": file_sha256(staging / MANIFEST),
        "channels": list(CHANNELS),
        "unit": UNIT,
        "utterances": len(hashes),
        "hours": sum(seconds.values()) / 3600,
        "minutes": [
            {"language": language, "speaker": speaker, "minutes": total / 60}
            for (language, speaker), total in sorted(seconds.items())
        ],
        "skipped": skipped,
        "tractprobe": __version__,
    })  # fmt: skip


def _read_all(reader: Reader, sources: Sequence[str], skipped: list[dict[str, str]]) -> Iterator[Utterance]:
    for source in progress(sources, f"preparing {reader.name}", unit="file"):
        try:
            yield from reader.read(source)
        except CorpusError as error:
            _skip(skipped, source, error)
        except (ValueError, ArithmeticError, LookupError, TypeError, MemoryError) as error:
            # A reader should have said what is wrong itself; that it did not must not cost the other files.
            _skip(skipped, source, CorpusError(reader.root / source, f"not readable: {error!r}"))


def _skip(skipped: list[dict[str, str]], source: str, error: CorpusError) -> None:
    skipped.append({"source": source, "problem": str(error)})
    log.warning("skipped: %s", error)


def _first(skipped: list[dict[str, str]]) -> str:
    return f"the first: {skipped[0]['problem']}" if skipped else "they hold no utterance"


def _write_utterance(corpus: str, utterance: Utterance, staging: Path) -> tuple["MonoCut", str]:
    """Write audio and movements; return the cut that names them and a hash of all it holds."""
    pcm = to_pcm16(utterance.audio, utterance.audio_rate_hz)
    values = utterance.track.values.astype(np.float32)
    soundfile.write(staging / f"audio/{utterance.id}.flac", pcm, RATE_HZ, subtype="PCM_16")
    np.save(staging / f"ema/{utterance.id}.npy", values, allow_pickle=False)
    cut = _cut(corpus, utterance, pcm, values)
    return cut, digest(cut.to_dict())


def _cut(
    corpus: str, utterance: Utterance, pcm: Int16[np.ndarray, " sample"], values: Float[np.ndarray, "time channel"]
) -> "MonoCut":
    from lhotse import MonoCut, Recording, SupervisionSegment
    from lhotse.array import Array, TemporalArray
    from lhotse.audio import AudioSource
    from lhotse.supervision import AlignmentItem

    name, track, duration_s = f"{corpus}/{utterance.id}", utterance.track, len(pcm) / RATE_HZ
    source = AudioSource("file", [0], f"audio/{utterance.id}.flac")
    array = Array("numpy_files", "ema", f"{utterance.id}.npy", list(track.values.shape))
    phones = [AlignmentItem(p.label, round(p.start_s, 6), round(p.end_s - p.start_s, 6)) for p in utterance.phones]
    return MonoCut(
        id=name,
        start=0.0,
        duration=duration_s,
        channel=0,
        recording=Recording(name, [source], RATE_HZ, len(pcm), duration_s),
        supervisions=[
            SupervisionSegment(
                id=name,
                recording_id=name,
                start=0.0,
                duration=duration_s,
                text=utterance.text,
                language=utterance.language,
                speaker=f"{corpus}/{utterance.speaker}",
                alignment={"phone": phones} if phones else None,
            )
        ],
        custom={
            "ema": TemporalArray(array, temporal_dim=0, frame_shift=1 / track.rate_hz, start=track.start_s),
            "ema_sha256": array_sha256(values),
            "audio_sha256": array_sha256(pcm),
        },
    )


def describe(corpus: PreparedCorpus) -> str:
    """Return a summary by speaker and language, and what was skipped."""
    about = corpus.description
    lines = [f"{corpus.folder}: {about['utterances']} utterances, {about['hours'] * 60:.1f} min"]
    lines += [f"  {row['language']}  {row['speaker']:<24} {row['minutes']:6.2f} min" for row in about["minutes"]]
    if about["skipped"]:
        lines.append(f"skipped {len(about['skipped'])}:")
        lines += [f"  {one['problem']}" for one in about["skipped"]]
    return "\n".join(lines)
