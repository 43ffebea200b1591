"""How held_out=all grows with speakers: python benchmarks/speakers.py [speakers ...]

For each number of speakers (25, 50, 100, 200 unless given): a corpus of two utterances of 1.2 s of each, in which
everyone says sentences of their own, the linear table of log-mel with every speaker held out in turn, and the seconds
of the processor that it took, which a busy machine changes little. Prepared corpora are kept below TMPDIR.
"""

import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))


def prepared(root: Path, speakers: int) -> Path:
    """Return the folder of a prepared corpus of so many speakers."""
    from conftest import write_utterance

    from tractprobe.corpora.prepared.prepare import prepare
    from tractprobe.corpora.readers.folder import Folder

    if not (raw := root / "raw").is_dir():
        for number in range(2 * speakers):
            who, text = f"s{number // 2:03}", f"sentence {number}"
            write_utterance(raw, f"{who}-{number % 2}", speaker=who, language="en", text=text, seed=number)
    prepare(Folder("many", raw), root / "data", workers=2)
    return root / "data"


def table(data: Path, runs: Path) -> float:
    """Return the processor's seconds for the table."""
    from hydra import compose, initialize_config_dir

    from tractprobe.jobs import train
    from tractprobe.runs.configuration import conf_dir
    from tractprobe.runs.hydra import register_resolvers

    register_resolvers()
    paths = [f"paths.data={data}", f"paths.runs={runs / 'runs'}", f"paths.cache={runs / 'cache'}", "tracking=off"]
    line = ["corpora=[many]", "split=speaker", "held_out=all", "model=mel_frame", *paths]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("train", line)
    began = time.process_time()
    train(config)
    return time.process_time() - began


def main() -> None:
    folder = Path(tempfile.gettempdir(), "tractprobe-speakers")
    for speakers in map(int, sys.argv[1:] or (25, 50, 100, 200)):
        data = prepared(folder / str(speakers), speakers)
        with tempfile.TemporaryDirectory() as runs:
            seconds = table(data, Path(runs))
        print(f"{speakers:4} speakers: {seconds:7.1f} s, {seconds / speakers:.3f} s for each", flush=True)


if __name__ == "__main__":
    main()
