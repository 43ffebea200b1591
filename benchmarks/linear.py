"""The whole linear table against a plain script.

    python benchmarks/linear.py [--model MODEL] [--copies 1 2 4] [--same-speakers] [--script-cells N]

MODEL is a local folder or Hub id, or ``hubert-base`` for that architecture with random weights. The built-in corpus is
copied N times, as more speakers or with ``--same-speakers`` as more sentences of the same. For each size, in processes
of their own:

bare      untouched transformers, one wave at a time (nothing is padded), waves in memory: seconds of the forward loop
pass      our pass without a feature cache: decoding, encoding, sums of all layers and groups to disk
table     every layer x held-out language from the sums: alpha per channel from 15 over grouped folds, refit, scores

and once, on the smallest corpus, on the same frames, alphas, folds and threads

script    float16 features in memory; per layer and held-out language scikit-learn's ``Ridge`` for every alpha and fold,
          then the refit; and ``RidgeCV(alpha_per_target=True)``, which leaves out frames instead of speakers. A few
          cells are timed, the others counted as equally long.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from streaming import copies

ALPHAS = [10.0**power for power in np.linspace(0, 6, 15)]


def encoder_of(model: str) -> Any:
    from tractprobe.encoders.pretrained import pretrained

    return pretrained(folder_of(model), normalise=False if model == "hubert-base" else None)


def folder_of(model: str) -> str:
    """Return a model's name, having made the one with random weights."""
    if model != "hubert-base":
        return model
    from transformers import HubertConfig, HubertModel

    folder = Path(tempfile.gettempdir(), "tractprobe-hubert-base")
    if not (folder / "model.safetensors").is_file():
        torch.manual_seed(0)
        HubertModel(HubertConfig()).save_pretrained(folder)
    return str(folder)


def opened(root: Path) -> tuple[Any, list[Any]]:
    """Return the corpus and a split for each language."""
    from tractprobe.corpora.prepared.prepare import prepare
    from tractprobe.corpora.readers.folder import Folder
    from tractprobe.data.splits import SplitRule

    corpus = prepare(Folder("grown", root / "raw"), root / "data")
    rule = SplitRule("language")
    return corpus, [rule(corpus.entries, language, 0) for language in rule.values(corpus.entries)]


def summed(root: Path, model: str) -> tuple[Any, list[Any]]:
    encoder, (corpus, splits) = encoder_of(model), opened(root)
    return sums_of(root / "sums", encoder, corpus, splits), splits


def sums_of(
    folder: Path, encoder: Any, corpus: Any, splits: list[Any], device: torch.device | str = "cpu", workers: int = 0
) -> Any:
    """Return the moments of every layer, encoded in batches of 8 and summed, or read if they are there already."""
    from tractprobe.data.targets import Targets
    from tractprobe.probes.linear.accumulate import partition, sum_groups
    from tractprobe.probes.states import HeadInput, HiddenStates
    from tractprobe.runs.settings import LoadingPolicy

    layers = tuple(range(encoder.num_layers))
    inputs = [HeadInput.of((layer,)) for layer in layers]
    states = HiddenStates(encoder, layers, "float16")
    loading = LoadingPolicy(batch_size=8, batch_s=120.0, temperature=1.0, num_workers=workers)
    return sum_groups(states, [corpus], partition([corpus], splits), Targets(), inputs, folder, loading, device)


def bare(root: Path, model: str) -> dict[str, float]:
    from transformers import AutoFeatureExtractor, AutoModel

    corpus, _ = opened(root)
    waves = [torch.from_numpy(corpus.audio(entry.id)) for entry in corpus.entries]
    network = AutoModel.from_pretrained(folder_of(model)).eval()
    whisper = network.config.model_type == "whisper"
    extractor = AutoFeatureExtractor.from_pretrained(model) if whisper else None
    began = time.perf_counter()
    with torch.no_grad():
        for wave in waves:
            if extractor is not None:
                features = extractor(wave.numpy(), sampling_rate=16000, return_tensors="pt").input_features
                network.get_encoder()(features, output_hidden_states=True)
            else:
                network(wave[None], output_hidden_states=True)
    return {"seconds": time.perf_counter() - began, "speech_s": sum(map(len, waves)) / 16000}


def one_pass(root: Path, model: str) -> dict[str, float]:
    import tractprobe.probes.linear.accumulate  # noqa: F401

    encoder, (corpus, splits) = encoder_of(model), opened(root)
    began = time.perf_counter()
    store = sums_of(root / "sums", encoder, corpus, splits)
    elapsed_s = time.perf_counter() - began
    size = sum(path.stat().st_size for path in (root / "sums").rglob("group-*"))
    frames = int(store.frames[~store.lost.any(axis=1)].sum())
    features = frames * sum(store.widths.values()) * 2
    return {
        "seconds": elapsed_s,
        "groups": len(store.groups),
        "sums_mib": size / 2**20,
        "float16_mib": features / 2**20,
    }


def table(root: Path, model: str) -> dict[str, float]:
    from tractprobe.probes.heads.ridge import Ridge
    from tractprobe.probes.linear.fit import fit_divisions
    from tractprobe.probes.linear.selection import Division

    store, splits = summed(root, model)
    began = time.perf_counter()
    divisions = [Division.of(split, store) for split in splits]
    for name, width in store.widths.items():
        fit_divisions(store, name, divisions, Ridge(1, width, store.count.shape[1], ALPHAS))
    return {"seconds": time.perf_counter() - began, "cells": len(store.widths) * len(splits)}


def script(root: Path, model: str, cells: int) -> dict[str, float]:
    from sklearn.linear_model import Ridge, RidgeCV
    from sklearn.preprocessing import StandardScaler

    from tractprobe.data.targets import Targets

    encoder, (corpus, splits) = encoder_of(model), opened(root)
    frames = {}
    for entry in corpus.entries:
        (states,) = encoder([torch.from_numpy(corpus.audio(entry.id))])
        times_s = encoder.geometry.times_s(states.shape[1])
        y = Targets().at(corpus, entry, times_s)
        known = np.isfinite(y).all(axis=1)
        frames[entry.id] = states.half().numpy()[:, known], y[known]

    def part(ids: Any, layer: int) -> tuple[np.ndarray, np.ndarray]:
        x = np.concatenate([frames[id_][0][layer] for id_ in ids]).astype(np.float64)
        y = np.concatenate([frames[id_][1] for id_ in ids])
        return x, (y - y.mean(axis=0)) / y.std(axis=0)

    grouped_s = left_out_s = 0.0
    for number in range(cells):
        split, layer = splits[number % len(splits)], number % encoder.num_layers
        began = time.perf_counter()
        r = np.zeros((len(ALPHAS), 12))
        for fold in split.folds:
            (x, y), (new, truth) = part(fold.train, layer), part(fold.validation, layer)
            scaler = StandardScaler().fit(x)
            x, new = scaler.transform(x), scaler.transform(new)
            for row, alpha in enumerate(ALPHAS):
                predicted = Ridge(alpha).fit(x, y).predict(new)
                r[row] += [np.corrcoef(predicted[:, i], truth[:, i])[0, 1] for i in range(12)]
        x, y = part(split.development, layer)
        x = StandardScaler().fit_transform(x)
        Ridge(np.array(ALPHAS)[r.argmax(axis=0)]).fit(x, y)
        grouped_s += time.perf_counter() - began
        began = time.perf_counter()
        RidgeCV(ALPHAS, alpha_per_target=True).fit(x, y)
        left_out_s += time.perf_counter() - began
    every = encoder.num_layers * len(splits) / cells
    return {"seconds": grouped_s * every, "ridge_cv_seconds": left_out_s * every, "timed_cells": cells}


STEPS = {"bare": bare, "pass": one_pass, "table": table}


def measured(step: str, root: Path, model: str, *more: str) -> dict[str, float]:
    """Run a step in a process of its own; its result and the peak of its memory."""
    command = [sys.executable, __file__, "--step", step, str(root), model, *more]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])


def main() -> None:
    if sys.argv[1:2] == ["--step"]:
        step, root, model, *more = sys.argv[2:]
        result = script(Path(root), model, int(more[0])) if step == "script" else STEPS[step](Path(root), model)
        print(json.dumps(result | {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="hubert-base")
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--same-speakers", action="store_true", help="copies are more sentences of the same speakers")
    parser.add_argument("--script-cells", type=int, default=1, help="cells that the script is timed on; 0: none")
    arguments = parser.parse_args()
    from tractprobe.runs.hydra import builtin_corpus

    for count in arguments.copies:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            (root / "raw").mkdir()
            copies(Path(builtin_corpus("virtual")), root / "raw", count, arguments.same_speakers)
            opened(root)
            found = {step: measured(step, root, arguments.model) for step in STEPS}
            if count == arguments.copies[0] and arguments.script_cells:
                found["script"] = measured("script", root, arguments.model, str(arguments.script_cells))
        for step, numbers in found.items():
            print(f"{count:3} x  {step:<7}", "  ".join(f"{name} {value:,.4g}" for name, value in numbers.items()))
        whole = found["pass"]["seconds"] + found["table"]["seconds"]
        print(f"{count:3} x  pass / bare {found['pass']['seconds'] / found['bare']['seconds']:.3f}", end="  ")
        print(f"(pass + table) / bare {whole / found['bare']['seconds']:.3f}", end="")
        if "script" in found:
            print(f"  script / table {found['script']['seconds'] / found['table']['seconds']:.1f}", end="")
            print(f"  RidgeCV / table {found['script']['ridge_cv_seconds'] / found['table']['seconds']:.1f}", end="")
        print(flush=True)


if __name__ == "__main__":
    main()
