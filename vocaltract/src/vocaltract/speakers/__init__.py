"""The eight virtual speakers: anatomy, shapes, voice, sensors."""

from vocaltract.speakers.shapes import Shapes
from vocaltract.speakers.sizes import Anatomy
from vocaltract.speakers.speaker import SPEAKERS, Sensors, Speaker, load

__all__ = ["SPEAKERS", "Anatomy", "Sensors", "Shapes", "Speaker", "load"]
