"""Rules by which findings become *supported*, *contradicted* or *undecided*: data, printed on every page.

A claim reads findings of analyses, never raw scores, and nobody writes a verdict by hand. A claim is supported if every
one of its readings is, contradicted if any that is no gate is, and undecided otherwise (an intersection-union test:
further readings never make *supported* easier to reach). Whatever has no interval decides nothing.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from tractprobe.evidence.record import Finding

Verdict = Literal["supported", "contradicted", "undecided", "does not apply"]
SUPPORTED, CONTRADICTED, UNDECIDED, NOT_ASKED = "supported", "contradicted", "undecided", "does not apply"
VERDICTS: tuple[Verdict, ...] = (SUPPORTED, CONTRADICTED, UNDECIDED, NOT_ASKED)

SIGNIFICANT = 0.05
EQUIVALENCE_LEVEL = 0.90
"""Of the interval whose ends are two one-sided tests at 5 %."""

Kind = Literal["superiority", "equivalence", "significance"]


@dataclass(frozen=True)
class Reading:
    """What a claim reads of one finding.

    Attributes
    ----------
    finding
        Its name; with ``*``, of those that fit, the one whose name ends in the largest number.
    kind
        ``superiority``: the interval above ``bound`` supports, below it contradicts. ``equivalence``: the interval
        within ± margin supports, wholly outside contradicts. ``significance``: p below .05 supports; nothing
        contradicts, as a large p is no evidence of absence.
    bound
        What the effect must exceed.
    margin
        Where a finding of equivalence does not state its own.
    gate
        Whether it only has to be passed: one that is not leaves the claim undecided, whatever else was found.
    may_lack
        Whether the claim is decided without it where it cannot be computed, which the cell then says.
    """

    analysis: str
    finding: str
    kind: Kind
    why: str
    bound: float = 0.0
    margin: float | None = None
    gate: bool = False
    may_lack: bool = False

    @property
    def rule(self) -> str:
        """What supports and what contradicts, in words."""
        name = f"{self.analysis}: {self.finding}"
        if self.kind == "equivalence":
            return f"{name}: 90 % interval within ± the margin supports, wholly outside contradicts"
        if self.kind == "significance":
            return f"{name}: p < {SIGNIFICANT:g} supports, nothing contradicts"
        below = "nothing contradicts" if self.gate else f"below {self.bound:g} contradicts"
        return f"{name}: interval above {self.bound:g} supports, {below}"


@dataclass(frozen=True)
class Claim:
    """A statement about an encoder.

    Attributes
    ----------
    says
        What is claimed where the verdict is *supported*.
    readings
        The first is the effect that a table shows.
    asked_of
        Whether it is asked of an encoder, by the facts that are stated about it: an empty text, or why not.
    capped
        Why nothing about such an encoder can support it, whatever was found; an empty text if it can.
    """

    name: str
    title: str
    says: str
    readings: tuple[Reading, ...]
    asked_of: Callable[[Mapping[str, Any]], str] = lambda about: ""
    capped: Callable[[Mapping[str, Any]], str] = lambda about: ""

    @property
    def analyses(self) -> tuple[str, ...]:
        """What it takes to decide it."""
        return tuple(dict.fromkeys(reading.analysis for reading in self.readings))


@dataclass(frozen=True)
class Read:
    """What one reading came to, and why."""

    reading: Reading
    verdict: Verdict
    why: str
    finding: Finding | None = None


@dataclass(frozen=True)
class Judgement:
    """A claim about one encoder: a word, the effect behind it, and each reading.

    Attributes
    ----------
    finding
        The effect of the claim's first reading; ``None`` if that was not computed.
    missing
        Analyses that were not conducted.
    """

    claim: Claim
    verdict: Verdict
    reads: tuple[Read, ...]
    why: str

    @property
    def finding(self) -> Finding | None:
        return self.reads[0].finding if self.reads else None

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(read.reading.analysis for read in self.reads if read.why.startswith(NOT_RUN)))

    @property
    def needed(self) -> int | None:
        """How many speakers would decide its undecided readings, where all of them tell."""
        numbers = [read.finding.needed if read.finding else None for read in self.reads if read.verdict == UNDECIDED]
        known = [number for number in numbers if number is not None]
        return max(known) if self.verdict == UNDECIDED and known and len(known) == len(numbers) else None


NOT_RUN = "not run"

_NO_LABELS = ("self-supervised", "none")


def _is_trained(about: Mapping[str, Any]) -> str:
    return "the encoder was not trained" if about.get("training") == "none" else ""


def _without_labels(about: Mapping[str, Any]) -> str:
    training = about.get("training")
    if training in _NO_LABELS:
        return ""
    if training is None:
        return "how the encoder was trained is not stated (model.about.training), so labels cannot be ruled out"
    return f"the encoder's training was {training}: labels cannot be ruled out without a self-supervised twin"


CLAIMS = (
    Claim(
        "decodable",
        "decodable beyond acoustics",
        "Heads read movements from the encoder better than from a spectrum of the same width and context.",
        (
            Reading("controls", "beyond_acoustics", "superiority", "r minus that of matched acoustics"),
            Reading("controls", "null", "significance", "against circularly shifted movements", gate=True),
            Reading(
                "controls", "selectivity", "superiority", "against random movements per phone", gate=True, may_lack=True
            ),
        ),
    ),
    Claim(
        "language_agnostic",
        "language-agnostic",
        "Heads read movements of a language that they never heard as well as of one that they know.",
        (
            Reading("crossed", "language_equivalence", "equivalence", "known minus unheard language", margin=0.03),
            Reading("curves", "r_language", "superiority", "what is not decoded at all depends on nothing", gate=True),
        ),
    ),
    Claim(
        "speaker_affine",
        "speaker-affine",
        "An affine map turns one speaker's read-out into another's.",
        (
            Reading("speakers", "affine_share", "superiority", "of the way from no map to own heads", bound=0.8),
            Reading("speakers", "mixing_gain", "superiority", "more than an offset and a scale per channel", gate=True),
            Reading("speakers", "beyond_shuffled", "superiority", "more than a map from a shuffled source", gate=True),
            Reading(
                "speakers",
                "beyond_mel_affine",
                "superiority",
                "more than the same map on a spectrum's read-out",
                gate=True,
            ),
        ),
    ),
    Claim(
        "beyond_phones",
        "beyond phones",
        "The encoder holds movements that phones with their times do not tell.",
        (Reading("phones", "unique_states", "superiority", "share of the movements that states alone explain"),),
    ),
    Claim(
        "kept_by_tokens",
        "kept by tokens",
        "Discrete units of the encoder keep the movements.",
        (Reading("tokens", "movements_kept_*", "superiority", "share of what the states hold", bound=0.9),),
    ),
    Claim(
        "causal",
        "causal",
        "Moving the states along an articulator's direction moves what later layers say of that articulator.",
        (
            Reading("steering", "steering_gain", "superiority", "more than random directions of equal norm"),
            Reading("steering", "steering_specificity", "superiority", "more than it moves other articulators"),
        ),
        asked_of=_is_trained,
    ),
    Claim(
        "self_supervision",
        "from self-supervision",
        "Neither the architecture nor labels explain it.",
        (
            Reading("controls", "beyond_random", "superiority", "more than the same architecture, random weights"),
            Reading("controls", "beyond_projection", "superiority", "more than random projections as wide"),
        ),
        asked_of=_is_trained,
        capped=_without_labels,
    ),
)
"""In the order of the table."""

UNIVERSAL = ("decodable", "language_agnostic", "beyond_phones")
"""Claims that all have to be supported for the answer to be universal physics."""

SPECIFIC = ("language_agnostic", "beyond_phones")
"""Claims of which one has to be contradicted, where movements are decodable, for it to be language-specific sounds."""


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
    lacking = [f"without {read.reading.finding}: {read.why}" for read in reads if read.verdict == NOT_ASKED]
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


ANSWERS = {
    "universal physics": f"{', '.join(UNIVERSAL)} are all supported",
    "language-specific sounds": f"decodable is supported, and one of {', '.join(SPECIFIC)} is contradicted",
    "neither": "decodable is contradicted: heads read no more than a spectrum tells",
    UNDECIDED: "anything else",
}
"""What each answer rests on."""


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
        read.why if read.why.startswith(NOT_RUN) else f"{read.reading.finding}: {read.why}"
        for read in reads
        if read.verdict == verdict
    ]
    return "; ".join(dict.fromkeys(each))
