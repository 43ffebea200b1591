"""python benchmarks/streaming.py [sizes ...]: time and memory of preparing and streaming, as a corpus grows.

The built-in corpus is copied 1, 4 and 16 times under other names, prepared by 1 and 2 processes, and one epoch of
training batches is drawn from each; every step in a process of its own, whose peak of resident memory is reported.
"""

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def copies(builtin: Path, root: Path, count: int, same_speakers: bool = False) -> None:
    """Copy a corpus folder so many times, with names and texts of their own, and speakers unless they are the same."""
    for source in sorted(builtin.rglob("*.json")):
        fields = json.loads(source.read_text(encoding="utf-8"))
        for number in range(count):
            name = f"{source.stem}_{number:03}"
            speaker = fields["speaker"] if same_speakers else f"{fields['speaker']}n{number}"
            more = {"id": name, "text": f"{fields['text']} {number}", "speaker": speaker}
            for suffix in (".flac", ".ema.npy"):
                shutil.copyfile(source.with_suffix(suffix), root / f"{name}{suffix}")
            (root / f"{name}.json").write_text(json.dumps(fields | more), encoding="utf-8")


def prepare(root: Path, workers: int) -> dict[str, float]:
    """Prepare a corpus folder; return hours per minute of wall time."""
    from tractprobe.corpora.prepared.prepare import prepare
    from tractprobe.corpora.readers.folder import Folder

    began = time.perf_counter()
    corpus = prepare(Folder("grown", root), root.parent / f"data{workers}", workers)
    minutes = (time.perf_counter() - began) / 60
    return {"hours": corpus.description["hours"], "hours_per_minute": corpus.description["hours"] / minutes}


def stream(root: Path, num_workers: int) -> dict[str, float]:
    """Draw an epoch of training batches; return hours of speech per minute of wall time."""
    from tractprobe.corpora.prepared.corpus import PreparedCorpus
    from tractprobe.data.batching import padding
    from tractprobe.data.datamodule import EmaData
    from tractprobe.data.splits import SplitRule
    from tractprobe.encoders.mel import LogMel

    corpus, encoder = PreparedCorpus(root.parent / "data1/grown"), LogMel()
    split = SplitRule("language")(corpus.entries, "it", 0)
    data = EmaData(
        [corpus], split, encoder.geometry, encoder.count_frames, layers=[0], temperature=2.0, num_workers=num_workers
    )
    began = time.perf_counter()
    loader = data.train_dataloader()
    seconds = sum(data.entries[id_].duration_s for batch in loader for id_ in batch.ids)
    minutes = (time.perf_counter() - began) / 60
    batches = loader.batch_sampler.batches()
    return {
        "hours": seconds / 3600,
        "hours_per_minute": seconds / 3600 / minutes,
        "padding": padding(batches, [data.entries[id_] for id_ in split.train]),
    }


STEPS = {"prepare": prepare, "stream": stream}


def measured(step: str, root: Path, workers: int) -> dict[str, float]:
    """Run a step in a process of its own."""
    command = [sys.executable, __file__, "--step", step, str(root), str(workers)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    if sys.argv[1:2] == ["--step"]:
        step, root, workers = sys.argv[2:5]
        result = STEPS[step](Path(root), int(workers))
        peaks = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        print(json.dumps(result | {"peak_mib": peaks[0], "peak_of_a_worker_mib": peaks[1]}))
        return
    from tractprobe.runs.hydra import builtin_corpus

    print(f"{'copies':>6} {'step':<8} {'workers':>7} {'hours':>6} {'h/min':>6} {'MiB':>6} {'MiB of a worker':>16}")
    for size in map(int, sys.argv[1:] or ("1", "4", "16")):
        with tempfile.TemporaryDirectory() as place:
            root = Path(place, "raw")
            root.mkdir()
            copies(Path(builtin_corpus("virtual")), root, size)
            for step, workers in (("prepare", 1), ("prepare", 2), ("stream", 0), ("stream", 2)):
                row = measured(step, root, workers)
                numbers = f"{row['hours']:6.2f} {row['hours_per_minute']:6.2f} {row['peak_mib']:6.0f}"
                note = f"  padding {row['padding']:.1%}" if "padding" in row else ""
                print(
                    f"{size:>6} {step:<8} {workers:>7} {numbers} {row['peak_of_a_worker_mib']:>16.0f}{note}", flush=True
                )


if __name__ == "__main__":
    main()
