"""Downstream success: whether the articulatory score of encoders predicts it, beyond phonetic scores and sheer size.

SUPERB's public results are the outcome; scores are those of Cho et al. (2022), and ours of models whose layer curves
were computed on the same corpora. Units are models: few, related to each other, and not drawn from any population.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tractprobe.evidence.bench import Bench
from tractprobe.evidence.literature import TASKS, Superb, cho_2022, overall, superb
from tractprobe.evidence.record import Column, Evidence, Figure, Finding, Part, Series, Table, read_record
from tractprobe.evidence.statistics.correlation import (
    FEWEST,
    difference_interval,
    drawn,
    partial,
    pearson,
    rank_interval,
    spearman,
    williams_p,
)
from tractprobe.runs.result import EVIDENCE
from tractprobe.system.errors import RunError

log = logging.getLogger(__name__)

_PHONETIC = "PR"  # phone recognition: minus its error rate is the phonetic score, so it predicts every other task
_OUTCOMES = tuple(task for task in TASKS if task != _PHONETIC)
_COVARIATES = {"parameters": "parameters_m", "hours": "hours"}
_COLUMNS = (
    Column("task"), Column("rho_articulatory", "", "ρ of articulatory score"), Column("low"), Column("high"),
    Column("rho_phonetic", "", "ρ of minus PER"), Column("difference"), Column("difference_low"),
    Column("difference_high"), Column("draws_low", "", "difference, 2.5 % of draws of models"),
    Column("draws_high", "", "97.5 %"), Column("partial_phonetic", "", "ρ given PER"),
    Column("partial_parameters", "", "ρ given parameters"), Column("partial_hours", "", "ρ given hours"),
    Column("least", "", "least ρ without one model"), Column("most", "", "most ρ without one model"),
    Column("pearson_articulatory", "", "r of articulatory score"), Column("pearson_phonetic", "", "r of minus PER"),
    Column("p_williams", "", "p of equal r"), Column("models"),
)  # fmt: skip


@dataclass(frozen=True)
class Downstream:
    """How well articulatory scores predict downstream success, beside a phonetic score, parameters and hours of audio.

    Attributes
    ----------
    draws
        Of models with replacement.
    seed
        Of the draws.
    """

    draws: int = 10_000
    seed: int = 0

    name: ClassVar[str] = "downstream"
    version: ClassVar[int] = 1

    def __call__(self, bench: Bench) -> Evidence:
        """Return rank correlations with SUPERB's tasks of published scores and of our own, and tests of differences."""
        own, left_out = own_scores(bench)
        published = self.of_scores("published", "Cho et al. (2022)", cho_2022())
        ours = self.of_scores("own", f"ours on {', '.join(bench.settings.corpora)}", own)
        both = [ours, published] if own else [published, ours]
        return Evidence(
            tuple(finding for evidence in both for finding in evidence.findings),
            tuple(table for evidence in both for table in evidence.tables),
            tuple(figure for evidence in both for figure in evidence.figures),
            caveats=(*_CAVEATS, _read(own), *left_out),
        )

    def of_scores(self, prefix: str, whose: str, scores: Mapping[str, float]) -> Evidence:
        """Return what the scores of some of SUPERB's models, by their names there, say about its tasks."""
        models = [superb()[name] for name in scores]
        if len(models) < FEWEST or len(set(scores.values())) == 1:
            says = f"{len(models)} of SUPERB's models have a score ({whose}); {FEWEST} that differ are needed"
            names = [f"{prefix}_{name}" for name in ("articulatory", "phonetic", "difference", "partial_phonetic")]
            return Evidence(tuple(_undefined(name, says, len(models)) for name in names))
        articulatory = np.array(list(scores.values()))
        outcomes = {task: np.array([model.good(task) for model in models]) for task in TASKS}
        rows = [
            self._row(task, articulatory, good, models)
            for task, good in {**outcomes, "all but PR": overall(models, (_PHONETIC,))}.items()
        ]
        title = f"SUPERB against articulatory scores, {whose}"
        tables = (
            Table(f"{prefix}_tasks", title, _COLUMNS, tuple(rows)),
            Table(f"{prefix}_models", f"the models of {title}", *_of_models(scores, models)),
        )
        return Evidence(_findings(prefix, whose, rows), tables, _figures(prefix, title, rows, articulatory, models))

    def _row(self, task: str, articulatory: np.ndarray, good: np.ndarray, models: Sequence[Superb]) -> dict[str, Any]:
        phonetic = np.array([model.good(_PHONETIC) for model in models])
        n, rho = len(models), float(spearman(articulatory, good))
        low, high = rank_interval(rho, n)
        without_one = [
            float(spearman(*(np.delete(each, place) for each in (articulatory, good)))) for place in range(n)
        ]
        given = {name: np.array([getattr(model, field) for model in models]) for name, field in _COVARIATES.items()}
        row = {"task": task, "rho_articulatory": rho, "low": low, "high": high, "models": n}
        row |= {"least": min(without_one), "most": max(without_one)}
        row |= {"pearson_articulatory": float(pearson(articulatory, good))}
        row |= {f"partial_{name}": _partial(articulatory, good, values) for name, values in given.items()}
        return row | (self._against(articulatory, phonetic, good) if task != _PHONETIC else {})

    def _against(self, articulatory: np.ndarray, phonetic: np.ndarray, good: np.ndarray) -> dict[str, Any]:
        """Return how the articulatory score does against the phonetic one."""
        rho = (float(spearman(articulatory, good)), float(spearman(phonetic, good)))
        r = (float(pearson(articulatory, good)), float(pearson(phonetic, good)))
        low, high = difference_interval(*rho, float(spearman(articulatory, phonetic)), len(good))
        models = drawn(len(good), self.draws, self.seed)
        differences = spearman(articulatory[models], good[models]) - spearman(phonetic[models], good[models])
        draws_low, draws_high = np.nanquantile(differences, [0.025, 0.975])
        return {
            "rho_phonetic": rho[1], "difference": rho[0] - rho[1], "difference_low": low, "difference_high": high,
            "draws_low": float(draws_low), "draws_high": float(draws_high), "pearson_phonetic": r[1],
            "p_williams": williams_p(*r, float(pearson(articulatory, phonetic)), len(good)),
            "partial_phonetic": _partial(articulatory, good, phonetic),
        }  # fmt: skip


_CAVEATS = (
    "Units are models, which share data, architectures and authors: intervals are of models like these, if there were "
    "more of them, and few models on one axis of quality cannot tell one predictor from another.",
    "Intervals of ρ are Bonett and Wright's, of differences Zou's: in simulations with 9 to 40 models they hold 94 to "
    "97 %, those of a ρ of .97 or more 88 to 93 %. Draws of models with replacement are shown, not called intervals.",
    "p is Williams' of Pearson's r; on ranks of 9 models that test errs in 9 to 16 %.",
)


def own_scores(bench: Bench) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return our scores of SUPERB's models from layer curves on the same corpora, and what had to be left out.

    The score is r by held-out language at the layers that validation chose, of this bench's seed and settings.
    """
    option = {model.option: model.model for model in superb().values() if model.option}
    scores: dict[str, float] = {}
    left_out: list[str] = []
    for path in sorted(bench.settings.paths.runs.rglob(f"curves/*/{EVIDENCE}")):
        try:
            record = read_record(path.parent)
        except RunError as error:
            left_out.append(str(error))
            continue
        finding = record.evidence.finding("r_language")
        if record.model not in option or finding is None or finding.value is None:
            continue
        if _comparable(record.identity) != _comparable(bench.problem.identity):
            left_out.append(f"{path.parent} is of other corpora, settings or seed, and left out")
            continue
        scores[option[record.model]] = float(finding.value)
    return scores, tuple(left_out)


def _read(own: Mapping[str, float]) -> str:
    """Say which records were there, since a finished analysis is not made again when there are more."""
    names = ", ".join(own) or "none of SUPERB's models"
    return f"layer curves were there of {names}; remove this folder and type the command again once there are more"


def _comparable(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return what records have to share besides the encoder."""
    differences = identity.get("differences", {})
    settings = {name: value for name, value in differences.items() if not name.startswith(("model.", "analysis"))}
    return {"corpora": identity["corpora"], "seed": identity["seed"], "settings": settings}


def _partial(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> float | None:
    """Return the rank correlation of x and y with z held fixed; ``None`` if z does not vary."""
    rho = [float(spearman(*pair)) for pair in ((x, y), (x, z), (y, z))]
    return partial(*rho) if np.isfinite(rho).all() else None


def _undefined(name: str, says: str, models: int) -> Finding:
    return Finding(name, says, None, None, None, "ρ", "models", {"models": models})


def _findings(prefix: str, whose: str, rows: Sequence[Mapping[str, Any]]) -> tuple[Finding, ...]:
    n = {"models": rows[-1]["models"], "tasks": len(_OUTCOMES)}
    over = "models, by their mean over tasks"
    task = f"the mean of SUPERB's tasks but {_PHONETIC}"
    says = {
        "articulatory": ("rho_articulatory", f"rank correlation of articulatory scores ({whose}) with {task}"),
        "phonetic": ("rho_phonetic", f"rank correlation of minus phone error rate with {task}"),
        "difference": ("difference", "articulatory minus phonetic: what the articulatory score predicts better"),
        "partial_phonetic": ("partial_phonetic", f"articulatory scores with {task}, phone error rate held fixed"),
        "partial_parameters": (
            "partial_parameters",
            f"articulatory scores with {task}, number of parameters held fixed",
        ),
        "partial_hours": ("partial_hours", f"articulatory scores with {task}, hours of pre-training held fixed"),
    }
    findings = []
    for name, (column, sentence) in says.items():
        *parts, whole = (Part("task", row["task"], row.get(column), *_ends(column, row), row["models"]) for row in rows)
        p = rows[-1]["p_williams"] if name == "difference" else None
        ends = (whole.value, whole.low, whole.high)
        findings.append(Finding(f"{prefix}_{name}", sentence, *ends, "ρ", over, n, p=p, by=tuple(parts)))
    return tuple(findings)


def _ends(column: str, row: Mapping[str, Any]) -> tuple[float | None, float | None]:
    if column == "difference":
        return row.get("difference_low"), row.get("difference_high")
    if row.get(column) is None:
        return None, None
    return rank_interval(row[column], row["models"] - column.startswith("partial"))


def _of_models(scores: Mapping[str, float], models: Sequence[Superb]) -> tuple[tuple[Column, ...], tuple[dict, ...]]:
    columns = (Column("model"), Column("articulatory", "r"), Column("per", "%"), Column("parameters_m", "M"),
               Column("hours", "h"), Column("overall", "", "mean over tasks, 0 as FBANK, 1 as the best"))  # fmt: skip
    rows = [
        {"model": model.model, "articulatory": scores[model.model], "per": model.metrics["pr_per"],
         "parameters_m": model.parameters_m, "hours": model.hours, "overall": float(mean)}
        for model, mean in zip(models, overall(list(models), (_PHONETIC,)), strict=True)
    ]  # fmt: skip
    return columns, tuple(rows)


def _figures(
    prefix: str, title: str, rows: Sequence[Mapping[str, Any]], articulatory: np.ndarray, models: Sequence[Superb]
) -> tuple[Figure, ...]:
    means = overall(list(models), (_PHONETIC,))
    places = Series("models", tuple([float(x), float(y), None, None] for x, y in zip(articulatory, means, strict=True)))
    by_task = [row for row in rows if row["task"] != _PHONETIC]
    series = tuple(
        Series(what, tuple([row["task"], row[column], *_ends(column, row)] for row in by_task))
        for what, column in (("articulatory score", "rho_articulatory"), ("minus phone error rate", "rho_phonetic"))
    )
    return (
        Figure(f"{prefix}_rho", title, "task", "ρ over models", series, "points"),
        Figure(f"{prefix}_models", title, "articulatory score, r", "mean over tasks", (places,), "points"),
    )
