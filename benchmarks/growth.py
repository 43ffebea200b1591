"""How the pass and the table grow: python benchmarks/growth.py [number of cases]

With small HuBERTs of random weights on the built-in corpus: seconds of our pass (sums of all groups to disk), and of
the table from the sums, for more layers, wider layers and more held-out values (languages, speakers, both).
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from linear import ALPHAS, opened, sums_of

CASES = [
    *({"layers": layers, "width": 192, "by": ("language",)} for layers in (2, 4, 8)),
    *({"layers": 2, "width": width, "by": ("language",)} for width in (384, 768)),
    *({"layers": 2, "width": 192, "by": by} for by in (("speaker",), ("language", "speaker"))),
]


def measured(root: Path, layers: int, width: int, by: Sequence[str]) -> dict[str, Any]:
    """Return the seconds of a pass and of a table."""
    from tractprobe.data.splits import SplitRule
    from tractprobe.encoders.untrained import untrained
    from tractprobe.probes.heads.ridge import Ridge
    from tractprobe.probes.linear.fit import fit_divisions
    from tractprobe.probes.linear.selection import Division

    corpus, _ = opened(root)
    rules = [SplitRule(name, disjoint_text=name == "language") for name in by]  # all speakers say the same
    splits = [rule(corpus.entries, value, 0) for rule in rules for value in rule.values(corpus.entries)]
    encoder = untrained(layers=layers - 1, width=width)
    began = time.perf_counter()
    store = sums_of(root / f"sums-{layers}-{width}-{'-'.join(by)}", encoder, corpus, splits)
    passed = time.perf_counter()
    divisions = [Division.of(split, store) for split in splits]
    for name in store.widths:
        fit_divisions(store, name, divisions, Ridge(1, width, store.count.shape[1], ALPHAS))
    done = time.perf_counter()
    return {"groups": len(store.groups), "held-out": len(splits), "pass s": passed - began, "table s": done - passed}


def main() -> None:
    import shutil

    from tractprobe.runs.hydra import builtin_corpus

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copytree(builtin_corpus("virtual"), root / "raw")
        opened(root)
        for case in CASES[: int(sys.argv[1]) if len(sys.argv) > 1 else None]:
            found = measured(root, **case)
            numbers = "  ".join(f"{name} {value:,.4g}" for name, value in found.items())
            print(f"{case['layers']} layers x {case['width']:4}, by {'+'.join(case['by']):<17} {numbers}", flush=True)


if __name__ == "__main__":
    main()
