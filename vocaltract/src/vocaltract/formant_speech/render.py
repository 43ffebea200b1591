"""One voice in one language: all of its utterances, from text to files.

espeak-ng's flutter of pitch and the ends of its sounds have states that outlive an utterance. What it says is the same
every time only if the process is new, so a block is made in a process of its own, from its beginning.
"""

import io
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from vocaltract.errors import VocalTractError
from vocaltract.formant_speech import names, voices
from vocaltract.languages import espeak
from vocaltract.synthesis.recorded import RECORDED_HZ

LEVEL_DB, PEAK = -23.0, 0.95
LINES = "lines.json"
LONGEST_S = 30.0
EMPTY = 20
"""As many utterances in a row without sound are an error."""


@dataclass(frozen=True)
class Block:
    """The utterances of one voice in one language: as many as reach ``seconds``."""

    root: Path
    language: str
    voice: str
    seconds: float
    seed: int

    @property
    def folder(self) -> Path:
        """Where it is written."""
        return self.root / self.language / self.voice

    def is_whole(self) -> bool:
        """Whether it is there: a block gets its name when it is complete."""
        return (self.folder / LINES).is_file()


def make(block: Block) -> float:
    """Speak a block and write it, whole or not at all; returns its seconds. Call it in a new process.

    Raises
    ------
    VocalTractError
        If espeak-ng does not know the language or the voice, or says nothing.
    """
    partial = block.folder.with_name(f".{block.voice}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    lines = _spoken(block, partial)
    content = json.dumps(lines, ensure_ascii=False, indent=0)
    (partial / LINES).write_text(content, encoding="utf-8")
    os.replace(partial, block.folder)
    return sum(float(line["seconds"]) for line in lines)


def _spoken(block: Block, folder: Path) -> list[dict[str, str]]:
    engine = espeak.Engine(constant_f0_hz=None)
    engine.set_voice(f"{names.voice_of(block.language)}+{block.voice}", voices.RATE_WPM[0])
    lines, done_s, number, empty = [], 0.0, 0, 0
    while done_s < block.seconds:
        draw = voices.drawn(block.seed, block.voice, number)
        text = voices.text(draw, block.language)
        sound = _said(engine, text, draw)
        empty = 0 if len(sound) else empty + 1
        if empty == EMPTY:
            raise VocalTractError(f"espeak-ng says nothing in language {block.language!r}, such as {text!r}")
        if 0 < len(sound) <= LONGEST_S * RECORDED_HZ:
            sound = recorded(sound, draw.floor_db, np.random.default_rng(draw.noise_seed))
            name = f"{number:05d}.flac"
            (folder / name).write_bytes(_flac(sound))
            seconds = len(sound) / RECORDED_HZ
            lines.append({"file": name, "text": text, "seconds": f"{seconds:.4f}"})
            done_s += seconds
        number += 1
    return lines


def _said(engine: espeak.Engine, text: str, draw: voices.Draw) -> np.ndarray:
    """Sound at 16 kHz, float64 in -1 to 1; empty if there is none."""
    engine.seed_noise(draw.noise_seed)
    engine.set_prosody(draw.rate_wpm, draw.pitch, draw.range_)
    sound = engine.synthesise(text)[1].astype(np.float64) / 32768
    return soxr.resample(sound, engine.audio_hz, RECORDED_HZ, "VHQ") if np.any(sound) else np.zeros(0)


def recorded(sound: np.ndarray, floor_db: float, random: np.random.Generator) -> np.ndarray:
    """Bring speech to one level and add the recorder's noise.

    The level is that of the samples that sound, since languages differ in how long they pause. Where the peak would
    clip, the whole is softer.
    """
    sounding = np.abs(sound) > 1e-4 * np.abs(sound).max()
    level = 10 ** (LEVEL_DB / 20)
    scaled = sound * (level / np.sqrt(np.mean(sound[sounding] ** 2)))
    noisy = scaled + level * 10 ** (-floor_db / 20) * random.standard_normal(len(sound))
    return noisy * min(1.0, PEAK / np.abs(noisy).max())


def _flac(sound: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sound, RECORDED_HZ, format="FLAC", subtype="PCM_16", compression_level=1.0)
    return file.getvalue()
