r"""MSPKA, session 1: read Italian, speakers cnz, lls and olm, over 500 sentences; EMA at 400 Hz, audio at 22.05 kHz.

Each speaker has a folder ``<speaker>_1.0.0`` with ``list_sentences`` (lines such as ``12) La sentenza.``) and

============================  ====================================================================================
``ema_1.0.0/<s>_<n>.ema``     text; each ROW is a channel: x y z of UL LL UI LI, tongue back, middle and tip (21)
``wav_1.0.0/<s>_<n>.wav``     one channel
``lab_1.0.0/<s>_<n>.lab``     ``start end phone [word]`` in s; the word is given at its first phone
============================  ====================================================================================

x lies in the midsagittal plane, y is lateral, z grows upwards; n is not padded. Letters outside ASCII are written as
octal escapes of their UTF-8 bytes (``\303\250``). The layout follows two public readers of the corpus,
pandrey-fr/ac2art and antoinelii/art-tts. Neither states the unit or the direction of x: ac2art divides by 10 to get cm,
so mm are assumed here (``unit_mm``), and the direction of x is determined in each file from the position of the lips;
positions without the proportions of a human head are refused.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.formats.prompts import numbered_sentence
from tractprobe.corpora.formats.tables import parse_rows
from tractprobe.corpora.geometry.orientation import scaled, with_x_to_the_front
from tractprobe.corpora.utterance import Phone, Reader, Utterance, found, naming
from tractprobe.signals.audio import read_audio
from tractprobe.signals.channels import in_canonical_order
from tractprobe.signals.track import Track
from tractprobe.system.errors import CorpusError
from tractprobe.system.files import read_bytes, read_text

EMA_RATE_HZ = 400.0

_ROWS = ("ul", "ll", "ui", "li", "td", "tb", "tt")
_FILE_NAME = re.compile(r"(?P<speaker>[A-Za-z]+)_(?P<number>[0-9]{1,9})\.ema")
_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")
_MAX_BYTES = 1 << 25


@dataclass
class Mspka(Reader):
    """Reader of MSPKA as distributed.

    Attributes
    ----------
    unit_mm
        Millimetres in one unit of the ``.ema`` files.
    """

    root: Path
    name: str = "mspka"
    language: str = "it"
    unit_mm: float = 1.0

    def __post_init__(self):
        self.root = Path(self.root).expanduser()

    def sources(self) -> list[str]:
        paths = [path for path in self.root.rglob("*.ema") if _FILE_NAME.fullmatch(path.name)]
        return found(self.root, paths, "utterance such as cnz_1.0.0/ema_1.0.0/cnz_1.ema")

    def read(self, source: str) -> list[Utterance]:
        path = self.root / source
        parsed = _FILE_NAME.fullmatch(path.name)
        if parsed is None:
            raise CorpusError(path, "not named as an utterance of MSPKA is")
        columns = with_x_to_the_front(path, _columns(path, self.unit_mm))
        extra = {name: columns.pop(name) for name in ("ui_x", "ui_y")}
        sentences = path.parent.parent / "list_sentences"
        audio, rate_hz = read_audio(_beside(path, "wav"))
        phones = _phones(_beside(path, "lab"))
        with naming(path):
            return [
                Utterance(
                    id=path.stem,
                    speaker=parsed["speaker"],
                    language=self.language,
                    text=numbered_sentence(sentences, _text(sentences), int(parsed["number"])),
                    audio=audio,
                    audio_rate_hz=rate_hz,
                    track=Track(in_canonical_order(columns), EMA_RATE_HZ),
                    phones=phones,
                    phone_set="mspka",
                    extra=extra,
                )
            ]


def _beside(path: Path, kind: str) -> Path:
    """Return the file of an utterance in the folder of another kind (``ema_1.0.0`` -> ``wav_1.0.0``)."""
    return path.parent.with_name(re.sub(r"^ema", kind, path.parent.name)) / f"{path.stem}.{kind}"


def _columns(path: Path, unit_mm: float) -> dict[str, Float[np.ndarray, " time"]]:
    lines = read_text(path, "ascii", _MAX_BYTES).rstrip().split("\n")
    if len(lines) != 3 * len(_ROWS):
        raise CorpusError(path, f"{len(lines)} rows; expected {3 * len(_ROWS)} channels, one per row")
    rows = scaled(path, parse_rows(path, lines), unit_mm)
    columns = {}
    for index, name in enumerate(_ROWS):
        columns[f"{name}_x"], columns[f"{name}_y"] = rows[3 * index], rows[3 * index + 2]
    return columns


def _phones(path: Path) -> tuple[Phone, ...]:
    phones = []
    for number, line in enumerate(_text(path).rstrip().split("\n"), start=1):
        cells = line.split(None, 3)
        try:
            phones.append(Phone(cells[2], float(cells[0]), float(cells[1])))
        except (IndexError, ValueError):
            raise CorpusError(path, f"not 'start end phone': {line!r:.60}", place=f"line {number}") from None
    return tuple(phones)


def _text(path: Path) -> str:
    """Read UTF-8 text in which bytes may be written as octal escapes; there are no other escapes."""
    content = _OCTAL.sub(lambda escape: bytes([int(escape[1], 8)]), read_bytes(path, _MAX_BYTES))
    try:
        return content.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        place = f"byte {error.start}, octal escapes resolved"
        raise CorpusError(path, "not UTF-8 text", place=place) from None
