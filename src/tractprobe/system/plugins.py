"""Plug-ins: what other installed packages add, under public names of their own.

A package declares an entry point of the group ``tractprobe.plugins`` that leads to a :class:`Plugin`::

    [project.entry-points."tractprobe.plugins"]
    mylab = "mylab_tractprobe:plugin"

Only what the user has installed is ever imported, and only when it is asked for: a name in a configuration, result or
head file of somebody else is looked up here, never imported. A broken plug-in is left out with one line that says
why, and disturbs only those who use it.
"""

import logging
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tractprobe.system.errors import ConfigError, first_line
from tractprobe.system.registry import PUBLIC, Kind, Place

log = logging.getLogger(__name__)

GROUP = "tractprobe.plugins"

_NAME = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+", re.ASCII)
_PLACE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_RESERVED = ("tractprobe", "torch", "pytorch_lightning")
_BASES: Mapping[Kind, tuple[str, str]] = {  # the class of each kind's objects, once built
    "callback": ("pytorch_lightning.callbacks", "Callback"),
    "encoder": ("tractprobe.encoders.encoder", "Encoder"),
    "head": ("tractprobe.probes.heads.bank", "Bank"),
    "logger": ("pytorch_lightning.loggers", "Logger"),
    "objective": ("collections.abc", "Callable"),
    "optimizer": ("torch.optim", "Optimizer"),
    "reader": ("tractprobe.corpora.utterance", "Reader"),
    "schedule": ("torch.optim.lr_scheduler", "LRScheduler"),
}
_CLASSES = ("head", "reader")  # of which attributes are read before anything is built

KINDS = frozenset(_BASES)
"""What a plug-in may add."""


@dataclass(frozen=True)
class Plugin:
    """What a package adds.

    Attributes
    ----------
    names
        Public name to its kind and place, as ``{"mylab.Encoder": ("encoder", "mylab_tractprobe.encoder:Encoder")}``.
        A public name is written into results, so keep it when the code moves.
    conf
        The package, and the folder in it that holds configuration groups, as ``mylab_tractprobe/conf``; its
        ``model/mylab.yaml`` is then ``model=mylab``.
    """

    names: Mapping[str, tuple[Kind, str]]
    conf: str | None = None


@dataclass(frozen=True)
class PluginPlace(Place):
    """Where the object that a plug-in's public name stands for lives."""

    package: str

    def load(self) -> Any:
        """Import the module and return the object; ConfigError names the package if that fails."""
        where = f"{self.module}:{self.attribute} of the plug-in {self.package}"
        try:
            target = super().load()
        except (Exception, SystemExit) as error:
            raise ConfigError(f"{where} cannot be imported: {type(error).__name__}: {first_line(error)}") from error
        if self.kind in _CLASSES and not (isinstance(target, type) and issubclass(target, self._base())):
            raise ConfigError(f"{where} is not a subclass of {'.'.join(_BASES[self.kind])}")
        return target

    def checked(self, built: Any) -> Any:
        """Return what was built; ConfigError if it is not of the kind that it is registered as."""
        if not isinstance(built, self._base()):
            raise ConfigError(
                f"{self.module}:{self.attribute} of the plug-in {self.package} makes a {type(built).__name__}, "
                f"not a {'.'.join(_BASES[self.kind])}"
            )
        return built

    def _base(self) -> type:
        module, attribute = _BASES[self.kind]
        return getattr(import_module(module), attribute)


@dataclass(frozen=True)
class Installed:
    """The plug-ins of this environment.

    Attributes
    ----------
    places
        Public name to where it lives.
    conf
        Package to its folder of configuration groups.
    broken
        Package to the reason why it was left out.
    """

    places: Mapping[str, PluginPlace] = field(default_factory=dict)
    conf: Mapping[str, Path] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)


@cache
def installed() -> Installed:
    """Return the plug-ins of this environment, loaded once; a broken one is logged in one line and left out."""
    loaded, broken = {}, {}
    for package, points in _points().items():
        try:
            loaded[package] = [_loaded(point) for point in points]
        except (Exception, SystemExit) as error:  # a foreign module may raise anything
            broken[package] = f"{type(error).__name__}: {first_line(error)}"
    broken |= _clashes(loaded)
    for package, reason in sorted(broken.items()):
        log.warning("plug-in %s is left out: %s", package, reason)
    usable = {package: plugins for package, plugins in loaded.items() if package not in broken}
    return Installed(
        {name: place for package, plugins in usable.items() for name, place in _places(package, plugins).items()},
        {package: _folder(plugin.conf) for package, plugins in usable.items() for plugin in plugins if plugin.conf},
        broken,
    )


def _points() -> dict[str, list[EntryPoint]]:
    """Return each package's entry points, each once even if a package is found in two places."""
    points: dict[str, dict[tuple[str, str], EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        package = point.dist.name if point.dist else point.module
        points.setdefault(package, {})[point.name, point.value] = point
    return {package: list(points[package].values()) for package in sorted(points)}


def _loaded(point: EntryPoint) -> Plugin:
    plugin = point.load()
    if not isinstance(plugin, Plugin):
        raise TypeError(f"{point.value} is a {type(plugin).__name__}, not a tractprobe.Plugin")
    for name, (kind, place) in plugin.names.items():
        if not _NAME.fullmatch(name) or name.partition(".")[0] in _RESERVED:
            raise ValueError(f"public name {name!r}: expected the package's own words joined by dots, as mylab.Encoder")
        if kind not in KINDS:
            raise ValueError(f"{name} is a {kind!r}; a plug-in adds one of {', '.join(sorted(KINDS))}")
        if not _PLACE.fullmatch(place):
            raise ValueError(f"{name} is at {place!r}; expected package.module:attribute")
    if plugin.conf:
        _folder(plugin.conf)
    return plugin


def _folder(conf: str) -> Path:
    """Return the folder that ``package/folder`` names, without importing more than the package's parents."""
    package, _, folder = conf.partition("/")
    spec = find_spec(package)
    for place in (spec and spec.submodule_search_locations) or ():
        if (path := Path(place, folder)).is_dir():
            return path.resolve()
    raise ValueError(f"conf={conf!r}: no such folder of an installed package")


def _places(package: str, plugins: list[Plugin]) -> dict[str, PluginPlace]:
    return {
        name: PluginPlace(kind, *place.split(":"), package=package)
        for plugin in plugins
        for name, (kind, place) in plugin.names.items()
    }


def head_label(name: str) -> str:
    """Return what tables and run directories call a head of a public name.

    >>> head_label("tractprobe.heads.Mlp")
    'mlp'
    """
    return name.rpartition(".")[2].lower()


def _clashes(loaded: Mapping[str, list[Plugin]]) -> dict[str, str]:
    """Return the packages with a name that another one has, too; none of them takes precedence."""
    each = {package: _places(package, plugins) for package, plugins in loaded.items()}
    taken = Counter(name for places in each.values() for name in places) + Counter(list(PUBLIC))
    labels = Counter(head_label(name) for name in {*PUBLIC, *taken} if _is_head(name, each))
    clashes = {}
    for package, places in each.items():
        if doubled := sorted(name for name in places if taken[name] > 1):
            clashes[package] = f"its name {doubled[0]} is also a name of another package"
        alike = sorted(name for name in places if _is_head(name, each) and labels[head_label(name)] > 1)
        if alike and not doubled:
            clashes[package] = f"its head {alike[0]} would share {head_label(alike[0])} in run directories with another"
    return clashes


def _is_head(name: str, each: Mapping[str, Mapping[str, Place]]) -> bool:
    places = [PUBLIC, *each.values()]
    return any(table[name].kind in ("head", "closed-form head") for table in places if name in table)
