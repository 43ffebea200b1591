"""What a report says: the first screen, a section for each analysis, runs, provenance, rules, and what was left out."""

from collections.abc import Mapping, Sequence
from typing import Any

from tractprobe.evidence.rules import CLAIMS, VERDICTS
from tractprobe.evidence.tables.rows import namesakes
from tractprobe.report.blocks import Block, Caveats, Document, Section, Text, grid
from tractprobe.report.claims import judgements, reasons, rules, sentence
from tractprobe.report.claims import table as claims_table
from tractprobe.report.collect import Collection, Group
from tractprobe.report.numbers import counts
from tractprobe.report.outline import in_order
from tractprobe.report.provenance import material_of, not_run, provenance
from tractprobe.report.sections import analysis_section, run_tables


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
            sections.append(Section(f"Other material: {material_of(group)}", f"{prefix}claims", _first_screen(group)))
        sections += _sections(group, prefix, list((films or {}).get(place, ())))
    sections += [not_run(collection.groups), _rules_section(), *_left_out(collection)]
    lead: tuple[Block, ...] = _first_screen(collection.groups[0]) if collection.groups else (Text(_empty(collection)),)
    if several:
        others = "; ".join(material_of(group) for group in collection.groups[1:])
        lead += (Text(f"Material that cannot be compared with this has sections of its own below: {others}."),)
        lead += tuple(Text(f"{line}.") for line in namesakes([group.corpora for group in collection.groups]))
    return Document(title, lead, tuple(sections))


def _empty(collection: Collection) -> str:
    return f"Nothing that was finished lies below {collection.folder}."


def _first_screen(group: Group) -> tuple[Block, ...]:
    if not group.records:
        return (Text(f"{material_of(group)}: runs, but no analysis; the section of runs holds their tables."),)
    blocks: list[Block] = [Text(sentence(group)), Text(_material(group)), claims_table(group)]
    cells = [each for own in judgements(group).values() for each in own]
    decided = sum(each.verdict in VERDICTS[:2] for each in cells)
    caveats = [
        f"Words are given by the rules below, never by hand. {decided} of {len(cells)} cells are decided.",
        "Each interval holds its level by itself: of claims of superiority that are false, up to 1 in 40 is called "
        "supported by chance; of claims of equivalence, up to 1 in 20.",
    ]
    return (*blocks, Caveats(tuple(caveats)), reasons(group))


def _material(group: Group) -> str:
    each = [record.material for record in group.records]
    parts = []
    for name in ("speakers", "languages"):
        values = {str(value) for material in each for value in _listed(material.get(name))}
        parts.append(counts({name: len(values)}))
    babble = [own for material in each if isinstance(own := material.get("babble"), dict)]
    if babble:
        parts[-1] = " and ".join(filter(None, (parts[-1], "babble")))
    minutes, of_babble = _minutes(each), _minutes(babble)
    if minutes:
        parts.append(f"{minutes} of speech and {of_babble} of babble" if of_babble else minutes)
    known = counts({"encoders": len(group.subjects)}), counts({"records": len(group.records)})
    return f"On {material_of(group)}: {', '.join(filter(None, parts))}; {', '.join(known)}."


def _minutes(of: Sequence[Mapping[str, Any]]) -> str:
    """Return how many minutes there are, or from which to which number; an empty text if nothing says so."""
    known = sorted({each["minutes"] for each in of if type(each.get("minutes")) in (int, float)})
    if not known:
        return ""
    return f"{known[0]:g} min" if len(known) == 1 else f"{known[0]:g} to {known[-1]:g} min"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _sections(group: Group, prefix: str, films: list[Block]) -> list[Section]:
    sections = [analysis_section(group, name, prefix) for name in in_order(group.analyses)]
    if films:
        sections.append(Section("Measured over predicted", f"{prefix}films", tuple(films)))
    if group.score_rows:
        sections.append(Section("Runs", f"{prefix}runs", tuple(run_tables(group.tables))))
    return [*sections, Section("Provenance", f"{prefix}provenance", tuple(provenance(group)))]


def _rules_section() -> Section:
    says = (
        "A claim is supported if each of its readings supports it, contradicted if one that is no gate contradicts it, "
        "and undecided otherwise: without an interval, without a record, or where the interval holds both answers. "
        "Readings are of findings as analyses left them; no claim reads a raw score."
    )
    thresholds = ", ".join(
        f"{claim.title} {reading.bound:g}" for claim in CLAIMS for reading in claim.readings if reading.bound
    )
    ours = f"Thresholds that are ours: {thresholds}. Margins of equivalence are the analyses' own settings."
    asked = (
        "What is taken up, or comes from self-supervision, is not asked of an encoder that was not trained; the latter "
        "is supported only where the encoder's option states that it was trained without labels. Of findings whose "
        "name ends in *, the one with the most units is read."
    )
    return Section("How words are given", "rules", (Text(says), Text(ours), Text(asked), *rules()))


def _left_out(collection: Collection) -> list[Section]:
    if not collection.left_out:
        return []
    rows = [[each.path, each.reason] for each in collection.left_out]
    text = Text("What lies in the folder and is not compared with the rest, or not shown, and why.")
    return [Section("Left out", "left-out", (text, grid("Left out", ("file or folder", "why"), rows)))]
