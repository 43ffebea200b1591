"""Evaluate: score a finished run again, on its own test set or on other corpora. See conf/evaluate.yaml."""

import hydra
from omegaconf import DictConfig

from tractprobe.runs.hydra import clear_errors, register_resolvers

register_resolvers()


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(config: DictConfig) -> None:
    with clear_errors():
        from tractprobe.jobs import evaluate

        evaluate(config)


if __name__ == "__main__":
    main()
