"""Labels of ESPS xlabel (xwaves), such as mngu0's ``.lab``.

A header that ends with a line ``#``, then ``END_TIME COLOUR LABEL`` lines, times in seconds. Only ends are given: each
label begins where the previous one ends, the first at 0.
"""

from pathlib import Path

from tractprobe.corpora.utterance import Phone
from tractprobe.system.errors import CorpusError
from tractprobe.system.files import read_text


def read_labels(path: Path) -> tuple[Phone, ...]:
    """Read a label file; CorpusError names the offending line."""
    lines = read_text(path, "latin-1").split("\n")
    body = next((number for number, line in enumerate(lines, start=1) if line.strip() == "#"), None)
    if body is None:
        raise CorpusError(path, "expected a line '#' at the end of the header")
    labels, start_s = [], 0.0
    for number, line in enumerate(lines[body:], start=body + 1):
        if line.strip():
            labels.append(_label(path, line, number, start_s))
            start_s = labels[-1].end_s
    return tuple(labels)


def _label(path: Path, line: str, number: int, start_s: float) -> Phone:
    cells = line.split()
    try:
        end_s, label = float(cells[0]), cells[2]
    except (ValueError, IndexError):
        raise CorpusError(path, f"not 'end colour label': {line!r:.60}", place=f"line {number}") from None
    if not start_s <= end_s < float("inf"):
        raise CorpusError(path, f"ends at {end_s} s, before it starts ({start_s} s)", place=f"line {number}")
    return Phone(label, start_s, end_s)
