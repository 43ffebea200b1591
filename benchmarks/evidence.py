"""What analyses cost: python benchmarks/evidence.py [--speakers 4 50 200] [--analyses curves controls] [--model MODEL]

growth    for each number of speakers, half of them of each of two languages: a corpus of four utterances of 1.2 s of
          each, and the seconds of the processor that each analysis of one window of log-mel takes, for each speaker and
          in units of what the smallest corpus takes for each: at most 1 if cost grows no faster than speakers
linear    on the built-in corpus: seconds of the processor for one pass of MODEL (an option of conf/model, by default
          Whisper tiny's architecture with random weights), for an analysis whose encoders' states are cached, and the
          second in units of the first

Seconds of the processor, which a busy machine changes little. Analyses leave out what has nothing to do with a bench:
the voice, whose pitch takes longer than all else, and nonlinear heads. States and corpora are kept below TMPDIR.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

ONLY = {"curves": ["analysis.nonlinear=false"], "controls": ["analysis.voice=[]"]}
SMALL = {"controls": ["analysis.acoustics=[mel_frame]"], "curves": ["analysis.minutes=[0.05]"]}


def prepared(root: Path, speakers: int) -> Path:
    """Return the folder of a prepared corpus of so many speakers, each of whom says sentences of their own."""
    from conftest import write_utterance

    from tractprobe.corpora.prepared.prepare import prepare
    from tractprobe.corpora.readers.folder import Folder

    if not (raw := root / "raw").is_dir():
        for number in range(4 * speakers):
            who, language = f"s{number // 4:03}", ("en", "it")[number // 4 % 2]
            text = f"sentence {number}"
            write_utterance(raw, f"{who}-{number % 4}", speaker=who, language=language, text=text, seed=number)
    prepare(Folder("many", raw), root / "data", workers=2)
    return root / "data"


def analysed(analysis: str, folder: Path, *overrides: str) -> float:
    """Return the processor's seconds for an analysis."""
    from hydra import compose, initialize_config_dir

    from tractprobe.jobs import train
    from tractprobe.runs.configuration import conf_dir
    from tractprobe.runs.hydra import register_resolvers

    register_resolvers()
    paths = [f"paths.runs={folder / 'runs'}", f"paths.cache={folder / 'cache'}", "tracking=off"]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("train", [f"analysis={analysis}", *ONLY.get(analysis, ()), *paths, *overrides])
    began = time.process_time()
    train(config)
    return time.process_time() - began


def growth(folder: Path, analyses: Sequence[str], speakers: Sequence[int]) -> None:
    """Print seconds for each speaker of corpora of several sizes."""
    each: dict[str, float] = {}
    for count in speakers:
        data = prepared(folder / str(count), count)
        for analysis in analyses:
            line = ["corpora=[many]", f"paths.data={data}", "model=mel_frame", *SMALL.get(analysis, ())]
            with tempfile.TemporaryDirectory() as place:
                seconds = analysed(analysis, Path(place), *line)
            first = each.setdefault(analysis, seconds / count)
            ratio = seconds / count / first
            print(f"{analysis:9} {count:4} speakers: {seconds:7.1f} s, {seconds / count:.3f} s for each, {ratio:.2f} x",
                  flush=True)  # fmt: skip


def linear(folder: Path, analyses: Sequence[str], model: str) -> None:
    """Print what analyses take besides encoding, against one pass of the encoder; states are kept for the next time."""
    place, line = folder / "linear", [f"model={model}", f"paths.data={folder / 'data'}"]
    passed = encoded(line)
    for analysis in analyses:
        for name in ("runs", "cache/sums"):
            shutil.rmtree(place / name, ignore_errors=True)
        analysed(analysis, place, *line)  # which encodes what it compares with
        for name in ("runs", "cache/sums"):
            shutil.rmtree(place / name)
        seconds = analysed(analysis, place, *line)
        ratio = f"{seconds / passed:.2f} x one pass ({passed:.1f} s)"
        print(f"{analysis:9} of {model}: {seconds:7.1f} s besides encoding, {ratio}", flush=True)


def encoded(line: Sequence[str]) -> float:
    """Return the processor's seconds for one pass of the encoder over the corpus."""
    from hydra import compose, initialize_config_dir

    from tractprobe.evidence.bench import Bench
    from tractprobe.runs.configuration import conf_dir, plain
    from tractprobe.runs.hydra import register_resolvers
    from tractprobe.runs.settings import Settings

    register_resolvers()
    with tempfile.TemporaryDirectory() as place:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            config = compose("train", [*line, f"paths.cache={place}/cache", f"paths.runs={place}/runs"])
        bench = Bench(Settings.of(plain(config)))
        began = time.process_time()
        bench.encode()
        return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speakers", type=int, nargs="*", default=[4, 50, 200])
    parser.add_argument("--analyses", nargs="+", default=["curves", "controls"])
    parser.add_argument("--model", default="random_whisper_tiny", help="an option of conf/model; none: growth alone")
    asked = parser.parse_args()
    folder = Path(tempfile.gettempdir(), "tractprobe-evidence")
    growth(folder, asked.analyses, asked.speakers)
    if asked.model != "none":
        linear(folder, asked.analyses, asked.model)


if __name__ == "__main__":
    main()
