"""What a user can get wrong, each with the file, the place in it and what to do."""

import errno
from pathlib import Path


class TractprobeError(ValueError):
    """Base of every error that a user, rather than a bug of ours, can cause."""


_STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR}
_STORAGE |= {errno.EISDIR, errno.EEXIST}  # a folder in a file's place, or the other way round


class StorageError(TractprobeError):
    """A place that nothing can be written to."""

    @classmethod
    def of(cls, error: OSError, place: Path) -> "OSError | StorageError":
        """Return what is to be raised for an error of the system's while something was written."""
        if error.errno not in _STORAGE:
            return error
        advice = "Make room or give another folder, then run the same command again: what was finished is kept"
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
    """A setting that names nothing that exists, or contradicts another."""


class EncoderError(TractprobeError):
    """An encoder that cannot be loaded, or cannot take what it was given."""


class ProcessError(TractprobeError):
    """Processes that die whatever they work on."""


class RunError(TractprobeError):
    """A run directory that does not hold what is asked of it."""


class HeadError(TractprobeError):
    """A head file that is not whole, not ours, or not what it says."""


def first_line(error: BaseException) -> str:
    r"""Return the first line of what an exception says, or its type if it says nothing.

    >>> first_line(EOFError()), first_line(OSError("no space\nleft"))
    ('EOFError', 'no space')
    """
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def printable(text: str) -> str:
    r"""Return a text in which what steers a terminal, or is no character at all, is written as an escape.

    >>> printable("b\udce9 \x1b[2J")
    'b\\udce9 \\x1b[2J'
    """
    return "".join(one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode() for one in text)


def _rebuild_corpus_error(file: str, problem: str, place: str | None) -> CorpusError:
    return CorpusError(file, problem, place=place)
