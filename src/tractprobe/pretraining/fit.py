"""Updates of a pretraining by Lightning, with checkpoints, curves and scores between them."""

import logging
import os
import time
import warnings
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from tractprobe.pretraining.callbacks import ARTICULATION, Articulation, Clock, Curves, Keeping, Score
from tractprobe.pretraining.checkpoints import LAST, Progressed, save_checkpoint
from tractprobe.pretraining.crops import Batch, Crops
from tractprobe.pretraining.job import CHECKPOINTS, Pretraining
from tractprobe.pretraining.learning import Learning
from tractprobe.runs.ranks import check_environment, plugins_of_one_process
from tractprobe.runs.signals import OwnSignals, interruptible
from tractprobe.runs.tracking import lightning_loggers
from tractprobe.signals.audio import RATE_HZ

_EXPECTED_WARNINGS = (
    ".*isinstance\\(treespec, LeafSpec\\)",  # Lightning 2.6 with torch 2.13
    ".*does not have many workers.*",
    ".*GPU available but not used.*",
    "The `srun` command is available.*",
)


@dataclass
class Stretch:
    """Training without a break: from where it began, and how fast it is."""

    before: Progressed
    seconds_per_update: float
    precision: str
    device: str
    began_s: float = field(default_factory=time.perf_counter)

    def progressed(self, learning: Learning) -> Progressed:
        """Return how far training is with what this stretch has added."""
        made, seconds = learning.update - self.before.update, time.perf_counter() - self.began_s
        heard_s = made * self.seconds_per_update
        own = {
            "updates": made,
            "seconds": round(seconds, 3),
            "x_real_time": round(heard_s / max(seconds, 1e-9), 2),
            "precision": self.precision,
            "device": self.device,
            "threads": torch.get_num_threads(),
        }
        schedule, update = learning.schedule, learning.update
        cooling = (schedule.updates, schedule.cooldown) if update > schedule.updates else None
        stretches = (*self.before.stretches, own) if made else self.before.stretches
        return Progressed(update, self.before.identity, cooling, self.before.heard_s + heard_s, stretches)


def train(pretraining: Pretraining, loggers: Any = None, score: Score | None = None) -> None:
    """Make the updates that are missing, or as many as the minutes allow.

    Parameters
    ----------
    loggers
        What ``Tracking.run`` yields.
    score
        Reads articulation from an encoder's folder; ``None``: no curve of it.
    """
    recipe, learning = pretraining.asked.pretrain, pretraining.learning
    first, last = learning.update, learning.schedule.total
    crops = Crops(pretraining.speech, pretraining.targets, recipe, pretraining.asked.seed, pretraining.normalise)
    heard_s = recipe.batch * crops.samples / RATE_HZ
    stretch = Stretch(pretraining.progressed, heard_s, pretraining.precision, pretraining.device_name)

    def save(learning: Learning, name: str) -> None:
        pretraining.progressed = stretch.progressed(learning)
        folder = pretraining.folder / CHECKPOINTS
        save_checkpoint(folder, name, pretraining.progressed, learning.model, learning.optimiser)
        if name == LAST:  # whoever is killed leaves an encoder, too
            pretraining.export()

    def export(learning: Learning) -> Any:
        pretraining.progressed = stretch.progressed(learning)
        return pretraining.export()

    scores = list[Articulation]()
    if score is not None and recipe.score.every:
        scores.append(Articulation(score, recipe.score.every, export, pretraining.folder / ARTICULATION))
    clock = Clock(recipe.minutes, lambda: sum(each.spent_s for each in scores))
    curves = Curves(recipe.log_every, heard_s, clock)
    callbacks: list[pl.Callback] = [OwnSignals(), curves, *scores, Keeping(save, recipe.checkpoint_s), clock]
    trainer = _trainer(pretraining, loggers, callbacks, last - first)
    with interruptible():
        trainer.fit(learning, _loader(crops, first, last, recipe.workers))
    pretraining.progressed = stretch.progressed(learning)


def _loader(crops: Crops, first: int, last: int, workers: int) -> "DataLoader[Batch]":
    """Return batches ``first`` to ``last - 1``; workers prepare them ahead, and hand them out in order."""
    ahead: dict[str, Any] = {"num_workers": workers, "pin_memory": torch.cuda.is_available()}
    if workers:
        ahead |= {"prefetch_factor": 4}
    return DataLoader(crops, batch_size=None, sampler=range(first, last), **ahead)


def _trainer(pretraining: Pretraining, loggers: Any, callbacks: list[pl.Callback], updates: int) -> pl.Trainer:
    check_environment()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in _EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", message)
    return pl.Trainer(
        accelerator=pretraining.accelerator,
        devices=1,
        precision=pretraining.precision,
        max_epochs=1,
        max_steps=updates,
        gradient_clip_val=pretraining.asked.pretrain.clip,
        logger=lightning_loggers(loggers) or False,
        callbacks=callbacks,
        plugins=plugins_of_one_process(),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=1,
        default_root_dir=os.devnull,
    )
