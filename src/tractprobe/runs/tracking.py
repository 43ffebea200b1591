"""Weights & Biases: one run for each run directory, offline unless asked, and never the only record.

The run's id is a hash of what identifies it, so that a resumed or repeated run adds to the same one. ``result.json``
holds the numbers; what is logged here is for looking at.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tractprobe.encoders.layers import Label
from tractprobe.runs.configuration import flat
from tractprobe.runs.identity import head_label, model_label
from tractprobe.system.errors import RunError
from tractprobe.system.files import digest

if TYPE_CHECKING:
    from pytorch_lightning.loggers import WandbLogger

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Tracking:
    """How runs are logged.

    Attributes
    ----------
    mode
        ``offline`` writes files beside the run and needs neither key nor network.
    group
        Puts runs together, as those of a study, which gives its name if nothing else is given.
    examples
        How many test utterances to draw, one of each speaker: predicted and measured.
    """

    mode: Literal["off", "offline", "online"]
    project: str = "tractprobe"
    entity: str | None = None
    group: str | None = None
    examples: int = 3

    @contextmanager
    def run(
        self, name: str, folder: Path, settings: dict[str, Any], job_type: str, corpora: Mapping[str, str] | None = None
    ) -> "Iterator[WandbLogger | None]":
        """Yield the logger of a run, or ``None`` if there is none; the W&B run is finished whatever happens.

        Parameters
        ----------
        corpora
            Their content hashes: runs of one name on other versions of a corpus are other runs.
        """
        if self.mode == "off":
            yield None
            return
        import wandb
        from pytorch_lightning.loggers import WandbLogger

        folder.mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            id=run_id(name, job_type, corpora or {}),
            name=name,
            dir=folder,
            project=self.project,
            entity=self.entity,
            group=self.group,
            job_type=job_type,
            mode=self.mode,
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


def run_id(name: str, job_type: str, corpora: Mapping[str, str]) -> str:
    """Return the W&B id of a run: the same for the same name and corpora, whenever and wherever it runs."""
    return digest([job_type, name, dict(corpora)])[:16]


def _config(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings as flat plain values, with the short names of model and head to group and colour by."""
    if "model" not in settings:
        return flat(settings)
    return {**flat(settings), "model_label": model_label(settings), "head_label": head_label(settings)}


def log_scores(
    logger: "WandbLogger", rows: Sequence[Row], means: dict[Label, dict[str, float]], chosen: Label | None = None
) -> None:
    """Log test scores: metrics as curves over layers, a layer x channel table of r, and every row.

    Parameters
    ----------
    means
        For each layer, metric name to value, such as ``{"test/r/mean": .6, "test/r/tt_y": .7}``.
    chosen
        The layer with the best validation r, if there is one.
    """
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


def log_pictures(logger: "WandbLogger", pictures: Sequence[Path]) -> None:
    """Log pictures under the names of their folder and file."""
    import wandb

    logger.experiment.log({f"{path.parent.name}/{path.stem}": wandb.Image(str(path)) for path in pictures})


def log_heads(logger: "WandbLogger", file: Path, identity: dict[str, Any]) -> None:
    """Log a file of heads as an artifact that names the content hashes of its corpora and of its encoder."""
    import wandb

    about = {f"corpora/{name}": content_hash for name, content_hash in identity["corpora"].items()}
    about["encoder"] = digest(identity["encoder"])
    about |= {name: identity[name] for name in ("model", "layer", "head", "held_out", "split", "seed")}
    artifact = wandb.Artifact(f"head-{logger.experiment.id}", type="head", metadata=about)
    artifact.add_file(str(file), policy="immutable")  # as it is; a copy would go to the user's home
    logger.experiment.log_artifact(artifact)


def log_study(logger: "WandbLogger", tables: Mapping[str, Sequence[Row]], pictures: Sequence[Path]) -> None:
    """Log the tables of several runs, a row for each layer and what was held out, and their pictures."""
    import wandb

    logger.experiment.log({
        **{title: wandb.Table(columns=list[Any](rows[0]), data=[list(row.values()) for row in rows])
           for title, rows in tables.items()},
        **{picture.stem: wandb.Image(str(picture)) for picture in pictures},
    })  # fmt: skip


def sync_command(runs: Path) -> list[str]:
    """Return the one line of W&B's own that uploads what lies below a folder and was not uploaded yet."""
    folders = sorted({file.parents[1] for file in runs.rglob("wandb/offline-run-*/*.wandb")})
    if not folders:
        raise RunError(f"no offline runs of W&B below {runs}")
    return [sys.executable, "-m", "wandb", "sync", *map(str, folders)]
