"""Evaluation over several processes gives what one gives: no frame dropped, none counted twice."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import REPOSITORY

from tractprobe.articulators import CHANNELS
from tractprobe.datamodule import EmaData
from tractprobe.encoders.mel import LogMel
from tractprobe.heads import Mlp
from tractprobe.module import Inversion
from tractprobe.prepared import PreparedCorpus
from tractprobe.splits import SplitRule

SCRIPT = """
import json, sys
from pathlib import Path

import pytorch_lightning as pl
import torch

from tractprobe.articulators import CHANNELS
from tractprobe.datamodule import EmaData
from tractprobe.encoders.mel import LogMel
from tractprobe.heads import Mlp
from tractprobe.module import Inversion
from tractprobe.prepared import PreparedCorpus
from tractprobe.splits import SplitRule

folder, output = Path(sys.argv[1]), Path(sys.argv[2])

if __name__ == "__main__":
    corpus, encoder = PreparedCorpus(folder), LogMel()
    split = SplitRule("language")(corpus.entries, "it", 0)
    data = EmaData([corpus], split, encoder.geometry, encoder.count_frames, layers=[0], batch_size=5)
    data.setup()
    module = Inversion(encoder, Mlp(1, encoder.width, len(CHANNELS), hidden=8), heads=[(0,)], groups=data.groups)
    trainer = pl.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", logger=False,
        enable_progress_bar=False, enable_checkpointing=False, use_distributed_sampler=False,
    )
    trainer.test(module, datamodule=data, verbose=False)
    if trainer.is_global_zero:
        output.write_text(json.dumps(module.scores.rows([0], data.groups, module.targets.channels)))
"""


def test_ranks_together_score_every_frame_once(toy: PreparedCorpus, data: Path, tmp_path: Path):
    """Three batches on two ranks."""
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(data / "toy"), str(tmp_path / "scores.json")]
    subprocess.run(command, check=True, cwd=REPOSITORY, capture_output=True, timeout=300)
    together = json.loads((tmp_path / "scores.json").read_text())
    assert len(together) == 3 * 12 and {row["n_frames"] for row in together} == {4 * 59}
    for one, other in zip(scored_alone(toy), together, strict=True):
        assert one == pytest.approx(other, abs=1e-10)


def scored_alone(corpus: PreparedCorpus) -> list[dict[str, Any]]:
    encoder = LogMel()
    split = SplitRule("language")(corpus.entries, "it", 0)
    data = EmaData([corpus], split, encoder.geometry, encoder.count_frames, layers=[0], batch_size=5)
    data.setup()
    module = Inversion(encoder, Mlp(1, encoder.width, len(CHANNELS), hidden=8), heads=[(0,)], groups=data.groups)
    for index, batch in enumerate(data.test_dataloader()):
        with torch.no_grad():
            module.test_step(batch, index)
    return module.moments.take().rows([0], data.groups, module.targets.channels)
