"""What corpora hold of source and prosody, and what an encoder's heads read of it, by themselves and beside phones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tractprobe.corpora.prepared.corpus import PreparedCorpus, how_to_prepare
from tractprobe.data.phone_labels import inventory, phone_counts
from tractprobe.data.phone_targets import InPhones
from tractprobe.data.splits import Split
from tractprobe.data.transcript import TimedPhones
from tractprobe.encoders.layers import Label
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.per_channel import ChannelFits, Choice, explained_by, fit_channels
from tractprobe.evidence.record import DoesNotApply
from tractprobe.evidence.statistics.effects import Cells
from tractprobe.probes.states import HeadInput
from tractprobe.runs.result import ScoreRow

TRANSCRIPT = "transcript"


@dataclass(frozen=True, eq=False)
class Material:
    """What there is to decode.

    Attributes
    ----------
    bench
        On the corpora that have it.
    sets
        Names of targets.
    labelled
        Names of the corpora that have phones.
    lacking
        Why some of it is missing, a sentence each.
    """

    bench: Bench
    sets: tuple[str, ...]
    labelled: frozenset[str]
    lacking: tuple[str, ...]

    @classmethod
    def of(cls, bench: Bench) -> "Material":
        """Look what the corpora hold; ConfigError if that is neither source channels nor phones."""
        with_source = [corpus for corpus in bench.corpora if corpus.source_origins]
        labelled = frozenset(corpus.name for corpus in bench.corpora if phone_counts(corpus))
        without = [corpus for corpus in bench.corpora if corpus not in with_source]
        how = "; ".join(map(_how_to_prepare, without))
        if not with_source and not labelled:
            raise DoesNotApply(f"there are neither source channels nor phone labels; {how}")
        sets = (*(("source",) if with_source else ()), *(("rate",) if labelled else ()))
        lacking = []
        if not labelled:
            lacking.append("there are no phone labels, so no speech rate and nothing beyond phones")
        if without:
            names = ", ".join(corpus.name for corpus in without)
            left = f"{names} is left out" if with_source else "pitch, voicing and loudness are undefined"
            lacking.append(f"without source channels {left}; {how}")
        there = bench if not (with_source and without) else bench.on(with_source)
        return cls(there, sets, labelled & {corpus.name for corpus in there.corpora}, tuple(lacking))

    def placed(self, bench: Bench) -> Bench:
        """Return another encoder's bench on the same corpora."""
        mine = {corpus.name for corpus in self.bench.corpora}
        chosen = [corpus for corpus in bench.corpora if corpus.name in mine]
        return bench if len(chosen) == len(bench.corpora) else bench.on(chosen)

    @cached_property
    def splits(self) -> list[Split]:
        """Each language held out in turn."""
        return list(self.bench.splits("language").values())

    @cached_property
    def phones(self) -> tuple[str, ...]:
        """The phones that a transcript can name."""
        labelled = [corpus for corpus in self.bench.corpora if corpus.name in self.labelled]
        return inventory(labelled, "analysis=prosody")

    @cached_property
    def has_phones(self) -> list[bool]:
        """Whether each split has phones on both sides."""
        ids = {id_ for id_, entry in self.bench.entries.items() if entry.corpus in self.labelled}
        return [bool(ids & set(split.test)) and bool(ids & set(split.development)) for split in self.splits]


def _how_to_prepare(corpus: PreparedCorpus) -> str:
    return f"{how_to_prepare(corpus.name, corpus.description['source'])}, with source_channels=true"


@dataclass(frozen=True, eq=False)
class Decoded:
    """What one encoder's heads read.

    Attributes
    ----------
    fits
        Of each layer, at all frames.
    choices
        The layer of each channel under each split.
    r
        At these layers.
    r2
        At frames that have a phone, by ``states``, ``transcript`` and ``both``; empty without phones.
    """

    fits: ChannelFits
    choices: Sequence[Choice]
    r: list[ScoreRow]
    r2: Mapping[str, Cells]

    @classmethod
    def of(cls, bench: Bench, material: Material) -> "Decoded":
        """Fit one encoder."""
        fits = fit_channels(bench, material.splits, bench.targets(*material.sets))
        choices = fits.chosen()
        r2 = _beyond(bench, material, choices) if any(material.has_phones) else {}
        return cls(fits, choices, fits.at(choices), r2)


def _beyond(bench: Bench, material: Material, choices: Sequence[Choice]) -> dict[str, Cells]:
    """Return R² of states, transcript and both, each layer as chosen."""
    splits = [split for split, has in zip(material.splits, material.has_phones, strict=True) if has]
    choices = [choice for choice, has in zip(choices, material.has_phones, strict=True) if has]
    targets = bench.targets(*(InPhones(each) for each in bench.targets(*material.sets).sets))
    transcript = TimedPhones(material.phones)
    used = {label for choice in choices for label in choice.values()}
    layers = [read for read in bench.inputs if read.label in used]
    both = [HeadInput(_both(read.label), read.layers, (transcript.name,)) for read in layers]
    inputs = [HeadInput(TRANSCRIPT, (), (transcript.name,)), *layers, *both]
    fits = fit_channels(bench, splits, targets, inputs, [transcript])
    ways: dict[str, list[dict[str, Label]]] = {
        "states": [dict(choice) for choice in choices],
        TRANSCRIPT: [dict.fromkeys(choice, TRANSCRIPT) for choice in choices],
        "both": [{channel: _both(label) for channel, label in choice.items()} for choice in choices],
    }
    return {way: explained_by(fits.at(each)) for way, each in ways.items()}


def _both(label: Label) -> str:
    return f"{label} and transcript"
