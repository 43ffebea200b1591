"""PB2007: French, one speaker, 1109 vowels, VCV sequences, words and sentences; EMA at 100 Hz, audio at 16 kHz.

As distributed (zenodo 6390598), ``item_NNNN`` in

========================  ==========================================================================================
``_seq/item_NNNN.seq``    text; a header line, then ``#`` and 12 numbers per line, x of 6 coils and then y of the same,
                          in cm: jaw, tongue tip, middle, back, upper lip, lower lip
``_wav16/item_NNNN.wav``  one channel, 16 kHz
``_lab/item_NNNN.lab``    ``start end phone`` in 1e-7 s
========================  ==========================================================================================

or, as redistributed by others, ``item_NNNN.ema`` (little-endian float32, 12 per row: x and y of jaw, tongue tip,
middle, back and both lips, mm, no header), ``item_NNNN.phone`` (``start end phone`` in 10 ms) and ``item_NNNN.wav`` in
one folder.

In the original, x grows to the BACK and y upwards: item_0001 has its tongue at x = 6.6, 8.9, 11.1 cm from tip to back
(values published in dancxjo/conduit), and the tongue of [e] is 8 mm higher than that of the more open vowel. The
direction of x is determined from the position of the lips nevertheless, because copies may differ. The two public
readers, georgesma/agent and antoinelii/art-tts, contradict each other on which lip comes first: here the upper lip is
the higher one.

There are no texts. The phones take their place, so that equal items never lie on both sides of a split.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.formats.tables import parse_rows
from tractprobe.corpora.geometry.orientation import scaled, with_x_to_the_front
from tractprobe.corpora.utterance import Phone, Reader, Utterance, found, naming
from tractprobe.signals.audio import read_audio
from tractprobe.signals.channels import in_canonical_order
from tractprobe.signals.track import Track
from tractprobe.system.errors import CorpusError
from tractprobe.system.files import read_bytes, read_text

EMA_RATE_HZ = 100.0

_SPEAKER = "pb"
_FILE_NAME = re.compile(r"item_[0-9]{4}\.(seq|ema)")
_ROW = re.compile(r"(?:[^\s#]+\s+)?#\s*(?P<cells>.*)")
_COILS = ("li", "tt", "tb", "td", "lip_a", "lip_b")
_SILENCES = ("_", "__")
_LAB_TICK_S, _PHONE_TICK_S = 1e-7, 1e-2
_MAX_BYTES = 1 << 25


@dataclass
class Pb2007(Reader):
    """Reader of PB2007: reads the original files if there are any, otherwise the redistributed ones.

    Attributes
    ----------
    seq_unit_mm, ema_unit_mm
        Millimetres in one unit of the ``.seq`` and ``.ema`` files.
    """

    root: Path
    name: str = "pb2007"
    language: str = "fr"
    seq_unit_mm: float = 10.0
    ema_unit_mm: float = 1.0

    def __post_init__(self):
        self.root = Path(self.root).expanduser()

    def sources(self) -> list[str]:
        paths = [path for path in self.root.rglob("item_*") if _FILE_NAME.fullmatch(path.name)]
        original = [path for path in paths if path.suffix == ".seq"]
        return found(self.root, original or paths, "utterance such as _seq/item_0001.seq")

    def read(self, source: str) -> list[Utterance]:
        path = self.root / source
        if not _FILE_NAME.fullmatch(path.name):
            raise CorpusError(path, "not named as an item of PB2007 is")
        if path.suffix == ".seq":
            positions = _coils_by_axis(scaled(path, _seq_rows(path), self.seq_unit_mm))
            phones = _phones(path.parent.with_name("_lab") / f"{path.stem}.lab", _LAB_TICK_S)
            audio, rate_hz = read_audio(path.parent.with_name("_wav16") / f"{path.stem}.wav")
        else:
            positions = _coils_in_pairs(scaled(path, _ema_rows(path), self.ema_unit_mm))
            phones = _phones(path.with_suffix(".phone"), _PHONE_TICK_S)
            audio, rate_hz = read_audio(path.with_suffix(".wav"))
        columns = with_x_to_the_front(path, _with_lips_told_apart(path, positions))
        with naming(path):
            return [
                Utterance(
                    id=path.stem,
                    speaker=_SPEAKER,
                    language=self.language,
                    text=" ".join(phone.label for phone in phones if phone.label not in _SILENCES),
                    audio=audio,
                    audio_rate_hz=rate_hz,
                    track=Track(in_canonical_order(columns), EMA_RATE_HZ),
                    phones=phones,
                    phone_set="pb2007",
                )
            ]


def _seq_rows(path: Path) -> Float[np.ndarray, "time column"]:
    lines = read_text(path, "ascii", _MAX_BYTES).rstrip().split("\n")
    header = 0 if _is_row(lines[0]) else 1
    rows = []
    for number, line in enumerate(lines[header:], start=header + 1):
        match = _ROW.fullmatch(line.strip())
        if match is None:
            raise CorpusError(path, f"no '#' before the numbers: {line!r:.60}", place=f"line {number}")
        rows.append(match["cells"])
    return _not_empty(path, parse_rows(path, rows, first_line=header + 1, columns=2 * len(_COILS)))


def _is_row(line: str) -> bool:
    match = _ROW.fullmatch(line.strip())
    return match is not None and len(match["cells"].split()) == 2 * len(_COILS)


def _ema_rows(path: Path) -> Float[np.ndarray, "time column"]:
    content = read_bytes(path, _MAX_BYTES)
    size = 4 * 2 * len(_COILS)
    if len(content) % size:
        raise CorpusError(path, f"{len(content)} bytes are not a multiple of {size}, the length of a row; cut short?")
    return _not_empty(path, np.frombuffer(content, "<f4").reshape(-1, 2 * len(_COILS)))


def _not_empty(path: Path, rows: np.ndarray) -> Float[np.ndarray, "time column"]:
    if not len(rows):
        raise CorpusError(path, "contains no movements")
    return rows.astype(np.float64)


def _coils_by_axis(rows: Float[np.ndarray, "time column"]) -> dict[str, Float[np.ndarray, "time 2"]]:
    return {coil: rows[:, [index, index + len(_COILS)]] for index, coil in enumerate(_COILS)}


def _coils_in_pairs(rows: Float[np.ndarray, "time column"]) -> dict[str, Float[np.ndarray, "time 2"]]:
    return {coil: rows[:, 2 * index : 2 * index + 2] for index, coil in enumerate(_COILS)}


def _with_lips_told_apart(
    path: Path, positions: dict[str, Float[np.ndarray, "time 2"]]
) -> dict[str, Float[np.ndarray, " time"]]:
    """Return the coils' channels, the higher lip as the upper one."""
    lips = [positions.pop("lip_a"), positions.pop("lip_b")]
    both = np.isfinite(lips[0][:, 1]) & np.isfinite(lips[1][:, 1])
    if not both.any():
        raise CorpusError(path, "the lips were never recorded at the same time, so they cannot be told apart")
    upper = int(np.median(lips[1][both, 1]) > np.median(lips[0][both, 1]))
    positions |= {"ul": lips[upper], "ll": lips[1 - upper]}
    return {f"{coil}_{axis}": xy[:, at] for coil, xy in positions.items() for at, axis in enumerate("xy")}


def _phones(path: Path, tick_s: float) -> tuple[Phone, ...]:
    phones = []
    for number, line in enumerate(read_text(path, "utf-8", _MAX_BYTES).rstrip().split("\n"), start=1):
        try:
            start, end, label = line.split()
            phones.append(Phone(label, float(start) * tick_s, float(end) * tick_s))
        except ValueError:
            raise CorpusError(path, f"not 'start end phone': {line!r:.60}", place=f"line {number}") from None
    return tuple(phones)
