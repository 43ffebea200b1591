"""The name of a run.

What cannot change a number does not enter a run's name; what can does. The five axes are spelled out, everything else
that differs from the shipped configuration is summed up in a short hash after the seed.
"""

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tractprobe.runs.configuration import Plain, conf_dir, flat, plain
from tractprobe.runs.options import option_file
from tractprobe.system.errors import ConfigError
from tractprobe.system.files import digest, file_safe
from tractprobe.system.registry import PUBLIC, Kind, names_of

_NAMED = ("model.label", "layer", "held_out", "seed", "head._target_")
_WITHOUT_EFFECT = (
    "paths", "tracking", "launcher", "features.cache", "data.num_workers", "trainer.accelerator", "trainer.devices",
    "trainer.num_nodes", "trainer.strategy",
    "model.local_files_only", "model.about", "split.default_held_out", "checkpoint_s",
    "trainer.profiler", "trainer.deterministic", "trainer.enable_progress_bar", "trainer.detect_anomaly",
    "trainer.inference_mode", "trainer.barebones", "trainer.enable_autolog_hparams", "trainer.model_registry",
    *(f"trainer.{name}" for name in (
        "logger", "enable_checkpointing", "enable_model_summary", "log_every_n_steps", "num_sanity_val_steps",
        "default_root_dir", "use_distributed_sampler", "limit_test_batches", "limit_predict_batches",
    )),
)  # fmt: skip
_TOGETHER, _CROSSED = "+", ":"
_SIMPLE_SPLITS = ("language", "speaker", "sentence", "corpus")
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._]*([/+:][A-Za-z0-9._]+)*")  # what needs no hash to be one of a kind
_LONGEST_FOLDER = 80
_SNAKE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ONLY_FOR_GRADIENTS = ("together", "objective", "optimizer", "schedule", "trainer", "patience", "data", "callbacks")


@dataclass(frozen=True)
class RunId:
    """What tells a run from others; two runs of one identity give one result.

    Attributes
    ----------
    layer
        ``all``, a number, or numbers side by side.
    held_out
        What is held out; several values, which are held out at once, are sorted and joined by ``+``.
    split
        What ``held_out`` names: a language, speaker, sentence fold or corpus, a value of a label, or a crossed cell.
    differences
        What can change a number and differs from the shipped configuration, as ``{dotted key: value}``.
    corpora
        What the run is about; they decide which names of speakers have to be told apart.
    analysis
        The short name of what is to be found out, if the run is an analysis, which decides itself what is held out.
    """

    model: str
    layer: Any
    head: str
    held_out: str | None
    seed: int
    split: str
    differences: Mapping[str, Any]
    corpora: tuple[str, ...] = ()
    analysis: str | None = None

    @classmethod
    def of(cls, settings: Plain) -> "RunId":
        """Derive the identity of a run from its settings."""
        return cls(
            model_label(settings),
            settings["layer"],
            head_label(settings),
            held_out_as_text(settings["held_out"]),
            settings["seed"],
            settings["split"]["by"],
            _differences(settings),
            tuple(corpora) if isinstance(corpora := settings.get("corpora"), list) else (),
            analysis_label(settings),
        )

    @cached_property
    def name(self) -> str:
        """The run's directory below ``paths.runs``: ``<model>/<layer>/<head>/<held_out>/s<seed>[-<hash>]``.

        That of an analysis has ``evidence/<analysis>`` in place of head and held-out value.
        """
        layer = "+".join(map(str, self.layer)) if isinstance(self.layer, list) else self.layer
        layer = layer if layer == "all" else f"L{layer}"
        held_out = _as_folder(str(self.held_out), self.split, self.corpora)
        suffix = f"-{digest(dict(self.differences))[:6]}" if self.differences else ""
        if self.analysis is not None:
            return f"{self.model}/{layer}/evidence/{self.analysis}/s{self.seed}{suffix}"
        return f"{self.model}/{layer}/{self.head}/{held_out}/s{self.seed}{suffix}"


def held_out_as_text(value: Any) -> Any:
    """Return what is held out as results name it, a list as one text; ConfigError if the list is not one of values.

    >>> held_out_as_text(["M04", "F04"]), held_out_as_text("it")
    ('F04+M04', 'it')
    """
    if not isinstance(value, list):
        return value
    shown = f"held_out=[{','.join(map(str, value))}]"
    if numbers := [part for part in value if not isinstance(part, str)]:
        raise ConfigError(f"{shown}: expected texts; one of digits is quoted twice: \"held_out=['{numbers[0]}']\"")
    if not value or len(set(value)) < len(value) or "all" in value:
        raise ConfigError(f"{shown}: expected what to hold out at once, each named once")
    if len(value) > 1 and (joined := [part for part in value if _TOGETHER in part]):
        raise ConfigError(f"{shown}: {joined[0]} contains the sign that joins values and can only be held out alone")
    return _TOGETHER.join(sorted(value))


def _as_folder(held_out: str, split: str, corpora: Sequence[str]) -> str:
    """Return what is held out as the name of a folder, no two alike: a speaker's corpus is joined to it by a hyphen.

    Where the name could be read as a speaker of another corpus, the corpus's own hyphens are written as ``+``. Several
    values, cells and labels end in a hash if what they are called could be read in two ways, or is no file name.

    >>> _as_folder("F04+M04", "speaker", []), _as_folder("it:c/m1", "language:speaker", [])
    ('F04+M04', 'it+c-m1')
    >>> _as_folder("../read aloud", "style", []), _as_folder("a-b/c+d", "speaker", [])
    ('read-aloud@7f6550', 'a-b-c-d@a25ee7')
    >>> _as_folder("a/b-c", "speaker", ["a", "a-b"]), _as_folder("a-b/c", "speaker", ["a", "a-b"])
    ('a-b-c', 'a+b-c')
    >>> _as_folder("a-b/c", "speaker", ["a-b"])
    'a-b-c'
    """
    if split not in _SIMPLE_SPLITS or _TOGETHER in held_out:
        return _of_several(held_out, split)
    corpus, slash, speaker = held_out.partition("/")
    joined = f"{corpus}-{speaker.replace('/', '-')}" if slash else corpus
    own = corpus if slash else None
    if split == "speaker" and any(other != own and joined.startswith(f"{other}-") for other in corpora):
        return joined.replace("-", "+", corpus.count("-"))
    return joined


def _of_several(held_out: str, split: str) -> str:
    folder = held_out.replace(_CROSSED, _TOGETHER).replace("/", "-")
    is_one_of_a_kind = _PLAIN.fullmatch(held_out) and (_CROSSED not in held_out or _CROSSED in split)
    if is_one_of_a_kind and len(folder) <= _LONGEST_FOLDER:
        return folder
    return f"{file_safe(folder).strip('.-')[:_LONGEST_FOLDER]}@{digest(held_out)[:6]}"


def _differences(settings: Plain) -> Plain:
    stock = flat(_stock(settings))
    effective = _effective(settings)
    return {key: value for key, value in effective.items() if stock.get(key) != value and not _under(key, _NAMED)}


def changes(before: Plain, now: Plain) -> list[str]:
    """Return what can change a number and differs between the settings of two runs, as ``key: before -> now``.

    What only one of them has is left out: a later version may have made a setting of what was fixed before.
    """
    old, new = flat(before), _effective(now)
    return [f"{key}: {old[key]} -> {new[key]}" for key in sorted(old.keys() & new.keys()) if old[key] != new[key]]


def _effective(settings: Plain) -> Plain:
    ignored = (*_WITHOUT_EFFECT, *(_ONLY_FOR_GRADIENTS if is_closed_form(settings) else ()))
    if _is_kind(settings["model"], "states"):  # identified by the folder's content, wherever it is
        ignored = (*ignored, "model.root")
    ranks = {"trainer.ranks": number} if (number := num_ranks(settings)) > 1 else {}  # wherever they are
    return {key: value for key, value in (flat(settings) | ranks).items() if not _under(key, ignored)}


def _under(key: str, names: Sequence[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)


def model_label(settings: Plain) -> str:
    """Return the encoder's short name."""
    model = settings["model"]
    return model.get("label") or file_safe(model["root"] if _is_kind(model, "states") else model["name"])


def head_label(settings: Plain) -> str:
    """Return the head's short name: its class, in lower case."""
    return settings["head"]["_target_"].rpartition(".")[2].lower()


def analysis_label(settings: Plain) -> str | None:
    """Return the short name of an analysis, by which its option is called; ``None`` for a run that is none."""
    target = (settings.get("analysis") or {}).get("_target_")
    return None if target is None else _SNAKE.sub("_", str(target).rpartition(".")[2]).lower()


def is_closed_form(settings: Plain) -> bool:
    """Return whether the head is fitted in closed form, without gradients."""
    return settings["head"]["_target_"] in names_of("closed-form head")


def num_ranks(settings: Plain) -> int:
    """Return how many processes train together: one for each device of each node."""
    count = 1
    for name in ("devices", "num_nodes"):
        number = settings["trainer"].get(name, 1)
        if not isinstance(number, int) or number < 1:
            raise ConfigError(f"trainer.{name}={number}: expected 1 or more; CUDA_VISIBLE_DEVICES says which devices")
        count *= number
    if count > 1 and (strategy := settings["trainer"].get("strategy", "auto")) not in ("auto", "ddp"):
        raise ConfigError(f"trainer.strategy={strategy}: several devices can only train by ddp")
    return count


def _stock(settings: Plain) -> Plain:
    """Return the shipped configuration with this run's model and head, everything else as by default."""
    root = _loaded(conf_dir() / "train.yaml")
    options: dict[str, str | None] = {"model": _model_option(settings["model"]), "head": head_label(settings)}
    options["analysis"] = analysis_label(settings)
    for entry in root.pop("defaults"):
        if isinstance(entry, str):
            continue
        (group, option), *_ = entry.items()
        file = _option_file(settings, group, options.get(group, option))
        if file is not None:
            root[group] = _loaded(file)
    root.pop("hydra")
    named: Plain = {}
    if _model_option(settings["model"]) in ("hub", "features"):  # the label then comes from the name or folder
        named = {key: settings["model"][key] for key in ("name", "root", "label") if key in settings["model"]}
    # A run's own texts may come from anybody's result.json: they are put in afterwards, so that nothing resolves them.
    places = {"seed": settings["seed"], "held_out": None} | ({"model": dict.fromkeys(named, "")} if named else {})
    stock = plain(OmegaConf.merge(root, places))  # type: ignore[arg-type]
    return stock | {"held_out": settings["held_out"], "model": {**stock.get("model", {}), **named}}


def shipped_layers(settings: Plain) -> int | None:
    """Return how many layers an encoder that we ship an option for has, if the run has the option as it is."""
    file = conf_dir() / "model" / f"{settings['model'].get('label')}.yaml"
    if not file.is_file() or any(_under(key, ("model",)) for key in _differences(settings)):
        return None
    blocks = OmegaConf.select(_read_once(file), "about.layers")
    return blocks + 1 if isinstance(blocks, int) else None


def _model_option(model: Plain) -> str:
    """Return the option of conf/model that a run's encoder is an instance of, if it has that option's settings."""
    return "features" if _is_kind(model, "states") else model.get("label") or "hub"


def _option_file(settings: Plain, group: str, option: str | None) -> Path | None:
    """Return the file of an option; a plug-in's only for what the plug-in adds, so that it renames no other run."""
    if option is None or settings.get(group) is None or Path(option).name != option:  # not a file that lies elsewhere
        return None
    if (file := conf_dir() / group / f"{option}.yaml").is_file():
        return file
    target = settings[group].get("_target_")
    file = None if target in PUBLIC else option_file(group, option)
    return file if file is not None and _loaded(file).get("_target_") == target else None


def _is_kind(node: Plain, kind: Kind) -> bool:
    return node.get("_target_") in names_of(kind)


def _loaded(file: Path) -> DictConfig:
    return copy.deepcopy(_read_once(file))


@cache
def _read_once(file: Path) -> DictConfig:
    root = OmegaConf.load(file)
    assert isinstance(root, DictConfig)
    return root
