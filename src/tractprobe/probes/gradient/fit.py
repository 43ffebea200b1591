"""Nonlinear heads, fitted by Lightning."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tractprobe.data.datamodule import EmaData
from tractprobe.data.splits import Split
from tractprobe.data.targets import Targets
from tractprobe.encoders.state_cache import as_storage
from tractprobe.probes.gradient.inversion import Inversion
from tractprobe.probes.heads import Bank, Weighted
from tractprobe.probes.problem import Plan
from tractprobe.runs.building import build
from tractprobe.runs.settings import Plain
from tractprobe.system.errors import RunError

if TYPE_CHECKING:
    import pytorch_lightning as pl
from tractprobe.runs.trainer import CHECKPOINTS

log = logging.getLogger(__name__)


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
