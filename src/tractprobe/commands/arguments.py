"""Options of the command line, with what may have been meant by one that there is not."""

import argparse
import re
import sys
from difflib import get_close_matches
from typing import NoReturn

_QUOTED = re.compile(r"'([^']*)'")


class Parser(argparse.ArgumentParser):
    """One that ends the message about an unknown option or command with the most similar one."""

    def error(self, message: str) -> NoReturn:
        """Print one line, and exit with status 2."""
        print(f"{self.prog}: {message}{self._meant(message)}\n{self.prog} --help lists what there is", file=sys.stderr)
        sys.exit(2)

    def _meant(self, message: str) -> str:
        if message.startswith("unrecognized arguments: "):
            typed = message.removeprefix("unrecognized arguments: ").split()[0].partition("=")[0]
            names = list(self._option_string_actions)
        elif "invalid choice: " in message:
            typed, *names = _QUOTED.findall(message.partition("invalid choice: ")[2])
        else:
            return ""
        close = get_close_matches(typed, names, n=1)
        return f"; did you mean {close[0]}?" if close else ""


def parser(command: str) -> Parser:
    """Return the parser of a command whose arguments are Hydra's: Hydra's options and ours."""
    from hydra._internal.utils import get_args_parser

    own = Parser(prog=f"tractprobe {command}", parents=[get_args_parser()], add_help=False)
    own.add_argument(
        "--dry-run", action="store_true", help="only list the runs that the line asks for, and what has become of them"
    )
    return own
