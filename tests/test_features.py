import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.frames import FrameGeometry
from tractprobe.encoders.mel import LogMel
from tractprobe.encoders.state_cache import cached, rounded
from tractprobe.encoders.untrained import untrained
from tractprobe.encoders.wav2vec2 import Wav2Vec2
from tractprobe.jobs import train
from tractprobe.probes.states import HiddenStates
from tractprobe.system.errors import EncoderError, RunError

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
            expected = rounded(fresh[list(layers)], storage).numpy()
            if batch_size == 1:
                np.testing.assert_array_equal(stored, expected)
            else:  # the last bits depend on how many waves share a pass; half precision may round them the other way
                np.testing.assert_allclose(stored, expected, rtol=1e-3 if storage == "float16" else 0, atol=1e-4)


def test_the_second_time_nothing_is_encoded(toy: PreparedCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cached(small(), toy, tmp_path, "float16", CPU)
    monkeypatch.setattr("tractprobe.encoders.wav2vec2.Wav2Vec2.encode", None)
    cached(small(), toy, tmp_path, "float16", CPU)


def test_what_makes_other_features_has_another_place(toy: PreparedCorpus, tmp_path: Path):
    cached(LogMel(), toy, tmp_path, "float32", CPU)
    for encoder in (LogMel(), LogMel(context=1), small()):
        cached(encoder, toy, tmp_path, "float16", CPU)
    assert len(list(tmp_path.glob("*/*/index.json"))) == 4


def of_something_else(folder: Path) -> None:
    content = json.loads((folder / "index.json").read_text())
    content["identity"]["encoder"]["bands"] = 40
    (folder / "index.json").write_text(json.dumps(content))


def with_index(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Any]:
    def apply(folder: Path) -> None:
        index = json.loads((folder / "index.json").read_text())
        change(index)
        (folder / "index.json").write_text(json.dumps(index))

    return apply


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "of something else": of_something_else,
    "no index": lambda folder: (folder / "index.json").unlink(),
    "half an index": lambda folder: (folder / "index.json").write_text('{"identity": 1, "shape'),
    "an empty index": lambda folder: (folder / "index.json").write_text("{}"),
    "an index without its identity": with_index(lambda index: index.pop("identity")),
    "an index without a shape": with_index(lambda index: index.pop("shape")),
    "an index that is a list": lambda folder: (folder / "index.json").write_text("[1, 2]"),
    "utterances without checksums": with_index(lambda index: [row[3].clear() for row in index["utterances"]]),
    "utterances beyond the states": with_index(lambda index: index["utterances"][-1].__setitem__(1, 10**9)),
    "utterances at no number": with_index(lambda index: index["utterances"][0].__setitem__(1, "0")),
    "no states": lambda folder: (folder / "states.npy").unlink(),
    "states cut short": lambda folder: os.truncate(folder / "states.npy", 5000),
    "other states": lambda folder: np.save(folder / "states.npy", np.zeros((1, 2, 3))),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_cache_that_is_not_whole_is_made_again(
    toy: PreparedCorpus, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
):
    cached(LogMel(), toy, tmp_path, "float16", CPU)
    (index,) = tmp_path.glob("*/*/index.json")
    DAMAGE[damage](index.parent)
    again = cached(LogMel(), toy, tmp_path, "float16", CPU)
    assert "making it again" in caplog.text
    entry = toy.entries[0]
    expected = rounded(LogMel()([torch.from_numpy(toy.audio(entry.id))])[0], "float16")
    np.testing.assert_array_equal(again.read(entry.id, [0]), expected.numpy())


def test_a_flipped_bit_is_noticed_where_it_is_read(toy: PreparedCorpus, tmp_path: Path):
    cached(LogMel(), toy, tmp_path, "float16", CPU)
    (path,) = tmp_path.glob("*/*/states.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    cache, read = cached(LogMel(), toy, tmp_path, "float16", CPU), []
    with pytest.raises(EncoderError, match=r"damaged at toy/.*remove the folder"):
        for entry in toy.entries:
            read.append(cache.read(entry.id, [0]))
    assert len(read) < len(toy.entries)


def test_processes_that_want_the_same_features_encode_once(toy: PreparedCorpus, tmp_path: Path):
    with ThreadPoolExecutor(4) as pool:
        caches = list(pool.map(lambda _: cached(Counting(), toy, tmp_path, "float16", CPU), range(4)))
    assert Counting.calls == -(-len(toy.entries) // 8) and len({cache.folder for cache in caches}) == 1


class Counting(LogMel):
    calls = 0

    def encode(self, waves):
        Counting.calls += 1
        return super().encode(waves)


class Interrupted(LogMel):
    calls, fatal = 0, 3

    def encode(self, waves):
        Interrupted.calls += 1
        if Interrupted.calls == Interrupted.fatal:
            raise KeyboardInterrupt
        return super().encode(waves)


@pytest.mark.parametrize("also_lost", [False, True])
def test_an_interrupted_pass_goes_on_where_it_was_to_the_same_bits(
    toy: PreparedCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, also_lost: bool
):
    whole = cached(LogMel(), toy, tmp_path / "whole", "float16", CPU)
    monkeypatch.setattr(Interrupted, "calls", 0)
    with pytest.raises(KeyboardInterrupt):
        cached(Interrupted(), toy, tmp_path / "cut", "float16", CPU)
    assert not list((tmp_path / "cut").rglob("index.json"))
    (states,) = (tmp_path / "cut").rglob("states.npy")
    (journal,) = (tmp_path / "cut").rglob("journal.jsonl")
    assert len(journal.read_text().splitlines()) == 16
    if also_lost:  # the second batch never reached the disk, and the last line neither
        values = np.load(states, mmap_mode="r+")
        _, start, *_ = json.loads(journal.read_text().splitlines()[8])
        values[:, start] = 0
        values.flush()
        journal.write_text(journal.read_text()[:-5])
    resumed = cached(Interrupted(), toy, tmp_path / "cut", "float16", CPU, num_workers=2)
    assert Interrupted.calls == 3 + len(toy.entries) // 8 + (len(toy.entries) % 8 > 0) - (1 if also_lost else 2)
    for path in whole.folder.iterdir():
        assert (resumed.folder / path.name).read_bytes() == path.read_bytes()
    assert not list(resumed.folder.parent.glob("*.partial"))


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


def fail_at(monkeypatch: pytest.MonkeyPatch, layer: int) -> None:
    """Let one number of a layer of the wav2vec 2.0 family be NaN, in every wave."""
    encode = Wav2Vec2.encode

    def failing(encoder: Wav2Vec2, waves: Any) -> Any:
        states = encode(encoder, waves)
        for of_wave in states:
            of_wave[layer, of_wave.shape[1] // 2, 0] = torch.nan
        return states

    monkeypatch.setattr(Wav2Vec2, "encode", failing)


FAILING = ["held_out=it", "model=random", "model.layers=2", "model.width=48", "model.channels=16"]
NAMED = r"^random, toy/s\d_\w+: layer 1 holds NaN or infinity"


@pytest.mark.parametrize("head", ["ridge", "mlp"])
@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("storage", ["float16", "float32"])
def test_states_that_are_not_finite_stop_every_run(
    configure: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, head: str, cache: bool, storage: str
):
    fail_at(monkeypatch, layer=1)
    config = configure(*FAILING, f"head={head}", f"features.cache={cache}", f"features.storage={storage}")
    with pytest.raises(EncoderError, match=NAMED) as caught:
        train(config)
    assert "features.storage" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("head", ["ridge", "mlp"])
def test_states_that_an_earlier_version_cached_though_not_finite_stop_every_run(
    configure: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, head: str
):
    config = configure(*FAILING, f"head={head}", "features.cache=true", "features.storage=float32")
    with monkeypatch.context() as patch:
        fail_at(patch, layer=1)
        patch.setattr("tractprobe.encoders.state_cache._first_not_finite", lambda states, layers: None)
        with suppress(RunError):  # the loss of a trained head is not finite
            train(config)
    if head == "ridge":
        shutil.rmtree(Path(config.paths.runs))  # as if another cell were run on the same moments
    with pytest.raises(EncoderError, match=r"^random, toy/.*layer 1 holds NaN or infinity"):
        train(config)


def test_predictions_from_states_that_are_not_finite_are_refused(monkeypatch: pytest.MonkeyPatch):
    states = HiddenStates(small(), (0, 1), "float32")
    fail_at(monkeypatch, layer=1)
    with pytest.raises(EncoderError, match=r"^random: layer 1 holds NaN or infinity"):
        states.encode(torch.randn(16000) * 0.1)
