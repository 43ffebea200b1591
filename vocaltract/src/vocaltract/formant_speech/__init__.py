"""Speech of espeak-ng itself, sound alone: many languages by the same voices, for encoders to be pretrained on.

Nothing here goes through a vocal tract; espeak-ng is a formant synthesiser. It speaks about 1000 times faster than
real time, so hours are made in minutes.
"""

from vocaltract.formant_speech.writing import Order, write

__all__ = ["Order", "write"]
