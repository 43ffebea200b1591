"""Long waves in pieces: cut so that each frame is in one of them, each told what no piece can know by itself."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Samples = Float[Tensor, " _sample"]


def overlapping(
    blocks: Iterable[Tensor], core: int, reach: int, step: int = 1, seen: int = 1
) -> Iterator[tuple[Tensor, slice]]:
    """Cut a stream into pieces that overlap; of each yield the frames that no other piece has.

    Parameters
    ----------
    blocks
        Any cut of the stream along its first axis.
    core, reach
        Frames of a piece's own, and of its context on either side. The last piece takes what is left.
    step, seen
        From one frame to the next, and how much one sees, in rows of the stream.
    """
    rest, before = None, 0
    for block in blocks:
        rest = block if rest is None else torch.cat([rest, block])
        while len(rest) >= (size := (before + core + reach - 1) * step + seen):
            yield rest[:size], slice(before, before + core)
            dropped = max(0, before + core - reach)
            rest, before = rest[dropped * step :], before + core - dropped
    if rest is not None and len(rest) >= before * step + seen:
        yield rest, slice(before, None)


@dataclass(frozen=True)
class RunningCovariance:
    """Mean and covariance of rows that come as a stream, in float64.

    Attributes
    ----------
    count
        Rows.
    mean
        Of each column.
    scatter
        Sums of products of deviations from the mean.
    """

    count: int
    mean: Float[Tensor, " column"]
    scatter: Float[Tensor, "column column"]

    @classmethod
    def none(cls, columns: int) -> "RunningCovariance":
        """Return those of no rows."""
        zeros = torch.zeros(columns, columns, dtype=torch.float64)
        return cls(0, zeros[0], zeros)

    def of_more(self, rows: Float[Tensor, "_row column"]) -> "RunningCovariance":
        """Return those with more rows (update of Chan, Golub and LeVeque 1983, which a large mean costs no digits)."""
        if not len(rows):
            return self
        rows = rows.double()
        mean, total = rows.mean(dim=0), self.count + len(rows)
        apart, centred = mean - self.mean, rows - mean
        between = apart.outer(apart) * (self.count * len(rows) / total)
        return RunningCovariance(
            total, self.mean + apart * (len(rows) / total), self.scatter + centred.T @ centred + between
        )

    @property
    def covariance(self) -> Float[Tensor, "column column"]:
        """Between columns, divided by the number of rows."""
        return self.scatter / max(self.count, 1)
