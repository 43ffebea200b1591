"""Verdicts on little speech: statistics of one sentence vary more than those of a whole speaker.

Of 240 good sentences by the 4 virtual speakers, 25 failed when judged singly by limits that suit whole speakers. With
less speech than ``ENOUGH_S``, a check that goes through ``forgiving`` fails only beyond wider limits; between these and
its own limits it is not applicable. ``ENOUGH_S`` is four to five sentences: of 824 random sets of five, none is beyond
the narrower limits.
"""

from dataclasses import replace

from tractprobe.corpora.audit.result import Check

ENOUGH_S = 12.0
"""Seconds of movements above which a speaker is judged by the narrower limits."""


def forgiving(check: Check, movements_s: float, low: float | None = None, high: float | None = None) -> Check:
    """Return the check with the verdict that ``movements_s`` seconds of movements allow.

    Parameters
    ----------
    low, high
        Wider limits for less than ``ENOUGH_S``, in the check's unit; ``None``: the check's own.
    """
    if movements_s >= ENOUGH_S or check.verdict != "fail":
        return check
    wide = replace(check, low=check.low if low is None else low, high=check.high if high is None else high)
    if wide.verdict == "fail":
        return wide
    reason = f"{check.value} is beyond {check.limits}, but {movements_s:.1f} s are too little: {ENOUGH_S:.0f} s needed"
    return replace(check, measured=None, detail=f"{reason}; {check.detail}")
