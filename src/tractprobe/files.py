"""Writing whole or not at all, reading within bounds, and naming content by its hash."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tractprobe.errors import CorpusError

MAX_JSON_BYTES = 64 * 1024 * 1024


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; on success it replaces ``path``, on error it vanishes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def staged_folder(folder: Path) -> Iterator[Path]:
    """Yield a new, empty folder; on success it takes the place of ``folder``, on error or kill nothing is changed.

    What lay there before is removed only after it has been moved aside; what killed processes left behind is cleared.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(folder)
    staging = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    old = staging.with_suffix(".old")
    staging.mkdir()
    try:
        yield staging
        if folder.exists():
            os.replace(folder, old)
        os.replace(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _clear_leftovers(folder: Path) -> None:
    for leftover in folder.parent.glob(f".{folder.name}.*.*"):
        pid = leftover.name.split(".")[-2]
        if leftover.suffix not in (".partial", ".old") or not pid.isdigit() or _is_running(int(pid)):
            continue
        if leftover.suffix == ".old" and not folder.exists():
            os.replace(leftover, folder)  # killed between the two moves
        shutil.rmtree(leftover, ignore_errors=True)


def _is_running(pid: int) -> bool:
    if os.name != "posix":
        return True  # elsewhere signal 0 is not a question but an interrupt
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def write_text(path: Path, text: str) -> None:
    """Write text atomically, as UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN is refused, since it is not JSON."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def read_json(path: Path, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Read a JSON file of bounded size; raise CorpusError with the line where it breaks off."""
    try:
        if path.stat().st_size > max_bytes:
            raise CorpusError(path, f"{path.stat().st_size} bytes of JSON; at most {max_bytes} are read")
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CorpusError(path, "no such file") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
        place = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else None
        raise CorpusError(path, f"not JSON: {error}", place=place) from None


def read_npy(path: Path) -> np.ndarray:
    """Read one numeric array from a .npy file, without pickle and with no more memory than the file has bytes."""
    try:
        # Mapping first: a header that claims more than the file holds fails here, before anything is allocated.
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(mapped, np.ndarray):
            raise ValueError("an archive, not an array")
        if mapped.dtype.kind not in "fiu":
            raise ValueError(f"holds {mapped.dtype}, not numbers")
        return np.array(mapped)
    except FileNotFoundError:
        raise CorpusError(path, "no such file") from None
    except (ValueError, OSError, EOFError, SyntaxError, TypeError, OverflowError, MemoryError) as error:
        raise CorpusError(path, f"not a numeric .npy array: {error}") from None


def file_safe(name: str) -> str:
    """Return the last part of a Hub id or a path, fit for a file name.

    >>> file_safe("facebook/hubert-base-ls960")
    'hubert-base-ls960'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(name).name or Path(name).resolve().name)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def array_sha256(values: np.ndarray) -> str:
    """Return the SHA-256 of an array's type, shape and contents."""
    header = f"{values.dtype.str} {values.shape} ".encode()
    return hashlib.sha256(header + np.ascontiguousarray(values).tobytes()).hexdigest()


def digest(value: Any) -> str:
    """Return the SHA-256 of a plain value's canonical JSON.

    >>> digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
