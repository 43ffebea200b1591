"""Tracking: where curves, scores and pictures of a run are shown; never the only record.

Weights & Biases has one run for each run directory, offline unless asked. Its id is a hash of what identifies the run,
so that a resumed or repeated run adds to the same one. Other loggers of Lightning's kind can be used beside it, or
alone. ``result.json`` holds the numbers; what is logged here is for viewing.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tractprobe.encoders.layers import Label
from tractprobe.runs.building import build
from tractprobe.runs.configuration import flat
from tractprobe.runs.identity import head_label, model_label
from tractprobe.runs.settings import Node
from tractprobe.system.errors import ConfigError, RunError
from tractprobe.system.files import digest
from tractprobe.system.registry import place_of

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger, WandbLogger
    from wandb import Run

Row = Mapping[str, Any]

_LONGEST_TABLE = 100  # whose artifact is named run-<id>-<key>; W&B refuses more than 128 characters
_LONGEST_PICTURE = 200  # whose copy is a file <key>_<step>_<hash>.png


class WandbRun:
    """A run of W&B. What is not trained by Lightning is logged without it: its import takes seconds."""

    def __init__(self, experiment: "Run"):
        self.experiment = experiment

    @cached_property
    def lightning(self) -> "WandbLogger":
        """Lightning's logger to the run."""
        from pytorch_lightning.loggers import WandbLogger

        return WandbLogger(experiment=self.experiment)


@dataclass(frozen=True)
class Tracking:
    """How runs are logged.

    Attributes
    ----------
    group
        Groups runs, such as those of a study; by default the study's name.
    examples
        How many test utterances to draw, one per speaker: predicted and measured.
    mode
        Of W&B. ``offline`` writes files beside the run and needs neither key nor network.
    loggers
        Others of Lightning's kind, under any names: nodes whose targets are called with their arguments and
        ``save_dir``, the run's directory.
    """

    mode: Literal["off", "offline", "online"] = "off"
    project: str = "tractprobe"
    entity: str | None = None
    group: str | None = None
    examples: int = 3
    loggers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @contextmanager
    def run(
        self, name: str, folder: Path, settings: dict[str, Any], job_type: str, corpora: Mapping[str, str] | None = None
    ) -> "Iterator[WandbRun | Logger | list[WandbRun | Logger] | None]":
        """Yield the logger of a run, several, or ``None``; each is finished whatever happens.

        Parameters
        ----------
        corpora
            Content hashes of corpora: runs of one name on other versions of a corpus are other runs.
        """
        with ExitStack() as stack:
            loggers: list[WandbRun | Logger] = []
            if self.mode != "off":
                loggers.append(stack.enter_context(self._wandb(name, folder, settings, job_type, corpora or {})))
            for key, node in self.loggers.items():
                loggers.append(stack.enter_context(_other(f"tracking.loggers.{key}", node, folder, settings)))
            yield loggers[0] if len(loggers) == 1 else loggers or None

    @contextmanager
    def _wandb(
        self, name: str, folder: Path, settings: dict[str, Any], job_type: str, corpora: Mapping[str, str]
    ) -> Iterator[WandbRun]:
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            id=run_id(name, job_type, corpora),
            name=name,
            dir=folder,
            project=self.project,
            entity=self.entity,
            group=self.group,
            job_type=job_type,
            mode="online" if self.mode == "online" else "offline",
            resume="allow",
            config=_config(settings),
            settings=wandb.Settings(silent=True, console="off"),  # train.log has what is printed
        )
        exit_code = 1
        try:
            run.define_metric("epoch")
            run.define_metric("train/*", step_metric="epoch")
            run.define_metric("val/*", step_metric="epoch")
            run.define_metric("layer")
            run.define_metric("test/*", step_metric="layer", summary="none")  # which would be the last layer's
            yield WandbRun(run)
            exit_code = 0
        finally:
            run.finish(exit_code=exit_code)


@contextmanager
def _other(key: str, node: Mapping[str, Any], folder: Path, settings: dict[str, Any]) -> "Iterator[Logger]":
    """Build a logger that is not W&B's, for a run's folder."""
    target = Node.of(key, node).target
    if (kind := place_of(target).kind) != "logger":
        raise ConfigError(f"{key}._target_={target} is not a logger but of the kind {kind}")
    folder.mkdir(parents=True, exist_ok=True)
    logger, status = build(node, save_dir=folder), "failed"
    try:
        logger.log_hyperparams(_config(settings))
        yield logger
        status = "success"
    finally:
        logger.finalize(status)


def run_id(name: str, job_type: str, corpora: Mapping[str, str]) -> str:
    """Return the W&B id of a run: the same for the same name and corpora, whenever and wherever it runs."""
    return digest([job_type, name, dict(corpora)])[:16]


def _config(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings as flat plain values, with the short names of model and head to group and colour by."""
    if "model" not in settings:
        return flat(settings)
    return {**flat(settings), "model_label": model_label(settings), "head_label": head_label(settings)}


def log_scores(
    logger: Any, rows: Sequence[Row], means: dict[Label, dict[str, float]], chosen: Label | None = None
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
    """
    for each in _each(logger):
        if run := _wandb_run(each):
            _scores_to_wandb(run, rows, means, chosen)
        else:
            _scores_to_other(each, means)


def log_pictures(logger: Any, pictures: Sequence[Path]) -> None:
    """Log pictures under the names of their folder and file, to loggers that take any."""
    named = {f"{path.parent.name}/{path.stem}": path for path in pictures}
    for each in _each(logger):
        if run := _wandb_run(each):
            import wandb

            run.log({name: wandb.Image(str(path)) for name, path in named.items()})
        else:
            _log_images(each, named)


def log_heads(logger: Any, file: Path, identity: dict[str, Any]) -> None:
    """Log a file of heads to W&B as an artifact that names the content hashes of its corpora and of its encoder."""
    metadata = {f"corpora/{name}": content_hash for name, content_hash in identity["corpora"].items()}
    metadata["encoder"] = digest(identity["encoder"])
    metadata |= {name: identity[name] for name in ("model", "layer", "head", "held_out", "split", "seed")}
    for run in filter(None, map(_wandb_run, _each(logger))):
        import wandb

        artifact = wandb.Artifact(f"head-{run.id}", type="head", metadata=metadata)
        artifact.add_file(str(file), policy="immutable")  # as it is; a copy would go to the user's home
        run.log_artifact(artifact)


def log_study(logger: Any, tables: Mapping[str, Sequence[Row]], pictures: Sequence[Path]) -> None:
    """Log the tables of several runs, a row for each layer and what was held out, and their pictures."""
    named = {path.stem: path for path in pictures}
    for each in _each(logger):
        if run := _wandb_run(each):
            import wandb

            run.log({
                **{_key(title, _LONGEST_TABLE):
                   wandb.Table(columns=list[Any](rows[0]), data=[list(row.values()) for row in rows])
                   for title, rows in tables.items()},
                **{_key(name, _LONGEST_PICTURE): wandb.Image(str(path)) for name, path in named.items()},
            })  # fmt: skip
        else:
            _log_images(each, named)


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
    run: "Run", rows: Sequence[Row], means: dict[Label, dict[str, float]], chosen: Label | None
) -> None:
    import wandb

    for layer, metrics in means.items():
        run.log({"layer": layer, **metrics} if isinstance(layer, int) else metrics)  # several have no place on an axis
    run.summary.update({f"layers/r/{layer}": metrics.get("test/r/mean") for layer, metrics in means.items()})
    if chosen is not None:
        best = {name.removeprefix("test/"): value for name, value in means[chosen].items()}
        run.summary.update({"best/layer": chosen, **{f"best/{name}": value for name, value in best.items()}})
    channels = dict.fromkeys(row["channel"] for row in rows)
    names = {name: name.rpartition("/")[2] for metrics in means.values() for name in metrics if "/r/" in name}
    scored = {name: short for name, short in names.items() if short == "mean" or short in channels}
    columns: list[Any] = ["layer", *scored.values()]
    by_channel = [[layer, *(metrics.get(name) for name in scored)] for layer, metrics in means.items()]
    run.log({
        "test/layer_x_channel": wandb.Table(columns=columns, data=by_channel),
        "test/scores": wandb.Table(columns=list[Any](rows[0]), data=[list(row.values()) for row in rows]),
    })  # fmt: skip


def sync_command(runs: Path) -> list[str]:
    """Return the W&B command that uploads all runs below a folder that have not been uploaded."""
    folders = sorted({file.parents[1] for file in runs.rglob("wandb/offline-run-*/*.wandb")})
    if not folders:
        raise RunError(f"no offline runs of W&B below {runs}")
    return [sys.executable, "-m", "wandb", "sync", *map(str, folders)]
