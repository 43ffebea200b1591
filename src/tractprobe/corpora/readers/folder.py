"""The plain corpus folder: for the built-in corpus, and for a laboratory's own data.

Each utterance has three files of one name: audio ``<id>.wav``, ``.flac`` or ``.sph`` (any rate), movements
``<id>.ema.npy`` (time x channel; floats in mm, NaN = missing, or int16 in steps of ``ema_resolution_mm``, -32768 =
missing) and ``<id>.json``. If the fundamental frequency is known, as it is to a synthesiser, there is a fourth,
``<id>.f0.npy``: in Hz, from the start of the audio, 0 where the vocal folds do not vibrate.

=================  =========  =====================================================================================
field              required   meaning
=================  =========  =====================================================================================
speaker            yes        letters, digits, ``.``, ``_``, ``-``
language           yes        ISO 639-1, such as ``"it"``
text               yes        what was said; equal texts never lie on both sides of a split
ema_rate_hz        yes        rows of ``.ema.npy`` per second
ema_unit           yes        ``"mm"``
ema_channels       yes        name of each column, out of ``signals.channels.CHANNELS``, in any order
ema_resolution_mm  no         mm of a step; given if and only if ``.ema.npy`` holds int16
ema_start_s        no         time of the first row from the start of the audio; 0 if not given
f0_rate_hz         no         numbers of ``.f0.npy`` per second; given if and only if there is that file
phones             no         ``[label, start_s, end_s]`` for each, in order
labels             no         what else to group by: an object of at most 16 names (``a-z``, ``0-9``, ``_``) with short
                              texts, such as ``{"style": "read"}``
id                 no         if given, the name of the file
sample_rate_hz     no         if given, checked against the audio
duration_s         no         if given, checked against the audio (to 10 ms)
=================  =========  =====================================================================================

With ``corpus.movements=false`` a folder of sound alone is read: what begins with ``ema_`` is not required, and
movements that are there are left out.

x grows to the front and y upwards. Any other field is an error, since it may be a misspelt one. Folders may be nested;
ids are file names and must be unique across them.

Two kinds of files at the root are of the whole corpus, and neither is required: ``<speaker>.palate.npy``, the points of
a palate trace (point x 2; x and y in mm, from one end to the other), and ``folder.toml``, which says where the corpus
comes from: ``simulated`` (true or false), ``generator`` and ``description`` (texts). Files of other names are ignored.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.names import file_safe, originals
from tractprobe.corpora.readers.options import AUDIO_CHANNEL, check_audio_channel
from tractprobe.corpora.utterance import (
    Phone,
    Reader,
    Utterance,
    added,
    checked_labels,
    found,
    naming,
)
from tractprobe.signals.audio import read_audio
from tractprobe.signals.channels import CHANNELS, UNIT, in_canonical_order
from tractprobe.signals.track import Track
from tractprobe.system.errors import ConfigError, CorpusError
from tractprobe.system.files import read_json, read_npy, read_text

_SPOKEN = {"speaker": str, "language": str, "text": str}
_MOVED = {"ema_rate_hz": float, "ema_unit": str, "ema_channels": list}
_REQUIRED = _SPOKEN | _MOVED
_OPTIONAL = {
    "ema_resolution_mm": float,
    "ema_start_s": float,
    "f0_rate_hz": float,
    "phones": list,
    "labels": dict,
    "id": str,
    "sample_rate_hz": float,
    "duration_s": float,
}
_ABOUT = {"simulated": bool, "generator": str, "description": str}
ABOUT_FILE, _PALATE = "folder.toml", ".palate.npy"
_MAX_ABOUT_BYTES, _MAX_ABOUT_LETTERS, _MAX_PALATE_POINTS = 1 << 16, 1000, 100_000
_MISSING = np.iinfo(np.int16).min
_MAX_RESOLUTION_MM = 1.0
_MAX_DURATION_ERROR_S = 0.01
_STANDARDISED = {"z", "zscore", "zscored", "zscores", "sd", "std", "normalised", "normalized", "standardised"}
_NO_MM = (
    "standardised movements have lost their mm, which errors, audit and pictures are in, and so does every result;"
    " undo it with the means and deviations that it was done with, and write 'mm'"
)


@dataclass
class Folder(Reader):
    """Reader of the plain corpus folder (see the module's documentation for the layout).

    Attributes
    ----------
    audio_channel
        Channel of the audio, counted from 0, if it has several.
    movements
        Whether there are movements to be read; without, the corpus is one of sound alone.
    """

    name: str
    root: Path
    audio_channel: int | None = added(None)
    movements: bool = added(True)

    def __post_init__(self):
        self.root = Path(self.root).expanduser()
        check_audio_channel(self.audio_channel)
        if not isinstance(self.movements, bool):
            raise ConfigError(f"corpus.movements={self.movements}: expected true or false")

    @property
    def has_movements(self) -> bool:
        return self.movements

    def sources(self) -> list[str]:
        return found(self.root, list(self.root.rglob("*.json")), "<id>.json, the description of an utterance")

    def about(self) -> Mapping[str, Any]:
        path = self.root / ABOUT_FILE
        return read_about(path) if path.exists() else {}

    def palates(self) -> Mapping[str, Float[np.ndarray, "point 2"]]:
        paths = sorted(self.root.glob(f"*{_PALATE}"))
        return {file_safe(path.name.removesuffix(_PALATE)): _palate(path) for path in paths if self.movements}

    def read(self, source: str) -> list[Utterance]:
        path = self.root / source
        fields = _fields(path, self.movements)
        audio, rate_hz = read_audio(_audio_path(path), self.audio_channel, AUDIO_CHANNEL)
        _check_audio(path, fields, len(audio), rate_hz)
        f0_hz, f0_rate_hz = _f0(path, fields)
        with naming(path):
            return [
                Utterance(
                    id=file_safe(path.stem),
                    speaker=fields["speaker"],
                    language=fields["language"],
                    text=fields["text"],
                    audio=audio,
                    audio_rate_hz=rate_hz,
                    track=_track(path, fields) if self.movements else None,
                    phones=_phones(path, fields.get("phones", [])),
                    f0_hz=f0_hz,
                    f0_rate_hz=f0_rate_hz,
                    labels=checked_labels(fields.get("labels", {})),
                    original=originals(id=path.stem),
                )
            ]


def _fields(path: Path, with_movements: bool) -> dict[str, Any]:
    fields = read_json(path)
    if not isinstance(fields, dict):
        raise CorpusError(path, "not a JSON object")
    if missing := sorted(set(_REQUIRED if with_movements else _SPOKEN) - set(fields)):
        advice = "; to read a folder of sound alone: corpus.movements=false" if set(missing) == set(_MOVED) else ""
        raise CorpusError(path, f"lacks {', '.join(missing)}{advice}")
    if unknown := sorted(set(fields) - set(_REQUIRED) - set(_OPTIONAL)):
        raise CorpusError(path, f"unknown fields {', '.join(unknown)}")
    for name, value in fields.items():
        kind = (_REQUIRED | _OPTIONAL)[name]
        if not (_is_number(value) if kind is float else isinstance(value, kind)):
            raise CorpusError(
                path, f"{value!r:.60} is not a {'number' if kind is float else kind.__name__}", place=name
            )
    if fields.get("id", path.stem) != path.stem:
        raise CorpusError(path, f"{fields['id']!r} differs from the file's name", place="id")
    if with_movements and fields["ema_unit"] != UNIT:
        standardised = fields["ema_unit"].lower().replace("-", "").replace("_", "") in _STANDARDISED
        advice = _NO_MM if standardised else f"convert to {UNIT!r}"
        raise CorpusError(path, f"{fields['ema_unit']!r:.60}; {advice}", place="ema_unit")
    return fields


def _is_number(value: Any) -> bool:
    # JSON knows integers of any length, which no float holds.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def _audio_path(path: Path) -> Path:
    candidates = [path.with_suffix(suffix) for suffix in (".wav", ".flac", ".sph")]
    present = [candidate for candidate in candidates if candidate.exists()]
    if len(present) != 1:
        raise CorpusError(path, f"expected {path.stem}.wav, .flac or .sph beside it, found {len(present)}")
    return present[0]


def _check_audio(path: Path, fields: dict[str, Any], samples: int, rate_hz: int) -> None:
    if fields.get("sample_rate_hz", rate_hz) != rate_hz:
        raise CorpusError(path, f"{fields['sample_rate_hz']}, but the audio has {rate_hz} Hz", place="sample_rate_hz")
    duration_s = samples / rate_hz
    if abs(fields.get("duration_s", duration_s) - duration_s) > _MAX_DURATION_ERROR_S:
        raise CorpusError(path, f"{fields['duration_s']} s, but the audio lasts {duration_s:.3f} s", place="duration_s")


def _track(path: Path, fields: dict[str, Any]) -> Track:
    channels = fields["ema_channels"]
    if len(set(map(str, channels))) != len(channels) or not set(map(str, channels)) <= set(CHANNELS):
        raise CorpusError(path, f"expected distinct names out of {' '.join(CHANNELS)}", place="ema_channels")
    array_path = path.with_suffix(".ema.npy")
    values = read_npy(array_path)
    if values.ndim != 2 or values.shape[1] != len(channels):
        raise CorpusError(array_path, f"shape {values.shape} does not fit the {len(channels)} channels of {path.name}")
    columns = dict(zip(channels, _in_mm(values, fields, path, array_path).T, strict=True))
    return Track(in_canonical_order(columns), float(fields["ema_rate_hz"]), float(fields.get("ema_start_s", 0.0)))


def _in_mm(
    values: np.ndarray, fields: Mapping[str, Any], path: Path, array_path: Path
) -> Float[np.ndarray, "time channel"]:
    """Return positions as floats: integers are steps of ``ema_resolution_mm``, floats mm already."""
    resolution_mm = fields.get("ema_resolution_mm")
    if values.dtype.kind == "f":
        if resolution_mm is not None:
            problem = f"given, but {array_path.name} holds {values.dtype}, which is in mm: leave it out"
            raise CorpusError(path, problem, place="ema_resolution_mm")
        return values.astype(np.float64)
    if resolution_mm is None:
        advice = f'write floats in mm, or int16 with "ema_resolution_mm": 0.01 in {path.name} (mm = number x 0.01)'
        raise CorpusError(array_path, f"holds {values.dtype} without a resolution: {advice}; {_MISSING} is missing")
    if not 0 < resolution_mm <= _MAX_RESOLUTION_MM:
        problem = f"{resolution_mm}; expected above 0 and at most {_MAX_RESOLUTION_MM:g} mm"
        raise CorpusError(path, problem, place="ema_resolution_mm")
    if values.dtype != np.int16:
        raise CorpusError(array_path, f"holds {values.dtype}; expected int16, or floats in mm")
    return np.where(values == _MISSING, np.nan, values * float(resolution_mm))


def _palate(path: Path) -> Float[np.ndarray, "point 2"]:
    """Return a palate trace from back to front, whichever end the file begins with."""
    points = read_npy(path)
    if points.ndim != 2 or points.shape[1] != 2 or points.dtype.kind != "f" or len(points) > _MAX_PALATE_POINTS:
        problem = f"{points.dtype} of shape {points.shape}; expected floats (point, 2), x and y in mm"
        raise CorpusError(path, f"{problem}, at most {_MAX_PALATE_POINTS} points")
    x = points[np.isfinite(points).all(axis=1), 0]
    return (points[::-1] if len(x) and x[0] > x[-1] else points).astype(np.float64)


def read_about(path: Path) -> dict[str, Any]:
    """Return what a folder says of itself: plain values, in which nothing is looked up."""
    try:
        fields = tomllib.loads(read_text(path, max_bytes=_MAX_ABOUT_BYTES))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise CorpusError(path, f"not TOML: {error}") from None
    if unknown := sorted(set(fields) - set(_ABOUT)):
        raise CorpusError(path, f"unknown fields {', '.join(unknown)}; known are {', '.join(_ABOUT)}")
    for name, value in fields.items():
        if not isinstance(value, _ABOUT[name]):
            expected = "true or false" if _ABOUT[name] is bool else "a text"
            raise CorpusError(path, f"{value!r:.60} is not {expected}", place=name)
        if isinstance(value, str) and len(value) > _MAX_ABOUT_LETTERS:
            raise CorpusError(path, f"more than {_MAX_ABOUT_LETTERS} characters", place=name)
    return {name: fields[name] for name in _ABOUT if name in fields}


def _f0(path: Path, fields: dict[str, Any]) -> tuple[np.ndarray | None, float]:
    array_path = path.with_suffix(".f0.npy")
    if array_path.exists() != ("f0_rate_hz" in fields):
        raise CorpusError(path, f"expected both f0_rate_hz and {array_path.name}, or neither", place="f0_rate_hz")
    if not array_path.exists():
        return None, 0.0
    values = read_npy(array_path)
    if values.ndim != 1:
        raise CorpusError(array_path, f"shape {values.shape}; expected one row of numbers")
    return values.astype(np.float64), float(fields["f0_rate_hz"])


def _phones(path: Path, rows: list) -> tuple[Phone, ...]:
    phones = []
    for index, row in enumerate(rows):
        match row:
            case [str(label), start_s, end_s] if _is_number(start_s) and _is_number(end_s):
                phones.append(Phone(label, float(start_s), float(end_s)))
            case _:
                raise CorpusError(path, f"{row!r:.60} is not [label, start_s, end_s]", place=f"phones, entry {index}")
    return tuple(phones)
