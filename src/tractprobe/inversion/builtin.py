"""The head that is part of the package, beside its encoder: where it lies, and what a viewer must know of it.

``scores.json`` in the same folder says what was measured of it when ``benchmarks/ship_encoder.py`` made it. What is not
in that file, or is of another head, was not measured. Nothing slow is imported here.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tractprobe.encoders.builtin import builtin_folder
from tractprobe.encoders.raised import Raised
from tractprobe.system.errors import CorpusError, HeadError
from tractprobe.system.files import is_there, read_json, write_json

BUILTIN = "builtin"
"""What the head is called where a file is expected; a file of this name is given as ``./builtin``."""
HEAD, SCORES = "builtin_head.safetensors", "scores.json"
_SCHEMA = 1


def head_path(name: str | Path) -> Path:
    """Return a head's file; that of the package for ``builtin``.

    Raises
    ------
    HeadError
        The package lacks its head.
    """
    if str(name) != BUILTIN:
        return Path(name)
    path = builtin_folder() / HEAD
    if not path.is_file():
        raise HeadError(f"{path} is missing, a part of this package: install tractprobe again, or give --head FILE")
    return path


@dataclass(frozen=True)
class Measured:
    """A mean r with its interval.

    Attributes
    ----------
    of
        What was read, and how well known it was: ``builtin: held-out language``, ``real recordings`` ...
    low, high
        Ends of the 95 % interval over speakers; ``None`` if there is none.
    n
        Speakers.
    """

    of: str
    r: float
    low: float | None
    high: float | None
    n: int

    def __str__(self) -> str:
        within = "" if self.low is None or self.high is None else f" [{_short(self.low)}, {_short(self.high)}]"
        return f"{_short(self.r)}{within}"


@dataclass(frozen=True)
class Scores:
    """What was measured of the encoder and the head of the package.

    Attributes
    ----------
    encoder_sha256, head_sha256
        Of the encoder's weights as its identity has them, and of the head as its file says.
    head, layer
        Which kind of head, on which layer; ``layer`` as tables have it.
    corpora
        Those that the head learned from.
    simulated
        Those of them that are of no living mouth.
    candidates
        r of each kind of head on the speakers that were kept aside to choose among them.
    scores
        Means of the encoder and of its controls, each with a layer that validation chose.
    real
        The head on recordings of people; ``None`` if that was not measured.
    real_recordings
        How many there were, how many seconds, of which corpora.
    """

    encoder_sha256: str
    head_sha256: str
    head: str
    layer: str
    corpora: tuple[str, ...]
    simulated: tuple[str, ...]
    candidates: Mapping[str, float]
    scores: tuple[Measured, ...]
    real: Measured | None = None
    real_recordings: str = ""

    @classmethod
    def read(cls, folder: Path) -> "Scores | None":
        """Read the file in a folder; ``None`` if there is none.

        Raises
        ------
        HeadError
            It is not of this form.
        """
        path = folder / SCORES
        if not is_there(path):
            return None
        try:
            return cls.of(read_json(path))
        except (CorpusError, ValueError, TypeError) as error:
            problem = error.problem if isinstance(error, CorpusError) else error
            raise HeadError(f"{path}: {problem}; install tractprobe again") from None

    @classmethod
    def of(cls, plain: Any) -> "Scores":
        """Type plain values; ValueError or TypeError for what is not of this form."""
        if not isinstance(plain, dict) or plain.get("schema") != _SCHEMA:
            raise ValueError(f"not scores of schema {_SCHEMA}")
        names = {each.name for each in fields(cls)} | {"schema"}
        if odd := sorted(names ^ set(plain)):
            raise ValueError(f"{odd[0]:.40} is {'missing' if odd[0] in names else 'no part of it'}")
        values = {name: value for name, value in plain.items() if name != "schema"}
        values["scores"] = tuple(_measured(each) for each in plain["scores"])
        values["real"] = None if plain["real"] is None else _measured(plain["real"])
        values["corpora"], values["simulated"] = tuple(plain["corpora"]), tuple(plain["simulated"])
        return cls(**values)

    def write(self, folder: Path) -> None:
        """Write the file, checked as it is when it is read."""
        plain = {"schema": _SCHEMA, **asdict(self)}
        plain |= {"corpora": list(self.corpora), "simulated": list(self.simulated)}
        plain["scores"] = [asdict(each) for each in self.scores]
        self.of(plain)
        write_json(folder / SCORES, plain)


def origin(path: Path, sha256: str) -> str:
    """Return what is known of the package's own head, in sentences; an empty text for any other head.

    Parameters
    ----------
    path
        The head's file.
    sha256
        The head's checksum, as its file says.
    """
    folder = builtin_folder()
    if path.resolve() != (folder / HEAD).resolve():
        return ""
    scores, raised = Scores.read(folder), Raised.read(folder)
    if scores is None or raised is None or scores.head_sha256 != sha256:
        return "This is the head of the package; how well it reads people was not measured."
    spoken = f"{raised.hours_heard:.3g} hours of listening to {raised.hours_of_data:.3g} hours of speech"
    simulated, corpora = _all_simulated(scores), ", ".join(scores.corpora)
    learned = "simulated vocal tracts alone, from no person's movements" if simulated else "people, too"
    if scores.real is None:
        real = "How well it reads people was not measured."
    else:
        real = f"On recordings of people its r was {scores.real} ({scores.real_recordings})."
    advice = " Trust rough directions and their timing, not positions." if simulated else ""
    return (
        f"{real}{advice} This is the head of the package. It learned from {learned} ({corpora}); its encoder was "
        f"trained by {spoken} in {len(raised.languages)} languages, without any movements."
    )


def _all_simulated(scores: Scores) -> bool:
    return set(scores.corpora) <= set(scores.simulated)


def _measured(plain: Any) -> Measured:
    if not isinstance(plain, dict) or set(plain) != {each.name for each in fields(Measured)}:
        raise ValueError("a score that is not one")
    of, r, n = (plain[name] for name in ("of", "r", "n"))
    if not isinstance(of, str) or type(n) is not int or n < 1:
        raise ValueError(f"a score without what it is of, or over nobody: {of!r:.40}")
    ends = [end for end in (plain["low"], plain["high"]) if end is not None]  # of a difference they may lie beyond 1
    if not all(type(value) in (int, float) and math.isfinite(value) for value in (r, *ends)) or abs(r) > 1:
        raise ValueError(f"{of!r:.40} has an r that is none")
    return Measured(**plain)


def _short(r: float) -> str:
    return f"{r:.2f}".replace("0.", ".", 1)
