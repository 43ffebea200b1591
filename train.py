"""Train: heads on the layers of a frozen encoder, tested on a held-out language. See conf/train.yaml."""

import hydra
from omegaconf import DictConfig

from tractprobe.runs.hydra import clear_errors, register_resolvers

register_resolvers()


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(config: DictConfig) -> None:
    with clear_errors():
        from tractprobe.jobs import train

        train(config)


if __name__ == "__main__":
    main()
