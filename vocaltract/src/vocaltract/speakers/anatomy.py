"""Anatomies: JD3's speaker file, scaled part by part."""

import hashlib
import os
import tempfile
import xml.etree.ElementTree as xml
from pathlib import Path

import numpy as np

from vocaltract.errors import VocalTractError
from vocaltract.speakers import jd3
from vocaltract.speakers.scaling import build_document, factors
from vocaltract.speakers.sizes import Anatomy


def scaled(states: np.ndarray, build: Anatomy) -> np.ndarray:
    """Tract states (..., 19) of JD3's, moved to another anatomy."""
    return states * factors(build)


def written(name: str, build: Anatomy, f0_hz: float) -> Path:
    """Write the speaker's file to the cache folder: whole or not at all, the same bytes every time."""
    text = xml.tostring(build_document(build, f0_hz).getroot(), encoding="unicode").encode("ascii")
    file = cache_folder() / f"{name}-{_hash(text)}.speaker"
    if not file.is_file() or file.read_bytes() != text:
        _write_atomically(file, text)
    return file


def cache_folder() -> Path:
    """Where speaker files are kept: ``$VOCALTRACT_CACHE``, or else ``vocaltract`` in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "vocaltract"
    folder = Path(os.environ.get("VOCALTRACT_CACHE", default))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write_atomically(file: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=file.name)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
    Path(temporary).replace(file)


def validate(file: Path) -> None:
    """Raise VocalTractError unless a speaker file is what ``written`` wrote: another would abort the process.

    A file's name ends in the hash of its content, so nothing of it needs to be parsed.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise VocalTractError(f"Cannot read the speaker file {file}: {error}.") from error
    if not file.stem.endswith(f"-{_hash(content)}"):
        raise VocalTractError(f"The speaker file {file} has been changed. Delete it; it will be written again.")


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def palate_mm(file: Path) -> np.ndarray:
    """Midline of the hard palate in the tract's coordinates from front to back, (point, 2) mm."""
    points = jd3.document(file).find("./vocal_tract_model/anatomy/palate")
    if points is None:
        raise VocalTractError(f"The speaker file {file} has no palate.")
    rows = [(float(p.get("x", "nan")), float(p.get("palate_height", "nan"))) for p in points]
    return 10.0 * np.array(rows[::-1])
