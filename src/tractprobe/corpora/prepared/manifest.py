"""One line of a prepared corpus's manifest: a lhotse cut that holds our fields and no others."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tractprobe.corpora.utterance import MIN_EMA_RATE_HZ, Frame
from tractprobe.signals.audio import MAX_DURATION_S, MAX_RATE_HZ, MAX_SAMPLES, RATE_HZ
from tractprobe.signals.voicing import Origin
from tractprobe.system.errors import CorpusError
from tractprobe.system.files import digest

if TYPE_CHECKING:
    pass

FORMAT = 3
DESCRIPTION, MANIFEST = "corpus.json", "cuts.jsonl"
AUDIO, EMA, EXTRA, LARYNX, SOURCE = "audio", "ema", "extra", "larynx", "source"
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
class ManifestRow:
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


def content_hash(cuts: Iterable[str], palates: Mapping[str, Any]) -> str:
    """Return a corpus's hash from its palates and its cuts' hashes, which name those of all audio and movements."""
    return digest([FORMAT, sorted(cuts), palates])


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


def parsed_line(manifest: Path, number: int, line: bytes) -> tuple[Any, str]:
    """Return a line's fields and their hash."""
    try:
        fields = json.loads(line)
        return fields, digest(fields)
    except (ValueError, RecursionError) as error:
        raise CorpusError(manifest, f"not JSON: {error}", place=f"line {number}") from None


def row_of(manifest: Path, corpus: str, number: int, fields: Any, offset: int) -> ManifestRow:
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
        return ManifestRow(entry, stem, rate_hz, start_s, extra, sha256, frame, phone_set, origin, offset)
    except CorpusError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise CorpusError(manifest, f"not a cut of ours: {error!r}", place=place) from None


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
