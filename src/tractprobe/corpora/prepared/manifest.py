"""One line of a prepared corpus's manifest: a lhotse cut that holds our fields and no others."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

from tractprobe.corpora.names import checked_original
from tractprobe.corpora.utterance import MIN_EMA_RATE_HZ, Frame, checked_labels
from tractprobe.signals.audio import MAX_DURATION_S, MAX_RATE_HZ, MAX_SAMPLES, RATE_HZ
from tractprobe.signals.voicing import Origin
from tractprobe.system.errors import CorpusError
from tractprobe.system.files import digest

FORMAT = 3
DESCRIPTION, MANIFEST = "corpus.json", "cuts.jsonl"
AUDIO, EMA, EXTRA, LARYNX, SOURCE = "audio", "ema", "extra", "larynx", "source"
_CUT = {"id", "start", "duration", "channel", "supervisions", "recording", "custom", "type"}
_RECORDING = {"id", "sources", "sampling_rate", "num_samples", "duration", "channel_ids"}
_SOURCE = {"type", "channels", "source"}
_SUPERVISION = {"id", "recording_id", "start", "duration", "channel", "text", "language", "speaker", "alignment"}
_CUSTOM = {"ema", "ema_rate_hz", "extra", "sha256", "frame", "source_origin", "phone_set", "labels", "original"}
_EMA = {"array", "temporal_dim", "frame_shift", "start"}
_ARRAY = {"storage_type", "storage_path", "storage_key", "shape"}
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class Entry:
    """What a split needs to know about an utterance.

    Attributes
    ----------
    id, speaker
        ``<corpus>/<name>``, so that corpora can be mixed.
    labels
        What else utterances may be grouped by.
    """

    id: str
    corpus: str
    speaker: str
    language: str
    text: str
    num_samples: int
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def duration_s(self) -> float:
        """Length of the audio."""
        return self.num_samples / RATE_HZ


class PreparedTrack(NamedTuple):
    """What the manifest says about the movements of an utterance.

    Attributes
    ----------
    start_s
        Time of the first row, from the start of the audio.
    shape
        Number of rows and of channels.
    """

    rate_hz: float
    start_s: float
    shape: tuple[int, int]

    @property
    def is_possible(self) -> bool:
        """Whether rate and start can be those of movements."""
        return MIN_EMA_RATE_HZ <= self.rate_hz <= MAX_RATE_HZ and abs(self.start_s) < MAX_DURATION_S


class PreparedPhone(NamedTuple):
    """A labelled stretch of speech, in the corpus's own symbol and in IPA."""

    symbol: str
    ipa: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class PreparedUtterance:
    """What the manifest says about an utterance.

    Attributes
    ----------
    id, speaker
        Unique within the corpus.
    num_samples
        Length of the audio, at 16 kHz.
    track
        What is known of the movements; ``None`` if only sound was recorded.
    extra
        Names of the further channels.
    source_origin
        Where pitch and voicing come from; ``None`` if they were not asked for.
    sha256
        Checksum of the audio and of each array, by kind.
    labels
        What else utterances may be grouped by.
    original
        The corpus's own id and speaker, where they had to be changed.
    """

    id: str
    speaker: str
    language: str
    text: str
    frame: Frame
    phone_set: str
    track: PreparedTrack | None
    extra: tuple[str, ...]
    phones: tuple[PreparedPhone, ...]
    num_samples: int
    source_origin: Origin | None
    sha256: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    original: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "PreparedUtterance":
        """Return an utterance from what ``dataclasses.asdict`` and JSON made of it."""
        fields = dict(plain)
        if "ema_shape" in fields:  # in a journal of before there were corpora without movements
            fields["track"] = [fields.pop(name) for name in ("ema_rate_hz", "ema_start_s", "ema_shape")]
        if fields["track"] is not None:
            rate_hz, start_s, shape = fields["track"]
            fields["track"] = PreparedTrack(rate_hz, start_s, tuple(shape))
        phones = tuple(PreparedPhone(*phone) for phone in plain["phones"])
        return cls(**{**fields, "extra": tuple(plain["extra"]), "phones": phones})

    @classmethod
    def from_cut(cls, corpus: str, cut: Any) -> "PreparedUtterance":
        """Return an utterance from its line; ValueError or the like if it is not ours or names other files."""
        _check_names(cut)
        _check_files(corpus, cut)
        (supervision,), custom = cut["supervisions"], cut["custom"]
        own, _, speaker = str(supervision["speaker"]).partition("/")
        utterance = cls(
            id=cut["id"].partition("/")[2],
            speaker=speaker,
            language=str(supervision["language"]),
            text=str(supervision["text"]),
            frame=custom["frame"],
            phone_set=str(custom["phone_set"]),
            track=_track(custom),
            extra=tuple(custom["extra"]),
            phones=_phones(supervision.get("alignment") or {}),
            num_samples=int(cut["recording"]["num_samples"]),
            source_origin=custom["source_origin"],
            sha256={str(kind): str(value) for kind, value in custom["sha256"].items()},
            labels=checked_labels(custom.get("labels", {})),
            original=checked_original(custom.get("original", {})),
        )
        if own != corpus or not utterance._is_possible:
            raise ValueError("impossible length, rate, start, speaker or frame")
        if not utterance._kinds <= set(utterance.sha256):
            raise ValueError("lacks checksums")
        return utterance

    @property
    def _is_possible(self) -> bool:
        moves = self.track.is_possible if self.track else not self.extra
        return 0 < self.num_samples <= MAX_SAMPLES and moves and self.frame in get_args(Frame)

    @property
    def _kinds(self) -> set[str]:
        """The kinds of files that there must be."""
        there = {EMA: self.track, EXTRA: self.extra, SOURCE: self.source_origin}
        return {AUDIO, *(kind for kind, present in there.items() if present)}

    def to_cut(self, corpus: str) -> dict[str, Any]:
        """Return the utterance's line: a lhotse cut."""
        from lhotse import MonoCut, Recording, SupervisionSegment
        from lhotse.audio import AudioSource

        id_, duration_s = f"{corpus}/{self.id}", self.num_samples / RATE_HZ
        source = AudioSource("file", [0], f"{AUDIO}/{self.id}.flac")
        supervision = SupervisionSegment(
            id=id_,
            recording_id=id_,
            start=0.0,
            duration=duration_s,
            text=self.text,
            language=self.language,
            speaker=f"{corpus}/{self.speaker}",
            alignment=self._alignment(),
        )
        cut = MonoCut(
            id=id_,
            start=0.0,
            duration=duration_s,
            channel=0,
            recording=Recording(id_, [source], RATE_HZ, self.num_samples, duration_s),
            supervisions=[supervision],
            custom=self._custom(),
        )
        return json.loads(json.dumps(cut.to_dict()))

    def _alignment(self) -> dict[str, Any] | None:
        from lhotse.supervision import AlignmentItem

        spans = [(round(phone.start_s, 6), round(phone.end_s - phone.start_s, 6)) for phone in self.phones]
        if not spans:
            return None
        return {
            "phone": [AlignmentItem(phone.symbol, *span) for phone, span in zip(self.phones, spans, strict=True)],
            "ipa": [AlignmentItem(phone.ipa, *span) for phone, span in zip(self.phones, spans, strict=True)],
        }

    def _movements(self) -> dict[str, Any]:
        from lhotse.array import Array, TemporalArray

        if self.track is None:
            return {}
        array = Array("numpy_files", EMA, f"{self.id}.npy", list(self.track.shape))
        ema = TemporalArray(array, 0, frame_shift=1 / self.track.rate_hz, start=self.track.start_s)
        return {"ema": ema, "ema_rate_hz": self.track.rate_hz}

    def _custom(self) -> dict[str, Any]:
        custom = {
            **self._movements(),
            "extra": list(self.extra),
            "sha256": dict(self.sha256),
            "frame": self.frame,
            "source_origin": self.source_origin,
            "phone_set": self.phone_set,
        }
        named = {"labels": dict(self.labels), "original": dict(self.original)}
        return custom | {name: value for name, value in named.items() if value}

    def entry(self, corpus: str) -> Entry:
        """Return what a split needs to know."""
        id_, speaker = f"{corpus}/{self.id}", f"{corpus}/{self.speaker}"
        return Entry(id_, corpus, speaker, self.language, self.text, self.num_samples, self.labels)


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """What is kept in memory of a manifest's line: all but the phones, and where to read these again."""

    entry: Entry
    utterance: PreparedUtterance
    offset: int


def content_hash(cuts: Iterable[str], palates: Mapping[str, Any]) -> str:
    """Return a corpus's hash from its palates and its cuts' hashes, which name those of all audio and movements."""
    return digest([FORMAT, sorted(cuts), palates])


def parsed_line(manifest: Path, number: int, line: bytes) -> tuple[Any, str]:
    """Return a line's fields and their hash."""
    try:
        fields = json.loads(line)
        return fields, digest(fields)
    except (ValueError, RecursionError) as error:
        raise CorpusError(manifest, f"not JSON: {error}", place=f"line {number}") from None


def row_of(manifest: Path, corpus: str, number: int, cut: Any, offset: int) -> ManifestRow:
    """Return what is needed of a line; CorpusError if it names anything but the files of its own id."""
    try:
        utterance = PreparedUtterance.from_cut(corpus, cut)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        problem = f"not a cut of ours: {error if isinstance(error, ValueError) else repr(error)}"
        raise CorpusError(manifest, problem, place=f"line {number}") from None
    return ManifestRow(utterance.entry(corpus), replace(utterance, phones=()), offset)


def _check_names(cut: Any) -> None:
    """Raise ValueError if a cut holds anything that we do not write: lhotse would build it, whatever it is."""
    recording, custom = cut["recording"], cut["custom"]
    (source,), (supervision,) = recording["sources"], cut["supervisions"]
    movements = [(custom["ema"], _EMA), (custom["ema"]["array"], _ARRAY)] if "ema" in custom else []
    for part, names in (
        (cut, _CUT), (recording, _RECORDING), (source, _SOURCE), (supervision, _SUPERVISION), (custom, _CUSTOM),
        *movements,
    ):  # fmt: skip
        if unknown := set(part) - names:
            raise ValueError(f"unknown fields {sorted(unknown)}")


def _check_files(corpus: str, cut: Any) -> None:
    (source,) = cut["recording"]["sources"]
    own, _, stem = cut["id"].partition("/")
    are_own = (source["type"], source["source"]) == ("file", f"{AUDIO}/{stem}.flac")
    if "ema" in cut["custom"]:
        array = cut["custom"]["ema"]["array"]
        named = array["storage_type"], array["storage_path"], array["storage_key"]
        are_own = are_own and named == ("numpy_files", EMA, f"{stem}.npy")
    if not are_own or own != corpus or not _ID.fullmatch(stem):
        raise ValueError("names other files than its own")


def _track(custom: Mapping[str, Any]) -> PreparedTrack | None:
    """Return what a line says about movements; ``None`` if it says nothing, LookupError if only a part."""
    if "ema" not in custom and "ema_rate_hz" not in custom:
        return None
    rows, columns = custom["ema"]["array"]["shape"]
    return PreparedTrack(float(custom["ema_rate_hz"]), float(custom["ema"]["start"]), (int(rows), int(columns)))


def _phones(alignment: Any) -> tuple[PreparedPhone, ...]:
    if not isinstance(alignment, dict) or set(alignment) not in (set(), {"phone", "ipa"}):
        raise ValueError("an alignment with unknown names")
    phones = []
    for own, item in zip(alignment.get("phone", ()), alignment.get("ipa", ()), strict=True):
        (symbol, *span, _), (ipa, start_s, length_s, _) = own, item
        consistent = isinstance(symbol, str) and isinstance(ipa, str) and span == [start_s, length_s]
        if not consistent or not (0 <= start_s < MAX_DURATION_S and 0 <= length_s < MAX_DURATION_S):
            raise ValueError("an impossible phone")
        phones.append(PreparedPhone(symbol, ipa, float(start_s), float(start_s + length_s)))
    return tuple(phones)
