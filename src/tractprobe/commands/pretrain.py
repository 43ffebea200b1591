"""Pretrain: an encoder of one's own, raised on the speech of prepared corpora. See conf/pretrain.yaml."""

import re
from collections.abc import Iterator, Sequence

from omegaconf import DictConfig, OmegaConf

from tractprobe.runs.configuration import conf_dir
from tractprobe.runs.hydra import job

_SETTING = re.compile(r"(?P<indent> *)(?P<name>\w+): *(?P<value>[^#]*?) *(?:# *(?P<about>.*))?")


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


def help_on(overrides: Sequence[str]) -> str | None:
    """Return how to use it and every setting in words; ``None`` where some are given: Hydra's help shows them all."""
    if [override for override in overrides if override != "task=pretrain"]:
        return None
    own = OmegaConf.load(conf_dir() / "hydra/help/pretrain.yaml")
    assert isinstance(own, DictConfig)
    header, footer = (str(own[part]).strip() for part in ("header", "footer"))
    template = OmegaConf.to_container(own)["template"]  # type: ignore[call-overload, index]
    usage = str(template).partition("== ")[0].partition("\n")[2]
    groups = "model: small_hubert; model.architecture.<setting>=... changes it"
    groups += f"\ntracking: {', '.join(sorted(path.stem for path in (conf_dir() / 'tracking').glob('*.yaml')))}"
    return "\n".join([header, "", usage + groups, "", *_settings(), "", footer])


def _settings() -> Iterator[str]:
    """Yield each setting of conf/pretrain.yaml as it is given on the command line, with its comment."""
    above: list[str] = []
    text = (conf_dir() / "pretrain.yaml").read_text(encoding="utf-8")
    for line in text.partition("\n\n")[2].partition("\nhydra:")[0].splitlines():
        if (found := _SETTING.fullmatch(line)) is None:
            continue
        above = [*above[: len(found["indent"]) // 2], found["name"]]
        about = found["about"] or ""
        if found["value"]:
            yield f"  {'.'.join(above) + '=' + found['value']:<44} {about}".rstrip()
        else:
            yield f"\n{about[:1].upper()}{about[1:]}:" if about else ""


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
