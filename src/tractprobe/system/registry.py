"""Public names: what configurations, results and head files call things, and where these live now.

A public name stays the same when the code moves: it is written into configurations, results, head files and prepared
corpora, and run names follow from it. The first names were import paths, and remain valid as they were.

Nothing is built from a name that is not in the table, whoever wrote it: runs and head files of others are
configurations, too. What a name stands for is imported when it is asked for. Besides our own there are the names of
installed plug-ins (``plugins``) and of classes of PyTorch and Lightning (``libraries``), which are looked up only if a
name is not ours.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Literal

from tractprobe.system.errors import ConfigError

Kind = Literal[
    "analysis",
    "callback",
    "closed-form head",
    "encoder",
    "head",
    "logger",
    "objective",
    "optimizer",
    "reader",
    "schedule",
    "smoothing",
    "split",
    "states",
    "target set",
    "tracking",
    "trainer",
]


@dataclass(frozen=True)
class Place:
    """Where a public name's object lives: an attribute of a module, imported on demand."""

    kind: Kind
    module: str
    attribute: str

    def load(self) -> Any:
        """Import the module and return the object."""
        return getattr(import_module(self.module), self.attribute)

    def checked(self, built: Any) -> Any:
        """Return what the object built; a plug-in's is checked against its kind."""
        return built


def _ours(kind: Kind, names: dict[str, str]) -> dict[str, Place]:
    """Return our own places, each given as ``module:attribute`` below ``tractprobe``."""
    return {
        name: Place(kind, f"tractprobe.{module}", attribute)
        for name, (module, _, attribute) in ((name, place.partition(":")) for name, place in names.items())
    }


PUBLIC: dict[str, Place] = {
    "pytorch_lightning.Trainer": Place("trainer", "pytorch_lightning", "Trainer"),
    "torch.optim.AdamW": Place("optimizer", "torch.optim", "AdamW"),
    "torch.optim.lr_scheduler.ConstantLR": Place("schedule", "torch.optim.lr_scheduler", "ConstantLR"),
    "torch.optim.lr_scheduler.CosineAnnealingLR": Place("schedule", "torch.optim.lr_scheduler", "CosineAnnealingLR"),
    "torch.optim.lr_scheduler.LinearLR": Place("schedule", "torch.optim.lr_scheduler", "LinearLR"),
    **_ours("analysis", {
        "tractprobe.analyses.Babble": "evidence.analyses.babble:Babble",
        "tractprobe.analyses.Controls": "evidence.analyses.controls:Controls",
        "tractprobe.analyses.Crossed": "evidence.analyses.crossed:Crossed",
        "tractprobe.analyses.Curves": "evidence.analyses.curves:Curves",
        "tractprobe.analyses.Disturbed": "evidence.analyses.disturbed:Disturbed",
        "tractprobe.analyses.Downstream": "evidence.analyses.downstream:Downstream",
        "tractprobe.analyses.Erasure": "evidence.analyses.erasure:Erasure",
        "tractprobe.analyses.Interventions": "evidence.analyses.interventions:Interventions",
        "tractprobe.analyses.LowResource": "evidence.analyses.low_resource:LowResource",
        "tractprobe.analyses.Phones": "evidence.analyses.phones:Phones",
        "tractprobe.analyses.Prosody": "evidence.analyses.prosody:Prosody",
        "tractprobe.analyses.Published": "evidence.analyses.published:Published",
        "tractprobe.analyses.RaisedIn": "evidence.analyses.raised_in:RaisedIn",
        "tractprobe.analyses.Speakers": "evidence.analyses.speakers:Speakers",
        "tractprobe.analyses.Steering": "evidence.analyses.steering:Steering",
        "tractprobe.analyses.Tokens": "evidence.analyses.tokens:Tokens",
    }),
    **_ours("smoothing", {"tractprobe.conditioning.Conditioning": "signals.smoothing:Smoothing"}),
    **_ours("reader", {
        "tractprobe.corpora.articulograph.Articulograph": "corpora.readers.articulograph:Articulograph",
        "tractprobe.corpora.audio.Audio": "corpora.readers.audio:Audio",
        "tractprobe.corpora.ema_mae.EmaMae": "corpora.readers.ema_mae:EmaMae",
        "tractprobe.corpora.emu.Emu": "corpora.readers.emu:Emu",
        "tractprobe.corpora.folder.Folder": "corpora.readers.folder:Folder",
        "tractprobe.corpora.frost.FrostEma": "corpora.readers.frost:FrostEma",
        "tractprobe.corpora.hprc.Hprc": "corpora.readers.hprc:Hprc",
        "tractprobe.corpora.mngu0.Mngu0": "corpora.readers.mngu0:Mngu0",
        "tractprobe.corpora.mocha.Mocha": "corpora.readers.mocha:Mocha",
        "tractprobe.corpora.mspka.Mspka": "corpora.readers.mspka:Mspka",
        "tractprobe.corpora.ndi_wave.NdiWave": "corpora.readers.ndi_wave:NdiWave",
        "tractprobe.corpora.pb2007.Pb2007": "corpora.readers.pb2007:Pb2007",
        "tractprobe.corpora.spire.Spire": "corpora.readers.spire:Spire",
        "tractprobe.corpora.torgo.Torgo": "corpora.readers.torgo:Torgo",
        "tractprobe.corpora.usc_timit.UscTimit": "corpora.readers.usc_timit:UscTimit",
        "tractprobe.corpora.xrmb.Xrmb": "corpora.readers.xrmb:Xrmb",
    }),
    **_ours("encoder", {
        "tractprobe.encoders.builtin": "encoders.builtin:builtin",
        "tractprobe.encoders.mel.LogMel": "encoders.mel:LogMel",
        "tractprobe.encoders.mel.Mfcc": "encoders.mel:Mfcc",
        "tractprobe.encoders.pretrained.pretrained": "encoders.pretrained:pretrained",
        "tractprobe.encoders.untrained.random_weights": "encoders.untrained:random_weights",
        "tractprobe.encoders.untrained.untrained": "encoders.untrained:untrained",
        "tractprobe.encoders.voice.Voice": "encoders.voice:Voice",
    }),
    **_ours("head", {
        "tractprobe.heads.Conv": "probes.heads.conv:Conv",
        "tractprobe.heads.Gru": "probes.heads.gru:Gru",
        "tractprobe.heads.Mlp": "probes.heads.mlp:Mlp",
        "tractprobe.heads.Transformer": "probes.heads.transformer:Transformer",
        "tractprobe.heads.Weighted": "probes.heads.weighted:Weighted",
    }),
    **_ours("closed-form head", {"tractprobe.ridge.Ridge": "probes.heads.ridge:Ridge"}),
    **_ours("objective", {
        "tractprobe.objective.Both": "probes.gradient.objective:Both",
        "tractprobe.objective.Mse": "probes.gradient.objective:Mse",
        "tractprobe.objective.Pearson": "probes.gradient.objective:Pearson",
    }),
    **_ours("split", {"tractprobe.splits.SplitRule": "data.splits:SplitRule"}),
    **_ours("tracking", {"tractprobe.tracking.Tracking": "runs.tracking:Tracking"}),
    **_ours("logger", {
        "pytorch_lightning.loggers.TensorBoardLogger": "runs.loggers:tensorboard",
        "tractprobe.loggers.MetricsFile": "runs.loggers:MetricsFile",
    }),
    **_ours("states", {"tractprobe.encoders.precomputed.Precomputed": "encoders.precomputed:Precomputed"}),
}  # fmt: skip
"""Every public name that this package has, and where it lives now."""


def place_of(name: Any) -> Place:
    """Return where a public name lives; ConfigError if there is no such name."""
    if isinstance(name, str) and name in PUBLIC:
        return PUBLIC[name]
    if isinstance(name, str) and (place := _of_plugin(name) or _of_library(name)):
        return place
    raise ConfigError(f"_target_ {unknown(name)}")


def unknown(name: Any) -> str:
    """Return a message about an unknown public name: what may have been meant, and which plug-ins were left out."""
    from tractprobe.system.plugins import installed

    close = did_you_mean(str(name), [*PUBLIC, *installed().places], listed=False)
    broken = "".join(f"; plug-in {package} was left out: {reason}" for package, reason in installed().broken.items())
    return (
        f"{name!s:.100} is not one of tractprobe's names: "
        f"it belongs to a plug-in that is not installed, or is misspelt{close}{broken}"
    )


def did_you_mean(name: str, names: Iterable[str], *, listed: bool = True, written: str = "{}") -> str:
    """Return the end of a message about an unknown name: the nearest of the names, or all of them.

    Parameters
    ----------
    written
        How the nearest one is written out, with the name in place of ``{}``.

    >>> did_you_mean("target", ["targets", "seed"]), did_you_mean("chache", ["cache"], written="features.{}=true")
    ('; did you mean targets?', '; did you mean features.cache=true?')
    """
    names = sorted(names)
    if close := difflib.get_close_matches(name, names, n=1):
        return f"; did you mean {written.replace('{}', close[0])}?"
    return f"; there are {', '.join(names)}" if listed else ""


def _of_plugin(name: str) -> Place | None:
    from tractprobe.system.plugins import installed

    return installed().places.get(name)


def _of_library(name: str) -> Place | None:
    from tractprobe.system.libraries import library_place

    return library_place(name)


def names_of(*kinds: Kind) -> frozenset[str]:
    """Return the public names of some kinds, ours and those of plug-ins; libraries' are not listed."""
    from tractprobe.system.plugins import KINDS, installed

    added = installed().places if KINDS & set(kinds) else {}
    return frozenset(name for table in (PUBLIC, added) for name, place in table.items() if place.kind in kinds)


def public_name(target: type) -> str:
    """Return the public name of a class; its import path if it has none.

    >>> from fractions import Fraction
    >>> public_name(Fraction)
    'fractions.Fraction'
    """
    place = (target.__module__, target.__qualname__)
    return _name_by_place().get(place) or _plugin_name(place) or ".".join(place)


def _plugin_name(place: tuple[str, str]) -> str | None:
    from tractprobe.system.plugins import installed

    return next((name for name, own in installed().places.items() if (own.module, own.attribute) == place), None)


@cache
def _name_by_place() -> dict[tuple[str, str], str]:
    return {(place.module, place.attribute): name for name, place in PUBLIC.items()}
