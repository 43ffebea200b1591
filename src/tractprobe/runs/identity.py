"""The name of a run.

What cannot change a number does not enter a run's name; what can does. The five axes are spelled out, everything else
that differs from the shipped configuration is summed up in a short hash behind the seed.
"""

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from tractprobe.runs.settings import Plain, conf_dir, flat, plain
from tractprobe.system.errors import ConfigError
from tractprobe.system.files import digest, file_safe

_NAMED = ("model.label", "layer", "held_out", "seed", "head._target_")
_WITHOUT_EFFECT = (
    "paths", "tracking", "launcher", "features.cache", "data.num_workers", "trainer.accelerator", "trainer.devices",
    "trainer.num_nodes", "trainer.strategy",
    "model.local_files_only", "model.about", "split.default_held_out", "checkpoint_s",
)  # fmt: skip
_ONLY_FOR_GRADIENTS = ("together", "objective", "optimizer", "schedule", "trainer", "patience", "data")


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
