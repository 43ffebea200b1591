"""Errors that a user can cause; each names the file, the place in it and what to do."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)


class TractprobeError(ValueError):
    """Base of every error that a user can cause, as opposed to a bug of ours."""


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NOT_A_PLACE = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST}  # a folder where a file should be, or the other way round


class StorageError(TractprobeError):
    """A location that cannot be written to."""

    @classmethod
    def of(cls, error: OSError, place: Path) -> "OSError | StorageError":
        """Return the error to raise for a system error that occurred while writing."""
        where = error.filename2 or error.filename or place
        if error.errno in _FULL:
            advice = "Make room or choose another folder"
        elif error.errno in _NOT_ALLOWED:
            advice = f"{_may_not_write()} choose another folder (paths.data, paths.cache, paths.runs or --output)"
        elif error.errno in _NOT_A_PLACE:
            advice = "Move away what is in its place, or choose another folder"
        else:
            return error
        return cls(f"{where}: {error.strerror}. {advice}, then run the same command again: finished work is kept")


def _may_not_write() -> str:
    import getpass

    try:
        return f"{getpass.getuser()} may not write there; ask its owner, or"
    except (OSError, KeyError, ImportError):  # a user id without a name
        return "It may not be written to by this user; ask its owner, or"


class CorpusError(TractprobeError):
    """A corpus file that cannot be read as what it claims to be.

    >>> print(CorpusError("a.mat", "no variable a", place="byte 128"))
    a.mat (byte 128): no variable a
    """

    def __init__(self, file: str | Path, problem: str, *, place: str | None = None):
        self.file, self.problem, self.place = str(file), problem, place
        where = f"{file} ({place})" if place else f"{file}"
        super().__init__(f"{where}: {problem}")

    def __reduce__(self):
        return _rebuild_corpus_error, (self.file, self.problem, self.place)


class ConfigError(TractprobeError):
    """A setting that names something that does not exist, or contradicts another setting."""


class EncoderError(TractprobeError):
    """An encoder that cannot be loaded, or cannot accept its input."""


class ProcessError(TractprobeError):
    """Worker processes that die no matter which item they work on."""


class RunError(TractprobeError):
    """A run directory that does not contain what was requested."""


class HeadError(TractprobeError):
    """A head file that is incomplete, not ours, or not what it claims to be."""


def first_line(error: BaseException) -> str:
    r"""Return the first line of an exception's message, or its type if the message is empty.

    >>> first_line(EOFError()), first_line(OSError("no space\nleft"))
    ('EOFError', 'no space')
    """
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@contextmanager
def optional(what: str) -> Iterator[None]:
    """Warn with one line where something fails that nothing depends on: a picture, a dashboard, a note."""
    try:
        yield
    except Exception as error:
        log.warning("%s: %s; the rest continues", what, first_line(error))


def _rebuild_corpus_error(file: str, problem: str, place: str | None) -> CorpusError:
    return CorpusError(file, problem, place=place)
