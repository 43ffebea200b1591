"""The header of a head file: whether a file is one, and what it says. Nothing slow is imported here."""

import json
from pathlib import Path
from typing import Any, TypedDict

from tractprobe.encoders.layers import Label
from tractprobe.runs.configuration import Plain
from tractprobe.system.errors import CorpusError, HeadError, TractprobeError, first_line
from tractprobe.system.files import read_bytes

FORMAT = 1
MAX_BYTES, MAX_HEADER_BYTES = 1 << 30, 1 << 23


class EncoderCard(TypedDict):
    """The encoder that a head was fitted on: how to build it, and what tells whether it is the same."""

    label: str
    settings: Plain
    identity: Plain
    width: int
    about: Plain | None


class HeadDescription(TypedDict):
    """What somebody needs to know of a head who has never seen the run."""

    channels: list[dict[str, str]]
    head: Plain
    layer: Label
    encoder: EncoderCard
    frames: Plain
    storage: str
    ema: Plain
    speakers: dict[str, dict[str, list[float | None]]]
    corpora: dict[str, str]
    run: Plain
    means: dict[str, dict[str, dict[str, Any]]]
    scores: list[Any]
    scaled_by_own_test_frames: list[str]
    versions: dict[str, str]
    licence: str


class HeadCard(HeadDescription):
    """What a head file says about itself: the description, its format and a checksum over all of it."""

    format: int
    sha256: str


def check_header(path: Path) -> None:
    """Raise HeadError unless a file has the header of a head file; checking the rest takes longer."""
    content = read_content(path)
    try:
        about_of(content)
    except TractprobeError as error:
        raise HeadError(f"{path}: {error}") from None
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise HeadError(f"{path}: not a head file, or a damaged one ({first_line(error)})") from None


def read_content(path: Path) -> bytes:
    """Return all of a file, of bounded size."""
    if path.is_dir():
        raise HeadError(f"{path}: a folder, not a head file; `tractprobe export {path}` makes one of a finished run")
    try:
        return read_bytes(path, MAX_BYTES)
    except CorpusError as error:
        raise HeadError(str(error)) from None


def about_of(content: bytes) -> HeadCard:
    """Return what a head file says about itself."""
    size = int.from_bytes(content[:8], "little")
    require(len(content) > 8 and 2 <= size <= len(content) - 8, "not a head file: not safetensors, or cut short")
    require(size <= MAX_HEADER_BYTES, f"its header has more than {MAX_HEADER_BYTES} bytes")
    metadata = json.loads(content[8 : 8 + size]).get("__metadata__", {})
    require("tractprobe" in metadata, "safetensors, but not a head file of tractprobe")
    about = json.loads(metadata["tractprobe"], parse_constant=lambda name: require(False, f"{name} in its header"))
    if "layers" in about and "format" not in about:
        raise HeadError("the heads of a run; `tractprobe export <run>` makes a head file of one of them")
    require(about["format"] == FORMAT, f"format {about['format']!r:.20}; this version reads {FORMAT}")
    return about


def require(truth: bool, problem: str) -> None:
    """Raise HeadError with a problem unless something is true."""
    if not truth:
        raise HeadError(problem)
