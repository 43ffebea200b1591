"""EMU-SDMS databases (emuDB): one SSFF track file per sensor, next to a WAV file and ``<bundle>_annot.json``.

Such databases keep the articulograph's own axes: posx is lateral, posy grows to the BACK and posz upwards, in mm; a row
that is exactly zero in all three is a lost sample. Which file extension belongs to which articulator differs between
databases and is set by ``sensors``. Times in the annotation are samples at the annotation's own sampleRate, which may
differ from that of the WAV file; they are converted to seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.formats.ssff import SignalFile, read_ssff
from tractprobe.corpora.names import file_safe, originals
from tractprobe.corpora.readers.options import (
    AUDIO_CHANNEL,
    check_articulators,
    check_audio_channel,
    check_default_speakers,
    check_label_pattern,
    check_pattern,
    labels_of,
    speaker_of,
)
from tractprobe.corpora.utterance import Phone, Reader, Utterance, added, found, naming
from tractprobe.signals.audio import read_audio
from tractprobe.signals.channels import in_canonical_order
from tractprobe.signals.track import Track
from tractprobe.system.errors import CorpusError
from tractprobe.system.files import read_json

_ANNOTATION = "_annot.json"
_PALATE_STEP_MM = 0.5
_SPEAKER = r"^(?P<speaker>[^_]+)"
SENSORS = {"td": "t_back", "tb": "t_mid", "tt": "t_tip", "li": "jaw", "ul": "upper_lip", "ll": "lower_lip"}


@dataclass
class Emu(Reader):
    """Reader of an EMU-SDMS database.

    Attributes
    ----------
    language
        ISO 639-1; databases do not state it.
    sensors
        File extension of the track of each articulator; an articulator that is left out is missing.
    speaker_pattern
        Regular expression searched for in the bundle's name; its group ``speaker`` is the speaker.
    label_pattern
        Regular expression searched for there, too; its groups, such as ``(?P<style>read|free)``, are labels.
    text_level, phone_level
        Annotation levels with the words and the phones; ``None`` if there are none.
    phone_set
        The set of the phone symbols, see ``corpora.ipa``.
    audio_channel
        Channel of the audio, counted from 0, if it has several.
    speaker
        The speaker of a database that has only one; ``speaker_pattern`` is not used.
    palate
        File extension of the track of the palate's trace, if there is one; otherwise a file ``*fingerpalate*`` beside a
        bundle is the trace. Each speaker's first one is used.
    """

    name: str
    root: Path
    language: str
    sensors: Mapping[str, str] = field(default_factory=lambda: dict(SENSORS))
    speaker_pattern: str = _SPEAKER
    text_level: str | None = "Word"
    phone_level: str | None = "Segment"
    phone_set: str = "maus"
    audio_channel: int | None = added(None)
    speaker: str | None = added(None)
    palate: str | None = added("palxyz")
    label_pattern: str | None = added(None)

    def __post_init__(self):
        self.root = Path(self.root).expanduser()
        check_label_pattern(self.label_pattern)
        check_articulators("corpus.sensors", self.sensors)
        check_pattern("corpus.speaker_pattern", self.speaker_pattern, "speaker")
        check_audio_channel(self.audio_channel)

    def sources(self) -> list[str]:
        return found(self.root, list(self.root.rglob(f"*{_ANNOTATION}")), f"bundle with an annotation *{_ANNOTATION}")

    def check_speakers(self, sources: Sequence[str]) -> None:
        names = [Path(source).name.removesuffix(_ANNOTATION) for source in sources]
        check_default_speakers(self.root, names, self.speaker, self.speaker_pattern, _SPEAKER)

    def read(self, source: str) -> list[Utterance]:
        path = self.root / source
        bundle = path.name.removesuffix(_ANNOTATION)
        speaker = self.speaker or speaker_of(path, bundle, self.speaker_pattern)
        annotation = _annotation(path)
        audio, rate_hz = read_audio(path.with_name(f"{bundle}.wav"), self.audio_channel, AUDIO_CHANNEL)
        with naming(path):
            return [
                Utterance(
                    id=file_safe(bundle),
                    speaker=file_safe(speaker),
                    language=self.language,
                    text=" ".join(_labels(path, annotation, self.text_level)),
                    audio=audio,
                    audio_rate_hz=rate_hz,
                    track=self._track(path, bundle),
                    phones=_phones(path, annotation, self.phone_level),
                    phone_set=self.phone_set,
                    original=originals(id=bundle, speaker=speaker),
                    labels=labels_of(bundle, self.label_pattern),
                )
            ]

    def palates(self) -> dict[str, Float[np.ndarray, "point 2"]]:
        if self.palate is None:
            return {}
        traces: dict[str, Float[np.ndarray, "point 2"]] = {}
        for source in self.sources():
            path = self.root / source
            bundle = path.name.removesuffix(_ANNOTATION)
            speaker = file_safe(self.speaker or speaker_of(path, bundle, self.speaker_pattern))
            files = [path.with_name(f"{bundle}.{self.palate}"), *sorted(path.parent.glob("*fingerpalate*"))]
            present = [file for file in files if file.is_file()]
            if present and speaker not in traces:
                traces[speaker] = _palate(present[0])
        return traces

    def _track(self, path: Path, bundle: str) -> Track:
        positions, clocks = {}, set()
        for articulator, extension in self.sensors.items():
            track_path = path.with_name(f"{bundle}.{extension}")
            signal = read_ssff(track_path)
            positions[articulator] = _positions(track_path, signal)
            clocks.add((signal.rate_hz, signal.start_s))
        if len(clocks) != 1:
            raise CorpusError(path, f"track files with different rates or starts: {sorted(clocks)} (Hz, s)")
        longest = max(len(rows) for rows in positions.values())
        columns = {}
        for articulator, rows in positions.items():
            padded = np.pad(rows, ((0, longest - len(rows)), (0, 0)), constant_values=np.nan)
            columns[f"{articulator}_x"], columns[f"{articulator}_y"] = -padded[:, 1], padded[:, 2]
        rate_hz, start_s = clocks.pop()
        return Track(in_canonical_order(columns), rate_hz, start_s)


def _positions(path: Path, signal: SignalFile) -> np.ndarray:
    """Return posx, posy, posz (time, 3) in mm, NaN where the sensor was lost."""
    axes = []
    for axis in ("posx", "posy", "posz"):
        names = [name for name in signal.columns if name.endswith(f"_{axis}") or name == axis]
        if len(names) != 1:
            problem = f"expected one column *_{axis}, not {len(names)}; it has {', '.join(signal.columns)}"
            raise CorpusError(path, problem)
        axes.append(signal.columns[names[0]][:, 0].astype(np.float64))
    positions = np.stack(axes, axis=1)
    positions[(positions == 0).all(axis=1)] = np.nan
    return positions


def _palate(path: Path) -> Float[np.ndarray, "point 2"]:
    """Return a palate's trace (mm) from back to front: the highest point of each half millimetre that was touched."""
    signal = read_ssff(path)
    back, up = (_column(path, signal, axis) for axis in "yz")
    touched = (back != 0) | (up != 0)
    x, y = -back[touched], up[touched]
    highest: dict[int, tuple[float, float]] = {}
    for place, point in zip(np.round(x / _PALATE_STEP_MM).astype(int).tolist(), zip(x, y, strict=True), strict=True):
        highest[place] = max(highest.get(place, point), point, key=lambda xy: xy[1])
    return np.array([highest[place] for place in sorted(highest)]).reshape(-1, 2)


def _column(path: Path, signal: SignalFile, axis: str) -> Float[np.ndarray, " time"]:
    """Return the one column whose name ends with ``_pos<axis>`` or ``_<axis>``; lost samples are 0."""
    names = [name for name in signal.columns if name.endswith((f"_{axis}", f"pos{axis}"))]
    if len(names) != 1:
        problem = f"expected one column *_{axis}, not {len(names)}; it has {', '.join(signal.columns)}"
        raise CorpusError(path, problem)
    return np.nan_to_num(signal.columns[names[0]][:, 0].astype(np.float64), posinf=0, neginf=0)


def _annotation(path: Path) -> dict[str, Any]:
    annotation = read_json(path)
    match annotation:
        case {"sampleRate": int() | float() as rate_hz, "levels": list()} if rate_hz > 0:
            return annotation
    raise CorpusError(path, "is not an EMU annotation: it lacks sampleRate or levels")


def _items(path: Path, annotation: dict[str, Any], level: str | None) -> list[tuple[dict[str, Any], str]]:
    """Return the items of a level with their labels; no items if ``level`` is None."""
    if level is None:
        return []
    names = []
    for candidate in annotation["levels"]:
        match candidate:
            case {"name": str(name), "items": list(items)}:
                if name == level:
                    return [(item, _label(path, level, item)) for item in items]
                names.append(name)
            case _:
                raise CorpusError(path, "has a level without name and items", place="levels")
    raise CorpusError(path, f"has no level {level!r}; it has {', '.join(names) or 'none'}", place="levels")


def _label(path: Path, level: str, item: Any) -> str:
    match item:
        case {"labels": [{"value": str(value)}, *_]}:
            return value
    raise CorpusError(path, f"an item without a label: {item!r:.60}", place=f"level {level}")


def _labels(path: Path, annotation: dict[str, Any], level: str | None) -> list[str]:
    return [label for _, label in _items(path, annotation, level) if label]


def _phones(path: Path, annotation: dict[str, Any], level: str | None) -> tuple[Phone, ...]:
    phones, rate_hz = [], annotation["sampleRate"]
    for item, label in _items(path, annotation, level):
        match item:
            case {"sampleStart": int(start), "sampleDur": int(duration)}:
                phones.append(Phone(label, start / rate_hz, (start + duration) / rate_hz))
            case _:
                raise CorpusError(path, f"segment without sampleStart and sampleDur: {label!r}", place=f"level {level}")
    return tuple(phones)
