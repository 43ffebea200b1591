"""Prepared corpora as lhotse Shar: tar shards that can be streamed from object storage."""

from pathlib import Path

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.system.errors import CorpusError
from tractprobe.system.files import staged_folder


def export_shar(corpus: PreparedCorpus, folder: Path, shard_size: int = 1000) -> int:
    """Write a corpus as shards of so many utterances, whole or not at all; return how many shards there are.

    Read it with ``lhotse.CutSet.from_shar(in_dir=folder)``: ``cut.load_audio()`` gives 16 kHz audio, ``cut.load_ema()``
    the movements (mm, canonical channels, NaN = missing).

    Raises
    ------
    CorpusError
        The folder is there already, or a file of the corpus was changed since it was prepared.
    """
    if shard_size < 1:
        raise CorpusError(folder, f"shards of {shard_size} utterances; at least 1")
    for entry in corpus.entries:
        corpus.audio(entry.id)  # compares checksums, which lhotse does not know
        corpus.track(entry.id)
    with staged_folder(folder, lambda: False) as staging:
        if folder.exists():
            raise CorpusError(folder, "is there already; remove it or give another folder")
        assert staging is not None
        corpus.cuts.to_shar(str(staging), {"recording": "flac", "ema": "numpy"}, shard_size=shard_size)
        return len(list(staging.glob("cuts.*.jsonl.gz")))
