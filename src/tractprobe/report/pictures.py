"""Two small pictures for a README, drawn without a browser: the first screen, and a mouth that moves.

Both are SVG, by day and by night, and load nothing. The mouth moves by SVG's own animation, so that it also does where
scripts are not allowed.
"""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from html import escape

import numpy as np
from jaxtyping import Float

from tractprobe.inversion.film import Film, smooth
from tractprobe.inversion.outline import TONGUE, Shape
from tractprobe.inversion.palette import DARK as PLAYER_DARK
from tractprobe.inversion.palette import LIGHT as PLAYER_LIGHT
from tractprobe.inversion.palette import NAMES
from tractprobe.report.blocks import Cell
from tractprobe.report.claims import sentence
from tractprobe.report.claims import table as claims_table
from tractprobe.report.collect import Group
from tractprobe.report.palette import DARK, LIGHT, SIGN_OF, STYLE_OF, style
from tractprobe.system.printable import one_line

_WIDTH, _CLAIM, _ROW, _LETTER, _BOLD = 960, 244, 52, 6.6, 7.6
FRAMES_PER_S, _SCALE = 25, 7.0

_Course = Float[np.ndarray, "time point 2"]
_Map = Callable[[np.ndarray], np.ndarray]


def first_screen(group: Group) -> str:
    """Return claims x encoders as a picture: words, effects with intervals, and the answer above."""
    grid = claims_table(group)
    column = (_WIDTH - _CLAIM) / max(len(grid.head) - 1, 1)
    lines = textwrap.wrap(one_line(sentence(group)), 94)
    parts = [
        f'<text class="answer" x="16" y="{30 + 22 * place}">{_text(line)}</text>' for place, line in enumerate(lines)
    ]
    top = 30 + 22 * len(lines) + 10
    for place, name in enumerate(grid.head[1:]):
        parts.append(
            f'<text class="name" x="{_CLAIM + column * place:.0f}" y="{top}">{_text(_short(name, column))}</text>'
        )
    parts.append(f'<path class="rule" d="M16 {top + 10}H{_WIDTH - 16}"/>')
    for number, row in enumerate(grid.rows):
        y = top + 18 + _ROW * number
        parts.append(f'<text class="name" x="16" y="{y + 16}">{_text(row[0].text)}</text>')
        for place, cell in enumerate(row[1:]):
            parts.append(_cell(cell, _CLAIM + column * place, y, column))
        parts.append(f'<path class="line" d="M16 {y + _ROW - 8}H{_WIDTH - 16}"/>')
    return _picture(
        "\n".join(parts), _WIDTH, top + 24 + _ROW * len(grid.rows), "Claims by encoders", LIGHT, DARK, _STYLE
    )


_STYLE = """
text { font: 12.5px system-ui, sans-serif; fill: var(--ink); } .answer { font-size: 16px; font-weight: 600; }
.name { font-weight: 600; } .quiet { fill: var(--quiet); font-size: 11.5px; } .word { font-weight: 600; }
.rule { stroke: var(--outline); } .line { stroke: var(--grid); } .ground { fill: var(--ground); }
"""


def _cell(cell: Cell, x: float, y: float, width: float) -> str:
    assert cell.verdict is not None
    name, word = STYLE_OF[cell.verdict], f"{SIGN_OF[cell.verdict]} {cell.verdict}"
    size = _BOLD * len(word) + 14
    below = cell.text or next(iter(cell.small), "")
    return (
        f'<rect x="{x:.0f}" y="{y}" width="{size:.0f}" height="20" rx="3" fill="var(--{name})"/>'
        f'<text class="word" x="{x + 8:.0f}" y="{y + 14.5}" style="fill: var(--on-{name})">{word}</text>'
        f'<text class="quiet" x="{x:.0f}" y="{y + 36}">{_text(_short(below, width))}</text>'
    )


def moving(film: Film, title: str, longest_s: float = 3.0) -> str:
    """Return a film as a picture that moves: measured points filled, predicted ones open, and tongues through both."""
    step = max(round(film.rate_hz / FRAMES_PER_S), 1)
    points = _filled(film.points)[: round(longest_s * film.rate_hz) : step]
    predicted = None if film.predicted is None else _filled(film.predicted)[: round(longest_s * film.rate_hz) : step]
    left, right, bottom, top = film.bounds
    size = np.array([right - left, top - bottom]) * _SCALE
    duration = f'dur="{len(points) * step / film.rate_hz:.2f}s" repeatCount="indefinite"'

    def pixels(mm: np.ndarray) -> np.ndarray:
        return np.stack([(mm[..., 0] - left) * _SCALE, (top - mm[..., 1]) * _SCALE], axis=-1)

    width, height = size.round().astype(int)
    parts = [f'<text class="title" x="10" y="19">{_text(_short(title, size[0]))}</text>']
    parts.append(f'<svg y="28" width="{width}" height="{height}">')  # which cuts off what is outside
    parts += _outline(film, pixels, points, duration)
    if predicted is not None:
        parts.append(_tongue(film, pixels(predicted), duration, "guess"))
    parts.append(_tongue(film, pixels(points), duration, "tongue"))
    for number, name in enumerate(film.names):
        if predicted is not None and np.isfinite(predicted[:, number]).all():
            parts.append(_dot(pixels(predicted[:, number]), duration, f"open {name}", 5))
        if np.isfinite(points[:, number]).all():
            parts.append(_dot(pixels(points[:, number]), duration, f"dot {name}", 6))
    parts.append("</svg>")
    legend = "filled: measured; open: predicted from sound" if predicted is not None else "measured"
    schematic = "; outline schematic" if film.outline.schematic else ""
    parts.append(f'<text class="quiet" x="10" y="{size[1] + 46:.0f}">{legend}{schematic}</text>')
    return _picture("\n".join(parts), size[0], size[1] + 56, title, PLAYER_LIGHT, PLAYER_DARK, _moving_style())


def _moving_style() -> str:
    names = " ".join(f".{name} {{ fill: var(--{name}); stroke: var(--{name}); }}" for name in NAMES)
    return f"""
text {{ font: 13px system-ui, sans-serif; fill: var(--ink); }} .title {{ font-weight: 600; }}
.quiet {{ fill: var(--quiet); font-size: 12px; }} .ground {{ fill: var(--ground); }}
path {{ fill: none; stroke-linecap: round; }} .outline {{ stroke: var(--outline); stroke-width: 1.5; }}
.flesh {{ fill: var(--flesh); }} .tongue {{ stroke: var(--tongue); stroke-width: 4; }}
{names} .open {{ fill: none; stroke-width: 1.8; }}
.guess {{ stroke: var(--tongue); stroke-width: 2; stroke-dasharray: 4 5; }}
"""


def _outline(film: Film, pixels: _Map, points: _Course, duration: str) -> Iterator[str]:
    if len(film.outline.palate) > 1:
        yield f'<path class="outline" d="{_path(pixels(smooth(film.outline.palate)))}"/>'
    for shape in film.outline.shapes:
        yield from _shape(film, shape, pixels, points, duration)


def _shape(film: Film, shape: Shape, pixels: _Map, points: _Course, duration: str) -> Iterator[str]:
    corners = smooth(shape.corners, closed=True)
    if shape.point is None:
        yield f'<path class="outline flesh" d="{_path(pixels(corners))}z"/>'
        return
    course = points[:, film.names.index(shape.point)]
    if not np.isfinite(course).all():
        return
    first = pixels(course[:1] + 0.0)[0]
    shifts = ";".join(f"{x:.1f} {y:.1f}" for x, y in pixels(course) - first)
    yield (
        f'<path class="outline flesh" d="{_path(pixels(corners + course[0]))}z">'
        f'<animateTransform attributeName="transform" type="translate" values="{shifts}" {duration}/></path>'
    )


def _tongue(film: Film, places: Float[np.ndarray, "time point 2"], duration: str, kind: str) -> str:
    columns = [film.names.index(name) for name in TONGUE if name in film.names]
    course = [smooth(frame[columns], steps=3) for frame in places if np.isfinite(frame[columns]).all()]
    if len(course) < len(places) or len(columns) < 2:
        return ""
    shapes = [_path(frame) for frame in course]
    moves = f'<animate attributeName="d" values="{";".join(shapes)}" {duration}/>'
    return f'<path class="{kind}" d="{shapes[0]}">{moves}</path>'


def _dot(course: Float[np.ndarray, "time 2"], duration: str, kind: str, radius: int) -> str:
    moves = "".join(
        f'<animate attributeName="{name}" values="{";".join(f"{value:.1f}" for value in course[:, axis])}" {duration}/>'
        for axis, name in enumerate(("cx", "cy"))
    )
    x, y = course[0]
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}">{moves}</circle>'


def _filled(points: Float[np.ndarray, "time point 2"]) -> Float[np.ndarray, "time point 2"]:
    """Return points with gaps, at the ends, too, filled with the nearest known place: a picture has no gaps in time."""
    filled = points.copy()
    for number in range(points.shape[1]):
        known = np.flatnonzero(np.isfinite(points[:, number]).all(axis=1))
        if len(known):
            nearest = np.abs(np.arange(len(points))[:, None] - known).argmin(axis=1)
            filled[:, number] = points[known[nearest], number]
    return filled


def _path(points: Sequence[Sequence[float]] | Float[np.ndarray, "point 2"]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _picture(body: str, width: float, height: float, title: str, light: dict, dark: dict, rules: str) -> str:
    colours = f":root {{ {style(light)} }} @media (prefers-color-scheme: dark) {{ :root {{ {style(dark)} }} }}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="{_text(title)}">\n<title>{_text(title)}</title><style>{colours}{rules}</style>\n'
        f'<rect class="ground" width="100%" height="100%"/>\n{body}\n</svg>\n'
    )


def _short(text: str, width: float) -> str:
    text, most = one_line(text), max(int(width / _LETTER) - 1, 4)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _text(text: str) -> str:
    return escape(one_line(text))
