"""What others wrote is shown, and never obeyed, by terminals and spreadsheets."""

import pytest

from tractprobe.system.printable import csv_cell, one_line, printable

ESCAPES = ["\x1b[2J\x1b[1;1H", "\x1b]0;title\x07", "\x9b31m", "\r", "\b", "\u202e", "\ud800", "\u2028", "\x7f"]


@pytest.mark.parametrize("escape", ESCAPES)
def test_nothing_that_moves_a_cursor_or_turns_a_line_is_printed(escape: str):
    for made in (printable(f"a{escape}b"), one_line(f"a{escape}b")):
        assert made.isprintable() and made.startswith("a\\") and made.endswith("b")
        made.encode("utf-8")


def test_lines_stay_lines_only_where_a_text_may_have_several():
    assert printable("a\n\tb") == "a\n\tb" and one_line("a\n\tb") == "a\\n\\tb"
    for text in ("perché, कि, 你好。", "ʃ tʰ ã", "f0=1 [a]"):
        assert printable(text) == one_line(text) == text


@pytest.mark.parametrize("cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "＝1+1"])
def test_a_cell_is_no_formula(cell: str):
    assert csv_cell(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "-", "@", "+", "-1.5", "+3e-05", "it", "a=b", 1, -0.5, None, True])
def test_numbers_signs_and_words_are_cells_as_they_are(cell: object):
    assert csv_cell(cell) == cell


def test_a_cell_can_be_written():
    assert csv_cell("a\ud800").encode("utf-8") == b"a\\ud800"
