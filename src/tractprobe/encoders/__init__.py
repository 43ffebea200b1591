"""Waves in, hidden states out: frozen encoders, the times of their frames, and the cache of their states."""
