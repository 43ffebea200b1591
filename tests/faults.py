"""Faults beside kills: W&B that fails, and bits that flip in heads and checkpoints.

    python tests/faults.py [--runs 20] [--seed 0]        (part of make chaos)

W&B: a perceptron is trained while a part of W&B's client, drawn at random, raises from some call on; the run has to end
with the result of an undisturbed one. Bits: one bit of a run's heads, of its checkpoint, or of an exported head is
flipped; evaluate, export, resume or invert have to say so in one line that names the file.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from unittest.mock import patch

os.environ |= {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}

import torch
from conftest import write_corpus
from hydra import compose, initialize_config_dir

from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.evaluation import evaluate
from tractprobe.inversion.export import export
from tractprobe.inversion.head_file import read_head
from tractprobe.jobs import train
from tractprobe.runs.checkpoint import AtomicCheckpoints
from tractprobe.runs.configuration import conf_dir
from tractprobe.runs.hydra import register_resolvers
from tractprobe.runs.result import HEADS
from tractprobe.system.errors import TractprobeError

SMALL = ["corpora=[toy]", "model=random", "model.layers=1", "model.width=48", "model.channels=16"]
TRAINED = [*SMALL, "head=mlp", "head.hidden=16", "trainer.max_epochs=2", "held_out=it", "tracking=[offline,csv]"]
OF_WANDB = ["wandb.init", "wandb.Run.log", "wandb.Run.log_artifact", "wandb.Run.define_metric", "wandb.Run.finish",
            "wandb.Table", "wandb.Image", "wandb.Artifact.add_file", "wandb.sdk.wandb_summary.SummaryDict.update",
            "tractprobe.evidence.tables.figures.write_picture",
            "tractprobe.runs.loggers.MetricsFile._write"]  # fmt: skip
ERRORS = [OSError("no space left"), RuntimeError("the service process has died"), TimeoutError("timed out")]


def configured(root: Path, runs: str, *overrides: str, name: str = "train") -> Any:
    register_resolvers()
    places = [f"paths.data={root / 'data'}", f"paths.runs={root / runs}", f"paths.cache={root / 'cache'}"]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose(name, [*overrides, *places])


def result_of(folder: Path) -> dict[str, Any]:
    """Return what a run recorded, without its timing and its place."""
    result = json.loads((folder / "result.json").read_text())
    del result["timing_s"], result["settings"]["paths"], result["settings"]["tracking"]
    return result


def run_in(root: Path, runs: str) -> Path:
    (path,) = (root / runs).rglob("result.json")
    return path.parent


def failing_from(function: Callable[..., Any], call: int, error: Exception) -> Callable[..., Any]:
    left = [call]

    def called(*arguments: Any, **more: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise error
        return function(*arguments, **more)

    return called


def disturbed(root: Path, number: int, dice: random.Random) -> tuple[str, bool]:
    """Train while W&B fails; return what failed, and whether the run has the result of an undisturbed one."""
    import wandb

    where, call, error = dice.choice(OF_WANDB), dice.choice([0, 0, 1, 3]), dice.choice(ERRORS)
    runs, finish = f"disturbed{number}", wandb.Run.finish
    with patch(where, failing_from(resolve_name(where), call, error)):
        train(configured(root, runs, *TRAINED))
    if wandb.run is not None:
        finish(wandb.run)
    folder, undisturbed = run_in(root, runs), run_in(root, "undisturbed")
    same = result_of(folder) == result_of(undisturbed)
    same = same and (folder / HEADS).read_bytes() == (undisturbed / HEADS).read_bytes()
    return f"{where} raises {error!r} from call {call} on", same


def flipped(root: Path, number: int, dice: random.Random) -> tuple[str, bool]:
    """Flip one bit of a file of a run; return which, and whether every reader says so."""
    run = Path(shutil.copytree(run_in(root, "undisturbed"), root / f"flipped{number}"))
    file = run / dice.choice([HEADS, "head-layer0.safetensors", "checkpoints/last.ckpt"])
    content = bytearray(file.read_bytes())
    place, bit = dice.randrange(len(content)), dice.randrange(8)
    content[place] ^= 1 << bit
    file.write_bytes(content)
    readers: dict[str, list[Callable[[], Any]]] = {
        HEADS: [
            lambda: evaluate(configured(root, "none", f"run={run}", name="evaluate")),
            lambda: export(run, 1, run / "again.safetensors"),
        ],
        "head-layer0.safetensors": [lambda: read_head(file)],
        "last.ckpt": [lambda: AtomicCheckpoints().load_checkpoint(file)],
    }
    noticed = all(refused(read, file) for read in readers[file.name])
    shutil.rmtree(run)
    return f"bit {bit} of byte {place} of {file.relative_to(run)}", noticed


def refused(read: Callable[[], Any], file: Path) -> bool:
    try:
        read()
    except TractprobeError as error:
        return str(file) in str(error) and "\n" not in str(error)
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    root, dice, wrong = Path(tempfile.mkdtemp(prefix="tractprobe-faults-")), random.Random(arguments.seed), 0
    prepare(Folder("toy", write_corpus(root / "raw/toy", languages=("en", "it"), sentences=3)), root / "data")
    train(configured(root, "undisturbed", *TRAINED))
    export(run_in(root, "undisturbed"), 0)
    for number in range(arguments.runs):
        for draw in (disturbed, flipped):
            what, right = draw(root, number, dice)
            wrong += not right
            print(f"{what}: {'as it should be' if right else 'WRONG'}", flush=True)
    print(f"{2 * arguments.runs - wrong}/{2 * arguments.runs} faults cost no run and were noticed")
    if not wrong:
        shutil.rmtree(root)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
