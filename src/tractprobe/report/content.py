"""What a report says: the first screen, a section for each analysis, runs, provenance, and what was left out."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tractprobe.evidence.record import Figure, Finding, Record
from tractprobe.evidence.rules import CLAIMS, VERDICTS
from tractprobe.evidence.table import LayerTable
from tractprobe.probes.opening import BUILTIN
from tractprobe.report.blocks import (
    Block,
    Caveats,
    Cell,
    Command,
    Document,
    Grid,
    Picture,
    Pictures,
    Section,
    Text,
    grid,
)
from tractprobe.report.claims import judgements, reasons, rules, sentence
from tractprobe.report.claims import table as claims_table
from tractprobe.report.collect import Collection, Group, Subject, settings_of, subject_of
from tractprobe.report.compare import compared
from tractprobe.report.figures import NotDrawn, check, range_of
from tractprobe.report.numbers import counts, effect, interval, level, number
from tractprobe.report.outline import LATER, PARTS, in_order, part_of

_MOST_ROWS, _MOST_TABLES, _MOST_OPEN = 200, 40, 15
_SIMULATED = (
    f"The corpus {BUILTIN} is simulated: what is found on it tells that the engine works, and nothing of people."
)


def document(collection: Collection, title: str, films: Mapping[int, Sequence[Block]] | None = None) -> Document:
    """Return the report on what was collected.

    Parameters
    ----------
    films
        By the place of a group: what its section of moving utterances shows.
    """
    sections: list[Section] = []
    several = len(collection.groups) > 1
    for place, group in enumerate(collection.groups):
        prefix = f"g{place + 1}-" if several else ""
        if place:
            sections.append(Section(f"Other material: {_of(group)}", f"{prefix}claims", _first_screen(group)))
        sections += _sections(group, prefix, list((films or {}).get(place, ())))
    sections += [_not_run(collection.groups), _rules_section(), *_left_out(collection)]
    lead: tuple[Block, ...] = _first_screen(collection.groups[0]) if collection.groups else (Text(_empty(collection)),)
    if several:
        others = "; ".join(_of(group) for group in collection.groups[1:])
        lead += (Text(f"Material that cannot be compared with this has sections of its own below: {others}."),)
    return Document(title, lead, tuple(sections))


def _empty(collection: Collection) -> str:
    return f"Nothing that was finished lies below {collection.folder}."


def _of(group: Group) -> str:
    names = ", ".join(f"{name} ({content_hash[:6]})" for name, content_hash in group.corpora.items())
    targets = f", targets {group.targets}" if group.targets not in ("", "ema") else ""
    return f"{names or 'corpora that are not named'}{targets}"


def _first_screen(group: Group) -> tuple[Block, ...]:
    if not group.records:
        return (Text(f"{_of(group)}: runs, but no analysis; the section of runs holds their tables."),)
    blocks: list[Block] = [Text(sentence(group)), Text(_material(group)), claims_table(group)]
    cells = [each for own in judgements(group).values() for each in own]
    decided = sum(each.verdict in VERDICTS[:2] for each in cells)
    caveats = [
        f"Words are given by the rules below, never by hand. {decided} of {len(cells)} cells are decided. Each interval "
        "holds its level by itself: of claims of superiority that are false, up to 1 in 40 is called supported by "
        "chance; of claims of equivalence, up to 1 in 20."
    ]
    if BUILTIN in group.corpora:
        caveats.insert(0, _SIMULATED)
    return (*blocks, Caveats(tuple(caveats)), reasons(group))


def _material(group: Group) -> str:
    each = [record.material for record in group.records]
    parts = []
    for name in ("speakers", "languages"):
        values = {str(value) for material in each for value in _listed(material.get(name))}
        parts.append(counts({name: len(values)}))
    minutes = sorted({material["minutes"] for material in each if type(material.get("minutes")) in (int, float)})
    parts += (
        [f"{minutes[0]:g} min" if len(minutes) == 1 else f"{minutes[0]:g} to {minutes[-1]:g} min"] if minutes else []
    )
    known = counts({"encoders": len(group.subjects)}), counts({"records": len(group.records)})
    return f"On {_of(group)}: {', '.join(parts)}; {', '.join(known)}."


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _sections(group: Group, prefix: str, films: list[Block]) -> list[Section]:
    sections = [_analysis(group, name, prefix) for name in in_order(group.analyses)]
    if films:
        sections.append(Section("Measured over predicted", f"{prefix}films", tuple(films)))
    if group.score_rows:
        sections.append(Section("Runs", f"{prefix}runs", tuple(_runs(group.tables))))
    return [*sections, Section("Provenance", f"{prefix}provenance", tuple(_provenance(group)))]


def _analysis(group: Group, name: str, prefix: str) -> Section:
    records, part = group.of(name), part_of(name)
    blocks: list[Block] = [Text(part.question)] if part.question else []
    blocks += [*_pictures(records, f"{prefix}{name}"), _findings(records), *_comparisons(records)]
    blocks += [*_parts(records), *_tables(records)]
    controls = [f"Controls: {part.controls}"] if part.controls else []
    blocks.append(Caveats((*controls, *_caveats(records))))
    blocks += [Command(record.command, _label(record)) for record in records]
    return Section(part.title, f"{prefix}{name}", tuple(block for block in blocks if block != Caveats(())))


def _label(record: Record) -> str:
    own = settings_of(record)
    return subject_of(record).label + (f" ({own})" if own else "")


def _findings(records: Sequence[Record]) -> Grid:
    """Return findings down, encoders across."""
    names = dict.fromkeys(finding.name for record in records for finding in record.evidence.findings)
    rows = []
    for name in names:
        each = [record.evidence.finding(name) for record in records]
        first = next(finding for finding in each if finding is not None)
        rows.append([Cell(name, small=(first.says, first.over)), *(_finding(finding, first) for finding in each)])
    return grid("Effects", ("finding", *map(_label, records)), rows)


def _finding(finding: Finding | None, first: Finding) -> Cell:
    if finding is None:
        return Cell("–", small=("not computed",))
    small = [", ".join(filter(None, [counts(finding.n), level(finding)]))]
    small += [f"p = {finding.p:.2g}"] if finding.p is not None else []
    small += [f"margin ± {finding.margin:g}"] if finding.margin is not None else []
    small += [f"about {finding.needed} speakers would decide"] if finding.needed is not None else []
    small += [finding.says] if finding.value is None and finding is not first else []
    return Cell(effect(finding), small=tuple(filter(None, small)))


def _pictures(records: Sequence[Record], prefix: str) -> list[Block]:
    """Return each figure of all encoders side by side on one scale; what cannot be drawn is said."""
    by_name: dict[tuple[str, str], list[tuple[Record, Figure]]] = {}
    notes: list[Block] = []
    for record in records:
        for figure in record.evidence.figures:
            try:
                check(figure)
            except NotDrawn as error:
                notes.append(Text(f"{_label(record)}, {figure.title}: not drawn, {error}."))
            else:
                by_name.setdefault((figure.name, figure.y), []).append((record, figure))
    blocks: list[Block] = []
    for own in by_name.values():
        y = range_of([figure for _, figure in own])
        blocks.append(Pictures(tuple(Picture(_label(record), figure, y, data_of(figure)) for record, figure in own)))
    return blocks + notes


def data_of(figure: Figure) -> Grid:
    """Return what a figure shows as a table."""
    rows = [
        [series.name, str(point[0]), number(point[1]), interval(*point[2:4])]
        for series in figure.series
        for point in series.points
    ]
    rows += [[level.text, "", number(level.y), ""] for level in figure.levels]
    if figure.band is not None:
        rows.append([figure.band.text, "", "", interval(figure.band.low, figure.band.high)])
    return _cut(f"Data: {figure.title}", ("series", figure.x, figure.y, "interval"), rows, frozenset({2, 3}))


def _comparisons(records: Sequence[Record]) -> list[Block]:
    found = compared(records)
    blocks: list[Block] = []
    if found.each:
        rows = [
            [f"{each.one} − {each.other}", each.condition, number(each.difference.mean),
             interval(each.difference.low, each.difference.high) or "no interval", _p(each.p), each.word,
             counts({"speakers": each.difference.n})
             + (f", {each.unpaired} left out that one of them lacks" if each.unpaired else "")]
            for each in found.each
        ]  # fmt: skip
        levels = sorted({100 * each.difference.level for each in found.each})
        note = (
            "Differences within speakers of a language, averaged over languages. Intervals of "
            f"{' or '.join(f'{level:.4g}' for level in levels)} % each hold for all pairs under one condition together "
            "at 95 % (Bonferroni); p of flipped signs, by Holm."
        )
        head = ("encoders", "condition", "difference of r", "interval", "p", "the first is", "over")
        title, numeric = "Encoders against each other", frozenset({2, 3, 4})
        blocks.append(grid(title, head, rows[:_MOST_ROWS], note=note, numeric=numeric, folded=len(rows) > _MOST_OPEN))
    return blocks + [Text(f"Not compared: {'; '.join(found.not_compared)}.")] * bool(found.not_compared)


def _p(p: float | None) -> str:
    return "–" if p is None else f"{p:.2g}"


def _parts(records: Sequence[Record]) -> list[Block]:
    """Return each effect by language, speaker, articulator and whatever else it was taken apart by."""
    names = dict.fromkeys(finding.name for record in records for finding in record.evidence.findings if finding.by)
    blocks: list[Block] = []
    for name in names:
        columns = []
        for record in records:
            finding = record.evidence.finding(name)
            unit = finding.unit if finding else ""
            columns.append({(part.kind, part.name): (part, unit) for part in (finding.by if finding else ())})
        rows = [
            [kind, of, *(_part(column.get((kind, of))) for column in columns)]
            for kind, of in dict.fromkeys(key for column in columns for key in column)
        ]
        head = ("by", "which", *map(_label, records))
        blocks.append(_cut(f"{name}, in parts", head, rows, frozenset(range(2, len(head)))))
    return blocks


def _part(found: Any) -> str:
    if found is None:
        return "–"
    part, unit = found
    reach = interval(part.low, part.high, unit)
    return f"{number(part.value, unit)} {reach}{f' (n={part.n})' if part.n else ''}"


def _tables(records: Sequence[Record]) -> list[Block]:
    blocks: list[Block] = []
    for record in records:
        for table in record.evidence.tables:
            names = [column.name for column in table.columns]
            head = tuple(
                f"{column.text or column.name}{f' ({column.unit})' if column.unit else ''}" for column in table.columns
            )
            units = {column.name: column.unit for column in table.columns}
            rows = [[_value(row.get(name), units[name]) for name in names] for row in table.rows[: _MOST_ROWS + 1]]
            numeric = frozenset(
                place
                for place, name in enumerate(names)
                if all(type(row.get(name)) in (int, float, type(None)) for row in table.rows)
            )
            title = f"{table.title}: {_label(record)}"
            blocks.append(_cut(title, head, rows, numeric, len(table.rows), f"{record.folder}/evidence.json"))
    return _few(blocks)


def _few(blocks: list[Block]) -> list[Block]:
    left = len(blocks) - _MOST_TABLES
    return blocks[:_MOST_TABLES] + [Text(f"{left} further tables are in the records.")] * (left > 0)


def _value(value: Any, unit: str) -> str:
    if value is None:
        return "–"
    if type(value) is float:
        return number(value, unit)
    return str(value)[:200]


def _cut(
    title: str,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    numeric: frozenset[int],
    of: int = 0,
    where: str = "",
) -> Grid:
    """Return a folded table of at most 200 rows, which says how many there are."""
    of = of or len(rows)
    note = f"The first {_MOST_ROWS} of {of} rows{f'; all are in {where}' if where else ''}." if of > _MOST_ROWS else ""
    return grid(title, head, rows[:_MOST_ROWS], folded=True, numeric=numeric, note=note)


def _caveats(records: Sequence[Record]) -> Iterable[str]:
    """Yield caveats once, with the encoders that they are about unless that is all of them."""
    of: dict[str, list[str]] = {}
    for record in records:
        for caveat in dict.fromkeys(record.evidence.caveats):
            of.setdefault(caveat, []).append(_label(record))
    for caveat, labels in of.items():
        yield caveat if len(labels) == len(records) else f"{', '.join(labels)}: {caveat}"


def _runs(tables: Sequence[LayerTable]) -> list[Block]:
    blocks: list[Block] = [Text("Layers down, held-out values across: mean r with its 95 % interval over speakers.")]
    for table in tables[:_MOST_TABLES]:
        rows = [
            [str(layer), *(str(table.cells.get((layer, column), "–")) for column in table.columns)]
            for layer in table.layers
        ]
        head = ("layer", *table.columns)
        blocks.append(_cut(table.name, head, rows, frozenset(range(1, len(head)))))
    left = len(tables) - _MOST_TABLES
    return blocks + [Text(f"{left} further tables: tractprobe table prints all.")] * (left > 0)


def _provenance(group: Group) -> list[Block]:
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
        rows.append([record.analysis, _label(record), str(record.version), timing, versions, record.folder])
    head = ("analysis", "encoder", "version", "wall time (s)", "made with", "folder")
    total = sum(value for record in group.records for value in record.timing_s.values() if _is_number(value))
    note = f"{len(rows)} records, {total:.0f} s in all. Each section ends with the lines that made its records."
    return [*blocks, grid("Records", head, rows, folded=True, note=note)]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _facts(group: Group, subject: Subject) -> list[str]:
    about = group.about(subject)
    record = next(record for record in group.records if subject_of(record) == subject)
    encoder = record.identity["encoder"]
    weights = encoder.get("weights_sha256") if isinstance(encoder, dict) else None
    languages = about.get("languages")
    stated = [about.get("training"), " ".join(map(str, languages)) if isinstance(languages, list) else languages]
    stated += [about.get(name) for name in ("hours", "parameters_m", "licence")]
    identity = f"weights {str(weights)[:12]}" if weights else "no weights"
    return [*("not stated" if value in (None, "") else str(value) for value in stated), identity]


def _not_run(groups: Sequence[Group]) -> Section:
    """Return what was not conducted, with the line that would, and what cannot be yet."""
    blocks: list[Block] = []
    for group in groups:
        missing = [
            (subject, name) for subject in group.subjects for name in PARTS if name not in group.findings(subject)
        ]
        rows = [[part_of(name).title, subject.label, line_of(group, subject, name)] for subject, name in missing]
        if rows:
            blocks.append(
                _cut(f"Analyses of {_of(group)} without a record", ("analysis", "encoder", "line"), rows, frozenset())
            )
    blocks.append(grid("Not built yet", ("what", "why"), [[what, why] for what, why in LATER], folded=True))
    return Section("Not run", "not-run", tuple(blocks))


def line_of(group: Group, subject: Subject, analysis: str) -> str:
    """Return the line that conducts an analysis of an encoder, as another of its analyses was conducted."""
    record = next(record for record in group.records if subject_of(record) == subject)
    try:
        words = shlex.split(record.command)
    except ValueError:
        return "–"
    kept = [word for word in words if not word.startswith(("analysis.", "study="))]
    return shlex.join(f"study={analysis}" if word.startswith("analysis=") else word for word in kept)


def _rules_section() -> Section:
    says = (
        "A claim is supported if each of its readings supports it, contradicted if one that is no gate contradicts it, "
        "and undecided otherwise: without an interval, without a record, or where the interval holds both answers. "
        "Readings are of findings as analyses left them; no claim reads a raw score."
    )
    thresholds = ", ".join(
        f"{claim.title} {reading.bound:g}" for claim in CLAIMS for reading in claim.readings if reading.bound
    )
    note = f"Thresholds that are ours: {thresholds}. Margins of equivalence are the analyses' own settings."
    return Section("How words are given", "rules", (Text(says), Text(note), *rules()))


def _left_out(collection: Collection) -> list[Section]:
    if not collection.left_out:
        return []
    rows = [[each.path, each.reason] for each in collection.left_out]
    text = Text("What lies in the folder and is not compared with the rest, or not shown, and why.")
    return [Section("Left out", "left-out", (text, grid("Left out", ("file or folder", "why"), rows)))]
