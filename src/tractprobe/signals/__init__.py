"""Sampled things and their channels: audio, movements, the voice, and what follows from them."""
