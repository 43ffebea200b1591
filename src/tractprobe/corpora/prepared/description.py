"""The manifest of a prepared corpus, and ``corpus.json``, which says what it holds and what it was made from."""

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tractprobe.corpora.ipa import UNKNOWN
from tractprobe.corpora.prepared.manifest import AUDIO, DESCRIPTION, EMA, FORMAT, MANIFEST, content_hash
from tractprobe.corpora.prepared.placing import Placed, sessions
from tractprobe.corpora.utterance import Reader
from tractprobe.signals.channels import CHANNELS, UNIT
from tractprobe.system.files import digest, file_sha256, write_json
from tractprobe.system.printable import printable
from tractprobe.system.version import __version__

log = logging.getLogger(__name__)

_KEPT_POINTS = 500


def write_description(reader: Reader, done: Sequence[Placed], staging: Path, fingerprint: str) -> None:
    """Write manifest and description of a corpus whose files are in place."""
    for leftover in staging.glob(".*"):  # from sources that were converted but not placed when the run was killed
        leftover.unlink()
    hashes, unknown = [], Counter[tuple[str, str]]()
    seconds = defaultdict[tuple[str, str, str], list[float]](list)
    recordings = defaultdict[str, list[str]](list)
    with open(staging / MANIFEST, "w", encoding="utf-8") as manifest:
        for utterance in (one for part in done for one in part.utterances):
            cut, entry = utterance.to_cut(reader.name), utterance.entry(reader.name)
            hashes.append(digest(cut))
            manifest.write(json.dumps(cut, ensure_ascii=False) + "\n")
            seconds[entry.language, entry.speaker, utterance.frame].append(entry.duration_s)
            for kind in (kind for kind in (AUDIO, EMA) if kind in utterance.sha256):
                recordings[utterance.sha256[kind]].append(utterance.id)
            symbols = [phone.symbol for phone in utterance.phones if phone.ipa == UNKNOWN]
            unknown.update((utterance.phone_set, symbol) for symbol in symbols)
    palates, lost = _palates(reader)
    write_json(staging / DESCRIPTION, {
        "format": FORMAT,
        "name": reader.name,
        "source": str(reader.root.absolute()),
        **reader.about(),
        "content_hash": content_hash(hashes, palates),
        "fingerprint": fingerprint,
        "manifest_sha256": file_sha256(staging / MANIFEST),
        "channels": list(CHANNELS) if reader.has_movements else [],
        "unit": UNIT,
        "utterances": len(hashes),
        "hours": sum(map(sum, seconds.values())) / 3600,
        "minutes": [
            {
                "language": language,
                "speaker": speaker,
                "frame": frame,
                "minutes": sum(lengths) / 60,
                "utterances": len(lengths),
            }
            for (language, speaker, frame), lengths in sorted(seconds.items())
        ],
        "twice": sorted({tuple(ids) for ids in recordings.values() if len(ids) > 1}),
        "palates": palates,
        **({"head_references": heads} if (heads := sessions(done)) else {}),
        "unknown_phones": [[phone_set, label, count] for (phone_set, label), count in sorted(unknown.items())],
        "skipped": [*(skipped for converted in done for skipped in converted.skipped), *lost],
        "tractprobe": __version__,
    })  # fmt: skip


def _palates(reader: Reader) -> tuple[dict[str, list[list[float]]], list[dict[str, str]]]:
    """Return the palates, and the problems of those that cannot be read."""
    try:
        traces = reader.palates()
    except (ValueError, ArithmeticError, LookupError, TypeError, MemoryError) as error:
        log.warning("skipped: %s", printable(str(error)))
        return {}, [{"source": "palates", "problem": str(error)}]
    palates, lost = {}, []
    for speaker, points in traces.items():
        measured = points[np.isfinite(points).all(axis=1)]
        if len(measured) > 1:
            palates[speaker] = np.round(measured[:: -(-len(measured) // _KEPT_POINTS)], 4).tolist()
        else:
            lost.append({"source": "palates", "problem": f"{speaker}: a palate of {len(measured)} points"})
    return palates, lost
