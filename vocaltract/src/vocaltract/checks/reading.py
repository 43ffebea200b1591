"""An output folder as the checks read it: what is in the files, and the movement that they were made from."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from vocaltract import speakers
from vocaltract.corpus.folder import EMA_CHANNELS, MISSING
from vocaltract.corpus.plan import Task
from vocaltract.corpus.utterance import movement_of
from vocaltract.errors import VocalTractError
from vocaltract.languages import speak
from vocaltract.manner import Manner
from vocaltract.spoken import Phone, Spoken
from vocaltract.states import TRACT, Movement


@dataclass(frozen=True)
class Utterance:
    """One utterance of a folder.

    Attributes
    ----------
    base
        Path without suffixes.
    said
        Its description (JSON).
    record
        Its line of the manifest.
    """

    base: Path
    said: Mapping[str, Any]
    record: Mapping[str, Any]

    @property
    def id(self) -> str:
        return self.base.name

    @property
    def speaker(self) -> str:
        return self.said["speaker"]

    @property
    def language(self) -> str:
        return self.said["language"]

    @property
    def is_speech(self) -> bool:
        return self.said["labels"]["kind"] == "speech"

    @property
    def phones(self) -> tuple[tuple[str, float, float], ...]:
        """(IPA, start, end) in seconds."""
        return tuple((ipa, start, end) for ipa, start, end in self.said.get("phones", ()))

    @property
    def words(self) -> list[list[tuple[str, float, float]]]:
        """The phones of each word."""
        words: dict[int, list[tuple[str, float, float]]] = {}
        spoken = speak(self.record["spoken"], self.language).phones
        for phone, timed in zip(spoken, self.phones, strict=True):
            words.setdefault(phone.word, []).append(timed)
        return list(words.values())

    @property
    def manner(self) -> Manner:
        return Manner(**self.record["manner"])

    @property
    def is_plainly_recorded(self) -> bool:
        """Whether the sound is the synthesiser's own: no room, no noise, a flat microphone."""
        manner = self.manner
        return (manner.microphone, manner.room, manner.noise_db) == ("flat", "none", None)

    @cached_property
    def sound(self) -> np.ndarray:
        """(sample,) float64 at 16 kHz."""
        return soundfile.read(self._file("flac"))[0]

    @cached_property
    def ema(self) -> np.ndarray | None:
        """(frame, 12) in mm, NaN where missing; ``None`` in a corpus of audio only."""
        if "ema_rate_hz" not in self.said:
            return None
        stored = np.load(self._file("ema.npy"), allow_pickle=False)
        if stored.ndim != 2 or stored.shape[1] != len(EMA_CHANNELS) or stored.dtype != np.int16:
            raise VocalTractError(f"{self.id}: movements are {stored.dtype} of shape {stored.shape}")
        return np.where(stored == MISSING, np.nan, stored * self.said["ema_resolution_mm"])

    @cached_property
    def f0_hz(self) -> np.ndarray | None:
        """(frame,) at 100 Hz."""
        return np.load(self._file("f0.npy"), allow_pickle=False) if "f0_rate_hz" in self.said else None

    @cached_property
    def movement(self) -> Movement:
        """States of tract and glottis: as they were kept (``--motor``), else made again from the manifest.

        Raises
        ------
        VocalTractError
            If phones made again have other times than those in the folder: the program has changed since.
        """
        kept = self._file("motor.npy")
        if kept.is_file():
            states = np.load(kept, allow_pickle=False).astype(np.float64)
            phones = tuple(Phone(*phone) for phone in self.phones)
            spoken = Spoken(self.said["text"], self.language, phones)
            return Movement(self.speaker, states[:, : len(TRACT)], states[:, len(TRACT) :], spoken)
        movement = movement_of(self._task(), speakers.load(self.speaker))
        again = [(phone.ipa, phone.start_s, phone.end_s) for phone in movement.spoken.phones]
        if len(again) != len(self.phones) or any(
            a[0] != b[0] or abs(a[1] - b[1]) > 1e-3 for a, b in zip(again, self.phones, strict=True)
        ):
            raise VocalTractError(f"{self.id}: made by another version of this program, which moves otherwise")
        return movement

    def _task(self) -> Task:
        fields = ("id", "speaker", "language", "kind", "number", "text", "spoken", "seconds", "seed")
        return Task(part="", manner=self.manner, **{name: self.record[name] for name in fields})

    def _file(self, suffix: str) -> Path:
        return self.base.with_name(f"{self.id}.{suffix}")


def utterances(root: Path) -> Iterator[Utterance]:
    """All utterances below a folder, speaker by speaker; a manifest and its files must agree.

    Raises
    ------
    VocalTractError
        If there are none, or a file that the manifest has is not there.
    """
    manifests = sorted(root.rglob("manifest.jsonl"))
    if not manifests:
        raise VocalTractError(f"{root}: no manifest.jsonl there or below; was the corpus made to its end?")
    found = [_utterance(path.parent, line) for path in manifests for line in path.read_text("utf-8").splitlines()]
    order = {name: place for place, name in enumerate(speakers.SPEAKERS)}
    yield from sorted(found, key=lambda one: (order[one.speaker], one.id))


def _utterance(folder: Path, line: str) -> Utterance:
    record = json.loads(line)
    base = folder / record["id"]
    path = base.with_name(f"{base.name}.json")
    if not path.is_file():
        raise VocalTractError(f"{path} is in the manifest, but not there")
    return Utterance(base, json.loads(path.read_text("utf-8")), record)
