"""The Lightning module: one update of masked prediction, of which nothing depends on the updates before but weights."""

import math
from typing import Any

import pytorch_lightning as pl
import torch

from tractprobe.pretraining.counters import number_of
from tractprobe.pretraining.crops import Batch
from tractprobe.pretraining.model import LossWeights, MaskedPrediction, outcome
from tractprobe.pretraining.schedule import Schedule
from tractprobe.pretraining.settings import Recipe
from tractprobe.system.errors import RunError

_BETAS, _EPSILON = (0.9, 0.98), 1e-6  # Hsu et al. 2021, HuBERT, section IV-B


class Learning(pl.LightningModule):
    """Trains a model by AdamW under a schedule that counts updates itself.

    Attributes
    ----------
    update
        Updates made, by all stretches of training.
    metrics
        Of the last update.
    """

    def __init__(self, model: MaskedPrediction, recipe: Recipe, schedule: Schedule, seed: int):
        super().__init__()
        self.model, self.schedule, self.update = model, schedule, 0
        self.metrics: dict[str, torch.Tensor] = {}
        self._recipe, self._seed = recipe, seed
        self._weights = LossWeights(recipe.masked_weight, recipe.unmasked_weight)
        self.adam = adamw(model, recipe)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.adam

    def on_train_start(self) -> None:
        """Keep the optimiser's counts on the processor: Lightning has moved those of a checkpoint to the device."""
        for state in self.adam.state.values():
            state["step"] = state["step"].cpu()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the update's learning rate, and the generator that dropout draws from."""
        if batch["update"] != self.update:
            raise RunError(f"update {self.update} was given the batch of update {batch['update']}")
        for group in self.adam.param_groups:
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

    def optimizer_step(self, *arguments: Any, **more: Any) -> None:
        """Count the update once it is made: callbacks are called before the module's own hooks."""
        super().optimizer_step(*arguments, **more)
        self.update += 1

    def plain_metrics(self) -> dict[str, float]:
        """Return the last update's metrics; RunError if the loss is no number, since nothing can mend that."""
        metrics = {name: float(value) for name, value in self.metrics.items()}
        if not math.isfinite(metrics["loss"]):
            raise RunError(
                f"the loss is {metrics['loss']} after {self.update} updates: start again with a lower "
                "pretrain.learning_rate or a longer pretrain.warmup"
            )
        return metrics


def adamw(model: MaskedPrediction, recipe: Recipe) -> torch.optim.AdamW:
    """Return the optimiser; biases, norms and vectors of clusters do not decay."""
    decaying = [own for name, own in model.named_parameters() if own.ndim > 1 and name != "codebook"]
    others = [own for name, own in model.named_parameters() if own.ndim <= 1 or name == "codebook"]
    groups = [{"params": decaying, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=_BETAS, eps=_EPSILON)
