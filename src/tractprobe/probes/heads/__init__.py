"""Heads: linear ones in closed form, and banks of nonlinear ones, whose members are trained side by side."""

from tractprobe.probes.heads.bank import Bank
from tractprobe.probes.heads.conv import Conv
from tractprobe.probes.heads.gru import Gru
from tractprobe.probes.heads.mlp import Mlp
from tractprobe.probes.heads.ridge import Ridge
from tractprobe.probes.heads.transformer import Transformer
from tractprobe.probes.heads.weighted import Weighted

Head = Bank | Ridge

__all__ = ["Bank", "Conv", "Gru", "Head", "Mlp", "Ridge", "Transformer", "Weighted"]
