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
    if BUILTIN in names and (raw_folder := PreparedCorpus.source(data / BUILTIN)) in (None, builtin_corpus()):
        has_source = raw_folder is not None and bool(PreparedCorpus(data / BUILTIN).source_origins)
        prepare(Folder(BUILTIN, Path(builtin_corpus())), data, source_channels=has_source)
    return [PreparedCorpus(data / name) for name in names]


def each_held_out(settings: Settings) -> list[Settings]:
    """Return the settings of one run for each value that ``held_out`` can have."""
    corpora = open_corpora(settings.corpora, settings.paths.data)
    entries = [entry for corpus in corpora for entry in corpus.entries]
    return [settings.holding_out(value) for value in build(settings.split).values(entries)]
