"""A section for each analysis: figures, effects, comparisons of encoders, parts, tables, controls and commands."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tractprobe.evidence.record import Figure, Finding, Record, tables_of
from tractprobe.evidence.rules import CLAIMS
from tractprobe.evidence.tables.table import LayerTable
from tractprobe.report.blocks import Block, Caveats, Cell, Command, Folded, Grid, Picture, Pictures, Section, Text, grid
from tractprobe.report.collect import RAISED_IN, Group, settings_of, subject_of
from tractprobe.report.compare import compared
from tractprobe.report.figures import NotDrawn, check, range_of
from tractprobe.report.numbers import counts, effect, interval, level, number, would_decide
from tractprobe.report.outline import part_of

_MOST_ROWS, _MOST_TABLES, _MOST_OPEN, _MOST_COLUMNS = 200, 40, 15, 40


def analysis_section(group: Group, name: str, prefix: str) -> Section:
    records, part = group.of(name), part_of(name)
    blocks: list[Block] = [Text(part.question)] if part.question else []
    joined = _joined(group, records) if name == RAISED_IN else []
    if joined:
        blocks += [*_side_by_side(joined), *_tables(joined, folded=False), *_findings(joined)]
        blocks.append(Caveats(tuple(_caveats(joined))))
    blocks += [*_pictures(records), *_findings(records), *_comparisons(records)]
    blocks += [*_folded("Effects in parts", _parts(records)), *_folded("Tables", _tables(records))]
    controls = [f"Controls: {part.controls}"] if part.controls else []
    blocks.append(Caveats((*controls, *_caveats(records))))
    blocks += [Command(record.command, label_of(record)) for record in records]
    return Section(part.title, f"{prefix}{name}", tuple(block for block in blocks if block != Caveats(())))


def _joined(group: Group, records: Sequence[Record]) -> list[Record]:
    """Return what encoders of the experiment say together, as if it were the record of one."""
    if group.raised is None:
        return []
    identity = records[0].identity | {"model": "together", "layer": "all", "seed": 0, "differences": {}}
    return [replace(records[0], identity=identity, evidence=group.raised.evidence, folder="")]


def tables_together(groups: Sequence[Group]) -> dict[str, list[dict[str, Any]]]:
    """Return what encoders of an experiment say together as W&B takes it, by title."""
    found: dict[str, list[dict[str, Any]]] = {}
    for group in groups:
        for record in _joined(group, group.of(RAISED_IN)):
            found |= {f"{title}, together": rows for title, rows in tables_of(record).items()}
    return found


def label_of(record: Record) -> str:
    own = settings_of(record)
    return subject_of(record).label + (f" ({own})" if own else "")


def _findings(records: Sequence[Record]) -> list[Block]:
    """Return findings down, encoders across; of many, those that no claim reads are folded after the first few."""
    names = list(dict.fromkeys(finding.name for record in records for finding in record.evidence.findings))
    read = {reading.finding for claim in CLAIMS for reading in claim.readings}
    first = [name for place, name in enumerate(names) if place < _MOST_OPEN or name in read]
    further = [name for name in names if name not in first]
    blocks: list[Block] = [_effects("Effects", first, records)]
    return blocks + [replace(_effects("Further effects", further, records), folded=True)] * bool(further)


def _effects(title: str, names: Sequence[str], records: Sequence[Record]) -> Grid:
    rows = []
    for name in names:
        each = [record.evidence.finding(name) for record in records]
        first = next(finding for finding in each if finding is not None)
        rows.append([Cell(name, small=(first.says, first.over)), *(_finding(finding, first) for finding in each)])
    return grid(title, ("finding", *map(label_of, records)), rows)


def _finding(finding: Finding | None, first: Finding) -> Cell:
    if finding is None:
        return Cell("–", small=("not computed",))
    small = [", ".join(filter(None, [counts(finding.n), level(finding)]))]
    small += [f"p = {finding.p:.2g}"] if finding.p is not None else []
    small += [would_decide(finding)]
    small += [finding.says] if finding.value is None and finding is not first else []
    return Cell(effect(finding), small=tuple(filter(None, small)))


def _pictures(records: Sequence[Record]) -> list[Block]:
    """Return each figure of all encoders side by side on one scale; what cannot be drawn is said."""
    by_name: dict[tuple[str, str], list[tuple[Record, Figure]]] = {}
    notes: list[Block] = []
    for record in records:
        for figure in record.evidence.figures:
            try:
                check(figure)
            except NotDrawn as error:
                notes.append(Text(f"{label_of(record)}, {figure.title}: not drawn, {error}."))
            else:
                by_name.setdefault((figure.name, figure.y), []).append((record, figure))
    blocks: list[Block] = []
    for own in by_name.values():
        y = range_of([figure for _, figure in own])
        blocks.append(Pictures(tuple(Picture(label_of(record), figure, y, data_of(figure)) for record, figure in own)))
    return blocks + notes


def _side_by_side(records: Sequence[Record]) -> list[Block]:
    """Return all figures of some records side by side, each on its own scale."""
    blocks = _pictures(records)
    pictures = tuple(picture for block in blocks if isinstance(block, Pictures) for picture in block.each)
    return [Pictures(pictures)] * bool(pictures) + [block for block in blocks if not isinstance(block, Pictures)]


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
    return cut(f"Data: {figure.title}", ("series", figure.x, figure.y, "interval"), rows, frozenset({2, 3}))


def _comparisons(records: Sequence[Record]) -> list[Block]:
    found, about = compared(records), {subject_of(record).label: record.about for record in records}
    blocks: list[Block] = []
    if found.each:
        rows = [
            [f"{each.one} − {each.other}", _training(about[each.one], about[each.other]), each.condition,
             number(each.difference.mean), interval(each.difference.low, each.difference.high) or "no interval",
             _p(each.p), each.word, counts({"speakers": each.difference.n})
             + (f", {each.unpaired} left out that one of them lacks" if each.unpaired else "")]
            for each in found.each
        ]  # fmt: skip
        levels = sorted({100 * each.difference.level for each in found.each})
        note = (
            "Differences within speakers of a language, averaged over languages. Intervals of "
            f"{' or '.join(f'{level:.4g}' for level in levels)} % each hold for all pairs under one condition together "
            "at 95 % (Bonferroni); p of flipped signs, by Holm."
        )
        head = ("encoders", "training", "condition", "difference of r", "interval", "p", "the first is", "over")
        title, numeric = "Encoders against each other", frozenset({3, 4, 5})
        blocks.append(grid(title, head, rows[:_MOST_ROWS], note=note, numeric=numeric, folded=len(rows) > _MOST_OPEN))
    return blocks + [Text(f"Not compared: {'; '.join(found.not_compared)}.")] * bool(found.not_compared)


def _training(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Say how two encoders were trained, and whether that is all they differ in as far as is stated about them."""
    size = [tuple(about.get(name) for name in ("layers", "width")) for about in (one, other)]
    kinds = " − ".join(str(about.get("training") or "not stated") for about in (one, other))
    return kinds + (", one architecture" if size[0] == size[1] and None not in size[0] else "")


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
        head = ("by", "which", *map(label_of, records))
        blocks.append(cut(f"{name}, in parts", head, rows, frozenset(range(2, len(head)))))
    return blocks


def _part(found: Any) -> str:
    if found is None:
        return "–"
    part, unit = found
    reach = interval(part.low, part.high, unit)
    return f"{number(part.value, unit)} {reach}{f' (n={part.n})' if part.n else ''}"


def _tables(records: Sequence[Record], *, folded: bool = True) -> list[Block]:
    blocks: list[Block] = []
    for record in records:
        for table in record.evidence.tables:
            columns = table.columns[:_MOST_COLUMNS]
            names = [column.name for column in columns]
            head = tuple(
                f"{column.text or column.name}{f' ({column.unit})' if column.unit else ''}" for column in columns
            )
            units = {column.name: column.unit for column in columns}
            rows = [[_value(row.get(name), units[name]) for name in names] for row in table.rows[: _MOST_ROWS + 1]]
            numeric = frozenset(
                place
                for place, name in enumerate(names)
                if all(type(row.get(name)) in (int, float, type(None)) for row in table.rows)
            )
            title, where = (
                f"{table.title}: {label_of(record)}",
                f"{record.folder}/evidence.json" if record.folder else "",
            )
            made = cut(title, head, rows, numeric, len(table.rows), where)
            blocks.append(made if folded else replace(made, folded=len(rows) > _MOST_OPEN))
    return _few(blocks)


def _folded(title: str, blocks: list[Block]) -> list[Block]:
    """Return blocks to be opened together, if there are several."""
    return [Folded(f"{title} ({len(blocks)})", tuple(blocks))] if len(blocks) > 1 else blocks


def _few(blocks: list[Block]) -> list[Block]:
    left = len(blocks) - _MOST_TABLES
    return blocks[:_MOST_TABLES] + [Text(f"{left} further tables are in the records.")] * (left > 0)


def _value(value: Any, unit: str) -> str:
    if value is None:
        return "–"
    if type(value) is float:
        return number(value, unit)
    return str(value)[:200]


def cut(
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
            of.setdefault(caveat, []).append(label_of(record))
    for caveat, labels in of.items():
        yield caveat[:1].upper() + caveat[1:] if len(labels) == len(records) else f"{', '.join(labels)}: {caveat}"


def run_tables(tables: Sequence[LayerTable]) -> list[Block]:
    blocks: list[Block] = [Text("Layers down, held-out values across: mean r with its 95 % interval over speakers.")]
    for table in tables[:_MOST_TABLES]:
        rows = [
            [str(layer), *(str(table.cells.get((layer, column), "–")) for column in table.columns)]
            for layer in table.layers
        ]
        head = ("layer", *table.columns)
        blocks.append(cut(table.name, head, rows, frozenset(range(1, len(head)))))
    left = len(tables) - _MOST_TABLES
    return blocks + [Text(f"{left} further tables: tractprobe table prints all.")] * (left > 0)
