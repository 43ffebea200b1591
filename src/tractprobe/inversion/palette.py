"""Names and colours of what is drawn, for pages in light and dark, and for videos.

The hues are Okabe and Ito's, which colour-blind readers can tell apart, made darker or lighter until every text has a
contrast of at least 4.5 to 1 to its ground (WCAG 2.2, 1.4.3) and every line that matters 3 to 1 (1.4.11). Points also
bear their names.
"""

NAMES = {"td": "dorsum", "tb": "blade", "tt": "tip", "li": "lower incisor", "ul": "upper lip", "ll": "lower lip"}

LIGHT = {
    "ground": "#ffffff", "ink": "#1a1a1a", "quiet": "#595959", "grid": "#e6e6e6", "band": "#e4f0f9",
    "wave": "#7d7d7d", "cursor": "#c04a00", "tongue": "#a5533a", "outline": "#8a8a8a", "flesh": "#f4f1ee",
    "td": "#00559e", "tb": "#00729f", "tt": "#00735a", "li": "#555555", "ul": "#a8377e", "ll": "#b34700",
}  # fmt: skip

DARK = {
    "ground": "#14181d", "ink": "#e8ecf0", "quiet": "#a5b0ba", "grid": "#2b333b", "band": "#1f3447",
    "wave": "#8a949d", "cursor": "#ff9259", "tongue": "#d98a6e", "outline": "#7a858f", "flesh": "#1b2026",
    "td": "#5aa9ea", "tb": "#93d2f6", "tt": "#2fc79a", "li": "#b8bfc6", "ul": "#e59cc6", "ll": "#ff9259",
}  # fmt: skip

ON_GROUND = ("ink", "quiet", *NAMES)
"""Colours in which texts are written."""

LINES = ("wave", "cursor", "tongue", "outline")
"""Colours of lines and areas that one must see to understand the picture."""
