"""Frame-wise features that are no encoder layer: what heads may read beside hidden states, or in their place."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.system.errors import RunError


@runtime_checkable
class FrameFeatures(Protocol):
    """Features of an utterance at an encoder's frames, such as the phone, the time in it, or the pitch.

    They are pickled to be read in other processes.
    """

    @property
    def name(self) -> str:
        """What inputs of heads call it."""
        ...

    @property
    def width(self) -> int:
        """How many numbers a frame has."""
        ...

    @property
    def identity(self) -> Any:
        """What its values depend on besides name and corpus, as JSON has it; ``None`` if on nothing."""
        ...

    def at(
        self, corpus: PreparedCorpus, entry: Entry, times_s: Float[np.ndarray, " frame"]
    ) -> Float[np.ndarray, "frame width"]:
        """Return an utterance's features at given times: finite, or NaN for a frame that cannot be used."""
        ...


def side_by_side_at(
    features: Sequence[FrameFeatures], corpus: PreparedCorpus, entry: Entry, times_s: Float[np.ndarray, " frame"]
) -> Float32[np.ndarray, "frame width"]:
    """Return some features at given times, in the precision of hidden states.

    Raises
    ------
    RunError
        Features of another shape than they say, or infinite ones.
    """
    parts = [np.zeros((len(times_s), 0), np.float32)]
    for one in features:
        values = np.asarray(one.at(corpus, entry, times_s)).astype(np.float32)
        if values.shape != (len(times_s), one.width):
            expected = f"expected {(len(times_s), one.width)}, (frame, width)"
            raise RunError(f"features {one.name} of {entry.id} have shape {values.shape}; {expected}")
        if np.isinf(values).any():
            raise RunError(f"features {one.name} of {entry.id} are infinite; give NaN for frames that cannot be used")
        parts.append(values)
    return np.concatenate(parts, axis=1)
