"""Articulatory inversion from frozen speech encoders: what they hold of the vocal tract."""

__version__ = "0.1.0"
