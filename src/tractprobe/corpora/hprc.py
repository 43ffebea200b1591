"""HPRC, the Haskins production rate comparison corpus: American English, 8 speakers, 720 IEEE sentences at two rates.

One MAT v5 file for each utterance, ``<speaker>_B<block>_S<sentence>_R<repetition>_<N|F>.mat`` (N normal, F fast),
holding one struct array that is named as the file is: the audio at 44.1 kHz and one element for each sensor at 100 Hz,
columns x (to the front), y (to the LEFT, lateral), z (up) in mm and three angles; head-corrected, origin at the upper
incisor. Sensors are looked up by name: F02 has no ML, so that positions in the array differ between speakers.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tractprobe.articulators import in_canonical_order
from tractprobe.corpora import Phone, Reader, Utterance, found, naming
from tractprobe.corpora.mat5 import StructArray, read_mat5
from tractprobe.errors import CorpusError
from tractprobe.track import Track

_FILE_NAME = re.compile(r"(?P<speaker>[FM]\d\d)_B\d\d_S\d\d_R\d\d_[NF]\.mat")
_SENSORS = {"td": "TR", "tb": "TB", "tt": "TT", "li": "JAW", "ul": "UL", "ll": "LL"}
_FRONT, _UP = 0, 2


@dataclass
class Hprc(Reader):
    """Reader of HPRC as distributed; folders may be nested (``<speaker>/data/*.mat``) or flat."""

    root: Path
    name: str = "hprc"
    language: str = "en"

    def __post_init__(self):
        self.root = Path(self.root).expanduser()

    def sources(self) -> list[str]:
        paths = [path for path in self.root.rglob("*.mat") if _FILE_NAME.fullmatch(path.name)]
        return found(self.root, paths, "utterance such as F01_B01_S01_R01_N.mat")

    def read(self, source: str) -> list[Utterance]:
        path = self.root / source
        parsed = _FILE_NAME.fullmatch(path.name)
        if parsed is None:
            raise CorpusError(path, "not named as an utterance of HPRC is")
        elements = _elements(path)
        audio, audio_rate_hz = _signal(path, elements, "AUDIO", columns=1)
        with naming(path):
            return [
                Utterance(
                    id=path.stem,
                    speaker=parsed["speaker"],
                    language=self.language,
                    text=_sentence(path, elements),
                    audio=audio[:, 0].astype(np.float32),
                    audio_rate_hz=round(audio_rate_hz),
                    track=_track(path, elements),
                    phones=_phones(path, elements["AUDIO"]["PHONES"]),
                )
            ]


def _elements(path: Path) -> dict[str, dict[str, Any]]:
    """Return the elements of the file's one struct array, by their NAME."""
    array = read_mat5(path, path.stem)
    fields = {"NAME", "SRATE", "SIGNAL", "SENTENCE", "PHONES"}
    if not isinstance(array, StructArray) or not all(fields <= set(element) for element in array.elements):
        raise CorpusError(path, f"is no struct array with the fields {', '.join(sorted(fields))}", place=path.stem)
    elements = {str(element["NAME"]): element for element in array.elements}
    if lacking := sorted({"AUDIO", *_SENSORS.values()} - set(elements)):
        raise CorpusError(path, f"lacks {', '.join(lacking)}; has {', '.join(sorted(elements))}", place=path.stem)
    return elements


def _signal(path: Path, elements: dict[str, dict[str, Any]], name: str, columns: int) -> tuple[np.ndarray, float]:
    signal, rate_hz = elements[name]["SIGNAL"], elements[name]["SRATE"]
    if not isinstance(signal, np.ndarray) or signal.ndim != 2 or signal.shape[1] < columns:
        raise CorpusError(path, f"SIGNAL is not an array of (time, {columns} or more)", place=name)
    if not isinstance(rate_hz, np.ndarray) or rate_hz.size != 1 or not float(rate_hz[0, 0]) > 0:
        raise CorpusError(path, f"SRATE is {rate_hz!r:.60}", place=name)
    return signal, float(rate_hz[0, 0])


def _sentence(path: Path, elements: dict[str, dict[str, Any]]) -> str:
    sentence = elements["AUDIO"]["SENTENCE"]
    if not isinstance(sentence, str):
        raise CorpusError(path, "SENTENCE is no text", place="AUDIO")
    return sentence.strip()


def _track(path: Path, elements: dict[str, dict[str, Any]]) -> Track:
    columns, rates_hz = {}, set()
    for articulator, sensor in _SENSORS.items():
        signal, rate_hz = _signal(path, elements, sensor, columns=3)
        rates_hz.add(rate_hz)
        columns[f"{articulator}_x"] = signal[:, _FRONT].astype(np.float64)
        columns[f"{articulator}_y"] = signal[:, _UP].astype(np.float64)
    if len(rates_hz) != 1:
        raise CorpusError(path, f"sensors at different rates: {sorted(rates_hz)} Hz")
    return Track(in_canonical_order(columns), rates_hz.pop())


def _phones(path: Path, rows: Any) -> tuple[Phone, ...]:
    if not isinstance(rows, StructArray):
        return ()  # an empty array: not every copy of the corpus is labelled
    phones = []
    for index, row in enumerate(rows.elements):
        match row:
            case {"LABEL": str(label), "OFFS": np.ndarray(size=2) as offsets}:
                phones.append(Phone(label, float(offsets.flat[0]), float(offsets.flat[1])))
            case _:
                raise CorpusError(path, "wants a LABEL and OFFS, start and end", place=f"PHONES, entry {index}")
    return tuple(phones)
