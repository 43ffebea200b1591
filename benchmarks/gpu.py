"""What a GPU makes of everything that is slow, as ratios of one run: python benchmarks/gpu.py OUT.json [options]

tests      the tests marked ``gpu``: numbers of passes, failures, and what failed
solver     ridge solutions for 15 alphas: Cholesky of all alphas at once, of 5 sets at once, one alpha after the other,
           eigenvectors; and what the CPU does, a tridiagonalisation
heads      a bank of 13 heads against one head (benchmarks/heads.py)
base       for an encoder of HuBERT-base's size with random weights on the built-in corpus, copied as more sentences of
           the same speakers: the bare loop of untouched transformers, one wave at a time, waves on the device; our
           pass, without and with processes that decode; the table (every layer x 6 held-out languages) from its sums
inversion  audio of 10 minutes through a head on the last layer of the base and the large encoder: x real time, and
           against the bare loop on pieces as long as the inverter's
large      the same as base with HuBERT-large's size
pretraining  updates of `tractprobe pretrain` in float32 and bfloat16, and batches prepared: benchmarks/pretrain_rate.py

Each stage is a process of its own that ends when its time is up; one that fails is noted with its error and the others
go on. The file is written after every stage, so that it is there whatever happens.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from gpu_stages import STAGES

TOTAL_S = 470.0  # of the 8 minutes
BUDGETS_S = {
    "tests": 170.0, "solver": 40.0, "heads": 50.0, "base": 110.0, "inversion": 60.0, "pretraining": 40.0, "large": 120.0
}  # fmt: skip


def in_process(name: str, device: str, small: bool, limit_s: float, root: str) -> dict[str, Any]:
    """Run a stage in a process of its own; what it has reported, and why it ended early if it did."""
    command = [sys.executable, __file__, "--stage", name, "--device", device, *(["--small"] if small else [])]
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        problem = None
        process = subprocess.Popen(
            command, stdout=output, env=os.environ | {"TRACTPROBE_BENCHMARK": root}, start_new_session=True
        )
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            problem = f"ended after its {limit_s:.0f} s"
        output.seek(0)
        reported = list(parsed(output))
    found: dict[str, Any] = {key: value for one in reported for key, value in one.items()}
    if problem or process.returncode:
        found.setdefault("error", problem or f"ended with {process.returncode}")
    return {"wall s": time.perf_counter() - began, **found}


def parsed(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield what a stage has reported; libraries print other lines, and a killed process leaves half a one."""
    for line in lines:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def about(device: str, small: bool) -> dict[str, Any]:
    card = torch.cuda.get_device_name() if device == "cuda" else f"no GPU: {platform.processor() or 'CPU'}"
    packages = ("torch", "transformers", "pytorch-lightning", "numpy", "scipy")
    return {
        "card": card,
        "small": small,
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "versions": {name: version(name) for name in packages} | {"python": platform.python_version()},
        "cuda": torch.version.cuda,
        "processors": os.cpu_count(),
        "cudnn allows tf32": torch.backends.cudnn.allow_tf32,
    }


def run_stage(name: str, device: str, small: bool) -> None:
    def report(values: dict[str, Any]) -> None:
        print(json.dumps(values), flush=True)

    try:
        STAGES[name](torch.device(device), small, report)
    except Exception as error:
        traceback.print_exc()
        report({"error": f"{type(error).__name__}: {error}"[:1000]})
        sys.exit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, nargs="?", help="JSON file")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument(
        "--small", action="store_true", help="sizes that a CPU manages in minutes; the numbers mean nothing"
    )
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        return run_stage(options.stage, options.device, options.small)
    if options.output is None:
        parser.error("name the JSON file")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch.cuda.is_available() is false; --device cpu --small tries everything without a GPU")
    began, root = time.perf_counter(), tempfile.mkdtemp()
    found = about(options.device, options.small) | {"stages": {}}
    try:
        for name in options.stages:
            left_s = TOTAL_S - (time.perf_counter() - began)
            limit_s = min(BUDGETS_S[name] * (3 if options.small else 1), left_s)
            if limit_s < 5:
                found["stages"][name] = {"error": "no time was left for it"}
            else:
                found["stages"][name] = in_process(name, options.device, options.small, limit_s, root)
            found["wall s"] = time.perf_counter() - began
            options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            print(name, json.dumps(found["stages"][name], indent=1), flush=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
