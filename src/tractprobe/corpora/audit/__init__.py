"""Audit: check whether a corpus, as read, looks like human speech movements.

In: Utterances from a reader or a prepared corpus, each once, in any order. Out: a series of checks for each speaker,
each with the measured value, its limits, a verdict, and the usual cause. What no living mouth does fails; what is rare
is something to look at; the rest passes. Only sums and random samples are kept. Nothing is assumed about the corpus
except that channels are in the canonical space (mm, x to the front, y up) and times in seconds.

``gather`` goes through utterances; ``checks``, ``tongue`` and ``timing`` measure; ``limits`` (a table in
``limits.toml``) says from where on a number is rare or impossible, and why, and ``calibration`` extends it by good
corpora; ``stuck`` finds values that were not measured, ``lag`` compares audio with movements; ``table`` is for the
terminal, ``page`` and ``pictures`` for a browser.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.audit import table
from tractprobe.corpora.audit.checks import anatomy, measured, motion, valid
from tractprobe.corpora.audit.gather import Gathered, IsKind
from tractprobe.corpora.audit.labels import is_bilabial, is_silence
from tractprobe.corpora.audit.limits import Table, own_limits
from tractprobe.corpora.audit.result import VERDICTS, Check, Example, Measured, SpeakerAudit, Verdict
from tractprobe.corpora.audit.stuck import STUCK_S, STUCK_SIMULATED_S
from tractprobe.corpora.audit.timing import timing
from tractprobe.corpora.audit.tongue import tongue
from tractprobe.corpora.utterance import Utterance

__all__ = [
    "VERDICTS", "Audit", "Check", "Example", "Measured", "SpeakerAudit", "Verdict",
    "audit", "is_bilabial", "is_silence",
]  # fmt: skip


@dataclass(frozen=True)
class Audit:
    """Checks of all speakers, the worst first; ``str`` gives a table for the terminal."""

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
    limits: Table | None = None,
    also: Mapping[str, Sequence[Measured]] | None = None,
    simulated: bool = False,
) -> Audit:
    """Check the speakers of a corpus.

    Parameters
    ----------
    utterances
        Read once; none is kept, except for the beginning of one per speaker.
    palates
        Palate traces to draw, from ``Reader.palates``.
    bilabial, silence
        Whether a label in a phone set is a bilabial stop or nasal, or a pause.
    limits
        Other limits than those of the package, as ``limits.read_limits`` gives them.
    also
        What else was measured of each speaker, by others: against a head, or by a reader.
    simulated
        Whether a synthesiser spoke, whose sensors stand still to the last bit in pauses.
    """
    stuck_s = STUCK_SIMULATED_S if simulated else STUCK_S
    gathered, palates = _gather(utterances, bilabial, silence, stuck_s), palates or {}
    with np.errstate(all="ignore"):
        speakers = [
            _judge(name, parts, palates.get(name), limits or own_limits(), (also or {}).get(name, ()))
            for name, parts in gathered.items()
        ]
    return Audit(tuple(sorted(speakers, key=_badness)))


def _badness(speaker: SpeakerAudit) -> tuple[int, int, str]:
    return -speaker.failures, -speaker.count("look"), speaker.speaker


def _gather(utterances: Iterable[Utterance], bilabial: IsKind, silence: IsKind, stuck_s: float) -> dict[str, Gathered]:
    gathered: dict[str, Gathered] = {}
    for utterance in utterances:
        if utterance.speaker not in gathered:
            gathered[utterance.speaker] = Gathered(stuck_s=stuck_s)
        with np.errstate(all="ignore"):  # any number may occur; what becomes infinite fails its check
            gathered[utterance.speaker].add(utterance, bilabial, silence)
    return gathered


def _judge(
    speaker: str,
    parts: Gathered,
    palate: Float[np.ndarray, "point 2"] | None,
    limits: Table,
    also: Sequence[Measured],
) -> SpeakerAudit:
    assert parts.example is not None
    channels, cloud = parts.positions()
    curves = parts.lags.curves()
    numbers = (
        *anatomy(channels, cloud),
        *motion(parts),
        *tongue(parts, channels, cloud),
        *timing(parts, curves),
        measured(parts),
        valid(parts),
        *also,
    )
    return SpeakerAudit(
        speaker=speaker,
        languages=tuple(sorted(parts.languages)),
        frames=tuple(sorted(parts.frames)),
        utterances=parts.utterances,
        duration_s=parts.duration_s,
        checks=tuple(Check.of(number, limits[number.name], parts.track_s) for number in numbers),
        channels=channels,
        cloud=cloud,
        palate=palate,
        lag_curves=curves,
        example=parts.example[1],
    )
