"""A report as Markdown: the same blocks as the page, with tables in place of pictures."""

import re
from collections.abc import Iterator

from tractprobe.report.blocks import Block, Caveats, Cell, Command, Document, Film, Folded, Grid, Pictures, Text
from tractprobe.report.figures import described
from tractprobe.report.palette import SIGN_OF
from tractprobe.system.printable import one_line

_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~&$])")


def markdown(document: Document) -> str:
    """Return a report as Markdown, with nothing of what records hold read as markup."""
    lines = [f"# {_text(document.title)}", ""]
    for block in document.lead:
        lines += [*_block(block), ""]
    for section in document.sections:
        lines += [f"{'#' * section.level} {_text(section.title)}", ""]
        for block in section.blocks:
            lines += [*_block(block), ""]
    return "\n".join(lines).rstrip() + "\n"


def _block(block: Block) -> Iterator[str]:
    match block:
        case Text():
            yield _text(block.text)
        case Caveats():
            yield from (f"- {_text(text)}" for text in block.texts)
        case Command():
            yield f"{_text(block.makes)}: {_code(block.line)}" if block.makes else _code(block.line)
        case Grid():
            yield from _table(block)
        case Pictures():
            for each in block.each:
                yield f"- **{_text(each.whose)}**, {_text(each.figure.title)}: {_text(described(each.figure))}"
        case Folded():
            yield f"**{_text(block.title)}**"
            for each in block.blocks:
                yield ""
                yield from _block(each)
        case Film():
            yield f"- {_text(block.title)}: moves on the page"


def _table(grid: Grid) -> Iterator[str]:
    yield f"**{_text(grid.title)}**"
    yield ""
    yield f"| {' | '.join(map(_text, grid.head))} |"
    yield f"|{'|'.join('---:' if place in grid.numeric else '---' for place in range(len(grid.head)))}|"
    for row in grid.rows:
        yield f"| {' | '.join(map(_cell, row))} |"
    if grid.note:
        yield ""
        yield _text(grid.note)


def _cell(cell: Cell) -> str:
    word = f"{SIGN_OF[cell.verdict]} **{cell.verdict}**" if cell.verdict else ""
    return "<br>".join(filter(None, [" ".join(filter(None, [word, _text(cell.text)])), *map(_text, cell.small)]))


def _text(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", one_line(text))


def _code(text: str) -> str:
    r"""Return a text as code, between more backticks than it holds in a row.

    >>> _code("a `b`")
    '`` a `b` ``'
    """
    text = one_line(text)
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"
