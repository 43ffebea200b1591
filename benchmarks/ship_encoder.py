"""python benchmarks/ship_encoder.py runs/mine/encoder --real data/mocha data/hprc: makes the encoder that ships.

From the folder of an encoder that ``tractprobe pretrain`` has written to ``src/tractprobe/builtin_encoder``, and from
what is measured of it to conf/model/builtin.yaml and random_builtin.yaml:

1. The weights as float16, whose states are compared with those of the float32 weights, layer by layer.
2. Scores on the built-in corpus, beside the untrained twin and log-mel: held-out languages, held-out speakers.
3. The head of ``tractprobe invert``: of several kinds the one that reads three speakers best who are kept aside for
   this choice; then fitted again on the sentences of all speakers but a fifth (held_out=fold0), at the layer that
   validation chooses, and exported.
4. r of that head on recordings of people, the prepared corpora that ``--real`` names.
5. README.md, the model card, from pretraining.json and scores.json; and the size of it all.

The same command continues where it was stopped: what was measured is kept in ``--work`` under the weights' hash.
Without ``--real`` the card and the pages say that people were not measured.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from model_card import card, option

from tractprobe.commands import run
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.encoders.builtin import FILES, WEIGHTS, builtin_folder
from tractprobe.encoders.pretrained import pretrained
from tractprobe.encoders.raised import Raised
from tractprobe.inversion.builtin import HEAD, SCORES, Measured, Scores
from tractprobe.inversion.export import export
from tractprobe.inversion.head_file import read_head
from tractprobe.inversion.inverter import load_head
from tractprobe.inversion.reference import compared
from tractprobe.probes.opening import open_corpora
from tractprobe.runs.configuration import conf_dir
from tractprobe.runs.estimate import Estimate, mean_over_speakers
from tractprobe.runs.result import RESULT, RunResult, chosen_layer, read_result, speaker_means

OWN, TWIN = "builtin", "random_builtin"
TOLERANCE = 0.005
"""Largest difference between states under float16 and under float32 weights, as a share of their deviation."""
MOST_BYTES = 16_000_000

Values = dict[tuple[str, str], float]
"""(language, speaker) to r."""


def main(given: Sequence[str] | None = None) -> None:
    asked = arguments(given)
    folder = builtin_folder()
    raised = Raised.read(asked.encoder)
    if raised is None or not (raised.is_trained or asked.trial):
        sys.exit(f"{asked.encoder}: expected a trained encoder of `tractprobe pretrain`; --trial takes any")
    write_half(asked.encoder, folder)
    write_options(folder)
    encoder = pretrained(str(folder), OWN, local_files_only=True)
    sha256 = str(encoder.identity["weights_sha256"])
    work = Work(asked, asked.work / sha256[:12])
    check_states(asked.encoder, folder, work.corpus)
    transfer = work.transfer()
    best, candidates = work.best_head()
    head = work.fitted_head(best, folder)
    scores = Scores(
        sha256, str(head.about["sha256"]), best, str(head.layer), (asked.corpus,),
        (asked.corpus,) if work.corpus.simulated else (), candidates, transfer,
    )  # fmt: skip
    real, recordings = on_people(asked.real)
    replace(scores, real=real, real_recordings=recordings).write(folder)
    (folder / "README.md").write_text(card(folder), encoding="utf-8")
    print((folder / "README.md").read_text(encoding="utf-8"))
    check_size(folder)


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("encoder", type=Path, help="folder of the encoder, as tractprobe pretrain writes it")
    add("--real", nargs="*", type=Path, default=[], metavar="CORPUS", help="folders of prepared corpora of people")
    add("--heads", default="ridge,mlp", help="kinds of heads to choose from (ridge,mlp)")
    add("--work", type=Path, default=Path("runs/ship"), help="where runs and states are kept (runs/ship)")
    add("--data", type=Path, default=Path("data"), help="where prepared corpora are (data)")
    add("--trial", action="store_true", help="take an encoder that was never trained, too")
    add("--corpus", default="virtual", help="what heads learn from (virtual)")
    add("--aside", default="m3,f2,c2", help="speakers by whom kinds of heads are compared (a man, a woman, a child)")
    add("--control", default="mel", help="acoustics to compare with (mel)")
    return parser.parse_args(given)


def write_half(source: Path, folder: Path) -> None:
    """Write the weights as float16, and the files beside them; nothing is touched that is the same already."""
    from safetensors.torch import load_file, save_file

    folder.mkdir(exist_ok=True)
    config = json.loads((source / "config.json").read_text(encoding="utf-8")) | {"dtype": "float16"}
    texts = {name: (source / name).read_text(encoding="utf-8") for name in FILES}
    texts["config.json"] = json.dumps(config, indent=2, sort_keys=True) + "\n"
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    half = {name: value.to(torch.float16).contiguous() for name, value in load_file(source / WEIGHTS).items()}
    if beyond := [name for name, value in half.items() if not torch.isfinite(value).all()]:
        sys.exit(f"{beyond[0]} is beyond float16")
    if not (folder / WEIGHTS).is_file() or not same(load_file(folder / WEIGHTS), half):
        for name in (HEAD, SCORES, "README.md"):  # of other weights
            (folder / name).unlink(missing_ok=True)
        save_file(half, folder / WEIGHTS, metadata={"format": "pt"})
        (folder / WEIGHTS).chmod(0o644)


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def write_options(folder: Path) -> None:
    """Write conf/model/builtin.yaml and random_builtin.yaml."""
    for name in (OWN, TWIN):
        (conf_dir() / f"model/{name}.yaml").write_text(option(name, folder), encoding="utf-8")


def check_states(source: Path, folder: Path, corpus: PreparedCorpus) -> None:
    """Exit unless each layer's states under float16 weights are those under float32 weights, to within TOLERANCE."""
    entries = corpus.entries[:: max(1, len(corpus.entries) // 6)]
    waves = [torch.from_numpy(corpus.audio(entry.id)) for entry in entries]
    halved, exact = (pretrained(str(place), "x", local_files_only=True)(waves) for place in (folder, source))
    for layer in range(len(exact[0])):
        own, other = (torch.cat([states[layer] for states in each]) for each in (halved, exact))
        share = float((own - other).norm() / (other - other.mean(dim=0)).norm())
        print(f"layer {layer}: states under float16 weights differ by {share:.1e} of their deviation")
        if share > TOLERANCE:
            sys.exit(f"more than {TOLERANCE}: ship float32, or find out why")


class Work:
    """The folder in which an encoder is measured: its prepared corpus, states and runs."""

    def __init__(self, asked: argparse.Namespace, folder: Path):
        self.asked, self.folder = asked, folder
        self.corpus = open_corpora([asked.corpus], asked.data)[0]

    def train(self, *overrides: str) -> None:
        """Do some runs; those that are finished are skipped."""
        places = [f"paths.{name}={self.folder / name}" for name in ("runs", "cache")]
        places.append(f"paths.data={self.asked.data}")
        run("train", ["-m", f"corpora=[{self.asked.corpus}]", "tracking=off", *places, *overrides])

    def results(self, split: str, **wanted: str) -> list[tuple[Path, RunResult]]:
        """Return the finished runs of a split, with what their identity has to say."""
        each = [(path.parent, read_result(path.parent)) for path in sorted((self.folder / "runs").rglob(RESULT))]
        asked = {"split": split, **wanted}
        return [one for one in each if all(one[1]["identity"][name] == value for name, value in asked.items())]

    def transfer(self) -> tuple[Measured, ...]:
        """Measure the encoder, its twin and acoustics on languages and on speakers that no head has heard."""
        models = (OWN, TWIN, self.asked.control)
        self.train("study=held_out", f"model={','.join(models)}", "split=language,speaker")
        found = []
        for split in ("language", "speaker"):
            values = {model: self._by_held_out(split, model) for model in models}
            found += [measured(f"{model}: held-out {split}", averaged(values[model])) for model in models]
            above = {key: r - values[self.asked.control][key] for key, r in values[OWN].items()}
            what = f"{OWN} above {self.asked.control}: held-out {split}"
            found.append(measured(what, averaged(above, fisher=False)))
        return tuple(found)

    def _by_held_out(self, split: str, model: str) -> Values:
        values: Values = {}
        for _, result in self.results(split, model=model, head="ridge"):
            if "+" not in str(result["identity"]["held_out"]):
                values |= by_speaker(result)
        return values

    def best_head(self) -> tuple[str, dict[str, float]]:
        """Return the kind of head that reads the speakers kept aside best, and r of each kind."""
        kinds = self.asked.heads.split(",")
        if len(kinds) == 1:
            return kinds[0], {}
        aside = "+".join(sorted(self.asked.aside.split(",")))
        self.train(f"model={OWN}", f"head={self.asked.heads}", "split=speaker", f"held_out=[{self.asked.aside}]")
        candidates = {}
        for kind in kinds:
            ((_, result),) = self.results("speaker", model=OWN, head=kind, held_out=aside)
            candidates[kind] = round(averaged(by_speaker(result)).mean, 4)
        return max(candidates, key=candidates.__getitem__), candidates

    def fitted_head(self, kind: str, folder: Path) -> Any:
        """Fit the chosen kind of head, export it into a folder, and return it as it is read there."""
        self.train(f"model={OWN}", f"head={kind}", "split=sentence", "held_out=fold0")
        ((path, _),) = self.results("sentence", model=OWN, head=kind)
        made = self.folder / f"{kind}.safetensors"
        made.unlink(missing_ok=True)
        export(path, output=made)
        shutil.copyfile(made, folder / HEAD)
        return read_head(folder / HEAD)


def by_speaker(result: RunResult) -> Values:
    """Return r of each language and speaker, at the layer that validation chose."""
    layer = chosen_layer(result)
    return dict(speaker_means([row for row in result["scores"] if row["layer"] == layer]))


def averaged(values: Values, *, fisher: bool = True) -> Estimate:
    return mean_over_speakers(values, fisher=fisher)


def measured(of: str, estimate: Estimate) -> Measured:
    low, high = (None if end is None else round(end, 4) for end in (estimate.low, estimate.high))
    return Measured(of, round(estimate.mean, 4), low, high, estimate.n)


def on_people(folders: Sequence[Path]) -> tuple[Measured | None, str]:
    """Return r of the package's head on recordings of people, the mean over channels and then over speakers."""
    values: Values = {}
    count, seconds = 0, 0.0
    for corpus in map(PreparedCorpus, folders):
        if corpus.simulated:
            sys.exit(f"{corpus.folder}: made by a simulation, not by people")
        for speaker, of in compared(load_head(), corpus, corpus.entries).items():
            r = float(np.nanmean(of.lagged[len(of.lagged) // 2]))
            print(f"{corpus.name}/{speaker}: r = {r:.3f}, {of.seconds:.0f} s")
            values["people", f"{corpus.name}/{speaker}"] = r
            seconds += of.seconds
        count += len(corpus.entries)
    if not values:
        return None, ""
    estimate = averaged(values)
    names = ", ".join(PreparedCorpus(place).name for place in folders)
    said = f"{estimate.n} speakers, {count} recordings, {seconds:.0f} s, of {names}"
    return measured("the head on recordings of people", estimate), said


def check_size(folder: Path) -> None:
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    print("\n".join(f"{name}: {size} bytes" for name, size in sizes.items()))
    if (total := sum(sizes.values())) > MOST_BYTES:
        sys.exit(f"{folder}: {total} bytes, of which at most {MOST_BYTES} may ship")
    print(f"{folder}: {total / 1e6:.2f} MB of at most {MOST_BYTES / 1e6:.0f}")


if __name__ == "__main__":
    main()
