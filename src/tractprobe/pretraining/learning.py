"""The Lightning module: one update of masked prediction, of which nothing depends on the updates before but weights."""

import math
from typing import Any

import pytorch_lightning as pl
import torch

from tractprobe.pretraining.counters import number_of
from tractprobe.pretraining.crops import Batch
from tractprobe.pretraining.model import LossWeights, MaskedPrediction, outcome
from tractprobe.pretraining.optimiser import Optimiser
from tractprobe.pretraining.precision import Precision
from tractprobe.pretraining.schedule import Schedule
from tractprobe.pretraining.settings import Recipe
from tractprobe.system.errors import RunError


class Learning(pl.LightningModule):
    """Trains a model under a schedule that counts updates itself.

    Attributes
    ----------
    update
        Updates made, by all stretches of training.
    is_whole
        Whether weights, moments and ``update`` belong together: not while the optimiser takes a step.
    metrics
        Of the last update.
    """

    def __init__(self, model: MaskedPrediction, recipe: Recipe, schedule: Schedule, seed: int, precision: Precision):
        super().__init__()
        self.model, self.schedule, self.update = model, schedule, 0
        self.is_whole = True
        self.metrics: dict[str, torch.Tensor] = {}
        self._recipe, self._seed = recipe, seed
        self._weights = LossWeights(recipe.masked_weight, recipe.unmasked_weight)
        dtype = torch.bfloat16 if precision == "bf16-mixed" else torch.float32
        self.optimiser = Optimiser(model, recipe.optimiser, recipe.learning_rate, recipe.weight_decay, dtype)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimiser

    def on_train_start(self) -> None:
        """Keep the optimiser's counts on the processor: Lightning has moved those of a checkpoint to the device."""
        for state in self.optimiser.state.values():
            if "step" in state:
                state["step"] = state["step"].cpu()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the update's learning rate, and the generator that dropout draws from."""
        if batch["update"] != self.update:
            raise RunError(f"update {self.update} was given the batch of update {batch['update']}")
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.rate(self.update)
        torch.manual_seed(number_of(self._seed, self.update, "dropout"))

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        logits = self.model(batch["waves"], batch["mask"])
        found = outcome(logits, batch["labels"], batch["mask"], self._weights)
        self.metrics = {
            "loss": found.loss.detach(),
            "masked_loss": found.masked_loss.detach(),
            "unmasked_loss": found.unmasked_loss.detach(),
            "masked_accuracy": found.masked_accuracy,
            "unmasked_accuracy": found.unmasked_accuracy,
        }
        return found.loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Note that weights are about to change."""
        self.is_whole = False

    def optimizer_step(self, *arguments: Any, **more: Any) -> None:
        """Count the update once it is made: callbacks are called before the module's own hooks."""
        super().optimizer_step(*arguments, **more)
        self.update += 1
        self.is_whole = True

    def plain_metrics(self) -> dict[str, float]:
        """Return the last update's metrics; RunError if the loss is no number, since nothing can mend that."""
        metrics = {name: float(value) for name, value in self.metrics.items()}
        if not math.isfinite(metrics["loss"]):
            raise RunError(
                f"the loss is {metrics['loss']} after {self.update} updates: start again with a lower "
                "pretrain.learning_rate or a longer pretrain.warmup"
            )
        return metrics
