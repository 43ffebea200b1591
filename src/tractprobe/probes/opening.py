"""Opening what settings name: prepared corpora, and each value that can be held out. Nothing slow is imported here."""

from collections.abc import Sequence
from pathlib import Path

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.runs.building import build
from tractprobe.runs.hydra import builtin_corpus
from tractprobe.runs.settings import Settings
from tractprobe.system.errors import ConfigError

BUILTIN = "virtual"


def open_corpora(names: str | Sequence[str], data: Path) -> list[PreparedCorpus]:
    """Open prepared corpora by name; the built-in one is prepared first if it has not been."""
    if isinstance(names, str):
        raise ConfigError(f"corpora={names}: give a list, corpora=[{names}]")
    if not names or len(set(names)) != len(names):
        raise ConfigError(f"corpora={list(names)}: expected names of prepared corpora, each once")
    if BUILTIN in names:
        _prepare_builtin(data, Path(builtin_corpus()))
    return [PreparedCorpus(data / name) for name in names]


def _prepare_builtin(data: Path, root: Path) -> None:
    """Prepare the built-in corpus if nothing lies under its name, or that is an older version of it."""
    made_from = PreparedCorpus.source(data / BUILTIN)
    if made_from is None or made_from.resolve() == root.resolve():
        has_source = made_from is not None and bool(PreparedCorpus(data / BUILTIN).source_origins)
        prepare(Folder(BUILTIN, root), data, source_channels=has_source)


def each_held_out(settings: Settings) -> list[Settings]:
    """Return the settings of one run for each value that ``held_out`` can have."""
    corpora = open_corpora(settings.corpora, settings.paths.data)
    entries = [entry for corpus in corpora for entry in corpus.entries]
    return [settings.holding_out(value) for value in build(settings.split).values(entries)]
