"""Compare two recordings of ``record.py``: ``python tests/golden/compare.py <before.json> <after.json>``."""

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

# Everything is computed by one thread and with the instructions of `record.FIXED`. Where those were changed to AVX-512
# in all libraries, scores moved by up to 2e-7, millimetres by 7e-7 and weights by 2e-6 of the largest (2026-11-27).
TOLERANCE = {"numbers": 1e-6, "tensors": 1e-5, "printed": 1.1e-3}

Difference = tuple[str, Any, Any]
_NOTHING = "(nothing)"


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield where two recordings differ, as JSON path and both values; parts that one of them lacks are left out."""
    for part in [part for part in before if part in after]:
        yield from _unequal(part, before[part], after[part], TOLERANCE.get(part, 0.0))


def report(found: Sequence[Difference], most: int = 20) -> str:
    """Return the first differences as text."""
    lines = [f"{path}\n  before  {_cut(old)}\n  after   {_cut(new)}" for path, old, new in found[:most]]
    more = [f"... and {len(found) - most} more"] if len(found) > most else []
    return "\n".join([f"{len(found)} differences", *lines, *more])


def _unequal(path: str, old: Any, new: Any, tolerance: float) -> Iterator[Difference]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys()):
            yield from _unequal(f"{path} > {key}", old.get(key, _NOTHING), new.get(key, _NOTHING), tolerance)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        size = max((abs(one) for one in old if _is_number(one)), default=0.0) if path.startswith("tensors") else None
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            if not (_is_number(one) and _is_number(other) and _close(one, other, tolerance, size)):
                yield from _unequal(f"{path}[{index}]", one, other, tolerance if size is None else 0.0)
    elif not (old == new or (_is_number(old) and _is_number(new) and _close(old, new, tolerance))):
        yield path, old, new


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _close(old: float, new: float, tolerance: float, size: float | None = None) -> bool:
    return math.isclose(old, new, rel_tol=0, abs_tol=tolerance * (max(1.0, abs(old)) if size is None else size))


def _cut(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}..."


def main() -> int:
    before, after = (json.loads(Path(path).read_text(encoding="utf-8")) for path in sys.argv[1:3])
    if found := list(differences(before, after)):
        print(report(found))
        return 1
    values = [value for part in TOLERANCE for value in after[part].values()]
    names, numbers = len(after["exact"]), sum(len(value) if isinstance(value, list) else 1 for value in values)
    print(f"identical: {names} names, {numbers} numbers, {len(after.get('bits', ()))} files and arrays bit for bit")
    return 0


if __name__ == "__main__":
    sys.exit(main())
