"""Inversion: a frozen encoder and the heads on it, as Lightning trains and tests them.

Checkpoints hold heads only. Heads of different inputs and problems never meet: losses are summed, choices are made head
by head.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from tractprobe.data.batches import Batch
from tractprobe.data.groups import GroupKey
from tractprobe.data.targets import Targets
from tractprobe.probes.gradient.objective import Mse, Objective
from tractprobe.probes.gradient.score_sums import ScoreSums
from tractprobe.probes.gradient.truth import Part, Truth, Truths
from tractprobe.probes.heads import Bank, Head
from tractprobe.probes.scores import Scores, for_choice
from tractprobe.probes.states import HeadInput, HiddenStates
from tractprobe.runs.ranks import ids_of_all_ranks, of_all_ranks, world_size
from tractprobe.system.errors import ConfigError, RunError

MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
MakeSchedule = Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]


@dataclass(frozen=True)
class TrainingPolicy:
    """How gradients fit heads.

    Attributes
    ----------
    objective
        What is minimised.
    make_optimizer
        From parameters to an optimizer; not needed to test.
    make_schedule
        From an optimizer to its schedule, which takes a step after each epoch; a constant rate if not given.
    patience
        A head is done when its validation r has not risen for this many epochs; training stops when all are done.
    seed
        Seeds each step by itself, so that a resumed run continues as it would have without the interruption.
    """

    objective: Objective = field(default_factory=Mse)
    make_optimizer: MakeOptimizer | None = None
    make_schedule: MakeSchedule | None = None
    patience: int = 10
    seed: int = 0

    def __post_init__(self):
        if self.patience < 1:
            raise ConfigError(f"patience={self.patience}: at least 1")


class Inversion(pl.LightningModule):
    """Articulator positions, or other targets, from a frozen encoder's states.

    Parameters
    ----------
    head
        A bank with a head for each input, or one that reads several layers.
    inputs
        What each head reads.
    truths
        What predictions are compared with, for each problem that the heads belong to.
    groups
        (corpus, language, speaker) of each of the data module's groups.
    targets
        What the heads predict.
    names
        What learning curves call each head.
    identity
        Of the run; a checkpoint of another is refused.
    """

    def __init__(
        self,
        states: HiddenStates,
        head: Head,
        *,
        inputs: Sequence[HeadInput],
        truths: Truths,
        groups: Sequence[GroupKey],
        targets: Targets,
        training: TrainingPolicy | None = None,
        names: Sequence[str] | None = None,
        identity: str = "",
    ):
        super().__init__()
        if isinstance(head, Bank) and head.num_members != len(inputs):
            raise ConfigError(f"{head.num_members} heads for {len(inputs)} inputs; expected one for each")
        self.strict_loading = False  # the encoder is not in the checkpoint; on_load_checkpoint checks the rest
        self.states, self.encoder, self.head, self.truths = states, states.encoder, head, truths
        self.inputs = tuple(inputs)
        self.names = tuple(names or (f"layer{read.label}" for read in inputs))
        self.groups, self.targets, self.training_policy = tuple(groups), targets, training or TrainingPolicy()
        self.identity = identity
        self.history: list[dict[str, float | None]] = []
        self.score_sums = ScoreSums(len(self.inputs), len(self.groups), len(targets.channels))
        self.scores: Scores | None = None
        self.best_r: Tensor
        self.epochs_without_gain: Tensor
        self.register_buffer("best_r", torch.full((len(self.inputs),), -torch.inf, dtype=torch.float64))
        self.register_buffer("epochs_without_gain", torch.zeros(len(self.inputs), dtype=torch.long))
        self._keys = _keys([name for name, _ in head.named_parameters()])
        self.best = nn.ParameterDict(
            {
                self._keys[name]: nn.Parameter(value.detach().clone(), requires_grad=False)
                for name, value in head.named_parameters()
            }
        )

    def read(self, batch: Batch) -> Shaped[Tensor, "head batch time width"]:
        """Return each head's input on the batch, or the layers that one head adds up."""
        return self.states.read_by(self.head, self.inputs, self.states.at(batch), batch.features)

    def truth(self, batch: Batch, part: Part) -> Truth:
        """Return what the batch's predictions are compared with."""
        return self.truths(batch, part)

    def forward(self, batch: Batch) -> Float[Tensor, "head batch time channel"]:
        """Predict standardised targets."""
        return self.head(self.read(batch), batch.present)

    def on_train_start(self) -> None:
        self._stop_if_stale()  # a run that was killed after its last epoch gets no further one

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        torch.manual_seed((self.training_policy.seed * 1_000_003 + self.global_step) % 2**63)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        truth = self.truth(batch, "train")
        losses = self.training_policy.objective(*of_all_ranks(self(batch).float(), truth.target.float(), truth.valid))
        if not torch.isfinite(losses).all():
            ids = ", ".join(ids_of_all_ranks(batch.ids))
            raise RunError(f"the loss is not finite on {ids}; lower optimizer.lr or look at these utterances")
        self.log("train/loss", losses.mean(), on_step=False, on_epoch=True, batch_size=len(batch.ids), prog_bar=True)
        return losses.sum() * world_size()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        self._score(batch, self.truth(batch, "validation"))

    def on_validation_epoch_end(self) -> None:
        r = mean_r(comparable_r(self.score_sums.take())[..., self.targets.first], self.groups)
        for name, value in zip(self.names, r.tolist(), strict=True):
            self.log(f"val/r/{name}", value)
        self.log("val/r/mean", r.nanmean(), prog_bar=True)
        of_heads = {f"val/r/{name}": value for name, value in zip(self.names, defined(r), strict=True)}
        self.history.append({"epoch": self.current_epoch, "val/r/mean": defined(r.nanmean()[None])[0], **of_heads})
        self._keep_best(r)
        self._stop_if_stale()

    def test_step(self, batch: Batch, batch_index: int) -> None:
        self._score(batch, self.truth(batch, "test"))

    def on_test_epoch_end(self) -> None:
        self.scores = self.score_sums.take()

    def configure_optimizers(self) -> Any:
        training = self.training_policy
        assert training.make_optimizer is not None
        optimizer = training.make_optimizer(self.head.parameters())
        return optimizer if training.make_schedule is None else ([optimizer], [training.make_schedule(optimizer)])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        weights = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: value for name, value in weights.items() if not name.startswith("encoder.")}
        checkpoint["identity"], checkpoint["history"] = self.identity, self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if checkpoint.get("identity") != self.identity:
            raise RunError("the checkpoint belongs to a run with other settings or data; remove it to start over")
        expected = {name for name in self.state_dict() if not name.startswith("encoder.")}
        if set(checkpoint["state_dict"]) != expected:
            raise RunError("the checkpoint does not hold the weights of these heads; remove it to start over")
        self.history = checkpoint["history"]

    @torch.no_grad()
    def restore_best(self) -> None:
        """Give each layer's head the weights of its best validation epoch, where there was a validation."""
        chosen = torch.isfinite(self.best_r)
        for name, value in self.head.named_parameters():
            value[chosen] = self.best[self._keys[name]][chosen]

    @torch.no_grad()
    def _keep_best(self, r: Float[Tensor, " layer"]) -> None:
        better = (r > self.best_r) & (self.epochs_without_gain < self.training_policy.patience)
        self.best_r[better] = r[better]
        for name, value in self.head.named_parameters():
            self.best[self._keys[name]][better] = value[better]
        self.epochs_without_gain += 1
        self.epochs_without_gain[better] = 0

    def _stop_if_stale(self) -> None:
        if (self.epochs_without_gain >= self.training_policy.patience).all():
            self.trainer.should_stop = True

    def _score(self, batch: Batch, truth: Truth) -> None:
        predicted, target = truth.in_units(self(batch)), truth.in_units(truth.target)
        self.score_sums.update(predicted, target, truth.valid, batch.group)


def comparable_r(scores: Scores) -> Float[Tensor, "layer group channel"]:
    """Return r by which epochs and layers are compared: 0 where it is undefined although the target varies."""
    varies = (scores.n_frames >= 2) & (scores.sd_measured > 0)
    return for_choice(scores.r, varies, over=(1, 2))


def mean_r(r: Float[Tensor, "layer group channel"], groups: Sequence[GroupKey]) -> Float[Tensor, " layer"]:
    """Return each layer's r, averaged over channels, then over the languages of a speaker, then over speakers."""
    by_group = r.nanmean(dim=2)
    speakers = sorted({group.speaker for group in groups})
    members = [[index for index, group in enumerate(groups) if group.speaker == speaker] for speaker in speakers]
    return torch.stack([by_group[:, index].nanmean(dim=1) for index in members], dim=1).nanmean(dim=1)


def defined(values: Float[Tensor, " value"]) -> list[float | None]:
    """Return values as plain numbers, ``None`` for each that is undefined."""
    return [None if value != value else value for value in values.tolist()]


def _keys(names: Sequence[str]) -> dict[str, str]:
    """Return a key without dots for each name, no two alike.

    >>> _keys(["a.b", "a_b"])
    {'a.b': 'a_b', 'a_b': 'a_b_'}
    """
    keys: dict[str, str] = {}
    for name in names:
        key = name.replace(".", "_")
        while key in keys.values():
            key += "_"
        keys[name] = key
    return keys
