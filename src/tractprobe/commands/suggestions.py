"""What may have been meant by an option or key that Hydra does not know."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from hydra.errors import ConfigCompositionException, MissingConfigException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError

from tractprobe.runs.configuration import conf_dir
from tractprobe.runs.options import plugin_folders


def suggestion(error: BaseException | None, overrides: Sequence[str]) -> str | None:
    """Return a question about the argument that Hydra fails at; ``None`` if nothing has a similar name.

    Parameters
    ----------
    error
        What Hydra raised.
    overrides
        The arguments as they were typed.
    """
    meant = None
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        meant = _option(error.missing_cfg_file, error.options or _options(error.missing_cfg_file))
    elif isinstance(error, ConfigCompositionException) and isinstance(
        error.__cause__, ConfigAttributeError | ConfigKeyError
    ):
        meant = _key(error.__cause__, overrides)
    return f"did you mean {meant}?" if meant else None


def _option(file: str, options: Iterable[str]) -> str | None:
    group, _, option = file.rpartition("/")
    close = _close(option, options)
    return f"{group}={close}" if group and close else close


def _options(file: str) -> list[str]:
    """Return the options of a file's group: Hydra does not name them where one of a list is unknown."""
    group = file.rpartition("/")[0]
    return [
        path.stem for folder in (conf_dir(), *plugin_folders().values()) for path in (folder / group).glob("*.yaml")
    ]


def _key(error: ConfigAttributeError | ConfigKeyError, overrides: Sequence[str]) -> str | None:
    key = str(error.full_key)
    parent, _, name = key.rpartition(".")
    close = _close(name, [*map(str, error.parent_node or ()), *(() if parent else groups())])
    if close is None:
        return None
    value = next((each.partition("=")[2] for each in overrides if each.partition("=")[0] == key), "")
    return f"{parent}.{close}={value}".lstrip(".")


def groups() -> list[str]:
    """Return the names of our groups of options."""
    return [path.name for path in conf_dir().iterdir() if path.is_dir()]


def _close(name: str, names: Iterable[str]) -> str | None:
    return next(iter(get_close_matches(name, names, n=1)), None)
