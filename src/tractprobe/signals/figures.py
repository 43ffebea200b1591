"""Figures without a display. Only functions that draw import matplotlib, so everything else works without it."""

import io
import textwrap
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 110
_LETTER = 0.0075  # width of a letter in inches, for each point of its size


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of a given size in inches, made without pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def wrapped(text: str, width: float, fontsize: float = 9) -> str:
    """Return a line of text broken where it would leave a figure of some inches."""
    return textwrap.fill(text, max(20, int(width / (fontsize * _LETTER))), break_on_hyphens=False)


def png(figure: "Figure") -> bytes:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing", category=UserWarning
        )  # an IPA symbol becomes a box
        figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()
