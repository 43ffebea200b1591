"""Disturbances of speech: backwards, in noise, over a telephone, in a room, from another larynx or vocal tract.

In: 16 kHz samples of an utterance. Out: as many samples, in which every sound is when it was (but for reversal), so
that labels and movements keep their time. What is drawn depends on a seed and the utterance's id alone. Samples may
exceed full scale: nothing is clipped except by the telephone.
"""

from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from tractprobe.signals.audio import RATE_HZ
from tractprobe.system.errors import ConfigError
from tractprobe.system.files import digest

Samples = Float[np.ndarray, " sample"]

_TALKERS = 6
_SYLLABLES_HZ = 4.0
_BAND_HZ = (300.0, 3400.0)
_TELEPHONE_RATE_HZ = 8000
_MU = 255
_F0_RANGE_HZ = (60.0, 500.0)
_WORLD_STEP_MS = 5.0


@runtime_checkable
class Disturbance(Protocol):
    """What is done to the sound of an utterance.

    Attributes
    ----------
    name
        What tables call it.
    is_reversed
        Whether time runs backwards afterwards.
    """

    is_reversed: ClassVar[bool]

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> dict[str, Any]:
        """All that determines the samples besides those that are disturbed and the utterance's id, as JSON."""
        ...

    def __call__(self, audio: Samples, utterance_id: str) -> Samples:
        """Return the disturbed samples (full scale 1), as many as there were."""
        ...


class _Identified:
    """Identified by kind, version and settings."""

    is_reversed: ClassVar[bool] = False
    version: ClassVar[int] = 1

    @property
    def identity(self) -> dict[str, Any]:
        return {"disturbance": type(self).__name__, "version": self.version, **asdict(self)}  # type: ignore[call-overload]


@dataclass(frozen=True)
class Reversed(_Identified):
    """Time backwards: sample n becomes sample N - 1 - n."""

    is_reversed: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return "reversed"

    def __call__(self, audio: Samples, utterance_id: str) -> Samples:
        return np.ascontiguousarray(audio[::-1])


@dataclass(frozen=True)
class Noise(_Identified):
    """White noise or babble (``kind``) at a signal-to-noise ratio over the whole utterance, pauses included.

    Babble-like: the sum of six noises with the utterance's own long-term spectrum, each of which swells and fades as
    syllables do, ``exp(g)`` with g Gaussian noise below 4 Hz of unit variance. So it masks every band alike, and holds
    no phone. The noise of an utterance is the same at every ratio, but for its level.
    """

    kind: str
    snr_db: float
    seed: int = 0

    def __post_init__(self):
        if self.kind not in ("white", "babble") or not np.isfinite(self.snr_db):
            raise ConfigError(f"noise {self.kind} at {self.snr_db} dB: expected white or babble at a finite ratio")

    @property
    def name(self) -> str:
        return f"{self.kind} noise {self.snr_db:g} dB"

    def __call__(self, audio: Samples, utterance_id: str) -> Samples:
        random = _random(utterance_id, self.kind, self.seed)
        noise = random.standard_normal(len(audio)) if self.kind == "white" else _babble(audio, random)
        power = np.mean(np.square(noise))
        if not power > 0:
            return audio.copy()
        return audio + noise * np.sqrt(_power(audio) / power * 10 ** (-self.snr_db / 10))


@dataclass(frozen=True)
class Telephone(_Identified):
    """A telephone line: 8 kHz, 300 to 3400 Hz (-6 dB), 8 bits by the µ-law of ITU-T G.711; without delay."""

    @property
    def name(self) -> str:
        return "telephone"

    def __call__(self, audio: Samples, utterance_id: str) -> Samples:
        import soxr
        from scipy.signal import butter, sosfiltfilt

        line = soxr.resample(audio.astype(np.float64), RATE_HZ, _TELEPHONE_RATE_HZ, quality="HQ")
        sections = butter(4, _BAND_HZ, "bandpass", fs=_TELEPHONE_RATE_HZ, output="sos")
        line = sosfiltfilt(sections, line, padlen=min(_TELEPHONE_RATE_HZ // 20, len(line) - 1))
        line = soxr.resample(_expanded(np.round(127 * _compressed(line)) / 127), _TELEPHONE_RATE_HZ, RATE_HZ, "HQ")
        return _as_long_as(line, audio)


@dataclass(frozen=True)
class Room(_Identified):
    """A room: the direct sound at once, then noise that decays by 60 dB within ``reverberation_s`` (Polack, 1988).

    Every utterance has a room of its own. The whole is as loud as it was.

    Attributes
    ----------
    direct_db
        Energy of the direct sound over that of the reverberation.
    """

    reverberation_s: float = 0.5
    direct_db: float = 0.0
    seed: int = 0

    def __post_init__(self):
        if not 0.01 <= self.reverberation_s <= 10:
            raise ConfigError(f"a room with {self.reverberation_s} s of reverberation: expected 0.01 to 10 s")

    @property
    def name(self) -> str:
        return "room"

    def response(self, utterance_id: str) -> Float[np.ndarray, " tap"]:
        """Return the room's impulse response; its first tap is the direct sound, 1."""
        times_s = np.arange(1, round(self.reverberation_s * RATE_HZ)) / RATE_HZ
        tail = _random(utterance_id, "room", self.seed).standard_normal(len(times_s))
        tail *= 10 ** (-3 * times_s / self.reverberation_s)
        return np.concatenate([[1.0], tail * np.sqrt(10 ** (-self.direct_db / 10) / np.sum(np.square(tail)))])

    def __call__(self, audio: Samples, utterance_id: str) -> Samples:
        from scipy.signal import fftconvolve

        return _as_loud_as(fftconvolve(audio, self.response(utterance_id))[: len(audio)], audio)


@dataclass(frozen=True)
class Vocoded(_Identified):
    """Analysis and synthesis by WORLD (Morise et al., 2016), with another pitch, or from a tract of another length.

    A tract that is L times as long has its resonances at 1/L of their frequencies: the envelope becomes
    ``S'(f) = S(L f)``. The whole is as loud as it was. Without a change it is the control for what the vocoder loses.

    Attributes
    ----------
    semitones
        By which f0 rises.
    tract_length
        L.
    """

    semitones: float = 0.0
    tract_length: float = 1.0

    def __post_init__(self):
        if not (abs(self.semitones) <= 24 and 0.5 <= self.tract_length <= 2):
            raise ConfigError(
                f"vocoded: {self.semitones} semitones, a tract {self.tract_length} times as long; expected at most 24 "
                "semitones up or down and 0.5 to 2"
            )

    @property
    def name(self) -> str:
        changes = [f"pitch {self.semitones:+g} st"] if self.semitones else []
        changes += [f"tract length x {self.tract_length:g}"] if self.tract_length != 1 else []
        return ", ".join(changes) or "vocoded"

    def __call__(self, audio: Samples, utterance_id: str) -> Samples:
        if not has_world():
            raise ConfigError("changes of pitch and tract length need pyworld: pip install 'tractprobe[source]'")
        import pyworld

        wave = audio.astype(np.float64)
        f0_hz, clock_s = pyworld.dio(wave, RATE_HZ, *_F0_RANGE_HZ, frame_period=_WORLD_STEP_MS)
        f0_hz = pyworld.stonemask(wave, f0_hz, clock_s, RATE_HZ)
        envelope = _stretched(pyworld.cheaptrick(wave, f0_hz, clock_s, RATE_HZ), self.tract_length)
        aperiodicity = pyworld.d4c(wave, f0_hz, clock_s, RATE_HZ)
        f0_hz = f0_hz * 2 ** (self.semitones / 12)
        changed = pyworld.synthesize(f0_hz, envelope, aperiodicity, RATE_HZ, _WORLD_STEP_MS)
        return _as_loud_as(_as_long_as(changed, audio), audio)


def has_world() -> bool:
    """Whether WORLD is installed, without which pitch and tract length cannot be changed."""
    return find_spec("pyworld") is not None


def _random(utterance_id: str, kind: str, seed: int) -> np.random.Generator:
    return np.random.default_rng(int(digest([utterance_id, kind, seed])[:16], 16))


def _power(audio: Samples) -> float:
    return float(np.mean(np.square(audio, dtype=np.float64)))


def _babble(audio: Samples, random: np.random.Generator) -> Samples:
    """Return noise of six talkers with the spectrum of an utterance."""
    from scipy.fft import next_fast_len
    from scipy.signal import butter, sosfiltfilt, welch

    margin = RATE_HZ  # for the filter to settle
    count = next_fast_len(len(audio) + 2 * margin, real=True)
    assert count is not None
    known_hz, power = welch(audio.astype(np.float64), RATE_HZ, nperseg=min(512, len(audio)))
    gain = np.sqrt(np.interp(np.fft.rfftfreq(count, 1 / RATE_HZ), known_hz, power))
    slow, total = butter(2, _SYLLABLES_HZ, fs=RATE_HZ, output="sos"), np.zeros(len(audio))
    for _ in range(_TALKERS):
        carrier = np.fft.irfft(gain * np.fft.rfft(random.standard_normal(count)), count)
        swell = sosfiltfilt(slow, random.standard_normal(count))
        total += (carrier * np.exp(swell / swell.std()))[margin : margin + len(audio)]
    return total


def _compressed(line: Samples) -> Samples:
    line = np.clip(line, -1, 1)
    return np.sign(line) * np.log1p(_MU * np.abs(line)) / np.log1p(_MU)


def _expanded(code: Samples) -> Samples:
    return np.sign(code) * np.expm1(np.abs(code) * np.log1p(_MU)) / _MU


def _stretched(envelope: Float[np.ndarray, "frame bin"], length: float) -> Float[np.ndarray, "frame bin"]:
    """Return S(L f) of each frame, by straight lines between bins; beyond the last bin its value."""
    bins = envelope.shape[1]
    places = np.minimum(np.arange(bins) * length, bins - 1)
    below = np.minimum(places.astype(int), bins - 2)
    share = places - below
    return np.ascontiguousarray(envelope[:, below] * (1 - share) + envelope[:, below + 1] * share)


def _as_long_as(changed: Float[np.ndarray, " changed_sample"], audio: Samples) -> Samples:
    return np.pad(changed, (0, max(0, len(audio) - len(changed))))[: len(audio)]


def _as_loud_as(changed: Samples, audio: Samples) -> Samples:
    power = _power(changed)
    return changed * np.sqrt(_power(audio) / power) if power > 0 else changed
