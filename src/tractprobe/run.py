"""One run: from configuration to a directory with ``result.json``. Finished runs are skipped, others go on.

Closed-form heads are fitted from sums over one pass of the frames, others by Lightning; both are scored by the same
test loop. What a directory holds::

    result.json          identity, settings, timing and test scores; written last
    head.safetensors     the heads that were scored
    checkpoints/         where an interrupted fit goes on
    .hydra/, train.log   what was asked for, and what happened
    wandb/               files of W&B
"""

import json
import logging
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from tractprobe import __version__
from tractprobe.articulators import CHANNELS, UNIT
from tractprobe.config import Plain, build, builtin_corpus, differences, head_label, model_label, plain, run_name
from tractprobe.errors import ConfigError, RunError
from tractprobe.files import atomic, digest, write_json
from tractprobe.results import RESULT, Row, layer_means, layer_tables, read_result, write_result
from tractprobe.tracking import log_scores

if TYPE_CHECKING:
    import pytorch_lightning as pl
    import torch
    from pytorch_lightning.loggers import WandbLogger

    from tractprobe.datamodule import EmaData
    from tractprobe.encoders import Encoder
    from tractprobe.features import FeatureCache
    from tractprobe.module import Inversion
    from tractprobe.prepared import PreparedCorpus
    from tractprobe.splits import Split

log = logging.getLogger(__name__)

BUILTIN = "virtual"
HEAD, CHECKPOINTS, EVALUATIONS = "head.safetensors", "checkpoints", "evaluations"


def train(config: DictConfig) -> Plain:
    """Run one cell and return its result, or the result it already has."""
    settings = plain(config)
    name = run_name(settings)
    folder = Path(settings["paths"]["runs"], name)
    if (folder / RESULT).is_file():
        return _finished(folder, settings)
    folder.mkdir(parents=True, exist_ok=True)
    log.info("run %s", folder)
    with build(settings["tracking"]).run(name, folder, settings, "fit") as logger:
        result = _run(settings, folder, logger)
    write_result(folder, result)
    log.info("finished %s\n%s", folder / RESULT, _table(folder, result["identity"], result["scores"]))
    return result


def evaluate(config: DictConfig) -> list[Row]:
    """Score a finished run's heads again and write the rows under ``evaluations/`` of its directory."""
    asked = plain(config)
    folder = Path(asked["run"])
    result = read_result(folder)
    settings = result["settings"] | {name: asked[name] for name in ("paths", "trainer", "data")}
    settings["features"]["cache"] = asked["features"]["cache"]
    cell = _Cell.build(settings, folder, None, result["identity"], others=asked["corpora"] or [])
    _load_head(folder / HEAD, cell.module)
    rows = cell.score()
    name = "+".join(asked["corpora"] or ["own"])
    write_json(folder / EVALUATIONS / f"{name}.json", {"identity": cell.identity, "scores": rows})
    log.info("%s on %s\n%s", folder, name, _table(folder, result["identity"], rows))
    if not asked["corpora"]:
        log.info("largest difference from its result.json: %.1e in r", _largest_difference(rows, result["scores"]))
    return rows


@dataclass
class _Watch:
    """Wall-clock time of each stage."""

    timing_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.timing_s[stage] = round(time.perf_counter() - began, 3)


def _run(settings: Plain, folder: Path, logger: "WandbLogger | None") -> Plain:
    watch = _Watch()
    with watch("setup"):
        cell = _Cell.build(settings, folder, logger)
    with watch("fit"):
        fit = cell.fit()
    with watch("score"):
        rows = cell.score()
    _save_head(folder / HEAD, cell)
    if logger is not None:
        log_scores(logger, rows, layer_means(rows))
    return {
        "identity": cell.identity,
        "settings": settings,
        "timing_s": watch.timing_s | cell.watch.timing_s,
        "fit": fit,
        "utterances": {name: len(ids) for name, ids in vars(cell.split).items()},
        "scaled_by_own_test_frames": sorted(name for name, scale in cell.data.scales.items() if scale.from_test),
        "scores": rows,
    }


@dataclass
class _Cell:
    """Everything a run consists of, built from its settings."""

    settings: Plain
    folder: Path
    identity: Plain
    split: "Split"
    data: "EmaData"
    module: "Inversion"
    trainer: "pl.Trainer"
    watch: _Watch

    @classmethod
    def build(
        cls,
        settings: Plain,
        folder: Path,
        logger: "WandbLogger | None",
        expected: Plain | None = None,
        others: Sequence[str] = (),
    ) -> "_Cell":
        """Build a cell; with ``others``, its test set is all of these corpora."""
        from tractprobe.datamodule import EmaData
        from tractprobe.module import Inversion

        watch = _Watch()
        with watch("prepare"):
            own = open_corpora(settings["corpora"], Path(settings["paths"]["data"]))
            foreign = open_corpora(others, Path(settings["paths"]["data"])) if others else []
        split = build(settings["split"])([e for c in own for e in c.entries], settings["held_out"], settings["seed"])
        corpora = [*own, *(corpus for corpus in foreign if corpus.name not in {one.name for one in own})]
        if others:
            split = replace(split, test=_foreign_test(own, foreign, split, settings["split"]["disjoint_text"]))
        encoder: Encoder = build(settings["model"])
        identity = _identity(settings, own, encoder)
        if expected is not None:
            _check_same(identity, expected)
        layers = _layers(settings["layer"], encoder)
        head = build(settings["head"], num_layers=len(layers), width=encoder.width, num_channels=len(CHANNELS))
        trainer = _trainer(settings, folder, logger, validates=bool(split.validation))
        with watch("encode"):
            states = _states(settings, encoder, corpora, trainer.strategy.root_device)
        data = EmaData(
            corpora,
            split,
            encoder.geometry,
            encoder.count_frames,
            layers=layers,
            states=dict(states) if states is not None else None,
            conditioning=build(settings["ema"]),
            seed=settings["seed"],
            **settings["data"],
        )
        data.setup()
        module = Inversion(
            encoder,
            head,
            layers=layers,
            groups=data.groups,
            storage=settings["features"]["storage"],
            make_optimizer=lambda parameters: build(settings["optimizer"], params=list(parameters)),
            patience=settings["patience"],
            seed=settings["seed"],
            identity=digest({key: value for key, value in identity.items() if key != "versions"}),
        )
        return cls(settings, folder, identity, split, data, module, trainer, watch)

    def fit(self) -> Plain:
        """Fit the heads; return what was chosen on the validation part."""
        return self._fit_closed_form() if self.module.head.closed_form else self._fit_by_gradient()

    def score(self) -> list[Row]:
        """Score the test set."""
        self.trainer.test(self.module, dataloaders=self.data.test_dataloader(), verbose=False)
        assert self.module.scores is not None
        rows = self.module.scores.rows(self.module.layers, self.data.groups)
        if not rows:
            raise RunError("not one test frame has a target; look at the corpus with: tractprobe audit")
        return rows

    def _fit_closed_form(self) -> Plain:
        import torch

        from tractprobe.ridge import gather

        device = self.trainer.strategy.root_device
        self.module.to(device)
        parts = gather(self.data, lambda batch: self.module.states(batch.to(device)))
        alphas = self.module.head.fit(parts)  # type: ignore[operator]
        if not self.split.validation:
            log.warning("too few speakers and sentences to choose alpha on: head.alpha_without_validation is taken")
        return {"alpha": [[value if value == value else None for value in row] for row in alphas.tolist()],
                "chosen_on_validation": bool(self.split.validation) and torch.unique(alphas).numel() > 0}  # fmt: skip

    def _fit_by_gradient(self) -> Plain:
        last = self.folder / CHECKPOINTS / "last.ckpt"
        if last.exists():
            log.info("going on from %s", last)
        else:
            batches = (batch for batch in self.data.train_dataloader())
            self.module.head.standardise((self.module.states(b), b.valid.any(dim=2)) for b in batches)  # type: ignore
        self.trainer.fit(
            self.module,
            train_dataloaders=self.data.train_dataloader(),
            val_dataloaders=self.data.val_dataloader() if self.split.validation else None,
            ckpt_path=last if last.exists() else None,
            weights_only=True,
        )
        if self.trainer.interrupted:
            raise RunError("interrupted; the same command goes on")
        self.module.restore_best()
        return {
            "best_validation_r": [r if r > -1 else None for r in self.module.best_r.tolist()],
            "history": self.module.history,
        }


def open_corpora(names: Sequence[str], data: Path) -> "list[PreparedCorpus]":
    """Open prepared corpora by name; the built-in one is prepared here if it is not yet."""
    from tractprobe.corpora.folder import Folder
    from tractprobe.prepare import prepare
    from tractprobe.prepared import PreparedCorpus

    if not names or len(set(names)) != len(names):
        raise ConfigError(f"corpora={list(names)}: names of prepared corpora, each once")
    if BUILTIN in names and PreparedCorpus.source(data / BUILTIN) in (None, builtin_corpus()):
        prepare(Folder(BUILTIN, Path(builtin_corpus())), data)
    return [PreparedCorpus(data / name) for name in names]


def _finished(folder: Path, settings: Plain) -> Plain:
    from tractprobe.prepared import PreparedCorpus

    result = read_result(folder)
    for name, content_hash in result["identity"]["corpora"].items():
        corpus = Path(settings["paths"]["data"], name)
        if corpus.is_dir() and PreparedCorpus(corpus).content_hash != content_hash:
            raise RunError(
                f"{folder} was finished on another version of corpus {name}; remove it to run again, or keep it and "
                "give paths.runs=<another folder>"
            )
    log.info("finished already: %s", folder)
    return result


def _identity(settings: Plain, corpora: "Sequence[PreparedCorpus]", encoder: "Encoder") -> Plain:
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


def _check_same(identity: Plain, expected: Plain) -> None:
    for what in ("encoder", "corpora"):
        if identity[what] != expected[what]:
            raise RunError(f"the {what} of now are not those of the run: {identity[what]} instead of {expected[what]}")


def _foreign_test(
    own: "Sequence[PreparedCorpus]", foreign: "Sequence[PreparedCorpus]", split: "Split", disjoint_text: bool
) -> tuple[str, ...]:
    """Return the ids of other corpora's utterances that the heads have not learned from, nor their sentences."""
    from tractprobe.splits import sentence

    development = set(split.development)
    learned = {sentence(entry) for corpus in own for entry in corpus.entries if entry.id in development}
    entries = [entry for corpus in foreign for entry in corpus.entries if entry.id not in development]
    test = sorted(entry.id for entry in entries if not (disjoint_text and sentence(entry) in learned))
    if not test:
        raise RunError("the run has learned every sentence of these corpora; nothing is left to test on")
    return tuple(test)


def _layers(layer: Any, encoder: "Encoder") -> tuple[int, ...]:
    if layer == "all":
        return tuple(range(encoder.num_layers))
    if not isinstance(layer, int) or not 0 <= layer < encoder.num_layers:
        raise ConfigError(f"layer={layer}: {encoder.label} has layers 0 to {encoder.num_layers - 1}, or all")
    return (layer,)


def _states(
    settings: Plain, encoder: "Encoder", corpora: "Sequence[PreparedCorpus]", device: "torch.device"
) -> "dict[str, FeatureCache] | None":
    from tractprobe.features import cached

    features, cache = settings["features"], Path(settings["paths"]["cache"])
    if not features["cache"]:
        return None
    return {
        corpus.name: cached(encoder, corpus, cache, features["storage"], device, settings["data"]["batch_size"])
        for corpus in corpora
    }


def _trainer(settings: Plain, folder: Path, logger: "WandbLogger | None", *, validates: bool) -> "pl.Trainer":
    from pytorch_lightning.callbacks import ModelCheckpoint

    from tractprobe.checkpoint import AtomicCheckpoints

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for expected in (
        ".*isinstance\\(treespec, LeafSpec\\)",  # Lightning 2.6 with torch 2.13
        ".*in eval mode at the start of training.*",  # the frozen encoder
        ".*does not have many workers.*",
        "Support for mismatched key_padding_mask and attn_mask.*",  # WavLM in transformers 5
        "Checkpoint directory .* exists and is not empty.*",  # it is the one we resume from
        "You defined a `validation_step` but have no `val_dataloader`.*",  # too small a corpus to be divided
    ):
        warnings.filterwarnings("ignore", expected)
    every_epoch = ModelCheckpoint(
        folder / CHECKPOINTS,
        filename="last",
        every_n_epochs=1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    return build(
        settings["trainer"],
        logger=logger or False,
        callbacks=[every_epoch],
        plugins=[AtomicCheckpoints()],
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        use_distributed_sampler=False,
        default_root_dir=folder,
    )


def _save_head(path: Path, cell: _Cell) -> None:
    from safetensors.torch import save

    about = {
        "channels": list(CHANNELS),
        "target": "standardised per speaker",
        "unit": UNIT,
        "layers": list(cell.module.layers),
        "identity": cell.identity,
    }
    weights = {name: value.detach().cpu().contiguous() for name, value in cell.module.head.state_dict().items()}
    with atomic(path) as temporary:
        temporary.write_bytes(save(weights, metadata={"tractprobe": json.dumps(about)}))


def _load_head(path: Path, module: "Inversion") -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        module.head.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise RunError(f"{path}: not the heads of this run: {error}") from None


def _table(folder: Path, identity: Plain, rows: Sequence[Row]) -> str:
    about = {name: identity[name] for name in ("model", "head", "split", "held_out", "seed")}
    return "\n".join(map(str, layer_tables([{"run": folder.name, **about, **row} for row in rows])))


def _largest_difference(rows: Sequence[Row], before: Sequence[Row]) -> float:
    key = ("layer", "language", "speaker", "channel")
    known = {tuple(row[name] for name in key): row["r"] for row in before}
    pairs = [(row["r"], known[tuple(row[name] for name in key)]) for row in rows]
    return max((abs(now - then) for now, then in pairs if now is not None and then is not None), default=0.0)
