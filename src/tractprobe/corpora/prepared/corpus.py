"""A prepared corpus on disk: a lhotse CutSet of 16 kHz FLAC with the movements as a TemporalArray beside it.

::

    <data>/<name>/corpus.json       what it is: reader, speakers, hours, palates, what was skipped, content hash
    <data>/<name>/cuts.jsonl        lhotse manifest, paths relative to the folder
    <data>/<name>/audio/<id>.flac   one channel, 16 kHz, 16 bit
    <data>/<name>/ema/<id>.npy      float32 (time, channel), mm, canonical channels, NaN = missing, unfiltered; not
                                    there in a corpus of sound alone, whose ``channels`` are an empty list
    <data>/<name>/extra/<id>.npy    the same of further channels, where a corpus has them
    <data>/<name>/larynx/<id>.flac  the laryngograph's signal, like the audio
    <data>/<name>/source/<id>.npy   float32 (time, 3), SOURCE_CHANNELS every 5 ms, if they were asked for

Opening checks that the manifest is the one that was written and names nothing outside the folder: otherwise a lhotse
manifest may ask for shell commands and network addresses. What a split or a batch needs of an utterance is kept in
memory; its phones are read again from its line when they are asked for.
"""

import json
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.utterance import Phone, Utterance, naming
from tractprobe.signals.audio import RATE_HZ, read_audio, to_pcm16
from tractprobe.signals.channels import CHANNELS, UNIT
from tractprobe.signals.track import Track
from tractprobe.signals.voicing import SOURCE_STEP_S, Origin, SourceTrack
from tractprobe.system.errors import CorpusError
from tractprobe.system.files import array_sha256, check_regular, file_sha256, is_there, read_json, read_npy

if TYPE_CHECKING:
    from lhotse import CutSet
from tractprobe.corpora.prepared.manifest import (
    AUDIO,
    DESCRIPTION,
    EMA,
    EXTRA,
    FORMAT,
    LARYNX,
    MANIFEST,
    SOURCE,
    Entry,
    ManifestRow,
    PreparedPhone,
    PreparedUtterance,
    content_hash,
    parsed_line,
    row_of,
)

SIMULATED_UNSAID = "virtual"
"""The name of a corpus that is simulated though it does not say so: the built-in one, before corpora said it."""
_MAX_MANIFEST_BYTES = 1 << 30


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
            raise CorpusError(folder, f"no prepared corpus here; prepare it with: {how_to_prepare(folder.name)}")
        self.description = _description(folder)
        self.name: str = self.description["name"]
        self.content_hash: str = self.description["content_hash"]

    @staticmethod
    def source(folder: Path) -> Path | None:
        """Return the raw folder that a prepared corpus was made from, in whatever format; ``None`` if nothing is there.

        Raises
        ------
        CorpusError
            Something is there that does not say what it was made from.
        """
        path = folder / DESCRIPTION
        if not is_there(folder):  # or a link to a folder that is still to be made
            return None
        if not is_there(path):
            raise CorpusError(folder, f"exists but is not a prepared corpus (it has no {DESCRIPTION}); move it away")
        try:
            match read_json(path):
                case {"source": str() as source}:
                    return Path(source)
            problem = "lacks its source"
        except CorpusError as error:
            problem = error.problem
        raise CorpusError(path, f"{problem}. It is not replaced unasked: restore or remove {folder}")

    @property
    def cuts(self) -> "CutSet":
        """The utterances as a lhotse CutSet, with absolute paths."""
        from lhotse import CutSet, MonoCut

        return CutSet.from_cuts(MonoCut.from_dict(self._absolute(self._cut(row))) for row in self._rows.values())

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The utterances as splits see them, in the order of the manifest."""
        return tuple(row.entry for row in self._rows.values())

    def audio(self, utterance_id: str) -> Float[np.ndarray, " sample"]:
        """Return 16 kHz samples, full scale 1; CorpusError if they have changed since they were prepared."""
        return self._sound(self._rows[utterance_id], AUDIO)

    def track(self, utterance_id: str) -> Track:
        """Return the movements as measured: unfiltered, at the corpus's own rate; checked like ``audio``.

        CorpusError if the corpus is one of sound alone.
        """
        self.check_movements()
        row = self._rows[utterance_id]
        assert row.utterance.track is not None
        with naming(self.folder / EMA / f"{row.utterance.id}.npy"):
            return Track(self._array(row, EMA), row.utterance.track.rate_hz, row.utterance.track.start_s)

    @property
    def has_movements(self) -> bool:
        """Whether its utterances have movements; otherwise it is a corpus of sound alone, to pretrain encoders on."""
        return bool(self.description["channels"])

    def check_movements(self) -> None:
        """Raise CorpusError if the corpus is one of sound alone."""
        if not self.has_movements:
            raise CorpusError(self.folder, f"corpus {self.name} has no movements: it is for `tractprobe pretrain`")

    def phones(self, utterance_id: str) -> tuple[PreparedPhone, ...]:
        """Return the labelled phones in order, in the corpus's symbols and in IPA; none where it has no labels."""
        return PreparedUtterance.from_cut(self.name, self._cut(self._rows[utterance_id])).phones

    def extra_channels(self, utterance_id: str) -> tuple[str, ...]:
        """Return the names of the further channels of an utterance."""
        return self._rows[utterance_id].utterance.extra

    def extra_track(self, utterance_id: str) -> Track | None:
        """Return the further channels as measured, at the movements' times; ``None`` if there are none."""
        row = self._rows[utterance_id]
        extra, track = row.utterance.extra, row.utterance.track
        if not extra or track is None:
            return None
        with naming(self.folder / EXTRA / f"{row.utterance.id}.npy"):
            return Track(self._array(row, EXTRA), track.rate_hz, track.start_s, extra)

    def source_track(self, utterance_id: str) -> SourceTrack:
        """Return pitch, voicing and loudness; CorpusError if the corpus was prepared without them."""
        row = self._rows[utterance_id]
        if row.utterance.source_origin is None:
            raise CorpusError(self.folder, "holds no source channels; prepare it with source_channels=true")
        return SourceTrack(self._array(row, SOURCE), 1 / SOURCE_STEP_S, 0.0, row.utterance.source_origin)

    def source_origin(self, utterance_id: str) -> Origin | None:
        """Return where an utterance's pitch and voicing come from; ``None`` if prepared without them."""
        return self._rows[utterance_id].utterance.source_origin

    @property
    def source_origins(self) -> dict[str, int]:
        """Where pitch and voicing come from, and for how many utterances; empty if prepared without them."""
        origins = [row.utterance.source_origin for row in self._rows.values()]
        return dict(Counter(origin for origin in origins if origin is not None))

    @property
    def simulated(self) -> bool | None:
        """Whether the speech was made by a program rather than recorded from people; ``None`` if nothing says so."""
        return self.description.get("simulated", True if self.name == SIMULATED_UNSAID else None)

    @cached_property
    def palates(self) -> dict[str, Float[np.ndarray, "point 2"]]:
        """The palate traces (mm, back to front) of the speakers, named as in ``utterance``, that have one."""
        try:
            traces = {name: np.array(points, dtype=np.float64) for name, points in self.description["palates"].items()}
        except (ValueError, TypeError, ArithmeticError):
            traces = {"": np.zeros(0)}
        if any(np.shape(points)[1:] != (2,) for points in traces.values()):
            raise CorpusError(self.folder / DESCRIPTION, "palates are not lists of points", place="palates")
        return traces

    def utterance(self, utterance_id: str) -> Utterance:
        """Return an utterance as its reader gave it, except for the audio's rate; phones are in IPA."""
        row = self._rows[utterance_id]
        extra = self._array(row, EXTRA).T if row.utterance.extra else ()
        larynx = self._sound(row, LARYNX) if LARYNX in row.utterance.sha256 else None
        with naming(self.folder / MANIFEST):
            return self._utterance(row, extra, larynx)

    def _utterance(self, row: ManifestRow, extra: Any, larynx: Any) -> Utterance:
        prepared = PreparedUtterance.from_cut(self.name, self._cut(row))  # with its phones
        return Utterance(
            id=prepared.id,
            speaker=prepared.speaker,
            language=prepared.language,
            text=prepared.text,
            audio=self.audio(row.entry.id),
            audio_rate_hz=RATE_HZ,
            track=self.track(row.entry.id) if self.has_movements else None,
            phones=tuple(Phone(phone.ipa, phone.start_s, phone.end_s) for phone in prepared.phones),
            phone_set="ipa",
            extra=dict(zip(prepared.extra, extra, strict=True)),
            frame=prepared.frame,
            larynx=larynx,
            larynx_rate_hz=0 if larynx is None else RATE_HZ,
            labels=prepared.labels,
            original=prepared.original,
        )

    def _sound(self, row: ManifestRow, kind: str) -> Float[np.ndarray, " sample"]:
        path = self.folder / kind / f"{row.utterance.id}.flac"
        samples, rate_hz = read_audio(path)
        complete = kind != AUDIO or len(samples) == row.entry.num_samples
        if not complete or rate_hz != RATE_HZ or array_sha256(to_pcm16(samples, RATE_HZ)) != row.utterance.sha256[kind]:
            raise CorpusError(path, f"changed since it was prepared; {self._to_repair}")
        return samples

    def _array(self, row: ManifestRow, kind: str) -> Float[np.ndarray, "time column"]:
        path = self.folder / kind / f"{row.utterance.id}.npy"
        values = read_npy(path)
        if array_sha256(values) != row.utterance.sha256[kind]:
            raise CorpusError(path, f"changed since it was prepared; {self._to_repair}")
        return values.astype(np.float64)

    def _cut(self, row: ManifestRow) -> dict[str, Any]:
        """Read an utterance's line again; the manifest was checked when it was opened."""
        with open(self.folder / MANIFEST, "rb") as manifest:
            manifest.seek(row.offset)
            return json.loads(manifest.readline())

    def _absolute(self, fields: dict[str, Any]) -> dict[str, Any]:
        for source in fields["recording"]["sources"]:
            source["source"] = str(self.folder / source["source"])
        if self.has_movements:
            fields["custom"]["ema"]["array"]["storage_path"] = str(self.folder / EMA)
        return fields

    @property
    def _to_repair(self) -> str:
        """What to do about files that have changed; ``prepare`` would leave them, as the raw corpus has not."""
        made_from = self.description["source"]
        return f"remove {self.folder} and prepare it again: {how_to_prepare(self.name, made_from)}"

    def check_manifest(self) -> Path:
        """Return the manifest's path; CorpusError unless it is the one that was written."""
        manifest = self.folder / MANIFEST
        check_regular(manifest)
        if manifest.stat().st_size > _MAX_MANIFEST_BYTES:
            raise CorpusError(manifest, f"more than {_MAX_MANIFEST_BYTES} bytes")
        if file_sha256(manifest) != self.description["manifest_sha256"]:
            raise CorpusError(manifest, f"changed since it was written; {self._to_repair}")
        return manifest

    @cached_property
    def _rows(self) -> dict[str, ManifestRow]:
        manifest = self.check_manifest()
        rows, hashes, offset = {}, [], 0
        with open(manifest, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                fields, hashed = parsed_line(manifest, number, line)
                hashes.append(hashed)
                row = row_of(manifest, self.name, number, fields, offset)
                if (row.utterance.track is not None) != self.has_movements:
                    has = "no movements" if self.has_movements else "movements"
                    problem = f"has {has}, which {DESCRIPTION} contradicts; {self._to_repair}"
                    raise CorpusError(manifest, problem, place=f"line {number}")
                if row.entry.id in rows:
                    raise CorpusError(manifest, f"names {row.entry.id} twice", place=f"line {number}")
                rows[row.entry.id] = row
                offset += len(line)
        if content_hash(hashes, self.description["palates"]) != self.content_hash:
            raise CorpusError(
                self.folder / DESCRIPTION, f"its content_hash does not match the manifest; {self._to_repair}"
            )
        return rows


def how_to_prepare(name: str, root: str = "<its folder>") -> str:
    """Return the command that prepares a corpus."""
    return f"tractprobe prepare corpus={name} corpus.root={root} (or corpus=folder corpus.name={name} ...)"


def _description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    description = read_json(path)
    match description:
        case {"format": written} if written == FORMAT:
            pass
        case _:
            raise CorpusError(path, f"not of format {FORMAT}; prepare it again: {how_to_prepare(folder.name)}")
    texts = ("name", "content_hash", "fingerprint", "manifest_sha256", "source")
    if not all(isinstance(description.get(text), str) for text in texts):
        raise CorpusError(path, f"lacks one of {', '.join(texts)}; prepare the corpus again")
    if description["name"] != folder.name:
        raise CorpusError(path, f"is corpus {description['name']}, in a folder of another name")
    if description.get("channels") not in (list(CHANNELS), []) or description.get("unit") != UNIT:
        raise CorpusError(path, "other channels or units than this version's; prepare the corpus again")
    if not isinstance(description.get("simulated", True), bool):
        raise CorpusError(path, "neither true nor false; prepare the corpus again", place="simulated")
    if not isinstance(description.get("palates"), dict):
        raise CorpusError(path, "lacks palates; prepare the corpus again")
    return description
