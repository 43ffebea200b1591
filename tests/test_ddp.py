"""Several processes give what one gives: no frame is dropped or counted twice, in scoring as in training."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import REPOSITORY
from inversions import inversion
from safetensors.torch import load_file
from signalled import IN_FIT, as_signalled
from warm import Process, Warm

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.data.datamodule import EmaData
from tractprobe.data.splits import SplitRule
from tractprobe.encoders.mel import LogMel
from tractprobe.evaluation import evaluate
from tractprobe.jobs import train
from tractprobe.probes.heads import Mlp
from tractprobe.runs.result import read_result
from tractprobe.signals.channels import CHANNELS

SCRIPT = """
import json, sys
from pathlib import Path

sys.path.insert(0, "tests")

import pytorch_lightning as pl
import torch

from tractprobe.signals.channels import CHANNELS
from tractprobe.data.datamodule import EmaData
from tractprobe.encoders.mel import LogMel
from tractprobe.probes.heads import Mlp
from inversions import inversion
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.data.splits import SplitRule

folder, output = Path(sys.argv[1]), Path(sys.argv[2])

if __name__ == "__main__":
    corpus, encoder = PreparedCorpus(folder), LogMel()
    split = SplitRule("language")(corpus.entries, "it", 0)
    data = EmaData([corpus], split, encoder.geometry, encoder.count_frames, layers=[0], batch_size=5)
    module = inversion(encoder, Mlp(1, encoder.width, len(CHANNELS), hidden=8), data, [(0,)])
    trainer = pl.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", logger=False,
        enable_progress_bar=False, enable_checkpointing=False, use_distributed_sampler=False,
    )
    trainer.test(module, datamodule=data, verbose=False)
    if trainer.is_global_zero:
        output.write_text(json.dumps(module.scores.rows([0], data.groups, module.targets.channels)))
"""


def ranks(warm: Warm, line: list[str], cwd: Path, *of_others: str) -> list[Process]:
    """Start a line as two ranks that find each other, as a cluster does; the others take more arguments."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    every = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "NODE_RANK": "0"}
    return [
        warm.start([*line, *(of_others if rank else ())], cwd, {**os.environ, **every, "LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]


def assert_end_well(processes: list[Process]) -> None:
    for process in processes:
        printed = process.communicate()
        assert process.returncode == 0, printed


def test_ranks_together_score_every_frame_once(toy: PreparedCorpus, data: Path, tmp_path: Path, warm: Warm):
    """Three batches on two ranks."""
    (tmp_path / "script.py").write_text(SCRIPT)
    line = [str(tmp_path / "script.py"), str(data / "toy"), str(tmp_path / "scores.json")]
    assert_end_well(ranks(warm, line, REPOSITORY))
    together = json.loads((tmp_path / "scores.json").read_text())
    assert len(together) == 3 * 12 and {row["n_frames"] for row in together} == {4 * 59}
    for one, other in zip(scored_alone(toy), together, strict=True):
        assert one == pytest.approx(other, abs=1e-10)


def scored_alone(corpus: PreparedCorpus) -> list[dict[str, Any]]:
    encoder = LogMel()
    split = SplitRule("language")(corpus.entries, "it", 0)
    data = EmaData([corpus], split, encoder.geometry, encoder.count_frames, layers=[0], batch_size=5)
    module = inversion(encoder, Mlp(1, encoder.width, len(CHANNELS), hidden=8), data, [(0,)])
    for index, batch in enumerate(data.test_dataloader()):
        with torch.no_grad():
            module.test_step(batch, index)
    return module.score_sums.take().rows([0], data.groups, module.targets.channels)


# A batch of 7 utterances and one of 1, which leaves one of the ranks without. A large eps keeps AdamW from
# hiding gradients of the wrong size.
TRAINING = [
    "held_out=it", "model=mel", "model.context=1", "head=mlp", "head.hidden=16", "trainer.max_epochs=6", "patience=100",
    "data.batch_size=7", "optimizer.lr=0.1", "+optimizer.eps=0.1", "checkpoint_s=0.001",
]  # fmt: skip


def script(name: str, folder: Path, data: Path, *overrides: str) -> list[str]:
    places = {"data": data, "runs": folder / "runs", "cache": folder / "cache"}
    return [str(REPOSITORY / name), *(f"paths.{place}={path}" for place, path in places.items()), *overrides]


def training(folder: Path, data: Path) -> list[str]:
    return script("train.py", folder, data, "corpora=[toy]", "tracking=off", "trainer=ddp", *TRAINING)


@pytest.fixture(scope="module")
def together(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run that two processes did."""
    folder = tmp_path_factory.mktemp("together")
    line = [sys.executable, *training(folder, data)]
    subprocess.run(line, check=True, capture_output=True, cwd=folder)
    (path,) = folder.rglob("result.json")
    return path.parent


def test_ranks_together_learn_what_one_process_learns(together: Path, configure: Callable[..., Any], tmp_path: Path):
    alone = train(configure(*TRAINING))
    result = read_result(together)
    assert result["fit"]["history"][-1]["val/r/mean"] > result["fit"]["history"][0]["val/r/mean"] + 0.05
    for one, other in zip(alone["fit"]["history"], result["fit"]["history"], strict=True):
        assert one == pytest.approx(other, abs=1e-6)
    for one, other in zip(alone["scores"], result["scores"], strict=True):
        assert one == pytest.approx(other, abs=2e-6)
    (path,) = tmp_path.rglob("head.safetensors")
    for name, weights in load_file(path).items():
        torch.testing.assert_close(weights, load_file(together / path.name)[name], atol=1e-6, rtol=1e-6)


def test_the_other_rank_leaves_nothing_but_its_log(together: Path):
    found = {path.name for path in together.iterdir()}
    logs = {"train.log", "train_ddp_process_1.log", ".hydra"}
    assert found == {"result.json", "test_utterances.txt", "head.safetensors", "checkpoints"} | logs
    assert [path.name for path in (together / "checkpoints").iterdir()] == ["last.ckpt"]


AS_LIGHTNING_STARTS_THEM = ("hydra.job.name=train_ddp_process_1", "hydra.output_subdir=null")


def test_ranks_that_were_killed_go_on_to_the_same_bits(together: Path, data: Path, tmp_path: Path, warm: Warm):
    line = as_signalled(IN_FIT, 4, signal.SIGKILL, training(tmp_path, data))
    for process in ranks(warm, line, tmp_path, *AS_LIGHTNING_STARTS_THEM):
        assert process.wait() == -signal.SIGKILL
    (checkpoint,) = tmp_path.rglob("last.ckpt")
    assert torch.load(checkpoint, weights_only=True)["epoch"] < 5 and not list(tmp_path.rglob("result.json"))
    assert_end_well(ranks(warm, training(tmp_path, data), tmp_path, *AS_LIGHTNING_STARTS_THEM))
    resumed, undisturbed = read_result(checkpoint.parents[1]), read_result(together)
    assert resumed["scores"] == undisturbed["scores"] and resumed["fit"] == undisturbed["fit"]
    weights, expected = (load_file(folder / "head.safetensors") for folder in (checkpoint.parents[1], together))
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_ranks_started_by_torchrun_score_what_one_process_scores(
    together: Path, data: Path, configure: Callable[..., Any], tmp_path: Path
):
    own = together / "evaluations/own.json"
    line = script("evaluate.py", tmp_path, data, f"run={together}", "trainer=ddp", "data.batch_size=3")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*torchrun, *line], check=True, capture_output=True, cwd=tmp_path)
    found = json.loads(own.read_text())["scores"]
    expected = evaluate(configure(f"run={together}", "data.batch_size=5", name="evaluate"))
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-10)
