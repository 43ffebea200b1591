"""Learning rates: warm-up, a plateau of any length, and a cooldown when one asks for it.

A training that may be stopped and continued as often as need be has no end on which a cosine could be fixed. On a
plateau every checkpoint can be continued. A short cooldown from any of them gives about what a cosine of that length
gives (Hu et al. 2024, arXiv 2404.06395; Hägele et al. 2024, arXiv 2405.18392, who find 1 - sqrt better than linear and
20 % of the updates enough). The checkpoint before the cooldown is kept, and a longer training continues from that.
"""

from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True)
class Schedule:
    """The learning rate of each update, counted from 0.

    Attributes
    ----------
    peak
        On the plateau.
    warmup
        Updates in which it rises in equal steps.
    updates
        Updates before the cooldown.
    cooldown
        Updates in which it falls, as 1 - sqrt(share of the cooldown).
    """

    peak: float
    warmup: int
    updates: int
    cooldown: int

    @property
    def total(self) -> int:
        """How many updates there are."""
        return self.updates + self.cooldown

    def rate(self, update: int) -> float:
        """Return the learning rate of an update.

        >>> schedule = Schedule(1.0, 2, 4, 4)
        >>> [round(schedule.rate(update), 3) for update in range(9)]
        [0.5, 1.0, 1.0, 1.0, 0.553, 0.368, 0.225, 0.106, 0.0]
        """
        rising = min(1.0, (update + 1) / self.warmup) if self.warmup else 1.0
        fallen = min(1.0, (update + 1 - self.updates) / (self.cooldown + 1)) if self.cooldown else 0.0
        return self.peak * rising * (1 - sqrt(max(0.0, fallen)))
