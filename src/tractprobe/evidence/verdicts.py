"""Verdicts: what rules make of findings.

Nothing else gives a verdict, and nothing here computes an effect: intervals, levels, p and margins are taken as
analyses left them, and whatever is missing leaves a claim undecided.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from tractprobe.evidence.record import Finding
from tractprobe.evidence.rules import (
    CONTRADICTED,
    EQUIVALENCE_LEVEL,
    NOT_ASKED,
    SIGNIFICANT,
    SPECIFIC,
    SUPPORTED,
    UNDECIDED,
    UNIVERSAL,
    Claim,
    Kind,
    Reading,
    Verdict,
)

NOT_RUN = "not run"


@dataclass(frozen=True)
class Read:
    """What one reading came to, and why."""

    reading: Reading
    verdict: Verdict
    why: str
    finding: Finding | None = None

    @property
    def name(self) -> str:
        """The finding that was read, or would have been."""
        return self.finding.name if self.finding else self.reading.finding


@dataclass(frozen=True)
class Judgement:
    """A claim about one encoder: a word, the effect behind it, and each reading.

    Attributes
    ----------
    why
        What decided it, or what keeps it from being decided.
    """

    claim: Claim
    verdict: Verdict
    reads: tuple[Read, ...]
    why: str

    @property
    def finding(self) -> Finding | None:
        """The effect of the first reading, or of the one that contradicts; ``None`` if it was not computed."""
        against = (read for read in self.reads if self.verdict == CONTRADICTED == read.verdict)
        read = next(against, self.reads[0] if self.reads else None)
        return read.finding if read else None

    @property
    def missing(self) -> tuple[str, ...]:
        """The analyses that were not conducted."""
        return tuple(dict.fromkeys(read.reading.analysis for read in self.reads if read.why.startswith(NOT_RUN)))

    @property
    def needed(self) -> int | None:
        """How many speakers would decide its undecided readings, where all of them tell and these are too few."""
        undecided = [read.finding for read in self.reads if read.verdict == UNDECIDED]
        numbers = [
            finding.needed
            for finding in undecided
            if finding and finding.needed and finding.needed > speakers_of(finding)
        ]
        return max(numbers) if self.verdict == UNDECIDED and numbers and len(numbers) == len(undecided) else None


def speakers_of(finding: Finding) -> int:
    """Return how many speakers a finding is over; 0 where it does not say."""
    speakers = finding.n.get("speakers", 0)
    return speakers if type(speakers) is int else 0


def judged(claim: Claim, evidence: Mapping[str, Sequence[Finding]], about: Mapping[str, Any]) -> Judgement:
    """Return the verdict on a claim about an encoder.

    Parameters
    ----------
    evidence
        The findings of each analysis that was conducted.
    about
        Facts about the encoder, as ``Record.about``.
    """
    reads = tuple(_read(reading, evidence) for reading in claim.readings)
    if reason := claim.asked_of(about):
        return Judgement(claim, NOT_ASKED, reads, reason)
    verdicts = [read.verdict for read in reads if read.verdict != NOT_ASKED]
    if CONTRADICTED in verdicts:
        return Judgement(claim, CONTRADICTED, reads, _reasons(reads, CONTRADICTED))
    if UNDECIDED in verdicts or not verdicts:
        return Judgement(claim, UNDECIDED, reads, _reasons(reads, UNDECIDED))
    if reason := claim.capped(about):
        return Judgement(claim, UNDECIDED, reads, reason)
    lacking = [f"without {read.name}: {read.why}" for read in reads if read.verdict == NOT_ASKED]
    return Judgement(claim, SUPPORTED, reads, "; ".join(lacking))


def answer(verdicts: Mapping[str, Verdict]) -> str:
    """Return what the verdicts on an encoder say to the question of the project.

    >>> answer({"decodable": "supported", "language_agnostic": "supported", "beyond_phones": "supported"})
    'universal physics'
    >>> answer({"decodable": "supported", "language_agnostic": "contradicted"})
    'language-specific sounds'
    """
    if verdicts.get("decodable") == CONTRADICTED:
        return "neither"
    if all(verdicts.get(name) == SUPPORTED for name in UNIVERSAL):
        return "universal physics"
    if verdicts.get("decodable") == SUPPORTED and any(verdicts.get(name) == CONTRADICTED for name in SPECIFIC):
        return "language-specific sounds"
    return UNDECIDED


def _read(reading: Reading, evidence: Mapping[str, Sequence[Finding]]) -> Read:
    if reading.analysis not in evidence:
        return Read(reading, UNDECIDED, f"{NOT_RUN}: {reading.analysis}")
    finding = _chosen(reading.finding, evidence[reading.analysis])
    if finding is None or finding.value is None:
        why = finding.says if finding else f"{reading.analysis} found no {reading.finding}"
        return Read(reading, NOT_ASKED if reading.may_lack else UNDECIDED, why, finding)
    verdict, why = _COMPARED[reading.kind](reading, finding)
    return Read(reading, verdict, why, finding)


def _chosen(name: str, findings: Sequence[Finding]) -> Finding | None:
    """Return the finding of a name; of several, the one whose name ends in the largest number, the first of equals."""
    fitting = [finding for finding in findings if fnmatchcase(finding.name, name)]
    return max(fitting, key=lambda finding: int((re.findall(r"\d{1,9}", finding.name) or ["0"])[-1]), default=None)


def _superior(reading: Reading, finding: Finding) -> tuple[Verdict, str]:
    low, high, bound = finding.low, finding.high, reading.bound
    if low is None or high is None:
        return UNDECIDED, "too few units for an interval"
    if finding.level < 1 - SIGNIFICANT:
        return UNDECIDED, f"its interval is of {100 * finding.level:g} %, and {100 * (1 - SIGNIFICANT):g} % are needed"
    if low > bound:
        return SUPPORTED, f"interval above {bound:g}"
    if high < bound:
        return UNDECIDED if reading.gate else CONTRADICTED, f"interval below {bound:g}"
    return UNDECIDED, f"interval holds {bound:g}"


def _equivalent(reading: Reading, finding: Finding) -> tuple[Verdict, str]:
    low, high = finding.low, finding.high
    margin = finding.margin if finding.margin is not None else reading.margin
    if low is None or high is None:
        return UNDECIDED, "too few units for an interval"
    if margin is None or margin <= 0:
        return UNDECIDED, "no margin was stated"
    if finding.level < EQUIVALENCE_LEVEL:
        return UNDECIDED, f"its interval is of {100 * finding.level:g} %, and {100 * EQUIVALENCE_LEVEL:g} % are needed"
    if -margin < low and high < margin:
        return SUPPORTED, f"interval within ± {margin:g}"
    if low >= margin or high <= -margin:
        return CONTRADICTED, f"interval beyond ± {margin:g}"
    return UNDECIDED, f"interval crosses {'+' if high >= margin else '-'}{margin:g}"


def _significant(reading: Reading, finding: Finding) -> tuple[Verdict, str]:
    if finding.p is None:
        return UNDECIDED, "no p"
    return (SUPPORTED if finding.p < SIGNIFICANT else UNDECIDED), f"p = {finding.p:.2g}"


_COMPARED: dict[Kind, Callable[[Reading, Finding], tuple[Verdict, str]]] = {
    "superiority": _superior,
    "equivalence": _equivalent,
    "significance": _significant,
}


def _reasons(reads: Sequence[Read], verdict: Verdict) -> str:
    each = [
        read.why if read.why.startswith(NOT_RUN) else f"{read.name}: {read.why}"
        for read in reads
        if read.verdict == verdict
    ]
    return "; ".join(dict.fromkeys(each))
