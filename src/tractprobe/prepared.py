"""A prepared corpus on disk: a lhotse CutSet of 16 kHz FLAC with the movements as a TemporalArray beside it.

::

    <data>/<name>/corpus.json     what it is: reader, speakers, hours, what was skipped, content hash
    <data>/<name>/cuts.jsonl      lhotse manifest, paths relative to the folder
    <data>/<name>/audio/*.flac    one channel, 16 kHz, 16 bit
    <data>/<name>/ema/*.npy       float32 (time, channel), mm, canonical channels, NaN = missing, unfiltered

Opening checks that the manifest is the one that was written and names nothing outside the folder: a lhotse manifest may
otherwise ask for shell commands and addresses.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from tractprobe.articulators import CHANNELS, UNIT
from tractprobe.corpora.audio import read_audio
from tractprobe.errors import CorpusError
from tractprobe.files import array_sha256, check_regular, digest, file_sha256, read_json, read_npy
from tractprobe.track import Track

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import MonoCut

FORMAT = 2
RATE_HZ = 16000
DESCRIPTION, MANIFEST = "corpus.json", "cuts.jsonl"
_MAX_MANIFEST_BYTES = 1 << 30


@dataclass(frozen=True)
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

    @cached_property
    def cuts(self) -> "CutSet":
        """The utterances as a lhotse CutSet, with absolute paths."""
        from lhotse import CutSet

        return CutSet.from_cuts(self._cuts.values())

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The utterances as splits see them, in the order of the manifest."""
        return tuple(_entry(self.name, cut) for cut in self._cuts.values())

    def audio(self, utterance_id: str) -> Float[np.ndarray, " sample"]:
        """Return 16 kHz samples, full scale 1; CorpusError if they are not those that were prepared."""
        cut = self._cuts[utterance_id]
        path = Path(str(cut.recording.sources[0].source))
        samples, rate_hz = read_audio(path)
        pcm = np.round(samples * 32768).astype(np.int16)
        if rate_hz != RATE_HZ or array_sha256(pcm) != cut.custom["audio_sha256"]:
            raise CorpusError(path, f"changed since it was prepared; {how_to_prepare(self.name)}")
        return samples

    def track(self, utterance_id: str) -> Track:
        """Return the movements as they were measured: unfiltered, at the corpus's own rate; checked like ``audio``."""
        cut = self._cuts[utterance_id]
        ema = cut.custom["ema"]
        path = Path(ema.array.storage_path, ema.array.storage_key)
        values = read_npy(path)
        if array_sha256(values) != cut.custom["ema_sha256"]:
            raise CorpusError(path, f"changed since it was prepared; {how_to_prepare(self.name)}")
        return Track(values.astype(np.float64), 1 / ema.frame_shift, ema.start)

    @cached_property
    def _cuts(self) -> "dict[str, Any]":
        manifest = self.folder / MANIFEST
        check_regular(manifest)
        if manifest.stat().st_size > _MAX_MANIFEST_BYTES:
            raise CorpusError(manifest, f"more than {_MAX_MANIFEST_BYTES} bytes")
        if file_sha256(manifest) != self.description["manifest_sha256"]:
            raise CorpusError(manifest, f"changed since it was written; {how_to_prepare(self.name)}")
        cuts, hashes = {}, []
        with open(manifest, encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                fields = _fields(manifest, number, line)
                hashes.append(digest(fields))
                cut = _cut(manifest, number, fields)
                cuts[cut.id] = cut
        if content_hash(hashes) != self.content_hash:
            raise CorpusError(self.folder / DESCRIPTION, "its content_hash is not that of the manifest")
        return cuts


def content_hash(cuts: Iterable[str]) -> str:
    """Return a corpus's hash from those of its cuts, each of which names the hashes of its audio and movements."""
    return digest([FORMAT, sorted(cuts)])


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
    return description


def _fields(manifest: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise CorpusError(manifest, f"not JSON: {error}", place=f"line {number}") from None


def _cut(manifest: Path, number: int, fields: Any) -> "MonoCut":
    """Make the cut of a line, its paths absolute; CorpusError if it names anything but files of its own folder."""
    from lhotse.cut import MonoCut

    place = f"line {number}"
    try:
        sources = fields["recording"]["sources"]
        array = fields["custom"]["ema"]["array"]
        if any(source["type"] != "file" for source in sources) or array["storage_type"] != "numpy_files":
            raise CorpusError(manifest, "only plain files may be named", place=place)
        for source in sources:
            source["source"] = str(_inside(manifest, place, source["source"]))
        _inside(manifest, place, array["storage_key"])
        array["storage_path"] = str(_inside(manifest, place, array["storage_path"]))
        cut = MonoCut.from_dict(fields)
        _ = cut.custom["audio_sha256"], cut.custom["ema_sha256"], cut.supervisions[0]  # type: ignore[index]
        return cut
    except CorpusError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise CorpusError(manifest, f"not a cut of ours: {error!r}", place=place) from None


def _inside(manifest: Path, place: str, name: str) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or ":" in name:
        raise CorpusError(manifest, f"names {name!r}, outside the corpus's folder", place=place)
    return manifest.parent / path


def _entry(corpus: str, cut: "MonoCut") -> Entry:
    supervision = cut.supervisions[0]
    return Entry(
        id=cut.id,
        corpus=corpus,
        speaker=str(supervision.speaker),
        language=str(supervision.language),
        text=supervision.text or "",
        num_samples=int(cut.num_samples or 0),
    )
