"""What a set of targets is.

It may have more than the protocol asks for:

``over(corpora)``
    returns the set for some corpora, where channels depend on these, as phones do; until then it has no channels.
``is_binary``
    its channels are yes or no and are not standardised per speaker.
``lost_together``
    tuples of its channels that always have the same frames; otherwise each two neighbours are tried as one sensor.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry


@runtime_checkable
class TargetSet(Protocol):
    """Channels that are decoded, scored and averaged together."""

    @property
    def name(self) -> str:
        """Name of the set in tables."""
        ...

    @property
    def channels(self) -> tuple[str, ...]:
        """Name of each channel."""
        ...

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each channel."""
        ...

    @property
    def identity(self) -> Any:
        """What its values depend on besides name, corpus and smoothing, as JSON; ``None`` if on nothing else."""
        ...

    def at(
        self, corpus: PreparedCorpus, entry: Entry, times_s: Float[np.ndarray, " frame"]
    ) -> Float[np.ndarray, "frame channel"]:
        """Return an utterance's values at given times, in the channels' units, NaN where there are none."""
        ...


@runtime_checkable
class DependsOnCorpora(Protocol):
    """A set whose channels depend on corpora."""

    def over(self, corpora: Sequence[PreparedCorpus]) -> TargetSet:
        """Return the set for some corpora; ConfigError if these have nothing for it."""
        ...
