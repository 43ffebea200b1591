"""Conducting an analysis: from settings to its record, or the record that is there already."""

import logging
import shlex
import time
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import version
from typing import Any, ClassVar, Protocol, runtime_checkable

from tractprobe.corpora.languages import NO_LANGUAGE
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.record import DoesNotApply, Evidence, Finding, Record, read_record
from tractprobe.probes.problem import Problem
from tractprobe.runs.building import build
from tractprobe.runs.configuration import conf_dir
from tractprobe.runs.finished import check_unchanged, model_files
from tractprobe.runs.identity import analysis_label
from tractprobe.runs.settings import Settings
from tractprobe.runs.stated import about_of
from tractprobe.system.errors import RunError, first_line
from tractprobe.system.printable import one_line
from tractprobe.system.version import __version__

log = logging.getLogger(__name__)
_CONTENT, _SHOWN_LETTERS = "content", 12


@runtime_checkable
class Analysis(Protocol):
    """A question that is put to an encoder on some corpora; its fields are its settings.

    Attributes
    ----------
    name
        What options, directories and the report call it.
    version
        Raised when its numbers change.
    """

    name: ClassVar[str]
    version: ClassVar[int]

    def __call__(self, bench: Bench) -> Evidence:
        """Return what was found."""
        ...


@runtime_checkable
class OfFiles(Protocol):
    """An analysis that reads files of its own: what they hold is part of what determines its record, not their place.

    Attributes
    ----------
    files
        The names of the settings that say where they are.
    """

    files: ClassVar[tuple[str, ...]]

    def content(self) -> str | None:
        """Return the hash of all that is read; ``None`` if nothing is there any more."""
        ...


def conducted(settings: Settings) -> Record:
    """Return the record of an analysis that is done now."""
    assert settings.analysis is not None
    analysis: Analysis = build(settings.analysis)
    began = time.perf_counter()
    bench = Bench(settings)
    timing_s = {"prepare": time.perf_counter() - began}
    began = time.perf_counter()
    bench.encode()
    timing_s["encode"] = time.perf_counter() - began
    began = time.perf_counter()
    try:
        evidence = analysis(bench)
    except DoesNotApply as reason:
        evidence = Evidence((), caveats=(f"It does not apply: {first_line(reason)}.",))
    timing_s["analyse"] = time.perf_counter() - began
    return Record(
        analysis=analysis.name,
        version=analysis.version,
        identity=_identity(settings, bench.problem, analysis),
        settings=settings.raw,
        command=command(settings),
        about=about_of(settings.model),
        material=_material(bench),
        timing_s={stage: round(seconds, 3) for stage, seconds in timing_s.items()},
        evidence=replace(evidence, caveats=(*evidence.caveats, *_of_no_language(bench))),
    )


def _of_no_language(bench: Bench) -> list[str]:
    """Return the caveat about utterances that are of no language, if there are any."""
    count = len(bench.all_entries) - len(bench.entries)
    said = f"{count} of {len(bench.all_entries)} utterances have no linguistic content ({NO_LANGUAGE})"
    return [f"{said}, which is no language: nothing that is over languages contains them."] if count else []


def finished_analysis(settings: Settings) -> Record:
    """Return the record of a finished analysis, having checked that it is of these settings and the present corpora."""
    assert settings.analysis is not None
    record, analysis = read_record(settings.folder), build(settings.analysis)
    if record.analysis != analysis.name or record.version != analysis.version:
        raise RunError(
            f"{settings.folder} was made by version {record.version} of the analysis {record.analysis}; this is "
            f"version {analysis.version} of {analysis.name}: remove it to run again, or keep it and give "
            "paths.runs=<another folder>"
        )
    then = record.settings
    if isinstance(analysis, OfFiles):
        places = {name: settings.analysis.arguments[name] for name in analysis.files}
        then = then | {"analysis": then["analysis"] | places}
        content = analysis.content()
        if content is not None and record.identity["analysis"].get(_CONTENT) != content:
            raise RunError(
                f"{settings.folder} was finished on other content of {', '.join(map(str, places.values()))} than there "
                "is now; remove it to run again, or keep it and give paths.runs=<another folder>"
            )
    check_unchanged(settings, then, record.identity, record.identity.get("model_files", {}))
    return record


def command(settings: Settings) -> str:
    """Return a line that conducts an analysis again, where models and corpora have the names that they have here."""
    label, model = settings.id.model, settings.model.plain
    given = {"analysis": analysis_label(settings.raw), "model": label}
    if not (conf_dir() / "model" / f"{label}.yaml").is_file():
        given |= {"model": "hub", "model.name": model.get("name"), "model.label": label}
    given["corpora"] = settings.corpora
    if settings.seed:
        given["seed"] = settings.seed
    differences = {key: value for key, value in settings.id.differences.items() if key != "corpora"}
    given |= {key: value for key, value in differences.items() if not (key.startswith("model.") and key in given)}
    return shlex.join(["python", "train.py", *(f"{key}={_typed(value)}" for key, value in given.items())])


def _typed(value: Any) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else "null" if value is None else str(value)


def printed_findings(record: Record) -> str:
    """Return findings as lines: name, effect with its interval and what it is over; of one without a number, why."""
    caveats = record.evidence.caveats if not record.evidence.findings else ()
    lines = [f"{record.analysis} of {record.model} on {', '.join(record.identity['corpora'])}"]
    for finding in record.evidence.findings:
        said = f" ({finding.says})" if finding.value is None else ""
        lines.append(f"  {finding.name}: {shown(finding)}{said}")
    return "\n".join(map(one_line, [*lines, *(f"  {caveat}" for caveat in caveats)]))


def shown(finding: Finding) -> str:
    """Return an effect with its interval, unit and what it is over, as text."""
    if finding.value is None:
        return "undefined"
    interval = (
        f" [{finding.low:.3f}, {finding.high:.3f}]" if finding.low is not None and finding.high is not None else ""
    )
    count = ", ".join(f"{number} {unit}" for unit, number in finding.n.items() if number or unit != "languages")
    level = f" ({100 * finding.level:g} % interval)" if interval and finding.level != 0.95 else ""
    return f"{finding.value:.3f}{interval}{level} {finding.unit}, {finding.over} ({count})"


def _identity(settings: Settings, problem: Problem, analysis: Analysis) -> dict[str, Any]:
    kept = ("model", "layer", "head", "seed", "corpora", "encoder", "differences", "texts")
    identity = {name: problem.identity[name] for name in kept if name in problem.identity}
    assert settings.analysis is not None
    asked = dict(settings.analysis.plain)
    if isinstance(analysis, OfFiles):  # the report compares encoders under the same differences only
        content, places = analysis.content(), [f"analysis.{name}" for name in analysis.files]
        asked = {name: value for name, value in asked.items() if name not in analysis.files} | {_CONTENT: content}
        differences = {name: value for name, value in identity["differences"].items() if name not in places}
        identity["differences"] = differences | {f"analysis.{_CONTENT}": str(content)[:_SHOWN_LETTERS]}
    return identity | {
        "analysis": asked,
        "targets": list(settings.targets),
        "model_files": model_files(settings),
        "versions": {"tractprobe": __version__, "torch": version("torch"), "transformers": version("transformers")},
    }


def _material(bench: Bench) -> dict[str, Any]:
    entries = list(bench.entries.values())
    babble = [entry for id_, entry in bench.all_entries.items() if id_ not in bench.entries]
    return {
        "corpora": {corpus.name: corpus.content_hash for corpus in bench.all_corpora},
        "simulated": sorted(corpus.name for corpus in bench.all_corpora if corpus.simulated),
        "languages": sorted({entry.language for entry in entries}),
        "speakers": sorted({entry.speaker for entry in entries}),
        "utterances": len(entries),
        "minutes": _minutes(entries),
        "layers": list(bench.labels),
        **({"babble": {"utterances": len(babble), "minutes": _minutes(babble)}} if babble else {}),
    }


def _minutes(entries: Iterable[Entry]) -> float:
    return round(sum(entry.duration_s for entry in entries) / 60, 2)
