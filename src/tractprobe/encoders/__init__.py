"""Waves in, hidden states out: frozen encoders, where their frames sit, and the cache of their states."""
