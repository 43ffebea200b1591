"""Rules by which findings become *supported*, *contradicted* or *undecided*: data, printed on every page.

A claim reads findings of analyses, never raw scores, and nobody writes a verdict by hand. A claim is supported if every
one of its readings is, contradicted if any that is no gate is, and undecided otherwise (an intersection-union test:
further readings never make *supported* easier to reach). Whatever has no interval decides nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

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


_NO_LABELS = ("self-supervised", "none")


def _is_trained(about: Mapping[str, Any]) -> str:
    return "the encoder was not trained" if about.get("training") == "none" else ""


def _is_raised(about: Mapping[str, Any]) -> str:
    return "" if about.get("raised_on") else "it was not trained here on languages that were chosen"


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
            Reading(
                "crossed",
                "language_equivalence_every_language",
                "equivalence",
                "in the language to which it matters most: a mean may hide it",
                margin=0.03,
                may_lack=True,
            ),
            Reading("curves", "r_language", "superiority", "what is not decoded at all depends on nothing", gate=True),
        ),
    ),
    Claim(
        "speaker_affine",
        "speaker-affine",
        "After an affine map, one speaker's head reads another at most .03 worse than that one's own head does.",
        (
            Reading("speakers", "affine_over_own", "superiority", "r after the map minus r of own heads", bound=-0.03),
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
        (
            Reading(
                "phones", "unique_states", "superiority", "share of the movements that states alone explain", bound=0.02
            ),
            Reading(
                "phones",
                "unique_states_beyond_acoustics",
                "superiority",
                "more than a spectrum alone explains",
                gate=True,
            ),
        ),
    ),
    Claim(
        "beyond_language",
        "reads babble",
        "Heads of languages read sounds that belong to none, and the reverse, losing no more than acoustics do.",
        (
            Reading(
                "babble",
                "babble_b_kept_over_acoustics",
                "superiority",
                "what a spectrum loses on the tract's whole space by having learned languages, minus what it loses",
                bound=-0.03,
            ),
            Reading(
                "babble", "speech_kept_over_acoustics", "superiority", "the same from babble to languages", bound=-0.03
            ),
            Reading("babble", "babble_b_beyond_acoustics", "superiority", "reads it better than a spectrum", gate=True),
            Reading("babble", "speech_beyond_acoustics", "superiority", "reads languages better, too", gate=True),
        ),
    ),
    Claim(
        "no_native_advantage",
        "no native-language advantage",
        "Encoders that differ in the language they heard alone read that language no better than the others do.",
        (
            Reading(
                "raised_in",
                "native_equivalence",
                "equivalence",
                "what it adds that the encoder heard the tested language",
                margin=0.03,
            ),
            Reading(
                "raised_in",
                "native_both_equivalence",
                "equivalence",
                "the same where heads have learned that language, too",
                margin=0.03,
            ),
            Reading(
                "raised_in",
                "native_both_every_layer",
                "equivalence",
                "at the layer to which that matters most: heads may choose another",
                margin=0.03,
            ),
            Reading(
                "raised_in",
                "native_own_equivalence",
                "equivalence",
                "of this encoder alone: a mean may hide it",
                margin=0.03,
                may_lack=True,
            ),
            Reading(
                "raised_in",
                "languages_beyond_untrained",
                "superiority",
                "what has learned nothing has no native language",
                gate=True,
            ),
        ),
        asked_of=_is_raised,
    ),
    Claim(
        "babble_suffices",
        "babble suffices",
        "An encoder that heard babble alone reads speech at most .03 worse than those that heard a language.",
        (
            Reading(
                "raised_in",
                "babble_minus_languages",
                "superiority",
                "r of the encoder raised on babble minus r of those raised in one language",
                bound=-0.03,
            ),
            Reading("raised_in", "babble_beyond_untrained", "superiority", "babble has taught the encoder", gate=True),
            Reading("raised_in", "languages_beyond_untrained", "superiority", "and so have languages", gate=True),
        ),
        asked_of=_is_raised,
    ),
    Claim(
        "kept_by_tokens",
        "kept by tokens",
        "Discrete units of the encoder keep at least .9 of the movements that its states hold.",
        (Reading("tokens", "movements_kept_*", "superiority", "share of what the states hold", bound=0.9),),
    ),
    Claim(
        "causal",
        "causal",
        "Moving one articulator of a synthetic tract, and nothing else, moves that articulator's read-out: more than "
        "by chance or in acoustics, and not as articulators usually move together.",
        (
            Reading(
                "interventions",
                "interventions_gain_beyond_shuffled",
                "superiority",
                "mm read for each mm moved, more than heads fitted to other movements say",
            ),
            Reading(
                "interventions",
                "interventions_specificity_beyond_covariance",
                "superiority",
                "nearer to the exact change than what usually moves together explains",
            ),
            Reading(
                "interventions",
                "interventions_gain_beyond_mel",
                "superiority",
                "more than a spectrum of the same width and context says",
                gate=True,
            ),
        ),
    ),
    Claim(
        "taken_up",
        "taken up",
        "Moving the states along an articulator's direction moves what later layers say of that articulator.",
        (
            Reading("steering", "steering_gain", "superiority", "more than random directions of equal norm"),
            Reading("steering", "steering_specificity", "superiority", "more than it moves other articulators"),
            Reading("steering", "steering_response", "superiority", "more than blocks answer random ones", gate=True),
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


ANSWERS = {
    "universal physics": f"{', '.join(UNIVERSAL)} are all supported",
    "language-specific sounds": f"decodable is supported, and one of {', '.join(SPECIFIC)} is contradicted",
    "neither": "decodable is contradicted: heads read no more than a spectrum tells",
    UNDECIDED: "anything else",
}
"""What each answer rests on."""
