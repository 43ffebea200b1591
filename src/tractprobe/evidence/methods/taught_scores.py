"""Scores of heads of one language each: r of every head's language, layer, tested language and speaker.

Folds are pooled as in ``factorial``, each about its own means; r is then averaged over channels. A channel in which r
is undefined under any head or layer is left out under all, so that all are means over the same channels.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tractprobe.data.blocks import Unit
from tractprobe.data.taught import Taught
from tractprobe.encoders.layers import Label
from tractprobe.evidence.bench import chosen_layer
from tractprobe.evidence.methods.factorial import pooled_over_folds
from tractprobe.evidence.methods.upbringing import CHOSEN, Cell
from tractprobe.probes.fitted import Fitted
from tractprobe.runs.estimate import Scores
from tractprobe.runs.result import Row


@dataclass(frozen=True)
class TaughtScores:
    """Mean r of each cell.

    Attributes
    ----------
    channels
        How many the means of each tested language and speaker are over.
    lost
        Channels that are in no mean, over all tested languages and speakers.
    choices
        How often the heads of each language chose each layer.
    """

    r: Mapping[Cell, float]
    channels: Mapping[Unit, int]
    lost: int
    layers: tuple[str, ...]
    choices: Mapping[tuple[str, str], int]

    @classmethod
    def of(cls, heads: Sequence[Taught], fits: Iterable[Fitted], labels: Sequence[Label]) -> "TaughtScores":
        """Take the rows of fitted heads, one after another; of several sets of targets, the first."""
        scored: dict[Cell, dict[str, list[Row]]] = {}
        choices: Counter[tuple[str, str]] = Counter()
        for head, fitted in zip(heads, fits, strict=True):
            chosen, target = str(chosen_layer(fitted)), fitted.problem.targets.names[0]
            choices[head.language, chosen] += 1
            for row in fitted.rows():
                if row["target"] == target:
                    unit = (row["language"], row["speaker"])
                    for layer in (str(row["layer"]), *([CHOSEN] if str(row["layer"]) == chosen else [])):
                        cell = Cell(head.language, layer, unit)
                        scored.setdefault(cell, {}).setdefault(row["channel"], []).append(row)
        kept, lost = _channels(scored)
        r = {cell: _mean(rows, kept[cell.unit]) for cell, rows in scored.items() if kept[cell.unit]}
        count = {unit: len(own) for unit, own in kept.items() if own}
        return cls(r, count, lost, (CHOSEN, *map(str, labels)), choices)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of heads, which are those that are tested."""
        return tuple(sorted({cell.head for cell in self.r}))

    def of_heads(self, *, same: bool, layer: str = CHOSEN) -> Scores:
        """Return r of heads of the tested language, or the mean over heads of others; where both exist."""
        each: dict[Unit, tuple[list[float], list[float]]] = {}
        for cell, r in self.r.items():
            if cell.layer == layer:
                each.setdefault(cell.unit, ([], []))[cell.head != cell.unit[0]].append(r)
        both = {unit: sides for unit, sides in each.items() if all(sides)}
        return {unit: sum(own) / len(own) for unit, sides in sorted(both.items()) if (own := sides[not same])}

    def of_pair(self, head: str, tested: str, layer: str = CHOSEN) -> Scores:
        """Return r of heads of one language on another, or on the same."""
        return {
            cell.unit: r for cell, r in self.r.items() if (cell.head, cell.layer, cell.unit[0]) == (head, layer, tested)
        }

    def rows(self) -> tuple[dict[str, Any], ...]:
        """Return every cell as a row."""
        return tuple(
            {"layer": cell.layer, "head": cell.head, "test": cell.unit[0], "speaker": cell.unit[1], "r": r,
             "channels": self.channels[cell.unit]}
            for cell, r in sorted(self.r.items())
        )  # fmt: skip


def _channels(scored: Mapping[Cell, Mapping[str, Sequence[Row]]]) -> tuple[dict[Unit, set[str]], int]:
    """Return the channels of each tested language and speaker that are defined everywhere, and how many are not."""
    kept: dict[Unit, set[str]] = {}
    there: dict[Unit, set[str]] = {}
    for cell, by_channel in scored.items():
        defined = {name for name, rows in by_channel.items() if all(row["r"] is not None for row in rows)}
        kept[cell.unit] = kept.get(cell.unit, defined) & defined
        there.setdefault(cell.unit, set()).update(by_channel)
    return kept, sum(len(there[unit] - own) for unit, own in kept.items())


def _mean(rows: Mapping[str, Sequence[Row]], channels: set[str]) -> float:
    return sum(pooled_over_folds(rows[name])["r"] for name in sorted(channels)) / len(channels)
