"""A prepared corpus on disk: a lhotse CutSet of 16 kHz FLAC with the movements as a TemporalArray beside it.

::

    <data>/<name>/corpus.json       what it is: reader, speakers, hours, palates, what was skipped, content hash
    <data>/<name>/cuts.jsonl        lhotse manifest, paths relative to the folder
    <data>/<name>/audio/<id>.flac   one channel, 16 kHz, 16 bit
    <data>/<name>/ema/<id>.npy      float32 (time, channel), mm, canonical channels, NaN = missing, unfiltered
    <data>/<name>/extra/<id>.npy    the same of further channels, where a corpus has them
    <data>/<name>/larynx/<id>.flac  the laryngograph's signal, like the audio
    <data>/<name>/source/<id>.npy   float32 (time, 3), SOURCE_CHANNELS every 5 ms, if they were asked for

Opening checks that the manifest is the one that was written and names nothing outside the folder: a lhotse manifest may
otherwise ask for shell commands and addresses. What a split or a batch needs of an utterance is kept in memory, its
phones are read again from its line when they are asked for.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from tractprobe.articulators import CHANNELS, UNIT
from tractprobe.corpora import MIN_EMA_RATE_HZ, Frame, Phone, Utterance, naming
from tractprobe.corpora.audio import MAX_DURATION_S, MAX_RATE_HZ, MAX_SAMPLES, read_audio
from tractprobe.errors import CorpusError
from tractprobe.files import array_sha256, check_regular, digest, file_sha256, read_json, read_npy
from tractprobe.source import SOURCE_STEP_S, Origin, SourceTrack
from tractprobe.track import Track

if TYPE_CHECKING:
    from lhotse import CutSet

FORMAT = 3
RATE_HZ = 16000
DESCRIPTION, MANIFEST = "corpus.json", "cuts.jsonl"
AUDIO, EMA, EXTRA, LARYNX, SOURCE = "audio", "ema", "extra", "larynx", "source"
_MAX_MANIFEST_BYTES = 1 << 30
_CUT = {"id", "start", "duration", "channel", "supervisions", "recording", "custom", "type"}
_RECORDING = {"id", "sources", "sampling_rate", "num_samples", "duration", "channel_ids"}
_SOURCE = {"type", "channels", "source"}
_SUPERVISION = {"id", "recording_id", "start", "duration", "channel", "text", "language", "speaker", "alignment"}
_CUSTOM = {"ema", "ema_rate_hz", "extra", "sha256", "frame", "source_origin", "phone_set"}
_EMA = {"array", "temporal_dim", "frame_shift", "start"}
_ARRAY = {"storage_type", "storage_path", "storage_key", "shape"}
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class Entry:
    """What a split needs to know of an utterance.

    Attributes
    ----------
    id, speaker
        ``<corpus>/<name>``, so that corpora can be mixed.
    """

    id: str
    corpus: str
    speaker: str
    language: str
    text: str
    num_samples: int

    @property
    def duration_s(self) -> float:
        """Length of the audio."""
        return self.num_samples / RATE_HZ


@dataclass(frozen=True, slots=True)
class _Row:
    """What is kept of an utterance's line in the manifest."""

    entry: Entry
    stem: str
    ema_rate_hz: float
    ema_start_s: float
    extra: tuple[str, ...]
    sha256: Mapping[str, str]
    frame: Frame
    phone_set: str
    source_origin: Origin | None
    offset: int


class PreparedCorpus:
    """One prepared corpus, opened for reading.

    Raises
    ------
    CorpusError
        The folder is missing, was written by another version, or its manifest was changed.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        if not folder.is_dir():
            raise CorpusError(folder, f"no prepared corpus here; make it with: {how_to_prepare(folder.name)}")
        self.description = _description(folder)
        self.name: str = self.description["name"]
        self.content_hash: str = self.description["content_hash"]

    @staticmethod
    def source(folder: Path) -> str | None:
        """Return the raw folder that a prepared corpus was made from, or ``None`` if there is no such corpus."""
        try:
            return _description(folder)["source"]
        except CorpusError:
            return None

    @property
    def cuts(self) -> "CutSet":
        """The utterances as a lhotse CutSet, with absolute paths."""
        from lhotse import CutSet, MonoCut

        return CutSet.from_cuts(MonoCut.from_dict(self._absolute(self._fields(row))) for row in self._rows.values())

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The utterances as splits see them, in the order of the manifest."""
        return tuple(row.entry for row in self._rows.values())

    def audio(self, utterance_id: str) -> Float[np.ndarray, " sample"]:
        """Return 16 kHz samples, full scale 1; CorpusError if they are not those that were prepared."""
        return self._sound(self._rows[utterance_id], AUDIO)

    def track(self, utterance_id: str) -> Track:
        """Return the movements as they were measured: unfiltered, at the corpus's own rate; checked like ``audio``."""
        row = self._rows[utterance_id]
        with naming(self.folder / EMA / f"{row.stem}.npy"):
            return Track(self._array(row, EMA), row.ema_rate_hz, row.ema_start_s)

    def source_track(self, utterance_id: str) -> SourceTrack:
        """Return pitch, voicing and loudness; CorpusError if they were not asked for when the corpus was prepared."""
        row = self._rows[utterance_id]
        if row.source_origin is None:
            raise CorpusError(self.folder, "holds no source channels; prepare it with source_channels=true")
        return SourceTrack(self._array(row, SOURCE), 1 / SOURCE_STEP_S, 0.0, row.source_origin)

    @property
    def source_origins(self) -> dict[str, int]:
        """Where pitch and voicing come from, and of how many utterances; empty if they were not asked for."""
        return dict(Counter(row.source_origin for row in self._rows.values() if row.source_origin is not None))

    @cached_property
    def palates(self) -> dict[str, Float[np.ndarray, "point 2"]]:
        """The palate traces (mm, back to front) of the speakers, named as in ``utterance``, that have one."""
        try:
            traces = {name: np.array(points, dtype=np.float64) for name, points in self.description["palates"].items()}
        except (ValueError, TypeError, ArithmeticError):
            traces = {"": np.zeros(0)}
        if any(np.shape(points)[1:] != (2,) for points in traces.values()):
            raise CorpusError(self.folder / DESCRIPTION, "palates are no lists of points", place="palates")
        return traces

    def utterance(self, utterance_id: str) -> Utterance:
        """Return an utterance as its reader gave it, but for the audio's rate; phones are in IPA."""
        row = self._rows[utterance_id]
        extra = self._array(row, EXTRA).T if row.extra else ()
        larynx = self._sound(row, LARYNX) if LARYNX in row.sha256 else None
        with naming(self.folder / MANIFEST):
            return self._utterance(row, extra, larynx)

    def _utterance(self, row: _Row, extra: Any, larynx: Any) -> Utterance:
        return Utterance(
            id=row.stem,
            speaker=row.entry.speaker.partition("/")[2],
            language=row.entry.language,
            text=row.entry.text,
            audio=self.audio(row.entry.id),
            audio_rate_hz=RATE_HZ,
            track=self.track(row.entry.id),
            phones=self._phones(row),
            phone_set="ipa",
            extra=dict(zip(row.extra, extra, strict=True)),
            frame=row.frame,
            larynx=larynx,
            larynx_rate_hz=0 if larynx is None else RATE_HZ,
        )

    def _sound(self, row: _Row, kind: str) -> Float[np.ndarray, " sample"]:
        path = self.folder / kind / f"{row.stem}.flac"
        samples, rate_hz = read_audio(path)
        whole = kind != AUDIO or len(samples) == row.entry.num_samples
        if (
            not whole
            or rate_hz != RATE_HZ
            or array_sha256(np.round(samples * 32768).astype(np.int16)) != row.sha256[kind]
        ):
            raise CorpusError(path, f"changed since it was prepared; {how_to_prepare(self.name)}")
        return samples

    def _array(self, row: _Row, kind: str) -> Float[np.ndarray, "time column"]:
        path = self.folder / kind / f"{row.stem}.npy"
        values = read_npy(path)
        if array_sha256(values) != row.sha256[kind]:
            raise CorpusError(path, f"changed since it was prepared; {how_to_prepare(self.name)}")
        return values.astype(np.float64)

    def _phones(self, row: _Row) -> tuple[Phone, ...]:
        alignment = self._fields(row)["supervisions"][0].get("alignment") or {}
        return tuple(
            Phone(symbol, start_s, start_s + length_s) for symbol, start_s, length_s, *_ in alignment.get("ipa", ())
        )

    def _fields(self, row: _Row) -> dict[str, Any]:
        """Read an utterance's line again; the manifest was checked when it was opened."""
        with open(self.folder / MANIFEST, "rb") as manifest:
            manifest.seek(row.offset)
            return json.loads(manifest.readline())

    def _absolute(self, fields: dict[str, Any]) -> dict[str, Any]:
        for source in fields["recording"]["sources"]:
            source["source"] = str(self.folder / source["source"])
        fields["custom"]["ema"]["array"]["storage_path"] = str(self.folder / EMA)
        return fields

    @cached_property
    def _rows(self) -> dict[str, _Row]:
        manifest = self.folder / MANIFEST
        check_regular(manifest)
        if manifest.stat().st_size > _MAX_MANIFEST_BYTES:
            raise CorpusError(manifest, f"more than {_MAX_MANIFEST_BYTES} bytes")
        if file_sha256(manifest) != self.description["manifest_sha256"]:
            raise CorpusError(manifest, f"changed since it was written; {how_to_prepare(self.name)}")
        rows, hashes, offset = {}, [], 0
        with open(manifest, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                fields, hashed = _parsed(manifest, number, line)
                hashes.append(hashed)
                row = _row(manifest, self.name, number, fields, offset)
                if row.entry.id in rows:
                    raise CorpusError(manifest, f"names {row.entry.id} twice", place=f"line {number}")
                rows[row.entry.id] = row
                offset += len(line)
        if content_hash(hashes, self.description["palates"]) != self.content_hash:
            raise CorpusError(self.folder / DESCRIPTION, "its content_hash is not that of the manifest")
        return rows


def content_hash(cuts: Iterable[str], palates: Mapping[str, Any]) -> str:
    """Return a corpus's hash from its palates and its cuts' hashes, which name those of all audio and movements."""
    return digest([FORMAT, sorted(cuts), palates])


def how_to_prepare(name: str) -> str:
    """Return the command that prepares a corpus."""
    return f"tractprobe prepare corpus={name} corpus.root=<its folder> (or corpus=folder corpus.name={name} ...)"


def _description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    description = read_json(path)
    match description:
        case {"format": written} if written == FORMAT:
            pass
        case _:
            raise CorpusError(path, f"not of format {FORMAT}; prepare the corpus again")
    texts = ("name", "content_hash", "fingerprint", "manifest_sha256", "source")
    if not all(isinstance(description.get(text), str) for text in texts):
        raise CorpusError(path, f"lacks one of {', '.join(texts)}; prepare the corpus again")
    if description["name"] != folder.name:
        raise CorpusError(path, f"is corpus {description['name']}, in a folder of another name")
    if description.get("channels") != list(CHANNELS) or description.get("unit") != UNIT:
        raise CorpusError(path, "other channels or units than ours; prepare the corpus again")
    if not isinstance(description.get("palates"), dict):
        raise CorpusError(path, "lacks palates; prepare the corpus again")
    return description


def _check_names(fields: Any) -> None:
    """Raise ValueError if a cut holds anything but what we write: lhotse would build it, whatever it is."""
    recording, custom = fields["recording"], fields["custom"]
    (source,), (supervision,), ema = recording["sources"], fields["supervisions"], custom["ema"]
    for part, names in (
        (fields, _CUT), (recording, _RECORDING), (source, _SOURCE), (supervision, _SUPERVISION),
        (custom, _CUSTOM), (ema, _EMA), (ema["array"], _ARRAY),
    ):  # fmt: skip
        if unknown := set(part) - names:
            raise ValueError(f"unknown fields {sorted(unknown)}")
    alignment = supervision.get("alignment") or {}
    if not isinstance(alignment, dict) or set(alignment) not in (set(), {"phone", "ipa"}):
        raise ValueError("an alignment of other names")
    for symbol, start_s, length_s, _ in (item for items in alignment.values() for item in items):
        if not isinstance(symbol, str) or not (0 <= start_s < MAX_DURATION_S and 0 <= length_s < MAX_DURATION_S):
            raise ValueError("a phone that cannot be")


def _parsed(manifest: Path, number: int, line: bytes) -> tuple[Any, str]:
    """Return a line's fields and their hash."""
    try:
        fields = json.loads(line)
        return fields, digest(fields)
    except (ValueError, RecursionError) as error:
        raise CorpusError(manifest, f"not JSON: {error}", place=f"line {number}") from None


def _row(manifest: Path, corpus: str, number: int, fields: Any, offset: int) -> _Row:
    """Take what is needed of a line; CorpusError if it names anything but the files of its own id."""
    place = f"line {number}"
    try:
        _check_names(fields)
        (source,), array = fields["recording"]["sources"], fields["custom"]["ema"]["array"]
        (supervision,), custom = fields["supervisions"], fields["custom"]
        own, _, stem = fields["id"].partition("/")
        files = source["source"], array["storage_path"], array["storage_key"]
        named = files == (f"{AUDIO}/{stem}.flac", EMA, f"{stem}.npy") and own == corpus and _ID.fullmatch(stem)
        if not named or (source["type"], array["storage_type"]) != ("file", "numpy_files"):
            raise CorpusError(manifest, "names other files than its own", place=place)
        sha256, extra = {str(key): str(value) for key, value in custom["sha256"].items()}, tuple(custom["extra"])
        wanted = {AUDIO, EMA, *((EXTRA,) if extra else ()), *((SOURCE,) if custom["source_origin"] else ())}
        if not wanted <= set(sha256):
            raise CorpusError(manifest, "lacks checksums", place=place)
        speaker, language, text = (str(supervision[name]) for name in ("speaker", "language", "text"))
        count = int(fields["recording"]["num_samples"])
        rate_hz, start_s = float(custom["ema_rate_hz"]), float(custom["ema"]["start"])
        within = (
            0 < count <= MAX_SAMPLES and MIN_EMA_RATE_HZ <= rate_hz <= MAX_RATE_HZ and abs(start_s) < MAX_DURATION_S
        )
        if not within or not speaker.startswith(f"{corpus}/"):
            raise CorpusError(manifest, "a length, rate, start or speaker that cannot be", place=place)
        entry = Entry(str(fields["id"]), corpus, speaker, language, text, count)
        frame, phone_set, origin = custom["frame"], str(custom["phone_set"]), custom["source_origin"]
        return _Row(entry, stem, rate_hz, start_s, extra, sha256, frame, phone_set, origin, offset)
    except CorpusError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise CorpusError(manifest, f"not a cut of ours: {error!r}", place=place) from None
