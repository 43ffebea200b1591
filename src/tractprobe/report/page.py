"""A report as one HTML page: from disk and without a network, on a screen of any width, in print, by day and by night.

Names and texts come from records of unknown origin. They enter the page escaped, and the page may load nothing from
anywhere (Content-Security-Policy). The little script that it has only unfolds, paints and sizes what is there.
"""

from collections.abc import Iterator
from html import escape
from importlib import resources
from itertools import count

from tractprobe.report.blocks import (
    Block,
    Caveats,
    Cell,
    Command,
    Document,
    Film,
    Folded,
    Grid,
    Picture,
    Pictures,
    Section,
    Text,
)
from tractprobe.report.figures import svg
from tractprobe.report.palette import DARK, LIGHT, SERIES, SIGN_OF, STYLE_OF, style
from tractprobe.system.printable import one_line

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; media-src blob:; base-uri 'none'; "
    "form-action 'none'"
)
_NO_FILMS_IN_PRINT = "On the screen, moving utterances stand here."


def page(document: Document) -> str:
    """Return a report as HTML."""
    ids = count()
    links = "".join(f'<li><a href="#{_text(part.anchor)}">{_text(part.title)}</a></li>' for part in document.sections)
    lead = "\n".join(_lead(document, ids))
    return "\n".join([
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f"<title>{_text(document.title)}</title>",
        f"<style>{_colours()}\n{_asset('page.css')}</style></head><body>",
        '<a class="skip" href="#main">to the claims</a>',
        f'<div class="head"><h1>{_text(document.title)}</h1>',
        '<button id="theme" type="button" aria-pressed="false">dark</button></div>',
        f'<main id="main">{lead}',
        f'<nav aria-label="sections"><ul>{links}</ul></nav>',
        *(_section(section, ids) for section in document.sections),
        f"</main><script>\"use strict\";\n{_asset('page.js')}</script></body></html>\n",
    ])  # fmt: skip


def _lead(document: Document, ids: Iterator[int]) -> Iterator[str]:
    """Yield the first screen: the answer, then all else."""
    for place, block in enumerate(document.lead):
        if place == 0 and isinstance(block, Text):
            yield f'<p class="answer">{_text(block.text)}</p>'
        else:
            yield _block(block, ids)


def _section(section: Section, ids: Iterator[int]) -> str:
    parts, films = [], [block for block in section.blocks if isinstance(block, Film)]
    for block in section.blocks:
        if not isinstance(block, Film):
            parts.append(_block(block, ids))
    if films:
        parts.append(
            f'<div class="films">{"".join(map(_film, films))}</div><p class="printed">{_NO_FILMS_IN_PRINT}</p>'
        )
    anchor, level = _text(section.anchor), section.level
    head = f'<h{level} id="{anchor}-head">{_text(section.title)}</h{level}>'
    return f'<section id="{anchor}" aria-labelledby="{anchor}-head">{head}{"".join(parts)}</section>'


def _block(block: Block, ids: Iterator[int]) -> str:
    match block:
        case Text():
            return f"<p>{_text(block.text)}</p>"
        case Caveats():
            return f'<ul class="caveats">{"".join(f"<li>{_text(text)}</li>" for text in block.texts)}</ul>'
        case Command():
            makes = f"<span>{_text(block.makes)}</span>" if block.makes else ""
            return f'<div class="command">{makes}<code>{_text(block.line)}</code></div>'
        case Grid():
            return _folded(block) if block.folded else _table(block)
        case Pictures():
            return f'<div class="pictures">{"".join(_picture(each, f"f{next(ids)}") for each in block.each)}</div>'
        case Film():
            return _film(block)
        case Folded():
            inner = "".join(_block(each, ids) for each in block.blocks)
            return f'<details><summary>{_text(block.title)}</summary><div class="inner">{inner}</div></details>'


def _folded(grid: Grid) -> str:
    return f"<details><summary>{_text(grid.title)}</summary>{_table(grid)}</details>"


def _table(grid: Grid) -> str:
    """Return a table that scrolls in its own box, by keys, too."""
    has_words = any(cell.verdict for row in grid.rows for cell in row)
    head = "".join(f'<th scope="col"{_class(place, grid)}>{_text(text)}</th>' for place, text in enumerate(grid.head))
    rows = "".join(
        f"<tr>{''.join(_cell(cell, place, grid) for place, cell in enumerate(row))}</tr>" for row in grid.rows
    )
    caption = "" if grid.folded else f"<caption>{_text(grid.title)}</caption>"
    note = f'<p class="note">{_text(grid.note)}</p>' if grid.note else ""
    style = ' class="claims"' if has_words and not grid.folded else ""
    return (
        f'<div class="box" tabindex="0" role="region" aria-label="{_text(grid.title)}"><table{style}>{caption}'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{note}"
    )


def _class(place: int, grid: Grid) -> str:
    return ' class="number"' if place in grid.numeric else ""


def _cell(cell: Cell, place: int, grid: Grid) -> str:
    word = ""
    if cell.verdict is not None:
        sign, name = SIGN_OF[cell.verdict], STYLE_OF[cell.verdict]
        word = f'<span class="word {name}"><span aria-hidden="true">{sign} </span>{cell.verdict}</span> '
    small = "".join(f"<small>{_text(text)}</small>" for text in cell.small if text)
    is_effect = cell.text and (cell.verdict is not None or (place > 0 and cell.small))
    text = f'<span class="effect">{_text(cell.text)}</span>' if is_effect else _text(cell.text)
    if place == 0:
        return f'<th scope="row">{word}{text}{small}</th>'
    return f"<td{_class(place, grid)}>{word}{text}{small}</td>"


def _picture(picture: Picture, id_: str) -> str:
    figure = picture.figure
    drawn = svg(figure, picture.y, id_, picture.whose)
    caption = f"<figcaption>{_text(picture.whose)} <small>{_text(figure.title)}</small></figcaption>"
    if figure.kind == "matrix":
        drawn = f'<div class="box" tabindex="0" role="region" aria-label="{_text(figure.title)}">{drawn}</div>'
        drawn = drawn.replace('class="figure"', 'class="figure wide"')
    return f"<figure>{caption}{drawn}{_folded(picture.data)}</figure>"


def _film(film: Film) -> str:
    return f'<iframe title="{_text(film.title)}" srcdoc="{escape(film.html)}"></iframe>'


def _colours() -> str:
    """Return the palettes as CSS: the reader's choice, or where there is none, the system's."""
    light, dark = style(LIGHT), style(DARK)
    series = " ".join(f".figure .{name} {{ color: var(--{name}); }}" for name in SERIES)
    return (
        f":root {{ color-scheme: light; {light} }}\n"
        "@media screen and (prefers-color-scheme: dark) "
        f"{{ :root:not([data-theme=light]) {{ color-scheme: dark; {dark} }} }}\n"
        f"@media screen {{ :root[data-theme=dark] {{ color-scheme: dark; {dark} }} }}\n{series}"
    )


def _asset(name: str) -> str:
    return resources.files("tractprobe.report").joinpath(name).read_text(encoding="utf-8")


def _text(text: str) -> str:
    """Return text of others as HTML: without markup, and without characters that control what shows it."""
    return escape(one_line(text))
