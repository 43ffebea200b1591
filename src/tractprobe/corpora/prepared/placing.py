"""Giving converted files their names, and the journal by which a killed preparation continues."""

import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

from tractprobe.corpora.prepared.convert import Converted
from tractprobe.corpora.prepared.manifest import PreparedUtterance
from tractprobe.corpora.utterance import Reader
from tractprobe.system.errors import CorpusError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Placed:
    """What a source gave: a line of the journal."""

    source: str
    utterances: list[PreparedUtterance] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)


def placed(converted: Converted, staging: Path, names: set[str], reader: Reader) -> Placed:
    """Give the files of a source their final names; a second utterance with the same name is skipped."""
    utterances = []
    for written in converted.written:
        id_ = written.utterance.id
        is_new = id_ not in names
        for temporary, final in written.files:
            if is_new:
                (staging / final).parent.mkdir(exist_ok=True)
                os.replace(staging / temporary, staging / final)
            else:
                (staging / temporary).unlink()
        if is_new:
            names.add(id_)
            utterances.append(written.utterance)
        else:
            converted.skip(CorpusError(reader.root, f"a second utterance named {id_}"))
    for skipped in converted.skipped:
        log.warning("skipped: %s", skipped["problem"])
    return Placed(converted.source, utterances, converted.skipped)


def journalled(path: Path) -> list[Placed]:
    """Return the journal of a killed run, without a line that was only partly written."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    os.truncate(path, len(whole))
    lines = [json.loads(line) for line in whole.splitlines()]
    return [
        Placed(line["source"], [PreparedUtterance.from_plain(plain) for plain in line["utterances"]], line["skipped"])
        for line in lines
    ]
