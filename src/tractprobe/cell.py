"""One cell: corpora, split, encoder and heads as the settings say, fitted and scored.

``Plan`` is all that a user can get wrong, found out before anything is fitted or logged; ``Cell`` does the work.
Closed-form heads are fitted from sums over one pass of the frames, others by Lightning; one test loop scores both.
"""

import json
import logging
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tractprobe import __version__
from tractprobe.checkpoint import AtomicCheckpoints, WithinEpochs
from tractprobe.config import Plain, build, builtin_corpus, differences, head_label, model_label
from tractprobe.corpora.folder import Folder
from tractprobe.datamodule import EmaData
from tractprobe.encoders import Encoder
from tractprobe.errors import ConfigError, RunError, first_line
from tractprobe.features import FeatureCache, as_storage, cached
from tractprobe.files import atomic, digest
from tractprobe.module import Inversion
from tractprobe.prepare import prepare
from tractprobe.prepared import PreparedCorpus
from tractprobe.ridge import Ridge, gather
from tractprobe.splits import Split, sentence
from tractprobe.targets import Targets

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from pytorch_lightning.loggers import WandbLogger

log = logging.getLogger(__name__)

BUILTIN = "virtual"
CHECKPOINTS = "checkpoints"

# What libraries warn of although it is meant; by message, so that anything else is still seen.
_EXPECTED_WARNINGS = (
    ".*isinstance\\(treespec, LeafSpec\\)",  # Lightning 2.6 with torch 2.13
    ".*in eval mode at the start of training.*",  # the frozen encoder
    ".*does not have many workers.*",
    "Support for mismatched key_padding_mask and attn_mask.*",  # WavLM in transformers 5
    "Checkpoint directory .* exists and is not empty.*",  # it is the one we resume from
    "You defined a `validation_step` but have no `val_dataloader`.*",  # too small a corpus to be divided
)


@dataclass(frozen=True, eq=False)
class Plan:
    """What a cell is made of.

    Attributes
    ----------
    identity
        What determines the numbers: the axes, content hashes of corpora and encoder, and other settings that differ
        from the shipped ones; and for the record the versions of what computed them.
    """

    settings: Plain
    corpora: tuple[PreparedCorpus, ...]
    split: Split
    encoder: Encoder
    layers: tuple[int, ...]
    identity: Plain

    @classmethod
    def of(cls, settings: Plain, others: Sequence[str] = ()) -> "Plan":
        """Open and load what the settings name; with ``others``, the test set is all of these corpora."""
        data = Path(settings["paths"]["data"])
        own = open_corpora(settings["corpora"], data)
        entries = [entry for corpus in own for entry in corpus.entries]
        split = build(settings["split"])(entries, settings["held_out"], settings["seed"])
        corpora = list(own)
        if others:
            foreign = open_corpora(others, data)
            split = replace(split, test=_foreign_test(own, foreign, split, settings["split"]["disjoint_text"]))
            corpora += [corpus for corpus in foreign if corpus.name not in settings["corpora"]]
        encoder = build(settings["model"])
        identity = _identity(settings, own, encoder)
        return cls(settings, tuple(corpora), split, encoder, _layers(settings["layer"], encoder), identity)

    def of_run(self, identity: Plain) -> "Plan":
        """Return the plan under a finished run's identity; RunError if its encoder or corpora were others."""
        for what in ("encoder", "corpora"):
            if self.identity[what] != identity[what]:
                now = self.identity[what]
                raise RunError(f"the {what} of now are not those of the run: {now} instead of {identity[what]}")
        return replace(self, identity=identity | {"versions": self.identity["versions"]})


class Cell:
    """A plan with its features computed, ready to be fitted and scored."""

    def __init__(self, plan: Plan, folder: Path, logger: "WandbLogger | None" = None):
        settings, encoder = plan.settings, plan.encoder
        self.plan, self.folder = plan, folder
        self.trainer = _trainer(settings, folder, logger)
        self.targets = Targets(settings["targets"], build(settings["ema"]))
        self.data = EmaData(
            plan.corpora,
            plan.split,
            encoder.geometry,
            encoder.count_frames,
            layers=plan.layers,
            states=self._states(),
            targets=self.targets,
            seed=settings["seed"],
            **settings["data"],
        )
        self.data.setup()
        size = {"num_layers": len(plan.layers), "width": encoder.width, "num_channels": len(self.targets.channels)}
        self.module = Inversion(
            encoder,
            build(settings["head"], **size),
            layers=plan.layers,
            groups=self.data.groups,
            targets=self.targets,
            storage=as_storage(settings["features"]["storage"]),
            make_optimizer=lambda parameters: build(settings["optimizer"], params=list(parameters)),
            patience=settings["patience"],
            seed=settings["seed"],
            identity=digest({key: value for key, value in plan.identity.items() if key != "versions"}),
        )

    def fit(self) -> Plain:
        """Fit the heads; return what was chosen on the validation part."""
        if not self.plan.split.folds:
            log.warning("too few speakers and sentences to keep any aside for choices: none are made")
        return self._solve(self.module.head) if isinstance(self.module.head, Ridge) else self._train(self.module.head)

    def score(self) -> list[Plain]:
        """Return the test set's scores, one row for each layer, speaker and channel."""
        self.trainer.test(self.module, datamodule=self.data, verbose=False)
        assert self.module.scores is not None
        rows = self.module.scores.rows(self.plan.layers, self.data.groups, self.targets.channels)
        if not rows:
            raise RunError("not one frame of the test set has a target")
        return rows

    def own_scale(self) -> list[str]:
        """Return the speakers whose means and scales come, at least in part, from their own test frames."""
        return sorted(name for name, scale in self.data.scales.items() if scale.from_test.any())

    def source_origins(self) -> dict[str, dict[str, int]]:
        """Return of each corpus where pitch and voicing come from, if they are decoded."""
        wanted = self.plan.corpora if "source" in self.targets.names else ()
        return {corpus.name: corpus.source_origins for corpus in wanted}

    def save_heads(self, path: Path) -> None:
        """Write the heads with their channels, unit, layers and identity."""
        from safetensors.torch import save

        weights = {name: value.detach().cpu().contiguous() for name, value in self.module.head.state_dict().items()}
        with atomic(path) as temporary:
            temporary.write_bytes(save(weights, metadata={"tractprobe": json.dumps(self._about())}))

    def load_heads(self, path: Path) -> None:
        """Take the heads of a finished run; RunError if the file is not theirs."""
        from safetensors import SafetensorError, safe_open
        from safetensors.torch import load_file

        try:
            with safe_open(path, "pt") as file:
                about = json.loads((file.metadata() or {}).get("tractprobe", "null"))
            self.module.head.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError, ValueError) as error:
            raise RunError(f"{path}: not the heads of this run: {first_line(error)}") from None
        if about != json.loads(json.dumps(self._about())):
            raise RunError(f"{path}: the heads of another run, by the channels, layers and identity that they name")

    def _about(self) -> Plain:
        return {
            "channels": [channel.name for channel in self.targets.channels],
            "units": [channel.unit for channel in self.targets.channels],
            "target": "standardised per speaker",
            "layers": list(self.plan.layers),
            "identity": {key: value for key, value in self.plan.identity.items() if key != "versions"},
        }

    def _states(self) -> dict[str, FeatureCache] | None:
        settings, device = self.plan.settings, self.trainer.strategy.root_device
        if not settings["features"]["cache"]:
            return None
        cache, storage = Path(settings["paths"]["cache"]), as_storage(settings["features"]["storage"])
        batch_size = settings["data"]["batch_size"]
        return {
            corpus.name: cached(self.plan.encoder, corpus, cache, storage, device, batch_size)
            for corpus in self.plan.corpora
        }

    def _solve(self, head: Ridge) -> Plain:
        device = self.trainer.strategy.root_device
        self.module.to(device)
        if not head.per_channel and len(self.targets.names) > 1:
            raise ConfigError("head.alpha_per_channel=false chooses one alpha for all: give one set of targets")
        alphas = head.fit(gather(self.data, lambda batch: self.module.states(batch.to(device)))).tolist()
        return {"alpha": [[alpha if alpha == alpha else None for alpha in layer] for layer in alphas]}

    def _train(self, head: Any) -> Plain:
        last = self.folder / CHECKPOINTS / "last.ckpt"
        if last.exists():
            log.info("going on from %s", last)
        else:
            batches = self.data.standardisation_dataloader()
            head.standardise((self.module.states(batch), batch.valid) for batch in batches)
        self.trainer.fit(
            self.module,
            train_dataloaders=self.data.train_dataloader(),
            val_dataloaders=self.data.val_dataloader() if self.plan.split.validation else None,
            ckpt_path=last if last.exists() else None,
            weights_only=True,
        )
        if self.trainer.interrupted:
            raise RunError("interrupted; the same command goes on")
        self.module.restore_best()
        best_r = [r if r > -1 else None for r in self.module.best_r.tolist()]
        return {"best_validation_r": best_r, "history": self.module.history}


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


def _layers(layer: Any, encoder: Encoder) -> tuple[int, ...]:
    if layer == "all":
        return tuple(range(encoder.num_layers))
    if not isinstance(layer, int) or not 0 <= layer < encoder.num_layers:
        raise ConfigError(f"layer={layer}: {encoder.label} has layers 0 to {encoder.num_layers - 1}, or all")
    return (layer,)


def _trainer(settings: Plain, folder: Path, logger: "WandbLogger | None") -> "pl.Trainer":
    from pytorch_lightning.callbacks import ModelCheckpoint

    if settings["trainer"]["devices"] not in (1, "1"):
        raise ConfigError("trainer.devices=1: a run uses one device; spread a sweep with launcher=joblib or slurm")
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in _EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", message)
    last = {"dirpath": folder / CHECKPOINTS, "filename": "last", "enable_version_counter": False}
    within_epochs = WithinEpochs(**last, train_time_interval=timedelta(seconds=settings["checkpoint_s"]))
    every_epoch = ModelCheckpoint(**last, every_n_epochs=1, save_on_train_epoch_end=True)
    return build(
        settings["trainer"],
        logger=logger or False,
        callbacks=[within_epochs, every_epoch],
        plugins=[AtomicCheckpoints()],
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        use_distributed_sampler=False,
        limit_test_batches=1.0,
        default_root_dir=folder,
    )
