"""One utterance that a plan asks for."""

from dataclasses import dataclass

from vocaltract.manner import Manner

NO_LANGUAGE = "zxx"
BABBLE_KINDS = ("a", "b", "c")
BABBLE_S = 5.0


@dataclass(frozen=True)
class Task:
    """One utterance that is to be made.

    Attributes
    ----------
    part
        Folder below the corpus's root; "" for the root itself.
    kind
        ``speech``, ``babble_a``, ``babble_b`` or ``babble_c``.
    number
        Of the sentence among the language's texts; of babble, among its kind.
    text, spoken
        As a reader writes it; as ``languages.speak`` takes it.
    seconds
        Length of babble; of speech an estimate from the length of the text.
    """

    id: str
    part: str
    speaker: str
    language: str
    kind: str
    number: int
    text: str
    spoken: str
    seconds: float
    manner: Manner
    seed: int
