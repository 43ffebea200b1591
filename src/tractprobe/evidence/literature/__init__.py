"""Figures of the literature, as data with their sources."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

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
