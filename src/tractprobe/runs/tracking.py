"""Tracking: where curves, scores and pictures of a run are shown; never the only record.

Weights & Biases has one run for each run directory, offline unless asked. Its id is a hash of what identifies the run,
so that a resumed or repeated run adds to the same one. Other loggers of Lightning's kind can be used beside it, or
alone. ``result.json`` holds the numbers; what is logged here is for viewing.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tractprobe.encoders.layers import Label
from tractprobe.runs.building import build
from tractprobe.runs.configuration import Plain, flat
from tractprobe.runs.estimate import Estimate
from tractprobe.runs.identity import head_label, model_label
from tractprobe.runs.settings import Node
from tractprobe.runs.wandb_runs import Mode, WandbRun, check_key, forgiving, mode_here, wandb_run
from tractprobe.system.errors import ConfigError
from tractprobe.system.files import digest
from tractprobe.system.registry import place_of

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger
    from wandb import Run

Row = Mapping[str, Any]

_LONGEST_TABLE = 100  # whose artifact is named run-<id>-<key>; W&B refuses more than 128 characters
_LONGEST_PICTURE = 200  # whose copy is a file <key>_<step>_<hash>.png
_PROJECT = "tractprobe"


@dataclass(frozen=True)
class Tracking:
    """How runs are logged.

    Attributes
    ----------
    mode
        Of W&B. ``offline`` writes files beside the run and needs neither key nor network. WANDB_MODE=disabled and
        WANDB_MODE=offline win over it.
    project, entity, group, tags, notes
        What W&B files a run under. ``None`` leaves it to WANDB_PROJECT (``tractprobe`` without), WANDB_ENTITY,
        WANDB_RUN_GROUP, WANDB_TAGS and WANDB_NOTES. The group of a study's runs is the study's name.
    examples
        How many test utterances to draw, one per speaker: predicted and measured.
    loggers
        Others of Lightning's kind, under any names: nodes whose targets are called with their arguments and
        ``save_dir``, the run's directory.
    """

    mode: Mode = "off"
    project: str | None = None
    entity: str | None = None
    group: str | None = None
    examples: int = 3
    loggers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tags: Sequence[str] | None = None
    notes: str | None = None

    def check(self) -> None:
        """Raise ConfigError for what is to be known before anything is trained: other loggers, and W&B's key."""
        if isinstance(self.tags, str):
            raise ConfigError(f"tracking.tags={self.tags}: expected a list, such as tracking.tags=[{self.tags}]")
        for key, node in self.loggers.items():
            _check_logger(f"tracking.loggers.{key}", node)
        if mode_here(self.mode) == "online":
            check_key()

    @contextmanager
    def run(
        self, name: str, folder: Path, settings: Plain, job_type: str, identity: Mapping[str, Any] | None = None
    ) -> "Iterator[WandbRun | Logger | list[WandbRun | Logger] | None]":
        """Yield the logger of a run, several, or ``None``; each is finished whatever happens.

        Parameters
        ----------
        identity
            The content hashes of ``corpora`` and what identifies the ``encoder``: runs of one name on others are
            other runs.
        """
        corpora, encoder = (identity or {}).get("corpora", {}), (identity or {}).get("encoder")
        with ExitStack() as stack:
            loggers: list[WandbRun | Logger] = []
            if (mode := mode_here(self.mode)) != "off":
                config = _config(settings) | {f"corpus_hash/{corpus}": content for corpus, content in corpora.items()}
                config |= {} if encoder is None else {"encoder_hash": digest(encoder)}
                run = stack.enter_context(
                    wandb_run(name, folder, config, job_type, (corpora, encoder), mode=mode, **self._filed_under())
                )
                loggers += [] if run is None else [run]
            for key, node in self.loggers.items():
                loggers.append(stack.enter_context(_other(f"tracking.loggers.{key}", node, folder, settings)))
            yield loggers[0] if len(loggers) == 1 else loggers or None

    def _filed_under(self) -> Plain:
        return {
            "project": self.project or os.environ.get("WANDB_PROJECT") or _PROJECT,
            "entity": self.entity,
            "group": self.group,
            "tags": None if self.tags is None else list(self.tags),
            "notes": self.notes,
        }


def _check_logger(key: str, node: Mapping[str, Any]) -> None:
    target = Node.of(key, node).target
    if (kind := place_of(target).kind) != "logger":
        raise ConfigError(f"{key}._target_={target} is not a logger but of the kind {kind}")


@contextmanager
def _other(key: str, node: Mapping[str, Any], folder: Path, settings: Plain) -> "Iterator[Logger]":
    """Build a logger that is not W&B's, for a run's folder."""
    _check_logger(key, node)
    folder.mkdir(parents=True, exist_ok=True)
    logger, status = forgiving(build(node, save_dir=folder), key), "failed"
    try:
        logger.log_hyperparams(_config(settings))
        yield logger
        status = "success"
    finally:
        logger.finalize(status)


def _config(settings: Plain) -> Plain:
    """Return settings as flat plain values, with the short names of model and head to group and colour by."""
    if "head" not in settings:  # of a pretraining, or of a part of a run
        return flat(settings)
    return {**flat(settings), "model_label": model_label(settings), "head_label": head_label(settings)}


def log_scores(
    logger: Any,
    rows: Sequence[Row],
    means: dict[Label, dict[str, float]],
    chosen: Label | None = None,
    estimate: Estimate | None = None,
) -> None:
    """Log test scores: metrics as curves over layers; to W&B also a layer x channel table of r, and every row.

    Parameters
    ----------
    logger
        What ``Tracking.run`` yields.
    means
        For each layer, metric name to value, such as ``{"test/r/mean": .6, "test/r/tt_y": .7}``.
    chosen
        The layer with the best validation r, if there is one.
    estimate
        The mean r at that layer, with its interval and n.
    """
    _tell(
        logger,
        lambda run: _scores_to_wandb(run, rows, means, chosen, estimate),
        lambda other: _scores_to_other(other, means),
    )


def log_pictures(logger: Any, pictures: Sequence[Path]) -> None:
    """Log pictures under the names of their folder and file, to loggers that take any."""
    named = {f"{path.parent.name}/{path.stem}": path for path in pictures}
    _tell(logger, lambda run: run.log(_images(named)), lambda other: _log_images(other, named))


def log_heads(logger: Any, file: Path, identity: dict[str, Any]) -> None:
    """Log a file of heads to W&B as an artifact that names the content hashes of its corpora and of its encoder."""
    metadata = {f"corpora/{name}": content_hash for name, content_hash in identity["corpora"].items()}
    metadata["encoder"] = digest(identity["encoder"])
    metadata |= {name: identity[name] for name in ("model", "layer", "head", "held_out", "split", "seed")}

    def to_wandb(run: "Run") -> None:
        import wandb

        artifact = wandb.Artifact(f"head-{run.id}", type="head", metadata=metadata)
        artifact.add_file(str(file), policy="immutable")  # as it is; a copy would go to the user's home
        run.log_artifact(artifact)

    _tell(logger, to_wandb)


def log_study(
    logger: Any, tables: Mapping[str, Sequence[Row]], pictures: Sequence[Path], summary: Mapping[str, Any] | None = None
) -> None:
    """Log the tables of several runs, a row for each layer and what was held out, and their pictures.

    Parameters
    ----------
    summary
        Single numbers for W&B's table of runs, such as means with interval and n.
    """
    named = {path.stem: path for path in pictures}

    def to_wandb(run: "Run") -> None:
        import wandb

        run.summary.update(dict(summary or {}))
        of_titles = {
            _key(title, _LONGEST_TABLE):
            wandb.Table(columns=list[Any](rows[0]), data=[list(row.values()) for row in rows])
            for title, rows in tables.items()
        }  # fmt: skip
        run.log(of_titles | _images({_key(name, _LONGEST_PICTURE): path for name, path in named.items()}))

    _tell(logger, to_wandb, lambda other: _log_images(other, named))


def _tell(logger: Any, to_wandb: "Callable[[Run], Any]", to_other: Callable[[Any], Any] = lambda _: None) -> None:
    """Tell each of several loggers, also after one that failed; then raise the first failure."""

    def tell(each: Any) -> None:
        to_other(each) if (run := _wandb_run(each)) is None else to_wandb(run)

    failures = []
    for each in _each(logger):
        try:
            try:
                tell(each)
            except Exception as error:
                if not (isinstance(each, WandbRun) and each.go_offline(error)):
                    raise
                tell(each)
        except Exception as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _images(named: Mapping[str, Path]) -> Plain:
    import wandb

    return {name: wandb.Image(str(path)) for name, path in named.items()}


def _key(title: str, longest: int) -> str:
    """Return a title as it is, or shortened if W&B would refuse it."""
    if len(re.sub(r"[^\w.-]+", "", title)) <= longest:
        return title
    return f"{title[: longest - 20]}... {digest(title)[:8]}"


def _each(logger: Any) -> list[Any]:
    return logger if isinstance(logger, list) else [logger]


def lightning_loggers(logger: Any) -> "list[Logger]":
    """Return what ``Tracking.run`` yields as Lightning's trainer takes it."""
    return [one.lightning if isinstance(one, WandbRun) else one for one in _each(logger) if one is not None]


def _wandb_run(logger: Any) -> "Run | None":
    """Return the W&B run that a logger writes to, ours or Lightning's; ``None`` if it writes elsewhere."""
    if isinstance(logger, WandbRun):
        return logger.experiment
    lightning = sys.modules.get("pytorch_lightning.loggers")  # where it was not imported, no logger is of its kind
    return logger.experiment if lightning is not None and isinstance(logger, lightning.WandbLogger) else None


def _scores_to_other(logger: Any, means: dict[Label, dict[str, float]]) -> None:
    from tractprobe.runs.loggers import MetricsFile

    for layer, metrics in means.items():
        if isinstance(logger, MetricsFile):
            logger.log_layer(layer, metrics)
        else:
            logger.log_metrics(metrics, step=layer if isinstance(layer, int) else 0)  # several are no place on an axis


def _log_images(logger: Any, pictures: Mapping[str, Path]) -> None:
    """Log pictures to a logger that has Lightning's ``log_image``; others get none."""
    if hasattr(logger, "log_image"):
        for name, path in pictures.items():
            logger.log_image(name, [str(path)])


def _scores_to_wandb(
    run: "Run",
    rows: Sequence[Row],
    means: dict[Label, dict[str, float]],
    chosen: Label | None,
    estimate: Estimate | None,
) -> None:
    import wandb

    channels = dict.fromkeys(row["channel"] for row in rows)
    names = {name: name.rpartition("/")[2] for metrics in means.values() for name in metrics if "/r/" in name}
    scored = {name: short for name, short in names.items() if short == "mean" or short in channels}
    columns: list[Any] = ["layer", *scored.values()]
    by_channel = [[layer, *(metrics.get(name) for name in scored)] for layer, metrics in means.items()]
    run.log({  # first: here a server that has gone is noticed
        "test/layer_x_channel": wandb.Table(columns=columns, data=by_channel),
        "test/scores": wandb.Table(columns=list[Any](rows[0]), data=[list(row.values()) for row in rows]),
    })  # fmt: skip
    for layer, metrics in means.items():
        run.log({"layer": layer, **metrics} if isinstance(layer, int) else metrics)  # several have no place on an axis
    run.summary.update({f"layers/r/{layer}": metrics.get("test/r/mean") for layer, metrics in means.items()})
    if chosen is not None:
        best = {name.removeprefix("test/"): value for name, value in means[chosen].items()}
        run.summary.update({"best/layer": chosen, **{f"best/{name}": value for name, value in best.items()}})
    if estimate is not None:
        run.summary.update({f"best/r/{name}": getattr(estimate, name) for name in ("low", "high", "n")})
