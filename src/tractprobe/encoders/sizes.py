"""Sizes that encoders built here can have, told without importing torch."""

from typing import Any

from tractprobe.system.errors import ConfigError

MAX_BANDS = 1024


def check_context(context: int = 0, window_s: float | None = None, every: int = 1, **_: Any) -> None:
    """Raise ConfigError for neighbours of a frame that cannot be stacked."""
    if context < 0 or every < 1 or (window_s is not None and window_s <= 0):
        raise ConfigError("model.context must not be negative; model.every and model.window_s must be positive")


def check_mel(bands: int = 80, hop: int = 320, deltas: int = 0, **context: Any) -> None:
    """Raise ConfigError for settings of a log-mel spectrogram that cannot be."""
    if not 1 <= bands <= MAX_BANDS or hop < 1 or deltas < 0:
        raise ConfigError(f"model.bands must be 1 to {MAX_BANDS}, model.hop positive and model.deltas not negative")
    check_context(**context)


def check_mfcc(cepstra: int = 13, bands: int = 40, **mel: Any) -> None:
    """Raise ConfigError for settings of an MFCC that cannot be."""
    if not 1 <= cepstra <= bands:
        raise ConfigError(f"model.cepstra={cepstra}: expected 1 to model.bands ({bands})")
    check_mel(bands, **mel)


def check_blocks(layers: int = 4, width: int = 128, heads: int = 4, channels: int = 96, **_: Any) -> None:
    """Raise ConfigError for sizes that an untrained HuBERT cannot have."""
    if min(layers, width, heads, channels) < 1 or width % heads or width % 16:
        expected = "model.width must be a multiple of model.heads and of 16; model.layers and model.channels positive"
        raise ConfigError(expected)
