"""Interventions: utterances, and the same ones again with one thing about their production changed.

The folder has the base utterances in the plain layout, and beside them

=====================  =================================================================================================
``pairs.jsonl``        a line for each change: what was changed, where its sound and its movement are
``controls.jsonl``     the same for changes of nothing but the synthesiser's noise
``changes.flac``       changed stretches of sound, one after another, 16 kHz, 16 bits
``changes.ema.npy``    int16 (row, 12): changed minus base positions, one after another, in steps of 0.001 mm
=====================  =================================================================================================

Before a window the sound is the base's, bit for bit; 60 ms after it, it is again. Changes of position are read from the
geometry of both movements, so they are exact, whatever was asked for.
"""

from vocaltract.interventions.writing import LANGUAGES, SPEAKERS, write

__all__ = ["LANGUAGES", "SPEAKERS", "write"]
