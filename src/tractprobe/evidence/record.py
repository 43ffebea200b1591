"""The record of an analysis, ``evidence.json``: effects with intervals, tables and figures as data, and what made them.

What an analysis found, never what it means: verdicts are given by rules alone (``rules``), when records are read. So a
rule can change without anything being computed again.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from tractprobe.runs.result import EVIDENCE
from tractprobe.system.errors import ConfigError, CorpusError, RunError
from tractprobe.system.files import read_json, write_json

SCHEMA = 1


class DoesNotApply(ConfigError):
    """An analysis has nothing to ask of this encoder, or of these corpora; the message says why, in a sentence.

    It is recorded as such, so that a study of several analyses continues, and the report says so.
    """


Number = float | int | None
Kind = Literal["lines", "points", "bars", "matrix"]


@dataclass(frozen=True)
class Part:
    """An effect in one part of what it is over.

    Attributes
    ----------
    kind, name
        What the part is, such as ``language`` and ``it``, or ``articulator`` and ``tongue tip``.
    n
        Speakers.
    """

    kind: str
    name: str
    value: Number
    low: Number = None
    high: Number = None
    n: int = 0


@dataclass(frozen=True)
class Finding:
    """One effect with its interval.

    Attributes
    ----------
    name
        What rules call it.
    says
        What the number is, in one sentence; where there is no number, why not.
    value
        ``None`` if it is undefined.
    low, high, level
        An interval that holds the true value in this share of such studies; ``None`` with too few units.
    unit
        Such as ``r``, ``mm`` or ``bit/frame``.
    over
        What the mean is over, in words.
    n
        How many units of each kind, such as ``{"speakers": 4, "languages": 6}``.
    p
        Of a test; ``says`` tells which.
    margin
        Of an equivalence test, stated before the data were seen.
    needed
        How many speakers would decide.
    by
        The same effect in parts.
    """

    name: str
    says: str
    value: Number
    low: Number
    high: Number
    unit: str
    over: str
    n: dict[str, int]
    level: float = 0.95
    p: Number = None
    margin: Number = None
    needed: int | None = None
    by: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    text
        Its heading; the name if empty.
    """

    name: str
    unit: str = ""
    text: str = ""


@dataclass(frozen=True)
class Table:
    """Rows by the names of their columns; a cell may be missing, which is ``None``."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Series:
    """Points of a figure: (x, y, low, high), where x is a number or a name, and low and high may be ``None``."""

    name: str
    points: tuple[Any, ...]


@dataclass(frozen=True)
class Level:
    """A level that a figure is read against, such as a ceiling."""

    text: str
    y: float


@dataclass(frozen=True)
class Band:
    """A range that a figure is read against, such as what the null reaches in 95 % of draws."""

    text: str
    low: float
    high: float


@dataclass(frozen=True)
class Figure:
    """What the report draws. A matrix has a series for each row of cells."""

    name: str
    title: str
    x: str
    y: str
    series: tuple[Series, ...]
    kind: Kind = "lines"
    band: Band | None = None
    levels: tuple[Level, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """What an analysis found.

    Attributes
    ----------
    rows
        Tidy scores, by which the report pairs encoders: ``condition``, ``language``, ``speaker`` and ``r``, and
        whatever else tells them apart.
    caveats
        What a reader has to know to distrust the findings, a sentence each.
    """

    findings: tuple[Finding, ...]
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    rows: tuple[dict[str, Any], ...] = ()
    caveats: tuple[str, ...] = ()

    def finding(self, name: str) -> Finding | None:
        """Return a finding by its name; ``None`` if there is none."""
        return next((finding for finding in self.findings if finding.name == name), None)


@dataclass(frozen=True)
class Record:
    """An analysis of one encoder on some corpora, as it is kept.

    Attributes
    ----------
    version
        Of the analysis: raised when its numbers change.
    identity
        What determined the numbers, as in ``result.json``, and the settings of the analysis.
    command
        The line that makes it again.
    about
        Facts about the encoder.
    material
        What was analysed: corpora, languages, speakers, utterances, minutes.
    """

    analysis: str
    version: int
    identity: dict[str, Any]
    settings: dict[str, Any]
    command: str
    about: dict[str, Any]
    material: dict[str, Any]
    timing_s: dict[str, float]
    evidence: Evidence
    schema: int = SCHEMA
    folder: str = field(default="", compare=False)

    @property
    def model(self) -> str:
        """The encoder's short name."""
        return str(self.identity["model"])


def write_record(folder: Path, record: Record) -> None:
    """Write a record, which makes the analysis a finished one; AssertionError for a number that JSON cannot hold."""
    plain = asdict(record)
    del plain["folder"]
    wrong = [place for place, value in _numbers(plain["evidence"], "evidence") if not math.isfinite(value)]
    assert not wrong, f"not finite: {', '.join(wrong[:5])}"
    write_json(folder / EVIDENCE, plain)


def read_record(folder: Path) -> Record:
    """Read a finished analysis; RunError if there is none, or if it is not one that this version reads."""
    path = folder / EVIDENCE
    if not path.is_file():
        raise RunError(f"{folder} holds no {EVIDENCE}: it is no analysis, or has not finished (type its command again)")
    try:
        plain = read_json(path)
    except CorpusError as error:
        raise RunError(str(error)) from None
    if not isinstance(plain, dict):
        raise RunError(f"{path} is damaged, or not ours; remove its folder, and it is made again")
    if isinstance(plain.get("schema"), int) and plain["schema"] > SCHEMA:
        raise RunError(f"{path} was written by a later version (schema {plain['schema']}); this one reads {SCHEMA}")
    try:
        record = _typed(Record, plain | {"folder": str(folder)}, "record")
        names = ("model", "seed", "corpora", "encoder", "analysis")
        if missing := [name for name in names if name not in record.identity]:
            raise ValueError(f"its identity lacks {', '.join(missing)}")
        wrong = next((place for place, value in _numbers(plain, "record") if not math.isfinite(value)), None)
        if wrong:
            raise ValueError(f"{wrong} is not finite")
    except (ValueError, TypeError, KeyError) as error:
        raise RunError(f"{path} is damaged, or not ours ({error}); remove its folder, and it is made again") from None
    return record


def tables_of(record: Record) -> dict[str, list[dict[str, Any]]]:
    """Return a record's findings and tables as W&B takes them, by title."""
    findings = [
        {name: value for name, value in asdict(finding).items() if name not in ("by", "n")}
        | {f"n_{unit}": count for unit, count in finding.n.items()}
        for finding in record.evidence.findings
    ]
    keys = list(dict.fromkeys(key for finding in findings for key in finding))
    tables = {f"{record.analysis}: findings": [{key: finding.get(key) for key in keys} for finding in findings]}
    for table in record.evidence.tables:
        names = [column.name for column in table.columns]
        tables[f"{record.analysis}: {table.title}"] = [{name: row.get(name) for name in names} for row in table.rows]
    return {title: rows for title, rows in tables.items() if rows}


def numbers_of(record: Record) -> dict[str, Number]:
    """Return each finding that is defined as numbers for a dashboard."""
    return {
        f"{record.analysis}/{finding.name}/{key}": number
        for finding in record.evidence.findings
        for key in ("value", "low", "high", "p")
        if (number := getattr(finding, key)) is not None
    }


def _typed(kind: Any, value: Any, place: str) -> Any:
    """Return what JSON holds as the type that it was written from; ValueError names the place that cannot be."""
    if isinstance(kind, type) and is_dataclass(kind):
        return _typed_fields(kind, value, place)
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{place} is no list")
        inner = get_args(kind)[0]
        return tuple(_typed(inner, part, f"{place}[{number}]") for number, part in enumerate(value))
    if isinstance(kind, UnionType) and value is not None:
        inner = [part for part in get_args(kind) if part is not type(None)]
        if len(inner) == 1:
            return _typed(inner[0], value, place)
    if not _fits(kind, value):
        raise ValueError(f"{place} is {type(value).__name__}, not {getattr(kind, '__name__', kind)}")
    return value


def _typed_fields(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{place} is no mapping")
    hints, own = get_type_hints(kind), {field.name: field for field in fields(kind)}
    if unknown := sorted(value.keys() - own.keys()):
        raise ValueError(f"{place}.{unknown[0]} is unknown")
    needed = {name for name, field in own.items() if field.default is MISSING and field.default_factory is MISSING}
    if missing := sorted(needed - value.keys()):
        raise ValueError(f"{place} lacks {missing[0]}")
    return kind(**{name: _typed(hints[name], part, f"{place}.{name}") for name, part in value.items()})


def _fits(kind: Any, value: Any) -> bool:
    if kind is Any:
        return True
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if isinstance(kind, UnionType):
        return any(_fits(part, value) for part in get_args(kind))
    if kind is float:
        return type(value) in (int, float)
    return type(value) is (get_origin(kind) or kind)


def _numbers(value: Any, place: str) -> Iterable[tuple[str, float]]:
    if isinstance(value, float):
        yield place, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _numbers(part, f"{place}.{key}")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for number, part in enumerate(value):
            yield from _numbers(part, f"{place}[{number}]")
