"""Findings from scores of speakers: the effect, its interval, a test, and how many speakers would decide."""

from collections.abc import Sequence

from tractprobe.evidence.record import Finding, Part
from tractprobe.evidence.statistics.inference import effect, sign_flip_p, speakers_needed
from tractprobe.runs.estimate import Estimate, Scores


def undefined(name: str, says: str, unit: str, over: str) -> Finding:
    """Return a finding without a number; ``says`` tells why."""
    return Finding(name, says, None, None, None, unit, over, {})


def finding(
    name: str,
    says: str,
    values: Scores,
    unit: str,
    over: str,
    margin: float | None = None,
    by: Sequence[Part] = (),
    *,
    estimate: Estimate | None = None,
) -> Finding:
    """Return an effect over speakers, by default the mean of some differences with the p of sign flips.

    Parameters
    ----------
    margin
        The difference that ``needed`` counts speakers for.
    estimate
        The effect, if it is not the mean of ``values``; then there is no p.
    """
    if not values:
        return undefined(name, f"{says}: no speaker has it", unit, over)
    reached = estimate or effect(values)
    p = None if estimate or len({speaker for _, speaker in values}) < 2 else sign_flip_p(values)
    needed = speakers_needed(values, margin, aim="superiority") if margin else None
    count = {"speakers": reached.n, "languages": reached.languages}
    return Finding(name, says, reached.mean, reached.low, reached.high, unit, over, count, p=p, margin=margin,
                   needed=needed, by=tuple(by))  # fmt: skip
