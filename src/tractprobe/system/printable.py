"""Text of others made safe to show: on a terminal, in one line of a table, in a cell of a spreadsheet.

Labels, names and messages come from files that anybody may have written. Whoever prints them calls one of these.
"""

import re
from typing import Any

_FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")  # what spreadsheets take for the beginning of a formula
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def printable(text: str) -> str:
    r"""Return a text, which may have several lines, with control and invalid characters written as escapes.

    >>> printable("b\udce9 \x1b[2J")
    'b\\udce9 \\x1b[2J'
    """
    return "".join(letter if letter.isprintable() or letter in "\n\t" else _escaped(letter) for letter in text)


def one_line(text: str) -> str:
    r"""Return a text with line ends and tabs written as escapes, too: a label cannot forge a row of a table.

    >>> one_line("it\nmean  .999")
    'it\\nmean  .999'
    """
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def csv_cell(value: Any) -> Any:
    r"""Return a value that a spreadsheet shows and does not compute: an apostrophe goes before what is like a formula.

    Numbers stay as they are, and so does a sign that stands alone, such as a phone's label. A lone surrogate, which no
    file can hold, is written as an escape.

    >>> [csv_cell(value) for value in ("=cmd()", "-", "-1.5", "it", -0.5, None)]
    ["'=cmd()", '-', '-1.5', 'it', -0.5, None]
    """
    if not isinstance(value, str):
        return value
    text = value.encode("utf-8", "backslashreplace").decode("utf-8")
    is_formula = len(text) > 1 and _FORMULA.match(text) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
