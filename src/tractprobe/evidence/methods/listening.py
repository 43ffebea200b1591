"""Heads as they were fitted, tested on speech of another kind: scores from predictions, frame by frame."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from tractprobe.data.groups import GroupKey
from tractprobe.data.splits import Split
from tractprobe.encoders.layers import Label
from tractprobe.evidence.bench import Bench, chosen_layer
from tractprobe.evidence.statistics.effects import Cells
from tractprobe.probes.fitted import Fitted
from tractprobe.probes.scores import scores_from_sums
from tractprobe.probes.states import HiddenStates
from tractprobe.runs.result import ScoreRow


@dataclass(frozen=True, eq=False)
class Listener:
    """An encoder with heads that were fitted to undisturbed speech, under some splits.

    Attributes
    ----------
    splits
        Each tests other speakers' languages than the rest.
    ids
        The utterances that are listened to.
    """

    bench: Bench
    splits: Sequence[Split]
    ids: Collection[str]

    @cached_property
    def fits(self) -> list[Fitted]:
        """The heads, fitted to all of the development side."""
        return self.bench.fit(list(self.splits), self.bench.targets("ema"))

    @cached_property
    def layers(self) -> list[Label]:
        """The layer that validation chose under each split."""
        return [chosen_layer(fitted) for fitted in self.fits]

    def rows(self, heard: Bench) -> list[list[ScoreRow]]:
        """Return the scores of the heads as they are, on what another bench's corpora hold, for each split."""
        states = heard.problem.states(heard.device)
        return [listening(fitted, heard, states, self.ids).rows() for fitted in self.fits]

    def chosen(self, rows: Sequence[Iterable[ScoreRow]]) -> Cells:
        """Return r of each split's rows at its chosen layer."""
        return Cells.of(
            row for layer, own in zip(self.layers, rows, strict=True) for row in own if row["layer"] == layer
        )

    def refitted(self, heard: Bench) -> Cells:
        """Return r of heads at the chosen layers that are fitted to, and tested on, what a bench's corpora hold."""
        inputs = [read for read in self.bench.inputs if read.label in self.layers]
        within = [split.within(self.ids) for split in self.splits]
        return self.chosen([fitted.rows() for fitted in heard.fit(within, heard.targets("ema"), inputs)])


def listening(fitted: Fitted, heard: Bench, states: HiddenStates, ids: Collection[str]) -> Fitted:
    """Return heads as they are, tested on those of their test utterances that are listened to, as a bench has them."""
    test = tuple(id_ for id_ in fitted.problem.split.test if id_ in ids)
    problem = replace(fitted.problem, corpora=heard.corpora, split=replace(fitted.problem.split, test=test))
    moved = replace(fitted, problem=problem, states=states)
    return replace(moved, score=lambda: frame_rows(moved))


def frame_rows(fitted: Fitted) -> list[ScoreRow]:
    """Return the scores of the test set, added up from predictions frame by frame; r is that of all frames at once."""
    problem = fitted.problem
    groups = tuple(sorted({GroupKey.of(problem.entries[id_]) for id_ in problem.split.test}))
    sums = np.zeros((6, len(problem.labels), len(groups), len(problem.targets.channels)))
    for id_ in problem.split.test:
        _, predicted, measured = fitted.read_out(id_)
        both = np.isfinite(predicted) & np.isfinite(measured)
        x, y = np.where(both, predicted, 0), np.where(both, measured, 0)
        group = groups.index(GroupKey.of(problem.entries[id_]))
        sums[:, :, group] += [part.sum(axis=1) for part in (both, x, y, x * x, y * y, x * y)]
    return scores_from_sums(*torch.from_numpy(sums)).rows(problem.labels, groups, problem.targets.channels)
