"""Inversion: a frozen encoder and the heads on it, as Lightning trains and tests them.

Checkpoints hold heads only. Heads of different layers never meet: losses are summed, choices are made layer by layer.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import pytorch_lightning as pl
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from tractprobe.data.datamodule import Batch
from tractprobe.data.targets import Targets
from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.layers import Layers, label, read_by, side_by_side
from tractprobe.encoders.state_cache import Storage
from tractprobe.probes.gradient.objective import Mse, Objective
from tractprobe.probes.heads import Bank, Weighted
from tractprobe.probes.heads.ridge import Ridge
from tractprobe.probes.scores import Scores, ScoreSums
from tractprobe.probes.states import states_of
from tractprobe.runs.ranks import ids_of_all_ranks, of_all_ranks, world_size
from tractprobe.system.errors import ConfigError, RunError

Head = Bank | Ridge
MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
MakeSchedule = Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]


class Truth(NamedTuple):
    """What a batch's predictions are held against, the same for all heads or with the head as first axis."""

    target: Float[Tensor, "... batch time channel"]
    valid: Bool[Tensor, "... batch time channel"]
    mean: Float[Tensor, "... batch 1 channel"]
    sd: Float[Tensor, "... batch 1 channel"]


class Inversion(pl.LightningModule):
    """Articulator positions, or other targets, from a frozen encoder's states.

    Parameters
    ----------
    heads
        The encoder's layers that each head reads.
    names
        What learning curves call each head.
    groups
        (corpus, language, speaker) of each of the data module's groups.
    targets
        What the heads predict.
    storage
        Precision that states are rounded to, as the cache does.
    objective
        What is minimised; squared errors if nothing else is given.
    make_schedule
        From an optimizer to its schedule, which takes a step behind each epoch; a constant rate if not given.
    make_optimizer
        From parameters to an optimizer; not needed for closed-form heads.
    patience
        A layer whose validation r has not risen for so many epochs is done; training stops when all are.
    seed
        Seeds each step by itself, so that a resumed run goes on as it would have.
    identity
        Of the run; a checkpoint of another is refused.
    """

    def __init__(
        self,
        encoder: Encoder,
        head: Head,
        *,
        heads: Sequence[Layers],
        names: Sequence[str] | None = None,
        groups: Sequence[tuple[str, str, str]],
        targets: Targets | None = None,
        storage: Storage = "float16",
        objective: Objective | None = None,
        make_optimizer: MakeOptimizer | None = None,
        make_schedule: MakeSchedule | None = None,
        patience: int = 10,
        seed: int = 0,
        identity: str = "",
    ):
        super().__init__()
        if patience < 1:
            raise ConfigError(f"patience={patience}: at least 1")
        if isinstance(head, Bank) and head.num_members != len(heads):
            raise ConfigError(f"{head.num_members} heads for {len(heads)} layers: one for each is wanted")
        self.strict_loading = False  # the encoder is not in the checkpoint; on_load_checkpoint checks the rest
        self.encoder, self.head = encoder, head
        self.heads, self.layers = tuple(heads), read_by(heads)
        self.names = tuple(names or (f"layer{label(layers)}" for layers in heads))
        self.groups, self.targets = tuple(groups), targets or Targets()
        self.storage: Storage = storage
        self.objective = objective or Mse()
        self.make_optimizer, self.make_schedule = make_optimizer, make_schedule
        self.patience, self.seed, self.identity = patience, seed, identity
        self.history: list[dict[str, float]] = []
        self.moments = ScoreSums(len(self.heads), len(self.groups), len(self.targets.channels))
        self.scores: Scores | None = None
        self.best_r: Tensor
        self.epochs_without_gain: Tensor
        self.register_buffer("best_r", torch.full((len(self.heads),), -torch.inf, dtype=torch.float64))
        self.register_buffer("epochs_without_gain", torch.zeros(len(self.heads), dtype=torch.long))
        self.best = nn.ParameterDict(
            {
                _key(name): nn.Parameter(value.detach().clone(), requires_grad=False)
                for name, value in head.named_parameters()
            }
        )

    def states(self, batch: Batch) -> Shaped[Tensor, "head batch time width"]:
        """Return each head's input on the batch; of one that adds up layers, these."""
        if isinstance(self.head, Weighted):
            return states_of(batch, self.encoder, self.layers, self.storage)
        return side_by_side(states_of(batch, self.encoder, self.layers, self.storage), self.layers, self.heads)

    def truth(self, batch: Batch, part: Literal["train", "validation", "test"]) -> Truth:
        """Return what the batch's predictions are held against."""
        return Truth(batch.target, batch.valid, batch.mean, batch.sd)

    def forward(self, batch: Batch) -> Float[Tensor, "layer batch time channel"]:
        """Predict standardised targets."""
        return self.head(self.states(batch), batch.present)

    def on_train_start(self) -> None:
        self._stop_if_stale()  # a run that was killed after its last epoch is not given another

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        torch.manual_seed((self.seed * 1_000_003 + self.global_step) % 2**63)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        truth = self.truth(batch, "train")
        losses = self.objective(*of_all_ranks(self(batch).float(), truth.target.float(), truth.valid))
        if not torch.isfinite(losses).all():
            ids = ", ".join(ids_of_all_ranks(batch.ids))
            raise RunError(f"the loss is not finite on {ids}; lower optimizer.lr or look at these")
        self.log("train/loss", losses.mean(), on_step=False, on_epoch=True, batch_size=len(batch.ids), prog_bar=True)
        return losses.sum() * world_size()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        self._score(batch, self.truth(batch, "validation"))

    def on_validation_epoch_end(self) -> None:
        r = mean_r(self.moments.take().r[..., self.targets.first], self.groups)
        for name, value in zip(self.names, r.tolist(), strict=True):
            self.log(f"val/r/{name}", value)
        self.log("val/r/mean", r.nanmean(), prog_bar=True)
        self.history.append({"epoch": self.current_epoch, "val/r/mean": float(r.nanmean())})
        self._keep_best(r)
        self._stop_if_stale()

    def test_step(self, batch: Batch, batch_index: int) -> None:
        self._score(batch, self.truth(batch, "test"))

    def on_test_epoch_end(self) -> None:
        self.scores = self.moments.take()

    def configure_optimizers(self) -> Any:
        assert self.make_optimizer is not None
        optimizer = self.make_optimizer(self.head.parameters())
        return optimizer if self.make_schedule is None else ([optimizer], [self.make_schedule(optimizer)])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        weights = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: value for name, value in weights.items() if not name.startswith("encoder.")}
        checkpoint["identity"], checkpoint["history"] = self.identity, self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if checkpoint.get("identity") != self.identity:
            raise RunError("the checkpoint belongs to a run with other settings or data; remove it to start over")
        expected = {name for name in self.state_dict() if not name.startswith("encoder.")}
        if set(checkpoint["state_dict"]) != expected:
            raise RunError("the checkpoint lacks weights of these heads; remove it to start over")
        self.history = checkpoint["history"]

    @torch.no_grad()
    def restore_best(self) -> None:
        """Give each layer's head the weights of its best validation epoch, where there was a validation."""
        chosen = torch.isfinite(self.best_r)
        for name, value in self.head.named_parameters():
            value[chosen] = self.best[_key(name)][chosen]

    @torch.no_grad()
    def _keep_best(self, r: Float[Tensor, " layer"]) -> None:
        better = (r > self.best_r) & (self.epochs_without_gain < self.patience)
        self.best_r[better] = r[better]
        for name, value in self.head.named_parameters():
            self.best[_key(name)][better] = value[better]
        self.epochs_without_gain += 1
        self.epochs_without_gain[better] = 0

    def _stop_if_stale(self) -> None:
        if (self.epochs_without_gain >= self.patience).all():
            self.trainer.should_stop = True

    def _score(self, batch: Batch, truth: Truth) -> None:
        predicted = self(batch) * truth.sd + truth.mean
        self.moments.update(predicted, truth.target * truth.sd + truth.mean, truth.valid, batch.group)


def mean_r(r: Float[Tensor, "layer group channel"], groups: Sequence[tuple[str, str, str]]) -> Float[Tensor, " layer"]:
    """Return each layer's r, averaged over channels, then over the languages of a speaker, then over speakers."""
    by_group = r.nanmean(dim=2)
    speakers = sorted({speaker for *_, speaker in groups})
    members = [[index for index, group in enumerate(groups) if group[2] == speaker] for speaker in speakers]
    return torch.stack([by_group[:, index].nanmean(dim=1) for index in members], dim=1).nanmean(dim=1)


def _key(name: str) -> str:
    return name.replace(".", "_")
