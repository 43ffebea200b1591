"""FROST-EMA: Finnish and Russian, 18 bilingual speakers, with an AG501 at 1250 Hz (Hopponen et al. 2025).

``<speaker>/pos/<stem>.pos`` (or ``.txt``) are text exports in mm with the columns ``Ch<n>_X``, ``Ch<n>_Y``,
``Ch<n>_Z``, whatever the extension suggests; ``<speaker>/wav/<stem>.wav`` is the audio. X is horizontal and Z vertical.
Speakers are named by their first language (``fin_kh5_f``, ``rus_kh18_m``). There is no sensor on the jaw; two speakers
have one tongue sensor on a different channel.

Every speaker speaks the first language (task A), imitates a foreign accent (B), and speaks the second language (C). B,
being an imitation, is left out unless ``tasks`` names it together with its language. How file names encode the task is
not documented: ``task_pattern`` is a guess; check it against your own copy. Channels and overrides are from a public
reader (ailinpollio/ssl-embeddings-to-articulatory), which does not say whether head movement has been corrected.

Labels: ``task`` (A, B, C), ``l1`` (fi, ru) and ``gender``, where the speaker's name ends in ``_f`` or ``_m``; read and
spontaneous speech by ``label_pattern``, as names of files are not documented.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from tractprobe.corpora.formats.carstens import read_sweep
from tractprobe.corpora.readers.articulograph import channels_of
from tractprobe.corpora.readers.options import (
    AUDIO_CHANNEL,
    check_audio_channel,
    check_axes,
    check_label_pattern,
    check_pattern,
    in_plane,
    labels_of,
)
from tractprobe.corpora.utterance import Reader, Utterance, added, found, naming
from tractprobe.signals.audio import read_audio
from tractprobe.signals.channels import in_canonical_order, named_columns
from tractprobe.signals.track import Track
from tractprobe.system.errors import ConfigError, CorpusError

CHANNELS_OF = {"td": 8, "tb": 9, "tt": 7, "ul": 12, "ll": 13}
OVERRIDES = {"fin_kh5_f": {"tt": 14}, "rus_kh18_m": {"td": 14}}
_LANGUAGES = {"fin": ("fi", "ru"), "rus": ("ru", "fi")}
_SPEAKER = re.compile(r"(fin|rus)_.+")
_GENDER = re.compile(r"_([fm])$")


@dataclass
class FrostEma(Reader):
    """Reader of FROST-EMA.

    Attributes
    ----------
    tasks
        The tasks to read, each with its language: the speaker's ``first`` or ``second``.
    task_pattern
        Regular expression searched for in the file's name; its group ``task`` is the task.
    front, up
        The device's axes that grow to the front and upwards, such as ``x`` or ``-x``.
    rate_hz
        Frames per second of the text exports, which do not state it.
    audio_channel
        Channel of the audio, from 0, if it has several.
    label_pattern
        Regular expression searched for in the file's name; its groups are further labels, such as ``style``.
    """

    kept_labels: ClassVar[tuple[str, ...]] = ("gender", "l1", "task")
    root: Path
    name: str = "frost"
    tasks: Mapping[str, str] = field(default_factory=lambda: {"A": "first", "C": "second"})
    task_pattern: str = r"(?<![A-Za-z])(?P<task>[ABC])(?![A-Za-z])"
    front: str = "x"
    up: str = "z"
    rate_hz: float = 1250.0
    audio_channel: int | None = None
    label_pattern: str | None = added(None)

    def __post_init__(self):
        self.root = Path(self.root).expanduser()
        check_label_pattern(self.label_pattern)
        check_pattern("corpus.task_pattern", self.task_pattern, "task")
        check_axes(self.front, self.up)
        check_audio_channel(self.audio_channel)
        if not set(self.tasks.values()) <= {"first", "second"}:
            raise ConfigError("corpus.tasks: expected 'first' or 'second', the speaker's language in each task")

    def sources(self) -> list[str]:
        paths = [
            path
            for folder in (self.root.glob("*/pos") if self.root.is_dir() else ())
            if _SPEAKER.fullmatch(folder.parent.name)
            for path in folder.iterdir()
            if path.suffix in (".pos", ".txt") and self._task(path) in {None, *self.tasks}
        ]
        return found(self.root, paths, f"<speaker>/pos/*.pos or *.txt of the tasks {', '.join(self.tasks)}")

    def _task(self, path: Path) -> str | None:
        task = re.search(self.task_pattern, path.stem)
        return task["task"] if task else None

    def read(self, source: str) -> list[Utterance]:
        path = self.root / source
        speaker = path.parent.parent.name
        language = self._language(path, speaker)
        audio, audio_rate_hz = read_audio(
            path.parent.with_name("wav") / f"{path.stem}.wav", self.audio_channel, AUDIO_CHANNEL
        )
        with naming(path):
            return [
                Utterance(
                    id=f"{speaker}_{path.stem.removeprefix(f'{speaker}_')}",
                    speaker=speaker,
                    language=language,
                    text="",
                    audio=audio,
                    audio_rate_hz=audio_rate_hz,
                    track=self._track(path, speaker),
                    labels=self._labels(path, speaker),
                )
            ]

    def _labels(self, path: Path, speaker: str) -> dict[str, str]:
        task, gender = self._task(path), _GENDER.search(speaker)
        own = {"l1": _LANGUAGES[speaker[:3]][0]} | ({"task": task} if task else {})
        return own | ({"gender": gender[1]} if gender else {}) | labels_of(path.stem, self.label_pattern)

    def _language(self, path: Path, speaker: str) -> str:
        task, named = self._task(path), _SPEAKER.fullmatch(speaker)
        if named is None or task is None or task not in self.tasks:
            problem = f"corpus.task_pattern finds the task {task}, and corpus.tasks has {', '.join(self.tasks)}"
            raise CorpusError(path, f"its language is unknown: {problem}")
        first, second = _LANGUAGES[named[1]]
        return first if self.tasks[task] == "first" else second

    def _track(self, path: Path, speaker: str) -> Track:
        sweep, sensors = read_sweep(path), CHANNELS_OF | OVERRIDES.get(speaker, {})
        positions = channels_of(path, sweep, list(sensors.values()), max_rms=None)
        columns = named_columns(list(sensors), in_plane(positions, self.front, self.up))
        return Track(in_canonical_order(columns), sweep.rate_hz or self.rate_hz)
