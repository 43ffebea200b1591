"""Synthesis: what a movement sounds like, and what the articulators did."""

from vocaltract.synthesis.aeroacoustics import audio
from vocaltract.synthesis.recorded import recorded
from vocaltract.synthesis.sensors import CHANNELS, Articulation, articulation
from vocaltract.synthesis.voicing import heard_f0

__all__ = ["CHANNELS", "Articulation", "articulation", "audio", "heard_f0", "recorded"]
