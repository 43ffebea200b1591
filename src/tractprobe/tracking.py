"""Weights & Biases: one run for each run directory, offline unless asked, and never the only record.

The run's id is a hash of what identifies it, so that a resumed or repeated run adds to the same one. ``result.json``
holds the numbers; what is logged here is for looking at.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tractprobe.config import flat
from tractprobe.files import digest
from tractprobe.layers import Label

if TYPE_CHECKING:
    from pytorch_lightning.loggers import WandbLogger

Row = dict[str, Any]


@dataclass(frozen=True)
class Tracking:
    """How runs are logged.

    Attributes
    ----------
    mode
        ``offline`` writes files beside the run and needs neither key nor network.
    group
        Puts runs together, as those of a study.
    """

    mode: Literal["off", "offline", "online"]
    project: str = "tractprobe"
    entity: str | None = None
    group: str | None = None

    @contextmanager
    def run(self, name: str, folder: Path, settings: dict[str, Any], job_type: str) -> "Iterator[WandbLogger | None]":
        """Yield the logger of a run, or ``None`` if there is none; the W&B run is finished whatever happens."""
        if self.mode == "off":
            yield None
            return
        import wandb
        from pytorch_lightning.loggers import WandbLogger

        folder.mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            id=run_id(name, job_type),
            name=name,
            dir=folder,
            project=self.project,
            entity=self.entity,
            group=self.group,
            job_type=job_type,
            mode=self.mode,
            resume="allow",
            config=flat(settings),
            settings=wandb.Settings(silent=True, console="off"),
        )
        exit_code = 1
        try:
            run.define_metric("epoch")
            run.define_metric("train/*", step_metric="epoch")
            run.define_metric("val/*", step_metric="epoch")
            run.define_metric("layer")
            run.define_metric("test/*", step_metric="layer")
            yield WandbLogger(experiment=run)
            exit_code = 0
        finally:
            run.finish(exit_code=exit_code)


def run_id(name: str, job_type: str) -> str:
    """Return the W&B id of a run: the same for the same name, whenever and wherever it runs."""
    return digest([job_type, name])[:16]


def log_scores(logger: "WandbLogger", rows: Sequence[Row], means: dict[Label, dict[str, float]]) -> None:
    """Log test scores: metrics as curves over layers, a layer x channel table of r, and every row.

    Parameters
    ----------
    means
        For each layer, metric name to value, such as ``{"test/r/mean": .6, "test/r/tt_y": .7}``.
    """
    import wandb

    run = logger.experiment
    for layer, metrics in means.items():
        run.log({"layer": layer, **metrics} if isinstance(layer, int) else metrics)  # several have no place on an axis
    channels = dict.fromkeys(row["channel"] for row in rows)
    names = {name: name.rpartition("/")[2] for metrics in means.values() for name in metrics if "/r/" in name}
    scored = {name: short for name, short in names.items() if short == "mean" or short in channels}
    columns: list[Any] = ["layer", *scored.values()]
    by_channel = [[layer, *(metrics.get(name) for name in scored)] for layer, metrics in means.items()]
    run.log({
        "test/layer_x_channel": wandb.Table(columns=columns, data=by_channel),
        "test/scores": wandb.Table(columns=list[Any](rows[0]), data=[list(row.values()) for row in rows]),
    })  # fmt: skip


def log_study(logger: "WandbLogger", tables: Mapping[str, Sequence[Row]], pictures: Sequence[Path]) -> None:
    """Log the tables of several runs, a row for each layer and what was held out, and their pictures."""
    import wandb

    logger.experiment.log({
        **{title: wandb.Table(columns=list[Any](rows[0]), data=[list(row.values()) for row in rows])
           for title, rows in tables.items()},
        **{picture.stem: wandb.Image(str(picture)) for picture in pictures},
    })  # fmt: skip
