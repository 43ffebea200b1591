"""How a model is computed: number format and compilation. Neither is free; the costs of both can be measured."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tractprobe.system.errors import ConfigError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Execution:
    """Number format of weights and states, and whether blocks are compiled.

    Attributes
    ----------
    dtype
        ``float32``, ``bfloat16`` or ``float16``. States are returned as float32 in any case.
    compiled
        Whether each block is compiled by ``torch.compile``; needs a C++ compiler on CPU, Triton on GPU, and minutes.
    """

    dtype: str = "float32"
    compiled: bool = False

    def __post_init__(self):
        if self.dtype not in _DTYPES:
            raise ConfigError(f"model.dtype={self.dtype}: expected one of {', '.join(_DTYPES)}")

    @property
    def torch_dtype(self) -> torch.dtype:
        return _DTYPES[self.dtype]

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that change the output, without those at their defaults."""
        return ({"dtype": self.dtype} if self.dtype != "float32" else {}) | (
            {"compiled": True} if self.compiled else {}
        )

    def apply(self, model: nn.Module, blocks: Iterable[nn.Module]) -> None:
        """Convert the model in place; its blocks are compiled on their first call."""
        model.to(self.torch_dtype)
        if self.compiled:
            for block in blocks:
                # Only the forward: transformers collects hidden states by hooks, which must not be compiled.
                block.forward = torch.compile(block.forward, dynamic=True)
