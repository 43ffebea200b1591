r"""MSPKA, session 1: read Italian, speakers cnz, lls and olm, over 500 sentences; EMA at 400 Hz, audio at 22.05 kHz.

For each speaker a folder ``<speaker>_1.0.0`` with ``list_sentences`` (lines such as ``12) La sentenza.``) and

============================  ====================================================================================
``ema_1.0.0/<s>_<n>.ema``     text; each ROW is a channel: x y z of UL LL UI LI, tongue back, middle and tip (21)
``wav_1.0.0/<s>_<n>.wav``     one channel
``lab_1.0.0/<s>_<n>.lab``     ``start end phone [word]`` in s; the word stands at its first phone
============================  ====================================================================================

x lies in the midsagittal plane, y is lateral, z grows upwards; n is not padded. Letters outside ASCII are written as
octal escapes of their UTF-8 bytes (``\303\250``). Layout after two public readers of the corpus, pandrey-fr/ac2art and
antoinelii/art-tts. Neither states the unit or where x points: ac2art divides by 10 for cm, so that mm are taken here
(``unit_mm``), and x is turned by where the lips are, file by file; what has no head's proportions is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tractprobe.articulators import in_canonical_order
from tractprobe.corpora import Phone, Reader, Utterance, found, naming
from tractprobe.corpora.audio import read_audio
from tractprobe.corpora.tables import parse_rows
from tractprobe.errors import CorpusError
from tractprobe.files import read_bytes, read_text
from tractprobe.track import Track

EMA_RATE_HZ = 400.0

_ROWS = ("ul", "ll", "ui", "li", "td", "tb", "tt")
_FILE_NAME = re.compile(r"(?P<speaker>[A-Za-z]+)_(?P<number>[0-9]{1,9})\.ema")
_SENTENCE = re.compile(r"([0-9]{1,9})\)\s*(\S.*)")
_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")
_MAX_BYTES = 1 << 25
_LIPS_TO_BACK_MM = (20.0, 150.0)
_MAX_POSITION_MM = 1000.0

Columns = Mapping[str, Float[np.ndarray, " time"]]


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
        audio, rate_hz = read_audio(_beside(path, "wav"))
        phones = _phones(_beside(path, "lab"))
        with naming(path):
            return [
                Utterance(
                    id=path.stem,
                    speaker=parsed["speaker"],
                    language=self.language,
                    text=_sentence(path.parent.parent / "list_sentences", int(parsed["number"])),
                    audio=audio,
                    audio_rate_hz=rate_hz,
                    track=Track(in_canonical_order(columns), EMA_RATE_HZ),
                    phones=phones,
                    phone_set="mspka",
                    extra=extra,
                )
            ]


def with_x_to_the_front(path: Path, columns: Columns) -> dict[str, Float[np.ndarray, " time"]]:
    """Return channels in mm with x growing to the front, whichever way it grew.

    Decided by each sensor's median: the lips are in front of the tip, the tip of the blade, the blade of the dorsum,
    and the upper lip is above the lower.

    Raises
    ------
    CorpusError
        The sensors lie as no head has them: wrong columns, a wrong unit, a lateral axis, a sensor come off.
    """
    centre = {name: float(np.median(known)) for name, column in columns.items() if len(known := _finite(column))}
    places = _places(path, centre)
    length, (least, most) = abs(places[0] - places[-1]), _LIPS_TO_BACK_MM
    if not least <= length <= most:
        problem = f"{length:.3g} mm from lips to tongue back along x, where {least:.0f} to {most:.0f} are possible"
        raise CorpusError(path, f"{problem}: wrong unit, wrong columns, or a lateral axis?")
    sign = 1.0 if places[0] > places[-1] else -1.0
    if not (np.diff(places) * sign < 0).all():
        listed = ", ".join(f"{place:.1f}" for place in places)
        raise CorpusError(
            path, f"lips, then tongue from tip to back, lie at x = {listed} mm: no such order is possible"
        )
    if not centre.get("ul_y", np.inf) > centre.get("ll_y", -np.inf):
        raise CorpusError(path, "the upper lip is not above the lower one: wrong columns, or an axis that grows down?")
    return {name: sign * column if name.endswith("_x") else column for name, column in columns.items()}


def scaled(path: Path, values: Float[np.ndarray, "time column"], unit_mm: float) -> Float[np.ndarray, "time column"]:
    """Return values in mm; CorpusError if one of them is farther out than any sensor gets."""
    with np.errstate(over="ignore"):
        millimetres = values.astype(np.float64) * unit_mm
    if (farthest := np.max(np.abs(millimetres), initial=0, where=~np.isnan(millimetres))) > _MAX_POSITION_MM:
        raise CorpusError(path, f"a position of {farthest:.3g} mm: damaged, or a wrong unit?")
    return millimetres


def _places(path: Path, centre: Mapping[str, float]) -> list[float]:
    """Return the x of the lips, and of what there is of the tongue from tip to back."""
    lips = [centre[name] for name in ("ul_x", "ll_x") if name in centre]
    if not lips or not {"tb_x", "td_x"} & set(centre):
        raise CorpusError(path, "where x points cannot be told without a lip and the back or middle of the tongue")
    return [sum(lips) / len(lips), *(centre[name] for name in ("tt_x", "tb_x", "td_x") if name in centre)]


def _finite(column: Float[np.ndarray, " time"]) -> Float[np.ndarray, " known"]:
    return column[np.isfinite(column)]


def _beside(path: Path, kind: str) -> Path:
    """Return the file of an utterance in the folder of another kind (``ema_1.0.0`` -> ``wav_1.0.0``)."""
    return path.parent.with_name(re.sub(r"^ema", kind, path.parent.name)) / f"{path.stem}.{kind}"


def _columns(path: Path, unit_mm: float) -> dict[str, Float[np.ndarray, " time"]]:
    lines = read_text(path, "ascii", _MAX_BYTES).rstrip().split("\n")
    if len(lines) != 3 * len(_ROWS):
        raise CorpusError(path, f"{len(lines)} rows; {3 * len(_ROWS)} channels are wanted, one a row")
    rows = scaled(path, parse_rows(path, lines), unit_mm)
    columns = {}
    for index, name in enumerate(_ROWS):
        columns[f"{name}_x"], columns[f"{name}_y"] = rows[3 * index], rows[3 * index + 2]
    return columns


def _sentence(path: Path, number: int) -> str:
    matches = [_SENTENCE.fullmatch(line.strip()) for line in _text(path).split("\n")]
    texts = {match[2] for match in matches if match and int(match[1]) == number}
    if len(texts) != 1:
        wanted = f"one line such as '{number}) La frase.' is wanted"
        raise CorpusError(path, f"{len(texts)} sentences with the number {number}; {wanted}")
    return texts.pop()


def _phones(path: Path) -> tuple[Phone, ...]:
    phones = []
    for number, line in enumerate(_text(path).rstrip().split("\n"), start=1):
        cells = line.split(None, 3)
        try:
            phones.append(Phone(cells[2], float(cells[0]), float(cells[1])))
        except (IndexError, ValueError):
            raise CorpusError(path, f"{line!r:.60} is no 'start end phone'", place=f"line {number}") from None
    return tuple(phones)


def _text(path: Path) -> str:
    """Read text in which bytes may be written as octal escapes, and nothing else is escaped."""
    content = _OCTAL.sub(lambda escape: bytes([int(escape[1], 8)]), read_bytes(path, _MAX_BYTES))
    try:
        return content.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        place = f"byte {error.start}, octal escapes resolved"
        raise CorpusError(path, "not UTF-8 text", place=place) from None
