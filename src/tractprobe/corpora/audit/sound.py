"""The sound of a corpus: how loud it is, what is clipped, silent, band-limited or there twice, and how much there is.

Levels are those of whole utterances as prepared, in dB relative to a sine at full scale (dBFS): an utterance is scaled
only where it exceeds full scale. Languages of a corpus that was collected from several sources differ in their
recordings as well, so numbers are given for each source, where the corpus states them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.amounts import Amounts
from tractprobe.corpora.utterance import Utterance
from tractprobe.system.files import array_sha256

SILENT_DBFS, FAINT_DBFS = -70.0, -50.0
MAX_CLIPPED = 1e-3
"""The share of samples in runs at an utterance's own peak from which on it is called clipped."""
MAX_OFFSET = 0.02
TELEPHONE_HZ, MIN_ABOVE_DB = 4000.0, -55.0
"""Energy above this frequency, relative to all of it, by which an utterance is of telephone band."""
_RUN, _BLOCK = 3, 1 << 10
_SHOWN = 3


@dataclass(frozen=True)
class Sound:
    """What was measured of one utterance.

    Attributes
    ----------
    clipped
        Share of samples that lie in runs of at least three at the utterance's own peak.
    offset
        Mean of the samples, full scale 1.
    above_db
        Energy above ``TELEPHONE_HZ`` relative to all energy.
    """

    id: str
    level_dbfs: float
    peak_dbfs: float
    clipped: float
    offset: float
    above_db: float


@dataclass(frozen=True)
class Finding:
    """Utterances of which something is to be said; ``fails`` if no corpus of speech should have them."""

    fails: bool
    what: str
    ids: Sequence[str]


@dataclass(frozen=True)
class SoundAudit:
    """The table of amounts, the levels by source and the findings; ``str`` gives a page for the terminal."""

    amounts: Amounts
    sounds: Mapping[str, Sequence[Sound]]
    findings: Sequence[Finding]

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not any(finding.fails and finding.ids for finding in self.findings)

    def __str__(self) -> str:
        return "\n".join([*self.amounts.lines(), *_levels(self.sounds), *_told(self.findings)])


def audit_sound(utterances: Iterable[Utterance]) -> SoundAudit:
    """Measure the sound of utterances, each of which is read once and not kept."""
    amounts, sounds = Amounts(), defaultdict[str, list[Sound]](list)
    twice = defaultdict[str, list[tuple[str, str, str]]](list)
    for utterance in utterances:
        amounts.add(utterance.speaker, utterance.language, utterance.labels, utterance.duration_s)
        sounds[utterance.labels.get("source", utterance.language)].append(measured(utterance))
        twice[array_sha256(utterance.audio)].append((utterance.id, utterance.speaker, utterance.language))
    every = [sound for own in sounds.values() for sound in own]
    return SoundAudit(amounts, dict(sounds), [*_of_sound(every), *_of_copies(twice.values())])


def measured(utterance: Utterance) -> Sound:
    """Measure one utterance."""
    audio = utterance.audio
    power = float(np.mean(np.square(audio, dtype=np.float64)))
    peak = float(np.abs(audio).max())
    return Sound(
        id=utterance.id,
        level_dbfs=_db(2 * power),
        peak_dbfs=_db(peak**2),
        clipped=clipped_share(audio),
        offset=float(audio.mean(dtype=np.float64)),
        above_db=_above_db(audio, utterance.audio_rate_hz),
    )


def clipped_share(audio: Float[np.ndarray, " sample"]) -> float:
    """Return the share of samples in runs of at least three that equal the highest, or the lowest, of all.

    >>> clipped_share(np.array([0.0, 0.5, 0.5, 0.5, 0.1, -0.2, -0.6, 0.0])), clipped_share(np.zeros(8))
    (0.375, 0.0)
    """
    count = 0
    for extreme in {float(audio.max()), float(audio.min())} - {0.0}:
        edges = np.flatnonzero(np.diff(np.concatenate([[False], audio == extreme, [False]]).astype(np.int8)))
        lengths = edges[1::2] - edges[::2]
        count += int(lengths[lengths >= _RUN].sum())
    return count / len(audio)


def _db(power: float) -> float:
    return 10 * np.log10(max(power, 1e-20))


def _above_db(audio: Float[np.ndarray, " sample"], rate_hz: int) -> float:
    """Return the energy above the telephone band in relation to all energy, from frames of 64 ms at 16 kHz."""
    frames = audio[: len(audio) // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    if not len(frames):
        return 0.0
    power = (np.abs(np.fft.rfft(frames * np.hanning(_BLOCK).astype(np.float32))) ** 2).sum(axis=0)
    above = power[round(TELEPHONE_HZ * _BLOCK / rate_hz) :].sum()
    return _db(float(above / max(power[1:].sum(), 1e-20)))


def _of_sound(sounds: Sequence[Sound]) -> Iterator[Finding]:
    silent = [sound.id for sound in sounds if sound.level_dbfs < SILENT_DBFS]
    faint = [sound.id for sound in sounds if SILENT_DBFS <= sound.level_dbfs < FAINT_DBFS]
    heard = [sound for sound in sounds if sound.level_dbfs >= SILENT_DBFS]
    clipped = sorted((sound for sound in heard if sound.clipped > MAX_CLIPPED), key=lambda sound: -sound.clipped)
    yield Finding(True, f"silence (below {SILENT_DBFS:g} dBFS)", silent)
    yield Finding(False, f"faint (below {FAINT_DBFS:g} dBFS)", faint)
    yield Finding(False, f"clipped (more than {MAX_CLIPPED:.1%} of samples at the peak)", [one.id for one in clipped])
    shifted = [sound.id for sound in heard if abs(sound.offset) > MAX_OFFSET]
    yield Finding(False, f"a mean other than 0 (beyond {MAX_OFFSET:g} of full scale)", shifted)
    narrow = [sound.id for sound in heard if sound.above_db < MIN_ABOVE_DB]
    what = f"telephone band (energy above {TELEPHONE_HZ / 1000:g} kHz below {MIN_ABOVE_DB:g} dB)"
    yield Finding(False, what, narrow)


def _of_copies(same: Iterable[Sequence[tuple[str, str, str]]]) -> Iterator[Finding]:
    copies = [each for each in same if len(each) > 1]
    named = [" = ".join(id_ for id_, *_ in each) for each in copies if len({said[1:] for said in each}) == 1]
    contradicting = [" = ".join(id_ for id_, *_ in each) for each in copies if len({said[1:] for said in each}) > 1]
    yield Finding(False, "the same samples", named)
    yield Finding(True, "the same samples under two speakers or languages", contradicting)


def _levels(sounds: Mapping[str, Sequence[Sound]]) -> Iterator[str]:
    """Yield a line for each source: percentiles of its levels, highest peak, clipped share, energy above 4 kHz."""
    yield "  level (dBFS, 5th to 95th percentile), peak, clipped, energy above 4 kHz (median)"
    width = min(max(map(len, sounds), default=0), 48)
    for source, own in sorted(sounds.items(), key=lambda item: -len(item[1])):
        low, middle, high = np.percentile([sound.level_dbfs for sound in own], [5, 50, 95])
        clipped = sum(sound.clipped > MAX_CLIPPED for sound in own) / len(own)
        peak, above = max(sound.peak_dbfs for sound in own), np.median([sound.above_db for sound in own])
        levels = f"{low:6.1f} {middle:6.1f} {high:6.1f}"
        yield f"  {source[:width]:<{width}} {levels}  peak {peak:5.1f}  clipped {clipped:4.0%}  {above:6.1f} dB"


def _told(findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings:
        verdict = "pass" if not finding.ids else "FAIL" if finding.fails else "LOOK"
        named = ", ".join(finding.ids[:_SHOWN]) + (", ..." if len(finding.ids) > _SHOWN else "")
        count = f"{len(finding.ids)}: {named}" if finding.ids else "none"
        yield f"  {verdict}  {finding.what}: {count}"
