"""From the arguments of a command to Hydra's configuration; what is wrong with them is said in one line."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from tractprobe.runs.configuration import conf_dir
from tractprobe.runs.options import plugin_folders
from tractprobe.system.errors import ConfigError, first_line
from tractprobe.system.registry import did_you_mean

_EXTRAS = {"hydra/launcher/joblib": ("joblib", "parallel"), "hydra/launcher/submitit_slurm": ("slurm", "slurm")}
_EXTRAS |= {"hydra/launcher/submitit_local": ("submitit_local", "slurm")}


_WITH_SETTINGS = {"model", "head", "objective", "optimizer", "schedule"}
"""Groups whose options have settings of their own, and set nothing else."""


class Loader(ConfigLoaderImpl):
    """Hydra's, but that a mapping given as an argument replaces what was there, and that errors are ours."""

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """Compose; ConfigError names the argument that is wrong, and what may have been meant.

        What a sweep starts from has the first option of a swept group that knows the settings given for the group:
        ``head=ridge,mlp head.hidden=16`` cannot start from the default head.
        """
        try:
            parsed = OverridesParser.create().parse_overrides(overrides)
            lines = list(map(_with_pluses, overrides, parsed))
            failure: Exception | None = None
            for start in _starts(lines, parsed):
                try:
                    config = super().load_configuration(
                        config_name, start, run_mode, from_shell, validate_sweep_overrides
                    )
                except ConfigCompositionException as error:
                    failure = failure or error
                    continue
                _restore_arguments(config, start, lines)
                _replace_mappings(config, parsed)
                return config
            assert failure is not None
            raise failure
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(explained(error, overrides)) from error


def _starts(lines: Sequence[str], overrides: Sequence[Override]) -> Iterator[list[str]]:
    """Yield the arguments with one option for each swept group of which a setting is given, in the order of options."""
    given = {override.key_or_group.partition(".")[0] for override in overrides if "." in override.key_or_group}
    options = [
        [f"{override.key_or_group}={option}" for option in override.sweep_string_iterator()]
        if override.is_choice_sweep() and override.key_or_group in given & _WITH_SETTINGS
        else [line]
        for line, override in zip(lines, overrides, strict=True)
    ]
    for start in product(*options):
        yield list(start)


def _restore_arguments(config: DictConfig, start: Sequence[str], lines: Sequence[str]) -> None:
    """Let the configuration of a sweep name the arguments as they were typed, which the jobs are made of."""
    typed = {own: line for own, line in zip(start, lines, strict=True) if own != line}
    if typed:
        task = config.hydra.overrides.task
        config.hydra.overrides.task = [typed.get(argument, argument) for argument in task]


def _is_mapping(override: Override) -> bool:
    """Whether an argument gives a mapping. Sections such as ``data={batch_size: 4}`` are none: their keys are fixed."""
    is_plain = not (override.is_sweep_override() or override.is_hydra_override() or override.is_delete())
    return is_plain and "." in override.key_or_group and isinstance(override.value(), dict)


def _with_pluses(line: str, override: Override) -> str:
    """Return an argument as Hydra takes it: it demands a plus of a mapping that had no entry."""
    return f"++{line.lstrip('+')}" if _is_mapping(override) else line


def _replace_mappings(config: DictConfig, overrides: Sequence[Override]) -> None:
    """Let each mapping that was given be the whole of it: Hydra has merged it with the defaults."""
    replaced: tuple[str, ...] = ()
    for override in overrides:
        key, is_mapping = override.key_or_group, _is_mapping(override)
        if is_mapping or (key.startswith(replaced) and not override.is_delete()):
            OmegaConf.update(config, key, override.value(), merge=False, force_add=True)
        if is_mapping:
            replaced += (f"{key}.",)


def explained(error: BaseException, overrides: Sequence[str]) -> str:
    """Return one line about what Hydra cannot compose: the argument, what is wrong and what may have been meant.

    Parameters
    ----------
    overrides
        The arguments as they were typed.
    """
    cause, text = error.__cause__, first_line(error)
    match error:
        case MissingConfigException(missing_cfg_file=str(file), options=options):
            return _about_option(file, options or _options(file))
        case OverrideParseException(override=argument):
            return f"{argument}: not understood ({text}); expected key=value, in quotes where the shell needs them"
        case ConfigCompositionException() if isinstance(cause, ConfigAttributeError | ConfigKeyError):
            return _about_key(cause, overrides)
        case ConfigCompositionException() if isinstance(cause, OmegaConfBaseException):
            return f"{cause.full_key or 'configuration'}: {first_line(cause)}"
        case OmegaConfBaseException(full_key=key):
            return f"{key or 'configuration'}: {text}"
    return _in_our_words(text)


def _in_our_words(text: str) -> str:
    _, quoted, rest = text.partition("'")
    argument = rest.partition("'")[0]
    is_single = argument.partition("=")[0] in {"seed", *groups()} - {"tracking"}
    several = "several values need -m, for a sweep" + (", or brackets, [value1,value2], for a list" * (not is_single))
    for words, advice in {
        "Ambiguous value": several,
        "requires --multirun": "give -m, for a sweep over these values",
        "Could not append": "there is such a setting already: give it without the +",
        "Could not delete": "there is no such setting to remove",
    }.items():
        if words in text and quoted:
            return f"{argument}: {advice}"
    return text


def _about_option(file: str, options: Iterable[str]) -> str:
    group, _, option = file.rpartition("/")
    if file in _EXTRAS:
        launcher, extra = _EXTRAS[file]
        return f'launcher={launcher} needs another package: pip install "tractprobe[{extra}]"'
    if not group:
        return f"{option}: no such configuration"
    close = did_you_mean(option, options, written=f"{group}={{}}")
    return f"{group}={option}: no such option{close}"


def _options(file: str) -> list[str]:
    """Return the options of a file's group: Hydra does not name them where one of a list is unknown."""
    return options_of(file.rpartition("/")[0])


def options_of(group: str) -> list[str]:
    """Return the options of a group of ours, those of plug-ins included."""
    folders = (conf_dir(), *plugin_folders().values())
    return sorted(path.stem for folder in folders for path in (folder / group).glob("*.yaml"))


def _about_key(error: ConfigAttributeError | ConfigKeyError, overrides: Sequence[str]) -> str:
    key, there_are = str(error.full_key), [str(name) for name in error.parent_node or ()]
    parent, _, name = key.rpartition(".")
    value = next((each.partition("=")[2] for each in overrides if each.partition("=")[0] == key), None)
    given = f"={value}" if value is not None else ""
    names = [each for each in (*there_are, *(() if parent else groups())) if each not in ("hydra", "_target_")]
    close = did_you_mean(name, names, written=f"{parent}.{{}}{given}" if parent else f"{{}}{given}")
    return f"{key}{given}: no such setting{close}"


def groups() -> list[str]:
    """Return the names of our groups of options."""
    return [path.name for path in conf_dir().iterdir() if path.is_dir()]


def groups_of(command: str) -> set[str]:
    """Return the groups of options that a command takes."""
    defaults = OmegaConf.select(OmegaConf.load(conf_dir() / f"{command}.yaml"), "defaults")
    return {str(name) for entry in defaults if OmegaConf.is_dict(entry) for name in entry if " " not in str(name)}
