"""The ways in: each command from a checkout, from a wheel, by the shell's TAB; and how little it takes to answer."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import soundfile
from conftest import DEMO, REPOSITORY
from head_files import RATE_HZ, noise
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from lightning_fabric.strategies.launchers.subprocess_script import _hydra_subprocess_cmd
from omegaconf import OmegaConf
from test_config import composed
from test_results import write_run

import __main__
import tractprobe.commands
import tractprobe.commands.train
from tractprobe.cli import _OF_HYDRA, _parser, main
from tractprobe.commands.completion import SCRIPTS, candidates
from tractprobe.jobs import train
from tractprobe.runs.configuration import conf_dir, plain
from tractprobe.runs.identity import shipped_layers
from tractprobe.system.errors import ConfigError

Configure = Callable[..., Any]
HEAVY = {
    "torch", "pytorch_lightning", "transformers", "lhotse", "wandb", "matplotlib", "scipy.signal", "scipy.interpolate",
}  # fmt: skip
NOTED = """
import atexit, json, pathlib, sys
path = pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: path.write_text(json.dumps(sorted(sys.modules))))
sys.argv[0] = "tractprobe"
from tractprobe.cli import main
sys.exit(main())
"""

EACH = """
import json, os, pathlib, sys
import tractprobe.commands.train
from tractprobe.cli import main
for number, line in enumerate(json.load(sys.stdin)):
    if (child := os.fork()) == 0:
        for name, place in (("out", 1), ("err", 2)):
            os.dup2(os.open(f"{number}.{name}", os.O_WRONLY | os.O_CREAT), place)
        sys.argv, status = ["tractprobe", *line], 0
        try:
            status = main() or 0
        except SystemExit as end:
            status = end.code or 0
        sys.stdout.flush(), sys.stderr.flush()
        pathlib.Path(f"{number}.json").write_text(json.dumps([status, sorted(sys.modules)]))
        os._exit(0)
    os.waitpid(child, 0)
"""


def door(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m tractprobe`` in a folder."""
    command = [sys.executable, "-m", "tractprobe", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, check=False, env={**os.environ, **variables}
    )


def imported_by_each(lines: Sequence[Sequence[str]], cwd: Path) -> list[tuple[int, str, str, set[str]]]:
    """Return of each line its status, what it printed, and all modules that it had imported when it ended.

    The lines are children of one process that has imported the command line, and so what any of them needs first.
    """
    process = subprocess.run(
        [sys.executable, "-c", EACH], input=json.dumps(lines), capture_output=True, text=True, cwd=cwd, check=True
    )
    found = []
    for number in range(len(lines)):
        told = {name: (cwd / f"{number}.{name}").read_text() for name in ("out", "err", "json")}
        status, modules = json.loads(told["json"])
        found.append((status, told["out"], told["err"], set(modules)))
    assert not process.stderr
    return found


def imported_by(*arguments: str, cwd: Path) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """Return what a command printed, and the modules that it had imported when it ended."""
    command = [sys.executable, "-c", NOTED, str(cwd / "modules.json"), *arguments]
    process = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
    return process, set(json.loads((cwd / "modules.json").read_text()))


ANSWERS: dict[str, tuple[list[str], int, str]] = {
    "help": (["--help"], 0, "evaluate"),
    "help of invert": (["invert", "--help"], 0, "--lowpass"),
    "help of train": (["train", "--help"], 0, "tractprobe train"),
    "status": (["status", "runs"], 0, "2 done, 0 running"),
    "table": (["table", "runs", "--csv", "scores.csv"], 0, "mean"),
    "comparison": (["table", "runs", "--against", "ridge"], 1, "no other head was run"),
    "no such baseline": (
        ["table", "runs", "--against", "mpl"],
        1,
        "--against mpl: these runs have no such head; there are ",
    ),
    "no run": (["export", "nosuch"], 1, "nosuch: no such run"),
    "no head in the run": (["export", "runs/mel/all/ridge/it/s0"], 1, "head.safetensors: not the heads of this run"),
    "no head": (["invert", "a.wav", "--head", "nosuch.safetensors"], 1, "nosuch.safetensors: no such file"),
    "no head file": (["invert", "a.wav", "--head", "scores.txt"], 1, "scores.txt: not a head file"),
    "no audio": (["invert", "a.wav", "b.wav", "--head", "f.safetensors"], 1, "a.wav, b.wav: no such file or folder"),
    "no format": (["invert", "a.wav", "--head", "f.safetensors", "--format", "mp3"], 1, "--format mp3"),
    "no option": (["train", "model=hubert_bsae"], 1, "did you mean model=hubert_base?"),
    "completion": (["completion", "bash", "--line", "tractprobe train model=hubert_b"], 0, "model=hubert_base"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_what_needs_no_model_answers_without_importing_one(case: str, tmp_path: Path, head: Path):
    arguments, status, expected = ANSWERS[case]
    for held_out in ("it", "en"):
        write_run(tmp_path / "runs", held_out=held_out)
    (tmp_path / "scores.txt").write_text("layer,r\n" * 9)
    process, modules = imported_by(*arguments, cwd=tmp_path)
    assert process.returncode == status and expected in process.stdout + process.stderr
    assert "Traceback" not in process.stderr
    assert not modules & HEAVY


def test_a_layer_that_a_run_lacks_is_named_without_importing_torch(configure: Configure, tmp_path: Path):
    train(configure("held_out=it", "model=mel_frame"))
    (path,) = (tmp_path / "runs").rglob("result.json")
    process, modules = imported_by("export", str(path.parent), "--layer", "7", cwd=tmp_path)
    assert process.returncode == 1 and "has no layer 7; it has 0" in process.stderr
    assert not modules & HEAVY


def test_the_line_of_a_finished_study_imports_and_makes_nothing(configure: Configure, data: Path, tmp_path: Path):
    overrides = ["study=held_out", "model=mel_frame", "tracking=offline"]
    train(configure(*overrides))
    (study,) = (tmp_path / "runs").glob("mel_frame/all/ridge/all/*")
    made = {path: path.stat().st_mtime_ns for path in study.rglob("*") if path.suffix in (".csv", ".png", ".wandb")}
    assert {path.suffix for path in made} == {".csv", ".png", ".wandb"}
    places = [f"paths.data={data}", f"paths.runs={tmp_path / 'runs'}", f"paths.cache={tmp_path / 'cache'}"]
    process, modules = imported_by("train", *overrides, "corpora=[toy]", *places, cwd=tmp_path)
    assert process.returncode == 0 and process.stdout.count("finished already") == 3, process.stderr
    assert "mel_frame, ridge: r by held-out language" in process.stdout
    assert not modules & HEAVY
    again = {path: path.stat().st_mtime_ns for path in study.rglob("*") if path.suffix in (".csv", ".png", ".wandb")}
    assert again == made


def test_scripts_and_the_command_are_one(tmp_path: Path):
    for name in ("train", "evaluate"):
        script = [sys.executable, str(REPOSITORY / f"{name}.py"), "--cfg", "job"]
        printed = subprocess.run(script, capture_output=True, text=True, cwd=tmp_path, check=True).stdout
        assert printed and door(name, "--cfg", "job", cwd=tmp_path).stdout == printed
    lines = sum(len((REPOSITORY / f"{name}.py").read_text().splitlines()) for name in ("train", "evaluate"))
    assert lines < 60


def test_every_command_is_listed(tmp_path: Path):
    printed = door("--help", cwd=tmp_path).stdout
    for name in (*_OF_HYDRA, "table", "status", "invert", "completion"):
        assert re.search(rf"^ +{name}\b", printed, re.MULTILINE)


def test_lightning_can_start_the_same_line_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A process for each device is started from ``sys.argv``, or from the name of the main module."""
    script = str(tmp_path / "bin/tractprobe")
    overrides = ["trainer=ddp", "head=mlp", "held_out=it", f"paths.runs={tmp_path / 'runs'}"]
    commands: dict[str, Sequence[str]] = {}

    def task(config: Any) -> None:
        for name, spec in {"script": None, "module": type("Spec", (), {"name": "tractprobe.__main__"})}.items():
            monkeypatch.setattr(__main__, "__spec__", spec)
            commands[name] = _hydra_subprocess_cmd(local_rank=1)[0]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tractprobe.commands.train, "main", task)
    monkeypatch.setattr(sys, "argv", [script, "train", *overrides])
    assert main() == 0
    assert commands["script"][: 3 + len(overrides)] == [sys.executable, script, "train", *overrides]
    assert commands["module"][:4] == [sys.executable, "-m", "tractprobe.__main__", "train"]


MEANT = {
    "model=hubert_bsae": "no such option; did you mean model=hubert_base?",
    "study=held_uot": "no such option; did you mean study=held_out?",
    "launcher=jobli": "no such option; did you mean launcher=joblib?",
    "tracking=[offline,cvs]": "no such option; did you mean tracking=csv?",
    "callbacks=[early_stoping]": "no such option; did you mean callbacks=early_stopping?",
    "held_uot=it": "no such setting; did you mean held_out=it?",
    "data.batch_szie=3": "no such setting; did you mean data.batch_size=3?",
    "stuyd=held_out": "no such setting; did you mean study=held_out?",
    "+features.chache=false": "no such setting; did you mean features.cache?",
    "+data.batch_sise=4": "no such setting; did you mean data.batch_size?",
    "+foo=1": "no such setting; there are analysis, callbacks, checkpoint_s",
    "+trainer.profilr=simple": "no such setting; did you mean trainer.profiler?",
    "model=mel +model.band=3": "no such setting; did you mean model.bands?",
    "+head.alpha=[1]": "no such setting; did you mean head.alphas?",
    "model=xyzzy": "no such option; there are builtin, data2vec_audio_base",
    "model.xyzzy=1": "no such setting; there are about, compiled",
    "+seed=1": "there is such a setting already: give it without the +",
    "~held_uot": "there is no such setting to remove",
    "held_out=[": "not understood",
    "held_out=it,en": "held_out=it,en: several values need -m, for a sweep, or brackets, [value1,value2], for a list",
    "layer=0,1": "layer=0,1: several values need -m, for a sweep, or brackets, [value1,value2], for a list",
    "held_out=glob(*)": "give -m",
    "seed=${nosuch}": "Interpolation key 'nosuch' not found",
}


@pytest.fixture
def no_hydra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    GlobalHydra.instance().clear()


def refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, *arguments: str, command: str = "train", status: int = 1
) -> str:
    """Return the one line that is printed of arguments that are refused, having checked that they leave nothing."""
    places = [f"paths.{name}={tmp_path / name}" for name in ("data", "runs", "cache")]
    with pytest.raises(SystemExit) as end:
        tractprobe.commands.run(command, [*places, *arguments])
    printed, complained = capsys.readouterr()
    assert end.value.code == status and not list(tmp_path.rglob("s0*")) and not list(tmp_path.rglob("failure.json"))
    (line,) = complained.splitlines()
    assert line.startswith("tractprobe: ") and not printed
    return line


@pytest.mark.parametrize("override", MEANT)
def test_a_name_that_is_mistyped_is_answered_by_one_line_with_what_was_meant(
    no_hydra: None, override: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    assert MEANT[override] in refused(capsys, tmp_path, *override.split())


IMPOSSIBLE = {
    "~held_out": "held_out: this setting is missing; give held_out=<value>",
    "held_out=[it,it]": "held_out=[it,it]: expected what to hold out at once, each named once",
    "together=[true]": "together=[True]: expected one value; for a run with each, give -m together=True",
    "split=label held_out=f": "split=label: give split.by=<the name of a label>, such as gender or style",
    "split=label split.by=style held_out=all": "no utterance has the label style; these corpora have no labels",
    "held_out=all head=mlp trainer=ddp": "trainer.devices x num_nodes = 2: held_out=all uses one device",
    "layer=7": "layer=7: builtin has no layer 7; expected one of its layers 0 to 6, or all",
    "model.random_seed=1 layer=7": "layer=7: builtin has no layer 7; expected one of its layers 0 to 6, or all",
    "model=mel layer=7": "layer=7: mel has no layer 7; it has layer 0 only",
    "layer=x": "layer=x: expected the number of a layer, all, or a list",
    "layer=[0,0]": "layer=[0,0]: name each layer once",
    "model=random layer=[0,5]": "layer=[0,5]: random has no layer 5; expected one of its layers 0 to 4, or all",
    "model=random model.layers=6 layer=7": "expected one of its layers 0 to 6",
    "model=hubert_base layer=13": "expected one of its layers 0 to 12, or all",
    "held_out=fr": "held_out=fr names no language; there are de, en, it",
    "held_out=1": "a text of digits is quoted twice: \"held_out='1'\"",
    "split=sentence held_out=fold9": "expected one of fold0",
    "targets=[nosuch]": "expected a list of ema, tract, source",
    "corpora=[nosuch]": "no prepared corpus here",
    "corpora=[/abs/toy]": "expected names of prepared corpora",
    "corpora=[..]": "expected names of prepared corpora",
    "corpora=5": "expected names of prepared corpora",
    "head=mlp optimizer._target_=os.system": "optimizer._target_ os.system is not one of tractprobe's names",
    "head._target_=tractprobe.splits.SplitRule": "is not a head but of the kind split",
    "head=mlp optimizer.lr=fast": "optimizer.lr=fast: expected a number",
    "ema.lowpass_hz=fast": "ema.lowpass_hz=fast: expected a number",
    "ema.lowpass_hz=-1": "expected a cutoff above 0 Hz",
    "+head.width=3": "head.width: remove it; it follows from encoder and targets",
    "+trainer.logger=false": "trainer.logger: remove it; tracking=<option> says where runs are logged",
    "model=hub": "model.name: this setting has no default; give model.name=<value>",
    "model=hub model.name=/nosuch": "model.name=/nosuch: no such folder",
    "model=features model.root=nosuch": "model.root=nosuch: no such folder in ",
    "trainer.devices=auto": "trainer.devices=auto: expected 1 or more",
    "trainer.accelerator=gqu": "trainer.accelerator=gqu: expected one of cpu, gpu, auto",
    "head=mlp trainer.limit_train_batches=0.001": "utterances this is not one batch; give a larger share",
    "head=mlp head.hidden=-3": "head.hidden=-3: expected a whole number of 1 or more",
    "head=mlp head.bottleneck=0": "head.bottleneck=0: expected a whole number of 1 or more, or null",
    "head=weighted head.head.depth=null": "head.depth=None: expected a whole number",
    "head=conv head.dilations=[1,0]": "head.dilations=[1, 0]: expected whole numbers of 1 or more",
    "head=conv head.kernel=4": "head.kernel=4: expected an odd number",
    "head=transformer head.hidden=10": "head.hidden=10: expected a multiple of head.heads (4)",
    "head.alphas=[0]": "head.alphas and head.alpha_without_validation must be above 0",
    "model=mel model.bands=-80": "model.bands must be 1 to 1024",
    "model=mel model.hop=null": "model: ",
    "model=mfcc model.cepstra=0": "model.cepstra=0: expected 1 to model.bands (40)",
    "model=f0_energy model.every=0": "model.every and model.window_s must be positive",
    "model=random model.width=0": "model.width must be a multiple of model.heads and of 16",
}


@pytest.mark.parametrize("line", IMPOSSIBLE)
def test_a_run_that_could_never_start_is_refused_in_one_line_and_leaves_nothing(
    no_hydra: None, line: str, data: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    overrides = [f"paths.data={data}", "corpora=[toy]", *line.split()]
    assert IMPOSSIBLE[line] in refused(capsys, tmp_path, *overrides)


def test_gpus_that_this_machine_lacks_are_told_once(
    no_hydra: None, data: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A task of Slurm's, which the line only submits, runs elsewhere."""
    line = [f"paths.data={data}", "corpora=[toy]", "trainer=gpu"]
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    told = "trainer.accelerator=gpu: PyTorch finds no GPU here; use trainer=cpu"
    for more in (["held_out=all"], ["-m", "held_out=en,it"], ["head=mlp"]):
        assert told in refused(capsys, tmp_path, *line, *more)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        for launcher in ("slurm", "joblib"):
            asked = [*line, f"launcher={launcher}", "hydra.mode=MULTIRUN", f"paths.runs={tmp_path}"]
            config = compose("train", asked, return_hydra_config=True)
            with nullcontext() if launcher == "slurm" else pytest.raises(ConfigError, match="finds no GPU"):
                tractprobe.commands.train.check(config)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    line += ["head=mlp", "trainer=ddp", "trainer.accelerator=gpu", "trainer.devices=2"]
    assert "trainer.devices=2: PyTorch finds 1 GPU here" in refused(capsys, tmp_path, *line)


def test_what_could_never_start_is_told_before_anything_slow_is_imported(data: Path, tmp_path: Path):
    lines = ["layer=7", "held_out=fr", "targets=[nosuch]", "head=mlp optimizer._target_=os.system", "+data.x=1"]
    lines += ["head=mlp head.hidden=-3", "model=random model.width=0"]
    typed = [["train", f"paths.data={data}", "corpora=[toy]", *line.split()] for line in lines]
    for line, (status, out, err, modules) in zip(lines, imported_by_each(typed, tmp_path), strict=True):
        assert status == 1 and err.count("\n") == 1 and not out, line
        assert not modules & (HEAVY - {"scipy.signal"}), line
    process, modules = imported_by("evaluate", "run=nothing", cwd=tmp_path)
    assert "nothing: no such run" in process.stderr and not modules & HEAVY


def test_every_shipped_model_says_how_many_layers_it_has():
    """Which is how ``layer=99`` is refused before its weights are read."""
    settings = composed("train")  # which holds one of the options, as it is; test_config composes each
    assert settings["model"] == plain(OmegaConf.load(conf_dir() / "model/builtin.yaml"))
    for path in (conf_dir() / "model").glob("*.yaml"):
        if path.stem not in ("hub", "features"):
            model = plain(OmegaConf.load(path))
            assert (shipped_layers(settings | {"model": model}) or 0) >= 1
            assert shipped_layers(settings | {"model": model | {"other": 1}}) is None


REFUSED = {
    "evaluate run=nothing": "nothing: no such run",
    "evaluate +foo=1 run=nothing": "foo: no such setting",
    "evaluate": "run: this setting has no default",
    "evaluate run=nothing data.batch_size=x": "data.batch_size=x: expected a whole number",
    "prepare +foo=1": "foo: no such setting",
    "prepare corpus=emu corpus.root=/x corpus.name=x": "corpus.language: this setting has no default",
    "prepare corpus=hprc corpus.root=/x +corpus.rate=[N]": "corpus.rate: no such setting; did you mean corpus.rates?",
}


@pytest.mark.parametrize("line", REFUSED)
def test_evaluate_and_prepare_refuse_what_they_do_not_know(
    no_hydra: None, line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    command, *overrides = line.split()
    assert REFUSED[line] in refused(capsys, tmp_path, *overrides, command=command)


def test_an_option_that_is_mistyped_is_answered_by_the_one_that_was_meant(
    no_hydra: None, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as end:
        tractprobe.commands.run("train", ["--mulitrun", "model=mel"])
    assert end.value.code == 2 and "--mulitrun; did you mean --multirun?" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tractprobe.commands.run("train", ["--held_out=it"])
    assert "settings are written without dashes: held_out=..." in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        main(["tabel", "runs"])
    assert end.value.code == 2 and "did you mean table?" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["table", "runs", "--picture-folder", "x"])
    assert "did you mean --pictures?" in capsys.readouterr().err


@pytest.mark.parametrize(("command", "lacks"), [("evaluate", ("head:", "study:"))])
def test_the_help_of_a_command_lists_only_groups_that_it_takes(
    no_hydra: None, command: str, lacks: Sequence[str], capsys: pytest.CaptureFixture[str]
):
    tractprobe.commands.run(command, ["--help"])
    printed = capsys.readouterr().out
    assert "\npaths: default" in printed and not any(f"\n{group}" in printed for group in lacks)


def test_an_error_in_a_job_is_printed_once_and_logged(toy: Any, data: Path, tmp_path: Path):
    shutil.copytree(data / "toy", tmp_path / "data/toy")
    next((tmp_path / "data/toy").rglob("*.flac")).unlink()
    places = [f"paths.data={tmp_path / 'data'}", f"paths.runs={tmp_path / 'runs'}", "corpora=[toy]", "model=mel_frame"]
    process = door("train", "held_out=it", "tracking=off", *places, cwd=tmp_path)
    (line,) = process.stderr.splitlines()
    assert process.returncode == 1 and line.startswith("tractprobe: ") and ".flac" in line
    message = line.removeprefix("tractprobe: ")
    assert message not in process.stdout
    (log,) = (tmp_path / "runs").rglob("train.log")
    assert f"[ERROR] - {message}" in log.read_text()


COMPLETED = {
    "tractprobe st": ["status"],
    "tractprobe invert --existing ": ["refuse", "replace", "skip"],
    "tractprobe invert --ht": ["--html"],
    "tractprobe completion ": ["bash", "fish", "zsh"],
    "tractprobe train model=hubert": ["model=hubert_base", "model=hubert_large", "model=hubert_xlarge"],
    "tractprobe train -m model=mel,mfcc_": ["model=mel,mfcc_frame", "model=mel,mfcc_matched"],
    "tractprobe train stu": ["study="],
    "tractprobe train data.batch": ["data.batch_s=", "data.batch_size="],
    "tractprobe train model=hub model.rev": ["model.revision="],
    "tractprobe train --cfg ": ["all", "hydra", "job"],
    "tractprobe train --mul": ["--multirun"],
    "tractprobe evaluate tr": ["trainer.", "trainer="],  # no group of training's
    "tractprobe prepare corpus=mo": ["corpus=mocha"],
    "tractprobe table ru": [],  # a file
    "tractprobe train held_out=[ mod": [],
    "tractprobe nosuch x": [],
}


@pytest.mark.parametrize("line", COMPLETED)
def test_a_line_is_completed(no_hydra: None, line: str):
    assert candidates(line, _parser(), _OF_HYDRA) == COMPLETED[line]


def test_every_option_of_a_group_and_of_a_command_is_offered(no_hydra: None):
    for group in ("model", "head", "study", "split"):
        names = sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
        assert candidates(f"tractprobe train {group}=", _parser(), _OF_HYDRA) == [f"{group}={name}" for name in names]
    found = candidates("tractprobe invert --", _parser(), _OF_HYDRA)
    assert {"--head", "--output", "--format", "--rate", "--existing"} <= set(found)


IN_BASH = r"""
eval "$({tractprobe} completion bash)"
complete -p tractprobe
compopt() {{ printf 'compopt %s %s\n' "$@"; }}
COMP_LINE={line!r} COMP_POINT=${{#COMP_LINE}}
COMP_WORDS=({tractprobe})
_tractprobe
printf '<%s>\n' "${{COMPREPLY[@]}}"
"""


def test_bash_completes_what_follows_the_equals_sign(tmp_path: Path):
    """For bash a word begins there."""
    script = tmp_path / "tractprobe"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m tractprobe "$@"\n')
    script.chmod(0o755)
    printed = {}
    for line in ("tractprobe train model=hubert", "tractprobe train stu"):
        text = IN_BASH.format(tractprobe=script, line=line)
        process = subprocess.run(["bash", "--norc", "-c", text], capture_output=True, text=True, check=True)
        printed[line] = process.stdout.splitlines()
    first, second = printed.values()
    assert first == ["complete -o default -F _tractprobe tractprobe",
                     "<hubert_base>", "<hubert_large>", "<hubert_xlarge>"]  # fmt: skip
    assert second[1:] == ["compopt -o nospace", "<study=>"]


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_script_of_each_shell_is_understood_by_it(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    assert main(["completion", shell]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    subprocess.run([shell, "-n", str(tmp_path / "script")], check=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet", "-w", str(folder)]
    process = subprocess.run([*build, str(REPOSITORY)], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    (path,) = folder.glob("tractprobe-*.whl")
    return path


def below(folder: Path, pattern: str) -> set[str]:
    found = (path.relative_to(folder).as_posix() for path in folder.rglob(pattern) if path.is_file())
    return {name for name in found if "__pycache__" not in name}


def test_the_wheel_holds_every_module_setting_and_recording(wheel: Path):
    """Patterns of .gitignore are heeded when it is built: data/ and runs/ are packages, too."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (entry_points,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "tractprobe = tractprobe.cli:main" in archive.read(entry_points).decode()
    source = {f"tractprobe/{name}" for name in below(REPOSITORY / "src/tractprobe", "*")}
    settings = {f"tractprobe/conf/{name}" for name in below(REPOSITORY / "conf", "*")}
    assert names == source | settings
    assert {"tractprobe/runs/settings.py", "tractprobe/data/splits.py", "tractprobe/inversion/player.html"} <= names
    assert {f"tractprobe/inversion/player{ending}" for ending in (".css", ".js", "_draw.js")} <= names
    for part in ("demo", "rest", "babble"):
        assert any(name.startswith(f"tractprobe/builtin/{part}/") and name.endswith(".flac") for name in names), part
    for name in ("config.json", "model.safetensors", "pretraining.json", "builtin_head.safetensors", "README.md"):
        assert f"tractprobe/builtin_encoder/{name}" in names
    assert wheel.stat().st_size <= 48_000_000  # 31 of recordings and their movements, at most 16 of the encoder


def test_from_the_wheel_alone_jobs_are_run_side_by_side_in_an_empty_folder(wheel: Path, tmp_path: Path):
    package, work = tmp_path / "package", tmp_path / "work"
    work.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(package)
    sweep = ["-m", "launcher=joblib", f"corpora=[{DEMO}]", "model=mel_frame", "held_out=it,de", "tracking=off"]
    process = door("train", *sweep, cwd=work, PYTHONPATH=str(package))
    assert process.returncode == 0, process.stdout + process.stderr
    assert "sweep: 2 done, 0 running, 0 failed, 0 missing" in process.stdout
    runs = sorted(path.parent.relative_to(work) for path in work.rglob("result.json"))
    assert list(map(str, runs)) == [f"runs/mel_frame/all/ridge/{one}/s0" for one in ("de", "it")]
    assert (work / runs[0] / "train.log").is_file() and (work / "data" / DEMO / "corpus.json").is_file()
    process = door("evaluate", f"run={runs[0]}", cwd=work, PYTHONPATH=str(package))
    assert process.returncode == 0 and "largest difference from its result.json" in process.stdout
    soundfile.write(work / "speech.wav", noise(1.0), RATE_HZ)
    process = door("invert", "speech.wav", "--html", cwd=work, PYTHONPATH=str(package))  # by the package's own head
    assert process.returncode == 0, process.stdout + process.stderr
    assert "This is the head of the package" in (work / "inverted/speech.html").read_text(encoding="utf-8")
    where = "import tractprobe, sys; sys.exit(not tractprobe.__file__.startswith(sys.argv[1]))"
    environment = {**os.environ, "PYTHONPATH": str(package)}
    subprocess.run([sys.executable, "-c", where, str(package)], env=environment, check=True, cwd=work)


def test_help_on_preparing_lists_readers_and_the_settings_of_one(capsys: pytest.CaptureFixture):
    main(["prepare", "--help"])
    readers = capsys.readouterr().out
    for path in (REPOSITORY / "conf/corpus").glob("*.yaml"):
        assert re.search(rf"^  {path.stem} +\S", readers, re.MULTILINE), path.stem
        main(["prepare", f"corpus={path.stem}", "--help"])
        text = capsys.readouterr().out
        for line in path.read_text().splitlines():
            if (setting := re.match(r"[a-z]\w*(?=:)", line)) is not None:
                assert f"  corpus.{setting[0]}=" in text
        assert "corpus.root=" in text and "workers=" in text and "_target_" not in text
    main(["prepare", "corpus=emu", "--help"])
    assert "corpus.language=...  (has to be given)" in capsys.readouterr().out
