r"""Praat's TextGrid files: intervals of labelled speech on named tiers, in seconds.

There is a long text form (``xmin = 0.1``) and a short one (bare values). Both are read as Praat reads them: only
free-standing numbers, texts between ``"`` (doubled within) and the flag ``<exists>`` count; everything else, and the
rest of a line after ``!``, is for human readers. The encoding is UTF-8, or UTF-16 if the file starts with its byte
order mark; Praat's trigraphs (``\sh``) become the symbols that they stand for. Tiers of points are skipped. Praat also
has a binary and a chronological form, which are refused.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tractprobe.corpora.formats.trigraphs import without_trigraphs
from tractprobe.corpora.utterance import MAX_OVERHANG_S, Phone
from tractprobe.system.errors import CorpusError
from tractprobe.system.files import read_bytes

MAX_BYTES = 1 << 25
PAUSES = frozenset({"", "sp", "sil", "ns", "<sil>", "<p:>", "<p>", "#", "_", "{SL}", "{NS}", "{LG}", "{CG}", "{BR}"})
"""Labels on a tier of words that are not words."""

_SAVE = "open it in Praat and choose Save > Save as text file"
_TOKEN = re.compile(
    r'"(?P<text>[^"]*+(?:""[^"]*+)*+)"'
    r"|(?<!\S)(?P<number>[-+]?[0-9]++(?:\.[0-9]*+)?+(?:[eE][-+]?[0-9]++)?+)(?!\S)"
    r"|(?P<flag><exists>|<absent>)"
    r"|(?<!\S)![^\n]*+"
    r'|(?P<open>")'
)


@dataclass(frozen=True)
class TextGrid:
    """The interval tiers of a file, in its order; labels are stripped of white space.

    Attributes
    ----------
    start_s, end_s
        The time that the file is about.
    """

    path: Path
    tiers: tuple[tuple[str, tuple[Phone, ...]], ...]
    start_s: float
    end_s: float

    def check_times(self, duration_s: float) -> "TextGrid":
        """Return the grid; CorpusError if its times cannot be those of audio of this length."""
        if abs(self.start_s) > MAX_OVERHANG_S:
            problem = f"begins at {self.start_s:.2f} s, its audio at 0: cut from a longer recording with its times?"
            raise CorpusError(self.path, f"{problem} In Praat: Modify times > Shift to zero")
        if self.end_s > duration_s + MAX_OVERHANG_S:
            problem = f"ends at {self.end_s:.2f} s, its audio at {duration_s:.2f} s: labels of another recording?"
            raise CorpusError(self.path, problem)
        return self

    def intervals(self, tier: str) -> tuple[Phone, ...]:
        """Return the labelled intervals of a tier; CorpusError unless exactly one tier has that name."""
        matches = [intervals for name, intervals in self.tiers if name == tier]
        if len(matches) != 1:
            names = ", ".join(name for name, _ in self.tiers) or "none"
            raise CorpusError(self.path, f"expected one interval tier {tier!r}, not {len(matches)}; it has {names}")
        return tuple(interval for interval in matches[0] if interval.label)

    def text(self, tier: str) -> str:
        """Return the words of a tier, without pauses."""
        return " ".join(word.label for word in self.intervals(tier) if word.label not in PAUSES)


def read_textgrid(path: Path) -> TextGrid:
    """Read a TextGrid; CorpusError names the line where it ends early or is invalid."""
    content = _decoded(path)
    if "chronological TextGrid" in content[:200]:
        raise CorpusError(path, f"a chronological TextGrid; {_SAVE}", place="line 1")
    tokens = _Tokens(path, content)
    if not tokens.text().startswith("ooTextFile") or tokens.text() != "TextGrid":
        raise CorpusError(path, f"not a TextGrid saved as text; {_SAVE}", place="line 1")
    start_s, end_s = tokens.number(), tokens.number()
    tiers = []
    if tokens.flag() == "<exists>":
        for _ in range(tokens.count()):
            kind, name = tokens.text(), tokens.text()
            tokens.skip("number", "number")
            if kind == "IntervalTier":
                tiers.append((name, tuple(tokens.interval() for _ in range(tokens.count()))))
            elif kind == "TextTier":
                for _ in range(tokens.count()):
                    tokens.skip("number", "text")
            else:
                raise tokens.error(f"a tier of class {kind!r:.40}")
    return TextGrid(path, tuple(tiers), start_s, end_s)


class _Tokens:
    """The meaningful tokens of a TextGrid, in order."""

    def __init__(self, path: Path, content: str):
        self.path, self.content, self.position = path, content, 0
        self.matches: Iterator[re.Match[str]] = _TOKEN.finditer(content)

    def error(self, problem: str) -> CorpusError:
        line = 1 + self.content.count("\n", 0, self.position)
        return CorpusError(self.path, problem, place=f"line {line}")

    def _next(self, kind: str) -> str:
        match = next((match for match in self.matches if match.lastgroup is not None), None)
        self.position = len(self.content) if match is None else match.start()
        if match is None or match.lastgroup != kind:
            got = "the end of the file" if match is None else f"{match[0]:.40}"
            raise self.error(f"expected a {kind}, not {got}")
        return match[kind]

    def skip(self, *kinds: str) -> None:
        for kind in kinds:
            self._next(kind)

    def text(self) -> str:
        return self._next("text").replace('""', '"')

    def flag(self) -> str:
        return self._next("flag")

    def number(self) -> float:
        return float(self._next("number"))

    def count(self) -> int:
        count = self._next("number")
        if not count.isdecimal() or len(count) > 9:
            raise self.error(f"{count:.40} is not a count")
        return int(count)

    def interval(self) -> Phone:
        start_s, end_s = self.number(), self.number()
        if not start_s <= end_s < float("inf"):
            raise self.error(f"an interval from {start_s} to {end_s} s")
        return Phone(without_trigraphs(self.text()).strip(), start_s, end_s)


def _decoded(path: Path) -> str:
    content = read_bytes(path, MAX_BYTES)
    if content.startswith(b"ooBinaryFile"):
        raise CorpusError(path, f"a binary TextGrid; {_SAVE}", place="byte 0")
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        expected = f"not text in {'UTF-16' if encoding == 'utf-16' else 'UTF-8'}"
        problem = f"{expected}; in Praat, choose it in the text writing settings, then Save > Save as text file"
        raise CorpusError(path, problem, place=f"byte {error.start}") from None
