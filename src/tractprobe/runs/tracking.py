"""Tracking: where curves, scores and pictures of a run go to be looked at; never the only record.

Weights & Biases has one run for each run directory, offline unless asked. Its id is a hash of what identifies the run,
so that a resumed or repeated one adds to the same. Other loggers of Lightning's kind can stand beside it or alone.
``result.json`` holds the numbers; what is logged here is for looking at.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
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

Row = Mapping[str, Any]

_LONGEST_TABLE = 100  # whose artifact is named run-<id>-<key>; W&B refuses more than 128 characters
_LONGEST_PICTURE = 200  # whose copy is a file <key>_<step>_<hash>.png


@dataclass(frozen=True)
class Tracking:
    """How runs are logged.

    Attributes
    ----------
    group
        Puts runs together, as those of a study, which gives its name if nothing else is given.
    examples
        How many test utterances to draw, one of each speaker: predicted and measured.
    mode
        Of W&B. ``offline`` writes files beside the run and needs neither key nor network.
    loggers
        Others of Lightning's kind, by names that mean nothing, each as a node whose target is called with ``save_dir``,
        the run's directory, beside its arguments.
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
    ) -> "Iterator[Logger | list[Logger] | None]":
        """Yield the logger of a run, several, or ``None``; each is finished whatever happens.

        Parameters
        ----------
        corpora
            Their content hashes: runs of one name on other versions of a corpus are other runs.
        """
        with ExitStack() as stack:
            loggers: list[Logger] = []
            if self.mode != "off":
                loggers.append(stack.enter_context(self._wandb(name, folder, settings, job_type, corpora or {})))
            for key, node in self.loggers.items():
                loggers.append(stack.enter_context(_other(f"tracking.loggers.{key}", node, folder, settings)))
            yield loggers[0] if len(loggers) == 1 else loggers or None

    @contextmanager
    def _wandb(
        self, name: str, folder: Path, settings: dict[str, Any], job_type: str, corpora: Mapping[str, str]
    ) -> "Iterator[WandbLogger]":
        import wandb
        from pytorch_lightning.loggers import WandbLogger

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
            yield WandbLogger(experiment=run)
            exit_code = 0
        finally:
            run.finish(exit_code=exit_code)


@contextmanager
def _other(key: str, node: Mapping[str, Any], folder: Path, settings: dict[str, Any]) -> "Iterator[Logger]":
    """Build a logger that is not W&B's, for a run's folder."""
    target = Node.of(key, node).target
    if (kind := place_of(target).kind) != "logger":
        raise ConfigError(f"{key}._target_={target} is no logger, but of the kind {kind}")
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
    from tractprobe.runs.loggers import MetricsFile

    for one in _each(logger):
        if _is_wandb(one):
            _scores_to_wandb(one, rows, means, chosen)
        for layer, metrics in means.items() if not _is_wandb(one) else ():
            if isinstance(one, MetricsFile):
                one.log_layer(layer, metrics)
            else:
                one.log_metrics(metrics, step=layer if isinstance(layer, int) else 0)  # several are no place on an axis


def log_pictures(logger: Any, pictures: Sequence[Path]) -> None:
    """Log pictures under the names of their folder and file, to loggers that take any."""
    named = {f"{path.parent.name}/{path.stem}": path for path in pictures}
    for one in _each(logger):
        if _is_wandb(one):
            import wandb

            one.experiment.log({name: wandb.Image(str(path)) for name, path in named.items()})
        else:
            _log_images(one, named)


def log_heads(logger: Any, file: Path, identity: dict[str, Any]) -> None:
    """Log a file of heads to W&B as an artifact that names the content hashes of its corpora and of its encoder."""
    about = {f"corpora/{name}": content_hash for name, content_hash in identity["corpora"].items()}
    about["encoder"] = digest(identity["encoder"])
    about |= {name: identity[name] for name in ("model", "layer", "head", "held_out", "split", "seed")}
    for one in filter(_is_wandb, _each(logger)):
        import wandb

        artifact = wandb.Artifact(f"head-{one.experiment.id}", type="head", metadata=about)
        artifact.add_file(str(file), policy="immutable")  # as it is; a copy would go to the user's home
        one.experiment.log_artifact(artifact)


def log_study(logger: Any, tables: Mapping[str, Sequence[Row]], pictures: Sequence[Path]) -> None:
    """Log the tables of several runs, a row for each layer and what was held out, and their pictures."""
    named = {path.stem: path for path in pictures}
    for one in _each(logger):
        if _is_wandb(one):
            import wandb

            one.experiment.log({
                **{_key(title, _LONGEST_TABLE):
                   wandb.Table(columns=list[Any](rows[0]), data=[list(row.values()) for row in rows])
                   for title, rows in tables.items()},
                **{_key(name, _LONGEST_PICTURE): wandb.Image(str(path)) for name, path in named.items()},
            })  # fmt: skip
        else:
            _log_images(one, named)


def _key(title: str, longest: int) -> str:
    """Return a title as it is, or shortened if W&B would refuse it."""
    if len(re.sub(r"[^\w.-]+", "", title)) <= longest:
        return title
    return f"{title[: longest - 20]}... {digest(title)[:8]}"


def _each(logger: Any) -> list[Any]:
    return logger if isinstance(logger, list) else [logger]


def _is_wandb(logger: Any) -> bool:
    from pytorch_lightning.loggers import WandbLogger

    return isinstance(logger, WandbLogger)


def _log_images(logger: Any, pictures: Mapping[str, Path]) -> None:
    """Log pictures to a logger that has Lightning's ``log_image``; others do without."""
    if hasattr(logger, "log_image"):
        for name, path in pictures.items():
            logger.log_image(name, [str(path)])


def _scores_to_wandb(
    logger: "WandbLogger", rows: Sequence[Row], means: dict[Label, dict[str, float]], chosen: Label | None
) -> None:
    import wandb

    run = logger.experiment
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
    """Return the one line of W&B's own that uploads what lies below a folder and was not uploaded yet."""
    folders = sorted({file.parents[1] for file in runs.rglob("wandb/offline-run-*/*.wandb")})
    if not folders:
        raise RunError(f"no offline runs of W&B below {runs}")
    return [sys.executable, "-m", "wandb", "sync", *map(str, folders)]
