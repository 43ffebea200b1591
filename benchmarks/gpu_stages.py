"""The stages of benchmarks/gpu.py: functions of the device, whether sizes are small, and where to report."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch

REPOSITORY = Path(__file__).parents[1]
CPU = torch.device("cpu")
SIZES = {
    "base": {"model_type": "wav2vec2"},
    "large": {
        "model_type": "wav2vec2", "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
        "intermediate_size": 4096, "feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True,
    },
}  # fmt: skip
SMALL = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128, "conv_dim": [16] * 7}
LAYERS_OF_SMALL = {"base": 2, "large": 3}

Report = Callable[[dict[str, Any]], None]


def timed(device: torch.device, function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Return a result, and the seconds until all that was put on the device for it was done."""
    began = time.perf_counter()
    result = function(*arguments)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return result, time.perf_counter() - began


def fastest(device: torch.device, repeat: int, function: Callable[..., Any], *arguments: Any) -> float:
    """Return the seconds of the shortest of some runs, after one that does not count."""
    timed(device, function, *arguments)
    return min(timed(device, function, *arguments)[1] for _ in range(repeat))


def tests(device: torch.device, small: bool, report: Report) -> None:
    chosen = ["-k", "solutions or factors or moments or inversion"] if small else ["-n", "4"]
    environment = os.environ | ({"TRACTPROBE_GPU_TESTS_ON": "cpu"} if device.type == "cpu" else {})
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.xml")
        # Another torch than the one that the suite runs with may warn of other things: no failure here.
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-W", "default", f"--junitxml={result}", *chosen]
        command.append("tests/test_gpu.py")
        code = subprocess.run(command, cwd=REPOSITORY, env=environment, stdout=sys.stderr, check=False).returncode
        if not result.exists():
            raise RuntimeError(f"pytest ended with {code} and without a result")
        suite = ElementTree.parse(result).getroot()[0]
    cases = list(suite.iter("testcase"))
    wrong = {
        case.get("name"): part.get("message", "")[:500]
        for case in cases for part in case if part.tag in ("failure", "error")
    }  # fmt: skip
    report({"tests": len(cases), "skipped": int(suite.get("skipped", 0)), "failed": wrong})
    if code:
        raise RuntimeError(f"{len(wrong)} of {len(cases)} tests failed; pytest ended with {code}")


def solver(device: torch.device, small: bool, report: Report) -> None:
    from linear import ALPHAS

    from tractprobe.probes.linear.solver import by_cholesky, by_eigenvectors, by_tridiagonal

    alphas = torch.tensor(ALPHAS, dtype=torch.float64)

    def one_by_one(gram: torch.Tensor, cross: torch.Tensor) -> list[torch.Tensor]:
        return [by_cholesky(gram, cross, alpha) for alpha in alphas.split(1)]

    for width in (48, 64) if small else (768, 1024):
        x = torch.randn(5, 4 * width, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        grams, crosses = (x.mT @ x).to(device), (x.mT @ x[..., :12]).to(device)
        gram, cross = grams[0], crosses[0]
        plain = gram.cpu().numpy(), cross.cpu().numpy(), alphas.numpy()
        seconds = {
            "cholesky": fastest(device, 5, by_cholesky, gram, cross, alphas),
            "cholesky of 5 sets": fastest(device, 5, by_cholesky, grams, crosses, alphas),
            "cholesky alpha by alpha": fastest(device, 5, one_by_one, gram, cross),
            "eigenvectors": fastest(device, 5, by_eigenvectors, gram, cross, alphas),
            "tridiagonal on the CPU": fastest(CPU, 2, by_tridiagonal, *plain),
        }
        exact = torch.from_numpy(by_tridiagonal(*plain))
        apart = (by_cholesky(gram, cross, alphas).cpu() - exact).abs().max() / exact.abs().max()
        ratios = {f"{name} / cholesky": value / seconds["cholesky"] for name, value in seconds.items()}
        report({f"width {width}": {"seconds": seconds, "ratios": ratios, "cholesky from tridiagonal": float(apart)}})


def architecture(size: str, small: bool) -> dict[str, Any]:
    return SIZES[size] | (SMALL | {"num_hidden_layers": LAYERS_OF_SMALL[size]} if small else {})


def encoder_of(size: str, small: bool) -> Any:
    from tractprobe.encoders.untrained import random_weights

    return random_weights(size, architecture(size, small))


def bare_loop(size: str, small: bool, device: torch.device, waves: list[torch.Tensor]) -> float:
    """Return the seconds of transformers' own model of the same architecture, one wave at a time, nothing kept."""
    from transformers import AutoConfig, AutoModel

    network = AutoModel.from_config(AutoConfig.for_model(**architecture(size, small))).eval().to(device)

    def run(some: list[torch.Tensor]) -> None:
        for wave in some:
            network(wave[None], output_hidden_states=True)

    with torch.no_grad():
        run(waves[:5])
        return timed(device, run, waves)[1]


def prepared(root: Path, small: bool) -> None:
    """Copy the built-in corpus and prepare it, by several processes."""
    from streaming import copies

    from tractprobe.corpora.prepared.prepare import prepare
    from tractprobe.corpora.readers.folder import Folder
    from tractprobe.runs.hydra import builtin_corpus

    (root / "raw").mkdir(parents=True, exist_ok=True)
    copies(Path(builtin_corpus("virtual")), root / "raw", 1 if small else 8, same_speakers=True)
    if small:  # two of six languages
        for path in (root / "raw").iterdir():
            if not {"it", "de"} & set(path.name.split("_")):
                path.unlink()
    prepare(Folder("grown", root / "raw"), root / "data", min(8, os.cpu_count() or 1))


def encoder(size: str, device: torch.device, small: bool, report: Report) -> None:
    from linear import opened

    root = Path(os.environ["TRACTPROBE_BENCHMARK"])
    if not (root / "data/grown").exists():
        report({"preparing the corpus s": timed(CPU, prepared, root, small)[1]})
    corpus, splits = opened(root)
    waves = [torch.from_numpy(corpus.audio(entry.id)).to(device) for entry in corpus.entries]
    speech_s = sum(map(len, waves)) / 16000
    bare_s = bare_loop(size, small, device, waves)
    report({"speech s": speech_s, "bare s": bare_s, "bare x real time": speech_s / bare_s})
    ours = encoder_of(size, small).to(device)
    ours(waves[:8])
    store, pass_s = passes(ours, size, device, root, [0] if small else [0, 4] if size == "base" else [4], report)
    report({"pass / bare": pass_s / bare_s, "groups": len(store.groups)})
    table_s = table(store, splits, device, report)
    report({"(pass + table) / bare": (pass_s + table_s) / bare_s})


def passes(
    ours: Any, size: str, device: torch.device, root: Path, workers: list[int], report: Report
) -> tuple[Any, float]:
    """Return the moments, and the seconds of the fastest of passes with so many processes that decode."""
    from linear import opened, sums_of

    corpus, splits = opened(root)
    done = []
    for number in workers:
        try:
            folder = root / f"sums-{size}-{number}"
            done.append(timed(device, sums_of, folder, ours, corpus, splits, device, number))
            report({f"pass with {number} workers s": done[-1][1]})
        except Exception as error:  # where processes cannot be started, say
            report({f"pass with {number} workers": f"{type(error).__name__}: {error}"[:500]})
    if not done:
        raise RuntimeError("no pass succeeded")
    return min(done, key=lambda one: one[1])


def table(store: Any, splits: list[Any], device: torch.device, report: Report) -> float:
    """Return the seconds of a whole table; one layer's is held against what the CPU makes of it."""
    from linear import ALPHAS

    from tractprobe.probes.heads.ridge import Ridge
    from tractprobe.probes.linear.fit import fit_divisions
    from tractprobe.probes.linear.selection import Division

    divisions = [Division.of(split, store) for split in splits]
    channels = store.count.shape[1]

    def layer(name: str, place: torch.device) -> list[Any]:
        return fit_divisions(store, name, divisions, Ridge(1, store.widths[name], channels, ALPHAS), place)

    first = next(iter(store.widths))
    expected, cpu_s = timed(CPU, layer, first, CPU)
    found, first_s = timed(device, layer, first, device)
    apart = max(
        float((one.weight.cpu() - other.weight).abs().max() / other.weight.abs().max())
        for (one, _), (other, _) in zip(found, expected, strict=True)
    )
    report({"table of one layer s": first_s, "table of one layer on the CPU / on the device": cpu_s / first_s,
            "largest difference of weights from the CPU's": apart})  # fmt: skip
    seconds = sum(timed(device, layer, name, device)[1] for name in store.widths)
    report({"cells": len(store.widths) * len(splits), "table s": seconds})
    return seconds


def heads(device: torch.device, small: bool, report: Report) -> None:
    from heads import batches, measured

    layers, width = (3, 32) if small else (13, 768)
    made = batches(layers, width, *((2, 2, 20) if small else (8, 8, 200)))
    data = [tuple(one.to(device) for one in batch) for batch in made]
    report({"layers": layers, "width": width})
    for name in ("mlp",) if small else ("mlp", "conv", "gru", "transformer"):
        bank_s, one_s = measured(name, layers, data, 3 if small else 10)
        report({name: {"bank s": bank_s, "one s": one_s, "bank / one": bank_s / one_s}})


def inversion(device: torch.device, small: bool, report: Report) -> None:
    from tractprobe.inversion.inverter import CHUNK_S, CONTEXT_S

    wave, rate_hz = speech(60 if small else 600)
    seconds = len(wave) / rate_hz
    pieces = [torch.randn(round((CHUNK_S + 2 * CONTEXT_S) * 16000), device=device)] * round(seconds / CHUNK_S)
    for size in SIZES:
        inverter = inverter_of(size, small, device)
        inverter(wave[: 5 * rate_hz], rate_hz)
        _, taken_s = timed(device, inverter, wave, rate_hz)
        bare_s = bare_loop(size, small, device, pieces)
        report({size: {"audio s": seconds, "x real time": seconds / taken_s, "bare x real time": seconds / bare_s,
                       "inversion / bare": taken_s / bare_s}})  # fmt: skip


def pretraining(device: torch.device, small: bool, report: Report) -> None:
    command = [sys.executable, "benchmarks/pretrain_rate.py", f"pretrain.batch={2 if small else 128}"]
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if device.type == "cpu" else {}
    lines = subprocess.run(
        command, cwd=REPOSITORY, env=os.environ | hidden, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.splitlines()
    report({"pretraining": {name: value for name, _, value in (line.partition(": ") for line in lines) if value}})


def speech(seconds: int) -> tuple[np.ndarray, int]:
    """Return utterances of the built-in corpus one after the other, over again until there is enough."""
    import soundfile

    from tractprobe.runs.hydra import builtin_corpus

    waves = [soundfile.read(path, dtype="float32") for path in sorted(Path(builtin_corpus("virtual")).rglob("*.flac"))]
    (rate_hz,) = {rate for _, rate in waves}
    return np.resize(np.concatenate([wave for wave, _ in waves]), rate_hz * seconds), rate_hz


def inverter_of(size: str, small: bool, device: torch.device) -> Any:
    """Return a linear head of random weights on the last layer of an encoder of random weights."""
    from tractprobe.inversion.head_file import write_head
    from tractprobe.inversion.inverter import load_head

    sys.path.insert(0, str(REPOSITORY / "tests"))
    from head_files import about_of, random_ridge

    ours = encoder_of(size, small)
    about = about_of(ours)
    target = "tractprobe.encoders.untrained.random_weights"
    about["encoder"]["settings"] = {"_target_": target, "label": size, "architecture": architecture(size, small)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "head.safetensors")
        write_head(path, random_ridge(ours.width), about)
        return load_head(path, device, encoder=ours)


STAGES: dict[str, Callable[[torch.device, bool, Report], None]] = {
    "tests": tests,
    "solver": solver,
    "heads": heads,
    "base": lambda *more: encoder("base", *more),
    "inversion": inversion,
    "pretraining": pretraining,
    "large": lambda *more: encoder("large", *more),
}
