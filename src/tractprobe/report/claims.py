"""Claims x encoders: what the rules say of each cell, as a table and as ``claims.csv``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tractprobe.evidence.rules import ANSWERS, CLAIMS, UNDECIDED, UNIVERSAL, Reading
from tractprobe.evidence.tables.rows import csv_text
from tractprobe.evidence.tables.table import aligned
from tractprobe.evidence.verdicts import Judgement, answer, judged
from tractprobe.report.blocks import Cell, Grid, grid
from tractprobe.report.collect import Group, Subject
from tractprobe.report.numbers import counts, effect, level
from tractprobe.report.outline import QUESTION
from tractprobe.system.files import atomic

_FIELDS = ("corpora", "encoder", "claim", "verdict", "answer", "finding", "effect", "low", "high", "level", "unit", "n",
           "over", "p", "margin", "speakers_needed", "missing", "why")  # fmt: skip


_LONGEST = 110  # letters of a reason in a cell; all of it stands below


def judgements(group: Group) -> dict[Subject, list[Judgement]]:
    """Return the verdict on each claim about each encoder of a group."""
    return {
        subject: [judged(claim, group.findings(subject), group.about(subject)) for claim in CLAIMS]
        for subject in group.subjects
    }


def answers(group: Group) -> dict[Subject, str]:
    """Return what the verdicts on each encoder say to the question of the project."""
    return {
        subject: answer({each.claim.name: each.verdict for each in own}) for subject, own in judgements(group).items()
    }


def sentence(group: Group) -> str:
    """Return the answer in a sentence, made of the cells by rule."""
    by_answer: dict[tuple[str, str], list[str]] = {}
    own = judgements(group)
    for subject, said in answers(group).items():
        open_claims = [each.claim.title for each in own[subject] if _leaves_open(each)]
        why = f" ({_listed(open_claims)})" if said == UNDECIDED and open_claims else ""
        by_answer.setdefault((said, why), []).append(subject.label)
    parts = [
        f"{said} for {_listed(labels)}{why}"
        for each in ANSWERS
        for (said, why), labels in by_answer.items()
        if said == each
    ]
    text = "; ".join(parts)
    return f"{QUESTION} {text[:1].upper()}{text[1:]}.{_on_simulated(group)}" if parts else QUESTION


def _on_simulated(group: Group) -> str:
    """Say what the answer does not say, where speech is simulated."""
    if not group.simulated:
        return ""
    is_are = "which is" if len(group.simulated) == 1 else "which are"
    scope = "this says nothing of people" if len(group.simulated) == len(group.corpora) else "people are not alone here"
    return f" On {_listed(group.simulated)}, {is_are} simulated: {scope}."


def _leaves_open(judgement: Judgement) -> bool:
    return judgement.claim.name in UNIVERSAL and judgement.verdict == UNDECIDED


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def table(group: Group) -> Grid:
    """Return claims down, encoders across: a word, the effect with its interval, and n."""
    columns = judgements(group)
    rows = [
        [Cell(claim.title, small=(claim.says,)), *(_cell(own[number]) for own in columns.values())]
        for number, claim in enumerate(CLAIMS)
    ]
    return grid("Claims by rule", ("claim", *(subject.label for subject in columns)), rows)


def _cell(judgement: Judgement) -> Cell:
    finding = judgement.finding
    small = []
    if finding is not None and finding.name != judgement.reads[0].reading.finding:
        small.append(finding.name)
    if finding is not None and finding.value is not None and finding.n:
        small.append(", ".join(filter(None, [counts(finding.n), level(finding)])))
    if judgement.needed is not None:
        small.append(f"about {judgement.needed} speakers would decide")
    if judgement.why and (judgement.verdict != "supported" or judgement.why.startswith("without")):
        small.append(judgement.why if len(judgement.why) <= _LONGEST else f"{judgement.why[: _LONGEST - 1]}…")
    shown = "" if finding is None or finding.value is None else effect(finding)
    return Cell(shown, judgement.verdict, tuple(small))


def verdicts(group: Group) -> str:
    """Return claims x encoders as text: words and effects."""
    own = table(group)
    lines = [list(own.head)]
    for first, *cells in own.rows:
        lines.append([first.text, *(" ".join(filter(None, [cell.verdict, cell.text])) for cell in cells)])
    return "\n".join(aligned(lines))


def reasons(group: Group) -> Grid:
    """Return each reading of each claim about each encoder: what it was, and what it came to."""
    rows = [
        [
            subject.label,
            each.claim.title,
            f"{read.reading.analysis}: {read.name}",
            Cell("" if read.finding is None else effect(read.finding), read.verdict),
            read.why,
        ]
        for subject, own in judgements(group).items()
        for each in own
        for read in each.reads
    ]
    return grid("Why each word", ("encoder", "claim", "finding", "came to", "why"), rows, folded=True)


def rules() -> list[Grid]:
    """Return the rules by which words are given."""
    rows = [
        [claim.title, claim.says if reading is claim.readings[0] else "", _rule(reading), reading.why]
        for claim in CLAIMS
        for reading in claim.readings
    ]
    answered = [[said, why] for said, why in ANSWERS.items()]
    return [
        grid("What each claim reads", ("claim", "says", "rule", "effect"), rows),
        grid("What the answer rests on", ("answer", "if"), answered),
    ]


def _rule(reading: Reading) -> str:
    notes = (["a gate"] if reading.gate else []) + (["where it can be computed"] if reading.may_lack else [])
    return reading.rule + (f" ({', '.join(notes)})" if notes else "")


def claim_rows(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Return a row for each claim about each encoder, also for dashboards."""
    found = []
    for group in groups:
        said = answers(group)
        for subject, own in judgements(group).items():
            for each in own:
                finding = each.finding
                found.append(
                    {"corpora": " ".join(group.corpora), "encoder": subject.label, "claim": each.claim.name,
                     "verdict": each.verdict, "answer": said[subject],
                     "speakers_needed": each.needed, "missing": " ".join(each.missing), "why": each.why}
                    | ({} if finding is None else {
                        "finding": f"{each.reads[0].reading.analysis}/{finding.name}", "effect": finding.value,
                        "low": finding.low, "high": finding.high, "level": finding.level, "unit": finding.unit,
                        "n": counts(finding.n), "over": finding.over, "p": finding.p, "margin": finding.margin})
                )  # fmt: skip
    return [{name: row.get(name) for name in _FIELDS} for row in found]


def write_claims(path: Path, groups: Sequence[Group]) -> None:
    """Write ``claims.csv``, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(csv_text(claim_rows(groups), _FIELDS), encoding="utf-8", newline="")
