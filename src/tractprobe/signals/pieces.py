"""Long waves in pieces: cut so that each frame belongs to one piece; statistics of the whole, which no piece has."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Samples = Float[Tensor, " _sample"]


def overlapping(
    blocks: Iterable[Tensor], core: int, reach: int, step: int = 1, seen: int = 1
) -> Iterator[tuple[Tensor, slice]]:
    """Cut a stream into overlapping pieces; yield each piece with a slice of the frames that belong to it alone.

    Parameters
    ----------
    blocks
        The stream, divided along its first axis in any way.
    core, reach
        Number of frames that belong to a piece, and of context frames on either side. The last piece takes what is
        left.
    step, seen
        Distance between frames, and length that one frame sees, in samples of the stream (its first axis).
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
    """Mean and covariance of rows that arrive as a stream, in float64.

    Attributes
    ----------
    count
        Number of rows.
    mean
        Mean of each column.
    scatter
        Sums over rows of products of deviations from the mean.
    """

    count: int
    mean: Float[Tensor, " column"]
    scatter: Float[Tensor, "column column"]

    @classmethod
    def none(cls, columns: int) -> "RunningCovariance":
        """Return the statistics of no rows."""
        zeros = torch.zeros(columns, columns, dtype=torch.float64)
        return cls(0, zeros[0], zeros)

    def of_more(self, rows: Float[Tensor, "_row column"]) -> "RunningCovariance":
        """Return the statistics with more rows added.

        The update of Chan, Golub and LeVeque (1983), which loses no digits to a large mean.
        """
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
        """Covariance between columns, with the number of rows as divisor."""
        return self.scatter / max(self.count, 1)
