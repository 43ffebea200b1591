"""Whether a run directory holds the result that is asked for."""

import logging
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from tractprobe.corpora.prepared import texts
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.encoders.feature_files import DESCRIPTION, content_sha256
from tractprobe.runs.identity import changes
from tractprobe.runs.result import RunResult, read_result
from tractprobe.runs.settings import Settings
from tractprobe.system.errors import RunError
from tractprobe.system.files import file_sha256
from tractprobe.system.registry import names_of

log = logging.getLogger(__name__)


def finished(settings: Settings) -> RunResult:
    """Return the result of a finished run, having checked that it is of these settings and of the present corpora."""
    result = read_result(settings.folder)
    check_unchanged(settings, result["settings"], result["identity"], result.get("model_files", {}))
    log.info("finished already: %s", settings.folder)
    return result


def check_unchanged(
    settings: Settings, then: Mapping[str, Any], identity: Mapping[str, Any], files: Mapping[str, str]
) -> None:
    """Raise RunError if a finished run is of other settings, corpora or files of the model than there are now.

    Parameters
    ----------
    then, identity, files
        The settings, identity and hashes of the model's files that the run recorded.
    """
    folder = settings.folder
    if changed := changes(dict(then), settings.raw):
        raise RunError(
            f"{folder} was finished with other settings: {'; '.join(changed)}. Remove it to run again, or give this "
            "run a place of its own with model.label=<name> or paths.runs=<folder>"
        )
    if files != (now := model_files(settings)):
        raise RunError(
            f"{folder} was finished with other files of {_model_folder(settings)} than there are now "
            f"({', '.join(now) or 'none'}); remove it to run again, or give this run a place of its own with "
            "model.label=<name> or paths.runs=<folder>"
        )
    for name, content_hash in identity["corpora"].items():
        if (settings.paths.data / name).is_dir():
            corpus = PreparedCorpus(settings.paths.data / name)
            if corpus.content_hash != content_hash:
                raise RunError(
                    f"{folder} was finished on another version of corpus {name}; remove it to run again, or keep it "
                    "and give paths.runs=<another folder>"
                )
            if "texts" not in identity and _version_of_texts(corpus.folder, content_hash) > 1:
                log.warning("%s was split by %s; remove it to run again", folder, texts.OLDER)


@lru_cache(maxsize=64)  # the runs of a study share their corpora
def _version_of_texts(corpus: Path, content_hash: str) -> int:
    return texts.version(PreparedCorpus(corpus).entries)


def model_files(settings: Settings) -> dict[str, str]:
    """Return the hashes of a local model's files, which tell a finished run whether its encoder has changed since."""
    folder = _model_folder(settings)
    if settings.model.target in names_of("states"):
        times = {DESCRIPTION: file_sha256(path)} if (path := folder / DESCRIPTION).is_file() else {}
        return times | ({name: content_sha256(folder, name) for name in settings.corpora} if folder.is_dir() else {})
    paths = [path for suffix in ("*.safetensors", "*.json") for path in folder.glob(suffix)] if folder.is_dir() else []
    return {path.name: file_sha256(path) for path in sorted(paths)}


def _model_folder(settings: Settings) -> Path:
    arguments = settings.model.arguments
    key = "root" if settings.model.target in names_of("states") else "name"
    return Path(arguments.get(key) or "/none")
