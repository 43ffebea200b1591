"""Head files by hand, and audio for them."""

from typing import Any

import numpy as np
import torch

from tractprobe.encoders.encoder import Encoder
from tractprobe.signals.channels import CHANNELS

RATE_HZ = 16000


def about_of(encoder: Encoder, **changes: Any) -> dict[str, Any]:
    geometry = encoder.geometry
    return {
        "channels": [{"target": "ema", "name": name, "unit": "mm"} for name in CHANNELS],
        "head": {"_target_": "tractprobe.ridge.Ridge", "alphas": [1.0]},
        "layer": encoder.num_layers - 1,
        "encoder": {
            "label": encoder.label, "identity": encoder.identity, "width": encoder.width,
            "settings": {"_target_": "tractprobe.encoders.mel.LogMel", "bands": 20, "context": 2},
        },
        "frames": {"stride": geometry.stride, "first": geometry.first, "field": geometry.field},
        "storage": "float32",
        "speakers": {"s": {"mean": [1.0] * 12, "sd": [2.0] * 12}},
        "corpora": {"toy": "0"}, "run": {"head": "ridge", "held_out": "it"}, "means": {}, "licence": "",
        **changes,
    }  # fmt: skip


def random_ridge(width: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(1, width, 12, generator=generator, dtype=torch.float64) / width**0.5
    return {"weight": weight, "bias": torch.zeros(1, 12, dtype=torch.float64)}


def noise(seconds: float, seed: int = 0, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Noise whose loudness and colour change."""
    random = np.random.default_rng(seed)
    slow, fast = random.normal(size=(2, int(seconds * rate_hz)))
    wave = 1e-3 * slow.cumsum() + 0.02 * fast
    return (wave * np.exp(np.sin(np.arange(len(wave)) / rate_hz * 5))).clip(-1, 1).astype(np.float32)
