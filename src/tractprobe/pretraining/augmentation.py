"""What is done to the sound heard in training: speed, tract length, channel, room, noise, other talkers.

Each effect is drawn for a share of the crops. All but speed leave every sound when it was; with speed, crops are cut
from more or less of the utterance, and targets follow (``crops``). Targets are always those of the clean audio: what
differs between the clean and the heard is what the encoder learns to ignore.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from tractprobe.pretraining.settings import AugmentationPolicy
from tractprobe.signals.audio import RATE_HZ
from tractprobe.signals.disturbances import Room

Samples = Float[np.ndarray, " sample"]

_CLEANEST_DB = 30.0
_WINDOW, _HOP = 512, 128
_LIFTER = 32  # cepstral coefficients of an envelope: features above 2 ms of quefrency, pitch among them, are left out
_MOST_GAIN = 3.0  # nepers, 26 dB
_BANDS = 8
_STEEPEST = 2.0  # power of noise falls with up to this power of frequency


@dataclass(frozen=True)
class Drawn:
    """What one crop's sound goes through; ``None`` or 1 where nothing is done.

    Attributes
    ----------
    speed
        Source samples per sample that is heard: above 1, sounds are faster and higher.
    tract_length
        Factor by which the vocal tract becomes longer: above 1, resonances lie lower.
    gains_db
        At equal steps on a scale of ear-like frequency.
    """

    speed: float = 1.0
    tract_length: float = 1.0
    gains_db: Float[np.ndarray, " band"] | None = None
    room: tuple[float, float] | None = None
    noise_db: float | None = None
    noise_slope: float = 0.0
    talker_db: float | None = None


def drawn_effects(policy: AugmentationPolicy, random: np.random.Generator) -> Drawn:
    """Draw what a crop goes through. The number of draws is always the same."""
    happens = random.random(6) < policy.share
    uniform = random.random(6)
    gains = random.standard_normal(_BANDS)
    slope = float(random.random())

    def factor(place: int, largest: float) -> float:
        return float(np.exp(largest * (2 * uniform[place] - 1))) if happens[place] and largest else 1.0

    def ratio_db(place: int, least: float | None) -> float | None:
        return None if least is None or not happens[place] else least + uniform[place] * (_CLEANEST_DB - least)

    has_room = happens[3] and policy.room_s >= 0.05
    return Drawn(
        factor(0, policy.speed),
        factor(1, policy.tract_length),
        gains * policy.equaliser_db if happens[2] and policy.equaliser_db else None,
        (0.05 + uniform[3] * (policy.room_s - 0.05), 10 * slope) if has_room else None,
        ratio_db(4, policy.noise_db),
        _STEEPEST * slope if happens[4] else 0.0,
        ratio_db(5, policy.talker_db),
    )


def resampled(audio: Samples, speed: float, count: int) -> Float[np.ndarray, " heard"]:
    """Return ``count`` samples of audio that runs ``speed`` times as fast: sample j is what was at ``speed * j``."""
    if speed == 1.0:
        return audio[:count]
    import soxr

    faster = soxr.resample(np.ascontiguousarray(audio), RATE_HZ * speed, RATE_HZ, quality="HQ")
    return np.pad(faster, (0, max(0, count - len(faster))))[:count]


def changed(audio: Samples, drawn: Drawn, random: np.random.Generator, other: Samples) -> Samples:
    """Return a crop as it is heard, as long as it was.

    Parameters
    ----------
    random
        Of noise and rooms.
    other
        Another crop: of the talker who is heard besides.
    """
    if drawn.tract_length != 1.0 or drawn.gains_db is not None:
        audio = filtered(audio, drawn.tract_length, drawn.gains_db)
    if drawn.talker_db is not None:
        audio = _with(audio, np.roll(other, len(other) // 3), drawn.talker_db)
    if drawn.room is not None:
        seconds, direct_db = drawn.room
        audio = Room(seconds, direct_db, seed=0)(audio, str(random.integers(1 << 62)))
    if drawn.noise_db is not None:
        audio = _with(audio, coloured_noise(len(audio), drawn.noise_slope, random), drawn.noise_db)
    return audio.astype(np.float32)


def filtered(audio: Samples, tract_length: float, gains_db: Float[np.ndarray, " band"] | None) -> Samples:
    """Filter short-time spectra so that resonances move to 1 / ``tract_length`` of their frequency; phases stay.

    The envelope is that of the low cepstrum (as in homomorphic vocoders: Oppenheim 1969), so pitch stays as it is. Like
    that of ``signals.disturbances.Vocoded``, it becomes S(L f), but a hundred times as fast.
    """
    window = torch.hann_window(_WINDOW)
    wave = torch.from_numpy(np.ascontiguousarray(audio, np.float32))
    spectrum = torch.stft(wave, _WINDOW, _HOP, window=window, return_complex=True)  # (bin, frame)
    gain = torch.zeros(spectrum.shape[0], 1)
    if tract_length != 1.0:
        envelope = _envelope(spectrum)
        gain = (_stretched(envelope, tract_length) - envelope).clamp(-_MOST_GAIN, _MOST_GAIN)
    if gains_db is not None:
        gain = gain + torch.from_numpy(_response(gains_db))[:, None]
    return torch.istft(spectrum * torch.exp(gain), _WINDOW, _HOP, window=window, length=len(audio)).numpy()


def _envelope(spectrum: torch.Tensor) -> torch.Tensor:
    """Return the natural logarithm of the smooth part of magnitudes (bin, frame)."""
    magnitude = torch.log(spectrum.abs() + 1e-6)
    cepstrum = torch.fft.irfft(magnitude, n=_WINDOW, dim=0)
    cepstrum[_LIFTER : _WINDOW - _LIFTER + 1] = 0
    return torch.fft.rfft(cepstrum, dim=0).real


def _stretched(envelope: torch.Tensor, length: float) -> torch.Tensor:
    """Return S(L f), by straight lines between bins; beyond the last bin its value."""
    bins = len(envelope)
    places = torch.clamp(torch.arange(bins) * length, max=bins - 1)
    below = torch.clamp(places.long(), max=bins - 2)
    share = (places - below)[:, None]
    return envelope[below] * (1 - share) + envelope[below + 1] * share


def _response(gains_db: Float[np.ndarray, " band"]) -> Float[np.ndarray, " bin"]:
    """Return gains (nepers) of all bins from gains at equal steps of log(1 + f / 700 Hz), the mel scale."""
    hertz = np.arange(_WINDOW // 2 + 1) * RATE_HZ / _WINDOW
    mel = np.log1p(hertz / 700)
    places = np.linspace(0, mel[-1], len(gains_db))
    return (np.interp(mel, places, gains_db) * np.log(10) / 20).astype(np.float32)


def coloured_noise(count: int, slope: float, random: np.random.Generator) -> Samples:
    """Return noise whose power falls with the given power of frequency: 0 is white, 1 pink, 2 brown."""
    bins = count // 2 + 1
    spectrum = random.standard_normal(bins) + 1j * random.standard_normal(bins)
    falling = np.maximum(np.arange(bins) * RATE_HZ / count, 50.0) ** (-slope / 2)
    return np.fft.irfft(spectrum * falling, count)


def _with(audio: Samples, noise: Samples, ratio_db: float) -> Samples:
    """Add noise at a ratio (dB) of the speech's power to its own."""
    power, own = float(np.mean(np.square(noise))), float(np.mean(np.square(audio)))
    return audio + noise * np.sqrt(own / power * 10 ** (-ratio_db / 10)) if power > 0 else audio
