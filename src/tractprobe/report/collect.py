"""What lies below a folder of runs: records of analyses and results of runs, grouped by what can be compared.

Nothing is dropped without a word: what is damaged, of an older version, or there twice is named with its reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tractprobe.corpora.prepared.corpus import SIMULATED_UNSAID
from tractprobe.evidence.methods.raised_report import Joined
from tractprobe.evidence.methods.raised_together import Together
from tractprobe.evidence.record import Finding, Record, read_record
from tractprobe.evidence.tables.condition import Condition
from tractprobe.evidence.tables.rows import rows_of
from tractprobe.evidence.tables.table import LayerTable, layer_tables
from tractprobe.runs.result import EVIDENCE, RESULT, Row, RunResult, read_result
from tractprobe.system.errors import TractprobeError
from tractprobe.system.files import digest
from tractprobe.system.printable import one_line

RAISED_IN = "raised_in"
"""The analysis whose records are also compared with each other."""
_OWN = ("corpora", "analysis.", "model.name", "model.root")  # differences that tables name otherwise


@dataclass(frozen=True)
class LeftOut:
    """What is not on the page, or not where one would look for it, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Subject:
    """An encoder with the settings of its heads, as columns of tables name it."""

    label: str
    key: str


def subject_of(record: Record) -> Subject:
    """Return what a record is about; settings that differ from the shipped ones are part of its label."""
    identity = record.identity
    own = {key: value for key, value in _differences(record).items() if not _is_under(key, _OWN)}
    layer, seed = identity.get("layer", "all"), identity["seed"]
    parts = [record.model] + ([f"layer {layer}"] if layer != "all" else []) + ([f"seed {seed}"] if seed else [])
    label = ", ".join([*parts, *([str(Condition.of(own))] if own else [])])
    return Subject(one_line(label), digest([label, identity["encoder"], identity.get("head")]))


def settings_of(record: Record) -> str:
    """Return the settings of an analysis that differ from the shipped ones; an empty text if none does."""
    own = {
        key.removeprefix("analysis."): value
        for key, value in _differences(record).items()
        if key.startswith("analysis.")
    }
    return one_line(", ".join(f"{key}={value}" for key, value in sorted(own.items())))


def _differences(record: Record) -> Mapping[str, Any]:
    found = record.identity.get("differences")
    return found if isinstance(found, dict) else {}


def _is_under(key: str, names: Sequence[str]) -> bool:
    return any(key == name or key.startswith(name) for name in names)


@dataclass(frozen=True)
class Group:
    """What was made of the same corpora, targets and smoothing, and so can be compared.

    Attributes
    ----------
    corpora
        Names to content hashes.
    records
        One for each encoder, analysis and settings of the analysis.
    score_rows
        Of runs.
    """

    corpora: Mapping[str, str]
    targets: str
    records: tuple[Record, ...]
    score_rows: tuple[Row, ...] = ()

    @cached_property
    def raised(self) -> Joined | None:
        """What encoders say together that differ in the language they heard; ``None`` if none of them is here."""
        records = [(subject_of(record).label, record) for record in self.of(RAISED_IN)]
        together = Together.of(records) if records else None
        return None if together is None else Joined.of(together)

    @cached_property
    def _of_subjects(self) -> dict[Subject, list[Record]]:
        """Records by encoder, those of the shipped settings first."""
        found: dict[Subject, list[Record]] = {}
        for record in sorted(self.records, key=settings_of):
            found.setdefault(subject_of(record), []).append(record)
        return found

    @cached_property
    def subjects(self) -> tuple[Subject, ...]:
        """The encoders, in the order of their labels; those without training first."""
        return tuple(sorted(self._of_subjects, key=lambda own: (self.about(own).get("training") != "none", own.label)))

    @property
    def simulated(self) -> tuple[str, ...]:
        """The corpora that are simulated, as records say; those made before records said so know it of one name."""
        said: set[str] = set()
        for record in self.records:
            named = record.material.get("simulated", [SIMULATED_UNSAID])
            said.update(map(str, named if isinstance(named, list) else ()))
        return tuple(sorted(said & set(self.corpora)))

    @property
    def analyses(self) -> tuple[str, ...]:
        """Names of what was conducted."""
        return tuple(sorted({record.analysis for record in self.records}))

    def of(self, analysis: str) -> list[Record]:
        """Return the records of an analysis, in the order of their encoders, the shipped settings first."""
        return [own for subject in self.subjects for own in self._of_subjects[subject] if own.analysis == analysis]

    def findings(self, subject: Subject) -> dict[str, tuple[Finding, ...]]:
        """Return an encoder's findings by analysis: under the shipped settings, or the first ones if there are none."""
        found: dict[str, tuple[Finding, ...]] = {}
        for record in self._of_subjects[subject]:
            found.setdefault(record.analysis, record.evidence.findings)
        if RAISED_IN in found and self.raised is not None:
            found[RAISED_IN] += self.raised.findings_of(subject.label)
        return found

    def first(self, subject: Subject) -> Record:
        """Return one of an encoder's records."""
        return self._of_subjects[subject][0]

    def about(self, subject: Subject) -> Mapping[str, Any]:
        """Return the facts that are stated about an encoder."""
        return self.first(subject).about

    @cached_property
    def tables(self) -> list[LayerTable]:
        """The tables of runs."""
        return layer_tables(self.score_rows)


@dataclass(frozen=True)
class Collection:
    """Everything that was found, the group with the most records first."""

    folder: str
    groups: tuple[Group, ...]
    left_out: tuple[LeftOut, ...]


def collect(runs: Path) -> Collection:
    """Return what lies below a folder, and what of it cannot be used; both are empty for an empty folder."""
    left_out: list[LeftOut] = []
    records = _read(runs, EVIDENCE, read_record, left_out)
    results = _read(runs, RESULT, read_result, left_out)
    by_material: dict[str, list[Record]] = {}
    for record in _namesakes(_newest(_once(list(records.values()), left_out), left_out), left_out):
        by_material.setdefault(_material(record.identity, record.settings), []).append(record)
    of_runs: dict[str, list[tuple[str, RunResult]]] = {}
    for name, result in results.items():
        of_runs.setdefault(_material(result["identity"], result["settings"]), []).append((name, result))
    groups = [
        _group(runs, by_material.get(material, []), of_runs.get(material, []), left_out)
        for material in dict.fromkeys([*by_material, *of_runs])
    ]
    groups.sort(key=lambda group: (-len(group.records), -len(group.score_rows), sorted(group.corpora)))
    return Collection(str(runs), tuple(groups), tuple(left_out))


def _read(runs: Path, name: str, read: Any, left_out: list[LeftOut]) -> dict[str, Any]:
    found = {}
    for path in sorted(runs.rglob(name)) if runs.is_dir() else []:
        try:
            found[path.parent.relative_to(runs).as_posix()] = read(path.parent)
        except (TractprobeError, OSError) as error:
            left_out.append(LeftOut(str(path), str(error).removeprefix(f"{path} ").removeprefix(f"{path}: ")))
    return found


def _material(identity: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Return what two things must share to be compared: corpora by content, targets, and how these were smoothed."""
    corpora = identity["corpora"]
    kept = [settings.get(name) for name in ("ema", "targets")]
    return digest([corpora if isinstance(corpora, dict) else None, identity.get("texts"), *kept])


def _once(records: Sequence[Record], left_out: list[LeftOut]) -> list[Record]:
    """Return records without copies of others, and without those that contradict another of the same settings."""
    kept: dict[str, Record] = {}
    for record in records:
        key = _identity(record) + f"/{record.version}"
        other = kept.setdefault(key, record)
        if other is not record:
            same = other.evidence == record.evidence
            says = "a copy of" if same else "other numbers under the same settings than"
            left_out.append(LeftOut(record.folder, f"{says} {other.folder}, which is shown instead"))
    return list(kept.values())


def _newest(records: Sequence[Record], left_out: list[LeftOut]) -> list[Record]:
    """Return the records of each analysis's newest version: numbers of different definitions are not compared."""
    newest = {record.analysis: 0 for record in records}
    for record in records:
        newest[record.analysis] = max(newest[record.analysis], record.version)
    for record in records:
        if record.version < newest[record.analysis]:
            reason = f"version {record.version} of {record.analysis}; others are of version {newest[record.analysis]}"
            left_out.append(LeftOut(record.folder, f"{reason}: remove it and type its command again"))
    return [record for record in records if record.version == newest[record.analysis]]


def _namesakes(records: Sequence[Record], left_out: list[LeftOut]) -> list[Record]:
    """Return records without those of an encoder that has the name of another: a column has one encoder."""
    first: dict[tuple[str, str], Record] = {}
    kept = []
    for record in records:
        subject = subject_of(record)
        other = first.setdefault((_material(record.identity, record.settings), subject.label), record)
        if subject_of(other) == subject:
            kept.append(record)
        else:
            reason = (
                f"another encoder than that of {other.folder}, with the same name; give it a model.label of its own"
            )
            left_out.append(LeftOut(record.folder, reason))
    return kept


def _identity(record: Record) -> str:
    material = _material(record.identity, record.settings)
    targets = record.identity.get("targets")
    return digest([record.analysis, subject_of(record).key, material, record.identity["analysis"], targets])


def _group(
    runs: Path, records: Sequence[Record], results: Sequence[tuple[str, RunResult]], left_out: list[LeftOut]
) -> Group:
    corpora = records[0].identity["corpora"] if records else results[0][1]["identity"]["corpora"]
    targets = sorted({", ".join(map(str, record.identity.get("targets", ()))) for record in records})
    rows: list[Row] = []
    try:
        rows = rows_of(runs, results)
        layer_tables(rows)
    except TractprobeError as error:
        left_out.append(LeftOut(str(runs), f"tables of runs: {error}"))
        rows = []
    return Group(_names(corpora), "; ".join(targets), tuple(records), tuple(rows))


def _names(corpora: Any) -> dict[str, str]:
    return {str(name): str(value) for name, value in corpora.items()} if isinstance(corpora, dict) else {}
