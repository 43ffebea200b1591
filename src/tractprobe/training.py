"""Training: nonlinear heads fitted by Lightning, whose trainer, checkpoints and settings of a module are made here."""

import logging
import sys
import warnings
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tractprobe.checkpoint import AtomicCheckpoints, WithinEpochs
from tractprobe.config import Plain, build, head_label
from tractprobe.datamodule import EmaData
from tractprobe.errors import ConfigError, RunError
from tractprobe.features import as_storage
from tractprobe.heads import Bank, Weighted
from tractprobe.module import Inversion
from tractprobe.plan import Plan
from tractprobe.splits import Split
from tractprobe.targets import Targets

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from pytorch_lightning.loggers import WandbLogger

log = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
_PRECISIONS = ("32-true", "bf16-mixed")  # float16's scaling of losses would be shared by all heads of a bank

# What libraries warn of although it is meant; by message, so that anything else is still seen.
_EXPECTED_WARNINGS = (
    ".*isinstance\\(treespec, LeafSpec\\)",  # Lightning 2.6 with torch 2.13
    ".*in eval mode at the start of training.*",  # the frozen encoder
    ".*does not have many workers.*",
    "Support for mismatched key_padding_mask and attn_mask.*",  # WavLM in transformers 5
    "Checkpoint directory .* exists and is not empty.*",  # it is the one we resume from
    "It is recommended to use .self.log.*sync_dist=True.*",  # what we log is the same on all ranks
    "You defined a `validation_step` but have no `val_dataloader`.*",  # too small a corpus to be divided
)


def fit_heads(module: Inversion, data: EmaData, trainer: "pl.Trainer", folder: Path) -> Plain:
    """Train nonlinear heads, or go on with that; return what was chosen on the validation part."""
    data.trainer = trainer  # whose ranks share the batches
    last, head = folder / CHECKPOINTS / "last.ckpt", module.head
    assert isinstance(head, Bank)
    if last.exists():
        log.info("going on from %s", last)
    elif trainer.is_global_zero:  # from which the others are given parameters and buffers
        batches = data.standardisation_dataloader()
        head.standardise((module.states(batch), module.truth(batch, "train").valid) for batch in batches)
    trainer.fit(
        module,
        train_dataloaders=data.train_dataloader(),
        val_dataloaders=data.val_dataloader() if data.split.validation else None,
        ckpt_path=last if last.exists() else None,
        weights_only=True,
    )
    if trainer.interrupted:
        raise RunError("interrupted; the same command goes on")
    module.restore_best()
    best_r = [r if r > -1 else None for r in module.best_r.tolist()]
    if data.split.validation and None in best_r:
        log.warning("r on the validation part was defined in no epoch for some heads: their last weights are scored")
    chosen = {"best_validation_r": best_r, "history": module.history}
    return chosen | ({"layer_weights": head.layer_weights.tolist()} if isinstance(head, Weighted) else {})


def inversion_settings(plan: Plan) -> dict[str, Any]:
    """Return the arguments of Inversion that the settings decide."""
    settings = plan.settings
    return {
        "targets": Targets(settings["targets"], build(settings["ema"])),
        "storage": as_storage(settings["features"]["storage"]),
        "objective": build(settings["objective"]),
        "make_optimizer": lambda parameters: build(settings["optimizer"], params=list(parameters)),
        "make_schedule": lambda optimizer: build(settings["schedule"], optimizer=optimizer),
        "patience": settings["patience"],
        "seed": settings["seed"],
    }


def warn_without_folds(splits: Sequence[Split]) -> None:
    """Say that nothing can be chosen where nothing is kept aside."""
    if not all(split.folds for split in splits):
        log.warning("too few speakers and sentences to keep any aside for choices: none are made")


def trainer_of(settings: Plain, folder: Path, logger: "WandbLogger | None") -> "pl.Trainer":
    """Return Lightning's trainer, whose checkpoints lie in a run's folder."""
    from pytorch_lightning.callbacks import ModelCheckpoint

    _check_trainer(settings["trainer"])
    if head_label(settings) != "ridge":
        _check_training(settings["trainer"])
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


def _check_trainer(settings: Plain) -> None:
    """Raise ConfigError for what would score a part of the test, or in numbers that encoders and heads cannot hold."""
    if settings.get("fast_dev_run"):
        raise ConfigError("trainer.fast_dev_run would score a part of the test: trainer=debug is the short run")
    if (precision := settings.get("precision")) not in _PRECISIONS:
        raise ConfigError(f"trainer.precision={precision}: one of {', '.join(_PRECISIONS)}")


def _check_training(settings: Plain) -> None:
    """Raise ConfigError for what heads in a bank cannot be trained by."""
    for name in ("max_steps", "max_time", "overfit_batches"):
        if settings.get(name):
            raise ConfigError(f"trainer.{name}: trainer.max_epochs and patience end training")
    for name in ("limit_train_batches", "limit_val_batches"):
        if settings.get(name) == 0:
            raise ConfigError(f"trainer.{name}=0: nothing would be learned or chosen; null takes all batches")
    epochs = settings.get("max_epochs")
    if type(epochs) is not int or epochs < 1:
        raise ConfigError(f"trainer.max_epochs={epochs}: 1 or more; patience=<epochs> ends training earlier")
    if settings.get("gradient_clip_val") is not None and settings.get("gradient_clip_algorithm") != "value":
        raise ConfigError(
            "trainer.gradient_clip_val: clipped by their norm, a head's gradients would depend on those of the others "
            "in its bank: give +trainer.gradient_clip_algorithm=value, or none"
        )
