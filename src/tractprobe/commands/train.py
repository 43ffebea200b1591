"""Train: heads on the layers of a frozen encoder, tested on a held-out language. See conf/train.yaml."""

from hydra.types import RunMode
from omegaconf import DictConfig

from tractprobe.runs.hydra import job


def check(config: DictConfig, *, writes: bool = True) -> None:
    """Raise what is wrong with a job's configuration, before anything slow is imported or any run directory is made.

    Parameters
    ----------
    writes
        Whether built-in corpora may be prepared for it.
    """
    from tractprobe.probes.opening import check
    from tractprobe.runs.configuration import plain
    from tractprobe.runs.settings import Settings
    from tractprobe.runs.slurm import is_slurm

    elsewhere = config.hydra.mode == RunMode.MULTIRUN and is_slurm(config.hydra.launcher)
    check(Settings.of(plain(config)), writes=writes, here=writes and not elsewhere)


def main(config: DictConfig) -> None:
    """Do one job."""
    with job():
        from tractprobe.jobs import train

        train(config)
