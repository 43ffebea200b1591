"""Options of the command line, with what may have been meant by one that there is not."""

import argparse
import re
import sys
from difflib import get_close_matches
from typing import Any, NoReturn

_QUOTED = re.compile(r"'([^']*)'")


class Parser(argparse.ArgumentParser):
    """One that ends the message about an unknown option or command with the most similar one."""

    takes_settings = False
    """Whether there are settings (name=value) besides options, which many a user writes like options."""

    def error(self, message: str) -> NoReturn:
        """Print one line, and exit with status 2."""
        print(f"{self.prog}: {message}{self._meant(message)}\n{self.prog} --help lists what there is", file=sys.stderr)
        sys.exit(2)

    def _meant(self, message: str) -> str:
        if message.startswith("unrecognized arguments: "):
            typed, sign, _ = message.removeprefix("unrecognized arguments: ").split()[0].partition("=")
            names = list(self._option_string_actions)
            if sign and self.takes_settings and not get_close_matches(typed, names, n=1, cutoff=0.8):
                return f"; settings are written without dashes: {typed.lstrip('-')}=..."
        elif "invalid choice: " in message:
            typed, *names = _QUOTED.findall(message.partition("invalid choice: ")[2])
        else:
            return ""
        close = get_close_matches(typed, names, n=1)
        return f"; did you mean {close[0]}?" if close else ""


class CommandParser(Parser):
    """Of one command among several; its own options are what may have been meant, not those of all commands."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Parse, and exit at an option that the command does not have."""
        known, others = super().parse_known_args(args, namespace)
        if others:
            self.error(f"unrecognized arguments: {' '.join(others)}")
        return known, others
