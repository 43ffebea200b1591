"""bfloat16 where the processor computes in it, float32 elsewhere.

Without such instructions bfloat16 is emulated: 17 to 70 times slower than float32 (measured on a processor that has
AVX-512 but not AVX512_BF16).
"""

import sys
from pathlib import Path
from typing import Literal

import torch

Precision = Literal["32-true", "bf16-mixed"]
_FLAGS = {"avx512_bf16", "amx_bf16"}


def has_bf16(accelerator: str, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether a ``cpu`` or ``gpu`` of this machine has instructions for bfloat16.

    Of a processor only Linux tells; where nothing tells, it has none.
    """
    if accelerator == "gpu":
        return torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0)
    if not sys.platform.startswith("linux") or not cpuinfo.is_file():
        return False
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return bool(_FLAGS & set(flags))


def precision_here(asked: str, accelerator: str) -> Precision:
    """Return the precision that is used: the one asked for, or with ``auto`` what pays on this machine."""
    if asked == "auto":
        return "bf16-mixed" if has_bf16(accelerator) else "32-true"
    return "bf16-mixed" if asked == "bf16-mixed" else "32-true"
