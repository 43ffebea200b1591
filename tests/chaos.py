"""End the main job at random moments; what it ends with has to be, bit by bit, what it ends with undisturbed.

    python tests/chaos.py [--runs 50] [--seed 0]        (make chaos)

Each run prepares a corpus, encodes it, trains nonlinear heads with checkpoints behind every batch, for one held-out
language and for all in one bank, fits the linear table of every held-out language, and inverts recordings by an
exported head; half of the runs load with two worker processes, and have the variables of a Slurm job. One to three
times it is ended within a stage drawn at random: preparing, encoding, summing, fitting, inverting, or while a
checkpoint, heads or a result are written. What ends it is a kill (-9, with its workers), a signal that Slurm sends
(SIGTERM, SIGUSR1, to all processes), after which its status has to be 128 + the signal's number, or, in preparing and
inverting, a disk that is full: files beyond a size drawn at random cannot be written, which has to be an error that
says so. The same job is then started again until it ends. Compared are the prepared corpus, hidden states, heads,
results (without their timing), tracks and the table; nothing unfinished may be left lying about.

Jobs are forked off one process that has imported everything, so that kills fall into the work, not into imports.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import select
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from conftest import write_corpus
from hydra import compose, initialize_config_dir

import tractprobe.corpora.prepared.prepare
import tractprobe.jobs
import tractprobe.probes.fitted
import tractprobe.probes.gradient.fit
import tractprobe.probes.linear.fit
import tractprobe.probes.states
from tractprobe.corpora.readers.folder import Folder
from tractprobe.evidence.tables.rows import collect, write_csv
from tractprobe.inversion.export import export
from tractprobe.inversion.files import invert_files
from tractprobe.inversion.inverter import load_head
from tractprobe.inversion.plan import Plan, Wanted
from tractprobe.runs.checkpoint import AtomicCheckpoints
from tractprobe.runs.configuration import conf_dir
from tractprobe.runs.hydra import register_resolvers
from tractprobe.system.errors import StorageError
from tractprobe.system.stopping import stoppable

STAGES: dict[str, tuple[Any, str]] = {
    "prepare": (tractprobe.corpora.prepared.prepare, "prepare"),
    "encode": (tractprobe.probes.states, "cached"),
    "sum": (tractprobe.probes.linear.fit, "sum_groups"),
    "fit": (tractprobe.probes.gradient.fit, "_train"),
    "checkpoint": (AtomicCheckpoints, "save_checkpoint"),
    "heads": (tractprobe.probes.fitted.Fitted, "save_heads"),
    "result": (tractprobe.jobs, "write_result"),
    "invert": (sys.modules[__name__], "invert"),
}
FULL, FULL_STATUS = "disk full", 3
ENDS = (signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1, FULL)
SLURM = {f"SLURM_{name}": value for name, value in {
    "JOB_ID": "1", "JOB_NAME": "fit", "NTASKS": "1", "PROCID": "0", "LOCALID": "0", "NODEID": "0",
}.items()}  # fmt: skip
NAMES = list(STAGES)
SMALL = ["model=random", "model.layers=1", "model.width=48", "model.channels=16", "tracking=off", "corpora=[toy]"]
NONLINEAR = ["head=mlp", "head.hidden=16", "trainer.max_epochs=3", "checkpoint_s=0.001", "data.batch_size=4"]
TOGETHER = ["held_out=all", "together=true"]
JOBS = [[*SMALL, *NONLINEAR, "held_out=it"], [*SMALL, *NONLINEAR, *TOGETHER], [*SMALL, "held_out=all"]]


@dataclass(frozen=True)
class Event:
    """When, in seconds from its start, a job entered or left a stage."""

    stage: str
    entered: bool
    at_s: float


def job(raw: Path, folder: Path, workers: int) -> None:
    """Do everything, or what of it is not there yet."""
    tractprobe.corpora.prepared.prepare.prepare(Folder("toy", raw), folder / "data")
    register_resolvers()
    places = [f"paths.{name}={folder / name}" for name in ("data", "runs", "cache")]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        for overrides in JOBS:
            tractprobe.jobs.train(compose("train", [*overrides, *places, f"data.num_workers={workers}"]))
    invert(raw, folder)


def invert(raw: Path, folder: Path) -> None:
    """Invert recordings that have not been inverted yet, by the linear head that has not heard their language."""
    (run,) = (path.parent for path in (folder / "runs").rglob("*/ridge/it/*/result.json"))
    head = folder / "head.safetensors"
    if not head.exists():
        export(run, output=head)
    plan = Plan.of(sorted(raw.glob("s0_it_*.flac")), folder / "inverted", Wanted(("csv",), existing="skip"))
    if problems := invert_files(load_head(head), plan).problems:
        raise StorageError("; ".join(problems))


@dataclass(frozen=True)
class End:
    """What ends a job: a signal so long after the n-th entry to a stage, or a disk that is full within it."""

    how: int | str
    stage: str
    entry: int
    after_s: float = 0.0
    bytes: int = 0

    @property
    def statuses(self) -> set[int | None]:
        """The exit statuses that are right: the end was not reached, or was as it should be; ``None``: killed."""
        if self.how == FULL:
            return {0, FULL_STATUS}
        return {0, None if self.how == signal.SIGKILL else 128 + int(self.how)}

    def __str__(self) -> str:
        if self.how == FULL:
            return f"{FULL} in {self.stage} #{self.entry} beyond {self.bytes} bytes"
        return f"{signal.Signals(int(self.how)).name} in {self.stage} #{self.entry} +{self.after_s:.3f} s"


def start(raw: Path, folder: Path, workers: int, end: End | None = None) -> tuple[int, int]:
    """Fork a job off; return its process and where it tells of its stages."""
    reading, writing = os.pipe()
    process = os.fork()
    if process:
        os.close(writing)
        return process, reading
    code = 1
    try:
        os.setsid()
        os.close(reading)
        with open(folder.with_suffix(".log"), "ab") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        os.environ.update(SLURM if workers else {})
        for number, (name, (owner, function)) in enumerate(STAGES.items()):
            full = end if end and end.how == FULL and end.stage == name else None
            setattr(owner, function, _told(getattr(owner, function), writing, number, full))
        with stoppable():
            job(raw, folder, workers)
        code = 0
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    except StorageError:
        code = FULL_STATUS
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _told(function: Callable[..., Any], pipe: int, stage: int, full: End | None) -> Callable[..., Any]:
    entries = 0

    def wrapped(*arguments: Any, **more: Any) -> Any:
        nonlocal entries
        entries += 1
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        if full and entries == full.entry:
            resource.setrlimit(resource.RLIMIT_FSIZE, (full.bytes, before[1]))
        os.write(pipe, struct.pack("BB", stage, 1))
        try:
            return function(*arguments, **more)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            os.write(pipe, struct.pack("BB", stage, 0))

    return wrapped


def watched(process: int, pipe: int, end: End | None = None) -> tuple[list[Event], int | None]:
    """Return a job's events and its exit status, ``None`` if it was killed, having sent what is to end it."""
    began, events, due_s, entries = time.monotonic(), list[Event](), None, 0
    while True:
        now_s = time.monotonic() - began
        if end and due_s is not None and now_s >= due_s:
            os.killpg(process, int(end.how))
            break
        ready, _, _ = select.select([pipe], [], [], 60 if due_s is None else due_s - now_s)
        if not ready:
            continue
        if not (told := os.read(pipe, 2)):  # the job has ended
            break
        stage, entered = struct.unpack("BB", told)
        events.append(Event(NAMES[stage], bool(entered), time.monotonic() - began))
        if end and end.how != FULL and entered and NAMES[stage] == end.stage:
            entries += 1
            if entries == end.entry:
                due_s = events[-1].at_s + end.after_s
    while os.read(pipe, 2):  # a job that ends in order tells on
        pass
    os.close(pipe)
    _, status = os.waitpid(process, 0)
    return events, None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)


def drawn(events: list[Event], dice: random.Random) -> End:
    """Draw what ends a job, the stage, one of its times, and a moment within it."""
    how = dice.choice(ENDS)
    stages = {event.stage for event in events}
    stage = dice.choice(sorted(stages & {"prepare", "invert"} if how == FULL else stages))
    entered = [event.at_s for event in events if event.stage == stage and event.entered]
    left = [event.at_s for event in events if event.stage == stage and not event.entered]
    number = dice.randrange(len(entered))
    if how == FULL:
        return End(how, stage, number + 1, bytes=dice.randint(2_000, 40_000))
    return End(how, stage, number + 1, after_s=dice.uniform(0, left[number] - entered[number]))


def outcome(folder: Path) -> dict[str, str]:
    """Return a hash of everything that the job has made."""
    write_csv(folder / "scores.csv", collect(folder / "runs"))
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        is_left_by_a_kill = relative.startswith("inverted/.")  # hidden; who else writes there cannot be known
        if not path.is_file() or is_left_by_a_kill or path.name.endswith((".lock", ".png", ".ckpt")):
            continue
        content = path.read_bytes()
        if path.name == "result.json":
            result = json.loads(content)
            del result["timing_s"], result["settings"]["paths"], result["settings"]["data"]["num_workers"]
            content = json.dumps(result, sort_keys=True).encode()
        found[relative] = hashlib.sha256(content.replace(os.fsencode(folder), b"")).hexdigest()
    return found


def chaos(root: Path, runs: int, seed: int, say: Callable[[str], None]) -> int:
    """Return how many runs ended as undisturbed ones do."""
    dice = random.Random(seed)
    raw = write_corpus(root / "raw" / "toy", languages=("en", "it"), sentences=3)
    events, status = watched(*start(raw, root / "undisturbed", 0))
    if status != 0:
        raise SystemExit(f"the undisturbed job failed, see {root / 'undisturbed.log'}")
    expected, same = outcome(root / "undisturbed"), 0
    say(f"undisturbed: {events[-1].at_s:.1f} s, {len(expected)} files")
    for run in range(runs):
        folder, ends, wrong = root / f"run{run}", [], []
        for _ in range(dice.randint(1, 3)):
            end = drawn(events, dice)
            _, status = watched(*start(raw, folder, 2 * (run % 2), end), end)
            ends.append(f"{end}, not reached" if status == 0 else str(end))
            wrong += [] if status in end.statuses else [f"{end} with status {status}"]
        _, status = watched(*start(raw, folder, 2 * (run % 2)))
        found = outcome(folder) if status == 0 else {}
        differing = sorted(name for name in expected | found if expected.get(name) != found.get(name))
        differing += wrong
        same += not differing
        verdict = "identical" if not differing else f"DIFFERS ({status}): {', '.join(differing[:5])}"
        say(f"run {run}: {'; '.join(ends)}: {verdict}")
        if not differing:
            shutil.rmtree(folder)
    return same


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    root = Path(tempfile.mkdtemp(prefix="tractprobe-chaos-"))
    same = chaos(root, arguments.runs, arguments.seed, lambda line: print(line, flush=True))
    print(f"{same}/{arguments.runs} identical to the undisturbed job")
    if same == arguments.runs:
        shutil.rmtree(root)
        return 0
    print(f"what differs lies in {root}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
