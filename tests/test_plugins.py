"""What other packages add, and what they, and names in files of strangers, cannot do."""

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import REPOSITORY
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from plugin_packages import forget, install, of_names
from plugin_packages import site as site

from tractprobe import Plugin, load_head
from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.mel import LogMel
from tractprobe.evaluation import evaluate
from tractprobe.inversion.export import export
from tractprobe.runs.building import build
from tractprobe.runs.configuration import conf_dir, plain
from tractprobe.runs.hydra import register_resolvers
from tractprobe.runs.identity import RunId
from tractprobe.runs.options import plugin_folders
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import ConfigError, HeadError, RunError
from tractprobe.system.plugins import installed
from tractprobe.system.registry import PUBLIC, names_of, place_of, public_name

Configure = Callable[..., Any]

ENCODER = """
from tractprobe.encoders.mel import LogMel

class Other(LogMel):
    def __init__(self, label, bands=20):
        super().__init__(label, bands=bands, context=0)
        self.identity = self.identity | {"encoder": "other"}
"""
OPTION = "# Theirs.\n_target_: aa.Encoder\nlabel: aa_model\nbands: 20\n"
NAMES = {"aa.Encoder": ("encoder", "aa.encoder:Other")}


@pytest.fixture
def aa(site: Path) -> Path:
    """A package `aa` with an encoder and its option."""
    modules = {"__init__.py": of_names(NAMES, "aa/conf"), "encoder.py": ENCODER}
    install(site, "aa", modules, conf={"model/aa_model.yaml": OPTION})
    return site


def settings(*overrides: str) -> dict:
    register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return plain(compose("train", overrides=list(overrides)))


def test_an_encoder_of_a_plugin_is_built_by_its_public_name(aa: Path):
    encoder = build({"_target_": "aa.Encoder", "label": "x", "bands": 8})
    assert isinstance(encoder, Encoder) and encoder.width == 8
    assert public_name(type(encoder)) == "aa.Encoder" and "aa.Encoder" in names_of("encoder")
    assert public_name(LogMel) == "tractprobe.encoders.mel.LogMel"


def test_its_option_is_an_option_like_ours_and_names_a_run_without_a_hash(aa: Path):
    assert RunId.of(settings("model=aa_model")).name == "aa_model/all/ridge/it/s0"
    assert RunId.of(settings("model=aa_model", "model.bands=10")).differences == {"model.bands": 10}


def test_a_plugins_option_does_not_rename_runs_of_our_own_encoders(site: Path):
    """A run of ours that a user has labelled keeps its name, whatever is installed later under that label."""
    line = ("model=mel", "model.label=aa_model", "model.bands=20")
    before = RunId.of(settings(*line)).name
    shadow = OPTION.replace("aa.Encoder", "tractprobe.encoders.mel.LogMel")
    install(site, "aa", {"__init__.py": of_names(NAMES, "aa/conf")}, conf={"model/aa_model.yaml": shadow})
    forget()
    assert "aa" in plugin_folders()
    assert RunId.of(settings(*line)).name == before


def test_nothing_of_a_plugin_but_its_declaration_is_imported_before_it_is_used(aa: Path):
    code = (
        "import sys; from tractprobe.system.registry import names_of, place_of; place_of('tractprobe.ridge.Ridge'); "
        "assert 'aa' not in sys.modules; names_of('closed-form head'); assert 'aa' not in sys.modules; "
        "names_of('encoder'); assert 'aa' in sys.modules and 'aa.encoder' not in sys.modules; "
        "assert not {'torch', 'pytorch_lightning'} & set(sys.modules)"
    )
    path = os.pathsep.join([str(aa), *sys.path])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})


BROKEN = {
    "an error": ("1 / 0", "ZeroDivisionError"),
    "an exit": ("raise SystemExit(3)", "SystemExit: 3"),
    "no such module": ("import nothing_of_the_kind", "nothing_of_the_kind"),
    "not a plug-in": ("plugin = {}", "dict, not a tractprobe.Plugin"),
    "our namespace": (of_names({"tractprobe.Better": ("encoder", "aa.encoder:Other")}), "the package's own words"),
    "torch's namespace": (of_names({"torch.optim.Mine": ("optimizer", "aa.encoder:Other")}), "the package's own words"),
    "no dots": (of_names({"encoder": ("encoder", "aa.encoder:Other")}), "words joined by dots"),
    "an unknown kind": (of_names({"aa.X": ("trainer", "aa.encoder:Other")}), "'trainer'; a plug-in adds one of"),
    "no place": (of_names({"aa.X": ("encoder", "aa.encoder.Other")}), "package.module:attribute"),
    "no folder": (of_names(NAMES, "aa/nowhere"), "no such folder"),
    "a folder above": (of_names(NAMES, "aa_missing/conf"), "no such folder"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_one_line_that_names_it_and_stops_nobody_else(
    site: Path, case: str, caplog: pytest.LogCaptureFixture
):
    module, reason = BROKEN[case]
    install(site, "aa", {"__init__.py": module})
    install(
        site, "bb", {"__init__.py": of_names({"bb.Encoder": ("encoder", "bb.encoder:Other")}), "encoder.py": ENCODER}
    )
    with caplog.at_level(logging.WARNING):
        assert set(installed().places) == {"bb.Encoder"}
    (line,) = caplog.messages
    assert line.startswith("plug-in aa is left out: ") and reason in line and "\n" not in line
    assert RunId.of(settings()).name == "builtin/all/ridge/it/s0"
    with pytest.raises(ConfigError, match=r"aa\.Encoder is not one of .*plug-in aa was left out"):
        place_of("aa.Encoder")


CLASHES = {
    "a name of two": ({"aa.X": ("encoder", "aa:x")}, {"aa.X": ("encoder", "bb:x")}, {"aa", "bb"}),
    "a head like ours": ({"aa.Mlp": ("head", "aa:x")}, {"bb.X": ("head", "bb:x")}, {"aa"}),
    "heads alike": ({"aa.Fine": ("head", "aa:x")}, {"bb.fine": ("head", "bb:x")}, {"aa", "bb"}),
}


@pytest.mark.parametrize("case", CLASHES)
def test_names_that_somebody_else_has_are_refused(site: Path, case: str):
    first, second, refused = CLASHES[case]
    install(site, "aa", {"__init__.py": of_names(first)})
    install(site, "bb", {"__init__.py": of_names(second)})
    assert set(installed().broken) == refused
    assert not {name for name, place in installed().places.items() if place.package in refused}


def test_options_that_somebody_else_has_are_left_out(aa: Path, caplog: pytest.LogCaptureFixture):
    option = aa / "aa/conf/head/mlp.yaml"
    option.parent.mkdir()
    option.write_text(OPTION)
    assert plugin_folders() == {}
    assert "plug-in aa is left out: head/mlp.yaml exists already" in caplog.text


def test_a_root_configuration_of_ours_cannot_be_replaced(aa: Path):
    (aa / "aa/conf/train.yaml").write_text("defaults: []\n")
    assert plugin_folders() == {}


WRONG = {
    "another kind": ("class Other:\n    def __init__(self, label): pass", "makes a Other, not a .*Encoder"),
    "gone": ("", "cannot be imported: AttributeError"),
    "an error": ("import nothing_of_the_kind", "plug-in aa cannot be imported: ModuleNotFoundError"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_a_plugin_builds_wrongly_is_one_line(site: Path, case: str):
    module, expected = WRONG[case]
    install(site, "aa", {"__init__.py": of_names(NAMES), "encoder.py": module})
    with pytest.raises(ConfigError, match=expected):
        build({"_target_": "aa.Encoder", "label": "x"})


def test_a_head_that_is_no_bank_is_one_line(site: Path):
    install(site, "aa", {"__init__.py": of_names({"aa.Head": ("head", "fractions:Fraction")})})
    with pytest.raises(ConfigError, match="is not a subclass of tractprobe"):
        place_of("aa.Head").load()


HOSTILE = [
    "evil",
    "evil.Encoder",
    "evil.encoder:Other",
    "aa.encoder.Other",
    "aa.Encoder.__init__",
    "aa:plugin",
    "os.system",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_nobody_registered_imports_nothing(aa: Path, name: str):
    """`evil` can be imported, and is not a plug-in; `aa` is one, and only its names are public."""
    (aa / "evil").mkdir()
    (aa / "evil/__init__.py").write_text("raise SystemExit('imported')")
    for node in ({"_target_": name}, {"_target_": "aa.Encoder", "label": {"_target_": name}}):
        with pytest.raises(ConfigError, match="belongs to a plug-in that is not installed"):
            build(node)
    assert "evil" not in sys.modules


def test_the_registry_of_ours_is_as_it_was(aa: Path):
    assert not set(installed().places) & set(PUBLIC)


# The example, installed by pip and swept.


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed examples/plugin."""
    folder = tmp_path_factory.mktemp("example")
    shutil.copytree(REPOSITORY / "examples/plugin", folder / "source")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    target = ["--target", str(folder / "site"), str(folder / "source")]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *target], check=True)
    return folder / "site"


@pytest.fixture(scope="module")
def swept(example: Path, raw_corpus: Path) -> Iterator[Path]:
    """A folder with a corpus that the example's reader has prepared, and a sweep of its encoder and head on it."""
    folder = example.parent
    (folder / "raw").mkdir()
    for path in raw_corpus.glob("*.flac"):
        audio, _ = soundfile.read(path)
        positions = np.load(path.with_suffix(".ema.npy"))
        np.savez(folder / "raw" / f"{path.stem}.npz", audio=audio, **dict(zip(CHANNELS, positions.T, strict=True)))
    shell(example, "-m", "tractprobe.cli", "prepare", "corpus=its_reader", f"corpus.root={folder / 'raw'}")
    line = [
        "-m",
        "model=its_encoder,mel_frame",
        "head=its_head,ridge",
        "corpora=[mylab]",
        "held_out=it",
        "tracking=off",
    ]
    shell(example, str(REPOSITORY / "train.py"), *line, "trainer.max_epochs=2")
    yield folder


def shell(site: Path | None, *command: str) -> str:
    path = os.pathsep.join([*([str(site)] if site else []), str(REPOSITORY / "src")])
    folder = site.parent if site else REPOSITORY
    done = subprocess.run([sys.executable, *command], cwd=folder, env={**os.environ, "PYTHONPATH": path},
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_is_swept_like_ours(swept: Path):
    results = {path.relative_to(swept / "runs").parts[:3]: json.loads(path.read_text())
               for path in (swept / "runs").rglob("result.json")}  # fmt: skip
    assert set(results) == {
        (model, "all", head) for model in ("its_encoder", "mel_frame") for head in ("its_head", "ridge")
    }
    assert {row["layer"] for row in results["its_encoder", "all", "ridge"]["scores"]} == {0, 1}
    assert results["its_encoder", "all", "its_head"]["settings"]["head"]["_target_"] == "mylab.its_head"
    r = [row["r"] for row in results["its_encoder", "all", "ridge"]["scores"] if row["layer"] == 0]
    assert np.mean(r) > 0.99  # movements are linear in the log spectrum


@pytest.fixture
def with_example(example: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(example)
    forget()
    yield
    forget()


@pytest.mark.usefixtures("with_example")
def test_the_example_bears_names_without_a_hash():
    name = RunId.of(settings("model=its_encoder", "head=its_head")).name
    assert name == "its_encoder/all/its_head/it/s0"


def test_its_heads_are_exported_and_invert_where_the_plugin_is_installed(
    swept: Path, example: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, configure: Configure
):
    (run,) = (path.parent for path in (swept / "runs/its_encoder/all/its_head").rglob("result.json"))
    audio, rate_hz = soundfile.read(next((swept / "raw").parent.glob("data/mylab/audio/*.flac")))
    with monkeypatch.context() as there:
        there.syspath_prepend(example)
        forget()
        file = export(run, output=tmp_path / "its.safetensors")
        assert load_head(file)(audio, rate_hz).channels == CHANNELS
        evaluate(configure(f"run={run}", f"paths.data={swept / 'data'}", name="evaluate"))
        forget()
    for name in [name for name in sys.modules if name.startswith("mylab_tractprobe")]:
        del sys.modules[name]
    forget()
    with pytest.raises(HeadError, match=r"mylab\.its_\w+ is not one of .*a plug-in that is not installed"):
        load_head(file)
    with pytest.raises(
        (ConfigError, RunError), match=r"mylab\.its_\w+ is not one of .*a plug-in that is not installed"
    ):
        evaluate(configure(f"run={run}", f"paths.data={swept / 'data'}", name="evaluate"))
    assert not any(name.startswith("mylab_tractprobe") for name in sys.modules)


def test_the_example_is_as_short_as_it_says():
    lines = [path.read_text().splitlines() for path in (REPOSITORY / "examples/plugin").rglob("*.py")]
    assert sum(bool(line.strip()) for some in lines for line in some) <= 70


def test_the_plugin_class_is_public():
    assert Plugin({}).conf is None
