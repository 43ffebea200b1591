"""What to say where there is too little speech: statistics of one sentence are wilder than those of a speaker.

Of 240 good sentences by the 4 virtual speakers 25 failed by themselves, by limits that suit whole speakers. A check
that goes through ``forgiving`` fails on less than ``ENOUGH_S`` only beyond wider limits; between these and its own it
is not applicable. ``ENOUGH_S`` are four to five sentences: of 824 draws of five, none is beyond the narrower limits.
"""

from dataclasses import replace

from tractprobe.corpora.audit.result import Check

ENOUGH_S = 12.0
"""Seconds of movements from which on a speaker is judged by the narrower limits."""


def forgiving(check: Check, movements_s: float, low: float | None = None, high: float | None = None) -> Check:
    """Return the check as it is to be judged on ``movements_s`` seconds.

    Parameters
    ----------
    low, high
        Wider limits, for less than ``ENOUGH_S``, in the check's unit; ``None``: the check's own.
    """
    if movements_s >= ENOUGH_S or check.verdict != "fail":
        return check
    wide = replace(check, low=check.low if low is None else low, high=check.high if high is None else high)
    if wide.verdict == "fail":
        return wide
    reason = f"{check.value} is beyond {check.limits}, but {movements_s:.1f} s say little: {ENOUGH_S:.0f} s are wanted"
    return replace(check, measured=None, detail=f"{reason}; {check.detail}")
