"""Numbers as a report writes them: in a page, in Markdown, and in the pictures, always the same."""

from tractprobe.evidence.record import Finding, Number
from tractprobe.evidence.verdicts import speakers_of

_OF_CORRELATIONS = ("r", "R²", "ρ", "share", "balanced accuracy", "cosine", "")
DASH = "–"


def number(value: Number, unit: str = "r") -> str:
    """Return a number to three decimals, correlations and shares without the zero before the point.

    >>> number(0.1234), number(-0.5), number(1.0), number(0.5, "mm"), number(1234.56, "ms"), number(None)
    ('.123', '−.500', '1.000', '0.500', '1235', '–')
    """
    if value is None:
        return DASH
    text = (
        f"{abs(value):.3f}" if abs(value) < 1000 else f"{abs(value):.4g}" if abs(value) >= 1e6 else f"{abs(value):.0f}"
    )
    if unit in _OF_CORRELATIONS and text.startswith("0."):
        text = text[1:]
    return f"−{text}" if value < 0 and text.strip("0.") else text


def interval(low: Number, high: Number, unit: str = "r") -> str:
    """Return an interval in brackets, or nothing if there is none.

    >>> interval(-0.1, 0.2), interval(None, None)
    ('[−.100, .200]', '')
    """
    return "" if low is None or high is None else f"[{number(low, unit)}, {number(high, unit)}]"


def effect(finding: Finding) -> str:
    """Return an effect with its interval and unit; *undefined* where it has no value."""
    if finding.value is None:
        return "undefined"
    reach = interval(finding.low, finding.high, finding.unit) or "no interval"
    return f"{number(finding.value, finding.unit)} {reach} {finding.unit}".rstrip()


def level(finding: Finding) -> str:
    """Return which interval it is, where it is not the usual one of 95 %."""
    return f"{100 * finding.level:g} % interval" if finding.low is not None and finding.level != 0.95 else ""


def counts(n: dict[str, int]) -> str:
    """Return how many units of each kind a mean is over.

    >>> counts({"speakers": 4, "languages": 6}), counts({"speakers": 1})
    ('4 speakers, 6 languages', '1 speaker')
    >>> counts({"speakers": 4, "languages": 0})  # of babble
    '4 speakers'
    """
    some = {unit: count for unit, count in n.items() if count or unit != "languages"}
    return ", ".join(f"{count} {unit.removesuffix('s') if count == 1 else unit}" for unit, count in some.items())


def would_decide(finding: Finding) -> str:
    """Return how many speakers would decide at the margin that was stated, where these are too few."""
    margin = "" if finding.margin is None else f" ± {finding.margin:g}"
    if finding.needed is None or finding.needed <= speakers_of(finding):
        return f"margin{margin}" if margin else ""
    return f"about {finding.needed} speakers would decide" + (f" at{margin}" if margin else "")
