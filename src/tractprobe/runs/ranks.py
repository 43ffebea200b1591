"""Ranks: processes that train or test together, one for each device, by Lightning's ddp.

Each runs the whole script. Rank 0 has the run directory and writes; the others take part in fits and tests.
"""

import logging
import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tractprobe.runs.settings import ALL, Settings
from tractprobe.system.errors import ConfigError, first_line

if TYPE_CHECKING:
    from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
    from torch import Tensor


def is_first(settings: Settings) -> bool:
    """Return whether this process is the one that writes: of several, rank 0."""
    return settings.num_ranks == 1 or _environment(settings).global_rank() == 0


def check_devices(settings: Settings) -> None:
    """Raise ConfigError for what several processes never do together; it says which combination works."""
    if settings.num_ranks == 1:
        return
    asked = _asked(settings)
    if settings.closed_form:
        raise ConfigError(
            f"{asked}: head=ridge is fitted by one process: give trainer=cpu, or trainer=gpu trainer.devices=1; "
            "several fit nonlinear heads, one held-out value at a time: head=mlp held_out=<value> trainer=ddp"
        )
    if settings.held_out == ALL:
        raise ConfigError(
            f"{asked}: held_out=all uses one device, with together=true or without: give trainer=cpu, or trainer=gpu "
            "trainer.devices=1; several devices fit one held-out value at a time: held_out=<value> trainer=ddp"
        )


def check_ranks(settings: Settings) -> None:
    """Raise ConfigError for what several processes cannot do together, here and now."""
    check_devices(settings)
    if settings.num_ranks > 1 and _in_sweep() and not _environment(settings).creates_processes_externally:
        raise ConfigError(
            f"{_asked(settings)}: a sweep on one machine uses one device per job: give trainer.devices=1 (jobs "
            "side by side: launcher=joblib), or run the jobs one by one without -m; with launcher=slurm, "
            "hydra.launcher.tasks_per_node has to be trainer.devices"
        )


def _asked(settings: Settings) -> str:
    return f"trainer.devices x num_nodes = {settings.num_ranks}"


def check_environment() -> None:
    """Raise ConfigError for variables that Lightning would take for settings, unseen by the name of the run."""
    prefix = "PL_TRAINER_"
    for name in sorted(name for name in os.environ if name.startswith(prefix) and os.environ[name]):
        raise ConfigError(
            f"{name}={os.environ[name]} in the environment would change runs without a trace in their names: unset "
            f"it, and give trainer.{name.removeprefix(prefix).lower()} on the command line"
        )


def cluster_plugins(settings: Settings) -> "list[Any]":
    """Return what tells Lightning where ranks come from: nowhere for one process, whatever variables a cluster set.

    Under Slurm it would write checkpoints of its own at a signal and put the job into the queue again; ours suffice.
    """
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    if settings.num_ranks == 1:
        return plugins_of_one_process()
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return []
    devices, nodes = (settings.trainer.arguments.get(name, 1) for name in ("devices", "num_nodes"))
    try:
        cluster = SLURMEnvironment(auto_requeue=False)
        cluster.validate_settings(devices, nodes)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"{devices * nodes} processes are asked for, which is not what Slurm has started ({first_line(error)}): "
            f"give srun --nodes={nodes} --ntasks-per-node={devices}"
        ) from None
    return [cluster]


def plugins_of_one_process() -> "list[Any]":
    """Return what tells Lightning that this process trains alone."""
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.utilities.rank_zero import rank_zero_only

    # Lightning takes it from SLURM_PROCID and the like, and loggers of all but rank 0 are silent.
    setattr(rank_zero_only, "rank", 0)  # noqa: B010  # an attribute of a function
    return [LightningEnvironment()]


def _in_sweep() -> bool:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def _environment(settings: Settings) -> "ClusterEnvironment":
    """Return what Lightning takes ranks from: Slurm, torchrun and others, or itself. No device is touched."""
    import pytorch_lightning as pl
    from pytorch_lightning.strategies import DDPStrategy

    check_environment()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    with warnings.catch_warnings(action="ignore"):  # that there are GPUs, too
        trainer = pl.Trainer(
            accelerator="cpu",
            devices=settings.trainer.arguments["devices"],
            num_nodes=settings.trainer.arguments.get("num_nodes", 1),
            strategy="ddp",
            logger=False,
            enable_checkpointing=False,
            plugins=cluster_plugins(settings),
        )
    assert isinstance(trainer.strategy, DDPStrategy) and trainer.strategy.cluster_environment is not None
    return trainer.strategy.cluster_environment


def world_size() -> int:
    """Return how many ranks there are at this moment; 1 where none were started."""
    import torch.distributed as dist

    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def of_all_ranks(*values: "Tensor") -> "tuple[Tensor, ...]":
    """Return tensors (..., batch, time, channel) with the utterances of all ranks; gradients reach only its own.

    A loss of these is the same on all ranks. Multiplied by the number of ranks, over which ddp averages, it has the
    gradients that one process would have with all the utterances.
    """
    import torch

    if world_size() == 1:
        return values
    own = torch.tensor(values[0].shape[-3:-1], device=values[0].device)
    sizes = [tuple(size.tolist()) for size in _gathered(own)]
    return tuple(_joined(value, sizes) for value in values)


def ids_of_all_ranks(ids: Sequence[str]) -> list[str]:
    """Return the ids that all ranks have, each once."""
    import torch.distributed as dist

    of_ranks: list[Sequence[str] | None] = [None] * world_size()
    if len(of_ranks) == 1:
        return list(ids)
    dist.all_gather_object(of_ranks, list(ids))
    return sorted({id_ for of_rank in of_ranks for id_ in of_rank or ()})


def _joined(value: "Tensor", sizes: Sequence[tuple[int, ...]]) -> "Tensor":
    import torch
    import torch.distributed as dist

    batch, time = map(max, zip(*sizes, strict=True))
    own = torch.nn.functional.pad(value, (0, 0, 0, time - value.shape[-2], 0, batch - value.shape[-3]))
    of_ranks = _gathered(own.detach())
    of_ranks[dist.get_rank()] = own
    return torch.cat([part[..., :rows, :, :] for part, (rows, _) in zip(of_ranks, sizes, strict=True)], dim=-3)


def _gathered(value: "Tensor") -> "list[Tensor]":
    import torch
    import torch.distributed as dist

    of_ranks = [torch.empty_like(value, memory_format=torch.contiguous_format) for _ in range(world_size())]
    dist.all_gather(of_ranks, value.contiguous())
    return of_ranks
