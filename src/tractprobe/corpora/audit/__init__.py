"""Audit: check whether a corpus, as read, looks like human speech movements.

In: Utterances, from a raw reader or a prepared corpus, once and in any order. Out: for each speaker a row of checks,
each with what was measured, its limits, a verdict, and what usually causes a failure. Only sums and samples are kept.
Nothing is assumed of the corpus: channels are in the canonical space (mm, x to the front, y up), times in seconds.

``gather`` goes over utterances; ``checks``, ``tongue`` and ``timing`` judge, and say where their limits come from;
``material`` is about too little of it, ``held`` finds samples that nobody measured, ``lag`` compares audio with
movements; ``table`` is for the terminal, ``page`` and ``pictures`` for a browser.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.audit import table
from tractprobe.corpora.audit.checks import anatomy, measured, motion, valid
from tractprobe.corpora.audit.gather import Gathered, IsKind
from tractprobe.corpora.audit.labels import is_bilabial, is_silence
from tractprobe.corpora.audit.result import VERDICTS, Check, Example, SpeakerAudit, Verdict
from tractprobe.corpora.audit.timing import timing
from tractprobe.corpora.audit.tongue import tongue
from tractprobe.corpora.utterance import Utterance

__all__ = ["VERDICTS", "Audit", "Check", "Example", "SpeakerAudit", "Verdict", "audit", "is_bilabial", "is_silence"]


@dataclass(frozen=True)
class Audit:
    """Checks of every speaker, the speaker with most failures first; ``str`` is a table for the terminal."""

    speakers: tuple[SpeakerAudit, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not any(speaker.failures for speaker in self.speakers)

    def __str__(self) -> str:
        return "\n".join(table.lines(self.speakers))


def audit(
    utterances: Iterable[Utterance],
    palates: Mapping[str, Float[np.ndarray, "point 2"]] | None = None,
    bilabial: IsKind = is_bilabial,
    silence: IsKind = is_silence,
) -> Audit:
    """Check the speakers of a corpus.

    Parameters
    ----------
    utterances
        Gone through once; none is kept, but for the beginning of one of each speaker.
    palates
        Palate traces to draw, as ``Reader.palates`` gives them.
    bilabial, silence
        Whether a label of a phone set is a bilabial stop or nasal, or a pause.
    """
    gathered, palates = _gather(utterances, bilabial, silence), palates or {}
    with np.errstate(all="ignore"):
        speakers = [_judge(name, parts, palates.get(name)) for name, parts in gathered.items()]
    return Audit(tuple(sorted(speakers, key=lambda one: (-one.failures, one.speaker))))


def _gather(utterances: Iterable[Utterance], bilabial: IsKind, silence: IsKind) -> dict[str, Gathered]:
    gathered: dict[str, Gathered] = {}
    for utterance in utterances:
        if utterance.speaker not in gathered:
            gathered[utterance.speaker] = Gathered()
        with np.errstate(all="ignore"):  # whatever the numbers are: what becomes infinite fails its check
            gathered[utterance.speaker].add(utterance, bilabial, silence)
    return gathered


def _judge(speaker: str, parts: Gathered, palate: Float[np.ndarray, "point 2"] | None) -> SpeakerAudit:
    assert parts.example is not None
    channels, cloud = parts.positions()
    curves = parts.lags.curves()
    return SpeakerAudit(
        speaker=speaker,
        languages=tuple(sorted(parts.languages)),
        frames=tuple(sorted(parts.frames)),
        utterances=parts.utterances,
        duration_s=parts.duration_s,
        checks=(
            *anatomy(channels, cloud),
            *motion(parts),
            *tongue(parts, channels, cloud),
            *timing(parts, curves),
            measured(parts),
            valid(parts),
        ),
        channels=channels,
        cloud=cloud,
        palate=palate,
        lag_curves=curves,
        example=parts.example[1],
    )
