"""Giving converted files their final names, and the journal's entries about sources."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tractprobe.corpora.prepared.convert import Converted
from tractprobe.corpora.prepared.manifest import PreparedUtterance
from tractprobe.corpora.utterance import HeadFit, Reader
from tractprobe.system.errors import CorpusError
from tractprobe.system.printable import printable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Placed:
    """What became of a source: an entry of the journal."""

    source: str
    utterances: list[PreparedUtterance] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    heads: list[HeadFit] = field(default_factory=list)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Placed":
        """Return an entry as it was before ``dataclasses.asdict`` and JSON."""
        utterances = [PreparedUtterance.from_plain(utterance) for utterance in plain["utterances"]]
        heads = [HeadFit(**head) for head in plain.get("heads", [])]
        return cls(plain["source"], utterances, plain["skipped"], heads)


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
        log.warning("skipped: %s", printable(skipped["problem"]))
    return Placed(converted.source, utterances, converted.skipped, converted.heads)


def sessions(done: Sequence[Placed]) -> list[dict[str, Any]]:
    """Return for each session how well its head movement was removed: means over its sources, worst distances."""
    heads: dict[str, list[HeadFit]] = {}
    for head in (head for placed in done for head in placed.heads):
        heads.setdefault(head.session, []).append(head)
    return [
        {
            "session": name,
            "deviation_mm": {pair: max(fit.deviation_mm[pair] for fit in fits) for pair in fits[0].deviation_mm},
            "error_mm": round(sum(fit.error_mm for fit in fits) / len(fits), 3),
            "lost": round(sum(fit.lost for fit in fits) / len(fits), 4),
            "is_corrected": all(fit.is_corrected for fit in fits),
        }
        for name, fits in sorted(heads.items())
    ]
