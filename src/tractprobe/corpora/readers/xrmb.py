"""The Wisconsin X-ray microbeam database: American English, pellets tracked at 145.6 Hz, palate and pharynx traces.

``JW<number>/tp<task>.txy`` with ``tp<task>.wav`` (one channel, any rate); a repeated task is ``tp015_2``. A ``.txy``
file is latin-1 text of 17 whole numbers in tab-separated columns: time in MICROseconds, then x (to the front) and y
(up) in MICROmetres of UL LL T1 T2 T3 T4 MNI MNM: lips, tongue from tip to dorsum, lower incisor, lower molar. 1000000
in a coordinate is a lost pellet; the time column may also contain that number. The origin is at the upper incisors, x
lies in the occlusal plane. ``PAL.DAT`` and ``PHA.DAT`` contain the speaker's palate and back wall of the pharynx, x and
y in micrometres.

Checked on JW11's task 5 as distributed with XRMBtools. A considerable part of the database is mistracked, which is not
detected here. Phones and words of 48 speakers are annotated in rsprouse/xray_microbeam_database (TextGrids, tiers
``phone`` and ``word``; ARPAbet with stress, ``sp`` for pauses).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.formats.tables import parse_rows
from tractprobe.corpora.formats.textgrid import TextGrid, read_textgrid
from tractprobe.corpora.utterance import Reader, Utterance, found, naming
from tractprobe.signals.audio import read_audio
from tractprobe.signals.channels import in_canonical_order
from tractprobe.signals.track import Track
from tractprobe.system.errors import ConfigError, CorpusError
from tractprobe.system.files import read_text

_SPEAKER = re.compile(r"JW[0-9]+", re.IGNORECASE)
_FILE_NAME = re.compile(r"(?P<task>tp[0-9]+)(?:_[0-9]+)?\.txy", re.IGNORECASE)
_TASK = re.compile(r"(?P<task>tp[0-9]+)[\s:,]+", re.IGNORECASE)
_PELLETS = ("UL", "LL", "T1", "T2", "T3", "T4", "MNI", "MNM")
_FIXED = {"td": "T4", "tt": "T1", "li": "MNI", "ul": "UL", "ll": "LL"}
_MISSING = 1_000_000
_UM_PER_MM = 1000
_US_PER_S = 1e6
_MAX_UNEVENNESS = 0.01
_MAX_TASK_BYTES = 1 << 20


@dataclass
class Xrmb(Reader):
    """Reader of the X-ray microbeam database.

    Attributes
    ----------
    tb
        Pellet used as the tongue's blade, ``T2`` or ``T3``; the other one is an extra channel.
    tasks
        File with the text of each task, in lines such as ``tp014 She had your dark suit...``.
    textgrids
        Folder of annotations in the layout of the corpus (``JW11/tp014.TextGrid``), relative to the root; ``.`` if they
        are next to the movements, ``None`` if there are none. The text of an utterance is that of ``tasks``, or the
        task's name, because all speakers were given the same tasks; the words of the annotations are not used.
    phone_tier
        Name of the tier of phones in the annotations.
    """

    root: Path
    name: str = "xrmb"
    language: str = "en"
    tb: str = "T2"
    tasks: str | None = None
    textgrids: str | None = None
    phone_tier: str = "phone"

    def __post_init__(self):
        self.root = Path(self.root).expanduser()
        if self.tb not in ("T2", "T3"):
            raise ConfigError(f"corpus.tb {self.tb!r}: expected T2 or T3")

    def sources(self) -> list[str]:
        paths = [path for path in self.root.rglob("*") if _is_utterance(path)]
        return found(self.root, paths, "recording such as JW11/tp001.txy")

    def read(self, source: str) -> list[Utterance]:
        path = self.root / source
        parsed = _FILE_NAME.fullmatch(path.name)
        if parsed is None or not _is_utterance(path):
            raise CorpusError(path, "not named as a recording of the X-ray microbeam database is")
        track, pellets = _read_movements(path, {**_FIXED, "tb": self.tb})
        audio, audio_rate_hz = read_audio(_beside(path, f"{path.stem}.wav"))
        grid = self._textgrid(path, len(audio) / audio_rate_hz)
        with naming(path):
            return [
                Utterance(
                    id=f"{path.parent.name}_{path.stem}",
                    speaker=path.parent.name,
                    language=self.language,
                    text=self._text(parsed["task"].lower()),
                    audio=audio,
                    audio_rate_hz=audio_rate_hz,
                    track=track,
                    phones=grid.intervals(self.phone_tier) if grid else (),
                    phone_set="arpabet",
                    extra=pellets,
                    frame="occlusal",
                )
            ]

    def palates(self) -> dict[str, Float[np.ndarray, "point 2"]]:
        return self._traces("PAL.DAT")

    def pharynges(self) -> dict[str, Float[np.ndarray, "point 2"]]:
        """Return each speaker's back wall of the pharynx, top to bottom, x and y in mm."""
        return self._traces("PHA.DAT")

    def _traces(self, name: str) -> dict[str, Float[np.ndarray, "point 2"]]:
        folders = sorted({(self.root / source).parent for source in self.sources()})
        paths = {folder.name: _beside(folder / name, name) for folder in folders}
        return {speaker: _read_trace(path) for speaker, path in paths.items() if path.exists()}

    def _textgrid(self, path: Path, duration_s: float) -> TextGrid | None:
        if self.textgrids is None:
            return None
        folder = self.root / Path(self.textgrids).expanduser() / path.parent.relative_to(self.root)
        grid_path = folder / f"{path.stem}.TextGrid"
        if not grid_path.exists():
            return None  # not every recording is annotated
        return read_textgrid(grid_path).check_times(duration_s)

    def _text(self, task: str) -> str:
        # Not the TextGrid's words: only some speakers have them, and they include slips of the tongue; the same task
        # would be a different sentence for another speaker, and could lie on both sides of a split.
        listed = _read_tasks(self.root / Path(self.tasks).expanduser()) if self.tasks else {}
        return listed.get(task, "") or task


def _is_utterance(path: Path) -> bool:
    return _FILE_NAME.fullmatch(path.name) is not None and _SPEAKER.fullmatch(path.parent.name) is not None


def _beside(path: Path, name: str) -> Path:
    """Return the path with this name in the folder of ``path``, in any combination of upper and lower case."""
    if path.parent.is_dir():
        for candidate in sorted(path.parent.iterdir()):
            if candidate.name.lower() == name.lower():
                return candidate
    return path.with_name(name)


def _read_movements(path: Path, pellets: Mapping[str, str]) -> tuple[Track, dict[str, Float[np.ndarray, " time"]]]:
    """Return the canonical channels, and the channels of all other pellets."""
    table = _whole_numbers(path, "\t", 1 + 2 * len(_PELLETS))
    rate_hz = _rate_hz(path, table[:, 0])
    positions = _positions_mm(path, table[:, 1:]).reshape(len(table), len(_PELLETS), 2)
    canonical, others = {}, {}
    for index, pellet in enumerate(_PELLETS):
        articulator = next((name for name, used in pellets.items() if used == pellet), None)
        for axis, values in zip("xy", positions[:, index].T, strict=True):
            if articulator is None:
                others[f"{pellet.lower()}_{axis}"] = values
            else:
                canonical[f"{articulator}_{axis}"] = values
    return Track(in_canonical_order(canonical), rate_hz, table[0, 0] / _US_PER_S), others


def _rate_hz(path: Path, times_us: Float[np.ndarray, " time"]) -> float:
    if len(times_us) < 2 or not times_us[-1] > times_us[0]:
        raise CorpusError(path, "not a clock: fewer than two rows, or time does not increase")
    steps = np.diff(times_us)
    step = float(np.median(steps))
    if (wrong := np.flatnonzero(np.abs(steps - step) > _MAX_UNEVENNESS * step)).size:
        problem = f"a step of {steps[wrong[0]]:.0f} us, where others are {step:.0f} us"
        raise CorpusError(path, problem, place=f"line {wrong[0] + 2}")
    return float(_US_PER_S * len(steps) / (times_us[-1] - times_us[0]))


def _read_trace(path: Path) -> Float[np.ndarray, "point 2"]:
    """Return a trace in mm, starting from the end further back; missing points are left out."""
    points = _positions_mm(path, _whole_numbers(path, None, 2))
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        raise CorpusError(path, "contains no points")
    return points if points[0, 0] <= points[-1, 0] else points[::-1].copy()


def _whole_numbers(path: Path, delimiter: str | None, columns: int) -> Float[np.ndarray, "row column"]:
    lines = read_text(path, "latin-1").rstrip("\n\x1a").split("\n")
    table = parse_rows(path, lines, columns=columns, delimiter=delimiter)
    with np.errstate(invalid="ignore"):
        bad = np.flatnonzero((~(np.abs(table) < 2**53) | (table != np.round(table))).any(axis=1))
    if bad.size:
        raise CorpusError(path, "expected only whole numbers (micrometres)", place=f"line {bad[0] + 1}")
    return table


def _positions_mm(path: Path, table_um: Float[np.ndarray, "row column"]) -> Float[np.ndarray, "row column"]:
    if (beyond := np.flatnonzero((np.abs(table_um) > _MISSING).any(axis=1))).size:
        raise CorpusError(path, "a position more than 1 m away", place=f"line {beyond[0] + 1}")
    return np.where(table_um == _MISSING, np.nan, table_um / _UM_PER_MM)


@lru_cache(maxsize=4)
def _read_tasks(path: Path) -> dict[str, str]:
    """Return the text of each task."""
    texts = {}
    for number, line in enumerate(read_text(path, max_bytes=_MAX_TASK_BYTES).split("\n"), start=1):
        parsed = _TASK.match(line.strip())
        if parsed is not None:
            texts[parsed["task"].lower()] = line.strip()[parsed.end() :]
        elif line.strip():
            raise CorpusError(path, "expected a task and its text, such as 'tp014 She had...'", place=f"line {number}")
    return texts
