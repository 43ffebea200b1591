"""What a report consists of, before it is a page or Markdown: both are made of the same blocks and cannot differ."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tractprobe.evidence.record import Figure
from tractprobe.evidence.rules import Verdict


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Caveats:
    """What one has to know to distrust what stands above, a sentence each."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Command:
    """A line to be typed, and what it makes."""

    line: str
    makes: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes
    ----------
    verdict
        A word that goes before the text, if there is one.
    small
        What stands below the text in small letters.
    """

    text: str
    verdict: Verdict | None = None
    small: tuple[str, ...] = ()


@dataclass(frozen=True)
class Grid:
    """A table: its first column names the rows.

    Attributes
    ----------
    folded
        Whether one has to open it.
    numeric
        Columns that hold numbers, by their place.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    folded: bool = False
    numeric: frozenset[int] = frozenset()
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure of one encoder, with the range of y that all encoders' figures of its name share."""

    whose: str
    figure: Figure
    y: tuple[float, float]
    data: Grid


@dataclass(frozen=True)
class Pictures:
    """The same figure of each encoder, side by side."""

    each: tuple[Picture, ...]


@dataclass(frozen=True)
class Film:
    """A page of its own within the page: one utterance, moving.

    Attributes
    ----------
    html
        Our player's page.
    """

    title: str
    html: str


@dataclass(frozen=True)
class Folded:
    """Blocks that one has to open together."""

    title: str
    blocks: "tuple[Block, ...]"


Block = Text | Caveats | Command | Grid | Pictures | Film | Folded


@dataclass(frozen=True)
class Section:
    """A part of a report, with a heading."""

    title: str
    anchor: str
    blocks: tuple[Block, ...]
    level: int = 2


@dataclass(frozen=True)
class Document:
    """A report.

    Attributes
    ----------
    lead
        What stands before all sections: the first screen.
    """

    title: str
    lead: tuple[Block, ...]
    sections: tuple[Section, ...] = field(default_factory=tuple)


def grid(title: str, head: Sequence[str], rows: Sequence[Sequence["str | Cell"]], **more: object) -> Grid:
    """Return a table of texts."""
    cells = tuple(tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in row) for row in rows)
    return Grid(title, tuple(head), cells, **more)  # type: ignore[arg-type]
