"""Draw the README's pictures from finished analyses: docs/first_screen.svg and docs/moving_tongue.svg.

python docs/draw_readme.py runs/            of the material with the most records, and of its best encoder

The analyses are made by ``python train.py study=universality`` with the models that are to be in the table; the
moving tongue is the first test utterance of a language that the heads never heard, read from the caches.
"""

import sys
from pathlib import Path

from tractprobe.report.collect import collect
from tractprobe.report.films import bench_of, best_of, examples, film_of, held_out
from tractprobe.report.pictures import first_screen, moving
from tractprobe.system.errors import TractprobeError

DOCS = Path(__file__).parent


def main() -> int:
    """Write both pictures."""
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    try:
        groups = [group for group in collect(Path(sys.argv[1])).groups if group.records]
        if not groups:
            print(f"no finished analysis below {sys.argv[1]}", file=sys.stderr)
            return 1
        bench = bench_of(best_of(groups[0]))
        _, fitted = held_out(bench)
        film, prediction = film_of(bench, fitted, examples(bench, fitted, 1)[0])
    except TractprobeError as error:
        print(error, file=sys.stderr)
        return 1
    title = f"{prediction.entry.text or prediction.entry.id} ({prediction.entry.language})"
    for name, picture in (("first_screen", first_screen(groups[0])), ("moving_tongue", moving(film, title))):
        path = DOCS / f"{name}.svg"
        path.write_text(picture, encoding="utf-8")
        print(f"{path} ({path.stat().st_size / 1000:.0f} kB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
