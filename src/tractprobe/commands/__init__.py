"""The commands whose arguments are Hydra's: train, evaluate and prepare, wherever they are called from.

``tractprobe train``, ``python -m tractprobe train`` and ``python train.py`` do the same.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

from hydra import version
from hydra._internal.utils import _run_hydra, get_args_parser

from tractprobe.commands.suggestions import suggestion
from tractprobe.runs.configuration import conf_dir
from tractprobe.runs.hydra import register_resolvers
from tractprobe.system.stopping import stoppable

register_resolvers()  # here, since processes of launchers only import what they run


def run(command: str, arguments: Sequence[str] | None = None) -> None:
    """Give the arguments of a command to Hydra, as ``hydra.main`` does with those of a script.

    ``sys.argv`` stays as it is: with several devices Lightning runs that command line again, once for each.

    Parameters
    ----------
    command
        ``train``, ``evaluate`` or ``prepare``.
    arguments
        Overrides and options; those of the process if not given.
    """
    task = import_module(f"{__name__}.{command}").main
    version.setbase("1.3")
    parser = get_args_parser()
    parsed = parser.parse_args(arguments)
    try:
        with stoppable("run the same command again to continue"):
            _run_hydra(parsed, parser, task, str(conf_dir()), command)
    except SystemExit as end:  # Hydra has printed why
        if text := suggestion(end.__context__, parsed.overrides):
            print(text, file=sys.stderr)
        raise
