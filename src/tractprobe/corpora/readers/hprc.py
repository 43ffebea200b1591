"""HPRC, the Haskins production rate comparison corpus: American English, 8 speakers, 720 IEEE sentences at two rates.

One mview file (``formats.mview``) per utterance, ``<speaker>_B<block>_S<sentence>_R<repetition>_<N|F>.mat`` (N normal,
F fast): the audio at 44.1 kHz with its labels, and sensors at 100 Hz, columns x (to the front), y (to the LEFT,
lateral), z (up) in mm and three angles; head-corrected, x along the occlusal plane, origin at the upper incisor. F02
has no ML. ML (side of the tongue) and JAWL (side of the jaw) are 15 to 32 mm off the midsagittal plane and are left
out. PHONES are in seconds; LABELS repeat the words, in ms. ``<speaker>_palate.mat`` holds a palate trace with the same
name and axes (point, 3). All this is known from two original files, except for the palates, which are known from
people who read the whole corpus.

Labels: ``rate`` (normal, fast) and ``gender``, both by the file's name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.formats.mat5 import StructArray, Value, read_mat5
from tractprobe.corpora.formats.mview import MAX_POSITION_MM, Recording, midsagittal, read_mview
from tractprobe.corpora.utterance import Phone, Reader, Utterance, found, naming
from tractprobe.signals.track import Track
from tractprobe.system.errors import ConfigError, CorpusError

_FILE_NAME = re.compile(r"(?P<speaker>[FM]\d\d)_B\d\d_S\d\d_R\d\d_(?P<rate>[NF])\.mat")
_PALATE_NAME = re.compile(r"(?P<speaker>[FM]\d\d)_palate\.mat")
_SENSORS = {"td": "TR", "tb": "TB", "tt": "TT", "li": "JAW", "ul": "UL", "ll": "LL"}
_FRONT, _UP = 0, 2
_RATES = ("N", "F")
_RATE_NAMES = {"N": "normal", "F": "fast"}
_PAUSE = "sp"


@dataclass
class Hprc(Reader):
    """Reader of HPRC as distributed; folders may be nested (``<speaker>/data/*.mat``) or flat.

    Attributes
    ----------
    rates
        Speaking rates to read: N (normal), F (fast) or both. Every sentence was read at both rates, some repeatedly;
        their text is the same, so they stay on one side of a split.
    """

    kept_labels: ClassVar[tuple[str, ...]] = ("gender", "rate")
    root: Path
    name: str = "hprc"
    language: str = "en"
    rates: Sequence[str] = _RATES

    def __post_init__(self):
        self.root = Path(self.root).expanduser()
        self.rates = tuple(self.rates)
        if not self.rates or not set(self.rates) <= set(_RATES):
            raise ConfigError(f"corpus.rates={list(self.rates)}; expected N (normal), F (fast) or both")

    def sources(self) -> list[str]:
        names = [(path, _FILE_NAME.fullmatch(path.name)) for path in self.root.rglob("*.mat")]
        paths = [path for path, parsed in names if parsed and parsed["rate"] in self.rates]
        return found(self.root, paths, f"utterance such as F01_B01_S01_R01_{self.rates[0]}.mat")

    def read(self, source: str) -> list[Utterance]:
        path = self.root / source
        parsed = _FILE_NAME.fullmatch(path.name)
        if parsed is None:
            raise CorpusError(path, "not named as an utterance of HPRC is")
        recording = read_mview(path, _SENSORS.values())
        with naming(path):
            return [
                Utterance(
                    id=path.stem,
                    speaker=parsed["speaker"],
                    language=self.language,
                    text=_sentence(path, recording),
                    audio=recording.audio,
                    audio_rate_hz=recording.audio_rate_hz,
                    track=Track(midsagittal(recording, _SENSORS, _FRONT, _UP), recording.ema_rate_hz),
                    phones=_phones(path, recording.audio_fields.get("PHONES")),
                    phone_set="arpabet",
                    frame="occlusal",
                    labels={"gender": parsed["speaker"][0].lower(), "rate": _RATE_NAMES[parsed["rate"]]},
                )
            ]

    def palates(self) -> dict[str, Float[np.ndarray, "point 2"]]:
        paths = {path: _PALATE_NAME.fullmatch(path.name) for path in sorted(self.root.rglob("*_palate.mat"))}
        return {parsed["speaker"]: _palate(path) for path, parsed in paths.items() if parsed}


def _sentence(path: Path, recording: Recording) -> str:
    """Return the sentence, or else its words: without any text, a split could not keep repetitions together."""
    match recording.audio_fields:
        case {"SENTENCE": str(sentence)} if sentence.strip():
            return " ".join(sentence.split())
        case {"WORDS": StructArray(elements=words)}:
            labels = [word["LABEL"] for word in words if isinstance(word.get("LABEL"), str)]
            if text := " ".join(str(label) for label in labels if label != _PAUSE):
                return text
    raise CorpusError(path, "neither SENTENCE nor WORDS contains any text", place="AUDIO")


def _phones(path: Path, rows: Value | None) -> tuple[Phone, ...]:
    if not isinstance(rows, StructArray):
        return ()  # an empty array: not every copy of the corpus is labelled
    phones = []
    for index, row in enumerate(rows.elements):
        match row:
            case {"LABEL": str(label), "OFFS": np.ndarray(size=2) as offsets}:
                phones.append(Phone(label, float(offsets.flat[0]), float(offsets.flat[1])))
            case _:
                raise CorpusError(path, "expected LABEL and OFFS (start and end)", place=f"PHONES, entry {index}")
    return tuple(phones)


def _palate(path: Path) -> Float[np.ndarray, "point 2"]:
    """Return a palate trace (mm), from back to front."""
    points = read_mat5(path, path.stem)
    if not isinstance(points, np.ndarray) or points.ndim != 2 or points.shape[1] != 3:
        raise CorpusError(path, "is not an array of (point, 3)", place=path.stem)
    trace = points[:, [_FRONT, _UP]].astype(np.float64)
    trace = trace[np.isfinite(trace).all(axis=1)]
    if len(trace) < 2 or (np.abs(trace) > MAX_POSITION_MM).any():
        problem = f"not a trace: fewer than two points, or positions beyond {MAX_POSITION_MM:.0f} mm"
        raise CorpusError(path, problem, place=path.stem)
    return trace if trace[0, 0] <= trace[-1, 0] else trace[::-1].copy()
