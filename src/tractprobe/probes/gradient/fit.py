"""Heads that gradients fit: those of one problem, or of several in one bank, by Lightning.

Problems that differ in what they hold out share batches. Each has heads of its own, which learn from its own training
utterances alone: whatever else a batch holds is masked for them.
"""

import logging
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tractprobe.data.datamodule import EmaData
from tractprobe.data.splits import Fold, Split
from tractprobe.probes.fitted import Fitted, new_head
from tractprobe.probes.gradient.inversion import Inversion, TrainingPolicy, defined
from tractprobe.probes.gradient.truth import Truths, View
from tractprobe.probes.heads import Bank, Head, Weighted
from tractprobe.probes.problem import Problem
from tractprobe.probes.states import HiddenStates
from tractprobe.runs.building import build
from tractprobe.runs.checkpoint import remove_others
from tractprobe.runs.result import FitReport, ScoreRow
from tractprobe.runs.settings import Settings
from tractprobe.runs.signals import interruptible
from tractprobe.runs.trainer import CHECKPOINTS
from tractprobe.system.errors import ConfigError
from tractprobe.system.files import digest

if TYPE_CHECKING:
    import pytorch_lightning as pl

log = logging.getLogger(__name__)


def fit(problems: Sequence[Problem], states: HiddenStates, trainer: "pl.Trainer", folder: Path) -> list[Fitted]:
    """Train the heads of problems that differ in their splits only, in one bank; an interrupted fit resumes.

    Parameters
    ----------
    folder
        Where checkpoints lie.
    """
    first, alone = problems[0], len(problems) == 1
    if first.combines_layers and not alone:
        raise ConfigError(
            "together=true trains a head for each layer, and head=weighted reads several: give together=false, "
            "which trains one held-out value after another"
        )
    data = data_of(first, union([problem.split for problem in problems]), states)
    views = [View(problem.split, data.scales(problem.split)) for problem in problems]
    module = Inversion(
        states,
        new_head(first, len(problems)),
        inputs=[read for problem in problems for read in problem.inputs],
        truths=Truths(views, {id_: entry.speaker for id_, entry in data.entries.items()}, len(first.inputs)),
        groups=data.groups,
        targets=first.targets,
        training=_policy(first.settings),
        names=[
            name if alone else f"{problem.settings.held_out}/{name}" for problem in problems for name in _names(problem)
        ],
        identity=checkpoint_identity(problems),
    )
    report = _train(module, data, trainer, folder)
    return [
        _of_one(problem, view, module, report, number, trainer)
        for number, (problem, view) in enumerate(zip(problems, views, strict=True))
    ]


def _names(problem: Problem) -> list[str]:
    return [f"layer{label}" for label in problem.labels]


def data_of(problem: Problem, split: Split, states: HiddenStates) -> EmaData:
    """Return batches of a split of the problem's corpora."""
    return EmaData(
        problem.corpora,
        split,
        problem.encoder.geometry,
        problem.encoder.count_frames,
        layers=states.layers,
        states=states.caches,
        targets=problem.targets,
        features=tuple(states.features.values()),
        seed=problem.settings.seed,
        **vars(problem.settings.data),
    )


def checkpoint_identity(problems: Sequence[Problem]) -> str:
    """Return what identifies a checkpoint: the identity of its problem, or of all problems that share the bank."""
    each = [digest(problem.own_identity) for problem in problems]
    return each[0] if len(each) == 1 else digest(each)


def union(splits: Sequence[Split]) -> Split:
    """Return one split of all that any of these develops, trains or validates on; a single split as it is."""
    if len(splits) == 1:
        return splits[0]

    def of_any(part: str) -> tuple[str, ...]:
        return tuple(sorted({id_ for split in splits for id_ in getattr(split, part)}))

    return Split(of_any("development"), (), (Fold(of_any("train"), of_any("validation")),))


def _policy(settings: Settings) -> TrainingPolicy:
    return TrainingPolicy(
        objective=build(settings.objective),
        make_optimizer=lambda parameters: build(settings.optimizer, params=list(parameters)),
        make_schedule=lambda optimizer: build(settings.schedule, optimizer=optimizer),
        patience=settings.patience,
        seed=settings.seed,
    )


def _train(module: Inversion, data: EmaData, trainer: "pl.Trainer", folder: Path) -> FitReport:
    """Train heads, or resume their training; return what was chosen on the validation part."""
    data.trainer = trainer  # whose ranks share the batches
    if trainer.is_global_zero:
        remove_others(folder)
    last, head = folder / CHECKPOINTS / "last.ckpt", module.head
    assert isinstance(head, Bank)
    if last.exists():
        log.info("resuming from %s", last)
    elif trainer.is_global_zero:  # the other ranks get its parameters and buffers
        device = trainer.strategy.root_device  # to which Lightning moves the module only later
        module.to(device)
        batches = (batch.to(device) for batch in data.standardisation_dataloader())
        head.standardise((module.read(batch), module.truth(batch, "train").valid) for batch in batches)
    with interruptible():
        trainer.fit(
            module,
            train_dataloaders=data.train_dataloader(),
            val_dataloaders=data.val_dataloader() if data.split.validation else None,
            ckpt_path=last if last.exists() else None,
            weights_only=True,
        )
    module.restore_best()
    best_r = [r if r > -1 else None for r in module.best_r.tolist()]
    if data.split.validation and None in best_r:
        log.warning("validation r of some heads was undefined in every epoch: their last weights are scored")
    report: FitReport = {"best_validation_r": best_r, "history": module.history}
    if isinstance(head, Weighted):
        report["layer_weights"] = head.layer_weights.tolist()
    return report


def _of_one(
    problem: Problem, view: View, module: Inversion, report: FitReport, number: int, trainer: "pl.Trainer"
) -> Fitted:
    """Return one problem's heads out of the bank, and its part of the report."""
    head, own = module.head, slice(number * len(problem.inputs), (number + 1) * len(problem.inputs))
    if len(module.inputs) > len(problem.inputs):
        head = new_head(problem)
        head.load_state_dict({name: value[own] for name, value in module.head.state_dict().items()})
    own_report: FitReport = {
        **report,
        "best_validation_r": report["best_validation_r"][own],
        "history": _own_history(module, own, _names(problem)),
    }
    return fitted(problem, module.states, head, view, own_report, trainer)


def _own_history(module: Inversion, own: slice, names: Sequence[str]) -> list[dict[str, float | None]]:
    """Return the curves of one problem's heads, and their mean: those of others hold what it holds out."""
    if len(names) == len(module.names):
        return module.history
    history = []
    for epoch in module.history:
        r = [epoch.get(f"val/r/{name}") for name in module.names[own]]  # earlier versions noted the bank's mean alone
        mean = torch.tensor([math.nan if value is None else value for value in r], dtype=torch.float64).nanmean()
        of_heads = {f"val/r/{name}": value for name, value in zip(names, r, strict=True)}
        history.append({"epoch": epoch["epoch"], "val/r/mean": defined(mean[None])[0], **of_heads})
    return history


def fitted(
    problem: Problem, states: HiddenStates, head: Head, view: View, report: FitReport, trainer: "pl.Trainer"
) -> Fitted:
    """Return heads that Lightning tests."""
    return Fitted(problem, states, head, view.scales, report, partial(_tested, problem, states, head, view, trainer))


def loaded(problem: Problem, states: HiddenStates, head: Head, trainer: "pl.Trainer") -> Fitted:
    """Return heads that were read from a file, to be tested again."""
    view = View(problem.split, data_of(problem, problem.split, states).scales())
    return fitted(problem, states, head, view, {"best_validation_r": []}, trainer)


def _tested(problem: Problem, states: HiddenStates, head: Head, view: View, trainer: "pl.Trainer") -> list[ScoreRow]:
    data = data_of(problem, problem.split, states)
    module = Inversion(
        states,
        head,
        inputs=problem.inputs,
        truths=Truths([view], {id_: entry.speaker for id_, entry in data.entries.items()}, len(problem.inputs)),
        groups=data.groups,
        targets=problem.targets,
    )
    with interruptible():
        trainer.test(module, datamodule=data, verbose=False)
    assert module.scores is not None
    return module.scores.rows(problem.labels, data.groups, problem.targets.channels)
