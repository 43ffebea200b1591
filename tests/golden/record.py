"""Record what the command lines do to a small corpus: names, identities, files, texts, scores and weights.

::

    python tests/golden/record.py <repository root> <empty work folder> <output.json>           # with everything
    python tests/golden/record.py . "$(mktemp -d)" tests/golden/golden.json --portable          # renews golden.json

Nothing of the package is imported but its command, ``tractprobe.cli.main``; ``train.py`` and ``evaluate.py`` are run as
scripts, and what they leave is read as the file formats say. So one recorder serves commits whose modules differ. All
commands run in one process, with paths relative to the work folder: a recording does not depend on where it was made.

A recording has these parts::

    exact      names, hashes of identities, structure, texts without their decimals: equal everywhere
    numbers    scores and the like, compared with a tolerance
    tensors    mean, mean of sizes and first values of arrays: the tolerance is one of the largest of these
    printed    decimals in texts, which are rounded: compared to the last one printed
    bits       checksums of all that was computed: equal on one machine, left out by --portable

Times and versions are recorded nowhere. The release of transformers, which names folders of the cache, is set to a
fixed one.
"""

import argparse
import contextlib
import csv
import hashlib
import io
import json
import os
import re
import runpy
import shutil
import struct
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

FIXED = {
    # One thread, and instructions that all x86 processors of the last ten years have: sums depend on both.
    "OMP_NUM_THREADS": "1",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "WANDB_MODE": "offline",
    "HF_HUB_OFFLINE": "1",
    "MPLBACKEND": "agg",
    "COLUMNS": "120",
}
PARTS = ("exact", "numbers", "tensors", "printed", "bits")
TRANSFORMERS = "5.0.0"
SPEAKERS = ("c2", "f1", "m1")
SENTENCES = {
    "de": ("000", "002", "003"),
    "en": ("002", "003", "005"),
    "it": ("003", "004", "007"),
}
OTHERS = ("m3_en_008", "m3_it_008", "m3_it_009")  # a second corpus: another speaker, other sentences
MLP = ("head=mlp", "head.hidden=16", "trainer.max_epochs=3", "data.batch_size=4", "data.batch_s=15")

_DECIMAL = re.compile(r"[+-]?\d*\.\d+(?:e[+-]?\d+)?")
_OF_A_MACHINE = (  # what of a text is neither a result nor a name
    (re.compile(r"\(\d{4}-[^()]* on [^()]*\)"), "(<time> on <host>)"),
    (re.compile(r"^.*(?: x real time|: prepared in ).*$", re.MULTILINE), "<how fast it was>"),
    (re.compile(r"^\[[-\d ,:]+\]\[[\w.]+\]\[(\w+)\] - ", re.MULTILINE), r"\1: "),
    (re.compile(r"^\[[-\d ,:]+\]\[HYDRA\] ", re.MULTILINE), "HYDRA: "),
    (re.compile(r"since \d{4}-\S+"), "since <time>"),
)


class Recording:
    """What was found so far.

    Attributes
    ----------
    parts
        Part to name to value; all but ``exact`` and ``bits`` hold numbers or lists of them.
    """

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, Any]] = {part: {} for part in PARTS}

    def exact(self, name: str, value: Any) -> None:
        self._note("exact", name, value)

    def number(self, name: str, value: Any) -> None:
        self._note("numbers", name, value)

    def bits(self, name: str, content: bytes) -> None:
        self._note("bits", name, hashlib.sha256(content).hexdigest())

    def text(self, name: str, text: str) -> None:
        """Note a text: what it says exactly, its decimals as they are printed."""
        for pattern, instead in _OF_A_MACHINE:
            text = pattern.sub(instead, text)
        self.exact(name, _DECIMAL.sub("#", text).rstrip().splitlines())
        if found := _DECIMAL.findall(text):
            self._note("printed", name, [float(one) for one in found])
        self.bits(name, text.encode())

    def plain(self, name: str, value: Any) -> None:
        """Note a plain value: floats with a tolerance, all else exactly."""
        self.exact(name, self._without_floats(name, value))

    def tensor(self, name: str, values: Any) -> None:
        """Note an array by its type, shape and a few numbers."""
        import numpy as np

        self.exact(name, f"{values.dtype} {list(values.shape)}")
        self.bits(name, np.ascontiguousarray(values).tobytes())
        self.outline(name, values)

    def outline(self, name: str, values: Any) -> None:
        """Note mean, mean of sizes and first values of an array."""
        import numpy as np

        wide = np.asarray(values, np.float64)
        known = np.where(np.isfinite(wide), wide, 0)
        if known.size:
            means = known.mean(), np.abs(known).mean()
            self._note("tensors", name, [_short(one) for one in (*means, *known.ravel()[:4])])

    def scores(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Note rows of scores, named by all that they say but their numbers."""
        moments = ("mean_predicted", "mean_measured", "sd_predicted", "sd_measured")  # since issue 13
        measured = [name for name in ("r", "rmse", "r2", "ccc", *moments) if name in rows[0]]
        self.exact(name, {"rows": len(rows), "fields": list(rows[0])})
        kinds: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            about = [str(value) for field, value in row.items() if field not in (*measured, "channel", "unit")]
            kinds.setdefault(" ".join(about), []).append(row)
        for kind, same in kinds.items():
            self.exact(f"{name}: {kind}", " ".join(f"{row['channel']}/{row['unit']}" for row in same))
            for field in measured:
                self.number(f"{name}: {kind} {field}", [_short(row[field]) for row in same])

    def _without_floats(self, name: str, value: Any) -> Any:
        if isinstance(value, float):
            self.number(name, _short(value))
            return "#"
        if isinstance(value, Mapping):
            return {key: self._without_floats(f"{name}/{key}", one) for key, one in value.items()}
        if isinstance(value, list) and any(isinstance(one, float) for one in value):
            if all(one is None or isinstance(one, (int, float)) for one in value):
                self.number(name, [_short(one) for one in value])
                return f"# x {len(value)}"
        if isinstance(value, list):
            return [self._without_floats(f"{name}/{index}", one) for index, one in enumerate(value)]
        return value

    def _note(self, part: str, name: str, value: Any) -> None:
        assert name not in self.parts[part], f"{part}: {name} twice"
        self.parts[part][name] = value


def _short(value: float | None) -> float | None:
    return value if value is None else float(f"{value:.9g}")


class Commands:
    """Runs command lines in this process, in the work folder, and hands over what each prints."""

    def __init__(self, root: Path, note: Callable[[str, str], None]):
        self.root, self.note, self.count = root, note, 0

    def train(self, *arguments: str, status: int = 0) -> None:
        self._run(f"train.py {' '.join(arguments)}", self._script("train.py", arguments), status)

    def evaluate(self, *arguments: str) -> None:
        self._run(f"evaluate.py {' '.join(arguments)}", self._script("evaluate.py", arguments))

    def tractprobe(self, *arguments: str) -> None:
        from tractprobe.cli import main

        self._run(f"tractprobe {' '.join(arguments)}", lambda: main(list(arguments)))

    def _script(self, name: str, arguments: Sequence[str]) -> Any:
        def run() -> None:
            sys.argv = [name, *arguments]
            runpy.run_path(str(self.root / name), run_name="__main__")

        return run

    def _run(self, line: str, function: Any, expected: int = 0) -> None:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                status = function() or 0
            except SystemExit as end:
                status = end.code or 0
        text = printed.getvalue().replace(str(self.root), "<repository>").replace(os.getcwd(), "<work>")
        if status != expected:
            sys.exit(f"{line}\nended with status {status}\n{text}")
        self.count += 1
        self.note(f"$ {self.count:02} {line}", text)


def copy_corpora(speech: Path, raw: Path) -> None:
    """Copy what everything is done to."""
    names = [f"{speaker}_{language}_{one}" for speaker in SPEAKERS for language in SENTENCES
             for one in SENTENCES[language]]  # fmt: skip
    for corpus, stems in (("golden", names), ("others", OTHERS)):
        (raw / corpus).mkdir(parents=True)
        for stem in stems:
            for suffix in (".flac", ".ema.npy", ".json"):
                shutil.copyfile(speech / f"{stem}{suffix}", raw / corpus / f"{stem}{suffix}")


def run_all(do: Commands) -> None:
    """Run every scenario; the tests of each are in what it leaves."""
    for corpus in ("golden", "others"):
        line = ("prepare", "corpus=folder", f"corpus.name={corpus}", f"corpus.root=raw/{corpus}", "workers=1")
        do.tractprobe(*line)
    do.tractprobe(*line, "source_channels=false")  # does nothing
    # As `make demo`, but in float32: where random's states are rounded to float16, scores of machines differ by 1e-5.
    demo = ("--multirun", "study=held_out", "model=mel,random", "corpora=[golden]")
    do.train(*demo, "features.storage=float32", "tracking=off")
    small = ("corpora=[golden]", "model=mel_frame")
    do.train(*small, "study=held_out")  # offline, with what W&B is told
    do.train(*small, *MLP, "held_out=it")
    do.train(*small, *MLP, "held_out=it")  # finished already
    do.train(*small, *MLP, "held_out=all", "together=true", "trainer.max_epochs=2", "tracking=off")
    do.train(*small, "split=speaker", "held_out=m1", "targets=[ema,tract]", "tracking=off")
    do.train(*small, "split=sentence", "layer=0", "features.cache=false", "features.storage=float32", "tracking=off")
    do.train(
        "corpora=[golden]", "model=random", "model.layers=1", "model.width=32", "model.channels=8", "layer=[0,1]",
        "head=weighted", "head.head.hidden=8", "trainer.max_epochs=1", "features.storage=float32", "objective=both",
        "schedule=cosine", "held_out=de", "seed=1", "tracking=off",
    )  # fmt: skip
    do.train(*small, "held_out=xx", "tracking=off", status=1)
    run = _run_folder("mel_frame/all/mlp/it/s0-*", "held_out=it")
    do.evaluate(f"run={run}")
    do.evaluate(f"run={run}", "corpora=[others]")
    do.tractprobe("export", str(run), "--output", "mlp.safetensors")
    random = _run_folder("random/all/ridge/it/s0-*")
    do.tractprobe("export", str(random))  # the layer that validation chose
    (head,) = map(str, random.glob("head-layer*.safetensors"))
    audio = "raw/others/m3_it_009.flac"
    do.tractprobe("invert", audio, "--head", "mlp.safetensors", "--format", "csv", "--output", "inverted")
    do.tractprobe("invert", audio, "--head", head, "--rate", "100", "--speaker", "golden/f1", "--output", "inverted100")
    do.tractprobe("table", "runs", "--csv", "scores.csv", "--against", "ridge")
    do.tractprobe("status", "runs")


def _run_folder(pattern: str, override: str | None = None) -> Path:
    """Return the one finished run that a pattern matches, and whose overrides have one if that is given."""
    found = [path.parent for path in sorted(Path("runs").glob(f"{pattern}/result.json"))]
    if override is not None:
        found = [path for path in found if _was_overridden(path, override)]
    (run,) = found
    return run


def _was_overridden(run: Path, override: str) -> bool:
    file = run / ".hydra/overrides.yaml"
    return file.is_file() and f"- {override}" in file.read_text().splitlines()


def record_corpora(recording: Recording) -> None:
    """Note prepared corpora; where they came from and when is left out."""
    for folder in sorted(path.parent for path in Path("data").glob("*/corpus.json")):
        description = json.loads((folder / "corpus.json").read_text())
        recording.exact(f"{folder}: keys", list(description))
        kept = {key: value for key, value in description.items() if key not in ("fingerprint", "tractprobe")}
        kept["source"] = os.path.relpath(kept["source"])  # absolute since 2026-11
        recording.plain(f"{folder}/corpus.json", kept)
        for path in _files(folder):
            if path.suffix == ".flac":
                recording.bits(str(path), path.read_bytes())
            elif path.suffix in (".npy", ".jsonl"):
                recording.exact(str(path), hashlib.sha256(path.read_bytes()).hexdigest())
            else:
                assert path.name in ("corpus.json", ".lock"), path


def record_cache(recording: Recording) -> None:
    """Note hidden states and sums with the folders that identities name."""
    import numpy as np

    recording.exact("cache", [str(path) for path in _files(Path("cache"))])
    for path in _files(Path("cache")):
        if path.name == "index.json" and "sums" in path.parts:
            index = json.loads(path.read_text())
            recording.plain(str(path), index)
            _record_sums(recording, path.parent)
        elif path.name == "index.json":
            index = json.loads(path.read_text())
            index["identity"].pop("transformers", None)
            for row in index["utterances"]:
                recording.bits(f"{path}: {row[0]}", str(row.pop()).encode())
            recording.plain(str(path), index)
        elif path.name == "states.npy":
            recording.tensor(str(path), np.load(path))


def _record_sums(recording: Recording, folder: Path) -> None:
    """Note the sums of all groups together."""
    import numpy as np
    from safetensors.numpy import load_file

    files = sorted(folder.glob("*.safetensors"))
    groups = [dict(sorted(load_file(path).items())) for path in files]
    shapes = [", ".join(f"{name} {one.dtype} {list(one.shape)}" for name, one in group.items()) for group in groups]
    recording.exact(f"{folder}: shapes", [f"{path.name}: {one}" for path, one in zip(files, shapes, strict=True)])
    for name in sorted({name for group in groups for name in group}):
        values = [group[name] for group in groups if name in group]
        recording.outline(f"{folder}: {name}", np.concatenate([one.ravel() for one in values]))
        recording.bits(f"{folder}: {name}", b"".join(np.ascontiguousarray(one).tobytes() for one in values))


def record_runs(recording: Recording) -> None:
    """Note run directories: which files there are, and what is in them."""
    runs = Path("runs")
    recording.exact("runs", [str(path) for path in _files(runs) if "wandb" not in path.parts])
    for path in _files(runs):
        name = str(path)
        if path.name == "result.json":
            _record_result(recording, path)
        elif path.parent.name == "evaluations":
            evaluation = json.loads(path.read_text())
            recording.scores(f"{name}: scores", evaluation.pop("scores"))
            evaluation["identity"].pop("versions")
            recording.plain(name, evaluation)
        elif path.suffix == ".safetensors":
            _record_tensors(recording, path)
        elif path.name == "last.ckpt":
            _record_checkpoint(recording, path)
        elif path.name == "failure.json":
            failure = json.loads(path.read_text())
            recording.exact(f"{name}: keys", list(failure))
            recording.exact(name, {key: failure[key] for key in ("reason", "error", "traceback")})
        elif path.suffix == ".csv":
            _record_csv(recording, path)
        elif path.parent.name == ".sweeps":
            recording.exact(name, json.loads(path.read_text()))
        elif path.suffix == ".log" and "wandb" not in path.parts:
            recording.text(name, path.read_text().replace(os.getcwd(), "<work>"))
    _record_tensors(recording, Path("mlp.safetensors"))
    _record_csv(recording, Path("scores.csv"))
    for path in _files(Path("inverted")) + _files(Path("inverted100")):
        _record_csv(recording, path)


def _record_result(recording: Recording, path: Path) -> None:
    result = json.loads(path.read_text())
    recording.exact(f"{path}: keys", list(result))
    result["timing_s"] = list(result["timing_s"])
    result["identity"]["versions"] = list(result["identity"]["versions"])
    content = json.dumps(result, sort_keys=True)
    recording.scores(f"{path}: scores", result.pop("scores"))
    result.pop("heads_sha256", None)  # of weights, whose last bits are a machine's own
    for part in ("identity", "settings"):  # their floats are exact
        recording.exact(f"{path}: {part}", result.pop(part))
    recording.plain(str(path), result)
    recording.bits(str(path), content.encode())


def _record_tensors(recording: Recording, path: Path) -> None:
    """Note a safetensors file: its metadata, and each tensor."""
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        about = json.loads((file.metadata() or {}).get("tractprobe", "null"))
        if about is not None:
            recording.exact(f"{path}: keys", list(about))
            if rows := about.pop("scores", None):
                recording.scores(f"{path}: scores", rows)
            kept = {key: value for key, value in about.items() if key not in ("sha256", "versions")}
            recording.plain(f"{path}: about", kept)
        for name in sorted(file.keys()):
            recording.tensor(f"{path}: {name}", file.get_tensor(name))


def _record_checkpoint(recording: Recording, path: Path) -> None:
    import torch

    checkpoint = torch.load(path, weights_only=True)
    recording.exact(str(path), {
        "keys": sorted(key for key in checkpoint if key != "pytorch-lightning_version"),
        "callbacks": sorted(checkpoint["callbacks"]),
        "history": len(checkpoint["history"]),
        "epoch": checkpoint["epoch"],
        "global_step": checkpoint["global_step"],
    })  # fmt: skip
    for name, values in checkpoint["state_dict"].items():
        recording.tensor(f"{path}: {name}", values.numpy())


def _record_csv(recording: Recording, path: Path) -> None:
    """Note a table by its header, its texts and the means of its numbers."""
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    recording.exact(str(path), {"header": ",".join(header), "rows": len(rows)})
    recording.bits(str(path), path.read_bytes())
    for index, name in enumerate(header):
        column = [row[index] for row in rows if row[index]]
        try:
            values = [float(value) for value in column]
        except ValueError:
            recording.exact(f"{path}: {name}", sorted(set(column)))
        else:
            some = (sum(values) / max(len(values), 1), *values[:1], *values[-1:])
            recording.number(f"{path}: {name}: mean, first, last", [_short(one) for one in some])


def record_wandb(recording: Recording) -> None:
    """Note what W&B is told: runs by their ids, with the keys of settings, metrics and artifacts."""
    for file in sorted(Path("runs").rglob("wandb/offline-run-*/*.wandb"), key=lambda path: path.name):
        folder = file.parents[2]
        about = _wandb_run(file)
        assert file.parent.name.endswith(f"-{about['id']}") and file.name == f"run-{about['id']}.wandb"
        recording.exact(f"{folder}: W&B", about)


def _wandb_run(file: Path) -> dict[str, Any]:
    from wandb.proto.wandb_internal_pb2 import Record

    about: dict[str, Any] = {}
    keys: dict[str, set[str]] = {"config": set(), "history": set(), "summary": set()}
    for content in _leveldb(file.read_bytes()):
        record = Record.FromString(content)
        match record.WhichOneof("record_type"):
            case "run":
                run = record.run
                about |= {"id": run.run_id, "name": run.display_name, "group": run.run_group, "job": run.job_type}
                about["project"] = run.project
                keys["config"] |= set(_keys(run.config.update))
            case "history":
                keys["history"] |= set(_keys(record.history.item))
            case "summary":
                keys["summary"] |= set(_keys(record.summary.update))
            case "metric":
                name = record.metric.name or record.metric.glob_name
                about[f"metric {name}"] = record.metric.step_metric
            case "artifact":
                artifact = record.artifact
                about[f"artifact {artifact.type}"] = [artifact.name, sorted(json.loads(artifact.metadata or "{}"))]
            case "exit":
                about["exit"] = record.exit.exit_code
    return about | {part: " ".join(sorted(found)) for part, found in keys.items()}


def _keys(items: Iterable[Any]) -> Iterator[str]:
    """Yield what was logged or set, without W&B's own and without the fields of tables and pictures."""
    for item in items:
        key = item.key or item.nested_key[0]
        if not key.startswith("_"):
            yield re.sub(r"\.(_type|path|sha256|size|width|height|format|ncols|nrows|caption|artifact_path"
                         r"|_latest_artifact_path|log_mode)$", "", key)  # fmt: skip


def _leveldb(content: bytes) -> Iterator[bytes]:
    """Yield the records of a .wandb file, which is LevelDB's log behind a header of seven bytes."""
    block, place, parts = 32768, 7, []
    while place + 7 <= len(content):
        left = block - place % block
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        parts.append(content[place + 7 : place + 7 + length])
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield b"".join(parts)
            parts = []


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def settle(root: Path) -> None:
    """Fix what results depend on beside the code, and take the package from a checkout."""
    for name in [name for name in os.environ if name.startswith(("TRACTPROBE_", "WANDB_", "HYDRA_"))]:
        del os.environ[name]
    for name, value in FIXED.items():
        os.environ[name] = os.environ.get(f"GOLDEN_{name}", value)  # to find out what depends on it
    sys.path.insert(0, str(root / "src"))
    import transformers

    import tractprobe

    assert Path(tractprobe.__file__).is_relative_to(root), f"{tractprobe.__file__} is not below {root}"
    transformers.__version__ = TRANSFORMERS


def record(root: Path, work: Path) -> dict[str, dict[str, Any]]:
    """Run everything in an empty folder, and return what it left."""
    recording = Recording()
    copy_corpora(Path(__file__).parents[1] / "speech", work / "raw")
    os.chdir(work)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run_all(Commands(root, recording.text))
    for part in (record_corpora, record_cache, record_runs, record_wandb):
        part(recording)
    return recording.parts


def written(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a recording as JSON, with lists of plain values on one line each."""

    def lines(value: Any, indent: str) -> str:
        more, flat = f"{indent} ", json.dumps(value, ensure_ascii=False)
        if isinstance(value, Mapping) and value:
            inner = [f"{more}{json.dumps(key, ensure_ascii=False)}: {lines(one, more)}" for key, one in value.items()]
            return "{\n" + ",\n".join(inner) + f"\n{indent}}}"
        if isinstance(value, list) and len(flat) > 150:
            return "[\n" + ",\n".join(f"{more}{lines(one, more)}" for one in value) + f"\n{indent}]"
        return flat

    return lines(parts, "") + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="a checkout")
    parser.add_argument("work", type=Path, help="an empty folder to work in")
    parser.add_argument("output", type=Path, help="JSON file to write")
    parser.add_argument("--portable", action="store_true", help="without what holds on one machine only")
    parsed = parser.parse_args()
    root, work, output = parsed.root.resolve(), parsed.work.resolve(), parsed.output.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if any(work.iterdir()):
        parser.error(f"{work} is not empty")
    settle(root)
    parts = record(root, work)
    if parsed.portable:
        parts = {name: part for name, part in parts.items() if name != "bits"}
    output.write_text(written(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
