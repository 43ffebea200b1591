"""Sound and movement of an utterance, and of every change of it."""

import io
from dataclasses import dataclass, replace

import numpy as np
import soundfile

from vocaltract import speakers
from vocaltract.errors import VocalTractError
from vocaltract.interventions import changes
from vocaltract.interventions.design import Change
from vocaltract.manner import Manner
from vocaltract.movement import move
from vocaltract.speakers import Speaker
from vocaltract.spoken import Spoken
from vocaltract.states import AUDIO_HZ, STATE_HZ, STATE_SAMPLES, Movement
from vocaltract.synthesis import aeroacoustics, sensors
from vocaltract.synthesis.recorded import RECORDED_HZ, recorded
from vocaltract.synthesis.voicing import heard_f0

EMA_HZ = 100.0
AFTER_S, FADE_S = 0.06, 0.03
"""The original is back this long after a window, faded in during the last part of it."""
RINGING_S = 0.005
"""Resampling spreads a change by less, above ``SPREAD``; the window fades in, and the original is back, that early."""
SPREAD = 8
"""Steps of 16 bits by which resampling may change what lies outside; they are set back."""
HEADROOM = 0.6
"""Largest peak of a base, so that no change of it clips."""
CONTEXT = 4
"""Frames on either side that the repair of jumps looks at."""
PLAIN = Manner()
NOISE_STATES = (20, 60)
"""How many states of rest are put before an utterance to draw another stretch of the synthesiser's noise."""


@dataclass(frozen=True, eq=False)
class Base:
    """An utterance as it is, recorded without noise.

    Attributes
    ----------
    said
        Phones as they were given to ``move``, with which other tracts and voices say the same.
    raw
        (sample,) at 44.1 kHz, as the synthesiser gives it; times ``gain`` it has the level of ``pcm``.
    pcm
        (sample,) int16, 16 kHz.
    ema
        (frame, 12) mm at 100 Hz, exact.
    """

    speaker: Speaker
    said: Spoken
    movement: Movement
    seed: int
    raw: np.ndarray
    gain: float
    sound: np.ndarray
    pcm: np.ndarray
    ema: np.ndarray
    f0_hz: np.ndarray


@dataclass(frozen=True, eq=False)
class Changed:
    """What a change made different.

    Attributes
    ----------
    pcm
        int16, the base's samples from ``audio_start`` on as they are now.
    ema
        (row, 12) mm, changed minus base from row ``ema_start`` on.
    """

    change: Change
    audio_start: int
    pcm: np.ndarray
    ema_start: int
    ema: np.ndarray

    @property
    def repeat_noise(self) -> bool:
        """Whether the synthesiser drew the same noise as in the base, up to the window at least."""
        return self.change.kind != "noise"

    @property
    def window_s(self) -> tuple[float, float]:
        """Start and end of where the movement differs."""
        return self.change.first / STATE_HZ, self.change.last / STATE_HZ


def base(speaker: Speaker, said: Spoken, seed: int) -> Base:
    """Synthesise an utterance."""
    movement = move(said, speaker, PLAIN, seed)
    raw = aeroacoustics.simulated(movement, speaker)
    gain = min(aeroacoustics.gain(raw), HEADROOM / float(np.abs(raw).max()))
    read = sensors.articulation(movement, speaker, EMA_HZ, exact=True)
    sound = recorded(raw * gain, PLAIN, seed)
    f0_hz = heard_f0(read.f0_hz, raw, EMA_HZ)
    return Base(speaker, said, movement, seed, raw, gain, sound, as_pcm(sound), read.ema, f0_hz)


def changed(of: Base, change: Change) -> Changed:
    """Synthesise one change of an utterance.

    Raises
    ------
    VocalTractError
        If anything but the window and ``AFTER_S`` after it would differ.
    """
    if change.kind in ("voice", "anatomy", "noise"):
        rows = 0 if change.kind == "anatomy" else 1  # voice and noise leave the tract where it was
        return Changed(change, 0, _pcm_of(of, _otherwise(of, change)), 0, np.zeros((rows, len(sensors.CHANNELS))))
    movement = _moved(of, change)
    pcm = _pcm_of(of, _spliced(of, movement, change))
    first, last = _extent(of, pcm, change)
    return Changed(change, first, pcm[first:last], *_exact_change(of, movement, change))


def as_pcm(sound: np.ndarray) -> np.ndarray:
    """Sound as 16-bit files hold it: (sample,) int16."""
    file = io.BytesIO()
    soundfile.write(file, sound, RECORDED_HZ, format="WAV", subtype="PCM_16")
    file.seek(0)
    return soundfile.read(file, dtype="int16")[0]


def _moved(of: Base, change: Change) -> Movement:
    weight = changes.profile(len(of.movement.tract), change.first, change.last, change.edge)
    amount = float(change.amount)
    if change.kind == "f0":
        return changes.pitch(of.movement, amount, weight)
    if change.kind == "timing":
        return changes.earlier_or_later(of.movement, of.speaker, change.moved, amount / 1000.0, weight)
    return changes.articulator(of.movement, of.speaker, change.moved, change.direction, amount, weight)


def _otherwise(of: Base, change: Change) -> np.ndarray:
    """Raw sound, as long as the base's, of the same utterance by another voice, tract or stretch of noise."""
    if change.kind == "voice":
        other = move(of.said, of.speaker, replace(PLAIN, voice=str(change.amount)), of.seed)
        return aeroacoustics.simulated(replace(of.movement, glottis=other.glottis), of.speaker)
    if change.kind == "anatomy":
        speaker = speakers.load(str(change.amount))
        tract = move(of.said, speaker, PLAIN, of.seed).tract
        return aeroacoustics.simulated(Movement(speaker.name, tract, of.movement.glottis, of.movement.spoken), speaker)
    lead = int(np.random.default_rng(np.random.SeedSequence([change.seed, 0x901])).integers(*NOISE_STATES))
    both = of.movement.tract, of.movement.glottis
    tract, glottis = (np.concatenate([np.repeat(states[:1], lead, axis=0), states]) for states in both)
    later = replace(of.movement, tract=tract, glottis=glottis)
    return aeroacoustics.simulated(later, of.speaker)[lead * STATE_SAMPLES :]


def _spliced(of: Base, movement: Movement, change: Change) -> np.ndarray:
    """Raw sound of the changed movement up to the window's end, faded into the base's after it."""
    end = change.last * STATE_SAMPLES
    after, fade = round((AFTER_S - RINGING_S) * AUDIO_HZ), round(FADE_S * AUDIO_HZ)
    states = min(change.last + -(-after // STATE_SAMPLES) + 1, len(movement.tract))
    part = replace(movement, tract=movement.tract[:states], glottis=movement.glottis[:states])
    raw = aeroacoustics.simulated(part, of.speaker)
    same = change.first * STATE_SAMPLES
    if not np.array_equal(raw[:same], of.raw[:same]):
        raise VocalTractError(f"The sound of {change.kind} {change.moved} differs from its base's before the window.")
    stop = min(end + after, len(raw), len(of.raw))
    back = np.clip((np.arange(stop) - (end + after - fade)) / fade, 0.0, 1.0)
    into = np.clip((np.arange(stop) - same) / (RINGING_S * AUDIO_HZ), 0.0, 1.0)
    back = 0.5 - 0.5 * np.cos(np.pi * np.minimum(1.0 - into + back, 1.0))
    return np.concatenate([(1.0 - back) * raw[:stop] + back * of.raw[:stop], of.raw[stop:]])


def _pcm_of(of: Base, raw: np.ndarray) -> np.ndarray:
    sound = raw * of.gain
    if len(raw) != len(of.raw):
        raise VocalTractError(f"A change of {of.movement.spoken.text!r} is not as long as its base.")
    if np.abs(sound).max() > aeroacoustics.LARGEST_PEAK:  # voices and tracts differ in level
        sound *= HEADROOM / np.abs(sound).max()
    return as_pcm(recorded(sound, PLAIN, of.seed))


def _extent(of: Base, pcm: np.ndarray, change: Change) -> tuple[int, int]:
    """First changed sample and the one after the last, which lie within the window and what is spliced after it."""
    differs = np.flatnonzero(pcm != of.pcm)
    lowest = change.first / STATE_HZ * RECORDED_HZ
    highest = (change.last / STATE_HZ + AFTER_S) * RECORDED_HZ
    outside = differs[(differs < lowest) | (differs > highest)]
    if len(outside) and np.abs(pcm[outside].astype(int) - of.pcm[outside]).max() > SPREAD:
        raise VocalTractError(f"The sound of {change.kind} {change.moved} differs outside its window.")
    inside = differs[(differs >= lowest) & (differs <= highest)]
    first = int(inside[0]) if len(inside) else round(change.first / STATE_HZ * RECORDED_HZ)
    return first, int(inside[-1]) + 1 if len(inside) else first + 1


def _exact_change(of: Base, movement: Movement, change: Change) -> tuple[int, np.ndarray]:
    """First row and (row, 12) mm of what the sensors did differently, from geometry alone."""
    of.speaker.activate()
    first, last = int(change.first / STATE_HZ * EMA_HZ), int(np.ceil(change.last / STATE_HZ * EMA_HZ)) + 1
    low, high = max(first - CONTEXT, 0), min(last + CONTEXT, len(of.ema))
    read, _ = sensors.positions(sensors.at_rate(movement.tract, EMA_HZ)[low:high], of.speaker, exact=True)
    last = min(last, len(of.ema))
    return first, read[first - low : last - low] - of.ema[first:last]
