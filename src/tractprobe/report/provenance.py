"""Where numbers come from: corpora and encoders by content, versions, wall time, and what was not run."""

import shlex
from collections.abc import Sequence
from typing import Any

from tractprobe.report.blocks import Block, Section, Text, grid
from tractprobe.report.collect import Group, Subject
from tractprobe.report.outline import PARTS, in_order, part_of
from tractprobe.report.sections import cut, label_of


def material_of(group: Group) -> str:
    names = ", ".join(f"{name} ({content_hash[:6]})" for name, content_hash in group.corpora.items())
    targets = f", targets {group.targets}" if group.targets not in ("", "ema") else ""
    return f"{names or 'corpora that are not named'}{targets}"


def provenance(group: Group) -> list[Block]:
    corpora = [[name, content_hash] for name, content_hash in group.corpora.items()]
    blocks: list[Block] = [grid("Corpora, by content", ("corpus", "SHA-256"), corpora)]
    if not group.records:
        return blocks
    encoders = [[subject.label, *_facts(group, subject)] for subject in group.subjects]
    head = ("encoder", "training", "languages", "hours", "parameters (M)", "licence", "identity")
    blocks.append(grid("Encoders, as their options state", head, encoders))
    rows = []
    for record in [record for name in in_order(group.analyses) for record in group.of(name)]:
        versions = record.identity.get("versions")
        versions = (
            " ".join(f"{name} {value}" for name, value in versions.items()) if isinstance(versions, dict) else "–"
        )
        timing = ", ".join(
            f"{stage} {seconds:.3g}" for stage, seconds in record.timing_s.items() if _is_number(seconds)
        )
        rows.append([record.analysis, label_of(record), str(record.version), timing, versions, record.folder])
    head = ("analysis", "encoder", "version", "wall time (s)", "made with", "folder")
    total = sum(value for record in group.records for value in record.timing_s.values() if _is_number(value))
    note = f"{len(rows)} records, {total:.0f} s in all. Each section ends with the lines that made its records."
    return [*blocks, grid("Records", head, rows, folded=True, note=note)]


def _facts(group: Group, subject: Subject) -> list[str]:
    about = group.about(subject)
    record = group.first(subject)
    encoder = record.identity["encoder"]
    weights = encoder.get("weights_sha256") if isinstance(encoder, dict) else None
    languages = about.get("languages")
    stated = [
        about.get("training"),
        " ".join(map(str, languages)) or "none" if isinstance(languages, list) else languages,
    ]
    stated += [about.get(name) for name in ("hours", "parameters_m", "licence")]
    identity = f"weights {str(weights)[:12]}" if weights else "no weights"
    return [*("not stated" if value in (None, "") else str(value) for value in stated), identity]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def not_run(groups: Sequence[Group]) -> Section:
    """Return what was not conducted, with the line that would."""
    blocks: list[Block] = []
    for group in groups:
        missing = [
            (subject, name) for subject in group.subjects for name in PARTS if name not in group.findings(subject)
        ]
        rows = [[part_of(name).title, subject.label, line_of(group, subject, name)] for subject, name in missing]
        if rows:
            blocks.append(
                cut(
                    f"Analyses of {material_of(group)} without a record",
                    ("analysis", "encoder", "line"),
                    rows,
                    frozenset(),
                )
            )
    return Section("Not run", "not-run", tuple(blocks) or (Text("Every analysis has a record of every encoder."),))


def line_of(group: Group, subject: Subject, analysis: str) -> str:
    """Return the line that conducts an analysis of an encoder, as another of its analyses was conducted."""
    record = group.first(subject)
    try:
        words = shlex.split(record.command)
    except ValueError:
        return "–"
    kept = [word for word in words if not word.startswith(("analysis.", "study="))]
    return shlex.join(f"study={analysis}" if word.startswith("analysis=") else word for word in kept)
