"""Products: folders that appear on disk complete or not at all.

A product is named after what determines it. One process makes it while others wait. Until it is complete it has a
temporary name and a journal of what is in place, from which the next process resumes after a kill. An index, written
last, repeats in full what the folder was made from, and is compared when the folder is opened.
"""

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tractprobe.system.errors import CorpusError, first_line
from tractprobe.system.files import clear_temporaries, is_there, locked_or_done, read_json, write_json, writing

log = logging.getLogger(__name__)

INDEX = "index.json"


@contextmanager
def staged_folder(folder: Path, is_done: Callable[[], bool], *, resume: str | None = None) -> Iterator[Path | None]:
    """Yield a new folder that replaces ``folder`` on success; until then ``folder`` is unchanged.

    If several processes make the same folder, one works and the others wait; those that find it finished get ``None``.
    An old folder is moved aside before it is removed, and leftovers of killed processes are cleared. With ``resume``, a
    name for what is being made, an unfinished folder is kept and yielded again to the next process that makes the same.
    Where ``folder`` is a symbolic link, what it points to is replaced, and the link stays.
    Reading what is finished needs no permission to write.
    """
    folder = folder.resolve()
    staging = folder.with_name(f".{folder.name}.{resume or 'new'}.partial")
    with locked_or_done(folder, is_done) as may_write, writing(folder):
        if not may_write:
            yield None
            return
        _clear_leftovers(folder, keep=staging if resume else None)
        if is_done():
            shutil.rmtree(staging, ignore_errors=True)
            yield None
            return
        staging.mkdir(exist_ok=True)
        clear_temporaries(staging)
        try:
            yield staging
            if folder.exists():
                os.replace(folder, staging.with_suffix(".old"))
            os.replace(staging, folder)
        finally:
            shutil.rmtree(staging.with_suffix(".old"), ignore_errors=True)
            if not resume:
                shutil.rmtree(staging, ignore_errors=True)


def _clear_leftovers(folder: Path, keep: Path | None) -> None:
    """Remove leftovers of killed processes; we have the lock, so no other process is using them."""
    our_names = re.compile(re.escape(f".{folder.name}.") + r"(new|[0-9a-f]+)\.(partial|old)")
    for leftover in (path for path in list(folder.parent.iterdir()) if our_names.fullmatch(path.name)):
        if leftover.suffix == ".old" and not folder.exists():
            os.replace(leftover, folder)  # a process was killed between the two moves
        elif leftover.suffix in (".partial", ".old") and leftover != keep:
            shutil.rmtree(leftover, ignore_errors=True)


def write_index(folder: Path, identity: Any, **more: Any) -> None:
    """Write what a product was made from, and what else its readers need; must be the last file written."""
    write_json(folder / INDEX, {"identity": identity, **more})


def is_made_from(folder: Path, identity: Any) -> bool:
    """Return whether a folder holds a product of this identity; a damaged one is reported, as it is made again."""
    if not is_there(folder):
        return False
    try:
        return read_json(folder / INDEX)["identity"] == identity
    except (CorpusError, KeyError, TypeError) as error:
        log.warning("%s: damaged (%s); making it again", folder, first_line(error))
        return False


class Journal:
    """The parts of an unfinished product that are in place: one JSON value in each line."""

    def __init__(self, folder: Path):
        self.path = folder / "journal.jsonl"

    def entries(self) -> list[Any]:
        """Return what was noted, up to a line that is damaged or partly written."""
        entries = []
        for line in self._lines():
            try:
                entries.append(json.loads(line))
            except ValueError:
                log.warning("%s: damaged after %d entries; what follows is done again", self.path, len(entries))
                break
        return entries

    def keep(self, count: int) -> None:
        """Keep only the first ``count`` entries."""
        if self.path.exists():
            os.truncate(self.path, sum(map(len, self._lines()[:count])))

    @contextmanager
    def noting(self) -> Iterator[Callable[[Any], None]]:
        """Yield a function that notes a value; each is on disk when it returns."""
        with open(self.path, "ab") as file:

            def note(value: Any) -> None:
                file.write(json.dumps(value).encode() + b"\n")
                file.flush()

            yield note

    def remove(self) -> None:
        """Remove the journal of a product that is complete, or has to be started again."""
        self.path.unlink(missing_ok=True)

    def _lines(self) -> list[bytes]:
        content = self.path.read_bytes() if self.path.exists() else b""
        return content[: content.rfind(b"\n") + 1].splitlines(keepends=True)
