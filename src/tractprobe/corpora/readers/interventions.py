"""Interventions: utterances of a synthesiser, and the same ones again with one thing about their production changed.

A folder holds base utterances in the plain layout (``folder``), and beside them

=====================  =================================================================================================
``pairs.jsonl``        a line for each changed utterance: an object with the fields below
``controls.jsonl``     if there are any, the same of pairs in which nothing was changed but the synthesiser's noise
``changes.flac``       changed stretches of audio, one after another, 16 kHz
``changes.ema.npy``    int16 (row, 12): changed minus base positions of stretches, one after another; steps of 0.001 mm
=====================  =================================================================================================

=================  =====================================================================================================
field              meaning
=================  =====================================================================================================
id, base           names of the pair and of its base utterance
kind               one of ``KINDS``
moved              one of ``ARTICULATORS`` (of timing pairs: the one that comes earlier or later), otherwise the kind
direction          ``x``, ``y`` or empty
amount, unit       by how much, as the synthesiser's parameter has it: of articulators a number with ``cm`` or ``cm2``,
                   of pitch with ``semitones``, of timing with ``ms``; a name of a voice or speaker
window_s           start and end of where production differs, in s from the start of the audio, with the edges, over
                   which pitch rises and falls by half a cosine within ``EDGE_S``
phone, phone_kind  what is said in the middle of the window: a ``vowel``, a ``consonant``, or empty
audio_start        the first changed sample; all before it and after ``audio_samples`` of them is the base's
audio_offset       where these are in ``changes.flac``
ema_start          the first changed row at 100 Hz; 0 ``ema_rows`` where the change has no common frame with the base
ema_offset         where these are in ``changes.ema.npy``
seed               of what was drawn
=================  =====================================================================================================

Other fields are not read. Nothing in a folder names a file, and everything is of bounded size.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.readers.folder import Folder
from tractprobe.corpora.utterance import Utterance
from tractprobe.signals.audio import RATE_HZ, read_audio
from tractprobe.signals.channels import CHANNELS
from tractprobe.signals.track import Track
from tractprobe.system.errors import CorpusError
from tractprobe.system.files import array_sha256, check_regular, digest, is_there, read_npy, read_text

PAIRS, CONTROLS, AUDIO, EMA = "pairs.jsonl", "controls.jsonl", "changes.flac", "changes.ema.npy"
ARTICULATOR, F0, VOICE, ANATOMY, TIMING, NOISE = KINDS = ("articulator", "f0", "voice", "anatomy", "timing", "noise")
ARTICULATORS = ("tongue_tip", "tongue_body", "lip_aperture", "lip_protrusion", "jaw", "velum")
EMA_RATE_HZ, RESOLUTION_MM = 100.0, 0.001
EDGE_S = 0.025
UNITS = {ARTICULATOR: ("cm", "cm2"), F0: ("semitones",), TIMING: ("ms",)}
MAX_PAIRS, MAX_BASES, MAX_LINE, MAX_ROWS = 20_000, 2_000, 4_000, 2_000_000
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MISSING = np.iinfo(np.int16).min
_COUNTS = ("audio_start", "audio_samples", "audio_offset", "ema_start", "ema_rows", "ema_offset")
_TEXTS = ("id", "base", "kind", "moved", "direction", "unit", "phone", "phone_kind")


@dataclass(frozen=True)
class Pair:
    """A base utterance and one change of its production; see the module's documentation for the fields.

    Attributes
    ----------
    line
        Of ``pairs.jsonl``, from 1.
    amount
        A number, or the name of a voice or speaker.
    """

    line: int
    id: str
    base: str
    kind: str
    moved: str
    direction: str
    amount: float | str
    unit: str
    window_s: tuple[float, float]
    phone: str
    phone_kind: str
    audio_start: int
    audio_samples: int
    audio_offset: int
    ema_start: int
    ema_rows: int
    ema_offset: int

    @property
    def mean_size(self) -> float:
        """The mean over the window of the amount's course, either way; NaN for a name.

        With u in units of an edge, the course is 1/2 - cos(π u)/2 up to u = 1, then 1, and the same backwards: each
        edge loses half of itself, and in a window of less than two edges the course turns back at u = h < 1, where its
        mean is 1/2 - sin(π h) / (2 π h).
        """
        if not isinstance(self.amount, float):
            return float("nan")
        edges = (self.window_s[1] - self.window_s[0]) / (2 * EDGE_S)
        mean = 1 - 0.5 / edges if edges >= 1 else 0.5 - math.sin(math.pi * edges) / (2 * math.pi * edges)
        return abs(self.amount) * mean


@dataclass(frozen=True, eq=False)
class InterventionSet:
    """Base utterances by id, and pairs, in the order of the file.

    Attributes
    ----------
    bases
        At 16 kHz, with movements in mm.
    generator
        The program that says that it made them; empty if the folder does not say so.
    palates
        Traces of speakers, in mm.
    content_hash
        Of all that is read.
    """

    bases: Mapping[str, Utterance]
    pairs: tuple[Pair, ...]
    generator: str
    palates: Mapping[str, Float[np.ndarray, "point 2"]]
    _audio: Float[np.ndarray, " sample"] = field(repr=False)
    _ema: np.ndarray = field(repr=False)

    @classmethod
    def read(cls, root: Path) -> "InterventionSet":
        """Read a folder; CorpusError names the file and the line that are not what they claim to be."""
        if not root.is_dir():
            raise CorpusError(root, "there is no such folder of interventions")
        folder = Folder("interventions", root)
        bases = _bases(folder)
        audio, rate_hz = read_audio(root / AUDIO)
        if rate_hz != RATE_HZ:
            raise CorpusError(root / AUDIO, f"has {rate_hz} Hz; expected {RATE_HZ}")
        ema = _changes(root / EMA)
        by_file = {name: _pairs(root / name) for name in (PAIRS, CONTROLS) if name == PAIRS or is_there(root / name)}
        generator, palates = str(folder.about().get("generator", "")), folder.palates()
        read = cls(bases, tuple(pair for each in by_file.values() for pair in each), generator, palates, audio, ema)
        for name, pairs in by_file.items():
            for pair in pairs:
                read._check(root / name, pair)
        if twice := {pair.id for pair in by_file[PAIRS]} & {pair.id for pair in by_file.get(CONTROLS, ())}:
            raise CorpusError(root / CONTROLS, f"names {min(twice)}, as {PAIRS} does")
        return read

    def changed(self, pair: Pair) -> Float[np.ndarray, " sample"]:
        """Return the changed audio: the base's, with the stretch that changed in its place."""
        audio = self.bases[pair.base].audio.copy()
        stretch = self._audio[pair.audio_offset : pair.audio_offset + pair.audio_samples]
        audio[pair.audio_start : pair.audio_start + pair.audio_samples] = stretch
        return audio

    def movement(self, pair: Pair) -> Track | None:
        """Return changed minus base positions (mm), exactly, on the base's clock, 0 wherever nothing changed.

        ``None`` where positions of the two have no common frame, as those of two anatomies.
        """
        if not pair.ema_rows:
            return None
        track = self.bases[pair.base].measured
        values = np.zeros((len(track.values), len(CHANNELS)))
        rows = self._ema[pair.ema_offset : pair.ema_offset + pair.ema_rows]
        values[pair.ema_start : pair.ema_start + pair.ema_rows] = RESOLUTION_MM * rows
        return replace(track, values=values)

    @cached_property
    def content_hash(self) -> str:
        bases = {
            name: [
                [each.speaker, each.language, each.text, array_sha256(each.audio), array_sha256(each.measured.values)],
                [[phone.label, phone.start_s, phone.end_s] for phone in each.phones],
            ]
            for name, each in self.bases.items()
        }
        palates = {name: array_sha256(points) for name, points in self.palates.items()}
        pairs = [[getattr(pair, name) for name in (*_TEXTS, *_COUNTS, "amount", "window_s")] for pair in self.pairs]
        return digest([bases, pairs, self.generator, palates, array_sha256(self._audio), array_sha256(self._ema)])

    def _check(self, path: Path, pair: Pair) -> None:
        """Raise CorpusError if a pair reaches beyond its base or beyond what changed."""
        place = f"line {pair.line}"
        if pair.base not in self.bases:
            raise CorpusError(path, f"base {pair.base!r} is no utterance of the folder", place=place)
        base = self.bases[pair.base]
        rows = len(base.measured.values)
        for name, start, count, there in (
            ("audio_start", pair.audio_start, pair.audio_samples, len(base.audio)),
            ("audio_offset", pair.audio_offset, pair.audio_samples, len(self._audio)),
            ("ema_start", pair.ema_start, pair.ema_rows, rows),
            ("ema_offset", pair.ema_offset, pair.ema_rows, len(self._ema)),
        ):
            if start + count > there:
                what = "samples" if name.startswith("audio") else "rows"
                raise CorpusError(path, f"{name} {start} with {count} {what} ends beyond {there}", place=place)
        if not 0 <= pair.window_s[0] < pair.window_s[1] <= len(base.audio) / RATE_HZ + 0.1:
            raise CorpusError(path, f"window_s {list(pair.window_s)} is no window of {pair.base}", place=place)
        stretch = self._ema[pair.ema_offset : pair.ema_offset + pair.ema_rows]
        if (stretch == _MISSING).any():
            raise CorpusError(path, "a change of positions is missing; expected exact ones", place=place)


def _bases(folder: Folder) -> dict[str, Utterance]:
    root, sources = folder.root, folder.sources()
    if len(sources) > MAX_BASES:
        raise CorpusError(root, f"{len(sources)} base utterances; at most {MAX_BASES} are read")
    bases = {}
    for source in sources:
        for base in folder.read(source):
            if base.audio_rate_hz != RATE_HZ or base.measured.rate_hz != EMA_RATE_HZ or base.measured.start_s:
                expected = f"expected audio at {RATE_HZ} Hz and movements at {EMA_RATE_HZ:g} Hz, from its start"
                raise CorpusError(root / source, expected)
            if base.id in bases:
                raise CorpusError(root / source, f"there are two utterances {base.id}")
            bases[base.id] = base
    return bases


def _changes(path: Path) -> np.ndarray:
    check_regular(path)
    if path.stat().st_size > MAX_ROWS * len(CHANNELS) * 2 + 4096:
        raise CorpusError(path, f"more than {MAX_ROWS} rows")
    values = read_npy(path)
    if values.dtype != np.int16 or values.ndim != 2 or values.shape[1] != len(CHANNELS):
        raise CorpusError(path, f"{values.dtype} {values.shape}; expected int16 (row, {len(CHANNELS)})")
    return values


def _pairs(path: Path) -> tuple[Pair, ...]:
    lines = read_text(path, max_bytes=MAX_PAIRS * MAX_LINE).splitlines()
    if not lines or len(lines) > MAX_PAIRS:
        raise CorpusError(path, f"{len(lines)} pairs; expected 1 to {MAX_PAIRS}")
    pairs = tuple(_pair(path, number, line) for number, line in enumerate(lines, start=1))
    seen: set[str] = set()
    for pair in pairs:
        if pair.id in seen:
            raise CorpusError(path, f"names {pair.id} twice", place=f"line {pair.line}")
        seen.add(pair.id)
    return pairs


def _pair(path: Path, number: int, line: str) -> Pair:
    try:
        fields = json.loads(line) if len(line) <= MAX_LINE else None
        if not isinstance(fields, dict):
            raise ValueError(f"expected a JSON object of at most {MAX_LINE} letters")
        return _checked(number, fields)
    except (ValueError, RecursionError) as error:
        raise CorpusError(path, str(error)[:200], place=f"line {number}") from None


def _checked(number: int, fields: dict[str, Any]) -> Pair:
    """Return a line's fields as a pair; ValueError names the field that is not what it should be."""
    if missing := [name for name in (*_TEXTS, *_COUNTS, "amount", "window_s") if name not in fields]:
        raise ValueError(f"lacks {', '.join(missing)}")
    for name in _TEXTS:
        if not _is_text(fields[name], 128):
            raise ValueError(f"{name} is no short text")
    for name in _COUNTS:
        if type(fields[name]) is not int or not 0 <= fields[name] < 1 << 40:
            raise ValueError(f"{name} is no count")
    for name in ("id", "base"):
        if not _ID.fullmatch(fields[name]):
            raise ValueError(f"{name} {fields[name]!r:.60} is no name of letters, digits, '.', '_' and '-'")
    kind = fields["kind"]
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r:.60}; expected one of {', '.join(KINDS)}")
    if kind in (ARTICULATOR, TIMING) and fields["moved"] not in ARTICULATORS:
        raise ValueError(f"moved {fields['moved']!r:.60}; expected one of {', '.join(ARTICULATORS)}")
    if kind in UNITS and fields["unit"] not in UNITS[kind]:
        raise ValueError(f"unit {fields['unit']!r:.60} of {kind}; expected {' or '.join(UNITS[kind])}")
    if fields["phone_kind"] not in ("", "vowel", "consonant"):
        raise ValueError(f"phone_kind {fields['phone_kind']!r:.60}; expected vowel, consonant or nothing")
    if fields["direction"] not in ("", "x", "y"):
        raise ValueError(f"direction {fields['direction']!r:.60}; expected x, y or nothing")
    if fields["audio_samples"] < 1:
        raise ValueError("audio_samples is 0: nothing changed")
    counts = {name: fields[name] for name in (*_TEXTS, *_COUNTS)}
    return Pair(number, **counts, amount=_amount(kind, fields["amount"]), window_s=_window(fields["window_s"]))


def _amount(kind: str, value: Any) -> float | str:
    if kind in (VOICE, ANATOMY) and _is_text(value, 64):
        return value
    if not _is_number(value):
        raise ValueError(f"amount {value!r:.60} is no number")
    return float(value)


def _window(value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2 or not all(map(_is_number, value)):
        raise ValueError(f"window_s {value!r:.60} is not [start, end]")
    return float(value[0]), float(value[1])


def _is_text(value: Any, most: int) -> bool:
    """Whether a value is a short text of letters that can be written: JSON can name halves of letters."""
    return isinstance(value, str) and len(value) <= most and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e6
