"""Phones against articulation: whether an encoder holds phones, movements, or the one because of the other.

Four questions, all in languages that heads and discriminants never heard:

1. Which phone, and which of its features, can be told from each layer (the phonetic score)?
2. Which phone can be told from measured movements, and from those that a head predicts? If categories are projections
   of the articulatory space, twelve predicted positions tell as much as measured ones, and more than twelve random
   directions of the same layer (the control).
3. What do a transcript with times, and one without, say about movements?
4. What do states say beyond the transcript, the transcript beyond states, and both (``evidence.partition``)?
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from tractprobe.data.phone_labels import inventory, phone_counts
from tractprobe.data.splits import Split
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.phone_report import PhoneReport
from tractprobe.evidence.methods.phonetic import (
    Material,
    Rules,
    from_movements,
    from_projections,
    in_layers,
    scores_of,
)
from tractprobe.evidence.methods.transcribed import Transcribed, transcribed
from tractprobe.evidence.record import DoesNotApply, Evidence
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import ConfigError


@dataclass(frozen=True)
class Phones:
    """Whether an encoder holds phones, movements, or the one because of the other.

    Parameters
    ----------
    by
        What is held out: ``language``, or ``speaker`` or ``corpus``, of which each speaker is tested once.
    shrinkages
        Candidates for the covariance within classes, chosen on the first fold of each split.
    least_frames
        Frames of the development side that a phone needs to be a class.
    around_s
        Times around a frame at which measured positions are read for ``phones_from_measured``.
    projections
        How many random projections the control averages over.
    acoustics
        The option of conf/model whose unique share the encoder's is compared with, since any sound holds some movements
        that phones do not tell; ``None`` for no comparison.
    margin_r2, margin_accuracy
        The least share of the movements, and the least difference in balanced accuracy, that would matter: speakers
        that would show it are counted.
    """

    by: str = "language"
    shrinkages: Sequence[float] = (0.01, 0.1, 0.5)
    least_frames: int = 20
    around_s: Sequence[float] = (-0.06, -0.03, 0.0, 0.03, 0.06)
    projections: int = 3
    acoustics: str | None = "mel"
    margin_r2: float = 0.02
    margin_accuracy: float = 0.03

    name: ClassVar[str] = "phones"
    version: ClassVar[int] = 1

    def __post_init__(self):
        if self.by not in ("language", "speaker", "corpus"):
            raise ConfigError(f"analysis=phones: by={self.by}: expected language, speaker or corpus")
        shrinks = len(self.shrinkages) and all(0 <= each <= 1 for each in self.shrinkages)
        counts = self.least_frames >= 2 and self.projections >= 0 and len(self.around_s)
        if not (shrinks and counts and self.margin_r2 > 0 and self.margin_accuracy > 0):
            raise ConfigError(
                "analysis=phones: expected shrinkages from 0 to 1, least_frames of 2 or more, times in around_s, "
                f"projections of 0 or more and positive margins, not {self}"
            )

    def __call__(self, bench: Bench) -> Evidence:
        """Return the findings; DoesNotApply if no corpus has phone labels."""
        if not any(phone_counts(corpus) for corpus in bench.corpora):
            names = "+".join(corpus.name for corpus in bench.corpora)
            raise DoesNotApply(f"{names} has no phone labels; docs/corpora.md lists corpora that have")
        phones = inventory(bench.corpora, "analysis=phones")
        splits, without = _with_phones(bench, bench.splits(self.by))
        rules = Rules(tuple(map(float, sorted(self.shrinkages))), self.least_frames)
        material = Material.of(bench, splits, phones)
        layers = in_layers(material, rules)
        moved = transcribed(bench, splits, phones)
        acoustic = None
        if self.acoustics is not None and bench.settings.id.model != self.acoustics:
            acoustic = transcribed(bench.other(bench.option(self.acoustics)), splits, phones)
        read = from_movements(material, rules, tuple(map(float, self.around_s)))
        heads = {value: (moved.layers[value], weight) for value, weight in moved.weights.items()}
        read["predicted"], drawn = from_projections(material, rules, heads, self._seeds(bench, material, moved))
        margins = {"margin_r2": self.margin_r2, "margin_accuracy": self.margin_accuracy}
        random = [scores_of(each) for each in drawn]
        return PhoneReport(
            material, layers, read, random, moved, acoustic, without, self.least_frames, **margins
        ).evidence()

    def _seeds(self, bench: Bench, material: Material, moved: Transcribed) -> range:
        """Return no seed where a layer is no wider than the channels, so that any projection keeps all of it."""
        widths = [material.store.widths[str(label)] for label in moved.layers.values()]
        return range(bench.seed, bench.seed + self.projections) if min(widths) > len(CHANNELS) else range(0)


def _with_phones(bench: Bench, splits: Mapping[str, Split]) -> tuple[dict[str, Split], list[str]]:
    """Return the splits that have phones on both sides, and the values of the others."""
    has_phones = {corpus.name: bool(phone_counts(corpus)) for corpus in bench.corpora}
    labelled = {id_ for id_, entry in bench.entries.items() if has_phones[entry.corpus]}
    kept = {
        value: split for value, split in splits.items()
        if labelled & set(split.test) and labelled & set(split.development)
    }  # fmt: skip
    if not kept:
        raise DoesNotApply("no held-out value has phone labels in both training and test")
    return kept, sorted(splits.keys() - kept.keys())
