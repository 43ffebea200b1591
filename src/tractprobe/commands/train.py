"""Train: heads on the layers of a frozen encoder, tested on a held-out language. See conf/train.yaml."""

from omegaconf import DictConfig

from tractprobe.runs.hydra import job


def check(config: DictConfig) -> None:
    """Raise what is wrong with a job's configuration, before anything slow is imported or any file is written."""
    from tractprobe.probes.opening import check
    from tractprobe.runs.configuration import plain
    from tractprobe.runs.settings import Settings

    check(Settings.of(plain(config)))


def main(config: DictConfig) -> None:
    """Do one job."""
    with job():
        from tractprobe.jobs import train

        train(config)
