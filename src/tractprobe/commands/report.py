"""Report: what lies below a folder of runs as one page, its Markdown twin, and the claims as CSV."""

import argparse
from pathlib import Path

from tractprobe.report.claims import sentence, verdicts, write_claims
from tractprobe.report.collect import Collection, collect
from tractprobe.report.content import document
from tractprobe.report.markdown import markdown
from tractprobe.report.page import page
from tractprobe.system.errors import RunError
from tractprobe.system.files import atomic
from tractprobe.system.printable import one_line, printable

PAGE, TWIN, CLAIMS = "index.html", "report.md", "claims.csv"


def report(arguments: argparse.Namespace) -> int:
    """Write the report, and print the answer and where the page is."""
    runs: Path = arguments.runs
    if not runs.is_dir():
        raise RunError(f"{runs}: no such folder")
    collection = collect(runs)
    if not collection.groups:
        raise RunError(f"no finished analysis or run below {runs}{_and_why(collection)}")
    films = {}
    if arguments.player:
        from tractprobe.report.films import films_of

        films = {place: films_of(group) for place, group in enumerate(collection.groups) if group.records}
    made = document(collection, arguments.title, films)
    where = outputs(runs, arguments.output)
    for path, text in ((where[0], page(made)), (where[1], markdown(made))):
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
    write_claims(where[2], collection.groups)
    for group in collection.groups:
        if group.records:
            print(printable(f"{verdicts(group)}\n{one_line(sentence(group))}\n"))
    for each in collection.left_out:
        print(one_line(f"left out: {each.path}: {each.reason}"))
    print(printable("\n".join(map(str, where))))
    return 0


def outputs(runs: Path, output: Path | None) -> tuple[Path, Path, Path]:
    """Return where page, twin and claims go: into a folder, or beside the page if a file is named."""
    if output is not None and output.suffix.lower() in (".html", ".htm"):
        return output, output.with_suffix(".md"), output.with_name(f"{output.stem}-{CLAIMS}")
    folder = output or runs / "report"
    return folder / PAGE, folder / TWIN, folder / CLAIMS


def _and_why(collection: Collection) -> str:
    if not collection.left_out:
        return ""
    first, *more = collection.left_out
    return f": {first.path}: {first.reason}" + (f" (and {len(more)} more)" if more else "")
