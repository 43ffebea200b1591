"""Prepared corpora as lhotse Shar: tar shards that can be streamed from object storage."""

from pathlib import Path

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.system.errors import CorpusError
from tractprobe.system.products import staged_folder


def export_shar(corpus: PreparedCorpus, folder: Path, shard_size: int = 1000) -> int:
    """Write a corpus atomically as shards of ``shard_size`` utterances; return the number of shards.

    Read it with ``lhotse.CutSet.from_shar(in_dir=folder)``: ``cut.load_audio()`` gives 16 kHz audio and, unless the
    corpus is one of sound alone, ``cut.load_ema()`` the movements (mm, canonical channels, NaN = missing).

    Raises
    ------
    CorpusError
        The folder exists already, or a file of the corpus has changed since it was prepared.
    """
    if shard_size < 1:
        raise CorpusError(folder, f"shards of {shard_size} utterances; expected at least 1")
    for entry in corpus.entries:
        corpus.audio(entry.id)  # compares checksums, which lhotse does not
        if corpus.has_movements:
            corpus.track(entry.id)
    with staged_folder(folder, lambda: False) as staging:
        if folder.exists():
            raise CorpusError(folder, "exists already; remove it or give another folder")
        assert staging is not None
        fields = {"recording": "flac"} | ({"ema": "numpy"} if corpus.has_movements else {})
        corpus.cuts.to_shar(str(staging), fields, shard_size=shard_size)
        return len(list(staging.glob("cuts.*.jsonl.gz")))
