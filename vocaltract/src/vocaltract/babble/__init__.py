"""Babble: movement that obeys the physics of a tract, and the dynamics of speech, but belongs to no language.

Three kinds, further and further from speech in one respect or another:

a. *near speech*: from one posture of speech to another, drawn from all languages at random;
b. *the whole space*: postures of the tract drawn evenly over places and degrees of constriction, whether or not any
   language uses them; never with the tongue inside a wall;
c. *known phones in unknown orders*: no two phones follow each other as they do in any of the languages' sentences
   (``languages.reordered``).

In all three, articulators approach their targets as in speech (``movement.trajectories``), at intervals that give each
parameter the speed it has in speech; there are pauses, voicing and pitch as in speech, too.
"""

import numpy as np

from vocaltract import languages
from vocaltract.babble import near_speech, phrases, whole_space
from vocaltract.babble.walk import Knot, tau_s
from vocaltract.errors import VocalTractError
from vocaltract.manner import Manner
from vocaltract.movement import move
from vocaltract.speakers import Speaker
from vocaltract.spoken import Spoken
from vocaltract.states import STATE_HZ, Movement

__all__ = ["KINDS", "movement"]

KINDS = ("a", "b", "c")
SHORTEST_S = 1.0
NO_LANGUAGE = "zxx"
ATTEMPTS = 10
SILENCE_S = 0.43
"""Before and after phones, on average."""


def movement(speaker: Speaker, kind: str, seconds: float, seed: int, manner: Manner) -> Movement:
    """Let a speaker babble.

    Parameters
    ----------
    kind
        ``a``, ``b`` or ``c``, as above.
    seconds
        Length, silences included; of kind c, whose phones have lengths of their own, within a second.
    seed
        The same seed gives the same movement.
    manner
        ``rate``, ``pauses``, ``f0_movement`` and ``voice`` act as in speech. ``coarticulation`` makes articulators of
        kinds a and b slower to approach their targets, so that they fall further short of them.

    Returns
    -------
    Movement
        In the language ``zxx``; only kind c has phones.

    Raises
    ------
    VocalTractError
        If the kind is unknown or there is less than a second.
    """
    if kind not in KINDS:
        raise VocalTractError(f"There is no babble of kind {kind!r}; there are {', '.join(KINDS)}.")
    if seconds < SHORTEST_S:
        raise VocalTractError(f"Babble of {seconds:g} s: at least {SHORTEST_S:g} s, most of which is not silence.")
    random = np.random.default_rng(np.random.SeedSequence([seed, 0xBAB, KINDS.index(kind)]))
    if kind == "c":
        return _disordered(speaker, seconds, seed, random, manner)
    active = phrases.drawn(seconds, random, manner)
    draw, slower = (near_speech.knots, 1.0) if kind == "a" else (whole_space.knots, whole_space.SLOWER)
    knots: list[Knot] = [knot for phrase in active for knot in draw(speaker, phrase, random, manner)]
    times_s = np.arange(int(seconds * STATE_HZ) + 1) / STATE_HZ
    tract, glottis = phrases.filled(speaker, active, knots, random, manner, times_s, tau_s(manner, slower))
    return Movement(speaker.name, tract, glottis, Spoken("", NO_LANGUAGE, ()))


def _disordered(speaker: Speaker, seconds: float, seed: int, random: np.random.Generator, manner: Manner) -> Movement:
    """Say phones in an unknown order; where some of them cannot follow each other within the limits, draw again."""
    for _ in range(ATTEMPTS):
        spoken = languages.reordered(random, (seconds - SILENCE_S) * manner.rate)
        try:
            return move(spoken, speaker, manner, seed)
        except VocalTractError as beyond:
            refused = beyond
    raise refused
