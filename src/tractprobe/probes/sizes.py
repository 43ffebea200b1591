"""Sizes that heads can have, told without importing torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from tractprobe.system.errors import ConfigError


def check_sizes(*, dilations: Sequence[int] = (1,), bottleneck: int | None = None, **settings: Any) -> None:
    """Raise ConfigError for a size that no head can have; settings that are no sizes are passed over."""
    sizes = {name: settings[name] for name in ("hidden", "depth", "kernel", "heads", "window") if name in settings}
    for name, size in sizes.items():
        if type(size) is not int or size < 1:
            raise ConfigError(f"head.{name}={size}: expected a whole number of 1 or more")
    if bottleneck is not None and (type(bottleneck) is not int or bottleneck < 1):
        raise ConfigError(f"head.bottleneck={bottleneck}: expected a whole number of 1 or more, or null for none")
    if not dilations or any(type(frames) is not int or frames < 1 for frames in dilations):
        raise ConfigError(f"head.dilations={list(dilations)}: expected whole numbers of 1 or more, one for each block")
    if sizes.get("kernel", 1) % 2 == 0:
        raise ConfigError(f"head.kernel={sizes['kernel']}: expected an odd number")
    if "hidden" in sizes and sizes["hidden"] % sizes.get("heads", 1):
        raise ConfigError(f"head.hidden={sizes['hidden']}: expected a multiple of head.heads ({sizes['heads']})")


def check_inner_sizes(*, head: Mapping[str, Any], **_: Any) -> None:
    """Check the head within a head that combines layers as ``check_sizes`` does."""
    check_sizes(**head)


def check_penalties(*, alphas: Sequence[float], alpha_without_validation: float = 1.0, **_: Any) -> None:
    """Raise ConfigError for penalties that are not positive."""
    if not alphas or min(*alphas, alpha_without_validation) <= 0:
        raise ConfigError("head.alphas and head.alpha_without_validation must be above 0")
