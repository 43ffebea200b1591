"""Which changes are made to which utterances."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vocaltract.errors import VocalTractError
from vocaltract.interventions.changes import PARAMETERS, TIMED
from vocaltract.movement import gestures
from vocaltract.speakers import Speaker
from vocaltract.spoken import Phone
from vocaltract.states import STATE_HZ, TRACT, Movement

AMOUNTS_CM = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
SEMITONES = (1.0, 2.0, 3.0, 4.0)
SHIFT_S = 0.04
WINDOW_S, F0_WINDOW_S, TIMING_WINDOW_S = (0.06, 0.12), (0.12, 0.24), 0.36
EDGE_S, TIMING_EDGE_S = 0.025, 0.12
VOICES = ("modal", "breathy", "pressed", "hoarse", "whisper")
LATEST = 0.55
"""Windows begin in this share of an utterance: what follows has to be long enough to show that nothing else changed."""
PHONE_KINDS = ("vowel", "consonant")


@dataclass(frozen=True)
class Change:
    """One change of one utterance.

    Attributes
    ----------
    kind
        ``articulator``, ``f0``, ``timing``, ``voice``, ``anatomy`` or ``noise``.
    amount
        A number in ``unit``, or the name of a voice or a speaker.
    first, last, edge
        States between which the movement differs, and length of the edges; 0, the last state and 0 for all of it.
    """

    kind: str
    moved: str
    direction: str
    amount: float | str
    unit: str
    first: int
    last: int
    edge: int
    phone: str
    phone_kind: str
    seed: int


def drawn(movement: Movement, speaker: Speaker, others: tuple[str, ...], seed: int) -> tuple[Change, ...]:
    """Draw the changes of one utterance: each articulator in a vowel and in a consonant, and whatever else can change.

    Parameters
    ----------
    movement
        The utterance; its phones tell where vowels and consonants are.
    others
        Speakers with whose tract it may be said.
    """
    random = np.random.default_rng(np.random.SeedSequence([seed, 0x1A7E]))
    found = [change for kind in PHONE_KINDS for change in _articulators(movement, speaker, kind, random, seed)]
    for sign in (1.0, -1.0):
        semitones = sign * float(random.choice(SEMITONES))
        found.append(_windowed(movement, "f0", "f0", "", semitones, "semitones", F0_WINDOW_S, "vowel", random, seed))
    shift_ms = 1000.0 * SHIFT_S * float(random.choice((-1.0, 1.0)))
    found.append(_timing(movement, str(random.choice(list(TIMED))), shift_ms, random, seed))
    voice = str(random.choice([name for name in VOICES if name != speaker.voice]))
    found.append(_whole(movement, "voice", voice, "voice", seed))
    found.append(_whole(movement, "anatomy", str(random.choice(others)), "speaker", seed))
    found.append(_whole(movement, "noise", 0.0, "", seed))
    return tuple(found)


def _articulators(
    movement: Movement, speaker: Speaker, phone_kind: str, random: np.random.Generator, seed: int
) -> Iterator[Change]:
    for (moved, direction), name in PARAMETERS.items():
        amount = float(random.choice(AMOUNTS_CM))
        unit = "cm2" if moved == "velum" else "cm"
        change = _windowed(movement, "articulator", moved, direction, amount, unit, WINDOW_S, phone_kind, random, seed)
        if _down(movement, speaker, name, amount, change, random):
            change = Change(**(vars(change) | {"amount": -amount}))
        yield change


def _down(
    movement: Movement, speaker: Speaker, name: str, amount: float, change: Change, random: np.random.Generator
) -> bool:
    """Whether to move down rather than up: by chance, where there is room for both."""
    column = TRACT.index(name)
    low, high = speaker.limits[column]
    value = movement.tract[(change.first + change.last) // 2, column]
    if name == "VO":  # it closes where it is open
        return bool(value >= 0.5 * amount)
    if name == "JA":
        amount *= 5.0  # degrees, about
    if (value + amount <= high) != (value - amount >= low):
        return bool(value + amount > high)
    return bool(random.random() < 0.5)


def _windowed(
    movement: Movement,
    kind: str,
    moved: str,
    direction: str,
    amount: float,
    unit: str,
    window_s: tuple[float, float],
    phone_kind: str,
    random: np.random.Generator,
    seed: int,
) -> Change:
    """Change something around the middle of a phone."""
    phone = _phone(movement, phone_kind, random)
    length = round(random.uniform(*window_s) * STATE_HZ)
    first, edge = _around(phone, length).start, round(EDGE_S * STATE_HZ)
    return Change(kind, moved, direction, amount, unit, first, first + length, edge, phone.ipa, phone_kind, seed)


def _timing(movement: Movement, moved: str, shift_ms: float, random: np.random.Generator, seed: int) -> Change:
    """Shift an articulator where it has much to do: at one of the three phones around which it moves most."""
    length, edge = round(TIMING_WINDOW_S * STATE_HZ), round(TIMING_EDGE_S * STATE_HZ)
    columns = [TRACT.index(name) for name in TIMED[moved]]
    busy = sorted(
        _fit(movement, "consonant"), key=lambda p: -np.ptp(movement.tract[_around(p, length)][:, columns], axis=0).sum()
    )
    phone = busy[random.integers(min(3, len(busy)))]
    first = _around(phone, length).start
    return Change("timing", moved, "", shift_ms, "ms", first, first + length, edge, phone.ipa, "consonant", seed)


def _whole(movement: Movement, kind: str, amount: float | str, unit: str, seed: int) -> Change:
    return Change(kind, kind, "", amount, unit, 0, len(movement.tract) - 1, 0, "", "", seed)


def _phone(movement: Movement, phone_kind: str, random: np.random.Generator) -> Phone:
    """Draw a phone of a kind, neither at the very start nor late in the utterance."""
    fit = _fit(movement, phone_kind)
    return fit[random.integers(len(fit))]


def _around(phone: Phone, length: int) -> slice:
    first = max(round((phone.start_s + phone.end_s) / 2 * STATE_HZ) - length // 2, 2)
    return slice(first, first + length)


def _fit(movement: Movement, phone_kind: str) -> list[Phone]:
    phones = movement.spoken.phones
    latest = phones[0].start_s + LATEST * (phones[-1].end_s - phones[0].start_s)
    fit = [p for p in phones if gestures(p.ipa).vowel == (phone_kind == "vowel") and p.end_s < latest]
    if not fit:
        raise VocalTractError(f"There is no {phone_kind} in {movement.spoken.text!r} that could be changed.")
    return fit
