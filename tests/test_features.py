import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tractprobe.encoders import Encoder
from tractprobe.encoders.mel import LogMel
from tractprobe.encoders.untrained import untrained
from tractprobe.errors import EncoderError
from tractprobe.features import cached, rounded
from tractprobe.frames import FrameGeometry
from tractprobe.prepared import PreparedCorpus

CPU = torch.device("cpu")


def small() -> Encoder:
    return untrained(layers=2, width=48, channels=16)


@pytest.mark.parametrize("storage", ["float16", "float32"])
@pytest.mark.parametrize("batch_size", [1, 5])
def test_cached_states_are_the_fresh_ones_rounded(toy: PreparedCorpus, tmp_path: Path, storage, batch_size: int):
    encoder = small()
    cache = cached(encoder, toy, tmp_path, storage, CPU, batch_size)
    for entry in toy.entries[::7]:
        (fresh,) = encoder([torch.from_numpy(toy.audio(entry.id))])
        for layers in ((0, 1, 2), (2,), (1, 0)):
            stored = cache.read(entry.id, layers)
            assert stored.dtype == np.dtype(storage)
            np.testing.assert_array_equal(stored, rounded(fresh[list(layers)], storage).numpy())


def test_the_second_time_nothing_is_encoded(toy: PreparedCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cached(small(), toy, tmp_path, "float16", CPU)
    monkeypatch.setattr("tractprobe.encoders.wav2vec2.Wav2Vec2.encode", None)
    cached(small(), toy, tmp_path, "float16", CPU)


def test_what_makes_other_features_has_another_place(toy: PreparedCorpus, tmp_path: Path):
    cached(LogMel(), toy, tmp_path, "float32", CPU)
    for encoder in (LogMel(), LogMel(context=1), small()):
        cached(encoder, toy, tmp_path, "float16", CPU)
    assert len(list(tmp_path.glob("*/*/index.json"))) == 4


def test_an_index_of_something_else_is_refused(toy: PreparedCorpus, tmp_path: Path):
    cached(LogMel(), toy, tmp_path, "float16", CPU)
    (index,) = tmp_path.glob("*/*/index.json")
    content = json.loads(index.read_text())
    content["identity"]["encoder"]["bands"] = 40
    index.write_text(json.dumps(content))
    with pytest.raises(EncoderError, match="something else"):
        cached(LogMel(), toy, tmp_path, "float16", CPU)


class Interrupted(LogMel):
    calls = 0

    def encode(self, waves):
        Interrupted.calls += 1
        if Interrupted.calls == 3:
            raise KeyboardInterrupt
        return super().encode(waves)


def test_an_interrupted_pass_leaves_nothing_that_could_be_taken_for_whole(toy: PreparedCorpus, tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        cached(Interrupted(), toy, tmp_path, "float16", CPU)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    cached(Interrupted(), toy, tmp_path, "float16", CPU)


class Huge(Encoder):
    def __init__(self):
        super().__init__("huge", 1, 2, FrameGeometry(320, 199.5, 400), {"encoder": "huge"})

    def count_frames(self, num_samples: int) -> int:
        return num_samples // 320

    def encode(self, waves):
        return [torch.full((1, self.count_frames(len(wave)), 2), 1e5) for wave in waves]


def test_states_beyond_half_precision_are_an_error_with_a_way_out(toy: PreparedCorpus, tmp_path: Path):
    with pytest.raises(EncoderError, match=r"features\.storage=float32"):
        cached(Huge(), toy, tmp_path, "float16", CPU)
    entry = toy.entries[0]
    assert (cached(Huge(), toy, tmp_path, "float32", CPU).read(entry.id, [0]) == 1e5).all()
