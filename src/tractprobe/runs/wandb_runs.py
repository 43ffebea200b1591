"""Runs of Weights & Biases: begun, named by an id that stays, and finished, whatever happens to network or disk.

W&B is never the record: where it fails, a line says so and the run continues. Nothing is uploaded unless the mode is
``online``; what could not be uploaded lies beside the run, and ``tractprobe wandb-sync`` uploads it.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from tractprobe.runs.configuration import Plain
from tractprobe.system.errors import ConfigError, RunError, first_line, optional
from tractprobe.system.files import digest, write_json

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger, WandbLogger
    from wandb import Run

    Lightning = TypeVar("Lightning", bound=Logger)

Mode = Literal["off", "offline", "online"]

FINISH_S = 120.0
"""How long the end of a run waits for uploads; WANDB_FINISH_TIMEOUT changes it."""

_NOT_UPLOADED = "not-uploaded.json"
_OFFLINE = "W&B: %s; logging offline, `tractprobe wandb-sync` uploads it later"
_gone: list[str] = []  # why a server is not asked again by this process: each time would take a minute and more
_METHODS = ("log_metrics", "log_hyperparams", "log_graph", "log_image", "log_layer", "after_save_checkpoint", "save",
            "finalize")  # fmt: skip
log = logging.getLogger(__name__)


class WandbRun:
    """A run of W&B. What is not trained by Lightning is logged without it: its import takes seconds."""

    def __init__(self, experiment: "Run", begin_offline: "Callable[[], Run | None]" = lambda: None):
        self.experiment = experiment
        self._begin_offline = begin_offline

    @cached_property
    def lightning(self) -> "WandbLogger":
        """Lightning's logger to the run."""
        from pytorch_lightning.loggers import WandbLogger

        return forgiving(WandbLogger(experiment=self.experiment), "W&B")

    def go_offline(self, reason: Exception) -> bool:
        """Return whether the run is continued offline, under the same id, because its server has gone."""
        if self.experiment.offline:
            return False
        log.warning(_OFFLINE, first_line(reason))
        _gone.append(first_line(reason))
        _finish(self.experiment, 1, quietly=True)  # two at a time cannot have one id
        self.experiment = self._begin_offline() or self.experiment
        return bool(self.experiment.offline)


def forgiving(logger: "Lightning", name: str) -> "Lightning":
    """Let a logger of Lightning's kind warn, once, where it would raise: what it shows is recorded elsewhere."""
    warned: list[str] = []

    def guarded(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def tried(*arguments: Any, **more: Any) -> Any:
            try:
                return method(*arguments, **more)
            except Exception as error:
                if not warned:
                    log.warning("%s: %s; the run continues without it", name, first_line(error))
                warned.append(name)

        return tried

    for method in _METHODS:
        if hasattr(logger, method):
            setattr(logger, method, guarded(getattr(logger, method)))
    return logger


def mode_here(asked: Mode) -> Mode:
    """Return the mode that is asked for, or what WANDB_MODE makes less of it: ``disabled`` and ``offline`` count.

    WANDB_MODE=online uploads nothing by itself: ``tracking=online`` does.
    """
    match os.environ.get("WANDB_MODE"):
        case "disabled":
            return "off"
        case "offline" | "dryrun" if asked == "online":
            return "offline"
    return asked


def check_key() -> None:
    """Raise ConfigError if there is no key for W&B's server; it is not asked whether the key is right."""
    settings = _quiet().settings
    if not (settings.api_key or settings.identity_token_file or _has_netrc(settings.base_url)):
        raise ConfigError(
            f"tracking=online: there is no W&B key for {settings.base_url}; run `wandb login`, set WANDB_API_KEY, or "
            "give tracking=offline and upload later by `tractprobe wandb-sync`"
        )


def _has_netrc(url: str) -> bool:
    import netrc
    from urllib.parse import urlsplit

    place, hosts = urlsplit(url), set[str]()
    for file in map(os.path.expanduser, (os.environ.get("NETRC") or "~/.netrc", "~/_netrc")):
        if os.path.isfile(file):
            with optional(f"reading {file}"):
                hosts |= set(netrc.netrc(file).hosts)
    return bool(hosts & {place.netloc, place.hostname})


def run_id(name: str, job_type: str, corpora: Mapping[str, str], encoder: Any) -> str:
    """Return the W&B id of a run: the same for the same name, corpora and encoder, whenever and wherever it runs."""
    return digest([job_type, name, dict(corpora), encoder])[:16]


def _id_that_stays(folder: Path, name: str, job_type: str, corpora: Mapping[str, str], encoder: Any) -> str:
    """Return a run's id; the one without the encoder if earlier versions logged to it from this folder."""
    earlier = digest([job_type, name, dict(corpora)])[:16]
    if any((folder / "wandb").glob(f"*run-*-{earlier}")):
        return earlier
    return run_id(name, job_type, corpora, encoder)


@contextmanager
def wandb_run(
    name: str, folder: Path, config: Plain, job_type: str, material: tuple[Mapping[str, str], Any], **about: Any
) -> Iterator[WandbRun | None]:
    """Yield a W&B run, or ``None`` if none could be begun; it is finished whatever happens.

    Parameters
    ----------
    material
        Content hashes of corpora, and what identifies the encoder: runs of one name on other material are other runs.
    about
        ``mode``, and what ``wandb.init`` takes besides: project, entity, group, tags, notes.
    """
    id_ = _id_that_stays(folder, name, job_type, *material)
    about |= {"id": id_, "name": name, "config": config, "job_type": job_type}
    run = _begun(folder, **about)
    if run is None:
        yield None
        return
    logger, exit_code = WandbRun(run, partial(_begun, folder, **about | {"mode": "offline"})), 1
    try:
        yield logger
        exit_code = 0
    finally:
        _finish(logger.experiment, exit_code)


def _begun(folder: Path, *, mode: Mode, **about: Any) -> "Run | None":
    """Begin a run; offline if the server does not answer, and none if that fails, too."""
    if mode == "online" and _gone:
        log.warning(_OFFLINE, _gone[0])
        mode = "offline"
    try:
        return _init(folder, mode=mode, **about)
    except Exception as error:
        if mode == "online":
            log.warning(_OFFLINE, first_line(error))
            _gone.append(first_line(error))
            _forget_session()
            return _begun(folder, mode="offline", **about)
        log.warning("W&B: %s; the run continues without it", first_line(error))
        return None


def _forget_session() -> None:
    """End W&B's process, which would not begin the same run twice."""
    import wandb

    with optional("W&B"):
        wandb.teardown()


def _quiet() -> Any:
    """Set W&B up so that it prints nothing itself: what matters is a line of ours."""
    import wandb

    return wandb.setup(wandb.Settings(silent=True, show_warnings=False))


def _init(folder: Path, **about: Any) -> "Run":
    import wandb

    _quiet()
    place = Path(os.environ.get("WANDB_DIR") or folder)
    place.mkdir(parents=True, exist_ok=True)
    settings = wandb.Settings(
        silent=True,
        console="off",  # train.log has what is printed
        finish_timeout_raises=True,
    )
    if "WANDB_FINISH_TIMEOUT" not in os.environ:
        settings.finish_timeout = FINISH_S
    run = wandb.init(dir=place, resume="allow", settings=settings, **about)
    run.define_metric("epoch")
    run.define_metric("train/*", step_metric="epoch")
    run.define_metric("val/*", step_metric="epoch")
    run.define_metric("layer")
    run.define_metric("test/*", step_metric="layer", summary="none")  # which would be the last layer's
    return run


def _finish(run: "Run", exit_code: int, *, quietly: bool = False) -> None:
    """Finish a run; what is not uploaded by then is noted beside it."""
    files = Path(run.dir).parent
    try:
        run.finish(exit_code=exit_code)
    except Exception as error:
        if not quietly:
            log.warning("W&B: %s; what was not uploaded lies in %s, `tractprobe wandb-sync` uploads it",
                        first_line(error), files)  # fmt: skip
        if not run.offline:
            with optional("W&B"):
                write_json(files / _NOT_UPLOADED, {"reason": first_line(error)})


def sync_command(runs: Path) -> list[str]:
    """Return the W&B command that uploads all runs below a folder that have not been uploaded."""
    folders = {file.parents[1] for file in runs.rglob("wandb/offline-run-*/*.wandb")}
    broken_off = {file.parent for file in runs.rglob(f"wandb/run-*/{_NOT_UPLOADED}")}
    if not folders | broken_off:
        raise RunError(f"no offline runs of W&B below {runs}")
    options = ["--include-online"] if broken_off else []
    if broken_off:  # of folders with both, only what was not uploaded
        folders = {file.parent for file in runs.rglob("wandb/offline-run-*/*.wandb")} | broken_off
    return [sys.executable, "-m", "wandb", "sync", *options, *map(str, sorted(folders))]


def note_uploaded(runs: Path) -> None:
    """Forget which uploads were broken off, once W&B's command has made up for them."""
    for file in runs.rglob(f"wandb/run-*/{_NOT_UPLOADED}"):
        file.unlink(missing_ok=True)
