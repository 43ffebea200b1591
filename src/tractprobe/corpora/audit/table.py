"""The audit as text for the terminal: failures and rarities with their usual causes first, then a line per check."""

from collections.abc import Iterator, Sequence

from tractprobe.corpora.audit.result import Check, SpeakerAudit, Verdict, short

_FLAGS: dict[Verdict, str] = {"fail": "FAIL", "look": "LOOK"}


def lines(speakers: Sequence[SpeakerAudit]) -> Iterator[str]:
    """Yield the lines of text."""
    yield _heading(speakers)
    for verdict in _FLAGS:
        yield from _flagged(speakers, verdict)
    names = list(dict.fromkeys(check.name for speaker in speakers for check in speaker.checks))
    for verdict in ("pass", "not applicable"):
        for name in names:
            checks = [speaker.check(name) for speaker in speakers if speaker.check(name).verdict == verdict]
            if checks:
                yield _summary(verdict, name, checks)


def _heading(speakers: Sequence[SpeakerAudit]) -> str:
    failed, rare = (sum(speaker.count(verdict) for speaker in speakers) for verdict in _FLAGS)
    with_failures, with_rare = (sum(speaker.count(verdict) > 0 for speaker in speakers) for verdict in _FLAGS)
    heading = f"{counted(len(speakers), 'speaker')}, {with_failures} with failures; {counted(failed, 'failure')}"
    return heading + (f"; {rare} to look at in {counted(with_rare, 'speaker')}" if rare else "")


def _flagged(speakers: Sequence[SpeakerAudit], verdict: Verdict) -> Iterator[str]:
    flagged = [(speaker.speaker, check) for speaker in speakers for check in speaker.checks if check.verdict == verdict]
    width = max((len(speaker) for speaker, _ in flagged), default=0)
    for speaker, check in flagged:
        yield f"  {_FLAGS[verdict]}  {speaker:{width}}  {check.name}: {check.value} ({check.expected}; {check.detail})"
        if verdict == "fail":
            yield f"        {'':{width}}  why: {check.limits.why_fail}"
        yield f"        {'':{width}}  usual cause: {check.limits.cause}"


def _summary(verdict: Verdict, name: str, checks: list[Check]) -> str:
    speakers = counted(len(checks), "speaker")
    if verdict == "not applicable":
        return f"  n/a   {name}: {speakers}; {checks[0].detail}"
    numbers = sorted(check.measured for check in checks if check.measured is not None)
    span = short(numbers[0]) if len(checks) == 1 else f"{short(numbers[0])} to {short(numbers[-1])}"
    return f"  pass  {name}: {speakers}, {span} {checks[0].limits.unit}".rstrip() + f" ({checks[0].expected})"


def counted(number: int, what: str) -> str:
    """Return a number of things in words."""
    return f"{number} {what}{'' if number == 1 else 's'}"
