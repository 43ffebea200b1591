"""Pretrain: an encoder of one's own, raised on the speech of prepared corpora. See conf/pretrain.yaml."""

from omegaconf import DictConfig, OmegaConf

from tractprobe.runs.hydra import job


def _name_of_root(*, _root_: DictConfig) -> str:
    from tractprobe.pretraining.settings import Asked
    from tractprobe.runs.configuration import plain
    from tractprobe.system.errors import ConfigError

    try:
        asked = Asked.of(plain(_root_))
        return asked.folder.relative_to(asked.paths.runs).as_posix()
    except (ConfigError, LookupError, TypeError, AttributeError):
        return "unnamed"  # Hydra would wrap the error beyond recognition; what checks settings raises it again


OmegaConf.register_new_resolver("pretraining_name", _name_of_root, replace=True)


def check(config: DictConfig, *, writes: bool = True) -> None:
    """Raise what is wrong with a job's configuration, before anything slow is imported."""
    from tractprobe.pretraining.settings import Asked
    from tractprobe.runs.building import build, check_node
    from tractprobe.runs.configuration import plain

    asked = Asked.of(plain(config))
    check_node(asked.model)
    check_node(asked.tracking)
    build(asked.tracking)


def main(config: DictConfig) -> None:
    """Do one job."""
    with job():
        from tractprobe.raising import raise_encoder

        raise_encoder(config)
