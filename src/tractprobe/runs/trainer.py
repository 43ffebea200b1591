"""Lightning's trainer, whose checkpoints lie in a run's folder."""

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tractprobe.runs.building import build
from tractprobe.runs.settings import Node, Settings
from tractprobe.system.errors import ConfigError, first_line
from tractprobe.system.registry import place_of

if TYPE_CHECKING:
    import pytorch_lightning as pl
    import torch

CHECKPOINTS = "checkpoints"
_LOGGING = ("DeviceStatsMonitor", "LearningRateMonitor", "ThroughputMonitor")  # which fail without a logger
_ACCELERATORS = ("cpu", "gpu", "auto", "mps", "tpu", "hpu")
_NO_GPU = "PyTorch finds no GPU here; use trainer=cpu"
_PRECISIONS = ("32-true", "bf16-mixed")  # float16's scaling of losses would be shared by all heads of a bank
# Warnings of libraries about what is intended; by message, so that all others are still seen.
_EXPECTED_WARNINGS = (
    ".*isinstance\\(treespec, LeafSpec\\)",  # Lightning 2.6 with torch 2.13
    ".*in eval mode at the start of training.*",  # the frozen encoder
    ".*does not have many workers.*",
    "Support for mismatched key_padding_mask and attn_mask.*",  # WavLM in transformers 5
    "Checkpoint directory .* exists and is not empty.*",  # it is the one we resume from
    "It is recommended to use .self.log.*sync_dist=True.*",  # what we log is the same on all ranks
    "You defined a `validation_step` but have no `val_dataloader`.*",  # a corpus too small to be divided
    "The `srun` command is available.*",  # one process needs none
)


def trainer_of(settings: Settings, folder: Path, logger: Any) -> "pl.Trainer":
    """Return Lightning's trainer, whose checkpoints lie in a run's folder.

    Parameters
    ----------
    logger
        What ``Tracking.run`` yields: one logger, several, or ``None``.
    """
    from pytorch_lightning.callbacks import ModelCheckpoint

    from tractprobe.runs.checkpoint import AtomicCheckpoints, WithinEpochs
    from tractprobe.runs.fit_progress import FitProgress
    from tractprobe.runs.ranks import check_environment, cluster_plugins
    from tractprobe.runs.signals import OwnSignals
    from tractprobe.runs.tracking import lightning_loggers

    check_environment()
    check_trainer(settings)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in _EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", message)
    last = {"dirpath": folder / CHECKPOINTS, "filename": "last", "enable_version_counter": False}
    within_epochs = WithinEpochs(**last, train_time_interval=timedelta(seconds=settings.checkpoint_s))
    every_epoch = ModelCheckpoint(**last, every_n_epochs=1, save_on_train_epoch_end=True)
    arguments = dict(settings.trainer.arguments)
    progress = FitProgress(shown=arguments.pop("enable_progress_bar", True))
    return build(
        replace(settings.trainer, arguments=arguments),
        logger=lightning_loggers(logger) or False,
        callbacks=[OwnSignals(), progress, *_callbacks(settings, logger), within_epochs, every_epoch],
        plugins=[AtomicCheckpoints(), *cluster_plugins(settings)],
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_model_summary=False,
        enable_progress_bar=False,  # one for each epoch and each validation; FitProgress has one for all
        use_distributed_sampler=False,
        limit_test_batches=1.0,
        default_root_dir=os.devnull,  # whatever lies in a root is loaded unasked: hpc_ckpt_<n>.ckpt, also to test
    )


@contextmanager
def complaints() -> Iterator[None]:
    """Let what Lightning says of settings be an error of the settings."""
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    try:
        yield
    except MisconfigurationException as error:
        raise ConfigError(f"trainer: {first_line(error)}") from error


def _callbacks(settings: Settings, logger: Any) -> "list[pl.Callback]":
    """Build what ``callbacks`` names; ConfigError for one with nothing to log to, or that joins what is held apart."""
    from pytorch_lightning.callbacks import EarlyStopping

    nodes = {f"callbacks.{name}": Node.of(f"callbacks.{name}", node) for name, node in settings.callbacks.items()}
    for key, node in nodes.items():
        if (kind := place_of(node.target).kind) != "callback":
            raise ConfigError(f"{key}._target_={node.target} is not a callback but of the kind {kind}")
        if settings.together and issubclass(place_of(node.target).load(), EarlyStopping):
            raise ConfigError(
                f"{key} would end the heads of all held-out values by the mean of their r, which each must not know: "
                "leave it out; patience=<epochs> ends each head by its own"
            )
        if not logger and node.target.rpartition(".")[2] in _LOGGING:
            raise ConfigError(f"{key} only logs, and tracking is off: give tracking=csv or another, or leave it out")
    return [build(node) for node in nodes.values()]


def check_trainer(settings: Settings) -> None:
    """Raise ConfigError for settings of the trainer under which a run would not be what it says it is."""
    _check_trainer(settings.trainer.arguments)
    if not settings.closed_form:
        _check_training(settings.trainer.arguments)


def _check_trainer(settings: Mapping[str, Any]) -> None:
    """Raise ConfigError for what would score a part of the test, or in numbers that encoders and heads cannot hold."""
    if settings.get("fast_dev_run"):
        raise ConfigError("trainer.fast_dev_run would score a part of the test: use trainer=debug for a short run")
    if (precision := settings.get("precision")) not in _PRECISIONS:
        raise ConfigError(f"trainer.precision={precision}: expected one of {', '.join(_PRECISIONS)}")


def _check_training(settings: Mapping[str, Any]) -> None:
    """Raise ConfigError for settings that would train the heads of a bank otherwise than alone."""
    for name in ("max_steps", "max_time", "overfit_batches"):
        if settings.get(name):
            raise ConfigError(f"trainer.{name}: remove it; trainer.max_epochs and patience end training")
    for name in ("limit_train_batches", "limit_val_batches"):
        if settings.get(name) == 0:
            raise ConfigError(f"trainer.{name}=0: nothing would be learned or chosen; null takes all batches")
    epochs = settings.get("max_epochs")
    if type(epochs) is not int or epochs < 1:
        raise ConfigError(f"trainer.max_epochs={epochs}: expected 1 or more; patience=<epochs> ends training earlier")
    if settings.get("gradient_clip_val") is not None and settings.get("gradient_clip_algorithm") != "value":
        raise ConfigError(
            "trainer.gradient_clip_val: if clipped by norm, a head's gradients would depend on those of the others "
            "in its bank: give +trainer.gradient_clip_algorithm=value, or none"
        )


def check_accelerator(settings: Settings) -> None:
    """Raise ConfigError for an accelerator that is none, or for GPUs that this machine lacks.

    PyTorch is asked, and imported, only if GPUs are asked for.
    """
    accelerator = settings.trainer.arguments.get("accelerator", "auto")
    known = ("cpu", "gpu", "auto") if settings.closed_form else _ACCELERATORS
    if accelerator not in (*known, "cuda"):
        raise ConfigError(f"trainer.accelerator={accelerator}: expected one of {', '.join(known)}")
    if accelerator not in ("gpu", "cuda"):
        return
    import torch

    if not settings.closed_form and accelerator == "gpu" and torch.backends.mps.is_available():
        return  # Lightning's word for it
    devices, count = settings.trainer.arguments.get("devices", 1), torch.cuda.device_count()
    if not count:
        raise ConfigError(f"trainer.accelerator={accelerator}: {_NO_GPU}")
    if devices > count:
        raise ConfigError(f"trainer.devices={devices}: PyTorch finds {count} GPU{'s' * (count > 1)} here")


def device_of(settings: Settings) -> "torch.device":
    """Return the device that trainer.accelerator names, where Lightning trains nothing.

    Raises
    ------
    ConfigError
        There is no such device here.
    """
    import torch

    _check_trainer(settings.trainer.arguments)
    accelerator = settings.trainer.arguments.get("accelerator", "auto")
    if accelerator == "cpu" or (accelerator == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if accelerator in ("auto", "gpu", "cuda"):
        if not torch.cuda.is_available():
            raise ConfigError(f"trainer.accelerator={accelerator}: {_NO_GPU}")
        return torch.device("cuda", 0)
    raise ConfigError(f"trainer.accelerator={accelerator}: expected cpu, gpu or auto")
