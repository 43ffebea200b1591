"""The commands whose arguments are Hydra's: train, pretrain, evaluate and prepare, wherever they are called from.

``tractprobe train``, ``python -m tractprobe train`` and ``python train.py`` do the same, and so do
``tractprobe pretrain`` and ``python train.py task=pretrain``.
"""

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra import version
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobStatus, run_job
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from tractprobe.runs.composition import Loader, explained, groups_of
from tractprobe.runs.configuration import conf_dir
from tractprobe.runs.hydra import register_resolvers
from tractprobe.system.arguments import Parser
from tractprobe.system.errors import ConfigError, TractprobeError
from tractprobe.system.printable import printable
from tractprobe.system.stopping import stoppable

_PRETRAIN = "task=pretrain"
"""What makes ``train`` pretrain an encoder."""

register_resolvers()  # here, since processes of launchers only import what they run


def run(command: str, arguments: Sequence[str] | None = None) -> None:
    """Do what the arguments of a command ask for; a user's mistake gives one line on stderr and exit status 1.

    ``sys.argv`` stays as it is: with several devices Lightning runs that command line again, once for each.

    Parameters
    ----------
    command
        ``train``, ``pretrain``, ``evaluate`` or ``prepare``.
    arguments
        Overrides and options; those of the process if not given.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if command == "train" and _PRETRAIN in arguments:
        command, arguments = "pretrain", [argument for argument in arguments if argument != _PRETRAIN]
    task = import_module(f"{__name__}.{command}")
    version.setbase("1.3")
    parsed = parser(command).parse_intermixed_args(arguments)
    try:
        with stoppable("run the same command again to continue"):
            _answer(Door(command, parsed), parsed, task)
    except TractprobeError as error:
        print(printable(f"tractprobe: {error}"), file=sys.stderr)
        sys.exit(1)
    finally:
        GlobalHydra.instance().clear()


def parser(command: str) -> Parser:
    """Return the parser of a command whose arguments are Hydra's: Hydra's options and ours."""
    own = Parser(prog=f"tractprobe {command}", parents=[get_args_parser()], add_help=False)
    own.takes_settings = True
    own.add_argument(
        "--dry-run", action="store_true", help="only list the runs that the line asks for, and what has become of them"
    )
    return own


class Door(Hydra):
    """Hydra, for one of our commands: with our loader, and help on the groups that the command has."""

    def __init__(self, command: str, parsed: Namespace):
        search_path = create_config_search_path(parsed.config_path or str(conf_dir()))
        assert isinstance(search_path, ConfigSearchPathImpl)
        if parsed.config_dir is not None:
            folder = Path(parsed.config_dir).absolute()
            if not folder.is_dir():
                raise ConfigError(f"--config-dir {folder}: no such folder")
            search_path.prepend("command-line", f"file://{folder}", SearchPathQuery(provider="schema"))
        super().__init__(task_name=command, config_loader=Loader(search_path))
        self.command, self.config_name = command, parsed.config_name or command
        GlobalHydra.instance().initialize(self)

    def list_all_config_groups(self, parent: str = "") -> Sequence[str]:
        """Return the groups to help with."""
        if parent:
            return super().list_all_config_groups(parent)
        return sorted(groups_of(self.command) | set(super().list_all_config_groups("hydra")))


def _answer(hydra: Door, parsed: Namespace, task: ModuleType) -> None:
    name, overrides = hydra.config_name, list(parsed.overrides)
    try:
        if parsed.help and (text := getattr(task, "help_on", lambda overrides: None)(overrides)):
            print(text)
        elif parsed.help:
            hydra.app_help(config_name=name, args_parser=parser(hydra.command), args=parsed)
        elif parsed.hydra_help:
            hydra.hydra_help(config_name=name, args_parser=parser(hydra.command), args=parsed)
        elif parsed.info is not None:
            hydra.show_info(parsed.info, config_name=name, overrides=overrides)
        elif parsed.cfg and not parsed.multirun:
            hydra.show_cfg(name, overrides, parsed.cfg, parsed.package, parsed.resolve)
        else:
            _do(hydra, parsed, overrides, task)
    except OmegaConfBaseException as error:
        raise ConfigError(explained(error, overrides)) from error


def _do(hydra: Door, parsed: Namespace, overrides: list[str], task: ModuleType) -> None:
    """Do one job or a sweep, or only say which jobs these are."""
    sweeps = parsed.multirun or hydra.get_mode(hydra.config_name, overrides) == RunMode.MULTIRUN
    mode = RunMode.MULTIRUN if sweeps else RunMode.RUN
    config = hydra.compose_config(
        hydra.config_name, [*overrides, f"hydra.mode={mode.name}"], mode, with_log_configuration=True
    )
    check: Callable[..., Any] = getattr(task, "check", lambda config, **_: None)
    if parsed.dry_run or parsed.cfg:
        from tractprobe.sweep import plan

        print(plan(hydra, config, partial(check, writes=False)))
    elif sweeps:
        from tractprobe.sweep import sweep

        sweep(hydra, config, task.main, check)
    else:
        check(config)
        _run(hydra, config, task.main)


def _run(hydra: Door, config: DictConfig, task: Callable[[DictConfig], Any]) -> None:
    callbacks = Callbacks(config)
    callbacks.on_run_start(config=config, config_name=hydra.config_name)
    context = HydraContext(config_loader=hydra.config_loader, callbacks=callbacks)
    done = run_job(task, config, job_dir_key="hydra.run.dir", job_subdir_key=None, hydra_context=context)
    callbacks.on_run_end(config=config, config_name=hydra.config_name, job_return=done)
    if done.status != JobStatus.COMPLETED:
        raise done._return_value  # done.return_value prints the arguments first, which are on the screen
