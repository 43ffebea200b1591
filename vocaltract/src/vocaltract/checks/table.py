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
    "recognised": ("recognised", "{}"),
}


def lines(report: Report) -> list[str]:
    """One row for each speaker, recognition by language, and what fails."""
    present = [name for name in speakers.SPEAKERS if name in report.numbers.get("minutes", {})]
    shown = {key: column for key, column in COLUMNS.items() if key in report.numbers}
    rows = [["", *(title for title, _ in shown.values())]]
    for name in present:
        rows.append([name, *(_cell(report, key, name, form) for key, (_, form) in shown.items())])
    text = aligned(rows)
    cells = {group: share for group, share in report.numbers.get("recognised", {}).items() if " " in group}
    if cells:
        languages = sorted({group.split()[1] for group in cells})
        by_language = [["recognised", *languages]]
        for name in present:
            by_language.append([name, *(str(cells.get(f"{name} {language}", "")) for language in languages)])
        text += ["", *aligned(by_language)]
    verdict = f"{len(report.failures)} failed:" if report.failures else "Nothing failed."
    return [*text, "", verdict, *(f"  {failure}" for failure in report.failures)]


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
