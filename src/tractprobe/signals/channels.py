"""The canonical articulatory space: its points, axes and unit.

Twelve channels in the midsagittal plane, in millimetres. x grows towards the front (the lips), y grows upwards; the
origin is the upper incisor if the corpus allows it. Every reader maps its own axes, signs and units to these, so that a
weight fitted on one corpus means the same on another.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

ARTICULATORS = ("td", "tb", "tt", "li", "ul", "ll")
"""Tongue dorsum, blade and tip; lower incisor; upper and lower lip."""

CHANNELS = tuple(f"{articulator}_{axis}" for articulator in ARTICULATORS for axis in ("x", "y"))
"""The order of channels in every array, checkpoint and table."""

UNIT = "mm"


def named_columns(
    points: Sequence[str], positions: Float[np.ndarray, "time point 2"]
) -> dict[str, Float[np.ndarray, " time"]]:
    """Return the x and y of articulators or other points by name, such as ``tt_x``."""
    return {f"{point}_{axis}": positions[:, row, i] for row, point in enumerate(points) for i, axis in enumerate("xy")}


def in_canonical_order(columns: Mapping[str, Float[np.ndarray, " time"]]) -> Float[np.ndarray, "time channel"]:
    """Stack named channels (mm) in the order of CHANNELS; a missing channel is NaN throughout.

    Raises
    ------
    ValueError
        A name is not one of CHANNELS, there is no channel at all, or the lengths differ.
    """
    if unknown := sorted(set(columns) - set(CHANNELS)):
        raise ValueError(f"unknown channels {', '.join(unknown)}; the canonical ones are {' '.join(CHANNELS)}")
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1:
        raise ValueError(f"channels of different lengths: {sorted(lengths)}" if lengths else "no channel given")
    values = np.full((lengths.pop(), len(CHANNELS)), np.nan)
    for name, column in columns.items():
        values[:, CHANNELS.index(name)] = column
    return values
