from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from inversions import inversion
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.data.batches import Batch
from tractprobe.data.datamodule import EmaData
from tractprobe.data.groups import GroupKey
from tractprobe.data.splits import SplitRule
from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.state_cache import cached
from tractprobe.encoders.untrained import untrained
from tractprobe.probes.gradient.inversion import Inversion, mean_r
from tractprobe.probes.heads import Conv, Mlp
from tractprobe.runs.checkpoint import AtomicCheckpoints
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import ConfigError, RunError

pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return untrained(layers=2, width=48, channels=16)


Make = Callable[..., tuple[Inversion, EmaData]]


@pytest.fixture
def make(toy: PreparedCorpus, encoder: Encoder, tmp_path: Path) -> Make:
    def build(
        layers=(0, 1, 2), cache=True, patience=3, identity="this", lr=1e-2, **loading
    ) -> tuple[Inversion, EmaData]:
        split = SplitRule("language")(toy.entries, "it", 0)
        states = {"toy": cached(encoder, toy, tmp_path / "cache", "float16", torch.device("cpu"))} if cache else None
        data = EmaData([toy], split, encoder.geometry, encoder.count_frames, layers=layers, states=states,
                       **{"batch_size": 4} | loading)  # fmt: skip
        head = Mlp(len(layers), encoder.width, len(CHANNELS), hidden=16)
        module = inversion(
            encoder, head, data, [(layer,) for layer in layers], identity=identity, patience=patience,
            make_optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=lr),
        )  # fmt: skip
        head.standardise((module.read(batch), batch.valid) for batch in data.train_dataloader())
        return module, data

    return build


class Kill(Callback):
    """Leave at the start of a batch, as a kill does: nothing is saved on the way out."""

    def __init__(self, epoch: int, batch: int):
        self.epoch, self.batch = epoch, batch

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, index: int) -> None:
        if (trainer.current_epoch, index) == (self.epoch, self.batch):
            raise ConnectionAbortedError


def fit(
    module: Inversion, data: EmaData, folder: Path, *callbacks: Callback, epochs: int = 5, every_steps: int = 0
) -> None:
    rhythm = {"every_n_train_steps": every_steps} if every_steps else {"save_on_train_epoch_end": True}
    saving = ModelCheckpoint(folder, filename="last", enable_version_counter=False, **rhythm)
    trainer = pl.Trainer(
        max_epochs=epochs, logger=False, enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
        num_sanity_val_steps=0, callbacks=[saving, *callbacks], plugins=[AtomicCheckpoints()],
        use_distributed_sampler=False,
    )  # fmt: skip
    last = folder / "last.ckpt"
    ckpt_path = last if last.exists() else None
    trainer.fit(module, data.train_dataloader(), data.val_dataloader(), ckpt_path=ckpt_path, weights_only=True)
    module.restore_best()


def weights(module: Inversion) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.head.state_dict().items()}


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.parametrize("when", [(1, 0), (3, 1)])
def test_a_killed_fit_goes_on_to_the_same_bits(make: Make, tmp_path: Path, when: tuple[int, int]):
    undisturbed, data = make()
    fit(undisturbed, data, tmp_path / "undisturbed")
    killed, data = make()
    with pytest.raises(ConnectionAbortedError):
        fit(killed, data, tmp_path / "killed", Kill(*when))
    resumed, data = make()
    fit(resumed, data, tmp_path / "killed")
    assert_equal(weights(resumed), weights(undisturbed))
    assert resumed.history == undisturbed.history and len(resumed.history) == 5


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_fit_killed_in_mid_epoch_goes_on_to_the_same_bits(make: Make, tmp_path: Path, num_workers: int):
    loading = {"batch_size": 1, "num_workers": num_workers}
    undisturbed, data = make(**loading)
    fit(undisturbed, data, tmp_path / "undisturbed", epochs=3)
    killed, data = make(**loading)
    with pytest.raises(ConnectionAbortedError):
        fit(killed, data, tmp_path / "killed", Kill(1, 5), epochs=3, every_steps=3)
    checkpoint = torch.load(tmp_path / "killed/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 12  # 8 batches make an epoch: saved behind the fourth of the second
    seen: list[tuple[int, int]] = []
    resumed, data = make(**loading)
    fit(resumed, data, tmp_path / "killed", Note(seen), epochs=3, every_steps=3)
    assert seen == [(1, 4), (1, 5), (1, 6), (1, 7), *((2, index) for index in range(8))]
    assert_equal(weights(resumed), weights(undisturbed))


class Note(Callback):
    """Note (epoch, batch) of each step."""

    def __init__(self, seen: list[tuple[int, int]]):
        self.seen = seen

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, index: int) -> None:
        self.seen.append((trainer.current_epoch, index))


def test_a_fit_that_had_stopped_early_is_not_given_another_epoch(make: Make, tmp_path: Path):
    module, data = make(patience=1, lr=0.5)
    fit(module, data, tmp_path, epochs=40)
    epochs = len(module.history)
    assert epochs < 40
    again, data = make(patience=1, lr=0.5)
    fit(again, data, tmp_path, epochs=40)
    assert len(again.history) == epochs
    assert_equal(weights(again), weights(module))


def test_training_all_layers_gives_each_what_training_it_alone_would(make: Make, tmp_path: Path):
    together, data = make(patience=2, lr=0.05)
    fit(together, data, tmp_path / "all", epochs=12)
    for index in range(3):
        alone, data = make(layers=(index,), patience=2, lr=0.05)
        fit(alone, data, tmp_path / f"L{index}", epochs=12)
        assert together.best_r[index] == pytest.approx(alone.best_r[0].item(), abs=1e-5)
        for name, value in weights(alone).items():
            torch.testing.assert_close(weights(together)[name][[index]], value, rtol=1e-4, atol=1e-5)


def test_encoding_on_the_fly_gives_the_same_numbers_as_the_cache(make: Make, tmp_path: Path):
    (with_cache, data), (without, fresh) = make(cache=True), make(cache=False)
    fit(with_cache, data, tmp_path / "cache", epochs=2)
    fit(without, fresh, tmp_path / "fresh", epochs=2)
    for name, value in weights(with_cache).items():
        torch.testing.assert_close(weights(without)[name], value, rtol=1e-4, atol=1e-5)


def test_checkpoints_hold_heads_only_and_load_without_executing_anything(make: Make, tmp_path: Path):
    module, data = make()
    fit(module, data, tmp_path, epochs=1)
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    names = set(checkpoint["state_dict"])
    assert names and not any(name.startswith("encoder") for name in names)
    assert {name.split(".")[0] for name in names} == {"head", "best", "best_r", "epochs_without_gain"}
    size = sum(value.numel() * 4 for value in module.head.state_dict().values())
    assert (tmp_path / "last.ckpt").stat().st_size < 6 * size


def test_a_checkpoint_of_another_run_is_refused(make: Make, tmp_path: Path):
    module, data = make(identity="this")
    fit(module, data, tmp_path, epochs=1)
    other, data = make(identity="other")
    with pytest.raises(RunError, match="other settings or data"):
        fit(other, data, tmp_path)


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.999])
def test_a_checkpoint_cut_short_is_one_error(make: Make, tmp_path: Path, keep: float):
    module, data = make()
    fit(module, data, tmp_path, epochs=1)
    content = (tmp_path / "last.ckpt").read_bytes()
    (tmp_path / "last.ckpt").write_bytes(content[: int(keep if keep >= 1 or not keep else keep * len(content))])
    again, data = make()
    with pytest.raises(RunError, match="remove it to start over"):
        fit(again, data, tmp_path)


def test_a_checkpoint_that_would_execute_code_does_not(make: Make, tmp_path: Path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (Path(tmp_path / "owned").touch, ())

    (tmp_path / "last.ckpt").write_bytes(pickle.dumps(Evil(), protocol=2))
    module, data = make()
    with pytest.raises(RunError):
        fit(module, data, tmp_path)
    assert not (tmp_path / "owned").exists()


def test_the_encoder_stays_frozen_and_in_eval_through_a_fit(make: Make, tmp_path: Path, encoder: Encoder):
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    module, data = make()
    fit(module, data, tmp_path, epochs=2)
    module.train()
    assert not any(one.training for one in module.encoder.modules()) and module.head.training
    assert_equal(before, dict(encoder.state_dict()))


def test_a_loss_that_is_not_finite_names_the_utterances(make: Make, tmp_path: Path):
    module, data = make()
    with torch.no_grad():
        module.head.get_parameter("weights.0").fill_(torch.nan)
    with pytest.raises(RunError, match="toy/s"):
        fit(module, data, tmp_path)


def test_heads_that_see_neighbours_do_not_see_the_padding(encoder: Encoder, toy: PreparedCorpus):
    head = Conv(2, encoder.width, len(CHANNELS), hidden=8)
    data = EmaData(
        [toy], SplitRule("language")(toy.entries, "it", 0), encoder.geometry, encoder.count_frames, layers=[0, 1]
    )
    module = inversion(encoder, head, data, [(0,), (1,)])
    states, lengths = torch.randn(2, 2, 30, encoder.width), torch.tensor([30, 12])
    present = torch.arange(30) < lengths[:, None]
    states[:, ~present] = 100.0

    def batch(which: slice, time: int) -> Batch:
        nothing = torch.zeros(2, time, len(CHANNELS), dtype=torch.float64)[which]
        return Batch(
            ids=["a", "b"][which], waves=[], states=states[:, which, :time], target=nothing, valid=nothing == 0,
            present=present[which, :time], group=torch.zeros(2, dtype=torch.long)[which],
        )  # fmt: skip

    together, alone = module(batch(slice(2), 30)), module(batch(slice(1, 2), 12))
    torch.testing.assert_close(together[:, 1, :12], alone[:, 0], rtol=1e-5, atol=1e-5)


def test_there_is_a_head_for_each_input(make: Make, encoder: Encoder):
    _, data = make()
    with pytest.raises(ConfigError, match="2 heads for 3 inputs"):
        inversion(encoder, Mlp(2, encoder.width, len(CHANNELS)), data, [(0,), (1,), (2,)])


def test_mean_r_is_over_channels_then_languages_then_speakers():
    r = torch.tensor([[[0.1, 0.3], [0.4, 0.4], [torch.nan, 0.9]]], dtype=torch.float64)
    groups = [GroupKey("c", "it", "c/a"), GroupKey("c", "en", "c/a"), GroupKey("c", "en", "c/b")]
    expected = ((0.2 + 0.4) / 2 + 0.9) / 2
    assert mean_r(r, groups).item() == pytest.approx(expected)


def test_input_standardisation_comes_from_the_training_frames(make: Make):
    module, data = make(layers=(1,))
    frames = torch.cat([module.read(b)[:, b.valid.any(dim=2)] for b in data.train_dataloader()], dim=1).double()
    torch.testing.assert_close(module.head.input_mean.flatten().double(), frames.mean(dim=1)[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        module.head.input_sd.flatten().double(), frames.std(dim=1, unbiased=False)[0], rtol=1e-5, atol=1e-6
    )


def test_a_channel_without_a_training_frame_is_predicted_nan_and_the_others_are_not():
    head = Mlp(2, 4, 3, hidden=5)
    valid = torch.ones(1, 6, 3, dtype=torch.bool)
    valid[..., 1] = False
    head.standardise([(torch.randn(2, 1, 6, 4), valid)])
    predicted = head(torch.randn(2, 1, 6, 4))
    assert predicted[..., 1].isnan().all() and torch.isfinite(predicted[..., [0, 2]]).all()


def test_a_checkpoint_of_other_heads_is_refused(make: Make, tmp_path: Path):
    module, data = make()
    fit(module, data, tmp_path, epochs=1)
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    checkpoint["state_dict"].pop("head.weights.0")
    torch.save(checkpoint, tmp_path / "last.ckpt")
    again, data = make()
    with pytest.raises(RunError, match="does not hold the weights"):
        fit(again, data, tmp_path)


def test_one_flipped_bit_of_a_checkpoint_is_noticed(make: Make, tmp_path: Path):
    module, data = make()
    fit(module, data, tmp_path, epochs=1)
    path = tmp_path / "last.ckpt"
    content = path.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(content), 40).tolist():
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(RunError, match=r"last\.ckpt: not a complete checkpoint .*; remove it to start over"):
            AtomicCheckpoints().load_checkpoint(path)
    path.write_bytes(content)
    assert AtomicCheckpoints().load_checkpoint(path)["epoch"] == 0


def test_a_checkpoint_of_an_earlier_version_is_read_and_said_to_be_one(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    module, data = make()
    fit(module, data, tmp_path, epochs=1)
    torch.save(torch.load(tmp_path / "last.ckpt", weights_only=True), tmp_path / "last.ckpt")
    caplog.set_level("INFO")
    assert AtomicCheckpoints().load_checkpoint(tmp_path / "last.ckpt")
    assert "without a checksum" in caplog.text
