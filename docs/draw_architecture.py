"""Draw docs/architecture.svg from the code: rooms, what they hold, and who imports whom.

python docs/draw_architecture.py            write the picture
python docs/draw_architecture.py --check    exit with status 1 if the picture is not of the present code
"""

import ast
import sys
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "tractprobe"
PICTURE = ROOT / "docs" / "architecture.svg"
FLOORS = (
    ("system",),
    ("signals",),
    ("corpora",),
    ("encoders",),
    ("data", "runs"),
    ("probes", "pretraining"),
    ("evidence", "inversion"),
    ("report",),
    ("doors",),
)
DOORS = "what users open: jobs, sweeps, commands"
WIDTH, BOX_HEIGHT, GAP = 860, 72, 26
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1c2733 } .name { font-weight: 600; font-size: 15px }
  rect { fill: #eef3f8; stroke: #5b7083 } path { fill: #5b7083 } .quiet { fill: #51636f; font-size: 12px }
  @media (prefers-color-scheme: dark) {
    svg { background: #12181f } text { fill: #e6edf3 } rect { fill: #1f2a35; stroke: #8fa3b5 }
    path { fill: #8fa3b5 } .quiet { fill: #a9bac8 }
  }
"""


@dataclass(frozen=True)
class Room:
    """A package, or the modules above all packages."""

    name: str
    purpose: str
    modules: int


def room_of(module: str) -> str:
    """Return the room of a dotted module name below ``tractprobe``; what is above all others is a door."""
    first = module.split(".")[0]
    return first if any(first in floor for floor in FLOORS) else "doors"


def modules() -> dict[str, Path]:
    """Return every module by its dotted name below ``tractprobe``."""
    paths = sorted(path for path in PACKAGE.rglob("*.py") if "builtin" not in path.parts)
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


@cache
def imports() -> set[tuple[str, str]]:
    """Return (importer, imported) of rooms, also where a function imports."""
    pairs = set()
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tractprobe."):
                pairs.add((room_of(name), room_of((node.module or "").removeprefix("tractprobe."))))
    return {(importer, imported) for importer, imported in pairs if importer != imported}


def rooms() -> dict[str, Room]:
    """Return each room with what it is for."""
    found = {}
    for name in (room for floor in FLOORS for room in floor):
        own = [path for module, path in modules().items() if room_of(module) == name and module != "__init__"]
        purpose = DOORS if name == "doors" else _purpose(PACKAGE / name / "__init__.py")
        found[name] = Room(name, purpose, sum(path.name != "__init__.py" for path in own))
    return found


def _purpose(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()[0].rstrip(".")


def drawn() -> str:
    """Return the picture."""
    places, parts = {}, []
    height = len(FLOORS) * (BOX_HEIGHT + GAP) + GAP
    for number, floor in enumerate(reversed(FLOORS)):
        width = (WIDTH - GAP * (len(floor) + 1)) / len(floor)
        for column, name in enumerate(floor):
            places[name] = GAP + column * (width + GAP), GAP + number * (BOX_HEIGHT + GAP), width
    arrow_x = WIDTH / 2
    for number in range(1, len(FLOORS)):
        top = number * (BOX_HEIGHT + GAP) + 6
        parts.append(f'<path d="M{arrow_x - 6} {top}h12l-6 {GAP - 12}z"/>')
    for name, room in rooms().items():
        x, y, width = places[name]
        size = f"{room.modules} modules"
        parts += [
            f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{BOX_HEIGHT}" rx="6"/>',
            f'<text class="name" x="{x + 12:.0f}" y="{y + 21}">{name}</text>',
            f'<text x="{x + width - 12:.0f}" y="{y + 21}" text-anchor="end">{size}</text>',
            f'<text x="{x + 12:.0f}" y="{y + 41}">{escape(_short(room.purpose, width))}</text>',
            f'<text class="quiet" x="{x + 12:.0f}" y="{y + 60}">{_short(_imports_of(name), width)}</text>',
        ]
    title = "Rooms of tractprobe: each imports only rooms below it"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">'
    return "\n".join([head, f"<title>{title}</title><style>{STYLE}</style>", *parts, "</svg>"]) + "\n"


def _imports_of(room: str) -> str:
    order = [name for floor in reversed(FLOORS) for name in floor]
    names = [name for name in order if (room, name) in imports()]
    return f"imports {', '.join(names)}" if names else "imports no other room"


def _short(text: str, width: float) -> str:
    most = int(width / 7.4)
    return text if len(text) <= most else f"{text[: most - 1].rsplit(' ', 1)[0]} ..."


def main() -> int:
    """Write or check the picture."""
    picture = drawn()
    if "--check" in sys.argv:
        return int(not PICTURE.is_file() or PICTURE.read_text(encoding="utf-8") != picture)
    PICTURE.write_text(picture, encoding="utf-8")
    print(PICTURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
