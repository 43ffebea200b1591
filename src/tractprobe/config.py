"""From Hydra's configuration to plain values, objects and the name of the run.

What cannot change a number does not enter a run's name; what can does. The five axes are spelled out, everything else
that differs from the shipped configuration is summed up in a short hash behind the seed.
"""

import logging
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from hydra.errors import CompactHydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tractprobe.errors import ConfigError, TractprobeError, first_line
from tractprobe.files import digest, file_safe

Plain = dict[str, Any]

log = logging.getLogger(__name__)

TARGETS = frozenset({
    "pytorch_lightning.Trainer",
    "torch.optim.AdamW",
    "torch.optim.lr_scheduler.ConstantLR",
    "torch.optim.lr_scheduler.CosineAnnealingLR",
    "torch.optim.lr_scheduler.LinearLR",
    "tractprobe.conditioning.Conditioning",
    "tractprobe.corpora.articulograph.Articulograph",
    "tractprobe.corpora.ema_mae.EmaMae",
    "tractprobe.corpora.emu.Emu",
    "tractprobe.corpora.folder.Folder",
    "tractprobe.corpora.frost.FrostEma",
    "tractprobe.corpora.hprc.Hprc",
    "tractprobe.corpora.mngu0.Mngu0",
    "tractprobe.corpora.mocha.Mocha",
    "tractprobe.corpora.mspka.Mspka",
    "tractprobe.corpora.ndi_wave.NdiWave",
    "tractprobe.corpora.pb2007.Pb2007",
    "tractprobe.corpora.spire.Spire",
    "tractprobe.corpora.torgo.Torgo",
    "tractprobe.corpora.usc_timit.UscTimit",
    "tractprobe.corpora.xrmb.Xrmb",
    "tractprobe.encoders.mel.LogMel",
    "tractprobe.encoders.mel.Mfcc",
    "tractprobe.encoders.pretrained.pretrained",
    "tractprobe.encoders.untrained.random_weights",
    "tractprobe.encoders.untrained.untrained",
    "tractprobe.encoders.voice.Voice",
    "tractprobe.heads.Conv",
    "tractprobe.heads.Gru",
    "tractprobe.heads.Mlp",
    "tractprobe.heads.Transformer",
    "tractprobe.heads.Weighted",
    "tractprobe.objective.Both",
    "tractprobe.objective.Mse",
    "tractprobe.objective.Pearson",
    "tractprobe.ridge.Ridge",
    "tractprobe.splits.SplitRule",
    "tractprobe.tracking.Tracking",
})  # fmt: skip
"""All that a configuration may build, by exact name: runs and studies of others are configurations, too."""

_NAMED = ("model.label", "layer", "held_out", "seed", "head._target_")
_WITHOUT_EFFECT = (
    "paths", "tracking", "launcher", "features.cache", "data.num_workers", "trainer.accelerator", "trainer.devices",
    "trainer.num_nodes", "trainer.strategy",
    "model.local_files_only", "model.about", "split.default_held_out", "checkpoint_s",
)  # fmt: skip
_WHOLE = {"seed": 0, "patience": 1, "data.batch_size": 1, "data.num_workers": 0}  # and the least that is taken
_POSITIVE = ("checkpoint_s", "data.batch_s")
_ONLY_FOR_GRADIENTS = ("together", "objective", "optimizer", "schedule", "trainer", "patience", "data")


def conf_dir() -> Path:
    """Return the folder of configuration files: the checkout's, or the one inside an installed package."""
    installed = Path(__file__).parent / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "conf"


def register_resolvers() -> None:
    """Make ``${run_name:}`` and ``${builtin_corpus:}`` known to OmegaConf."""
    OmegaConf.register_new_resolver("run_name", _run_name_of_root, replace=True)
    OmegaConf.register_new_resolver("builtin_corpus", builtin_corpus, replace=True)


def builtin_corpus() -> str:
    """Return the folder of the corpus that is part of the package."""
    return str(resources.files("tractprobe") / "builtin")


def plain(config: DictConfig) -> Plain:
    """Return a configuration as plain values, interpolations resolved; ConfigError names what lacks or cannot be."""
    try:
        settings = {str(key): _plain(config, key) for key in config if key != "hydra"}
        if isinstance(layers := settings.get("layer"), list):  # side by side, in whatever order
            settings["layer"] = sorted(layers, key=lambda layer: (str(type(layer)), layer))
        model = settings.get("model", {})
        if "name" in model and Path(model["name"]).expanduser().is_dir():
            model["name"] = str(Path(model["name"]).expanduser().resolve())
        _check_numbers(flat(settings))
        return settings
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or 'configuration'}: {str(error).splitlines()[0]}") from None


def _check_numbers(values: Plain) -> None:
    for key, value in values.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{key}={value}: a finite number is wanted")
        if key in _WHOLE and not (number and isinstance(value, int) and value >= _WHOLE[key]):
            raise ConfigError(f"{key}={value}: a whole number, {_WHOLE[key]} or more, is wanted")
        if key in _POSITIVE and not (number and value > 0):
            raise ConfigError(f"{key}={value}: a number above 0 is wanted")


@contextmanager
def clear_errors() -> Iterator[None]:
    """Log what a user can put right and let Hydra print it as one message, without a traceback."""
    try:
        yield
    except TractprobeError as error:
        log.error("%s", error)
        raise CompactHydraException(str(error)) from error


def build(node: Mapping[str, Any], **more: Any) -> Any:
    """Instantiate a node's ``_target_``, one of TARGETS.

    Its arguments are values and never built here; the target may build one of them that is a node, too.
    """
    target = node.get("_target_")
    for one in (target, *(value for key, value in flat(node).items() if key.endswith("._target_"))):
        if one not in TARGETS:
            raise ConfigError(f"_target_ {one} is not one of {', '.join(sorted(TARGETS))}")
    special = [key for key in flat(node) if re.search(r"(^|\.)_(?!target_$)\w+_($|\.)", key)]
    if special:
        raise ConfigError(f"{target} takes values, not {', '.join(special)}")
    try:
        return instantiate(dict(node), **more, _recursive_=False, _convert_="all")
    except Exception as error:  # Hydra wraps whatever the target raised
        cause = error.__cause__ or error
        if isinstance(cause, TractprobeError):
            raise cause from None
        raise ConfigError(f"{target}: {first_line(cause)}") from cause


def run_name(settings: Plain) -> str:
    """Return the run's directory below ``paths.runs``: ``<model>/<layer>/<head>/<held_out>/s<seed>[-<hash>]``."""
    layer = settings["layer"]
    layer = "+".join(map(str, layer)) if isinstance(layer, list) else layer
    layer = layer if layer == "all" else f"L{layer}"
    held_out = str(settings["held_out"]).replace("/", "-")
    changed = differences(settings)
    suffix = f"-{digest(changed)[:6]}" if changed else ""
    return f"{model_label(settings)}/{layer}/{head_label(settings)}/{held_out}/s{settings['seed']}{suffix}"


def differences(settings: Plain) -> Plain:
    """Return what can change a number and differs from the shipped configuration, as ``{dotted key: value}``."""
    stock = flat(_stock(settings))
    effective = _effective(settings)
    return {key: value for key, value in effective.items() if stock.get(key) != value and not _under(key, _NAMED)}


def changes(before: Plain, now: Plain) -> list[str]:
    """Return what can change a number and differs between the settings of two runs, as ``key: before -> now``.

    What only one of them has is left out: a later version may have given a name to what always was so.
    """
    old, new = flat(before), _effective(now)
    return [f"{key}: {old[key]} -> {new[key]}" for key in sorted(old.keys() & new.keys()) if old[key] != new[key]]


def _effective(settings: Plain) -> Plain:
    ignored = (*_WITHOUT_EFFECT, *(_ONLY_FOR_GRADIENTS if head_label(settings) == "ridge" else ()))
    ranks = {"trainer.ranks": number} if (number := num_ranks(settings)) > 1 else {}  # wherever they are
    return {key: value for key, value in (flat(settings) | ranks).items() if not _under(key, ignored)}


def _under(key: str, names: Sequence[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)


def model_label(settings: Plain) -> str:
    """Return the encoder's short name."""
    return settings["model"].get("label") or file_safe(settings["model"]["name"])


def head_label(settings: Plain) -> str:
    """Return the head's short name: its class, in lower case."""
    return settings["head"]["_target_"].rpartition(".")[2].lower()


def num_ranks(settings: Plain) -> int:
    """Return how many processes train together: one for each device of each node."""
    count = 1
    for name in ("devices", "num_nodes"):
        number = settings["trainer"].get(name, 1)
        if not isinstance(number, int) or number < 1:
            raise ConfigError(f"trainer.{name}={number}: a number, 1 or more; CUDA_VISIBLE_DEVICES says which devices")
        count *= number
    if count > 1 and (strategy := settings["trainer"].get("strategy", "auto")) not in ("auto", "ddp"):
        raise ConfigError(f"trainer.strategy={strategy}: ddp is the one that several devices train by")
    return count


def _run_name_of_root(*, _root_: DictConfig) -> str:
    try:
        return run_name(plain(_root_))
    except ConfigError:
        return "unnamed"  # Hydra would wrap the error beyond recognition; the job itself raises it again


def _plain(config: DictConfig, key: Any) -> Any:
    value = config[key]
    if OmegaConf.is_config(value):
        return OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
    return value


def _stock(settings: Plain) -> Plain:
    """Return the shipped configuration with this run's model and head, everything else as by default."""
    root = OmegaConf.load(conf_dir() / "train.yaml")
    assert isinstance(root, DictConfig)
    options = {"model": settings["model"].get("label") or "hub", "head": head_label(settings)}
    for entry in root.pop("defaults"):
        if isinstance(entry, str):
            continue
        (group, option), *_ = entry.items()
        file = conf_dir() / group / f"{options.get(group, option)}.yaml"
        if group in settings and file.is_file():
            root[group] = OmegaConf.load(file)
    root.pop("hydra")
    named = {"seed": settings["seed"], "held_out": settings["held_out"]}
    if not settings["model"].get("label"):  # the label then comes from the name
        named["model"] = {"name": settings["model"]["name"]}
    root = OmegaConf.merge(root, named)
    return plain(root)  # type: ignore[arg-type]


def flat(value: Any, prefix: str = "") -> Plain:
    """Return nested values as ``{dotted key: value}``.

    >>> flat({"a": {"b": 1}, "c": [2]})
    {'a.b': 1, 'c': [2]}
    """
    if not isinstance(value, Mapping):
        return {prefix: value}
    return {key: one for name, part in value.items() for key, one in flat(part, f"{prefix}.{name}".lstrip(".")).items()}
