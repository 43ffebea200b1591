"""Who speaks and how: variants of espeak-ng, and pitch, range and rate that are drawn alike for every language."""

from dataclasses import dataclass

import numpy as np

from vocaltract.errors import VocalTractError
from vocaltract.formant_speech import names

VOICES = {
    "f2": "f", "m3": "m", "Annie": "f", "Diogo": "m", "f5": "f", "paul": "m", "linda": "f", "m7": "m",
    "steph": "f", "quincy": "m", "Alicia": "f", "Marco": "m", "f1": "f", "Denis": "m", "Andrea": "f", "rob": "m",
    "f4": "f", "antonio": "m", "shelby": "f", "miguel": "m", "grandma": "f", "m1": "m", "zac": "f", "travis": "m",
}  # fmt: skip
"""Variants and their gender, in the order in which they are taken: resonances of their own and a pitch of their own,
so that a language's voice file changes neither; robots and whispers are not among them."""

PITCH, RANGE, RATE_WPM = (38, 62), (40, 90), (130, 200)
"""Limits of what a voice has on average: espeak's scales of 0 to 100 (50 is the variant's own), words per minute."""
OF_UTTERANCE = (5, 12, 0.15)
"""How far an utterance is from its voice at most: pitch, range, and rate relative to the voice's."""
SYMBOLS = (2, 5)
NUMBERS = 0.2
"""Share of utterances that end with a number below ``HIGHEST``."""
HIGHEST = 1_000_000
ENDS = {".": 0.7, "?": 0.15, "!": 0.15}
FLOOR_DB = (60, 75)
"""Noise of the recorder below the level of speech."""


@dataclass(frozen=True)
class Draw:
    """All that is drawn for an utterance, whatever its language.

    Attributes
    ----------
    pitch, range_
        On espeak's scales of 0 to 100.
    floor_db
        Noise floor below the level of speech, in dB.
    noise_seed
        Of breath and roughness of the voice, and of the noise floor.
    """

    symbols: tuple[str, ...]
    number: int | None
    end: str
    pitch: int
    range_: int
    rate_wpm: int
    floor_db: float
    noise_seed: int


def chosen(count: int) -> tuple[str, ...]:
    """Return the first ``count`` voices; VocalTractError if there are not as many."""
    if not 1 <= count <= len(VOICES):
        raise VocalTractError(f"--voices {count}: 1 to {len(VOICES)}")
    return tuple(VOICES)[:count]


def drawn(seed: int, voice: str, number: int) -> Draw:
    """Draw an utterance by its voice and number, so that it is the same in every language."""
    place = list(VOICES).index(voice)
    own = np.random.default_rng(np.random.SeedSequence([seed, 0xE5BEA, place]))
    base = [float(own.uniform(*limits)) for limits in (PITCH, RANGE, RATE_WPM)]
    random = np.random.default_rng(np.random.SeedSequence([seed, 0xE5BEA, place, 1 + number]))
    pitch, range_, rate = (float(random.uniform(-limit, limit)) for limit in OF_UTTERANCE)
    said = random.choice(len(names.symbols()), int(random.integers(SYMBOLS[0], SYMBOLS[1] + 1)), replace=False)
    return Draw(
        symbols=tuple(names.symbols()[index] for index in said),
        number=int(random.integers(HIGHEST)) if random.random() < NUMBERS else None,
        end=str(random.choice(list(ENDS), p=list(ENDS.values()))),
        pitch=round(base[0] + pitch),
        range_=round(base[1] + range_),
        rate_wpm=round(base[2] * (1 + rate)),
        floor_db=round(float(random.uniform(*FLOOR_DB)), 1),
        noise_seed=int(random.integers(1 << 31)),
    )


def text(draw: Draw, language: str) -> str:
    """Return an utterance in the words of a language; symbols without a name in it are left out."""
    known = names.names(language)
    said = [known[symbol] for symbol in draw.symbols if symbol in known]
    return ", ".join([*said, *([] if draw.number is None else [str(draw.number)])]) + draw.end
