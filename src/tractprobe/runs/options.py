"""Where the configuration files of plug-ins lie."""

import logging
from functools import cache
from pathlib import Path

from tractprobe.runs.configuration import conf_dir
from tractprobe.system.plugins import installed

log = logging.getLogger(__name__)


@cache
def plugin_folders() -> dict[str, Path]:
    """Return each plug-in's folder of groups; a folder with an option that exists elsewhere is left out."""
    options = {"tractprobe": _options(conf_dir())}
    options |= {package: _options(folder) for package, folder in installed().conf.items()}
    folders = {}
    for package, folder in installed().conf.items():
        others = set[str]().union(*(own for other, own in options.items() if other != package))
        if doubled := sorted(options[package] & others):
            log.warning("configuration of the plug-in %s is left out: %s exists already", package, doubled[0])
        else:
            folders[package] = folder
    return folders


def option_file(group: str, option: str) -> Path | None:
    """Return the file of a plug-in's option, such as ``model/mylab.yaml``; ``None`` if no plug-in has one."""
    files = (folder / group / f"{option}.yaml" for folder in plugin_folders().values())
    return next((file for file in files if file.is_file()), None)


def _options(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.yaml")}
