"""Kind a: postures of speech from all languages, in random order."""

from functools import lru_cache

import numpy as np

from vocaltract import languages, speakers
from vocaltract.babble.phrases import PRESSURE, Phrase, voice_of
from vocaltract.babble.walk import INTERVAL_S, Knot, edges_s
from vocaltract.manner import Manner
from vocaltract.movement import move
from vocaltract.speakers import Speaker
from vocaltract.states import Movement

SENTENCES = 4
"""Of each language: some twelve seconds, in which every posture of the language comes up."""
SPEAKING_DPA = 4000.0


@lru_cache(maxsize=4)
def speech(speaker: str, voice: str = "modal") -> tuple[Movement, ...]:
    """Sentences of all eight languages as this speaker moves through them, whether or not the corpus has them."""
    own = speakers.load(speaker)
    return tuple(
        move(languages.speak(sentence.spoken, language), own, Manner(voice=voice), seed=0)
        for language in languages.LANGUAGES
        for sentence in [s for s in languages.texts(language) if s.set == "main"][:SENTENCES]
    )


@lru_cache(maxsize=4)
def postures(speaker: str, voice: str = "modal") -> tuple[np.ndarray, np.ndarray]:
    """States of tract (state, 19) and glottis (state, 11) of all that speech, without its silences."""
    of_all = speech(speaker, voice)
    tract, glottis = np.concatenate([m.tract for m in of_all]), np.concatenate([m.glottis for m in of_all])
    speaking = glottis[:, PRESSURE] > SPEAKING_DPA
    return tract[speaking], glottis[speaking]


def knots(speaker: Speaker, phrase: Phrase, random: np.random.Generator, manner: Manner) -> list[Knot]:
    """Go from posture to posture: every state of speech is as likely as any other, and none leads to its successor.

    Postures have the glottis that goes with them: where there is frication, the folds are apart.
    """
    tract, glottis = postures(speaker.name, voice_of(speaker, manner))
    edges = edges_s(*phrase, INTERVAL_S / manner.rate, random)
    chosen = random.integers(len(tract), size=len(edges) - 1)
    return [Knot(a, b, tract[k], glottis[k]) for a, b, k in zip(edges[:-1], edges[1:], chosen, strict=True)]
