"""Readers of corpora that are broken somewhere, in a module that a process of a preparation imports in no time."""

import os
import re
import signal
from dataclasses import dataclass, replace

from tractprobe.corpora.readers.folder import Folder
from tractprobe.corpora.utterance import Utterance
from tractprobe.system.errors import CorpusError


@dataclass
class Crashing(Folder):
    """A corpus of which some files kill their process at each attempt, and some at the first."""

    always: str = "no file"
    once: str = "no file"

    def read(self, source: str) -> list[Utterance]:
        utterances = super().read(source)
        first = self.root.with_name(f"attempted.{source}")
        if re.match(self.always, source) or (re.match(self.once, source) and not first.exists()):
            first.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return utterances


class Several(Folder):
    """A corpus whose first source holds five utterances, two of which are broken; and which may be killed."""

    killed_at = ""

    def read(self, source: str) -> list[Utterance | CorpusError]:
        if source == self.killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        (utterance,) = super().read(source)
        if source != "u0.json":
            return [utterance]
        problems = {3: "has no text", 4: "nothing was measured"}
        return [
            CorpusError(self.root / source, problems[number], place=f"sentence {number}")
            if number in problems
            else replace(utterance, id=f"u0_{number}")
            for number in range(1, 6)
        ]
