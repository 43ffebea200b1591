"""The problem that heads are to solve: corpora, split, encoder, inputs and targets as the settings say.

Mistakes in naming them are found here, before anything is encoded.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from typing import Any

import torch

from tractprobe.corpora.prepared import texts
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.data.features import FrameFeatures
from tractprobe.data.groups import GroupKey
from tractprobe.data.splits import Split
from tractprobe.data.targets import Targets
from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.layers import Label, as_layers, read_by
from tractprobe.probes.opening import open_corpora
from tractprobe.probes.states import HeadInput, HiddenStates, read_features
from tractprobe.runs.building import build
from tractprobe.runs.identity import head_label
from tractprobe.runs.settings import Settings
from tractprobe.system.errors import RunError
from tractprobe.system.registry import place_of
from tractprobe.system.version import __version__

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Problem:
    """What heads learn from, are chosen on and are tested on.

    Attributes
    ----------
    inputs
        What each head reads.
    identity
        What determines the numbers: the axes, content hashes of corpora and encoder, and other settings that differ
        from the shipped ones; and for the record the versions of what computed them.
    features
        By name, what inputs can read besides layers of the encoder.
    """

    settings: Settings
    corpora: tuple[PreparedCorpus, ...]
    split: Split
    encoder: Encoder
    inputs: tuple[HeadInput, ...]
    targets: Targets
    identity: dict[str, Any]
    features: Mapping[str, FrameFeatures] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings, tested: Sequence[str] = ()) -> "Problem":
        """Open and load what the settings name; with ``tested``, the test set is all of these corpora."""
        own = open_corpora(settings.corpora, settings.paths.data)
        split = _split(settings, own)
        for doubt in texts.doubts([entry for corpus in own for entry in corpus.entries]):
            log.warning("%s: %s", "+".join(settings.corpora), doubt)
        corpora = list(own)
        if tested:
            foreign = open_corpora(tested, settings.paths.data)
            split = replace(split, test=_foreign_test(own, foreign, split, settings.split.arguments["disjoint_text"]))
            corpora += [corpus for corpus in foreign if corpus.name not in settings.corpora]
        encoder = build(settings.model)
        identity = _identity(settings, own, encoder) | _comparison_of_texts(own)
        layers = as_layers(settings.layer, encoder.num_layers, encoder.label)
        if _combines_layers(settings):  # one head that reads them all
            layers = (read_by(layers),)
        if not settings.features.cache:  # a cache holds every layer
            encoder.truncate(max(read_by(layers)))
        targets = Targets(settings.targets, build(settings.ema)).over(own)
        inputs = tuple(map(HeadInput.of, layers))
        return cls(settings, tuple(corpora), split, encoder, inputs, targets, identity)

    @classmethod
    def of_each(cls, settings: Sequence[Settings]) -> "list[Problem]":
        """Return the problems of runs that differ in what is held out, and share everything else."""
        first = cls.of(settings[0])
        # The encoder's identity is that from before it was truncated.
        shared = {name: first.identity[name] for name in ("encoder", "texts") if name in first.identity}
        return [
            replace(
                first,
                settings=own,
                split=_split(own, first.corpora),
                identity=_identity(own, first.corpora, first.encoder) | shared,
            )
            for own in settings
        ]

    def of_run(self, identity: dict[str, Any]) -> "Problem":
        """Return the problem under a finished run's identity; RunError if its encoder or corpora have changed."""
        for what in ("encoder", "corpora"):
            if self.identity[what] != identity[what]:
                now = self.identity[what]
                raise RunError(f"{what} have changed since the run was finished: {now} now, {identity[what]} then")
        if self.identity.get("texts") != identity.get("texts"):
            log.warning("the run was split by %s; its test set was not the present one", texts.OLDER)
        return replace(self, identity=identity | {"versions": self.identity["versions"]})

    def reading(self, inputs: Sequence[HeadInput], features: Sequence[FrameFeatures] = ()) -> "Problem":
        """Return the problem with other inputs, which enter its identity, and what these can read besides layers."""
        by_name = read_features(inputs, {feature.name: feature for feature in features})
        identity = self.identity | {
            "inputs": {
                str(read.label): {"layers": list(read.layers), "features": list(read.features)} for read in inputs
            },
            "features": {name: [feature.width, feature.identity] for name, feature in by_name.items()},
        }
        return replace(self, inputs=tuple(inputs), features=by_name, identity=identity)

    @property
    def labels(self) -> tuple[Label, ...]:
        """What tables call each head's input."""
        return tuple(read.label for read in self.inputs)

    @cached_property
    def groups(self) -> tuple[GroupKey, ...]:
        """(corpus, language, speaker) of all that is developed on or tested."""
        return tuple(sorted({GroupKey.of(self.entries[id_]) for id_ in {*self.split.development, *self.split.test}}))

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """Every utterance of the corpora by its id."""
        return {entry.id: entry for corpus in self.corpora for entry in corpus.entries}

    @property
    def combines_layers(self) -> bool:
        """Whether one head adds up several layers, rather than each head reading an input of its own."""
        return _combines_layers(self.settings)

    @property
    def own_identity(self) -> dict[str, Any]:
        """The identity without the versions that computed it."""
        return {key: value for key, value in self.identity.items() if key != "versions"}

    def source_origins(self) -> dict[str, dict[str, int]]:
        """Return where pitch and voicing of each corpus come from, if they are decoded."""
        decoded = self.corpora if "source" in self.targets.names else ()
        return {corpus.name: corpus.source_origins for corpus in decoded}

    def states(self, device: torch.device) -> HiddenStates:
        """Return what the inputs read, having encoded what is not cached."""
        return HiddenStates.of(self.encoder, self.corpora, self.inputs, self.settings, device, self.features)


def _combines_layers(settings: Settings) -> bool:
    return place_of(settings.head.target).load().combines_layers


def _split(settings: Settings, corpora: Sequence[PreparedCorpus]) -> Split:
    entries = [entry for corpus in corpora for entry in corpus.entries]
    return build(settings.split)(entries, settings.held_out, settings.seed)


def _identity(settings: Settings, corpora: Sequence[PreparedCorpus], encoder: Encoder) -> dict[str, Any]:
    return {
        "model": settings.id.model,
        "layer": settings.layer,
        "head": head_label(settings.raw),
        "held_out": settings.held_out,
        "split": settings.id.split,
        "seed": settings.seed,
        "corpora": {corpus.name: corpus.content_hash for corpus in corpora},
        "encoder": encoder.identity_on(corpora),
        "differences": dict(settings.id.differences),
        "versions": {"tractprobe": __version__, "torch": version("torch"), "transformers": version("transformers")},
    }


def _comparison_of_texts(corpora: Sequence[PreparedCorpus]) -> dict[str, Any]:
    """Return the version by which sentences were told apart, if an earlier one would have split otherwise."""
    version = texts.version(entry for corpus in corpora for entry in corpus.entries)
    return {} if version == 1 else {"texts": version}


def _foreign_test(
    own: Sequence[PreparedCorpus], foreign: Sequence[PreparedCorpus], split: Split, disjoint_text: bool
) -> tuple[str, ...]:
    """Return the ids of other corpora's utterances that the heads have not learned from, nor their sentences."""
    development = set(split.development)
    learned = {texts.sentence(entry) for corpus in own for entry in corpus.entries if entry.id in development}
    entries = [entry for corpus in foreign for entry in corpus.entries if entry.id not in development]
    test = sorted(entry.id for entry in entries if not (disjoint_text and texts.sentence(entry) in learned))
    if not test:
        raise RunError("the run has learned every sentence of these corpora: nothing is left to test on")
    return tuple(test)
