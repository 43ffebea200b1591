"""Frames of 25 ms every 20 ms: those of HuBERT, and of the cepstra that are its first targets."""

import torch
from jaxtyping import Float
from torch import Tensor

from tractprobe.encoders.frames import Convolution

WINDOW, HOP = 400, 320
"""In samples at 16 kHz. Frame k has its centre at sample (WINDOW - 1) / 2 + HOP k."""
STACK = (Convolution(WINDOW, HOP),)
"""What counts frames as HuBERT's seven convolutions do."""
_VARIANCE_FLOOR = 1e-7  # that of transformers' Wav2Vec2FeatureExtractor


def standardised(waves: Float[Tensor, "*batch sample"]) -> Float[Tensor, "*batch sample"]:
    """Return waves of zero mean and unit variance, as a preprocessor with ``do_normalize`` gives them."""
    centred = waves - waves.mean(dim=-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(dim=-1, keepdim=True) + _VARIANCE_FLOOR)
