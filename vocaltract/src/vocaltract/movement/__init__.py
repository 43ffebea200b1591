"""From phones to movement: gestural score, then target approximation."""

import numpy as np

from vocaltract.errors import VocalTractError
from vocaltract.manner import Manner
from vocaltract.movement.consonants import add_trills, constrictions
from vocaltract.movement.consonants import timed as closing
from vocaltract.movement.contact import ORDER as TRACT_ORDER
from vocaltract.movement.glottis import LIMITS, glottal_targets
from vocaltract.movement.glottis import ORDER as GLOTTAL_ORDER
from vocaltract.movement.phones import PHONES, gestures
from vocaltract.movement.pitch import f0_hz
from vocaltract.movement.score import closures, rest, velic, vocalic
from vocaltract.movement.timing import silences_s, timed
from vocaltract.movement.trajectories import FAR_S, Target, approximate
from vocaltract.spoken import Spoken
from vocaltract.states import GLOTTIS, STATE_HZ, TRACT, Movement

__all__ = ["PHONES", "check", "closures", "gestures", "move"]

_OVERSHOOT = 0.04
"""Share of a parameter's range by which a change of pace may carry it beyond a limit before that is an error."""


def move(spoken: Spoken, speaker, manner: Manner, seed: int) -> Movement:
    """Move a speaker's tract through a sentence.

    Parameters
    ----------
    spoken
        Phones with neutral times; their symbols are those of ``PHONES``.
    speaker
        ``speakers.Speaker``; the synthesiser itself isn't needed.
    manner
        Its ``rate``, ``pauses``, ``coarticulation``, ``f0_movement`` and ``voice`` shape the movement.
    seed
        Varies the silences around the sentence, and nothing else.

    Returns
    -------
    Movement, whose ``spoken`` has the times at which things happen: closures begin and end at
    the labels of their phones.

    Raises
    ------
    VocalTractError
        If there are no phones, one of them is unknown, or a parameter leaves the limits of the speaker.
    """
    if not spoken.phones:
        raise VocalTractError(f"there are no phones to say in {spoken.text!r}")
    lead_s, trail_s = silences_s(seed)
    spoken = timed(spoken, manner, lead_s)
    times_s = np.arange(int(np.ceil((spoken.phones[-1].end_s + trail_s) * STATE_HZ))) / STATE_HZ
    movement = Movement(
        speaker.name, _tract(spoken, speaker, manner, times_s), _glottis(spoken, speaker, manner, times_s), spoken
    )
    return check(movement, speaker)


def _tract(spoken: Spoken, speaker, manner: Manner, times_s: np.ndarray) -> np.ndarray:
    vowels, start = vocalic(spoken.phones, speaker, times_s[-1]), rest(speaker)
    below = approximate(vowels, start, times_s, TRACT_ORDER)
    consonants = constrictions(spoken.phones, below, times_s, speaker, manner)
    tract = closing(consonants, [*vowels, *velic(spoken.phones, speaker)], start, times_s)
    add_trills(tract, consonants, times_s)
    return tract


def _glottis(spoken: Spoken, speaker, manner: Manner, times_s: np.ndarray) -> np.ndarray:
    voice = speaker.voice if manner.voice == "modal" else manner.voice
    targets = glottal_targets(spoken.phones, speaker, voice)
    f0 = np.array([GLOTTIS.index("F0")])
    targets.append(Target(-FAR_S, FAR_S, f0, np.array([speaker.f0_hz]), 0.02))
    silent = speaker.shapes.glottis("voiceless-fricative")
    silent[GLOTTIS.index("PR")] = 0.0
    glottis = approximate(targets, silent, times_s, GLOTTAL_ORDER)
    glottis[:, f0[0]] = f0_hz(spoken, speaker.f0_hz, manner.f0_movement, times_s)
    return glottis


def check(movement: Movement, speaker) -> Movement:
    """Make sure that no parameter is beyond its limits, where VocalTractLab would change it without a word.

    Overshoots of less than 4 % of a parameter's range are set to the limit.

    Raises
    ------
    VocalTractError
        Naming the parameter, its value and its limits.
    """
    tract = _within(movement.tract, np.asarray(speaker.limits), TRACT, movement.speaker)
    glottis = _within(movement.glottis, LIMITS, GLOTTIS, movement.speaker)
    return Movement(movement.speaker, tract, glottis, movement.spoken)


def _within(states: np.ndarray, limits: np.ndarray, names: tuple[str, ...], speaker: str) -> np.ndarray:
    low, high = limits.T
    excess = np.maximum(low - states, states - high) / (high - low)
    worst = np.unravel_index(np.argmax(np.where(np.isnan(excess), np.inf, excess)), excess.shape)
    if not excess[worst] <= _OVERSHOOT:
        name, value = names[worst[1]], states[worst]
        raise VocalTractError(
            f"{name} of speaker {speaker} is {value:.4g}, beyond {low[worst[1]]:g} to {high[worst[1]]:g}"
        )
    return np.clip(states, low, high)
