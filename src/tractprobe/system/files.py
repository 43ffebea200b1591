"""Atomic writes, bounded reads, and names for content by its hash."""

import errno
import hashlib
import json
import logging
import os
import re
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, SoftFileLock, Timeout

from tractprobe.system.contents import holding
from tractprobe.system.errors import CorpusError, StorageError

log = logging.getLogger(__name__)

MAX_JSON_BYTES = 1 << 26
MAX_TEXT_BYTES = 1 << 28


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary name next to ``path``; on success it replaces ``path``, on error it is removed."""
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn a full disk, or a folder that we may not write to, into a StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError.of(error, place) from None


def clear_temporaries(folder: Path) -> None:
    """Remove the temporary files of killed processes; the caller must hold the folder's lock."""
    for temporary in folder.rglob(".*.tmp"):
        temporary.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes that lock it; the lock of a process that dies is released.

    It is a kernel lock (flock) on a file next to the folder; the file says which process has the lock.
    """
    file = _lock_file(folder)
    lock = FileLock(file, mode=0o644)
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            hold = lock.acquire(blocking=False)
        except Timeout:
            log.info("waiting for %s, held by %s", folder, _holder(file))
            hold = lock.acquire()
    with hold:
        if not isinstance(lock, SoftFileLock):  # it writes its own notes into the file, where flock is missing
            with writing(file):
                file.write_text(json.dumps({"process": os.getpid(), "host": socket.gethostname(), "since": now()}))
        yield


@contextmanager
def locked_or_done(folder: Path, is_done: Callable[[], bool]) -> Iterator[bool]:
    """Lock a folder; where that is not allowed, as on a disk that one may only read, a finished one needs no lock.

    Yields whether it is locked. StorageError if it is neither locked nor done.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder))
        except StorageError:
            if not is_done():
                raise
            yield False
        else:
            yield True


def held_by(folder: Path) -> str | None:
    """Return which process has locked a folder, on which host and since when; ``None`` if none has.

    Asking needs no write permission, and others who ask at the same time do not mistake it for a lock.
    """
    import fcntl

    file = _lock_file(folder)
    if not file.is_file():
        return None
    with open(file, "rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return _holder(file)
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise
            return _held_without_flock(file)
    return None


def _held_without_flock(file: Path) -> str | None:
    try:
        with FileLock(file, blocking=False):
            return None
    except Timeout:
        return _holder(file)


def _holder(lock_file: Path) -> str:
    try:
        holder = json.loads(lock_file.read_text())
        return f"process {holder['process']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # not written yet, or filelock wrote its own notes
        return "a process"


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def now() -> str:
    """Return the date and time, as ``2026-11-23 19:03:11 UTC``."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; raise ValueError for NaN, which JSON does not have."""
    text = json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def is_there(path: Path) -> bool:
    """Return whether anything lies at a path; CorpusError where that cannot be found out."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise CorpusError(path, error.strerror or str(error)) from None
    return True


def check_regular(path: Path) -> None:
    """Raise CorpusError unless a path is a plain file: reading a device or pipe may never end."""
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        raise CorpusError(path, "no such file") from None
    except OSError as error:
        raise CorpusError(path, error.strerror or str(error)) from None
    if not regular:
        raise CorpusError(path, "not a plain file")


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Read a plain file of bounded size."""
    check_regular(path)
    try:
        with open(path, "rb") as file:
            content = file.read(min(max_bytes, os.fstat(file.fileno()).st_size) + 1)
    except OSError as error:
        raise CorpusError(path, error.strerror or str(error)) from None
    if len(content) > max_bytes:
        raise CorpusError(path, f"more than {max_bytes} bytes")
    return content


def read_text(path: Path, encoding: str = "utf-8", max_bytes: int = MAX_TEXT_BYTES) -> str:
    r"""Read a text file of bounded size; any line ending becomes ``\n``. CorpusError names a byte that is not text."""
    content = read_bytes(path, max_bytes)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise CorpusError(path, holding(path, f"not {encoding} text"), place=f"byte {error.start}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file of bounded size; CorpusError names the line at which it stops being JSON."""
    content = read_bytes(path, MAX_JSON_BYTES)
    try:
        return json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        place = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else None
        raise CorpusError(path, f"not JSON: {error}", place=place) from None


def read_npy(path: Path) -> np.ndarray:
    """Read one numeric array from a .npy file, without pickle and in no more memory than the file has bytes."""
    check_regular(path)
    try:
        # Mapped first: a header that claims more than the file contains fails here, before anything is allocated.
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(mapped, np.ndarray):
            raise ValueError("an archive, not an array")
        if mapped.dtype.kind not in "fiu":
            raise ValueError(f"holds {mapped.dtype}, not numbers")
        return np.array(mapped)
    except Exception as error:  # numpy parses the header as Python: tokenize.TokenError, SyntaxError, ...
        raise CorpusError(path, holding(path, f"not a numeric .npy array: {error}")) from None


def file_safe(name: str) -> str:
    """Return a Hub id, or the last part of a path, as a valid file name.

    >>> file_safe("facebook/hubert-base-ls960"), file_safe("/models/my hubert/")
    ('facebook--hubert-base-ls960', 'my-hubert')
    """
    parts = [part for part in name.split("/") if part]
    is_hub_id = len(parts) == 2 and not name.startswith(("/", ".", "~"))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "--".join(parts if is_hub_id else parts[-1:]))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def array_sha256(values: np.ndarray) -> str:
    """Return the SHA-256 of an array's type, shape and contents."""
    hashed = hashlib.sha256(f"{values.dtype.str} {values.shape} ".encode())
    hashed.update(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return hashed.hexdigest()


def digest(value: Any) -> str:
    """Return the SHA-256 of a plain value's canonical JSON.

    >>> digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
