"""The audit as text for the terminal: failures with their usual causes first, then one line per check."""

from collections.abc import Iterator, Sequence

from tractprobe.corpora.audit.result import Check, SpeakerAudit, short


def lines(speakers: Sequence[SpeakerAudit]) -> Iterator[str]:
    """Yield the lines of text."""
    failed = [(speaker.speaker, check) for speaker in speakers for check in speaker.checks if check.verdict == "fail"]
    count = sum(speaker.failures > 0 for speaker in speakers)
    yield f"{_counted(len(speakers), 'speaker')}, {count} with failures; {_counted(len(failed), 'failure')}"
    width = max((len(speaker) for speaker, _ in failed), default=0)
    for speaker, check in failed:
        yield f"  FAIL  {speaker:{width}}  {check.name}: {check.value} (limits {check.limits}; {check.detail})"
        yield f"        {'':{width}}  usual cause: {check.cause}"
    names = list(dict.fromkeys(check.name for speaker in speakers for check in speaker.checks))
    for verdict in ("pass", "not applicable"):
        for name in names:
            checks = [speaker.check(name) for speaker in speakers if speaker.check(name).verdict == verdict]
            if checks:
                yield _summary(verdict, name, checks)


def _summary(verdict: str, name: str, checks: list[Check]) -> str:
    speakers = _counted(len(checks), "speaker")
    if verdict == "not applicable":
        return f"  n/a   {name}: {speakers}; {checks[0].detail}"
    numbers = sorted(check.measured for check in checks if check.measured is not None)
    span = short(numbers[0]) if len(checks) == 1 else f"{short(numbers[0])} to {short(numbers[-1])}"
    return f"  pass  {name}: {speakers}, {span} {checks[0].unit}".rstrip() + f" (limits {checks[0].limits})"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
