"""Opening what settings name: prepared corpora, and each value that can be held out. Nothing slow is imported here."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.corpora.utterance import Reader
from tractprobe.encoders.builtin import PUBLIC_NAME as BUILTIN_ENCODER
from tractprobe.encoders.builtin import builtin_folder
from tractprobe.encoders.layers import as_layers, shown
from tractprobe.encoders.sizes import check_blocks, check_context, check_mel, check_mfcc
from tractprobe.probes.sizes import check_inner_sizes, check_penalties, check_sizes
from tractprobe.runs.building import build, check_nodes
from tractprobe.runs.hydra import BUILTIN, builtin_corpus
from tractprobe.runs.identity import head_label, shipped_layers
from tractprobe.runs.ranks import check_devices
from tractprobe.runs.result import is_finished
from tractprobe.runs.settings import ALL, Node, Settings
from tractprobe.runs.trainer import check_accelerator, check_trainer
from tractprobe.system.errors import ConfigError, CorpusError, first_line
from tractprobe.system.files import read_json
from tractprobe.system.printable import printable
from tractprobe.system.registry import names_of

log = logging.getLogger(__name__)

_PRETRAINED = "tractprobe.encoders.pretrained.pretrained"


def check(settings: Settings, *, writes: bool = True, here: bool = True) -> None:
    """Raise what is wrong with the settings of a run that is still to be done, as far as can be told in a moment.

    Parameters
    ----------
    writes
        Whether built-in corpora may be prepared for it; otherwise what follows from it is not checked.
    here
        Whether this machine is to do it, and so must have the devices.
    """
    if (settings.held_out != ALL or settings.analysis) and is_finished(settings.folder):
        return
    check_nodes(settings)
    check_trainer(settings)
    check_devices(settings)
    if here:
        check_accelerator(settings)
    build(settings.tracking)
    if settings.analysis:
        _check_analysis(settings)
    _check_model_folder(settings)
    _check_sizes(settings)
    _check_targets(settings)
    _check_layers(settings)
    if not writes and any(not (settings.paths.data / name).exists() for name in settings.corpora if name in BUILTIN):
        return
    utterances = _check_division(
        json.dumps(settings.corpora), settings.paths.data.absolute(), json.dumps(settings.split.plain),
        ALL if settings.analysis else settings.held_out, settings.seed,
    )  # fmt: skip
    if not settings.closed_form:
        _check_limits(settings, utterances)


def _check_analysis(settings: Settings) -> None:
    assert settings.analysis is not None
    if not settings.closed_form:
        label = head_label(settings.raw)
        raise ConfigError(f"head={label}: an analysis fits heads in closed form; give head=ridge, or leave it out")
    build(settings.analysis)


def _check_model_folder(settings: Settings) -> None:
    of_states = settings.model.target in names_of("states")
    key = "root" if of_states else "name"
    given = str(settings.model.arguments.get(key, ""))
    is_place = of_states or given.startswith((".", "/", "~")) or given.count("/") > 1  # and no id on the Hub
    folder = Path(given).expanduser()
    if settings.model.target in (_PRETRAINED, *names_of("states")) and is_place and not folder.is_dir():
        where = "" if folder.is_absolute() else f" in {Path.cwd()}"
        raise ConfigError(f"model.{key}={given}: no such folder{where}")


def _check_sizes(settings: Settings) -> None:
    """Check head and encoder as building them would, which takes torch and, of an encoder, time."""
    for node in (settings.head, settings.model):
        try:
            _SIZES.get(node.target, lambda **_: None)(**node.arguments)
        except TypeError as error:
            raise ConfigError(f"{node.key}: {first_line(error)}") from error


_SIZES: Mapping[str, Callable[..., None]] = {
    **dict.fromkeys((f"tractprobe.heads.{name}" for name in ("Conv", "Gru", "Mlp", "Transformer")), check_sizes),
    "tractprobe.heads.Weighted": check_inner_sizes,
    "tractprobe.ridge.Ridge": check_penalties,
    "tractprobe.encoders.mel.LogMel": check_mel,
    "tractprobe.encoders.mel.Mfcc": check_mfcc,
    "tractprobe.encoders.voice.Voice": check_context,
    "tractprobe.encoders.untrained.untrained": check_blocks,
}


def _check_targets(settings: Settings) -> None:
    from tractprobe.data.targets import Targets

    Targets(settings.targets, build(settings.ema))


def _check_layers(settings: Settings) -> None:
    count = shipped_layers(settings.raw) or _NUM_LAYERS.get(settings.model.target, lambda _: None)(settings)
    if count is not None:
        as_layers(settings.layer, count, settings.id.model)


def _of_folder(settings: Settings) -> int | None:
    """Return how many layers the model of a local folder has."""
    return _in_folder(Path(settings.model.arguments["name"]).expanduser())


def _in_folder(folder: Path) -> int | None:
    file = folder / "config.json"
    if not file.is_file():
        return None
    config = read_json(file)
    names = ("encoder_layers", "num_hidden_layers")
    blocks = next((config[name] for name in names if name in config), None) if isinstance(config, dict) else None
    return blocks + 1 if type(blocks) is int and blocks > 0 else None


_NUM_LAYERS: Mapping[str, Callable[[Settings], int | None]] = {  # of encoders that need not be built to tell
    "tractprobe.encoders.mel.LogMel": lambda _: 1,
    "tractprobe.encoders.mel.Mfcc": lambda _: 1,
    "tractprobe.encoders.voice.Voice": lambda _: 1,
    "tractprobe.encoders.untrained.untrained": lambda settings: settings.model.arguments.get("layers", 4) + 1,
    _PRETRAINED: _of_folder,
    BUILTIN_ENCODER: lambda _: _in_folder(builtin_folder()),
}


@cache
def _check_division(names: str, data: Path, split: str, held_out: str | None, seed: int) -> int:
    """Divide the corpora once for all jobs of a sweep that divide them in the same way; return how many utterances."""
    entries = [entry for corpus in open_corpora(json.loads(names), data) for entry in corpus.entries]
    rule = build(Node.of("split", json.loads(split)))
    if held_out == ALL:
        rule.values(entries)
    else:
        rule(entries, held_out, seed)
    return len(entries)


def _check_limits(settings: Settings, utterances: int) -> None:
    """Raise ConfigError for a share of the batches that is none, had each utterance a batch to itself."""
    for name in ("limit_train_batches", "limit_val_batches"):
        share = settings.trainer.arguments.get(name)
        if isinstance(share, float) and share * utterances < 1:
            raise ConfigError(
                f"trainer.{name}={share}: of {utterances} utterances this is not one batch; give a larger share, a "
                "whole number of batches, or null for all"
            )


def open_corpora(names: Any, data: Path) -> list[PreparedCorpus]:
    """Open prepared corpora by name, of which all have movements; built-in ones are prepared first if need be."""
    if isinstance(names, str):
        raise ConfigError(f"corpora={names}: give a list, corpora=[{names}]")
    if not isinstance(names, Sequence) or not names or not all(map(_is_name, names)) or len(set(names)) != len(names):
        raise ConfigError(
            f"corpora={shown(names)}: expected names of prepared corpora below {data}, each once; "
            "paths.data=<folder> if they are elsewhere"
        )
    for name in names:
        if name in BUILTIN:
            _prepare_builtin(name, data)
    corpora = [PreparedCorpus(data / name) for name in names]
    for corpus in corpora:
        corpus.check_movements()
    return corpora


def _is_name(name: object) -> bool:
    """Whether a value names a corpus, and not a place: names become parts of file names."""
    return isinstance(name, str) and Path(name).name == name and not name.startswith(".")


def _prepare_builtin(name: str, data: Path) -> None:
    """Prepare a built-in corpus if nothing lies under its name, or the same by another version of this program.

    What an older package prepared under the name is another corpus. It is used as it is, which is said: whoever has
    finished runs on it can go on with them, and none of them becomes a run on a corpus that it has never met.
    """
    reader, folder = Folder(name, Path(builtin_corpus(name))), data / name
    made_from = PreparedCorpus.source(folder)
    if (older := of_older_package(reader, data)) is not None:
        _warn(f"{older}, and is used as it is, so that runs on it go on")
    elif made_from is None or made_from.resolve() == reader.root.resolve():
        has_source = made_from is not None and bool(PreparedCorpus(folder).source_origins)
        prepare(reader, data, source_channels=has_source)


def of_older_package(reader: Reader, data: Path) -> str | None:
    """Return what to do about a built-in corpus that was prepared from an older package, or ``None`` if none was.

    It has another number of utterances, or says something else of itself, than the one that is part of this package.
    """
    folder = data / reader.name
    made_from = PreparedCorpus.source(folder) if reader.name in BUILTIN else None
    if made_from is None or not any(f"/tractprobe/{place}/" in f"{made_from}/" for place in BUILTIN.values()):
        return None
    try:
        corpus = PreparedCorpus(folder)
    except CorpusError:  # of an earlier format, or damaged: preparing it says so
        return None
    now = Folder(reader.name, Path(builtin_corpus(reader.name)))
    count = corpus.description["utterances"] + len(corpus.description["skipped"])
    said = {name: corpus.description.get(name) for name in ("generator", "description")}
    if count == len(now.sources()) and said == {name: now.about().get(name) for name in said}:
        return None
    older = data / "older"
    return (
        f"{folder} holds the built-in corpus of an older package ({count} utterances, content "
        f"{corpus.content_hash[:6]}; for the present one: mkdir -p {older} && mv {folder} {older}/, and "
        f"paths.data={older} reads the older one)"
    )


@cache
def _warn(message: str) -> None:
    log.warning("%s", printable(message))


def each_held_out(settings: Settings) -> list[Settings]:
    """Return the settings of one run for each value that ``held_out`` can have."""
    corpora = open_corpora(settings.corpora, settings.paths.data)
    entries = [entry for corpus in corpora for entry in corpus.entries]
    return [settings.holding_out(value) for value in build(settings.split).values(entries)]


def names_of_runs(settings: Settings) -> tuple[str, ...]:
    """Return the names of the runs that settings ask for; of all values the study's, if a corpus is missing."""
    prepared = all((settings.paths.data / name).is_dir() for name in settings.corpora)
    if settings.held_out != ALL or settings.analysis or not prepared:
        return (settings.name,)
    return tuple(own.name for own in each_held_out(settings))
