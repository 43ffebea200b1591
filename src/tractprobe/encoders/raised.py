"""What an encoder of our own was raised on: ``pretraining.json`` beside the ``config.json`` of its folder."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tractprobe.system.errors import CorpusError, EncoderError
from tractprobe.system.files import is_there, read_json, write_json

PRETRAINING = "pretraining.json"
BABBLE = "zxx"
"""The language of sound without any language: babble (ISO 639-2)."""
_SCHEMA = 1
_DEPTH = 4  # of values nested in targets, augmentation and rates


@dataclass(frozen=True)
class Raised:
    """The upbringing of an encoder.

    Attributes
    ----------
    objective
        What it learned to do, such as ``hubert``.
    languages
        Hours of speech there were of each language; ``zxx`` is babble.
    corpora
        Content hash of each corpus.
    hours_of_data
        Hours of speech there were, each counted once; the sum of ``languages``.
    hours_heard
        Hours that went through the encoder, augmented or repeated.
    updates
        How often its weights were changed; 0 for an untrained twin.
    iteration
        1 if the targets are clusters of cepstra, 2 if clusters of states of an earlier encoder.
    targets, augmentation, rates
        Plain values that say how targets were made, what was done to the sound, and how fast training was.
    seed
        From which everything was drawn, initial weights included.
    parameters
        How many numbers the encoder has.
    licences
        Of the data.
    """

    objective: str
    languages: Mapping[str, float]
    corpora: Mapping[str, str]
    hours_of_data: float
    hours_heard: float
    updates: int
    iteration: int
    targets: Mapping[str, Any]
    seed: int
    parameters: int
    licences: tuple[str, ...] = ()
    augmentation: Mapping[str, Any] = field(default_factory=dict)
    rates: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_trained(self) -> bool:
        """Whether the weights are other than those that were drawn."""
        return self.updates > 0

    @classmethod
    def read(cls, folder: Path | str) -> "Raised | None":
        """Read what an encoder's folder says; ``None`` if it says nothing, as encoders of others do.

        Raises
        ------
        EncoderError
            The file is not of this form.
        """
        path = Path(folder) / PRETRAINING
        try:
            if not is_there(path):
                return None
            return cls.of(read_json(path))
        except CorpusError as error:
            raise EncoderError(f"{path}: {error.problem}; copy the encoder's folder again") from None
        except ValueError as error:
            raise EncoderError(f"{path}: {error}; copy the encoder's folder again") from None

    @classmethod
    def of(cls, plain: Any) -> "Raised":
        """Type plain values strictly; ValueError names what is missing, unknown or not of its kind."""
        if not isinstance(plain, Mapping):
            raise ValueError("not a mapping")
        if type(plain.get("schema")) is not int or plain["schema"] != _SCHEMA:
            raise ValueError(f"schema {plain.get('schema')!r:.20}; expected {_SCHEMA}, of this version of tractprobe")
        names = {each.name for each in fields(cls)} | {"schema"}
        if odd := sorted(map(str, names ^ set(plain))):
            raise ValueError(f"{odd[0]:.40} is {'missing' if odd[0] in names else 'no part of it'}")
        values = {name: _KINDS[name](name, value) for name, value in plain.items() if name != "schema"}
        raised = cls(**values)
        if not math.isclose(sum(raised.languages.values()), raised.hours_of_data, rel_tol=0.01, abs_tol=0.01):
            raise ValueError("hours_of_data is not the sum of the hours of its languages")
        if (raised.updates == 0) != (raised.hours_heard == 0):
            raise ValueError(f"updates={raised.updates} contradicts hours_heard={raised.hours_heard}")
        return raised

    @property
    def plain(self) -> dict[str, Any]:
        """The values as ``pretraining.json`` has them."""
        return {"schema": _SCHEMA, **asdict(self), "licences": list(self.licences)}

    def write(self, folder: Path) -> None:
        """Write the values into an encoder's folder, checked as they are when they are read."""
        self.of(self.plain)
        write_json(folder / PRETRAINING, self.plain)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > 200:
        raise ValueError(f"{name}={value!r:.40}; expected a text")
    return value


def _number(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{name}={value!r:.40}; expected a number of at least 0")
    return float(value)


def _count(name: str, value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError(f"{name}={value!r:.40}; expected a whole number of at least 0")
    return value


def _iteration(name: str, value: Any) -> int:
    if type(value) is not int or value not in (1, 2):
        raise ValueError(f"{name}={value!r:.40}; expected 1 or 2")
    return value


def _hours(name: str, value: Any) -> dict[str, float]:
    return {_text(name, key): _number(f"{name}.{key:.20}", hours) for key, hours in _mapping(name, value).items()}


def _hashes(name: str, value: Any) -> dict[str, str]:
    return {_text(name, key): _text(f"{name}.{key:.20}", text) for key, text in _mapping(name, value).items()}


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{name}={value!r:.40}; expected a list of texts")
    return tuple(_text(name, text) for text in value)


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name}={value!r:.40}; expected a mapping")
    return value


def _plain(name: str, value: Any) -> dict[str, Any]:
    """Return a mapping of plain values, which may be nested but not deeply, with finite numbers."""
    _check_plain(name, _mapping(name, value), _DEPTH)
    return dict(value)


def _check_plain(name: str, value: Any, depth: int) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} is not a finite number")
    if isinstance(value, dict | list):
        if not depth:
            raise ValueError(f"{name} is nested too deeply")
        for part in value.values() if isinstance(value, dict) else value:
            _check_plain(name, part, depth - 1)


_KINDS = {
    **dict.fromkeys(("objective",), _text),
    **dict.fromkeys(("hours_of_data", "hours_heard"), _number),
    **dict.fromkeys(("updates", "seed", "parameters"), _count),
    **dict.fromkeys(("targets", "augmentation", "rates"), _plain),
    "languages": _hours,
    "corpora": _hashes,
    "iteration": _iteration,
    "licences": _texts,
}
