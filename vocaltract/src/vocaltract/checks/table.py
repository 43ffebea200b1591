"""The measurements of a corpus as a table of text."""

from vocaltract import speakers
from vocaltract.checks.measures import Report

COLUMNS = {
    "minutes": ("minutes", "{:.1f}"),
    "level_dbfs": ("level dBFS", "{:.0f}"),
    "peak": ("peak", "{:.2f}"),
    "fastest_mm": ("fastest mm/frame", "{:.1f}"),
    "jump_mm": ("jump mm", "{:.2f}"),
    "closed": ("closed", "{}"),
    "timing_ms": ("off by ms", "{:.0f}"),
    "channels": ("channels", "{}"),
    "vowels_open": ("vowels open", "{}"),
    "velum": ("velum", "{}"),
    "vowels": ("vowels in region", "{}"),
    "s_below_vowel_db": ("s below vowel dB", "{:.1f}"),
    "before_db": ("before dB", "{:.0f}"),
    "sentences": ("sentences", "{}"),
    "words": ("words", "{}"),
}


def lines(report: Report) -> list[str]:
    """One row for each speaker, recognition by language, and what fails."""
    present = [name for name in speakers.SPEAKERS if name in report.numbers.get("minutes", {})]
    shown = {key: column for key, column in COLUMNS.items() if key in report.numbers}
    rows = [["", *(title for title, _ in shown.values())]]
    for name in present:
        rows.append([name, *(_cell(report, key, name, form) for key, (_, form) in shown.items())])
    text = aligned(rows)
    for what in ("sentences", "words"):
        text += ["", *_by_language(report, what, present)] if what in report.numbers else []
    verdict = f"{len(report.failures)} failed:" if report.failures else "Nothing failed."
    return [*text, "", verdict, *(f"  {failure}" for failure in report.failures)]


def _by_language(report: Report, what: str, present: list[str]) -> list[str]:
    cells = {tuple(group.split()): share for group, share in report.numbers[what].items() if " " in group}
    languages = sorted({language for _, language in cells})
    rows = [[f"{what} recognised", *languages]]
    rows += [[name, *(str(cells.get((name, language), "")) for language in languages)] for name in present]
    return aligned(rows)


def aligned(rows: list[list[str]]) -> list[str]:
    """Columns side by side, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


def _cell(report: Report, key: str, speaker: str, form: str) -> str:
    value = report.numbers[key].get(speaker)
    return "" if value is None else form.format(value)
