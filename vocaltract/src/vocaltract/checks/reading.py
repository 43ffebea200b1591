"""A corpus folder as the checks read it: what is in the files, and the movement that they were made from."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from vocaltract import speakers
from vocaltract.corpus.folder import EMA_CHANNELS, EMA_HZ, MISSING
from vocaltract.corpus.plan import Task
from vocaltract.corpus.settings import program_hash
from vocaltract.corpus.utterance import movement_of, with_sensor_noise
from vocaltract.errors import VocalTractError
from vocaltract.languages import speak
from vocaltract.manner import Manner
from vocaltract.spoken import Phone, Spoken, read
from vocaltract.states import TRACT, Movement
from vocaltract.synthesis import sensors

COMPARED = 16
"""Frames whose sensors are read again from a movement that was made again."""
SAME_MM, SAME_HZ, HEARD = 0.3, 0.1, 0.5
"""Lips and jaw are interpolated in the file, to 0.15 mm."""
ALIKE = 0.8
"""Share of the compared frames that agree at least: where the tongue's mesh jumped, the file has repaired it."""


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
        return tuple((read(ipa), start, end) for ipa, start, end in self.said.get("phones", ()))

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
            If phones, pitch or sensors made again differ from those in the folder: the program has changed since.
            Where there is sound only, the program has to be the very same.
        """
        kept = self._file("motor.npy")
        if kept.is_file():
            states = np.load(kept, allow_pickle=False).astype(np.float64)
            phones = tuple(Phone(*phone) for phone in self.phones)
            spoken = Spoken(self.said["text"], self.language, phones)
            return Movement(self.speaker, states[:, : len(TRACT)], states[:, len(TRACT) :], spoken)
        movement = movement_of(self._task(), speakers.load(self.speaker))
        if not self._is_from(movement):
            raise VocalTractError(f"{self.id}: made by another version of this program, which moves otherwise")
        return movement

    def _is_from(self, movement: Movement) -> bool:
        again = [(phone.ipa, phone.start_s, phone.end_s) for phone in movement.spoken.phones]
        if len(again) != len(self.phones) or any(
            a[0] != b[0] or abs(a[1] - b[1]) > 1e-3 for a, b in zip(again, self.phones, strict=True)
        ):
            return False
        if self.ema is None or self.f0_hz is None:
            return self.record.get("program") == program_hash()
        return self._is_pitch_of(movement) and self._is_ema_of(movement)

    def _is_pitch_of(self, movement: Movement) -> bool:
        stored, again = self.f0_hz, sensors.f0_of(sensors.at_rate(movement.glottis, EMA_HZ))
        if stored is None or len(stored) > len(again):
            return False
        again = again[: len(stored)]
        heard = stored > 0  # only where there is voice in the sound, which isn't made again
        if np.any(heard & (again == 0)) or np.mean(heard[again > 0]) < HEARD:
            return False
        return bool(np.abs(again - stored)[heard].max(initial=0.0) < SAME_HZ)

    def _is_ema_of(self, movement: Movement) -> bool:
        """Whether sensors read again at some frames, with this seed's sensor noise, are where the file has them."""
        stored = self.ema
        tract = sensors.at_rate(movement.tract, EMA_HZ)
        if stored is None or len(stored) > len(tract):
            return False
        speaker = speakers.load(self.speaker)
        speaker.activate()
        compared = np.unique(np.linspace(0, len(stored) - 1, COMPARED).astype(int))
        # One by one, since neighbours in time are what jumps of the mesh are repaired from.
        again = np.concatenate([sensors.positions(tract[[frame]], speaker, exact=True)[0] for frame in compared])
        noise = with_sensor_noise(np.zeros(stored.shape), self._task())[compared]
        away = np.abs(again + noise - stored[compared]).max(axis=1)
        return bool(np.mean(away < SAME_MM) >= ALIKE)

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
