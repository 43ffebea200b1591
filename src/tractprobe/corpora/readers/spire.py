"""SPIRE-EMA: Indian English, 38 speakers, each with the 460 sentences of MOCHA-TIMIT; EMA at 100 Hz, audio at 16 kHz.

``processed/spk<N>/<any><NNNN>.pt`` and ``audios/spk<N>/<same>.wav``; NNNN is the number of the MOCHA sentence. Each .pt
is a dict written by ``torch.save`` and is read by ``formats.tensors``, which does not execute any of it:

=================================================  ===============================================================
``ema_trimmed``                                    (time, 18): x and y of 9 sensors, between the two marks
``ema_raw``                                        the same for the whole recording
``ema_trimmed_and_normalised_with_6_articulators`` (time, 12), each standardised: without geometry, not read
``begin_end``                                      first row of ``ema_trimmed`` in the recording, and the one after
                                                   the last, at 100 Hz: time 0 is the start of the audio
``phonemes``, ``durations``                        ARPAbet, and number of rows of ``ema_trimmed`` for each
=================================================  ===============================================================

Known: the keys (data card), the shapes, that end - begin is the number of rows, that durations add up to it, and that
columns 0-3 are the lips, 8-9 the jaw and 12-17 tongue tip, body and dorsum (the public code of the laboratory drops
4-7, 10 and 11 to get UL LL jaw TT TB TD; a public reader of 544 files uses 0-3 and 8-9 in this way). y grows upwards
there. Unknown: the unit (mm is assumed), the direction of x, and the sensors of the other columns. The direction of x
is determined from the position of the lips, and positions without the proportions of a human head are refused, so a
wrong assignment or unit gives an error rather than numbers.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.formats.prompts import numbered_sentence
from tractprobe.corpora.formats.tensors import read_tensors
from tractprobe.corpora.geometry.orientation import scaled, with_x_to_the_front
from tractprobe.corpora.readers.options import check_articulators
from tractprobe.corpora.utterance import Phone, Reader, Utterance, found, naming
from tractprobe.signals.audio import read_audio
from tractprobe.signals.channels import in_canonical_order
from tractprobe.signals.track import Track
from tractprobe.system.errors import ConfigError, CorpusError
from tractprobe.system.files import read_text

EMA_RATE_HZ = 100
COLUMNS = {"ul": 0, "ll": 2, "li": 8, "tt": 12, "tb": 14, "td": 16}

_COLUMN_COUNT = 18
_FILE_NAME = re.compile(r".*?(?P<prompt>[0-9]{4})\.pt")
_SPEAKER = re.compile(r"spk[0-9]{1,4}")
_MAX_OVERHANG_S = 0.1


@dataclass
class Spire(Reader):
    """Reader of SPIRE-EMA as distributed, both archives unpacked.

    Attributes
    ----------
    prompts
        File of the MOCHA sentences, in lines such as ``001. Its text.``; by default ``mocha-timit.txt`` in the root.
    columns
        The column, of 18, with the x of each articulator; y is the next column. Articulators left out are missing.
    unit_mm
        Millimetres in one unit of ``ema_trimmed``.
    """

    root: Path
    name: str = "spire"
    language: str = "en"
    prompts: str | None = None
    columns: Mapping[str, int] = field(default_factory=lambda: dict(COLUMNS))
    unit_mm: float = 1.0

    def __post_init__(self):
        self.root = Path(self.root).expanduser()
        self.columns = dict(self.columns)
        check_articulators("corpus.columns", self.columns)
        if not all(0 <= column < _COLUMN_COUNT - 1 for column in self.columns.values()):
            raise ConfigError(f"corpus.columns: {self.columns}; expected columns of x from 0 to {_COLUMN_COUNT - 2}")

    def sources(self) -> list[str]:
        paths = [path for path in self.root.rglob("*.pt") if _is_utterance(path)]
        return found(self.root, paths, "utterance such as processed/spk1/..._0001.pt; unpack processed.zip there")

    def read(self, source: str) -> list[Utterance]:
        path = self.root / source
        parsed = _FILE_NAME.fullmatch(path.name)
        if parsed is None or not _is_utterance(path):
            raise CorpusError(path, "not named as an utterance of SPIRE-EMA is")
        speaker, values = path.parent.name, read_tensors(path)
        begin, rows = _trimmed(path, values)
        audio, rate_hz = read_audio(path.parents[2] / "audios" / speaker / f"{path.stem}.wav")
        if (begin + len(rows)) / EMA_RATE_HZ > len(audio) / rate_hz + _MAX_OVERHANG_S:
            problem = f"the movements end at row {begin + len(rows)}, after the audio: are they at {EMA_RATE_HZ} Hz?"
            raise CorpusError(path, problem, place="begin_end")
        with naming(path):
            return [
                Utterance(
                    id=f"{speaker}_{path.stem}",
                    speaker=speaker,
                    language=self.language,
                    text=self._sentence(int(parsed["prompt"])),
                    audio=audio,
                    audio_rate_hz=rate_hz,
                    track=Track(self._positions(path, rows), float(EMA_RATE_HZ), begin / EMA_RATE_HZ),
                    phones=_phones(path, values, begin, len(rows)),
                    phone_set="arpabet",
                )
            ]

    def _positions(self, path: Path, rows: Float[np.ndarray, "time column"]) -> Float[np.ndarray, "time channel"]:
        millimetres = scaled(path, rows, self.unit_mm)
        columns = {}
        for articulator, x in self.columns.items():
            columns[f"{articulator}_x"], columns[f"{articulator}_y"] = millimetres[:, x], millimetres[:, x + 1]
        return in_canonical_order(with_x_to_the_front(path, columns))

    def _sentence(self, number: int) -> str:
        path = Path(self.prompts).expanduser() if self.prompts is not None else self.root / "mocha-timit.txt"
        if not path.exists():
            problem = "no such file: put the sentences of MOCHA-TIMIT there, or give corpus.prompts=..."
            raise CorpusError(path, problem)
        return numbered_sentence(path, read_text(path, "latin-1"), number)


def _is_utterance(path: Path) -> bool:
    named = _FILE_NAME.fullmatch(path.name) and _SPEAKER.fullmatch(path.parent.name)
    return bool(named) and path.parent.parent.name == "processed"


def _trimmed(path: Path, values: Mapping[str, Any]) -> tuple[int, Float[np.ndarray, "time column"]]:
    """Return the index in the recording of the first row that was kept, and the rows."""
    if lacking := sorted({"ema_trimmed", "begin_end", "phonemes", "durations"} - set(values)):
        raise CorpusError(path, f"lacks {', '.join(lacking)}; has {', '.join(sorted(values))!r:.200}")
    rows = values["ema_trimmed"]
    if not isinstance(rows, np.ndarray) or rows.dtype.kind not in "fiu" or rows.shape[1:] != (_COLUMN_COUNT,):
        raise CorpusError(path, f"is not an array of numbers (time, {_COLUMN_COUNT})", place="ema_trimmed")
    begin, end = _counts(path, values, "begin_end", length=2)
    if end - begin != len(rows) or not len(rows):
        problem = f"{begin} to {end} do not span the {len(rows)} rows of ema_trimmed"
        raise CorpusError(path, problem, place="begin_end")
    return begin, rows.astype(np.float64)


def _phones(path: Path, values: Mapping[str, Any], begin: int, length: int) -> tuple[Phone, ...]:
    labels, durations = _items(path, values, "phonemes"), _counts(path, values, "durations")
    if not all(type(label) is str for label in labels) or len(labels) != len(durations):
        raise CorpusError(path, "expected one label for each duration", place="phonemes")
    if sum(durations) != length:
        raise CorpusError(path, f"add up to {sum(durations)} rows; ema_trimmed has {length}", place="durations")
    edges_s = [(begin + row) / EMA_RATE_HZ for row in np.cumsum([0, *durations]).tolist()]
    return tuple(map(Phone, labels, edges_s[:-1], edges_s[1:]))


def _counts(path: Path, values: Mapping[str, Any], key: str, length: int | None = None) -> list[int]:
    items = _items(path, values, key)
    if not all(type(item) in (int, float) and 0 <= item < 1 << 31 and item == int(item) for item in items):
        raise CorpusError(path, "contains values that are not numbers of rows", place=key)
    if length not in (None, len(items)):
        raise CorpusError(path, f"{len(items)} numbers instead of {length}", place=key)
    return [int(item) for item in items]


def _items(path: Path, values: Mapping[str, Any], key: str) -> Sequence[Any]:
    items = values[key]
    if isinstance(items, np.ndarray) and items.ndim == 1:
        items = items.tolist()
    if not isinstance(items, list | tuple):
        raise CorpusError(path, "is not a list", place=key)
    return items
