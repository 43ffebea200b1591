"""``manifest.csv`` of a folder of sound: which file is of which language, speaker, source and licence.

Speakers are unique within a source only: where two sources have a speaker of one name, both get their source's name,
too.
"""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

from tractprobe.corpora.formats.tables import number
from tractprobe.corpora.languages import of_locale
from tractprobe.corpora.names import file_safe
from tractprobe.corpora.utterance import checked_labels
from tractprobe.system.errors import CorpusError
from tractprobe.system.files import read_text

REQUIRED = ("file", "language", "speaker")
OPTIONAL = ("text", "gender", "source", "licence", "seconds")
MAX_BYTES, MAX_LINES = 1 << 26, 1_000_000
_PLACE_IN_SOURCE = re.compile(r":(?!//)")
_REMARK = re.compile(r"\s*[(;]")


@dataclass(frozen=True, slots=True)
class SoundLine:
    """What a line says about one file.

    Attributes
    ----------
    file
        Relative to the manifest's folder, within it.
    speaker
        As in the manifest, or with its source where another source has a speaker of the same name.
    original_speaker
        As in the manifest.
    labels
        What is kept of source, licence, gender, locale and further columns.
    seconds
        The declared length; ``None`` if there is none.
    """

    file: str
    language: str
    speaker: str
    original_speaker: str
    text: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None


@dataclass(frozen=True)
class SoundManifest:
    """The lines by their files, in order, and the problems of those that say nothing that can be used."""

    lines: Mapping[str, SoundLine]
    problems: tuple[CorpusError, ...]


def read_sound_manifest(path: Path, kept: Sequence[str] = ()) -> SoundManifest:
    """Read a manifest; other columns than ``REQUIRED`` and ``OPTIONAL`` are labels if they are ``kept``.

    Raises
    ------
    CorpusError
        The file is no table, lacks a column or has one that is not known. What is wrong with a single line is among the
        result's problems.
    """
    rows = csv.reader(io.StringIO(read_text(path, "utf-8-sig", MAX_BYTES)), strict=True)
    lines: dict[str, SoundLine] = {}
    problems: list[CorpusError] = []
    try:
        columns = _columns(path, next(rows, []), kept)
        for count, cells in enumerate(rows, start=1):
            if count > MAX_LINES:
                raise CorpusError(path, f"more than {MAX_LINES} lines; cut it into several corpora")
            if cells:
                _add(lines, problems, path, rows.line_num, columns, cells)
    except csv.Error as error:
        raise CorpusError(path, f"not CSV: {error}", place=f"line {rows.line_num}") from None
    return SoundManifest(_with_sources(lines), tuple(problems))


def _columns(path: Path, columns: list[str], kept: Sequence[str]) -> list[str]:
    columns = [column.strip() for column in columns]
    if missing := [column for column in REQUIRED if column not in columns]:
        problem = f"lacks {'column' if len(missing) == 1 else 'columns'} {', '.join(missing)}"
        raise CorpusError(path, f"{problem}; expected a first line such as {','.join(REQUIRED)}", place="line 1")
    if unknown := sorted(set(columns) - {*REQUIRED, *OPTIONAL, *kept}):
        advice = f"known are {', '.join((*REQUIRED, *OPTIONAL))}; to keep others as labels: corpus.labels=[...]"
        raise CorpusError(path, f"unknown columns {', '.join(unknown)[:200]}; {advice}", place="line 1")
    if lacking := [column for column in kept if column not in columns]:
        raise CorpusError(path, f"lacks {', '.join(lacking)}, which corpus.labels names", place="line 1")
    if len(set(columns)) < len(columns):
        raise CorpusError(path, "names a column twice", place="line 1")
    return columns


def _add(
    lines: dict[str, SoundLine], problems: list[CorpusError], path: Path, at: int, columns: list[str], cells: list[str]
) -> None:
    try:
        if len(cells) != len(columns):
            raise ValueError(f"{len(cells)} cells instead of {len(columns)}")
        line = _line(dict(zip(columns, map(str.strip, cells), strict=True)))
        if line.file in lines:
            raise ValueError(f"names {line.file} a second time")
        lines[line.file] = line
    except ValueError as error:
        problems.append(CorpusError(path, str(error), place=f"line {at}"))


def _line(cells: dict[str, str]) -> SoundLine:
    """Return what the cells of a line say; ValueError if it cannot be used."""
    locale, speaker = cells["language"], cells["speaker"]
    language = of_locale(locale)
    if not speaker or not speaker.isprintable():
        raise ValueError(f"speaker {speaker!r:.60}: expected a name")
    labels = {name: cells[name] for name in cells if name not in (*REQUIRED, "text", "seconds") and cells[name]}
    if "source" in labels:
        labels["source"] = _PLACE_IN_SOURCE.split(labels["source"], maxsplit=1)[0].strip()
    if locale.lower() != language:
        labels["locale"] = locale
    labels |= licence_labels(labels.pop("licence", ""))
    return SoundLine(
        file=_inside(cells["file"]),
        language=language,
        speaker=speaker,
        original_speaker=speaker,
        text=cells.get("text", ""),
        labels=checked_labels(labels),
        seconds=_seconds(cells.get("seconds", "")),
    )


def licence_labels(licence: str) -> dict[str, str]:
    """Return a licence's name, by which it is chosen, and the remark behind it, if there is one.

    >>> licence_labels("CC0 1.0 (Common Voice clips)")
    {'licence': 'CC0 1.0', 'licence_note': '(Common Voice clips)'}
    >>> licence_labels("MIT"), licence_labels("")
    ({'licence': 'MIT'}, {})
    """
    remark = _REMARK.search(licence)
    if remark is None or not remark.start():
        return {"licence": licence} if licence else {}
    return {"licence": licence[: remark.start()], "licence_note": licence[remark.start() :].strip()}


def _seconds(cell: str) -> float | None:
    if not cell:
        return None
    seconds = number(cell)
    if not 0 < seconds < float("inf"):
        raise ValueError(f"seconds {cell!r:.60}: expected a positive number")
    return seconds


def _inside(file: str) -> str:
    """Return a path in its plain form; ValueError if it does not lie below the folder it is relative to."""
    path = PurePosixPath(file)
    if not path.name or not file.isprintable() or "\\" in file:
        raise ValueError(f"file {file!r:.120}: expected a path below this folder, with '/' between its parts")
    if path.is_absolute() or PureWindowsPath(file).drive or ".." in path.parts:
        raise ValueError(f"file {file!r:.120} lies outside of this folder; expected a path below it")
    return str(path)


def _with_sources(lines: Mapping[str, SoundLine]) -> dict[str, SoundLine]:
    """Name speakers with their source where another source has a speaker of the same name."""
    sources: dict[str, set[str]] = defaultdict(set)
    for line in lines.values():
        sources[file_safe(line.speaker)].add(line.labels.get("source", ""))
    return {
        file: replace(line, speaker=_joined(line.labels.get("source", ""), line.speaker))
        if len(sources[file_safe(line.speaker)]) > 1
        else line
        for file, line in lines.items()
    }


def _joined(source: str, speaker: str) -> str:
    return "_".join(_nonempty((source, speaker)))


def _nonempty(parts: Iterable[str]) -> list[str]:
    return [part for part in parts if part]
