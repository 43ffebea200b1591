"""A pretraining from its settings: speech, targets, model, and how far it is.

What a folder holds::

    encoder/              the encoder as it is now: config.json, model.safetensors, pretraining.json, ...
    checkpoints/          last.json and stable.json, each with a file of tensors
    articulation.jsonl    r of each layer over training
    pretrain.log, .hydra/, metrics.csv, wandb/    what was asked for, what happened, and curves
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.encoders.raised import Raised
from tractprobe.encoders.untrained import described
from tractprobe.pretraining.checkpoints import LAST, STABLE, Progressed, load_checkpoint, read_progress
from tractprobe.pretraining.export import export_encoder
from tractprobe.pretraining.learning import Learning
from tractprobe.pretraining.model import MaskedPrediction, drawn_hubert
from tractprobe.pretraining.precision import Precision, precision_here
from tractprobe.pretraining.schedule import Schedule
from tractprobe.pretraining.settings import REACHED, Asked
from tractprobe.pretraining.speech import Speech
from tractprobe.pretraining.start import Start, started
from tractprobe.pretraining.targets import Targets, made_targets
from tractprobe.system.errors import ConfigError, RunError
from tractprobe.system.files import digest

log = logging.getLogger(__name__)

CHECKPOINTS, ENCODER = "checkpoints", "encoder"
_OBJECTIVE = "hubert"
_LEARNED_BY = (
    "masked_weight", "unmasked_weight", "mask_share", "mask_frames", "crop_s", "batch", "optimiser", "learning_rate",
        "temperature", "speaker_temperature",
)  # fmt: skip


@dataclass(eq=False)
class Pretraining:
    """One pretraining, as far as it is.

    Attributes
    ----------
    progressed
        As of the last checkpoint or export.
    licences
        Of the data, for ``pretraining.json``.
    start
        The encoder whose weights were the initial ones, if they were not drawn.
    """

    asked: Asked
    speech: Speech
    targets: Targets
    learning: Learning
    progressed: Progressed
    precision: Precision
    accelerator: str
    licences: tuple[str, ...] = ()
    start: Start | None = None

    @property
    def folder(self) -> Path:
        """Where everything is written."""
        return self.asked.folder

    @property
    def normalise(self) -> bool:
        """Whether waves are standardised."""
        return bool(self.asked.model.arguments.get("normalise", True))

    @property
    def device_name(self) -> str:
        """What trains."""
        return torch.cuda.get_device_name() if self.accelerator == "gpu" else "cpu"

    def export(self) -> Path:
        """Write the encoder as it is now, and return its folder."""
        folder, hubert = self.folder / ENCODER, self.learning.model.hubert
        export_encoder(folder, hubert, self.raised(), self.normalise, self.asked.pretrain.export)
        return folder

    def raised(self) -> Raised:
        """Return what the encoder has been raised on, so far."""
        recipe, progressed = self.asked.pretrain, self.progressed
        hours = {language: round(value, 6) for language, value in self.speech.hours.items()}
        learned_by = {name: getattr(recipe, name) for name in _LEARNED_BY}
        learned_by["cooldown"] = 0 if progressed.cooling is None else progressed.update - progressed.cooling[0]
        before_s, before, licences = 0.0, 0, self.licences
        if self.start is not None:
            licences = tuple(sorted({*licences, *self.start.raised.licences}))
            learned_by["start"] = self.start.plain
            before_s, before = self.start.raised.hours_heard * 3600, self.start.raised.updates
        return Raised(
            objective=_OBJECTIVE,
            languages=hours,
            corpora={corpus.name: corpus.content_hash for corpus in self.speech.corpora},
            hours_of_data=sum(hours.values()),
            hours_heard=(before_s + progressed.heard_s) / 3600,
            updates=before + progressed.update,
            iteration=self.targets.iteration,
            targets={**self.targets.identity, "learned_by": learned_by},
            seed=self.asked.seed,
            parameters=sum(own.numel() for own in self.learning.model.hubert.parameters()),
            licences=licences,
            augmentation={**asdict(recipe.augmentation), "targets_from": "clean audio at the same speed"},
            rates={"stretches": list(progressed.stretches)},
        )


def opened(asked: Asked, corpora: Sequence[PreparedCorpus], licences: tuple[str, ...] = ()) -> Pretraining:
    """Return a pretraining as far as it is, continued from the newest checkpoint that fits.

    Raises
    ------
    ConfigError
        Settings cannot be met with this speech, on this machine, or from the checkpoints that are there.
    """
    recipe = asked.pretrain
    accelerator = _accelerator(recipe.accelerator)
    speech = Speech(corpora, asked.paths.cache, recipe.languages)
    device = torch.device("cuda" if accelerator == "gpu" else "cpu")
    targets = made_targets(speech, recipe.targets, asked.seed, asked.paths.cache, device)
    start = None if recipe.start is None else Start.read(recipe.start)
    identity = digest([asked.identity, speech.identity, targets.identity, start and start.sha256])
    newest, schedule = continued(asked, identity)
    hubert = drawn_hubert(described(asked.model.arguments["architecture"], "model"), asked.seed)
    if start is not None:
        started(hubert, start, speech)
    precision = precision_here(recipe.precision, accelerator)
    model = MaskedPrediction(hubert, targets.clusters, asked.seed)
    learning = Learning(model, recipe, schedule, asked.seed, precision)
    progressed = Progressed(0, identity)
    if newest is not None:
        progressed = load_checkpoint(asked.folder / CHECKPOINTS, newest, learning.model, learning.optimiser)
        learning.update = progressed.update
        log.info("resuming: %d of %d updates done", progressed.update, schedule.total)
    return Pretraining(asked, speech, targets, learning, progressed, precision, accelerator, licences, start)


def continued(asked: Asked, identity: str) -> tuple[str | None, Schedule]:
    """Return the checkpoint to continue from, if there is one, and the schedule.

    A checkpoint within a cooldown continues only that cooldown; a longer training continues from the one before it.
    """
    recipe, folder = asked.pretrain, asked.folder / CHECKPOINTS
    there = {name: progress for name in (LAST, STABLE) if (progress := read_progress(folder, name)) is not None}
    for name, progress in there.items():
        if progress.identity != identity:
            raise RunError(
                f"{folder / name}.json is of other settings or other speech; give name=<another folder>, or remove "
                f"{folder} to start over"
            )
    plateau = [progress.update for progress in there.values() if progress.cooling is None]
    if recipe.updates == REACHED and not plateau:
        raise ConfigError(f"pretrain.updates={REACHED}: {folder} has no checkpoint yet; give a number of updates")
    updates = max(plateau) if recipe.updates == REACHED else int(recipe.updates)
    schedule = Schedule(recipe.learning_rate, recipe.warmup, updates, recipe.cooldown)
    fitting = {name: progress for name, progress in there.items() if _fits(progress, schedule)}
    if there and not fitting:
        least = min(progress.update for progress in there.values())
        raise ConfigError(
            f"pretrain.updates={updates} pretrain.cooldown={recipe.cooldown}: {folder} has {least} updates or more; "
            "give at least as many, or name=<another folder>"
        )
    return max(fitting, key=lambda name: fitting[name].update, default=None), schedule


def _fits(progress: Progressed, schedule: Schedule) -> bool:
    if progress.cooling is None:
        return progress.update <= schedule.updates
    return progress.cooling == (schedule.updates, schedule.cooldown) and progress.update <= schedule.total


def _accelerator(asked: str) -> str:
    if asked == "gpu" and not torch.cuda.is_available():
        raise ConfigError("pretrain.accelerator=gpu: PyTorch finds no GPU here; leave it out, or give cpu")
    return "gpu" if asked != "cpu" and torch.cuda.is_available() else "cpu"
