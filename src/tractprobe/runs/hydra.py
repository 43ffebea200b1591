"""What we register with Hydra, where configuration lies, also that of plug-ins, and how errors are noted."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from tractprobe.runs.configuration import plain
from tractprobe.runs.identity import RunId
from tractprobe.runs.options import plugin_folders
from tractprobe.system.errors import ConfigError, TractprobeError
from tractprobe.system.files import file_safe
from tractprobe.system.printable import printable

BUILTIN = {"virtual": "builtin", "virtual_demo": "builtin/demo"}
"""The corpora that are part of the package, by name, and where in it they lie."""

log = logging.getLogger(__name__)


class PluginGroups(SearchPathPlugin):
    """Configuration groups of installed plug-ins, looked up after ours."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for package, folder in plugin_folders().items():
            search_path.append(provider=package, path=f"file://{folder}")


def register_resolvers() -> None:
    """Make our resolvers known to OmegaConf, and the configuration groups of plug-ins to Hydra."""
    if PluginGroups not in Plugins.instance().discover(SearchPathPlugin):
        Plugins.instance().register(PluginGroups)
    OmegaConf.register_new_resolver("file_safe", file_safe, replace=True)
    OmegaConf.register_new_resolver("run_name", _run_name_of_root, replace=True)
    OmegaConf.register_new_resolver("builtin_corpus", builtin_corpus, replace=True)
    OmegaConf.register_new_resolver("builtin_interventions", builtin_interventions, replace=True)


def builtin_corpus(name: str) -> str:
    """Return the folder of a corpus that is part of the package."""
    return str(resources.files("tractprobe") / BUILTIN[name])


def builtin_interventions() -> str:
    """Return the folder of the interventions that are part of the package: pairs of an utterance and one like it."""
    return str(resources.files("tractprobe") / "builtin_interventions")


@contextmanager
def job() -> Iterator[None]:
    """Do a job where its command was typed, whatever ``hydra.job.chdir`` says: relative paths mean what they say there.

    Errors that a user can fix go to the job's log file, and are raised again for whoever called to print. Of a sweep
    they are printed here, too, since it continues.
    """
    before = Path.cwd()
    if HydraConfig.initialized():
        os.chdir(HydraConfig.get().runtime.cwd)
    try:
        yield
    except TractprobeError as error:
        _log_error(printable(str(error)))
        raise
    finally:
        os.chdir(before)


def _log_error(message: str) -> None:
    if not HydraConfig.initialized() or HydraConfig.get().mode == RunMode.MULTIRUN:
        log.error("%s", message)
        return
    record = log.makeRecord(log.name, logging.ERROR, __file__, 0, message, (), None)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)


def _run_name_of_root(*, _root_: DictConfig) -> str:
    try:
        return RunId.of(plain(_root_)).name
    except (ConfigError, LookupError, TypeError, AttributeError):
        return "unnamed"  # Hydra would wrap the error beyond recognition; what checks settings raises it again
