"""What a cell is made of: corpora, split and encoder as the settings say; what a user can get wrong is found here."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.data.splits import Split, sentence
from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.layers import Label, Layers, as_layers, label, read_by
from tractprobe.runs.building import build
from tractprobe.runs.hydra import builtin_corpus
from tractprobe.runs.identity import differences, head_label, model_label
from tractprobe.runs.settings import Plain
from tractprobe.system.errors import ConfigError, RunError
from tractprobe.system.version import __version__

BUILTIN = "virtual"


@dataclass(frozen=True, eq=False)
class Plan:
    """What a cell is made of.

    Attributes
    ----------
    heads
        The layers that each head reads.
    identity
        What determines the numbers: the axes, content hashes of corpora and encoder, and other settings that differ
        from the shipped ones; and for the record the versions of what computed them.
    """

    settings: Plain
    corpora: tuple[PreparedCorpus, ...]
    split: Split
    encoder: Encoder
    heads: tuple[Layers, ...]
    identity: Plain

    @classmethod
    def of(cls, settings: Plain, others: Sequence[str] = ()) -> "Plan":
        """Open and load what the settings name; with ``others``, the test set is all of these corpora."""
        data = Path(settings["paths"]["data"])
        own = open_corpora(settings["corpora"], data)
        split = _split(settings, own)
        corpora = list(own)
        if others:
            foreign = open_corpora(others, data)
            split = replace(split, test=_foreign_test(own, foreign, split, settings["split"]["disjoint_text"]))
            corpora += [corpus for corpus in foreign if corpus.name not in settings["corpora"]]
        encoder = build(settings["model"])
        identity = _identity(settings, own, encoder)
        heads = as_layers(settings["layer"], encoder.num_layers, encoder.label)
        if head_label(settings) == "weighted":  # one head that reads them all
            heads = (read_by(heads),)
        if not settings["features"]["cache"]:  # a cache holds every layer
            encoder.truncate(max(read_by(heads)))
        return cls(settings, tuple(corpora), split, encoder, heads, identity)

    @property
    def labels(self) -> tuple[Label, ...]:
        """What tables call each head's layers."""
        return tuple(map(label, self.heads))

    @classmethod
    def of_each(cls, cells: Sequence[Plain]) -> "list[Plan]":
        """Return the plans of cells that differ in what is held out, and share everything else."""
        first = cls.of(cells[0])
        return [
            replace(
                first,
                settings=settings,
                split=_split(settings, first.corpora),
                # The encoder's is the one before it was cut.
                identity=_identity(settings, first.corpora, first.encoder) | {"encoder": first.identity["encoder"]},
            )
            for settings in cells
        ]

    def of_run(self, identity: Plain) -> "Plan":
        """Return the plan under a finished run's identity; RunError if its encoder or corpora were others."""
        for what in ("encoder", "corpora"):
            if self.identity[what] != identity[what]:
                now = self.identity[what]
                raise RunError(f"the {what} of now are not those of the run: {now} instead of {identity[what]}")
        return replace(self, identity=identity | {"versions": self.identity["versions"]})


def open_corpora(names: str | Sequence[str], data: Path) -> list[PreparedCorpus]:
    """Open prepared corpora by name; the built-in one is prepared here if it is not yet."""
    if isinstance(names, str):
        raise ConfigError(f"corpora={names}: give a list, corpora=[{names}]")
    if not names or len(set(names)) != len(names):
        raise ConfigError(f"corpora={list(names)}: names of prepared corpora, each once")
    if BUILTIN in names and (known := PreparedCorpus.source(data / BUILTIN)) in (None, builtin_corpus()):
        has_source = known is not None and bool(PreparedCorpus(data / BUILTIN).source_origins)
        prepare(Folder(BUILTIN, Path(builtin_corpus())), data, source_channels=has_source)
    return [PreparedCorpus(data / name) for name in names]


def each_held_out(settings: Plain) -> list[Plain]:
    """Return the settings of one cell for each value that ``held_out`` can have."""
    corpora = open_corpora(settings["corpora"], Path(settings["paths"]["data"]))
    entries = [entry for corpus in corpora for entry in corpus.entries]
    return [settings | {"held_out": value} for value in build(settings["split"]).values(entries)]


def _split(settings: Plain, corpora: Sequence[PreparedCorpus]) -> Split:
    entries = [entry for corpus in corpora for entry in corpus.entries]
    return build(settings["split"])(entries, settings["held_out"], settings["seed"])


def _identity(settings: Plain, corpora: Sequence[PreparedCorpus], encoder: Encoder) -> Plain:
    return {
        "model": model_label(settings),
        "layer": settings["layer"],
        "head": head_label(settings),
        "held_out": settings["held_out"],
        "split": settings["split"]["by"],
        "seed": settings["seed"],
        "corpora": {corpus.name: corpus.content_hash for corpus in corpora},
        "encoder": encoder.identity,
        "differences": differences(settings),
        "versions": {"tractprobe": __version__, "torch": version("torch"), "transformers": version("transformers")},
    }


def _foreign_test(
    own: Sequence[PreparedCorpus], foreign: Sequence[PreparedCorpus], split: Split, disjoint_text: bool
) -> tuple[str, ...]:
    """Return the ids of other corpora's utterances that the heads have not learned from, nor their sentences."""
    development = set(split.development)
    learned = {sentence(entry) for corpus in own for entry in corpus.entries if entry.id in development}
    entries = [entry for corpus in foreign for entry in corpus.entries if entry.id not in development]
    test = sorted(entry.id for entry in entries if not (disjoint_text and sentence(entry) in learned))
    if not test:
        raise RunError("the run has learned every sentence of these corpora; nothing is left to test on")
    return tuple(test)
