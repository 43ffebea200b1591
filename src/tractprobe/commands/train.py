"""Train: heads on the layers of a frozen encoder, tested on a held-out language. See conf/train.yaml."""

from omegaconf import DictConfig

from tractprobe.runs.hydra import clear_errors


def main(config: DictConfig) -> None:
    """Do one job."""
    with clear_errors():
        from tractprobe.jobs import train

        train(config)
