from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_corpus, write_utterance
from inversions import truths

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.data.batches import Batch
from tractprobe.data.batching import ResumableLoader
from tractprobe.data.datamodule import EmaData
from tractprobe.data.splits import Split, SplitRule
from tractprobe.data.targets import Targets
from tractprobe.encoders.mel import LogMel
from tractprobe.signals.channels import CHANNELS
from tractprobe.signals.smoothing import Smoothing
from tractprobe.system.errors import ConfigError


def ema_data(corpus: PreparedCorpus, split: Split | None = None, **settings) -> EmaData:
    encoder = LogMel()
    split = split or SplitRule("language")(corpus.entries, "it", 0)
    data = EmaData([corpus], split, encoder.geometry, encoder.count_frames, layers=[0], **settings)
    return data


def test_targets_are_the_filtered_movements_at_the_frame_centres(toy: PreparedCorpus):
    data = ema_data(toy)
    entry = toy.entries[3]
    example = data.example(entry.id)
    centres_s = (320 * np.arange(59) + 199.5) / 16000
    positions = toy.track(entry.id).lowpassed(10).at(centres_s)
    np.testing.assert_allclose(example.target.numpy(), positions, atol=1e-9)


def test_no_frame_lies_outside_the_movements(tmp_path: Path):
    raw = write_corpus(tmp_path / "raw", speakers=2, sentences=2)
    for path in raw.glob("*.npy"):
        np.save(path, np.load(path)[:100])  # movements end 0.2 s before the audio
    corpus = prepare(Folder("short", raw), tmp_path / "data")
    example = ema_data(corpus).example(corpus.entries[0].id)
    valid = torch.isfinite(example.target).all(dim=1).numpy()
    times_s = (320 * np.arange(59) + 199.5) / 16000
    np.testing.assert_array_equal(valid, times_s <= 0.99)


def test_what_is_padded_is_not_present_and_what_has_no_target_is(tmp_path: Path):
    for number, duration_s in enumerate((1.2, 0.8)):
        write_utterance(
            tmp_path / "raw", f"u{number}", speaker="s", language="en", text=f"{number}", seed=number,
            duration_s=duration_s,
        )  # fmt: skip
    tracks = tmp_path / "raw/u1.ema.npy"
    np.save(tracks, np.load(tracks)[:50])  # movements end 0.3 s before the audio
    corpus = prepare(Folder("unequal", tmp_path / "raw"), tmp_path / "data")
    ids = tuple(entry.id for entry in corpus.entries)
    data = ema_data(corpus, Split(development=ids, test=ids))
    (batch,) = data.test_dataloader()
    lengths = {id_: int(present.sum()) for id_, present in zip(batch.ids, batch.present, strict=True)}
    assert lengths == {"unequal/u0": 59, "unequal/u1": 39} and batch.present.shape == (2, 59)
    assert all(present[: lengths[id_]].all() for id_, present in zip(batch.ids, batch.present, strict=True))
    assert batch.valid[batch.ids.index("unequal/u1")].any(dim=1).sum() < 30


def test_statistics_of_a_known_speaker_come_from_development_alone(toy: PreparedCorpus):
    data = ema_data(toy)
    developed = [e for e in toy.entries if e.id in data.split.development and e.speaker == "toy/s1"]
    centres_s = (320 * np.arange(59) + 199.5) / 16000  # what counts is what is fitted: the frames
    values = np.concatenate([toy.track(e.id).lowpassed(10).at(centres_s) for e in developed])
    scales = data.scales()
    np.testing.assert_allclose(scales["toy/s1"].mean, values.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(scales["toy/s1"].sd, values.std(axis=0), rtol=1e-7)
    assert not any(scale.from_test.any() for scale in scales.values())


def test_statistics_of_an_unknown_speaker_describe_that_speaker_only(toy: PreparedCorpus):
    split = SplitRule("speaker", disjoint_text=False)(toy.entries, "s1", 0)
    data = ema_data(toy, split)
    scales = data.scales()
    assert [name for name, scale in scales.items() if scale.from_test.any()] == ["toy/s1"]
    assert scales["toy/s1"].from_test.all()
    standardised = [(truths(data, 1)(batch, "test"), batch) for batch in data.test_dataloader()]
    target = torch.cat([truth.target[truth.valid.all(dim=2)] for truth, _ in standardised])
    back = torch.cat([truth.in_units(truth.target)[truth.valid.all(dim=2)] for truth, _ in standardised])
    torch.testing.assert_close(back, torch.cat([batch.target[batch.valid.all(dim=2)] for _, batch in standardised]))
    assert target.mean(dim=0).abs().max() < 1e-9 and (target.std(dim=0, unbiased=False) - 1).abs().max() < 1e-9


def test_a_channel_of_a_known_speaker_that_occurs_in_the_test_only_is_described_by_it_and_marked(tmp_path: Path):
    raw = write_corpus(tmp_path / "raw", speakers=2, sentences=2)
    for path in [*raw.glob("s0_en_*.npy"), *raw.glob("s0_de_*.npy")]:
        values = np.load(path)
        values[:, 5] = np.nan
        np.save(path, values)
    data = ema_data(prepare(Folder("lost", raw), tmp_path / "data"))
    scales = data.scales()
    assert scales["lost/s0"].from_test.tolist() == [channel == 5 for channel in range(12)]
    assert not scales["lost/s1"].from_test.any()
    batch = next(iter(data.test_dataloader()))
    assert truths(data, 1)(batch, "test").valid[..., 5].any()


BAD_SETTINGS = [{"batch_size": 0}, {"num_workers": -1}, {"batch_s": 0.0}, {"temperature": 0.5}]
BAD_CONDITIONING = [{"lowpass_hz": 0.0}, {"lowpass_hz": -5.0}, {"order": 0}, {"order": 11}, {"max_gap_s": -0.1}]


@pytest.mark.parametrize("settings", BAD_SETTINGS)
def test_impossible_batches_are_refused(toy: PreparedCorpus, settings: dict[str, float]):
    with pytest.raises(ConfigError, match="data"):
        ema_data(toy, **settings)


@pytest.mark.parametrize("settings", BAD_CONDITIONING)
def test_impossible_filters_are_refused(settings: dict[str, float]):
    with pytest.raises(ConfigError, match="ema"):
        Smoothing(**settings)  # type: ignore[arg-type]


def test_a_cutoff_above_half_the_rate_names_the_rate(toy: PreparedCorpus):
    with pytest.raises(ConfigError, match="100 Hz"):
        ema_data(toy, targets=Targets(smoothing=Smoothing(lowpass_hz=50.0))).scales()


def test_a_channel_that_never_moves_is_masked(tmp_path: Path):
    raw = write_corpus(tmp_path / "raw", speakers=2, sentences=2)
    for path in raw.glob("s0_*.npy"):
        values = np.load(path)
        values[:, 5] = 12.5
        np.save(path, values)
    data = ema_data(prepare(Folder("still", raw), tmp_path / "data"))
    truth = truths(data, 1)
    for batch in data.development_dataloader():
        valid = truth(batch, "train").valid | truth(batch, "validation").valid
        assert valid.any()
        for row, id_ in enumerate(batch.ids):
            if valid[row].any():
                assert valid[row, :, 5].any() != torch.tensor("s0_" in id_)
                assert valid[row, :, 4].any()


def rows_of(data: EmaData, part: str) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    found = {}
    for batch in getattr(data, f"{part}_dataloader")():
        for row, id_ in enumerate(batch.ids):
            count = int(batch.valid[row].any(dim=1).nonzero().max()) + 1
            found[id_] = (batch.target[row, :count], batch.valid[row, :count])
    return found


@pytest.mark.parametrize("settings", [{"batch_size": 1}, {"batch_size": 5}, {"batch_size": 3, "num_workers": 2}])
@pytest.mark.parametrize("part", ["train", "val", "test", "development"])
def test_batches_hold_each_utterance_once_and_equal_whatever_their_size(toy: PreparedCorpus, settings: dict, part: str):
    data = ema_data(toy, **settings)
    ids = {"train": data.split.train, "val": data.split.validation, "test": data.split.test}
    expected = rows_of(ema_data(toy, batch_size=100), part)
    found = rows_of(data, part)
    assert set(found) == set(expected) == set(ids.get(part, data.split.development))
    for id_, tensors in expected.items():
        assert all(torch.equal(one, other) for one, other in zip(tensors, found[id_], strict=True))


def test_padding_is_not_valid_and_groups_name_speaker_and_language(toy: PreparedCorpus):
    data = ema_data(toy)
    for batch in data.test_dataloader():
        assert (batch.target[~batch.valid] == 0).all()
        for row, id_ in enumerate(batch.ids):
            entry = data.entries[id_]
            assert data.groups[batch.group[row]] == ("toy", entry.language, entry.speaker)
            assert len(batch.waves[row]) == entry.num_samples
        assert batch.target.shape[2] == len(CHANNELS) and batch.states is None


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("handed_out", [0, 1, 4, 6])
def test_training_goes_on_in_mid_epoch_with_the_same_bits(toy: PreparedCorpus, num_workers: int, handed_out: int):
    data = ema_data(toy, batch_size=1, num_workers=num_workers)
    undisturbed = [batch for epoch in (3, 4) for batch in epoch_of(data.train_dataloader(), epoch)]
    killed = data.train_dataloader()
    killed.batch_sampler.set_epoch(3)
    iterator = iter(killed)
    seen = [next(iterator) for _ in range(handed_out)]
    state = killed.state_dict()
    del iterator
    resumed = data.train_dataloader()
    resumed.load_state_dict(state)
    seen += list(resumed)
    seen += epoch_of(resumed, 4)
    assert len(seen) == len(undisturbed) and len(undisturbed) > 8
    for one, other in zip(seen, undisturbed, strict=True):
        assert one.ids == other.ids and torch.equal(one.target, other.target)
        assert all(torch.equal(a, b) for a, b in zip(one.waves, other.waves, strict=True))


def epoch_of(loader: ResumableLoader, epoch: int) -> list[Batch]:
    loader.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]
    return list(loader)


def test_filter_settings_reach_the_targets(toy: PreparedCorpus):
    slow, fast = (ema_data(toy, targets=Targets(smoothing=Smoothing(lowpass_hz=hz))) for hz in (1.0, 20.0))
    id_ = toy.entries[0].id
    assert slow.example(id_).target.diff(dim=0).std() < 0.6 * fast.example(id_).target.diff(dim=0).std()
