"""What heads reach in each split at the inputs that validation chose: of one encoder, or of the best of several."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tractprobe.data.splits import Split
from tractprobe.data.targets import Targets
from tractprobe.encoders.layers import Label
from tractprobe.evidence.bench import Bench, chosen_layer
from tractprobe.evidence.statistics.effects import Cells
from tractprobe.evidence.tables.means import pooled
from tractprobe.probes.fitted import Fitted
from tractprobe.runs.result import Row, ScoreRow


@dataclass(frozen=True, eq=False)
class Reached:
    """Heads of each split, by what it holds out, and which of their inputs counts.

    Attributes
    ----------
    chosen
        By validation, never by test.
    """

    fits: Mapping[str, Fitted]
    chosen: Mapping[str, Label]

    @classmethod
    def of(cls, bench: Bench, splits: Mapping[str, Split], targets: Targets | None = None) -> "Reached":
        """Fit heads on every layer of an encoder."""
        fits = dict(zip(splits, bench.fit(list(splits.values()), targets), strict=True))
        return cls(fits, {value: chosen_layer(fitted) for value, fitted in fits.items()})

    @classmethod
    def best_of(cls, several: Sequence["Reached"]) -> "Reached":
        """Return in each split what validation finds best, the first of equals."""
        best = {
            value: max(several, key=lambda each, value=value: each.validation_r(value)) for value in several[0].fits
        }
        chosen = {value: each.chosen[value] for value, each in best.items()}
        return cls({value: each.fits[value] for value, each in best.items()}, chosen)

    def validation_r(self, value: str) -> float:
        """Return r on the validation part of a split at its chosen input; -2, below any other, if there is none."""
        fitted = self.fits[value]
        r = fitted.report["best_validation_r"][fitted.problem.labels.index(self.chosen[value])]
        return -2.0 if r is None else r

    @property
    def models(self) -> dict[str, str]:
        """The encoder that each split's heads read."""
        return {value: fitted.problem.settings.id.model for value, fitted in self.fits.items()}

    def rows(self, target: str = "", label: Label | None = None) -> list[Row]:
        """Return test scores at the chosen inputs or at one input, in one set of targets, the first by default.

        What several splits test of one speaker in a language, as folds of sentences do, is pooled over its frames.
        """
        rows: list[Row] = []
        for value, fitted in self.fits.items():
            of_split = {"layer": "", "seed": 0, "held_out": value, "run": value}
            chosen = self.chosen[value] if label is None else label
            rows += [{**row, **of_split} for row in rows_at(fitted, chosen, target)]
        return pooled(rows)

    @cached_property
    def cells(self) -> Cells:
        """Scores in r of the first set of targets at the chosen inputs."""
        return Cells.of(self.rows())

    def cells_at(self, label: Label) -> Cells:
        """Return r of the first set of targets at one input."""
        return Cells.of(self.rows(label=label))


def rows_at(fitted: Fitted, label: Label, target: str = "") -> Iterator[ScoreRow]:
    """Yield the test scores of one input in one set of targets, the first by default."""
    target = target or fitted.problem.targets.names[0]
    return (row for row in fitted.rows() if row["layer"] == label and row["target"] == target)
