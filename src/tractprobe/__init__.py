"""Articulatory inversion from frozen speech encoders: what they hold of the vocal tract."""

from typing import TYPE_CHECKING, Any

from tractprobe.system.version import __version__

if TYPE_CHECKING:
    from tractprobe.inversion.inverter import Inverter, load_head
    from tractprobe.system.plugins import Plugin

__all__ = ["Inverter", "Plugin", "__version__", "load_head"]


def __getattr__(name: str) -> Any:
    """Import what takes seconds only when it is asked for."""
    if name in ("Inverter", "load_head"):
        from tractprobe.inversion import inverter

        return getattr(inverter, name)
    if name == "Plugin":
        from tractprobe.system import plugins

        return plugins.Plugin
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
