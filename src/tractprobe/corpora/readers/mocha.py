"""MOCHA-TIMIT: British English, 460 sentences by each of a few speakers, EMA at 500 Hz with audio and laryngograph.

One flat folder per speaker, ``<speaker>_<sentence>.ema|wav|lar|lab|epg``; ``.ema`` is an EST track in 1/100 mm whose x
grows to the BACK and y upwards, head-corrected, origin at the upper incisor (``ui``). Channels are found by name: their
order differs from the articulators', unused coils are called ``****`` (more than once), names contain blanks
(``"v_x "``). ``.wav`` and ``.lar`` are NIST SPHERE in the release and RIFF in some copies. ``.lab``, which exists for
some speakers only, is ``start end phone`` in seconds. All speakers read the same sentences, listed in
``mocha-timit.txt`` as ``001. Text.``

EMA and audio start together and end at different times. The means of coils drift over a session; this is not corrected
here. The copies of MOCHAtools, in which ``.ema`` is text without a header, can be read too, and so can its palate
traces (``<speaker>_pal.dat``, mm, same axes).

Label: ``gender`` of the release's speakers, whose names begin with it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.formats.est import EstTrack, read_est
from tractprobe.corpora.formats.prompts import numbered_sentence
from tractprobe.corpora.formats.tables import parse_rows
from tractprobe.corpora.utterance import Phone, Reader, Utterance, found, naming
from tractprobe.signals.audio import read_audio
from tractprobe.signals.channels import ARTICULATORS, in_canonical_order
from tractprobe.signals.track import Track
from tractprobe.system.errors import CorpusError
from tractprobe.system.files import read_text

_FILE_NAME = re.compile(r"(?P<speaker>[A-Za-z]+[0-9]+)_(?P<sentence>[0-9]{3})\.ema")
_PALATE_NAME = re.compile(r"(?P<speaker>[A-Za-z]+[0-9]+)_pal\.dat")
_PROMPTS = "mocha-timit.txt"
_SENTENCES = range(1, 461)
_SPEAKERS = ("faet0", "falh0", "ffes0", "fsew0", "maps0", "mjjn0", "msak0")
_UNITS_PER_MM = 100
_EXTRA = ("ui", "bn", "v")
_HEADERLESS = (
    *("ui_x", "li_x", "ul_x", "ll_x", "tt_x", "ui_y", "li_y", "ul_y", "ll_y", "tt_y"),
    *("tb_x", "td_x", "v_x", "****", "bn_x", "tb_y", "td_y", "v_y", "****", "bn_y"),
)


@dataclass
class Mocha(Reader):
    """Reader of MOCHA-TIMIT: the root contains the speakers' folders, at any depth, and ``mocha-timit.txt``.

    Attributes
    ----------
    prompts
        File of the sentences, if it is neither next to the recordings nor in a folder above them (up to the root).
    exclude
        Utterances to leave out; by default those that the speakers' readme files call corrupt.
    """

    kept_labels: ClassVar[tuple[str, ...]] = ("gender",)
    root: Path
    name: str = "mocha"
    language: str = "en"
    prompts: str | None = None
    exclude: Sequence[str] = ("msak0_268", "maps0_118")

    def __post_init__(self):
        self.root = Path(self.root).expanduser()
        self.exclude = tuple(self.exclude)

    def sources(self) -> list[str]:
        paths = [path for path in self.root.rglob("*.ema") if _is_utterance(path) and path.stem not in self.exclude]
        return found(self.root, paths, "utterance such as fsew0_001.ema")

    def read(self, source: str) -> list[Utterance]:
        path = self.root / source
        parsed = _FILE_NAME.fullmatch(path.name)
        if parsed is None or not _is_utterance(path):
            raise CorpusError(path, "not named as an utterance of MOCHA-TIMIT is")
        ema = read_est(path, _HEADERLESS)
        audio, audio_rate_hz = read_audio(path.with_suffix(".wav"))
        larynx_path = path.with_suffix(".lar")
        larynx, larynx_rate_hz = read_audio(larynx_path) if larynx_path.exists() else (None, 0)
        with naming(path):
            return [
                Utterance(
                    id=path.stem,
                    speaker=parsed["speaker"],
                    language=self.language,
                    text=self._sentence(path, int(parsed["sentence"])),
                    audio=audio,
                    audio_rate_hz=audio_rate_hz,
                    track=_track(ema),
                    phones=_phones(path.with_suffix(".lab")),
                    phone_set="mocha",
                    extra=_positions(ema, _EXTRA),
                    frame="head",
                    larynx=larynx,
                    larynx_rate_hz=larynx_rate_hz,
                    labels={"gender": parsed["speaker"][0]} if parsed["speaker"] in _SPEAKERS else {},
                )
            ]

    def palates(self) -> dict[str, Float[np.ndarray, "point 2"]]:
        traces = {}
        for path in sorted(self.root.rglob("*_pal.dat")):
            if parsed := _PALATE_NAME.fullmatch(path.name):
                lines = read_text(path, "latin-1").strip().split("\n")
                # From front to back in the file.
                traces[parsed["speaker"]] = parse_rows(path, lines, columns=2)[::-1] * (-1.0, 1.0)
        return traces

    def _sentence(self, path: Path, number: int) -> str:
        prompts = self._prompts_path(path)
        return numbered_sentence(prompts, read_text(prompts, "latin-1"), number)

    def _prompts_path(self, path: Path) -> Path:
        if self.prompts is not None:
            return Path(self.prompts).expanduser()
        for folder in path.parents:
            if (folder / _PROMPTS).exists():
                return folder / _PROMPTS
            if folder == self.root:
                break
        problem = f"no {_PROMPTS} (the texts) next to it or above it; put it there or give corpus.prompts=..."
        raise CorpusError(path, f"{problem} (expected: {self.root / _PROMPTS})")


def _is_utterance(path: Path) -> bool:
    parsed = _FILE_NAME.fullmatch(path.name)
    return parsed is not None and int(parsed["sentence"]) in _SENTENCES


def _positions(ema: EstTrack, points: Sequence[str]) -> dict[str, Float[np.ndarray, " time"]]:
    """Return x (to the front) and y (up) in mm of those of the points that are in the file."""
    columns = {}
    for point in points:
        if {f"{point}_x", f"{point}_y"} & set(ema.channels):
            columns[f"{point}_x"] = -ema.column(f"{point}_x") / _UNITS_PER_MM
            columns[f"{point}_y"] = ema.column(f"{point}_y") / _UNITS_PER_MM
    return columns


def _track(ema: EstTrack) -> Track:
    return Track(in_canonical_order(_positions(ema, ARTICULATORS)), ema.rate_hz, ema.start_s)


def _phones(path: Path) -> tuple[Phone, ...]:
    if not path.exists():
        return ()  # most speakers are not labelled
    phones = []
    for number, line in enumerate(read_text(path, "latin-1").split("\n"), start=1):
        match line.split():
            case []:
                continue
            case [start_s, end_s, label]:
                start_s, end_s = map(float, parse_rows(path, [f"{start_s} {end_s}"], first_line=number)[0])
                if not 0 <= start_s <= end_s < float("inf"):
                    raise CorpusError(path, f"not an interval of time: {line!r:.60}", place=f"line {number}")
                phones.append(Phone(label, start_s, end_s))
            case _:
                raise CorpusError(path, f"not 'start end phone': {line!r:.60}", place=f"line {number}")
    return tuple(phones)
