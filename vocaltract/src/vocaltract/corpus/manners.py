"""Manners of speaking and recording, drawn for every utterance from its own seed and kept as its labels."""

import hashlib

import numpy as np

from vocaltract.manner import Manner

NEUTRAL = 0.5
"""How often each of the graded knobs of ``RANGES`` stays at 1."""

RANGES = {"rate": (0.85, 1.2), "coarticulation": (0.7, 1.3), "pauses": (0.7, 1.4), "f0_movement": (0.6, 1.4)}
"""Smallest and largest value of the graded knobs, drawn in steps of ``STEP``, so that equal values make groups."""
STEP = 0.05

OWN_VOICE = 0.85
OTHER_VOICES = ("breathy", "pressed", "hoarse")
MICROPHONES = {"flat": 0.75, "headset": 0.17, "phone": 0.08}
ROOMS = {"none": 0.6, "booth": 0.2, "office": 0.15, "hall": 0.05}
NOISELESS = 0.45
NOISE_DB = (30, 45)
STILL_SENSORS = 0.7
SENSOR_NOISE_MM = (0.05, 0.2)


def seed_of(corpus_seed: int, utterance: str) -> int:
    """Seed of one utterance: 31 bits of the SHA-256 of the corpus's seed and the utterance's id."""
    digest = hashlib.sha256(f"{corpus_seed}/{utterance}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def drawn(seed: int, own_voice: str) -> Manner:
    """Manner of the utterance with this seed: mostly neutral, each knob within its range."""
    random = np.random.default_rng(np.random.SeedSequence([seed, 0xCA11]))
    graded = {name: _graded(random, *limits) for name, limits in RANGES.items()}
    own = random.random() < OWN_VOICE
    others = [voice for voice in OTHER_VOICES if voice != own_voice]
    voice = own_voice if own else str(random.choice(others))
    microphone = _one_of(random, MICROPHONES)
    room = _one_of(random, ROOMS)
    noise_db = None if random.random() < NOISELESS else float(random.integers(NOISE_DB[0], NOISE_DB[1] + 1))
    low, high = SENSOR_NOISE_MM
    sensors = 0.0 if random.random() < STILL_SENSORS else round(float(random.uniform(low, high)), 2)
    return Manner(**graded, voice=voice, microphone=microphone, room=room, noise_db=noise_db, sensor_noise_mm=sensors)


def labels(manner: Manner, sex: str, kind: str, seed: int) -> dict[str, str]:
    """All that an utterance can be grouped by, as short texts."""
    noise = "none" if manner.noise_db is None else f"{manner.noise_db:.0f} dB"
    return {
        "gender": sex[0],
        "kind": kind,
        "rate": f"{manner.rate:.2f}",
        "coarticulation": f"{manner.coarticulation:.2f}",
        "pauses": f"{manner.pauses:.2f}",
        "f0_movement": f"{manner.f0_movement:.2f}",
        "voice": manner.voice,
        "microphone": manner.microphone,
        "room": manner.room,
        "noise": noise,
        "sensor_noise": f"{manner.sensor_noise_mm:.2f} mm",
        "seed": str(seed),
    }


def _graded(random: np.random.Generator, low: float, high: float) -> float:
    neutral, value = random.random() < NEUTRAL, random.uniform(low, high)
    return 1.0 if neutral else round(round(value / STEP) * STEP, 2)


def _one_of(random: np.random.Generator, shares: dict[str, float]) -> str:
    return str(random.choice(list(shares), p=list(shares.values())))
