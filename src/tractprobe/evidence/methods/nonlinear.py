"""Finished runs of nonlinear heads that can stand beside an analysis: of its encoder, corpora, targets and splits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tractprobe.encoders.layers import Label
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.statistics.effects import Cells
from tractprobe.evidence.tables.condition import Condition
from tractprobe.evidence.tables.means import pooled
from tractprobe.evidence.tables.rows import collect
from tractprobe.runs.identity import head_label
from tractprobe.runs.result import RESULT, Row, chosen_layer, read_result
from tractprobe.system.errors import RunError
from tractprobe.system.files import digest

_OF_HEADS = (
    "head",
    "objective",
    "optimizer",
    "schedule",
    "trainer",
    "patience",
    "together",
    "checkpoint_s",
    "callbacks",
)
_WITHOUT_EFFECT = ("analysis", "tracking", "paths", "data.num_workers", "split")


@dataclass(frozen=True, eq=False)
class Finished:
    """Runs of one nonlinear head, with one held-out language each, of which there is none missing.

    Attributes
    ----------
    name
        Of the head, with its settings that differ from the shipped ones.
    chosen
        By the run of each held-out language, the layer that validation chose there.
    """

    name: str
    rows: tuple[Row, ...]
    chosen: Mapping[str, Label]

    @property
    def labels(self) -> list[Label]:
        """The layers that every run has."""
        layers = [{row["layer"] for row in self.rows if row["held_out"] == value} for value in self._held_out]
        return sorted(set.intersection(*layers), key=lambda layer: (isinstance(layer, str), layer))

    @property
    def _held_out(self) -> set[str]:
        return {row["held_out"] for row in self.rows}

    def cells_at(self, label: Label) -> Cells:
        """Return r at one layer."""
        return Cells.of(pooled(row for row in self.rows if row["layer"] == label))

    @property
    def cells(self) -> Cells:
        """Scores in r at the layers that validation chose."""
        rows = [{**row, "layer": ""} for row in self.rows if self.chosen[row["run"]] == row["layer"]]
        return Cells.of(pooled(rows))


def finished_heads(bench: Bench, values: Iterable[str]) -> tuple[list[Finished], list[str]]:
    """Return nonlinear heads that were run for each of some held-out languages, and why others are left out.

    They lie below ``paths.runs``. Runs count if they have the bench's encoder, corpora, seed, first target set and all
    settings but those of heads; a head counts if every language has its run.
    """
    runs, values = bench.settings.paths.runs, list(values)
    if not any(runs.rglob(RESULT)) if runs.is_dir() else True:
        return [], []
    try:
        rows = [row for row in collect(runs) if _is_alike(bench, row)]
    except RunError as error:
        return [], [f"nonlinear heads are not shown: {error}"]
    by_head: dict[str, list[Row]] = {}
    for row in rows:
        own = str(_of_heads(row["settings"]))
        by_head.setdefault(f"{row['head']}{f' {own}' if own else ''}", []).append(row)
    found, left_out = [], []
    for name, of_head in sorted(by_head.items()):
        missing = sorted(set(values) - {row["held_out"] for row in of_head})
        chosen = {run: chosen_layer(read_result(runs / run)) for run in {row["run"] for row in of_head}}
        if missing:
            left_out.append(f"{name} is not shown, as its runs do not hold out {', '.join(missing)}")
        elif None in chosen.values():
            left_out.append(f"{name} is not shown, as one of its runs has no layer that validation chose")
        else:
            kept = tuple(row for row in of_head if row["held_out"] in values)
            found.append(Finished(name, kept, {run: layer for run, layer in chosen.items() if layer is not None}))
    return found, left_out


def _is_alike(bench: Bench, row: Row) -> bool:
    identity = bench.problem.identity
    material = digest([identity[name] for name in ("encoder", "corpora", "texts") if name in identity])[:6]
    same = (row["material"], row["split"], row["seed"]) == (material, "language", bench.seed)
    own = Condition.of(identity["differences"]).without(*_OF_HEADS, *_WITHOUT_EFFECT)
    others = row["settings"].without(*_OF_HEADS, *_WITHOUT_EFFECT)
    is_nonlinear = row["head"] != head_label(bench.settings.raw) and row["train_min"] is None
    first_set = row["target"] == bench.problem.targets.names[0]
    return same and own == others and is_nonlinear and first_set


def _of_heads(settings: Condition) -> Condition:
    return Condition(tuple((key, value) for key, value in settings.settings if key.partition(".")[0] in _OF_HEADS))
