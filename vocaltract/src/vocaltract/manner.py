"""How something is said and recorded: every knob of realism, each a label of the utterances that it was turned for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Manner:
    """Manner of speaking and of recording.

    Attributes
    ----------
    rate
        Of speech, relative to the durations that the language's synthesiser gives.
    coarticulation
        How far a consonant gives way to its vowels: 0 not at all, 1 as JD3's model says, above 1 more.
    pauses
        Length of pauses, relative to the language's.
    f0_movement
        Excursions of pitch around the speaker's base, relative to the neutral ones.
    voice
        ``modal``, ``breathy``, ``pressed``, ``hoarse`` or ``whisper``.
    microphone
        ``flat``, ``headset`` or ``phone``.
    room
        ``none``, ``booth``, ``office`` or ``hall``.
    noise_db
        Noise floor of the recording below the level of speech, in dB; ``None`` for none.
    sensor_noise_mm
        Standard deviation of the noise of each EMA coordinate.
    """

    rate: float = 1.0
    coarticulation: float = 1.0
    pauses: float = 1.0
    f0_movement: float = 1.0
    voice: str = "modal"
    microphone: str = "flat"
    room: str = "none"
    noise_db: float | None = None
    sensor_noise_mm: float = 0.0
