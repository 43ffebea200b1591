"""mview files: one struct array of signals in a MAT v5 file, the format of Haskins Laboratories' viewer.

The array has the name of its file. One element, NAME ``AUDIO``, is the sound and carries the labels (SENTENCE, WORDS,
PHONES, LABELS, if a corpus has them); every other element is a sensor: SRATE in Hz, SIGNAL (time, column) with
positions in mm first, NaN where the sensor was lost. All start together: sample i of any signal is at i / SRATE.
Elements and fields are found by name, because their order and number differ between speakers. SRATE may be stored as an
8-bit integer. Which columns point to the front and up differs between corpora.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.formats.mat5 import StructArray, Value, read_mat5
from tractprobe.signals.audio import MAX_RATE_HZ
from tractprobe.signals.channels import in_canonical_order
from tractprobe.system.errors import CorpusError

MAX_EMA_RATE_HZ = 10_000
MAX_POSITION_MM = 1e6
MAX_SAMPLE = 1e6
MIN_SPEECH_TO_SILENCE_DB = 15
MIN_SPEECH_S = 0.05
MIN_SILENCE_S = 0.25
MIN_SILENCE_RATIO = 1.5

_AUDIO = "AUDIO"
_HOP_S = 0.01
_FLOOR = 1e-8
_FIELDS = ("NAME", "SRATE", "SIGNAL")


@dataclass(frozen=True, eq=False)
class Recording:
    """The contents of an mview file: the sound with its labels, and sensors that share one clock.

    Attributes
    ----------
    audio
        Full scale 1.
    sensors
        By name: positions in mm in the first three columns, then the file's other columns (angles) unchanged.
    audio_fields
        The fields of the sound's element, among them the labels.
    """

    audio: Float[np.ndarray, " sample"]
    audio_rate_hz: int
    sensors: Mapping[str, Float[np.ndarray, "time column"]]
    ema_rate_hz: float
    audio_fields: Mapping[str, Value]

    @property
    def duration_s(self) -> float:
        """Length of the audio in seconds."""
        return len(self.audio) / self.audio_rate_hz


def read_mview(path: Path, sensors: Collection[str]) -> Recording:
    """Read the sound and the sensors with these names; CorpusError says what is missing or invalid."""
    elements = _elements(path, {_AUDIO, *sensors})
    audio = _audio(path, elements[_AUDIO])
    rates_hz = {name: _rate_hz(path, name, elements[name], MAX_EMA_RATE_HZ) for name in sensors}
    if len(set(rates_hz.values())) != 1:
        raise CorpusError(path, f"sensors at different rates (Hz): {rates_hz}", place="SRATE")
    return Recording(
        audio=audio,
        audio_rate_hz=round(_rate_hz(path, _AUDIO, elements[_AUDIO], MAX_RATE_HZ)),
        sensors={name: _positions(path, name, elements[name]) for name in sensors},
        ema_rate_hz=next(iter(rates_hz.values())),
        audio_fields=elements[_AUDIO],
    )


def midsagittal(
    recording: Recording, sensors: Mapping[str, str], front: int, up: int
) -> Float[np.ndarray, "time channel"]:
    """Return the canonical channels (mm).

    Parameters
    ----------
    recording
        A recording with positions in mm.
    sensors
        The sensor of each articulator.
    front, up
        The columns of the sensors that grow to the front and upwards.

    Raises
    ------
    ValueError
        The sensors are of different lengths.
    """
    columns = {}
    for articulator, name in sensors.items():
        columns[f"{articulator}_x"] = recording.sensors[name][:, front]
        columns[f"{articulator}_y"] = recording.sensors[name][:, up]
    return in_canonical_order(columns)


def speech_stretches(recording: Recording, count: int) -> list[tuple[float, float]]:
    """Return start and end (s) of each of ``count`` stretches of speech, found by the silences in the audio.

    Raises
    ------
    ValueError
        There are fewer, or a silence between them is not clearly longer than those within them.
    """
    runs = _loud_runs(recording)
    silences_s = [later[0] - earlier[1] for earlier, later in pairwise(runs)]
    longest_first = sorted(range(len(silences_s)), key=lambda index: -silences_s[index])
    between, within = sorted(longest_first[: count - 1]), longest_first[count - 1 :]
    least_s = max(MIN_SILENCE_S, MIN_SILENCE_RATIO * max((silences_s[index] for index in within), default=0))
    if not runs or len(between) != count - 1 or any(silences_s[index] < least_s for index in between):
        raise ValueError(f"the audio does not divide into {count} stretches of speech with clear silence between them")
    firsts, lasts = [0, *(index + 1 for index in between)], [*between, len(runs) - 1]
    return [(runs[first][0], runs[last][1]) for first, last in zip(firsts, lasts, strict=True)]


def _loud_runs(recording: Recording) -> list[tuple[float, float]]:
    """Return start and end (s) of each stretch louder than silence, in steps of 10 ms, without clicks."""
    hop = max(1, round(_HOP_S * recording.audio_rate_hz))
    frames = recording.audio[: len(recording.audio) // hop * hop].astype(np.float64).reshape(-1, hop)
    power_db = 10 * np.log10(np.square(frames).mean(axis=1) + _FLOOR)
    quiet_db, loud_db = np.quantile(power_db, (0.1, 0.95)) if len(power_db) else (0.0, 0.0)
    if loud_db - quiet_db < MIN_SPEECH_TO_SILENCE_DB:
        return []
    loud = power_db > quiet_db + (loud_db - quiet_db) / 3
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]).astype(np.int8)))
    spans_s = (edges * hop / recording.audio_rate_hz).reshape(-1, 2)
    return [(float(start), float(end)) for start, end in spans_s if end - start >= MIN_SPEECH_S]


def _elements(path: Path, required: set[str]) -> dict[str, dict[str, Value]]:
    """Return the elements of the file's struct array, by their NAME; each of ``required`` must occur once."""
    array = read_mat5(path, path.stem)
    if not isinstance(array, StructArray) or any(
        field not in element for element in array.elements for field in _FIELDS
    ):
        raise CorpusError(path, f"is not a struct array with the fields {', '.join(_FIELDS)}", place=path.stem)
    names = [str(element["NAME"]).strip() for element in array.elements]
    if lacking := sorted(required - set(names)):
        raise CorpusError(path, f"lacks {', '.join(lacking)}; has {', '.join(names)}", place=path.stem)
    if twice := sorted({name for name in required if names.count(name) > 1}):
        raise CorpusError(path, f"has {', '.join(twice)} more than once", place=path.stem)
    return dict(zip(names, array.elements, strict=True))


def _rate_hz(path: Path, name: str, element: Mapping[str, Value], limit_hz: float) -> float:
    rate_hz = element["SRATE"]
    if not isinstance(rate_hz, np.ndarray) or rate_hz.size != 1 or not 1 <= float(rate_hz.flat[0]) <= limit_hz:
        raise CorpusError(path, f"SRATE is {rate_hz!r:.60}, not 1 to {limit_hz} Hz", place=name)
    return float(rate_hz.flat[0])


def _audio(path: Path, element: Mapping[str, Value]) -> Float[np.ndarray, " sample"]:
    """Return the samples of a row or column; integers are scaled to full scale 1."""
    signal = element["SIGNAL"]
    if not isinstance(signal, np.ndarray) or signal.ndim != 2 or min(signal.shape) != 1 or signal.dtype.kind == "u":
        raise CorpusError(path, "SIGNAL is not one row or column of signed samples", place=_AUDIO)
    scale = 1.0 if signal.dtype.kind == "f" else float(np.iinfo(signal.dtype).max) + 1
    samples = signal.reshape(-1).astype(np.float64) / scale
    if not (np.abs(samples) < MAX_SAMPLE).all():
        raise CorpusError(path, "SIGNAL holds samples that are not sound: NaN, infinite or huge", place=_AUDIO)
    return samples.astype(np.float32)


def _positions(path: Path, name: str, element: Mapping[str, Value]) -> Float[np.ndarray, "time column"]:
    signal = element["SIGNAL"]
    if not isinstance(signal, np.ndarray) or signal.ndim != 2 or signal.shape[1] < 3:
        raise CorpusError(path, "SIGNAL is not an array of (time, 3 or more)", place=name)
    positions = signal.astype(np.float64)
    if (np.abs(positions[:, :3]) > MAX_POSITION_MM).any():
        raise CorpusError(path, f"SIGNAL holds positions beyond {MAX_POSITION_MM:.0f} mm", place=name)
    return positions
