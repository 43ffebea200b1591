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
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from tractprobe.articulators import CHANNELS, UNIT
from tractprobe.errors import CorpusError
from tractprobe.files import MAX_JSON_BYTES, file_sha256, read_json, read_npy
from tractprobe.track import Track

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.array import TemporalArray
    from lhotse.cut import MonoCut

FORMAT = 1
RATE_HZ = 16000
DESCRIPTION, MANIFEST = "corpus.json", "cuts.jsonl"


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
        description = read_json(folder / DESCRIPTION)
        if not isinstance(description, dict) or description.get("format") != FORMAT:
            raise CorpusError(folder / DESCRIPTION, f"not of format {FORMAT}; prepare the corpus again")
        if description.get("channels") != list(CHANNELS) or description.get("unit") != UNIT:
            raise CorpusError(folder / DESCRIPTION, "other channels or units than ours; prepare the corpus again")
        self.name: str = description["name"]
        self.content_hash: str = description["content_hash"]
        self.description: dict[str, Any] = description

    @staticmethod
    def source(folder: Path) -> str | None:
        """Return the raw folder that a prepared corpus was made from, or ``None`` if there is no such corpus."""
        path = folder / DESCRIPTION
        return read_json(path).get("source") if path.is_file() else None

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
        """Return 16 kHz samples, full scale 1."""
        audio = self._cuts[utterance_id].load_audio()
        assert audio is not None
        return audio[0]

    def track(self, utterance_id: str) -> Track:
        """Return the movements as they were measured: unfiltered, at the corpus's own rate."""
        ema: TemporalArray = (self._cuts[utterance_id].custom or {})["ema"]
        path = Path(ema.array.storage_path, ema.array.storage_key)
        values = read_npy(path)
        if list(values.shape) != ema.array.shape:
            raise CorpusError(path, f"shape {values.shape} where the manifest says {ema.array.shape}")
        return Track(values.astype(np.float64), 1 / ema.frame_shift, ema.start)

    @cached_property
    def _cuts(self) -> "dict[str, MonoCut]":
        manifest = self.folder / MANIFEST
        if not manifest.is_file() or file_sha256(manifest) != self.description["manifest_sha256"]:
            raise CorpusError(manifest, f"missing or changed since it was written; {how_to_prepare(self.name)}")
        if manifest.stat().st_size > MAX_JSON_BYTES * 16:
            raise CorpusError(manifest, "more than 1 GiB of manifest")
        cuts = {}
        with open(manifest, encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                cut = _read_cut(manifest, number, line)
                cuts[cut.id] = cut
        return cuts


def how_to_prepare(name: str) -> str:
    """Return the command that prepares a corpus."""
    return f"tractprobe prepare corpus={name} corpus.root=<its folder>  (or corpus=folder corpus.name={name} ...)"


def _read_cut(manifest: Path, number: int, line: str) -> "MonoCut":
    from lhotse.cut import MonoCut

    place = f"line {number}"
    try:
        fields = json.loads(line)
        sources = fields["recording"]["sources"]
        array = fields["custom"]["ema"]["array"]
        if any(source["type"] != "file" for source in sources) or array["storage_type"] != "numpy_files":
            raise CorpusError(manifest, "only plain files may be named", place=place)
        for source in sources:
            source["source"] = str(_inside(manifest, place, source["source"]))
        _inside(manifest, place, array["storage_key"])
        array["storage_path"] = str(_inside(manifest, place, array["storage_path"]))
        return MonoCut.from_dict(fields)
    except (KeyError, TypeError, json.JSONDecodeError, AttributeError) as error:
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
