"""What a microphone in a room makes of the synthesiser's sound, without moving it in time.

Everything acts causally with its direct path at sample 0 and keeps the length, so that movements and phone times need
no shift. The filters delay what lies well inside their band by less than a millisecond.
"""

import math

import numpy as np
import soxr
from scipy import signal

from vocaltract.errors import VocalTractError
from vocaltract.manner import Manner
from vocaltract.states import AUDIO_HZ

RECORDED_HZ = 16000
CEILING = 0.95
"""No sample exceeds it: louder sound is scaled down as a whole, never clipped."""

MICROPHONES = ("flat", "headset", "phone")
ROOMS = {  # reverberation time (s), direct sound over reflected sound (dB), latest early reflection (s)
    "none": None,
    "booth": (0.08, 20.0, 0.006),
    "office": (0.40, 12.0, 0.025),
    "hall": (1.10, 8.0, 0.060),
}


def recorded(audio: np.ndarray, manner: Manner, seed: int) -> np.ndarray:
    """Sound as it was recorded.

    Parameters
    ----------
    audio
        (sample,) at 44.1 kHz.
    manner
        Its microphone, room and noise floor.
    seed
        Of the room's reflections and of the noise.

    Returns
    -------
    (sample,) float32 at ``RECORDED_HZ``, as long as the audio to within a sample. Peaks stay below ``CEILING``.

    Raises
    ------
    VocalTractError
        If the audio is not finite, or the microphone or the room is unknown.
    """
    audio = np.asarray(audio, dtype=np.float64)
    if audio.ndim != 1 or not len(audio) or not np.isfinite(audio).all():
        raise VocalTractError(f"audio of shape {audio.shape} is empty or has samples that are not finite numbers")
    random = np.random.default_rng(np.random.SeedSequence([seed, 0x5EC0]))
    sound = soxr.resample(audio, AUDIO_HZ, RECORDED_HZ, "VHQ")
    response = room_response(manner.room, random)
    if len(response) > 1:
        sound = signal.oaconvolve(sound, response)[: len(sound)]
    sound = through_microphone(sound, manner.microphone)
    if manner.noise_db is not None:  # of the recorder, so that its level is what the manner says behind any microphone
        sound = sound + noise(len(sound), random) * speech_level(sound) * 10 ** (-manner.noise_db / 20)
    peak = np.abs(sound).max()
    return (sound * min(1.0, CEILING / peak if peak else 1.0)).astype(np.float32)


def speech_level(sound: np.ndarray, rate_hz: int = RECORDED_HZ) -> float:
    """RMS over the frames of 20 ms that lie within 30 dB of the loudest; 0 if there is no sound."""
    frame = rate_hz // 50
    power = np.array([np.mean(sound[at : at + frame] ** 2) for at in range(0, max(1, len(sound) - frame + 1), frame)])
    return math.sqrt(power[power >= power.max() * 1e-3].mean())


def room_response(room: str, random: np.random.Generator) -> np.ndarray:
    """Impulse response at 16 kHz: direct sound (1 at sample 0), early reflections, exponential tail.

    The tail is noise that decays by 60 dB in the reverberation time, low-passed since walls absorb high frequencies.
    All reflections together have the energy that the ratio of direct to reflected sound leaves them.
    """
    if room not in ROOMS:
        raise VocalTractError(f"unknown room {room!r}: {', '.join(ROOMS)}")
    if ROOMS[room] is None:
        return np.ones(1)
    reverberation_s, direct_db, early_s = ROOMS[room]
    at_s = np.arange(int(1.2 * reverberation_s * RECORDED_HZ)) / RECORDED_HZ
    decay = 10 ** (-3 * at_s / reverberation_s)
    tail = signal.lfilter([0.45], [1, -0.55], random.standard_normal(len(at_s))) * decay * (at_s >= early_s)
    early = np.zeros(len(at_s))
    places = random.integers(int(0.001 * RECORDED_HZ), int(early_s * RECORDED_HZ), 8)
    early[places] = random.choice([-1.0, 1.0], 8) * decay[places]
    reflected = early / np.linalg.norm(early) + tail / np.linalg.norm(tail)
    response = reflected / np.linalg.norm(reflected) * 10 ** (-direct_db / 20)
    response[0] = 1.0
    return response


def noise(samples: int, random: np.random.Generator) -> np.ndarray:
    """Noise of RMS 1 whose power falls as f to the power of -0.5 to -1.5, and is flat below 50 Hz."""
    exponent = random.uniform(0.5, 1.5)
    spectrum = np.fft.rfft(random.standard_normal(samples))
    hz = np.fft.rfftfreq(samples, 1 / RECORDED_HZ)
    coloured = np.fft.irfft(spectrum * np.maximum(hz, 50.0) ** (-exponent / 2), samples)
    return coloured / np.sqrt(np.mean(coloured**2))


def through_microphone(sound: np.ndarray, microphone: str) -> np.ndarray:
    """Sound from a flat microphone, a headset close to the mouth (bass, presence), or a phone (300 to 3400 Hz)."""
    match microphone:
        case "flat":
            return sound
        case "headset":
            bass = signal.sosfilt(signal.butter(1, 200, "low", fs=RECORDED_HZ, output="sos"), sound)
            presence = signal.sosfilt(signal.butter(1, (3000, 6000), "band", fs=RECORDED_HZ, output="sos"), sound)
            return signal.sosfilt(
                signal.butter(2, 60, "high", fs=RECORDED_HZ, output="sos"), sound + 0.4 * bass + 0.5 * presence
            )
        case "phone":
            return signal.sosfilt(signal.butter(2, (300, 3400), "band", fs=RECORDED_HZ, output="sos"), sound)
    raise VocalTractError(f"unknown microphone {microphone!r}: {', '.join(MICROPHONES)}")
