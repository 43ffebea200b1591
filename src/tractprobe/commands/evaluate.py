"""Evaluate: score a finished run again, on its own test set or on other corpora. See conf/evaluate.yaml."""

from omegaconf import DictConfig

from tractprobe.runs.hydra import clear_errors


def main(config: DictConfig) -> None:
    """Do one job."""
    with clear_errors():
        from tractprobe.evaluation import evaluate

        evaluate(config)
