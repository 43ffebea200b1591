"""What a tract does: one state of tract and glottis for every ``STATE_SAMPLES`` samples of audio."""

from dataclasses import dataclass

import numpy as np

from vocaltract.spoken import Spoken

AUDIO_HZ = 44100
STATE_SAMPLES = 220
STATE_HZ = AUDIO_HZ / STATE_SAMPLES
"""200.45 states per second. Movements have no content above some 20 Hz, and synthesis is quicker than at 110."""

TRACT = (
    "HX", "HY", "JX", "JA", "LP", "LD", "VS", "VO", "TCX", "TCY",
    "TTX", "TTY", "TBX", "TBY", "TRX", "TRY", "TS1", "TS2", "TS3",
)  # fmt: skip
GLOTTIS = ("F0", "PR", "XB", "XT", "CA", "PL", "RA", "DP", "PS", "FL", "AS")


@dataclass(frozen=True, eq=False)
class Movement:
    """Everything that one tract does in one utterance.

    Attributes
    ----------
    speaker
        Whose tract it is, by name.
    tract
        (state, 19), float64, in VocalTractLab's units (cm, degrees, cm²), in the order of ``TRACT``.
    glottis
        (state, 11), float64, in the order of ``GLOTTIS`` (Hz, dPa, cm, ...).
    spoken
        Phones with times from the first state on, which includes the lead silence.
    """

    speaker: str
    tract: np.ndarray
    glottis: np.ndarray
    spoken: Spoken
