"""Calibration: corpora that are known to be good say what is usual, and widen the limits of what is rare.

Nothing here moves the limits of what no living mouth does: a corpus that is beyond these is not known to be good, or
its user gives another limit, with a reason, by hand.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from tractprobe.corpora.audit import Audit
from tractprobe.corpora.audit.limits import Interval, Limits, Table
from tractprobe.corpora.audit.table import counted
from tractprobe.system.errors import ConfigError

_DIGITS = 2


def calibrated(audits: Mapping[str, Audit], table: Table) -> str:
    """Return entries of a table of limits (TOML) for what is usual in corpora but rare by the limits so far.

    Raises
    ------
    ConfigError
        A speaker of these corpora fails, so that they are not known to be good.
    """
    failed = [
        f"{corpus}/{speaker.speaker}: {check.name} {check.value} ({check.expected})"
        for corpus, audit in audits.items()
        for speaker in audit.speakers
        for check in speaker.checks
        if check.verdict == "fail"
    ]
    if failed:
        raise ConfigError(
            f"calibration takes corpora that are known to be good, and {counted(len(failed), 'check')} failed: "
            f"{'; '.join(failed[:3])}{'; ...' if failed[3:] else ''}. Leave the corpus out, or give another limit by "
            "hand with --limits"
        )
    speakers = sum(len(audit.speakers) for audit in audits.values())
    return "\n".join(_lines(audits, table, f"{counted(speakers, 'speaker')} of {', '.join(audits)}"))


def _lines(audits: Mapping[str, Audit], table: Table, material: str) -> Iterator[str]:
    yield f"# Limits of tractprobe audit, calibrated on {material}."
    yield "# Use them with: tractprobe audit <corpus> --limits <this file>"
    for name, limits in table.items():
        numbers = [
            check.measured
            for audit in audits.values()
            for speaker in audit.speakers
            for check in speaker.checks
            if check.name == name and check.measured is not None
        ]
        if numbers:
            yield from _entry(name, limits, numbers)


def _entry(name: str, limits: Limits, numbers: Sequence[float]) -> Iterator[str]:
    seen = f"{min(numbers):.4g} to {max(numbers):.4g} {limits.unit}".strip()
    seen = f"{seen} in {counted(len(numbers), 'speaker')}"
    wider = _widened(limits.look, numbers)
    if wider == limits.look:
        yield f"\n# {name}: {seen}; usual already"
        return
    low, high = (max(wider[0], limits.fail[0]), min(wider[1], limits.fail[1]))
    yield f"\n[{json.dumps(name)}]\nlook = [{low}, {high}]"
    yield f"seen = {json.dumps(seen + (f'; before: {limits.seen}' if limits.seen else ''), ensure_ascii=False)}"


def _widened(look: Interval, numbers: Sequence[float]) -> Interval:
    """Return an interval that holds numbers, too; new ends are rounded outwards."""
    low, high = look
    if min(numbers) < low:
        low = _outwards(min(numbers), math.floor)
    if max(numbers) > high:
        high = _outwards(max(numbers), math.ceil)
    return low, high


def _outwards(number: float, rounding: Callable[[float], int]) -> float:
    """Round to two digits, up or down.

    >>> _outwards(0.8049, math.floor), _outwards(-31.2, math.floor), _outwards(0.0, math.ceil)
    (0.8, -32.0, 0.0)
    """
    if number == 0:
        return 0.0
    digits = _DIGITS - 1 - math.floor(math.log10(abs(number)))
    return round(rounding(number * 10.0**digits) / 10.0**digits, max(digits, 0))
