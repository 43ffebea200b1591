"""Temporal context of a spectrogram's frames: values of neighbouring frames, concatenated, and slopes over time."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tractprobe.encoders.sizes import check_context
from tractprobe.signals.audio import RATE_HZ

DELTA_REACH = 2


@dataclass(frozen=True)
class Context:
    """Neighbours to concatenate: every ``every``-th of the ``reach`` frames on either side."""

    reach: int = 0
    every: int = 1

    @classmethod
    def of(cls, context: int, window_s: float | None, every: int, *, field: int, hop: int) -> "Context":
        """Return a context given as a number of frames or by the duration that it spans.

        Parameters
        ----------
        context
            Number of frames on either side.
        window_s
            Duration (s) from the start of the first frame to the end of the last; replaces ``context``.
        field, hop
            Number of samples that a frame sees, and from one frame to the next.
        """
        check_context(context, window_s, every)
        if window_s is not None:
            context = max(0, _quotient_up(round(window_s * RATE_HZ) - field, 2 * hop))
        return cls(every * _quotient_up(context, every), every)

    @property
    def count(self) -> int:
        """Number of concatenated frames."""
        return 2 * (self.reach // self.every) + 1

    def stack(self, frames: Float[Tensor, "_time _width"]) -> Float[Tensor, "_time _stacked"]:
        """Concatenate each frame and its neighbours, the earliest first; at the edges, frames are repeated."""
        padded = nn.functional.pad(frames.T[None], (self.reach, self.reach), mode="replicate")[0]
        return padded.unfold(1, 2 * self.reach + 1, 1)[..., :: self.every].permute(1, 2, 0).flatten(1)


def with_deltas(frames: Float[Tensor, "_time _width"], order: int) -> Float[Tensor, "_time _more"]:
    """Append the slope of each value over five frames (HTK's formula), then the slope of that, ``order`` times."""
    parts = [frames]
    for _ in range(order):
        padded = nn.functional.pad(parts[-1].T[None], (DELTA_REACH, DELTA_REACH), mode="replicate")[0].T
        count = len(frames)
        steps = range(1, DELTA_REACH + 1)
        slopes = sum(
            step * (padded[DELTA_REACH + step :][:count] - padded[DELTA_REACH - step :][:count]) for step in steps
        )
        parts.append(torch.as_tensor(slopes / (2 * sum(step**2 for step in steps))))
    return torch.cat(parts, dim=1)


def _quotient_up(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
