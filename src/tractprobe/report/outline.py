"""The order of the report, and what each section asks: data."""

from dataclasses import dataclass

QUESTION = "Language-specific sounds, or universal physics?"


@dataclass(frozen=True)
class Part:
    """A section of the report.

    Attributes
    ----------
    controls
        What its effects are read against.
    """

    title: str
    question: str
    controls: str


PARTS = {
    "curves": Part(
        "Layer curves",
        "How much of the movements does each layer hold, in languages that heads never heard and in known ones?",
        "A layer is chosen by validation, never by test. Read them against the spectrum's curve beside them.",
    ),
    "controls": Part(
        "Controls",
        "What of the score is acoustics, architecture, width, voice or chance?",
        "Matched acoustics, random weights, random projections as wide, F0 and energy; shifted and mismatched "
        "movements; random movements per phone.",
    ),
    "crossed": Part(
        "Language and speaker, crossed",
        "What does it cost that heads never heard the language, the speaker, or both?",
        "The same minutes of training in all four cells, drawn nested; the margin of equivalence is stated beforehand.",
    ),
    "babble": Part(
        "Babble",
        "Do heads that learned languages read sounds that belong to none, and the reverse?",
        "Acoustics and random weights under the same splits; heads on what they learned (ceiling); equal minutes.",
    ),
    "raised_in": Part(
        "Raised in one language each",
        "Of encoders that differ in the language they heard alone: do they read it better than other languages, and "
        "does one that heard no language, but babble, read speech as well?",
        "The same heads, utterances and new speakers for every encoder; what an encoder and a language are like "
        "otherwise; the untrained twin and acoustics.",
    ),
    "speakers": Part(
        "Speakers",
        "Which map turns one speaker's read-out into another's: none, an offset, a scale, a mixture of channels?",
        "No map (floor), the speaker's own heads (ceiling), a shuffled source, the same map on a spectrum's read-out.",
    ),
    "phones": Part(
        "Phones against articulation",
        "Does the encoder hold movements that the phones with their times do not tell?",
        "Movements from phones with times, and from the phone string without; shares by variance partitioning.",
    ),
    "tokens": Part(
        "What tokens keep",
        "What of movements, voice and prosody is left in discrete units?",
        "The states that the units were made of (ceiling), and the transcript.",
    ),
    "disturbed": Part(
        "Reversed and disturbed speech",
        "Does the read-out survive what physics hardly minds, such as time running backwards?",
        "The same disturbance under acoustics with symmetric context.",
    ),
    "erasure": Part(
        "Erasure",
        "What else is lost when the movements are erased from the states?",
        "Erasing as many random directions, and as many of phones and speakers.",
    ),
    "interventions": Part(
        "Interventions on a synthetic tract",
        "Does a read-out move when its articulator is moved in the production of speech, and nothing else is?",
        "Heads fitted to movements of another time, matched acoustics, random weights; the exact change, and what "
        "usually moves together; changes of pitch, voice and anatomy.",
    ),
    "steering": Part(
        "Steering",
        "Does moving states along an articulator's direction move what later layers say of that articulator?",
        "Random directions of equal norm, and the other articulators.",
    ),
    "prosody": Part(
        "Source and prosody",
        "Are pitch, voicing, loudness and speech rate there, too, beyond phones and timing?",
        "Phones with their times.",
    ),
    "low_resource": Part(
        "Supervised or self-supervised, and few minutes",
        "How many minutes of a language does it take, and does training with labels change that?",
        "The same minutes for every encoder; pairs that differ in their training alone.",
    ),
    "downstream": Part(
        "Does the score predict success downstream?",
        "Do encoders that hold more of the movements do better in other tasks?",
        "The phonetic score, parameters and hours of training; leaving out one encoder at a time.",
    ),
    "published": Part(
        "Published figures",
        "What has been reported, by which protocol, and what do we get there?",
        "Only the same corpus under the same split is comparable.",
    ),
}
"""By analysis, in the order of the page; analyses of plug-ins follow."""


def part_of(analysis: str) -> Part:
    """Return the section of an analysis, also of one that is not ours."""
    return PARTS.get(analysis) or Part(analysis, "", "")


def in_order(analyses: tuple[str, ...]) -> list[str]:
    """Return analyses in the order of the page."""
    order = list(PARTS)
    return sorted(analyses, key=lambda name: (order.index(name) if name in order else len(order), name))
