"""Heads of many splits, some at a time, from the moments that all of them need."""

from collections.abc import Iterator, Sequence

from tractprobe.data.splits import Split
from tractprobe.data.targets import Targets
from tractprobe.evidence.bench import Bench
from tractprobe.probes.fitted import Fitted

TOGETHER = 64
"""Splits that are fitted at a time: all layers of a large encoder take 5 MB of memory each."""


def fitted_in_turn(
    bench: Bench, splits: Sequence[Split], targets: Targets | None = None, kept_apart: Sequence[Split] = ()
) -> Iterator[Fitted]:
    """Yield the fitted heads of splits in their order; whoever keeps none of them holds 64 at most.

    Parameters
    ----------
    kept_apart
        Further splits for which the same moments are to do.
    """
    every = [*splits, *kept_apart]
    for first in range(0, len(splits), TOGETHER):
        yield from bench.fit(splits[first : first + TOGETHER], targets, kept_apart=every)
