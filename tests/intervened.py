"""Speech whose articulation can be read from its samples, a corpus of it, and interventions in it.

A sample of each block of 10 ms says where a channel is, another one the pitch, the next the voice. What channels do
is mostly a mixture of three courses, so that they move together as in speech.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from tractprobe.encoders.encoder import Encoder, States, Wave
from tractprobe.encoders.frames import FrameGeometry
from tractprobe.signals.channels import CHANNELS

BLOCK, FULL_MM = 160, 100.0
F0, VOICE = len(CHANNELS), len(CHANNELS) + 1
SLOTS = VOICE + 1
SPEAKERS, LANGUAGES = ("s0", "s1", "s2"), ("en", "it")
ABOUT = 'simulated = true\ngenerator = "planted 1"\n'
SPEECH_S = (0.2, 1.6)  # the rest of an utterance is silent
RISE = 20  # rows of a window of 0.2 s
OWN = {"tongue_tip": ("tt_y",), "tongue_body": ("td_y", "tb_y"), "lip_aperture": ("ul_y", "ll_y"), "jaw": ("li_y",)}


def spoken(seed: int, rows: int = 180, size: float = 1.0) -> np.ndarray:
    """Return slots of some speech, (row, slot), the channels in mm."""
    random, times_s = np.random.default_rng(seed), np.arange(rows) / 100
    mix = np.random.default_rng(7).normal(size=(3, len(CHANNELS)))

    def courses(count: int) -> np.ndarray:
        speeds_hz, phases = random.uniform(0.5, 3, (count, 3, 1)), random.uniform(0, 6.3, (count, 3, 1))
        return np.cos(2 * np.pi * speeds_hz * times_s + phases).sum(axis=1).T

    slots = np.zeros((rows, SLOTS))
    slots[:, : len(CHANNELS)] = size * (1.5 * courses(3) @ mix + 0.5 * courses(len(CHANNELS)))
    slots[:, F0] = 3 * courses(1)[:, 0]
    return slots


def audio_of(slots: np.ndarray) -> np.ndarray:
    """Return 16-bit samples that say what slots do."""
    audio = np.zeros((len(slots), BLOCK))
    audio[:, :SLOTS] = slots / FULL_MM
    return np.round(audio.ravel() * 32768).astype(np.int16)


def write_utterance(root: Path, id_: str, slots: np.ndarray, speaker: str, language: str, text: str) -> None:
    root.mkdir(parents=True, exist_ok=True)
    soundfile.write(root / f"{id_}.flac", audio_of(slots), 16000, subtype="PCM_16")
    np.save(root / f"{id_}.ema.npy", slots[:, : len(CHANNELS)].astype(np.float32))
    fields = {"speaker": speaker, "language": language, "text": text, "ema_rate_hz": 100, "ema_unit": "mm",
              "ema_channels": list(CHANNELS), "phones": [["a", SPEECH_S[0], SPEECH_S[1]]]}  # fmt: skip
    (root / f"{id_}.json").write_text(json.dumps(fields))


def write_corpus(root: Path, sentences: int = 3) -> Path:
    for place, (speaker, language, number) in enumerate(
        (speaker, language, number) for speaker in SPEAKERS for language in LANGUAGES for number in range(sentences)
    ):
        slots = spoken(place, size=1 + 0.02 * int(speaker[1]))
        write_utterance(root, f"{speaker}_{language}_{number}", slots, speaker, language, f"{language} says {number}")
    (root / "folder.toml").write_text(ABOUT)
    return root


class Written:
    """A folder of interventions that is being written."""

    def __init__(self, root: Path):
        self.root = root
        self.lines: list[dict[str, Any]] = []
        self.audio: list[np.ndarray] = []
        self.ema: list[np.ndarray] = []

    def include(self, base: str, slots: np.ndarray, change: np.ndarray, first: int, **fields: Any) -> None:
        """Add a pair: what is added to the slots of a base from a row on."""
        changed = slots.copy()
        changed[first : first + len(change)] += change
        audio = audio_of(changed[first : first + len(change)])
        rows = np.round(1000 * change[:, : len(CHANNELS)]).astype(np.int16)
        anatomy = fields["kind"] == "anatomy"
        self.lines.append({
            "id": f"{base}_p{len(self.lines):03}", "base": base, "direction": "", "phone": "a", "phone_kind": "vowel",
            "window_s": [first / 100, (first + len(change)) / 100], "audio_start": first * BLOCK,
            "audio_samples": len(audio), "audio_offset": sum(map(len, self.audio)), "ema_start": first,
            "ema_rows": 0 if anatomy else len(rows), "ema_offset": sum(map(len, self.ema)), "seed": 1, **fields,
        })  # fmt: skip
        self.audio.append(audio)
        self.ema += [] if anatomy else [rows]

    def close(self) -> Path:
        text = "".join(json.dumps(line) + "\n" for line in self.lines)
        (self.root / "pairs.jsonl").write_text(text)
        soundfile.write(self.root / "changes.flac", np.concatenate(self.audio), 16000, subtype="PCM_16")
        np.save(self.root / "changes.ema.npy", np.concatenate(self.ema))
        (self.root / "folder.toml").write_text(ABOUT)
        return self.root


def bump(slots: Sequence[int], size: float, rows: int = RISE) -> np.ndarray:
    """Return a smooth rise and fall of some slots."""
    change = np.zeros((rows, SLOTS))
    change[:, list(slots)] = size * np.hanning(rows + 2)[1:-1, None]
    return change


def step(slots: Sequence[int], size: float, rows: int = RISE) -> np.ndarray:
    """Return some slots at another level, which they reach and leave by half a cosine within 25 ms."""
    change = np.zeros((rows, SLOTS))
    edges = np.clip(np.minimum(np.arange(rows) + 0.5, rows - 0.5 - np.arange(rows)) / 2.5, 0, 1)
    change[:, list(slots)] = size * (0.5 - 0.5 * np.cos(np.pi * edges))[:, None]
    return change


def write_interventions(root: Path) -> Path:
    """Each articulator up and down, another pitch, voice, anatomy and timing, in two languages of each speaker."""
    written = Written(root)
    for place, (speaker, language) in enumerate((s, x) for s in SPEAKERS for x in LANGUAGES):
        slots, base = spoken(1000 + place, size=1 + 0.02 * int(speaker[1])), f"{speaker}_{language}_900"
        write_utterance(root, base, slots, speaker, language, f"{language} is changed {speaker}")
        for number, (moved, channels) in enumerate(OWN.items()):
            size = (-3.0, 2.0)[place % 2]
            change = bump([CHANNELS.index(name) for name in channels], size)
            written.include(base, slots, change, 40 + 35 * number, kind="articulator", moved=moved, direction="y",
                            amount=size / 10, unit="cm")  # fmt: skip
        for semitones in (-4.0, 2.0):
            written.include(base, slots, step([F0], semitones), 60, kind="f0", moved="f0", amount=semitones,
                            unit="semitones")  # fmt: skip
        everywhere = np.zeros((len(slots), SLOTS))
        everywhere[round(100 * SPEECH_S[0]) : round(100 * SPEECH_S[1]), VOICE] = 2.0
        written.include(base, slots, everywhere, 0, kind="voice", moved="voice", amount="breathy", unit="voice name")
        written.include(base, slots, 2 * everywhere, 0, kind="anatomy", moved="anatomy", amount="f1", unit="speaker")
        tip = [CHANNELS.index("tt_y")]
        late = np.concatenate([bump(tip, -2.0), bump(tip, 2.0)])
        written.include(base, slots, late, 100, kind="timing", moved="tongue_tip", direction="y", amount=40, unit="ms")
    return written.close()


class Planted(Encoder):
    """An encoder whose layers are linear maps of the slots, late by some blocks, with noise of its own."""

    def __init__(self, *maps: np.ndarray, late: int = 0, noise: float = 0.0):
        identity = {"encoder": "planted", "maps": [each.tolist() for each in maps], "late": late, "noise": noise}
        width = maps[0].shape[1]
        super().__init__("planted", len(maps), width, FrameGeometry(BLOCK, 0.0, BLOCK), identity)
        self.maps, self.late, self.noise = [torch.from_numpy(each).float() for each in maps], late, noise
        self.freeze()

    def count_frames(self, num_samples: int) -> int:
        return num_samples // BLOCK

    def encode(self, waves: Sequence[Wave]) -> list[States]:
        return [self._states(wave) for wave in waves]

    def _states(self, wave: Wave) -> States:
        blocks = wave[: len(wave) // BLOCK * BLOCK].view(-1, BLOCK)[:, :SLOTS] * FULL_MM
        blocks = torch.roll(blocks, self.late, 0)
        states = torch.stack([blocks @ each for each in self.maps])
        seed = int(1000 * wave.abs().sum()) % (1 << 31)
        noise = torch.randn(states.shape, generator=torch.Generator().manual_seed(seed))
        return states + self.noise * noise


def reading(*slots: int, width: int = SLOTS) -> np.ndarray:
    """Return a map that passes on some slots, in a width that all maps share."""
    passed = np.zeros((SLOTS, width))
    passed[list(slots), list(slots)] = 1
    return passed


def together(directions: int = 2) -> np.ndarray:
    """Return a map that knows of channels only how they usually move together: their first principal components."""
    speech = np.concatenate([spoken(seed)[:, : len(CHANNELS)] for seed in range(20)])
    _, _, vectors = np.linalg.svd(speech - speech.mean(axis=0), full_matrices=False)
    kept = np.zeros((SLOTS, SLOTS))
    kept[: len(CHANNELS), :directions] = vectors[:directions].T
    return kept
