"""What Hydra is told: where configuration lies, and how errors are printed."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources

from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from tractprobe.runs.configuration import plain
from tractprobe.runs.identity import RunId
from tractprobe.system.errors import ConfigError, TractprobeError

log = logging.getLogger(__name__)


def register_resolvers() -> None:
    """Make ``${run_name:}`` and ``${builtin_corpus:}`` known to OmegaConf."""
    OmegaConf.register_new_resolver("run_name", _run_name_of_root, replace=True)
    OmegaConf.register_new_resolver("builtin_corpus", builtin_corpus, replace=True)


def builtin_corpus() -> str:
    """Return the folder of the corpus that is part of the package."""
    return str(resources.files("tractprobe") / "builtin")


@contextmanager
def clear_errors() -> Iterator[None]:
    """Let Hydra print what a user can put right as one message, without a traceback; log files get it, too.

    Of the jobs of a sweep it prints the first failure only, so that theirs are logged wherever logs go.
    """
    try:
        yield
    except TractprobeError as error:
        _log_error(str(error))
        raise CompactHydraException(str(error)) from error


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
    except ConfigError:
        return "unnamed"  # Hydra would wrap the error beyond recognition; the job itself raises it again
