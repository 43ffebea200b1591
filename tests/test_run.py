"""The main job end to end: cells, sweeps, kills, evaluation, on the small world whose truth is known."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import DEMO, REPOSITORY, real, write_corpus, write_utterance
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from signalled import as_signalled
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from waiting import wait_until
from warm import Warm

from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.emu import Emu
from tractprobe.corpora.readers.folder import Folder
from tractprobe.corpora.readers.hprc import Hprc
from tractprobe.evaluation import evaluate
from tractprobe.evidence.tables.figures import write_pictures
from tractprobe.evidence.tables.rows import collect
from tractprobe.evidence.tables.table import layer_tables
from tractprobe.jobs import train
from tractprobe.probes.gradient.fit import data_of
from tractprobe.probes.gradient.inversion import Inversion
from tractprobe.probes.problem import Problem
from tractprobe.probes.states import HiddenStates
from tractprobe.runs.configuration import plain
from tractprobe.runs.identity import RunId
from tractprobe.runs.result import MOMENTS, SCORE_FIELDS, read_result
from tractprobe.runs.settings import Settings
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import ConfigError, CorpusError, RunError

Configure = Callable[..., Any]
SMALL = ["model=random", "model.layers=2", "model.width=48", "model.channels=16"]
NARROW = "model.context=1"  # a ridge over all of log-mel's 11 frames takes seconds
NONLINEAR = ["head=mlp", "head.hidden=16", "trainer.max_epochs=3", "data.batch_size=4"]


TRAIN = str(REPOSITORY / "train.py")


def name_of(settings: dict[str, Any]) -> str:
    return RunId.of(settings).name


def mean_r(result: dict[str, Any]) -> float:
    return float(np.mean([row["r"] for row in result["scores"]]))


def test_a_linear_world_is_recovered_in_a_language_never_seen(configure: Configure):
    result = train(configure("held_out=it", NARROW))
    assert mean_r(result) > 0.99
    assert all(row["r"] > 0.97 and row["ccc"] > 0.95 and row["rmse"] < 3 for row in result["scores"])


def test_movements_of_other_sentences_are_not_recovered(
    data: Path, raw_corpus: Path, tmp_path: Path, configure: Configure
):
    """The chance level: the same audio, each with the movements of another utterance."""
    shutil.copytree(raw_corpus, tmp_path / "shuffled")
    tracks = sorted((tmp_path / "shuffled").glob("*.npy"))
    values = [np.load(path) for path in tracks]
    for path, other in zip(tracks, np.random.default_rng(0).permutation(len(tracks)), strict=True):
        np.save(path, values[other])
    prepare(Folder("shuffled", tmp_path / "shuffled"), tmp_path / "data")
    result = train(configure("corpora=[shuffled]", f"paths.data={tmp_path / 'data'}", "held_out=it", NARROW))
    assert abs(mean_r(result)) < 0.1


@pytest.mark.parametrize("head", [[], NONLINEAR])
def test_result_holds_identity_timing_and_a_row_per_layer_speaker_and_channel(configure: Configure, data: Path, head):
    result = train(configure("held_out=it", *SMALL, *head))
    folder = Path(result["settings"]["paths"]["runs"], "random/all", head[0][5:] if head else "ridge", "it")
    (written,) = folder.glob("s0-*/result.json")
    assert json.loads(written.read_text()) == result
    identity = result["identity"]
    assert {name: identity[name] for name in ("model", "layer", "held_out", "split", "seed")} == {
        "model": "random", "layer": "all", "held_out": "it", "split": "language", "seed": 0
    }  # fmt: skip
    description = json.loads((data / "toy/corpus.json").read_text())
    assert identity["corpora"] == {"toy": description["content_hash"]}
    assert set(identity["versions"]) == {"torch", "transformers", "tractprobe"}
    assert set(result["timing_s"]) >= {"prepare", "encode", "fit", "score"}
    keys = {(row["layer"], row["speaker"], row["channel"]) for row in result["scores"]}
    assert len(result["scores"]) == len(keys) == 3 * 3 * 12
    for row in result["scores"]:
        assert set(row) == {*SCORE_FIELDS, *MOMENTS}
        assert (row["corpus"], row["language"]) == ("toy", "it") and row["n_frames"] == 4 * 59


SEQUENCES = {
    "conv": ["head.hidden=16", "head.dilations=[1,2]", "objective=pearson"],
    "gru": ["head.hidden=8", "objective=both"],
    "transformer": ["head.hidden=16", "head.window=10", "head.bottleneck=8"],
}


@pytest.mark.parametrize("head", SEQUENCES)
def test_heads_that_see_neighbours_learn_and_are_scored_alike_again(configure: Configure, head: str):
    settings = [f"head={head}", "trainer.max_epochs=6", "data.batch_size=4", "optimizer.lr=0.01"]
    result = train(configure("held_out=it", NARROW, *settings, *SEQUENCES[head]))
    assert mean_r(result) > 0.5
    (path,) = Path(result["settings"]["paths"]["runs"], "mel/all", head, "it").glob("s0-*/result.json")
    rows = evaluate(configure(f"run={path.parent}", "data.batch_size=3", name="evaluate"))
    for row, before in zip(rows, result["scores"], strict=True):
        assert row["r"] == pytest.approx(before["r"], abs=1e-5)


def test_languages_can_be_drawn_alike(configure: Configure):
    result = train(configure("held_out=it", *SMALL, *NONLINEAR, "data.temperature=equal"))
    assert result["settings"]["data"]["temperature"] == "equal" and np.isfinite(mean_r(result))


def test_one_layer_alone_gives_what_it_gives_among_all(configure: Configure):
    everything = train(configure("held_out=it", *SMALL))
    alone = train(configure("held_out=it", *SMALL, "layer=1"))
    expected = [row for row in everything["scores"] if row["layer"] == 1]
    for row, other in zip(alone["scores"], expected, strict=True):
        assert row["r"] == pytest.approx(other["r"], abs=1e-10) and row["channel"] == other["channel"]


@pytest.mark.parametrize(("schedule", "rates"), [
    ("constant", [0.01, 0.01, 0.01]), ("cosine", [0.01, 0.0075, 0.0025]), ("warmup", [0.001, 0.0028, 0.0046]),
])  # fmt: skip
def test_the_rate_follows_its_schedule(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, schedule: str, rates: list[float]
):
    seen: list[float] = []
    monkeypatch.setattr(
        Inversion, "on_train_epoch_start", lambda self: seen.append(self.trainer.optimizers[0].param_groups[0]["lr"])
    )
    train(configure("held_out=it", NARROW, *NONLINEAR, "optimizer.lr=0.01", f"schedule={schedule}"))
    assert seen == pytest.approx(rates)


def test_layers_side_by_side_are_one_input(configure: Configure, tmp_path: Path):
    result = train(configure("held_out=it", *SMALL, "layer=[2,0]"))
    assert {row["layer"] for row in result["scores"]} == {"0+2"}
    assert list((tmp_path / "runs/random/L0+2/ridge/it").glob("s0-*/result.json"))
    every = [train(configure("held_out=it", *SMALL, f"layer={layer}")) for layer in (0, 2)]
    best = max(np.mean([row["r"] for row in one["scores"]]) for one in every)
    assert np.mean([row["r"] for row in result["scores"]]) > best - 0.05
    train(configure("held_out=it", *SMALL, "layer=[0,2]", "head=mlp", "trainer=debug"))
    rows = collect(tmp_path / "runs")
    assert [table.layers for table in layer_tables(rows)] == [["0+2"], [0, 2, "0+2"]]
    write_pictures(layer_tables(rows), tmp_path)


def test_ridge_on_layers_side_by_side_is_that_of_scikit_learn(configure: Configure, tmp_path: Path):
    config = configure("held_out=it", *SMALL, "layer=[0,2]", "head.alphas=[100]")
    train(config)
    problem = Problem.of(Settings.of(plain(config)))
    states = HiddenStates.of(problem.encoder, problem.corpora, problem.inputs, problem.settings, torch.device("cpu"))
    data = data_of(problem, problem.split, states)
    scales = data.scales()
    batches = list(data.development_dataloader())
    used = [batch.valid.all(dim=2) for batch in batches]
    x = np.concatenate(
        [
            torch.cat([*states.at(batch)], dim=-1)[frames].double().numpy()
            for batch, frames in zip(batches, used, strict=True)
        ]
    )
    y = np.concatenate(
        [
            ((target[frames].numpy() - scales[data.entries[id_].speaker].mean) / scales[data.entries[id_].speaker].sd)
            for batch, some in zip(batches, used, strict=True)
            for id_, target, frames in zip(batch.ids, batch.target, some, strict=True)
        ]
    )
    head = load_file(tmp_path / "runs" / name_of(plain(config)) / "head.safetensors")
    expected = make_pipeline(StandardScaler(), Ridge(alpha=100)).fit(x, y).predict(x)
    assert x.shape[1] == 2 * 48
    np.testing.assert_allclose(x @ head["weight"][0].numpy() + head["bias"].numpy(), expected, atol=1e-8)


NO_LAYERS = dict.fromkeys(("3", "[0,3]"), "has no layer 3; expected one of its layers 0 to 2, or all")
NO_LAYERS |= dict.fromkeys(("-1", "last", "1.5", "[]"), "expected the number of a layer, all, or a list")
NO_LAYERS |= {"[1,1]": "name each layer once"}


@pytest.mark.parametrize("layer", NO_LAYERS)
def test_a_layer_that_is_not_there_is_named(configure: Configure, layer: str):
    with pytest.raises(ConfigError, match=NO_LAYERS[layer]):
        train(configure("held_out=it", *SMALL, f"layer={layer}"))


def heads(folder: Path) -> dict[str, torch.Tensor]:
    (path,) = folder.rglob("head.safetensors")
    return load_file(path)


@pytest.mark.parametrize("head", [[], NONLINEAR])
def test_nothing_of_the_held_out_language_reaches_the_heads(
    raw_corpus: Path, tmp_path: Path, configure: Configure, head: list[str]
):
    """Other audio and other movements in the held-out language leave the heads bit for bit as they were."""
    changed = shutil.copytree(raw_corpus, tmp_path / "changed")
    write_corpus(tmp_path / "other", languages=("xx",) * 2, seed=77)
    for path in changed.glob("*_it_*.npy"):
        np.save(path, np.load(path) * 3 + 50)
        audio = path.with_name(path.name.replace(".ema.npy", ".flac"))
        shutil.copyfile(tmp_path / "other" / audio.name.replace("_it_", "_xx_"), audio)
    found = []
    for name, root in (("one", raw_corpus), ("two", changed)):
        prepare(Folder("toy", root), tmp_path / name)
        paths = [f"paths.data={tmp_path / name}", f"paths.runs={tmp_path / name / 'runs'}"]
        train(configure("held_out=it", *SMALL, *head, *paths))
        found.append(heads(tmp_path / name))
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_finished_run_is_skipped_and_returns_what_it_has(configure: Configure, tmp_path: Path):
    first = train(configure("held_out=it", NARROW))
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*") if path.suffix != ".lock"}
    assert train(configure("held_out=it", NARROW)) == first
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_finished_run_on_other_data_is_not_taken_for_this_one(configure: Configure, raw_corpus: Path, tmp_path: Path):
    raw = shutil.copytree(raw_corpus, tmp_path / "raw")
    data = f"paths.data={tmp_path / 'data'}"
    prepare(Folder("toy", raw), tmp_path / "data")
    train(configure("held_out=it", NARROW, data))
    next(iter(raw.glob("*.json"))).unlink()
    prepare(Folder("toy", raw), tmp_path / "data")
    with pytest.raises(RunError, match="another version of corpus toy"):
        train(configure("held_out=it", NARROW, data))


def test_a_finished_run_with_other_settings_is_not_taken_for_this_one(configure: Configure, tmp_path: Path):
    train(configure("held_out=it", NARROW))
    (path,) = (tmp_path / "runs").rglob("result.json")
    edit(path, lambda result: result["settings"]["ema"].update(lowpass_hz=5.0))
    with pytest.raises(RunError, match=r"other settings: ema\.lowpass_hz: 5\.0 -> 10\.0"):
        train(configure("held_out=it", NARROW))


def test_a_finished_run_with_other_weights_in_the_same_folder_is_not_taken_for_this_one(
    configure: Configure, tmp_path: Path
):
    from test_encoders import BASE, save_model

    folder = save_model(tmp_path / "model", "Hubert", BASE)
    overrides = ["held_out=it", "model=hub", f"model.name={folder}"]
    train(configure(*overrides))
    train(configure(*overrides))  # finished already
    weights = load_file(folder / "model.safetensors")
    save_file({name: value + 0.01 for name, value in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(RunError, match="other files"):
        train(configure(*overrides))


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    result = json.loads(path.read_text())
    change(result)
    path.write_text(json.dumps(result))


WRITING = ("tractprobe.jobs", "", "write_result")


def test_two_processes_on_one_run_do_it_once(places: list[str], tmp_path: Path, warm: Warm):
    """The second asks while the first has the run's folder to itself."""
    line = [TRAIN, "model=mel", "held_out=it", NARROW, *places]
    first = warm.start(as_signalled(WRITING, 1, signal.SIGSTOP, line), tmp_path)
    wait_until(lambda: bool(list((tmp_path / "runs").rglob("*.lock"))), first)
    second = warm.start(line, tmp_path)
    wait_until(lambda: "waiting for" in second.printed(), second)
    assert not list((tmp_path / "runs").rglob("result.json"))
    while first.poll() is None:
        os.kill(first.pid, signal.SIGCONT)
        time.sleep(0.01)
    assert first.wait() == 0 and second.wait() == 0
    assert "finished already" not in first.printed() and "finished already" in second.printed()


WRONG: list[tuple[list[str], str]] = [
    (["corpora=toy"], r"corpora=\[toy\]"),
    (["corpora=[]"], "names of prepared corpora"),
    (["corpora=[toy,toy]"], "each once"),
    (["trainer.devices=2"], r"trainer\.devices=1"),
    (["trainer=ddp", "head=mlp", "held_out=all"], "held_out=all uses one device.*held_out=<value> trainer=ddp"),
    (["trainer=ddp", "head=mlp", "held_out=all", "together=true"], "together=true or without: give trainer=cpu"),
    (["head=mlp", "together=true", "held_out=it"], "give held_out=all .*or together=false"),
    (["trainer=ddp", "held_out=it"], "2: head=ridge is fitted by one process.*head=mlp held_out=<value> trainer=ddp"),
    (["trainer.devices=auto"], r"trainer\.devices=auto: expected 1 or more"),
    (["trainer=ddp", "trainer.num_nodes=0"], r"trainer\.num_nodes=0: expected 1 or more"),
    (["trainer=ddp", "trainer.strategy=fsdp"], r"trainer\.strategy=fsdp: several devices can only train by ddp"),
    (["features.storage=int8"], "float16 or float32"),
    (["data.temperature=.inf"], r"data\.temperature=\.inf: expected a number of 1 or more, or equal"),
    (["head=mlp", "head.hidden=0"], r"head\.hidden"),
    (["head=mlp", "patience=0"], "patience"),
    (["head=mlp", "trainer.max_epochs=0"], r"trainer\.max_epochs=0: expected 1 or more"),
    (["head=mlp", "schedule=cosine", "trainer.max_epochs=null"], r"trainer\.max_epochs=None: expected 1 or more"),
    (["head=mlp", "trainer.max_epochs=2", "+trainer.gradient_clip_val=1.0"], "depend on those of the others"),
    (["head=mlp", "patience=null"], "patience=None: expected a whole number of at least 1"),
    (["data.batch_size=1.5"], r"data\.batch_size=1\.5: expected a whole number of at least 1"),
    (["data.num_workers=true"], r"data\.num_workers=True: expected a whole number of at least 0"),
    (["checkpoint_s=-1"], "checkpoint_s=-1: expected a number above 0"),
    (["+trainer.fast_dev_run=true"], r"trainer\.fast_dev_run would score a part"),
    (["trainer.precision=16-true"], r"trainer\.precision=16-true: expected one of 32-true, bf16-mixed"),
    (["head=mlp", "+trainer.max_steps=3"], r"trainer\.max_steps: remove it; trainer\.max_epochs and patience"),
    (["head=mlp", "trainer.limit_train_batches=0"], r"limit_train_batches=0: nothing would be learned"),
]


@pytest.mark.parametrize(("overrides", "problem"), WRONG, ids=[" ".join(overrides) for overrides, _ in WRONG])
def test_a_setting_that_cannot_be_is_named(configure: Configure, overrides: list[str], problem: str):
    with pytest.raises(ConfigError, match=problem):
        train(configure("held_out=it", *overrides))


@pytest.mark.parametrize("head", [[], NONLINEAR])
def test_evaluation_gives_a_finished_runs_own_numbers(configure: Configure, head: list[str], tmp_path: Path):
    result = train(configure("held_out=it", *SMALL, *head))
    (folder,) = (path.parent for path in (tmp_path / "runs").rglob("result.json"))
    rows = evaluate(configure(f"run={folder}", name="evaluate"))
    assert_alike(rows, result["scores"], 0 if head else 1e-9)  # of closed forms a run scores sums, this frames
    shutil.rmtree(tmp_path / "cache")
    fresh = evaluate(configure(f"run={folder}", "features.cache=false", name="evaluate"))
    assert_alike(fresh, result["scores"], 1e-6)


def test_a_run_of_a_version_that_had_one_objective_and_rate_is_scored_again(configure: Configure, tmp_path: Path):
    result = train(configure("held_out=it", NARROW, *NONLINEAR))
    (path,) = (tmp_path / "runs").rglob("result.json")
    edit(path, lambda result: [result["settings"].pop(name) for name in ("objective", "schedule", "together")])
    assert_alike(evaluate(configure(f"run={path.parent}", name="evaluate")), result["scores"], 0)


def assert_alike(rows: list[dict[str, Any]], others: list[dict[str, Any]], tolerance: float) -> None:
    for row, other in zip(rows, others, strict=True):
        assert row == pytest.approx(other, abs=tolerance)


def test_evaluation_on_another_corpus_leaves_out_learned_sentences(configure: Configure, data: Path, tmp_path: Path):
    shutil.copytree(data / "toy", tmp_path / "data/toy")
    write_corpus(tmp_path / "new", languages=("fr", "en"), speakers=2, seed=5_000)
    prepare(Folder("new", tmp_path / "new"), tmp_path / "data")
    paths = f"paths.data={tmp_path / 'data'}"
    train(configure("held_out=it", NARROW, paths))
    (folder,) = (path.parent for path in (tmp_path / "runs").rglob("result.json"))
    rows = evaluate(configure(f"run={folder}", "corpora=[new]", paths, name="evaluate"))
    assert {(row["language"], row["speaker"]) for row in rows} == {("fr", "new/s0"), ("fr", "new/s1")}
    assert np.mean([row["r"] for row in rows]) > 0.98
    written = json.loads((folder / "evaluations/new.json").read_text())
    assert written["scores"] == rows


def test_evaluation_with_another_encoder_than_the_runs_is_refused(configure: Configure, tmp_path: Path):
    train(configure("held_out=it", *SMALL))
    (path,) = (tmp_path / "runs").rglob("result.json")
    edit(path, lambda result: result["settings"]["model"].update(seed=1))
    with pytest.raises(RunError, match="encoder"):
        evaluate(configure(f"run={path.parent}", name="evaluate"))


def relabelled(path: Path, **changes: Any) -> None:
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["tractprobe"])
    save_file(load_file(path), path, metadata={"tractprobe": json.dumps(about | changes)})


FOREIGN_HEADS: dict[str, Callable[[Path], Any]] = {
    "other layers": lambda path: relabelled(path, layers=[0, 2, 1]),
    "other channels": lambda path: relabelled(path, channels=list(reversed(CHANNELS))),
    "no label": lambda path: save_file(load_file(path), path),
    "cut": lambda path: os.truncate(path, 1000),
    "other shapes": lambda path: save_file({"weight": torch.zeros(1)}, path),
    "a pickle": lambda path: torch.save({}, path),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("case", FOREIGN_HEADS)
def test_heads_that_are_not_the_runs_own_are_refused(configure: Configure, tmp_path: Path, case: str):
    train(configure("held_out=it", *SMALL))
    (path,) = (tmp_path / "runs").rglob("head.safetensors")
    FOREIGN_HEADS[case](path)
    with pytest.raises(RunError, match=r"head\.safetensors"):
        evaluate(configure(f"run={path.parent}", name="evaluate"))


def test_settings_that_were_tampered_with_are_one_error(configure: Configure, tmp_path: Path):
    train(configure("held_out=it", NARROW))
    (path,) = (tmp_path / "runs").rglob("result.json")
    known = json.loads(path.read_text())["settings"]
    edit(path, lambda result: result["settings"].update(note="a key that there is no more"))
    assert evaluate(configure(f"run={path.parent}", name="evaluate"))
    for missing in ("model", "patience", "ema"):
        kept = {name: value for name, value in known.items() if name != missing}
        edit(path, lambda result, kept=kept: result.update(settings=kept))
        with pytest.raises(RunError, match=rf"result\.json: its settings are not those of a run .*{missing}"):
            evaluate(configure(f"run={path.parent}", name="evaluate"))
    odd = {"corpora": 5, "head": {"_target_": "pytorch_lightning.callbacks.EarlyStopping"}, "model": {}}
    for name, value in odd.items():
        edit(path, lambda result, changed=known | {name: value}: result.update(settings=changed))
        with pytest.raises(RunError, match=r"result\.json: its settings are not those of a run"):
            evaluate(configure(f"run={path.parent}", name="evaluate"))
    hostile = known | {"model": {"_target_": "os.system", "command": "false"}}
    edit(path, lambda result: result.update(settings=hostile))
    with pytest.raises(ConfigError, match=r"os\.system is not one of"):
        evaluate(configure(f"run={path.parent}", name="evaluate"))


def test_evaluation_of_nothing_says_so(configure: Configure, tmp_path: Path):
    with pytest.raises(RunError, match="holds no result"):
        evaluate(configure(f"run={tmp_path}", name="evaluate"))


def test_heads_name_their_channels_and_units(configure: Configure, tmp_path: Path):
    train(configure("held_out=it", *SMALL))
    (path,) = tmp_path.rglob("head.safetensors")
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["tractprobe"])
    assert about["channels"] == list(CHANNELS) and about["units"] == ["mm"] * 12 and about["layers"] == [0, 1, 2]


def test_speakers_whose_names_join_alike_have_runs_of_their_own(configure: Configure, tmp_path: Path):
    for name, speaker in (("a", "b-c"), ("a-b", "c")):
        for sentence in range(4):
            about = {"speaker": speaker, "language": "en", "text": f"sentence {sentence}", "seed": sentence}
            write_utterance(tmp_path / "raw" / name, f"u{sentence}", **about)
        prepare(Folder(name, tmp_path / "raw" / name), tmp_path / "data")
    line = ["corpora=[a,a-b]", "split=speaker", "split.disjoint_text=false", "held_out=all", NARROW]
    train(configure(*line, f"paths.data={tmp_path / 'data'}"))
    assert sorted(path.parents[1].name for path in (tmp_path / "runs").rglob("result.json")) == ["a+b-c", "a-b-c"]


def test_an_unprepared_corpus_tells_what_to_do(configure: Configure):
    with pytest.raises(CorpusError, match="tractprobe prepare corpus=hprc"):
        train(configure("corpora=[hprc]"))


def test_the_built_in_corpus_prepares_itself_but_never_over_somebodys_own(
    configure: Configure, raw_corpus: Path, tmp_path: Path
):
    data = f"paths.data={tmp_path / 'data'}"
    prepare(Folder(DEMO, raw_corpus), tmp_path / "data")
    train(configure(f"corpora=[{DEMO}]", "held_out=de", data))
    assert len(collect(tmp_path / "runs")) == 3 * 12  # the toy's three speakers, not the package's four


@pytest.fixture
def places(data: Path, tmp_path: Path) -> list[str]:
    names = {"data": data, "runs": tmp_path / "runs", "cache": tmp_path / "cache"}
    return [*(f"paths.{name}={path}" for name, path in names.items()), "corpora=[toy]", "tracking=off"]


KILLED = """
import os, runpy, signal, sys
import tractprobe.jobs

write = tractprobe.jobs.write_result

def write_and_be_killed(*arguments):
    write(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)

tractprobe.jobs.write_result = write_and_be_killed
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_killed_sweep_with_a_cell_that_fails_is_finished_by_the_same_line(
    places: list[str], tmp_path: Path, configure: Configure, warm: Warm
):
    """Kill -9 once the first cell is done; the line again does the rest, and each cell is what it is undisturbed.

    The cell that fails stops no other, is alone in being asked for again, and is said in one line.
    """
    (tmp_path / "killed.py").write_text(KILLED)
    line = ["-m", "seed=0,1", "held_out=en,fr,it", "model=mel", NARROW, *places]
    assert warm.run([str(tmp_path / "killed.py"), TRAIN, *line], tmp_path).returncode == -signal.SIGKILL
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("result.json")}
    assert 1 <= len(done) < 4
    again = warm.run([TRAIN, *line], tmp_path)
    assert again.returncode == 1
    assert "held_out=fr names no language; there are de, en, it" in again.stdout + again.stderr
    assert "Traceback" not in again.stderr
    assert again.stdout.count("finished already") == len(done)
    results = list((tmp_path / "runs").rglob("result.json"))
    assert {path: path.stat().st_mtime_ns for path in done} == done
    elsewhere = [f"paths.runs={tmp_path / 'undisturbed'}", f"paths.cache={tmp_path / 'fresh'}"]
    identities = []
    for path in results:
        result = read_result(path.parent)
        identities.append((result["identity"]["seed"], result["identity"]["held_out"]))
        cell = [f"seed={identities[-1][0]}", f"held_out={identities[-1][1]}"]
        assert train(configure(*cell, NARROW, *elsewhere))["scores"] == result["scores"]
    assert sorted(identities) == [(0, "en"), (0, "it"), (1, "en"), (1, "it")]


def test_real_hprc_goes_the_whole_way(configure: Configure, tmp_path: Path):
    root = real("TRACTPROBE_SAMPLES", "hprc_haskins")
    prepare(Hprc(root), tmp_path / "data")
    arguments = ["corpora=[hprc]", "split=speaker", "split.disjoint_text=false", f"paths.data={tmp_path / 'data'}"]
    result = train(configure(*arguments, "held_out=F01"))
    assert {row["speaker"] for row in result["scores"]} == {"hprc/F01"} and len(result["scores"]) == 12
    # 41,680 samples hold 130 whole frames of 400, 320 apart, and the movements last longer.
    assert {row["n_frames"] for row in result["scores"]} == {130}
    assert result["scaled_by_own_test_frames"] == ["hprc/F01"]
    assert {alpha for layer in result["fit"]["alpha"] for alpha in layer} == {1000}  # nothing to choose it on
    (folder,) = (path.parent for path in (tmp_path / "runs/mel/all/ridge/F01").rglob("result.json"))
    rows = evaluate(configure(f"run={folder}", f"paths.data={tmp_path / 'data'}", name="evaluate"))
    assert_alike(rows, result["scores"], 1e-9)


def test_real_hprc_by_the_same_sentence_is_refused_unless_asked(configure: Configure, tmp_path: Path):
    prepare(Hprc(real("TRACTPROBE_SAMPLES", "hprc_haskins")), tmp_path / "data")
    with pytest.raises(ConfigError, match=r"split\.disjoint_text=false"):
        train(configure("corpora=[hprc]", "split=speaker", "held_out=F01", f"paths.data={tmp_path / 'data'}"))


def test_real_emu_goes_the_whole_way_through_a_real_encoder(configure: Configure, tmp_path: Path):
    samples = real("TRACTPROBE_SAMPLES", "emu_ssff")
    whisper = real("TRACTPROBE_MODELS", "whisper-tiny.en-encoder")
    prepare(Emu("demo", samples / "demoDB_ema", "de", speaker_pattern=r"_(?P<speaker>mo\d)"), tmp_path / "data")
    prepare(Emu("tiny", samples / "tinyDfg91", "de", text_level="ORT", phone_level=None), tmp_path / "data")
    arguments = ["corpora=[demo,tiny]", "split=corpus", "held_out=tiny", f"paths.data={tmp_path / 'data'}"]
    result = train(configure(*arguments, "model=hub", f"model.name={whisper}"))
    assert len(result["scores"]) == 5 * 12 and {row["n_frames"] for row in result["scores"]} == {153}
    sentence = train(configure("corpora=[demo]", "split=sentence", "split.folds=2", f"paths.data={tmp_path / 'data'}"))
    # The tracks end in about 0.2 s of lost samples: those frames count nowhere.
    (count,) = {row["n_frames"] for row in sentence["scores"]}
    assert 188 <= count <= 191
