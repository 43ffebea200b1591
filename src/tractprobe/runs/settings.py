"""Settings: what a run is told, typed and checked; an error names the key, the value and what was expected."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from tractprobe.encoders.layers import check_form
from tractprobe.runs.configuration import Plain
from tractprobe.runs.identity import RunId, held_out_as_text, is_closed_form, num_ranks
from tractprobe.system.errors import ConfigError
from tractprobe.system.registry import did_you_mean

ALL = "all"
"""The value of ``held_out`` that stands for each value in turn."""

_BY_EARLIER_VERSIONS = {  # settings that runs of earlier versions lack, with what those runs did
    "objective": {"_target_": "tractprobe.objective.Mse"},
    "schedule": {"_target_": "torch.optim.lr_scheduler.ConstantLR", "factor": 1.0, "total_iters": 0},
    "together": False,
}
_OF_LAUNCHERS = ("launcher", "study")
_KINDS = {
    bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path", dict: "a map",
    list: "a list, such as [a,b]",
}  # fmt: skip

Section = TypeVar("Section")


@dataclass(frozen=True)
class Node:
    """A part of the configuration that names what is to be built, with its arguments.

    Attributes
    ----------
    key
        Where it stands in the configuration, for messages.
    """

    target: str
    arguments: Mapping[str, Any]
    key: str = ""

    @classmethod
    def of(cls, key: str, value: Any) -> "Node":
        """Take a mapping with a ``_target_`` apart."""
        if not isinstance(value, Mapping) or not isinstance(value.get("_target_"), str):
            raise ConfigError(f"{key}={value}: expected a mapping with a _target_, such as an option of conf/{key}")
        return cls(value["_target_"], {name: part for name, part in value.items() if name != "_target_"}, key)

    @property
    def plain(self) -> Plain:
        """The node as configurations have it."""
        return {"_target_": self.target, **self.arguments}


@dataclass(frozen=True)
class Paths:
    """Where prepared corpora, runs, and caches of states and moments lie."""

    data: Path
    runs: Path
    cache: Path


@dataclass(frozen=True)
class StatePolicy:
    """Whether hidden states are kept on disk, and the precision to which they are rounded, kept or not."""

    cache: bool
    storage: Literal["float16", "float32"]


@dataclass(frozen=True)
class LoadingPolicy:
    """How utterances are put into batches (see ``data.batching.BatchRule``), and by how many processes."""

    batch_size: int
    batch_s: float
    temperature: float | str
    num_workers: int


@dataclass(frozen=True, eq=False)
class Settings:
    """What a run is told.

    Attributes
    ----------
    raw
        All of it as plain values, as ``result.json`` keeps it.
    layer
        ``all``, a number, or a list of layers that one head reads side by side.
    held_out
        What is held out for the test; ``all`` for each value in turn, ``F04+M04`` for both at once (in ``raw``, this
        may also be a list).
    callbacks
        What else Lightning calls, under any names; empty unless given.
    analysis
        What is to be found out; ``None`` for a run that fits and tests heads.
    """

    raw: Plain
    model: Node
    head: Node
    split: Node
    ema: Node
    objective: Node
    optimizer: Node
    schedule: Node
    trainer: Node
    tracking: Node
    features: StatePolicy
    data: LoadingPolicy
    paths: Paths
    layer: Any
    held_out: str | None
    corpora: Any
    targets: Any
    seed: int
    patience: int
    checkpoint_s: float
    together: bool
    callbacks: dict
    analysis: Node | None = None

    @classmethod
    def of(cls, raw: Plain) -> "Settings":
        """Type and check plain values; ConfigError names what is missing, unknown or of another kind."""
        raw = {key: value for key, value in raw.items() if key not in _OF_LAUNCHERS}
        raw |= {key: value for key, value in _BY_EARLIER_VERSIONS.items() if key not in raw}
        as_text = {"held_out": held_out_as_text(raw["held_out"])} if "held_out" in raw else {}
        settings = typed(cls, {"raw": raw, "callbacks": {}, "analysis": None, **raw, **as_text})
        check_form(settings.layer)
        return settings

    @property
    def nodes(self) -> dict[str, Node]:
        """Every part that names what is to be built, by its key; callbacks and loggers are ``callbacks.<name>`` ..."""
        nodes = {field.name: getattr(self, field.name) for field in fields(self)}
        nodes = {key: node for key, node in nodes.items() if isinstance(node, Node)}
        loggers = self.tracking.arguments.get("loggers") or {}
        for prefix, group in {"callbacks": self.callbacks, "tracking.loggers": loggers}.items():
            nodes |= {f"{prefix}.{name}": Node.of(f"{prefix}.{name}", node) for name, node in group.items()}
        return nodes

    def holding_out(self, value: str) -> "Settings":
        """Return the settings of a run that holds out another value."""
        other = replace(self, raw=self.raw | {"held_out": value}, held_out=value)
        other.__dict__["id"] = replace(self.id, held_out=value)  # nothing else of an identity depends on it
        return other

    @cached_property
    def id(self) -> RunId:
        """What tells the run from others."""
        return RunId.of(self.raw)

    @property
    def name(self) -> str:
        """The run's directory below the folder of runs."""
        return self.id.name

    @property
    def folder(self) -> Path:
        """The run's directory."""
        return self.paths.runs / self.name

    @property
    def closed_form(self) -> bool:
        """Whether the head is fitted in closed form, from moments; otherwise by gradients."""
        return is_closed_form(self.raw)

    @property
    def num_ranks(self) -> int:
        """How many processes train together."""
        return num_ranks(self.raw)


def typed(cls: type[Section], values: Any, key: str = "") -> Section:
    """Build a dataclass from plain values of the kinds that its fields are declared to have.

    ConfigError names what is missing, unknown or of another kind.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{key}={values}: expected a mapping of {', '.join(field.name for field in fields(cls))}")  # type: ignore[arg-type]
    kinds = get_type_hints(cls)
    prefix = f"{key}." if key else ""
    if unknown := sorted(map(str, set(values) - set(kinds))):
        close = did_you_mean(unknown[0], set(kinds) - {"raw"}, written=f"{prefix}{{}}")
        raise ConfigError(f"{prefix}{unknown[0]}: no such setting{close}")
    if missing := [name for name in kinds if name not in values]:
        raise ConfigError(f"{prefix}{missing[0]}: this setting is missing; give {prefix}{missing[0]}=<value>")
    return cls(**{name: _value(kind, values[name], f"{prefix}{name}") for name, kind in kinds.items()})


def _value(kind: Any, value: Any, key: str) -> Any:
    if kind is Node or (kind == Node | None and value is not None):
        return Node.of(key, value)
    if isinstance(kind, type) and is_dataclass(kind):
        return typed(kind, value, key)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if not _fits(kind, value):
        quoted = (
            f"; a text of digits is quoted twice: \"{key}='{value}'\"" if type(value) is int and _fits(kind, "") else ""
        )
        if isinstance(value, list):
            values = ",".join(map(str, value))
            raise ConfigError(f"{key}=[{values}]: expected one value; for a run with each, give -m {key}={values}")
        raise ConfigError(f"{key}={value}: expected {_described(kind)}{quoted}")
    return value


def _fits(kind: Any, value: Any) -> bool:
    if kind is Any:
        return True
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if isinstance(kind, UnionType):
        return any(_fits(part, value) for part in get_args(kind))
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    kind = get_origin(kind) or kind
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _described(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    if isinstance(kind, UnionType):
        return " or ".join(_described(part) for part in get_args(kind))
    return "null" if kind is type(None) else _KINDS.get(get_origin(kind) or kind, str(kind))
