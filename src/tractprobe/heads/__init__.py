"""Nonlinear heads, as banks: heads of one kind, trained side by side in one pass and independent of each other."""

from tractprobe.heads.bank import Bank
from tractprobe.heads.conv import Conv
from tractprobe.heads.gru import Gru
from tractprobe.heads.mlp import Mlp
from tractprobe.heads.transformer import Transformer
from tractprobe.heads.weighted import Weighted

__all__ = ["Bank", "Conv", "Gru", "Mlp", "Transformer", "Weighted"]
