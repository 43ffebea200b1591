"""Colours of the report, by day and by night.

The hues of series are Okabe and Ito's, which colour-blind readers can tell apart, made darker or lighter until every
line has a contrast of at least 3 to 1 to its ground (WCAG 2.2, 1.4.11) and every text 4.5 to 1 (1.4.3). Series also
differ in their marks, verdicts in their words and signs.
"""

from tractprobe.evidence.rules import CONTRADICTED, NOT_ASKED, SUPPORTED, UNDECIDED
from tractprobe.inversion.palette import DARK as PLAYER_DARK
from tractprobe.inversion.palette import LIGHT as PLAYER_LIGHT

_UI = ("ground", "ink", "quiet", "grid", "outline")

LIGHT = {name: PLAYER_LIGHT[name] for name in _UI} | {
    "link": "#0057a0", "raised": "#f5f7f9", "focus": "#c04a00", "null": "#ececec",
    "supported": "#d9ecf7", "on-supported": "#00486f", "contradicted": "#b34700", "on-contradicted": "#ffffff",
    "undecided": "#e9e9e9", "on-undecided": "#4a4a4a", "asked-not": "#ffffff", "on-asked-not": "#595959",
    "s0": "#00559e", "s1": "#b34700", "s2": "#00735a", "s3": "#a8377e", "s4": "#007fb5",
    "s5": "#8a6100", "s6": "#555555",
}  # fmt: skip

DARK = {name: PLAYER_DARK[name] for name in _UI} | {
    "link": "#7cc4ff", "raised": "#1b2128", "focus": "#ff9259", "null": "#2a3037",
    "supported": "#12384f", "on-supported": "#a9dcff", "contradicted": "#ff8f4d", "on-contradicted": "#1a0d00",
    "undecided": "#2f353c", "on-undecided": "#c4cbd2", "asked-not": "#14181d", "on-asked-not": "#a5b0ba",
    "s0": "#5aa9ea", "s1": "#ff9259", "s2": "#2fc79a", "s3": "#e59cc6", "s4": "#93d2f6",
    "s5": "#e6b84a", "s6": "#b8bfc6",
}  # fmt: skip

SERIES = tuple(f"s{number}" for number in range(7))

STYLE_OF = {SUPPORTED: "supported", CONTRADICTED: "contradicted", UNDECIDED: "undecided", NOT_ASKED: "asked-not"}
SIGN_OF = {SUPPORTED: "✓", CONTRADICTED: "✗", UNDECIDED: "?", NOT_ASKED: "–"}

TEXTS = (
    ("ink", "ground"), ("quiet", "ground"), ("link", "ground"), ("ink", "raised"), ("quiet", "raised"), ("ink", "null"),
    ("quiet", "null"), *((f"on-{style}", style) for style in STYLE_OF.values()),
)  # fmt: skip
"""Pairs of text and what it stands on."""

LINES = (*((name, "ground") for name in SERIES), ("focus", "ground"), ("outline", "ground"), ("quiet", "ground"))
"""Pairs of what one must see to understand a picture, and its ground."""


def style(colours: dict[str, str]) -> str:
    """Return colours as custom properties of CSS."""
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())
