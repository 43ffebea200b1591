"""Speech of virtual vocal tracts: from text, or from movements that belong to no language, to audio and articulation."""

__version__ = "0.1.0"
