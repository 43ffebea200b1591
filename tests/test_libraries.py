"""Optimisers, schedules, callbacks and loggers that PyTorch and Lightning bring, by name."""

import csv
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from plugin_packages import install, of_names
from plugin_packages import site as site

from tractprobe.jobs import train
from tractprobe.probes.heads import Mlp
from tractprobe.runs.building import build
from tractprobe.runs.configuration import plain
from tractprobe.runs.identity import RunId
from tractprobe.runs.loggers import MetricsFile
from tractprobe.system.errors import ConfigError, CorpusError
from tractprobe.system.libraries import library_names
from tractprobe.system.registry import place_of

Configure = Callable[..., Any]
OPTIMIZERS = sorted(name for name, refused in library_names("torch.optim").items() if not refused)
SCHEDULES = {
    "ConstantLR": {}, "CosineAnnealingLR": {"T_max": 10}, "CosineAnnealingWarmRestarts": {"T_0": 3},
    "CyclicLR": {"base_lr": 1e-3, "max_lr": 1e-2}, "ExponentialLR": {"gamma": 0.9}, "LinearLR": {},
    "MultiStepLR": {"milestones": [2, 4]}, "OneCycleLR": {"max_lr": 1e-2, "total_steps": 10}, "PolynomialLR": {},
    "StepLR": {"step_size": 2},
}  # fmt: skip
SMALL = ["held_out=it", "model=mel_frame", "model.bands=8", "head=mlp", "head.hidden=8", "trainer.max_epochs=2"]


def trained(optimizer: str, members: int) -> torch.Tensor:
    """Return the first layer of a bank's last member, whose data are always the same, after a few steps."""
    bank = Mlp(members, 6, 2, hidden=4)
    step = build({"_target_": f"torch.optim.{optimizer}"}, params=list(bank.parameters()))
    random = torch.Generator().manual_seed(0)
    last, others = torch.randn(1, 5, 7, 6, generator=random), 100 * torch.randn(members - 1, 5, 7, 6, generator=random)
    for _ in range(5):
        step.zero_grad()
        bank(torch.cat([others, last])).square().mean(dim=(1, 2, 3)).sum().backward()
        step.step()
    return bank.weights[0][-1].detach()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimiser_trains_a_head_in_a_bank_as_if_alone(optimizer: str):
    alone = trained(optimizer, 1)
    torch.testing.assert_close(trained(optimizer, 3), alone, rtol=1e-4, atol=1e-6)
    assert not torch.equal(alone, Mlp(1, 6, 2, hidden=4).weights[0][-1])


@pytest.mark.parametrize("name", ["Adafactor", "LBFGS", "Muon", "SparseAdam"])
def test_optimisers_that_would_not_are_refused_with_the_reason(name: str):
    with pytest.raises(ConfigError, match=rf"torch\.optim\.{name} cannot be used here: it"):
        place_of(f"torch.optim.{name}")


def test_every_schedule_is_built_by_name():
    assert set(SCHEDULES) == {name for name, no in library_names("torch.optim.lr_scheduler").items() if not no}
    for name, options in SCHEDULES.items():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
        schedule = build({"_target_": f"torch.optim.lr_scheduler.{name}", **options}, optimizer=optimizer)
        assert isinstance(schedule, torch.optim.lr_scheduler.LRScheduler)


UNKNOWN = {
    "torch.optim.Adm": "has no such optimizer; did you mean Adam",
    "torch.optim.Optimizer": "has no such optimizer",
    "torch.optim.lr_scheduler": "has no such optimizer",
    "torch.optim._multi_tensor": "is not one of",
    "torch.optim.adam.Adam": "is not one of",
    "torch.optim.swa_utils.SWALR": "is not one of",
    "torch.optim.lr_scheduler.Optimizer": "has no such schedule",
    "torch.optim.lr_scheduler.LRScheduler": "has no such schedule",
    "torch.optim.lr_scheduler.types": "has no such schedule",
    "torch.optim.lr_scheduler.LambdaLR": "cannot be used here",
    "torch.optim.lr_scheduler.ReduceLROnPlateau": "cannot be used here: .*patience",
    "torch.nn.Linear": "is not one of",
    "torch.load": "is not one of",
    "pytorch_lightning.callbacks.Callback": "has no such callback",
    "pytorch_lightning.callbacks.ModelCheckpoint": "runs keep checkpoints of their own",
    "pytorch_lightning.callbacks.OnExceptionCheckpoint": "runs keep checkpoints of their own",
    "pytorch_lightning.callbacks.BackboneFinetuning": "weights that are frozen",
    "pytorch_lightning.callbacks.Timer": "ends training by the clock",
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping": "is not one of",
    "pytorch_lightning.callbacks.early_stopping": "has no such callback",
    "pytorch_lightning.loggers.MLFlowLogger": "is not one of",
    "pytorch_lightning.seed_everything": "is not one of",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_nothing_else_of_these_libraries_can_be_reached(name: str):
    with pytest.raises(ConfigError, match=UNKNOWN[name]):
        place_of(name)


def test_a_run_with_another_optimiser_and_schedule_has_a_name_of_its_own(configure: Configure):
    lines = [(), ("optimizer=sgd",), ("schedule=exponential",), ("optimizer._target_=torch.optim.RAdam",)]
    names = {RunId.of(plain(configure(*SMALL, *line))).name for line in lines}
    assert len(names) == len(lines)
    result = train(configure(*SMALL, "optimizer=radam", "schedule=one_cycle"))
    assert result["settings"]["optimizer"]["_target_"] == "torch.optim.RAdam"


def test_callbacks_are_called_and_name_a_run(configure: Configure):
    plainly = plain(configure(*SMALL))
    assert "callbacks" not in plainly
    several = ("callbacks=[early_stopping]", "callbacks.early_stopping.patience=1", "trainer.max_epochs=30",
               "callbacks.early_stopping.min_delta=1.0", "patience=30")  # fmt: skip
    config, without = configure(*SMALL, *several), configure(*SMALL, "trainer.max_epochs=30", "patience=30")
    assert RunId.of(plain(config)).name != RunId.of(plain(without)).name
    result = train(config)
    assert set(result["settings"]["callbacks"]) == {"early_stopping"}
    assert len(result["fit"]["history"]) == 2  # no epoch gains so much on the first
    assert "callbacks" not in train(configure(*SMALL))["settings"]


def test_callbacks_do_not_rename_heads_that_are_not_trained(configure: Configure):
    names = {RunId.of(plain(configure(*line))).name for line in ((), ("callbacks=early_stopping",))}
    assert len(names) == 1


WRONG_CALLBACKS = {
    "+callbacks.x._target_=torch.optim.Adam": "torch.optim.Adam is not a callback",
    "+callbacks.x._target_=os.system": "os.system is not one of",
    "+callbacks.x=5": "expected a mapping with a _target_",
    "callbacks=learning_rate": "only logs, and tracking is off",
}


@pytest.mark.parametrize("override", WRONG_CALLBACKS)
def test_what_is_no_callback_is_one_line(configure: Configure, override: str):
    with pytest.raises(ConfigError, match=WRONG_CALLBACKS[override]):
        train(configure(*SMALL, override))


def table(folder: Path) -> list[dict[str, str]]:
    (path,) = folder.rglob("metrics.csv")
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_curves_and_scores_are_in_a_table(configure: Configure, tmp_path: Path):
    result = train(configure(*SMALL, "tracking=csv", "callbacks=learning_rate", "tracking.examples=0"))
    rows = table(tmp_path / "runs")
    curve = [float(row["val/r/mean"]) for row in rows if row["val/r/mean"]]
    assert curve == pytest.approx([epoch["val/r/mean"] for epoch in result["fit"]["history"]])
    assert [row["lr-AdamW"] for row in rows if row["lr-AdamW"]]
    (scored,) = [row for row in rows if row["layer"] == "0"]
    r = [row["r"] for row in result["scores"] if row["channel"] == "tt_y"]
    assert float(scored["test/r/tt_y"]) == pytest.approx(sum(r) / len(r))
    assert not list(tmp_path.rglob("*.wandb"))


def test_several_loggers_stand_side_by_side(configure: Configure, tmp_path: Path):
    train(configure("held_out=it", "model=mel_frame", "tracking=[offline,csv]", "tracking.examples=0"))
    assert list(tmp_path.rglob("*.wandb")) and table(tmp_path / "runs")
    assert plain(configure("tracking=[wandb,csv]"))["tracking"]["mode"] == "offline"
    assert RunId.of(plain(configure("tracking=csv"))).name == RunId.of(plain(configure())).name


def test_a_table_that_is_there_is_added_to(tmp_path: Path):
    first = MetricsFile(tmp_path)
    first.log_metrics({"train/loss": 1.0}, step=0)
    first.log_metrics({"train/loss": 0.5}, step=1)
    first.finalize("failed")
    second = MetricsFile(tmp_path)
    second.log_metrics({"train/loss": 0.25, "val/r/mean": 0.1}, step=1)
    second.log_layer("0+3", {"test/r/mean": 0.2})
    second.finalize("success")
    rows = [(row["step"], row["layer"], row["train/loss"], row["test/r/mean"]) for row in table(tmp_path)]
    assert rows == [("0", "", "1.0", ""), ("1", "", "0.25", ""), ("", "0+3", "", "0.2")]


def test_a_table_of_something_else_is_one_line(tmp_path: Path):
    (tmp_path / "metrics.csv").write_text("a,b\n1,2\n")
    with pytest.raises(CorpusError, match=r"metrics\.csv: not a table of metrics"):
        MetricsFile(tmp_path)


@pytest.mark.skipif(bool(find_spec("tensorboard")), reason="it is installed")
def test_tensorboard_that_is_not_installed_is_one_line(configure: Configure):
    with pytest.raises(ConfigError, match=r'pip install "tractprobe\[tensorboard\]"'):
        train(configure("held_out=it", "model=mel_frame", "tracking=tensorboard"))


def test_tensorboard_has_curves_and_pictures(configure: Configure, tmp_path: Path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(configure(*SMALL, "tracking=tensorboard", "tracking.examples=1"))
    (folder,) = tmp_path.rglob("tensorboard")
    tags = EventAccumulator(str(folder)).Reload().Tags()
    assert {"val/r/mean", "test/r/mean"} <= set(tags["scalars"]) and "predictions/example-0" in tags["images"]


LOGGER = """
from pytorch_lightning.loggers import CSVLogger

class Mine(CSVLogger):
    def __init__(self, save_dir, word):
        super().__init__(save_dir, name="", version=word)
"""


def test_a_plugins_logger_is_a_logger_and_nothing_else_is(site: Path, configure: Configure, tmp_path: Path):
    install(site, "aa", {"__init__.py": of_names({"aa.Mine": ("logger", "aa.log:Mine")}), "log.py": LOGGER})
    line = ["held_out=it", "model=mel_frame", "tracking=csv", "tracking.examples=0"]
    train(configure(*line, "+tracking.loggers.mine={_target_: aa.Mine, word: here}"))
    assert list((tmp_path / "runs").rglob("here/metrics.csv"))
    with pytest.raises(ConfigError, match="is not a logger"):
        train(configure(*line, "seed=1", "+tracking.loggers.mine._target_=tractprobe.objective.Mse"))
    assert "aa.log" in sys.modules
