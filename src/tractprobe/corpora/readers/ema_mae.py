"""EMA-MAE, Marquette's corpus of Mandarin-accented English: 20 speakers with L1 Mandarin, 20 with L1 English, NDI Wave.

``<speaker>/Kinematic/Corrected/<speaker>_<task>_BPC.tsv`` at 400 Hz in WaveFront's dialect, with
``<speaker>_<task>.wav`` elsewhere in the speaker's folder; a speaker is called ``05_ENGL_F``. ``_BPC`` means corrected
by the bite plate: in mm, x to the front along the occlusal plane, y up, z to the subject's RIGHT (lateral); the origin
is at the upper incisor. ``Raw`` files have different axes and are not read. Sensor 1 is the reference on the head and
stays in the device's own axes; after it come TD, TL (lateral tongue), TB, UL, LL, LC (lip corner) and MI (lower
incisor), by their position in the file, because the numbers in the header skip some. The order and the signs are those
that Marquette's own CheckSensors.m tests; a few speakers' sensors were swapped, hence ``speaker_sensors``.

Only two sensors are on the tongue's midline, so one of td, tb and tt is missing throughout. This reader was written
without access to the corpus itself.

Labels by the speaker's name, where it is of the form ``05_ENGL_F``: ``l1`` (``en``, ``zh``, otherwise the name's own
part in lower case) and ``gender``.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import ClassVar

from tractprobe.corpora.readers.ndi_wave import NdiWave
from tractprobe.corpora.utterance import Reader, Utterance
from tractprobe.system.errors import ConfigError

_TONGUE = ("td", "tb", "tt")
_OTHERS = {"UL": "ul", "LL": "ll", "MI": "li"}
_SPEAKER = re.compile(r"[0-9]+_(?P<l1>[A-Za-z]+)_(?P<gender>[FM])")
_FIRST_LANGUAGES = {"ENG": "en", "MAN": "zh"}
SENSORS = {"TD": 2, "TB": 4, "UL": 5, "LL": 6, "MI": 8}


@dataclass
class EmaMae(Reader):
    """Reader of EMA-MAE; every speaker speaks English.

    Attributes
    ----------
    tongue
        The articulators that the sensors TD and TB represent, back to front; the third one is missing.
    sensors
        Position in the file, counted from 1, of each of the corpus's sensors.
    speaker_sensors
        Differences from ``sensors`` for individual speakers, ``{05_ENGL_F: {TD: 4, TB: 2}}``; ``null`` for a missing
        sensor.
    speaker_pattern
        Regular expression searched for in a file's name; its group ``speaker`` is the speaker.
    exclude
        Regular expression; files with a match in their names are not utterances.
    phone_tier, phone_set
        Tier in TextGrids next to the movements, ``None`` if there are none, and the set of its phone symbols. The text
        is the task's name, because all speakers were given the same tasks.
    """

    kept_labels: ClassVar[tuple[str, ...]] = ("gender", "l1")
    root: Path
    name: str = "ema_mae"
    language: str = "en"
    tongue: Sequence[str] = ("td", "tb")
    sensors: Mapping[str, int] = field(default_factory=lambda: dict(SENSORS))
    speaker_sensors: Mapping[str, Mapping[str, int | None]] = field(default_factory=dict)
    speaker_pattern: str = r"^(?P<speaker>[0-9]+_[A-Za-z]+_[FM])(?=_)"
    exclude: str = r"(?i)palate|bite|calib|_bp(?!c)"
    phone_tier: str | None = None
    phone_set: str = "arpabet"

    def __post_init__(self):
        self.root = Path(self.root).expanduser()
        articulators = self._articulators()
        self._recordings = NdiWave(
            name=self.name,
            root=self.root,
            language=self.language,
            sensors=_renamed(self.sensors, articulators),
            front="x",
            up="y",
            speaker_sensors={
                speaker: _renamed(sensors, articulators) for speaker, sensors in self.speaker_sensors.items()
            },
            speaker_pattern=self.speaker_pattern,
            suffix="_BPC.tsv",
            exclude=self.exclude,
            frame="occlusal",
            phone_tier=self.phone_tier,
            phone_set=self.phone_set,
        )

    def sources(self) -> list[str]:
        return self._recordings.sources()

    def read(self, source: str) -> list[Utterance]:
        return [
            replace(
                utterance,
                text=utterance.id.removeprefix(f"{utterance.speaker}_"),
                labels=_labels(utterance.speaker),
            )
            for utterance in self._recordings.read(source)
        ]

    def _articulators(self) -> dict[str, str]:
        """Return the articulator of each of the corpus's sensors."""
        tongue = tuple(self.tongue)
        if tongue not in list(combinations(_TONGUE, 2)):
            raise ConfigError(f"corpus.tongue {list(tongue)}: expected two of {' '.join(_TONGUE)}, back to front")
        return {"TD": tongue[0], "TB": tongue[1], **_OTHERS}


def _labels(speaker: str) -> dict[str, str]:
    parsed = _SPEAKER.fullmatch(speaker)
    if parsed is None:
        return {}
    l1 = _FIRST_LANGUAGES.get(parsed["l1"][:3].upper(), parsed["l1"].lower())
    return {"gender": parsed["gender"].lower(), "l1": l1}


def _renamed(sensors: Mapping[str, int | None], articulators: Mapping[str, str]) -> dict[str, int | None]:
    if unknown := sorted(set(sensors) - set(articulators)):
        raise ConfigError(
            f"corpus.sensors names {', '.join(unknown)}; the midsagittal ones are {' '.join(articulators)}"
        )
    return {articulators[name]: place for name, place in sensors.items()}
