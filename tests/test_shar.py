from pathlib import Path

import numpy as np
import pytest
from lhotse import CutSet

from tractprobe.cli import main
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.shar import export_shar
from tractprobe.system.errors import CorpusError

# lhotse leaves its tar files to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file", "ignore::pytest.PytestUnraisableExceptionWarning")


def test_shards_hold_what_the_corpus_holds(toy: PreparedCorpus, tmp_path: Path):
    assert export_shar(toy, tmp_path / "shar", shard_size=10) == 4
    cuts = {cut.id: cut for cut in CutSet.from_shar(in_dir=tmp_path / "shar")}
    assert set(cuts) == {entry.id for entry in toy.entries}
    for entry in toy.entries[::7]:
        cut = cuts[entry.id]
        np.testing.assert_array_equal(cut.load_audio()[0], toy.audio(entry.id))
        np.testing.assert_array_equal(cut.load_ema(), toy.track(entry.id).values.astype(np.float32))
        assert (cut.supervisions[0].language, cut.supervisions[0].speaker) == (entry.language, entry.speaker)
        assert cut.custom["sha256"] and cut.supervisions[0].alignment["ipa"]


def test_what_lies_there_is_not_overwritten(toy: PreparedCorpus, tmp_path: Path):
    (tmp_path / "shar").mkdir()
    with pytest.raises(CorpusError, match="exists already"):
        export_shar(toy, tmp_path / "shar")


def test_the_command_says_how_to_read_them(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["shar", str(data / "toy"), str(tmp_path / "out"), "--shard-size", "20"]) == 0
    assert "2 shards" in capsys.readouterr().out
    assert main(["shar", str(data / "nothing"), str(tmp_path / "out2")]) == 1
