"""Frame-wise features other than encoder layers, which heads may read beside hidden states or in their place."""

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

    Objects are pickled, so that other processes can read the features.
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
        """What its values depend on besides name and corpus, as JSON; ``None`` if on nothing else."""
        ...

    def at(
        self, corpus: PreparedCorpus, entry: Entry, times_s: Float[np.ndarray, " frame"]
    ) -> Float[np.ndarray, "frame width"]:
        """Return an utterance's features at given times: finite, or NaN for a frame that cannot be used."""
        ...


def side_by_side_at(
    features: Sequence[FrameFeatures], corpus: PreparedCorpus, entry: Entry, times_s: Float[np.ndarray, " frame"]
) -> Float32[np.ndarray, "frame width"]:
    """Return features at given times, side by side, in the precision of hidden states.

    Raises
    ------
    RunError
        Features have another shape than they declare, or are infinite.
    """
    parts = [np.zeros((len(times_s), 0), np.float32)]
    for feature in features:
        values = np.asarray(feature.at(corpus, entry, times_s)).astype(np.float32)
        if values.shape != (len(times_s), feature.width):
            expected = f"expected {(len(times_s), feature.width)}, (frame, width)"
            raise RunError(f"features {feature.name} of {entry.id} have shape {values.shape}; {expected}")
        if np.isinf(values).any():
            raise RunError(f"features {feature.name} of {entry.id} are infinite; give NaN for frames without any")
        parts.append(values)
    return np.concatenate(parts, axis=1)
