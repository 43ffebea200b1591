"""Nonlinear heads, as banks: heads of one kind, trained side by side in one pass and independent of each other."""

from tractprobe.probes.heads.bank import Bank
from tractprobe.probes.heads.conv import Conv
from tractprobe.probes.heads.gru import Gru
from tractprobe.probes.heads.mlp import Mlp
from tractprobe.probes.heads.transformer import Transformer
from tractprobe.probes.heads.weighted import Weighted

__all__ = ["Bank", "Conv", "Gru", "Mlp", "Transformer", "Weighted"]
