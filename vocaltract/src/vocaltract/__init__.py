"""Speech of virtual vocal tracts: from text, or movements that belong to no language, to audio and articulation."""

__version__ = "0.1.0"
