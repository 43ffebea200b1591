"""Figures of the literature, as data with their sources."""

import csv
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

_HERE = Path(__file__).parent

TASKS: dict[str, tuple[str, bool]] = {
    "PR": ("pr_per", False),
    "ASR": ("asr_wer", False),
    "KS": ("ks_accuracy", True),
    "QbE": ("qbe_mtwv", True),
    "IC": ("ic_accuracy", True),
    "SF": ("sf_f1", True),
    "SID": ("sid_accuracy", True),
    "ASV": ("asv_eer", False),
    "SD": ("sd_der", False),
    "ER": ("er_accuracy", True),
}
"""SUPERB's tasks that all of its models have, the metric of each, and whether more of it is better."""


@dataclass(frozen=True)
class Superb:
    """A model of SUPERB's public leaderboard.

    Attributes
    ----------
    option
        Its name in conf/model; empty if it has none.
    hours
        Of audio that it was pre-trained on.
    metrics
        By column of the table, in the benchmark's units.
    """

    model: str
    option: str
    hours: float
    parameters_m: float
    metrics: dict[str, float]

    def good(self, task: str) -> float:
        """Return how good it is at a task: the metric, or minus it where less is better."""
        metric, more_is_better = TASKS[task]
        return self.metrics[metric] if more_is_better else -self.metrics[metric]


@cache
def superb() -> dict[str, Superb]:
    """Return SUPERB's public leaderboard by model."""
    models = {}
    for row in _rows("superb.csv"):
        about = {name: row.pop(name) for name in ("model", "option", "hours", "parameters_m", "source", "date")}
        metrics = {name: float(value) for name, value in row.items() if value}
        sizes = (float(about["hours"]), float(about["parameters_m"]))
        models[about["model"]] = Superb(about["model"], about["option"], *sizes, metrics)
    return models


@cache
def cho_2022() -> dict[str, float]:
    """Return the articulatory scores of Cho et al. (2022) of those self-supervised models that SUPERB has, too."""
    rows = _rows("cho2022.csv")
    return {row["model"]: float(row["r"]) for row in rows if row["in_superb"] == row["self_supervised"] == "yes"}


@dataclass(frozen=True)
class PublishedFigure:
    """A published correlation with its protocol; what is not known is ``None`` or empty.

    Attributes
    ----------
    corpora
        Names that prepared corpora have here, if it is of ones that can be prepared.
    split
        Ours of the same kind: ``sentence``, ``speaker`` or ``language``.
    r_low, r_high
        A range in place of ``r``.
    at_least
        Whether r is a bound.
    read
        ``primary``, ``averaged`` by us from the authors' table or plot, or ``secondary``: from a digest by others.
    """

    id: str
    paper: str
    system: str
    corpus: str
    targets: str
    read: str
    source: str
    year: int | None = None
    encoder: str = ""
    head: str = ""
    corpora: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    speakers: int | None = None
    split: str = ""
    channels: int | None = None
    metric: str = ""
    lowpass_hz: float | None = None
    r: float | None = None
    r_low: float | None = None
    r_high: float | None = None
    at_least: bool = False

    def __str__(self) -> str:
        if self.r is not None:
            return f"{'over ' if self.at_least else ''}{self.r:.3f}"
        return f"{self.r_low:.2f} to {self.r_high:.2f}" if self.r_low is not None else "not read"


@cache
def published_figures() -> tuple[PublishedFigure, ...]:
    """Return published correlations of articulatory inversion in the order of the list."""
    rows = tomllib.loads((_HERE / "figures.toml").read_text(encoding="utf-8"))["figure"]
    return tuple(PublishedFigure(**{key: _frozen(value) for key, value in row.items()}) for row in rows)


def _frozen(value: object) -> Any:
    return tuple(value) if isinstance(value, list) else value


def overall(models: list[Superb], but: tuple[str, ...] = ()) -> Float[np.ndarray, " model"]:
    """Return each model's mean over tasks, each scaled as SUPERB's overall score does: 0 as FBANK, 1 as the best."""
    baseline = superb()["FBANK"]
    tasks = [task for task in TASKS if task not in but]
    best = {task: max(model.good(task) for model in superb().values()) for task in tasks}
    scaled = [
        [(model.good(task) - baseline.good(task)) / (best[task] - baseline.good(task)) for task in tasks]
        for model in models
    ]
    return np.mean(scaled, axis=1)


def _rows(file: str) -> list[dict[str, str]]:
    with open(_HERE / file, encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))
