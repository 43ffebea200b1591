"""Evaluate: score a finished run again, on its own test set or on other corpora. See conf/evaluate.yaml."""

from omegaconf import DictConfig

from tractprobe.runs.hydra import job


def main(config: DictConfig) -> None:
    """Do one job."""
    with job():
        from tractprobe.evaluation import evaluate

        evaluate(config)
