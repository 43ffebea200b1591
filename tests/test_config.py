import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import DEMO, REPOSITORY
from hydra import compose, initialize_config_dir, version
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from tractprobe.commands.prepare import without_nulls
from tractprobe.runs.building import build
from tractprobe.runs.composition import Loader
from tractprobe.runs.configuration import conf_dir, plain
from tractprobe.runs.hydra import register_resolvers
from tractprobe.runs.identity import RunId, head_label, model_label
from tractprobe.runs.settings import Node, Settings
from tractprobe.system.errors import ConfigError
from tractprobe.system.registry import PUBLIC, place_of

GROUPS = {
    "train": ("model", "head", "split", "objective", "optimizer", "schedule", "trainer", "tracking"),
    "prepare": ("corpus",),
}
NEEDS_EXTRA = {"joblib", "slurm"}
REQUIRED = {
    "hub": ["model.name=facebook/x"],
    "features": ["model.root=/x"],
    "folder": ["corpus.name=x", "corpus.root=/x"],
    "audio": ["corpus.root=/x"],
    "hprc": ["corpus.root=/x"],
    **{
        name: ["corpus.root=/x"]
        for name in ("ema_mae", "frost", "mngu0", "mocha", "mspka", "pb2007", "spire", "torgo", "usc_timit", "xrmb")
    },
    "articulograph": ["corpus.name=x", "corpus.root=/x", "corpus.language=de", "corpus.sensors={tt: 1}"],
    "ndi_wave": [
        "corpus.name=x",
        "corpus.root=/x",
        "corpus.language=de",
        "corpus.sensors={tt: 1}",
        "corpus.front=x",
        "corpus.up=z",
    ],
    "emu": ["corpus.name=x", "corpus.root=/x", "corpus.language=de"],
}


def name_of(settings: dict[str, Any]) -> str:
    return RunId.of(settings).name


def differences_of(settings: dict[str, Any]) -> dict[str, Any]:
    return dict(RunId.of(settings).differences)


def options() -> Iterator[tuple[str, str, str]]:
    for root, groups in GROUPS.items():
        for group in groups:
            for path in sorted((conf_dir() / group).glob("*.yaml")):
                yield root, group, path.stem


def composed(root: str, *overrides: str) -> dict[str, Any]:
    register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return plain(compose(root, overrides=list(overrides)))


@pytest.mark.parametrize(("root", "group", "option"), list(options()))
def test_every_option_of_every_group_binds_to_its_target(root: str, group: str, option: str):
    node = composed(root, f"{group}={option}", *REQUIRED.get(option, []))[group]
    target = place_of(node.pop("_target_")).load()
    signature = inspect.signature(target)
    given = dict.fromkeys(("num_layers", "width", "num_channels")) if group == "head" else {}
    given |= {"optimizer": {"params": []}, "schedule": {"optimizer": None}}.get(group, {})
    signature.bind(**node, **given)
    required = {name for name, p in signature.parameters.items() if p.default is p.empty}
    assert required <= set(node) | set(given) or group == "trainer"


@pytest.mark.parametrize("option", sorted(path.stem for path in (conf_dir() / "launcher").glob("*.yaml")))
def test_every_launcher_composes_where_it_is_installed(option: str):
    if option in NEEDS_EXTRA:
        pytest.importorskip({"joblib": "hydra_plugins.hydra_joblib_launcher", "slurm": "submitit"}[option])
    composed("train", f"launcher={option}")


@pytest.mark.parametrize("override", ["held_uot=it", "model.bnads=40", "head.alfas=[1]", "nope=1", "ema.x=1"])
def test_unknown_keys_fail_with_hydras_error(override: str):
    with pytest.raises(HydraException, match=r"Could not override|is not in struct"):
        composed("train", override)


@pytest.mark.parametrize("override", ["model=hubert_bsae", "head=rigde", "tracking=on"])
def test_unknown_options_fail_and_list_the_known_ones(override: str):
    with pytest.raises(HydraException, match="Available options"):
        composed("train", override)


def loaded(root: str, *overrides: str) -> dict[str, Any]:
    """Compose as the commands do."""
    register_resolvers()
    version.setbase("1.3")
    loader = Loader(create_config_search_path(str(conf_dir())))
    return plain(loader.load_configuration(root, list(overrides), RunMode.RUN))


EMU = ["corpus=emu", "corpus.name=x", "corpus.root=/x", "corpus.language=de"]


@pytest.mark.parametrize(
    ("overrides", "sensors"),
    [
        (["corpus.sensors={tt: tip}"], {"tt": "tip"}),
        (["++corpus.sensors={tt: tip}"], {"tt": "tip"}),
        (["corpus.sensors={tt: tip}", "corpus.sensors.tb=mid"], {"tt": "tip", "tb": "mid"}),
        (["corpus.sensors.tb=mid", "corpus.sensors={tt: tip}"], {"tt": "tip"}),
        (["corpus.sensors={tt: tip}", "corpus.sensors={tb: mid}"], {"tb": "mid"}),
        (["corpus.sensors={}"], {}),
    ],
)
def test_a_mapping_that_is_given_is_the_whole_mapping(overrides: list[str], sensors: dict[str, str]):
    assert loaded("prepare", *EMU, *overrides)["corpus"]["sensors"] == sensors


def test_one_entry_of_a_mapping_is_replaced_or_left_out():
    sensors = loaded("prepare", *EMU, "corpus.sensors.tt=tip", "corpus.sensors.li=null")["corpus"]["sensors"]
    assert sensors["tt"] == "tip" and sensors["td"] == "t_back" and sensors["li"] is None
    corpus = without_nulls(Node.of("corpus", loaded("prepare", *EMU, "corpus.sensors.li=null")["corpus"]))
    assert list(corpus.arguments["sensors"]) == ["td", "tb", "tt", "ul", "ll"]


def test_a_mapping_without_defaults_needs_no_plus():
    settings = loaded("prepare", "corpus=ema_mae", "corpus.root=/x", "corpus.speaker_sensors={a: {TD: 4}}")
    assert settings["corpus"]["speaker_sensors"] == {"a": {"TD": 4}}
    mine = "{mine: {_target_: pytorch_lightning.callbacks.EarlyStopping, monitor: loss}}"
    assert list(loaded("train", f"++callbacks={mine}")["callbacks"]) == ["mine"]


def test_mappings_of_any_section_are_whole_but_sections_are_merged():
    settings = loaded(
        "train", "model=random_wavlm_base", "model.architecture={model_type: hubert}", "data={batch_size: 4}"
    )
    assert settings["model"]["architecture"] == {"model_type": "hubert"}
    assert settings["data"]["batch_size"] == 4 and settings["data"]["batch_s"] == 120.0


def test_what_is_composed_is_what_hydra_composes():
    for overrides in ([], ["model=random", "layer=[3,0]"], ["study=held_out", "head=mlp"], ["+callbacks.x.y=1"]):
        assert loaded("train", *overrides) == composed("train", *overrides)


def test_a_missing_value_is_named():
    with pytest.raises(ConfigError, match=r"model\.name"):
        composed("train", "model=hub")


@pytest.mark.parametrize("group", ["model", "head"])
def test_the_label_of_each_option_is_its_file_name(group: str):
    label = {"model": model_label, "head": head_label}[group]
    for path in (conf_dir() / group).glob("*.yaml"):
        if path.stem not in ("hub", "features"):  # whose labels come from a name or folder
            named = label({group: OmegaConf.to_container(OmegaConf.load(path))})
            assert named == path.stem or (group == "head" and path.stem.startswith(f"{named}_"))


NAMES: dict[str, tuple[list[str], str]] = {
    "default": ([], "builtin/all/ridge/it/s0"),
    "axes": (["model=random", "layer=3", "held_out=en", "seed=2", "head=mlp"], "random/L3/mlp/en/s2"),
    "hub": (["model=hub", "model.name=facebook/hubert-large-ll60k"], "facebook--hubert-large-ll60k/all/ridge/it/s0"),
    "speaker": (["split=sentence", "held_out=fold3"], "builtin/all/ridge/fold3/s0-"),
    "slash": (["split=speaker", "held_out=virtual/m1"], "builtin/all/ridge/virtual-m1/s0-"),
}


@pytest.mark.parametrize("case", NAMES)
def test_runs_are_named_by_their_axes(case: str):
    overrides, expected = NAMES[case]
    name = name_of(composed("train", *overrides))
    assert name.startswith(expected) if expected.endswith("-") else name == expected


def test_models_of_one_name_by_two_owners_have_runs_of_their_own():
    names = {name_of(composed("train", "model=hub", f"model.name={owner}/hubert")) for owner in ("a", "b")}
    assert len(names) == 2


def test_a_model_changed_under_its_label_has_a_run_of_its_own():
    changed = name_of(composed("train", "model=hubert_base", "model.name=me/hubert-tuned"))
    assert changed != name_of(composed("train", "model=hubert_base"))
    assert name_of(composed("train", "head=mlp", "head.seed=3")) != name_of(composed("train", "head=mlp"))


WITHOUT_EFFECT = [
    "paths.data=/elsewhere", "paths.cache=/x", "tracking=off", "tracking.project=x", "features.cache=false",
    "data.num_workers=4", "launcher=local", "split=language", f"corpora=[{DEMO}]", "trainer=gpu", "optimizer.lr=0.5",
    "patience=3", "data.batch_size=2",
]  # fmt: skip


@pytest.mark.parametrize("override", WITHOUT_EFFECT)
def test_what_cannot_change_the_number_does_not_change_the_name(override: str):
    assert name_of(composed("train", override)) == "builtin/all/ridge/it/s0"


WITH_EFFECT = [
    "corpora=[hprc]", "model.random_seed=1", "head.alphas=[1]", "split=speaker", "split.disjoint_text=false",
    "ema.lowpass_hz=20", "features.storage=float32",
]  # fmt: skip


@pytest.mark.parametrize(
    "argument",
    ["profiler=simple", "deterministic=true", "logger=false", "enable_progress_bar=false", "detect_anomaly=true"],
)
def test_what_cannot_change_a_trained_head_does_not_change_the_name(argument: str):
    assert name_of(composed("train", "head=mlp", f"+trainer.{argument}")) == "builtin/all/mlp/it/s0"


def test_what_can_change_the_number_gets_a_name_of_its_own():
    names = {name_of(composed("train", override, "held_out=it")) for override in WITH_EFFECT}
    assert len(names) == len(WITH_EFFECT) and "builtin/all/ridge/it/s0" not in names


@pytest.mark.parametrize("override", ["optimizer.lr=0.5", "patience=3", "data.batch_size=2", "trainer=debug"])
def test_training_settings_name_only_heads_that_are_trained(override: str):
    assert name_of(composed("train", "head=mlp", override)).startswith("builtin/all/mlp/it/s0-")
    assert name_of(composed("train", "head=mlp", "trainer=gpu")) == "builtin/all/mlp/it/s0"


def test_the_number_of_ranks_names_a_run_but_not_where_they_are():
    named = {
        devices: name_of(composed("train", "head=mlp", "trainer=ddp", *devices))
        for devices in [
            ("trainer.devices=1",),
            (),
            ("trainer.devices=1", "trainer.num_nodes=2"),
            ("trainer.devices=4",),
        ]
    }
    alone, two, apart, four = named.values()
    assert alone == name_of(composed("train", "head=mlp")) == "builtin/all/mlp/it/s0"
    assert two == apart == name_of(composed("train", "head=mlp", "trainer=gpu", "trainer.devices=2"))
    assert len({alone, two, four}) == 3
    assert differences_of(composed("train", "head=mlp", "trainer=ddp")) == {"trainer.ranks": 2}


def test_differences_are_what_was_overridden():
    settings = composed("train", "ema.lowpass_hz=20", "corpora=[hprc,mspka]")
    assert differences_of(settings) == {"ema.lowpass_hz": 20.0, "corpora": ["hprc", "mspka"]}


HOSTILE = [
    "os.system", "subprocess.run", "builtins.eval", "tractprobe.system.files.os.system",
    "tractprobe.runs.hydra.logging.shutdown",
    "pytorch_lightning.trainer.trainer.os.system", "torch.load", "torch.hub.load", "pickle.loads",
    "tractprobe.jobs.nothing_of_the_kind", "tractprobe.runs.result.RESULT", "tractprobe.splits.SplitRule.__init__",
    "pytorch_lightning.trainer.Trainer", "antigravity",
]  # fmt: skip


@pytest.mark.parametrize("target", HOSTILE)
def test_a_configuration_can_only_build_what_is_ours(target: str, tmp_path: Path):
    for node in ({"_target_": target}, {"_target_": "tractprobe.splits.SplitRule", "by": {"_target_": target}}):
        with pytest.raises(ConfigError, match="_target_"):
            build(node)


@pytest.mark.parametrize("key", ["_args_", "_partial_", "_convert_", "_recursive_"])
def test_a_configuration_cannot_steer_how_things_are_built(key: str):
    for node in ({key: ["language"]}, {"by": {"x": {key: True}}}):
        with pytest.raises(ConfigError, match=key):
            build({"_target_": "tractprobe.splits.SplitRule", **node})


@pytest.mark.parametrize("target", sorted(PUBLIC))
def test_every_target_is_there_and_is_used_by_a_configuration(target: str):
    assert callable(PUBLIC[target].load())
    assert any(f"_target_: {target}\n" in path.read_text() for path in conf_dir().rglob("*.yaml"))


@pytest.mark.parametrize("override", ["data.temperature=inf", "data.temperature=.inf", "ema.lowpass_hz=nan"])
def test_numbers_without_end_are_named(override: str):
    if override == "data.temperature=.inf":  # a text to Hydra; the data module says so
        assert composed("train", override)["data"]["temperature"] == ".inf"
        return
    with pytest.raises(ConfigError, match="expected a finite number"):
        composed("train", override)


def test_what_a_target_refuses_is_said_in_its_own_words():
    with pytest.raises(ConfigError, match=r"split\.folds and split\.validation_folds must be at least 2"):
        build({"_target_": "tractprobe.splits.SplitRule", "by": "sentence", "folds": 1})


def shell(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=REPOSITORY, capture_output=True, text=True, check=False)


QUICK: list[tuple[str, ...]] = [
    ("train.py", "--help"), ("train.py", "--cfg", "job"), ("evaluate.py", "--help"), ("-m", "tractprobe.cli", "--help"),
    ("-m", "tractprobe.cli", "table", "--help"), ("-m", "tractprobe.cli", "prepare", "--help"),
]  # fmt: skip


@pytest.mark.parametrize("command", QUICK, ids=" ".join)
def test_help_answers_before_anything_heavy_is_imported(command: tuple[str, ...]):
    result = shell("-X", "importtime", *command)
    assert result.returncode == 0, result.stderr[-500:]
    assert len(result.stdout) > 200
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert not imported & {"torch", "transformers", "pytorch_lightning", "lhotse", "wandb", "scipy", "torchmetrics"}


def test_configuration_files_hold_targets_and_their_arguments_only():
    for root, group, option in options():
        node = OmegaConf.to_container(OmegaConf.load(conf_dir() / group / f"{option}.yaml"))
        assert "_target_" in node and "defaults" not in node, (root, group, option)
        first = (conf_dir() / group / f"{option}.yaml").read_text().splitlines()[0]
        assert first.startswith("# ") or group == "optimizer", (group, option)


@given(
    st.dictionaries(
        st.from_regex(r"[ab][ab-]{0,3}", fullmatch=True),
        st.sets(st.from_regex(r"[ab][ab-]{0,3}", fullmatch=True), min_size=1, max_size=3),
        min_size=2,
        max_size=3,
    )
)
def test_no_two_speakers_share_a_run(speakers: dict[str, set[str]]):
    """Neither by full names nor by those without the corpus; a hyphen joins both and may be in either."""
    run = RunId("mel", "all", "ridge", None, 0, "speaker", {}, tuple(speakers))
    full = [f"{corpus}/{name}" for corpus, names in speakers.items() for name in names]
    alone = {name for names in speakers.values() for name in names}
    assert len({replace(run, held_out=name).name for name in [*full, *alone]}) == len(full) + len(alone)
    for corpus, names in speakers.items():
        by_itself = replace(run, corpora=(corpus,))
        for name in names:
            assert replace(by_itself, held_out=f"{corpus}/{name}").name == f"mel/all/ridge/{corpus}-{name}/s0"


FROM_FILES = {
    "held_out": lambda raw: {"held_out": "${watched:1}"},
    "name": lambda raw: {"model": raw["model"] | {"name": "${watched:1}"}},
    "label": lambda raw: {"model": raw["model"] | {"label": "${watched:1}"}},
    "root": lambda raw: {"model": {"_target_": "tractprobe.encoders.precomputed.Precomputed", "root": "${watched:1}"}},
    "another's file of settings": lambda raw: {"model": raw["model"] | {"label": "EVIL"}},
}


@pytest.mark.parametrize("case", FROM_FILES)
def test_nothing_that_came_from_a_file_is_interpolated(configure: Any, tmp_path: Path, case: str):
    """Another's result.json may say anything; resolving it would read the environment, or call a plug-in's resolver."""
    resolved = []
    OmegaConf.register_new_resolver("watched", lambda *given: resolved.append(given) or "x", replace=True)
    (tmp_path / "evil.yaml").write_text("label: ${watched:2}\n")
    raw = plain(configure("model=hub", "model.name=some/model", "held_out=it"))
    changed = json.loads(json.dumps(FROM_FILES[case](raw)).replace("EVIL", str(tmp_path / "evil")))
    identity = Settings.of(raw | changed).id
    assert identity.name and identity.differences is not None and not resolved
    assert identity.held_out == changed.get("held_out", "it")
