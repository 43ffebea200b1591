"""Errors that a user can cause; each names the file, the place in it and what to do."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)


class TractprobeError(ValueError):
    """Base of every error that a user can cause, as opposed to a bug of ours."""


_STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR}
_STORAGE |= {errno.EISDIR, errno.EEXIST}  # a folder where a file should be, or the other way round


class StorageError(TractprobeError):
    """A location that cannot be written to."""

    @classmethod
    def of(cls, error: OSError, place: Path) -> "OSError | StorageError":
        """Return the error to raise for a system error that occurred while writing."""
        if error.errno not in _STORAGE:
            return error
        advice = "Make room or choose another folder, then run the same command again: finished work is kept"
        return cls(f"{error.filename2 or error.filename or place}: {error.strerror}. {advice}")


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
