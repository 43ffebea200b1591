"""Axes and units of corpora that document neither, from what all human heads have in common."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tractprobe.system.errors import CorpusError

_LIPS_TO_BACK_MM = (20.0, 150.0)
_MAX_POSITION_MM = 1000.0

Columns = Mapping[str, Float[np.ndarray, " time"]]


def with_x_to_the_front(path: Path, columns: Columns) -> dict[str, Float[np.ndarray, " time"]]:
    """Return channels (mm) with x growing to the front, whichever way it grew before.

    The direction follows from the sensors' medians: the lips are in front of the tongue tip, the tip of the blade, the
    blade of the dorsum, and the upper lip is above the lower one.

    Raises
    ------
    CorpusError
        The sensors are arranged as in no human head: wrong columns, a wrong unit, a lateral axis, a detached sensor.
    """
    centre = {name: float(np.median(finite)) for name, column in columns.items() if len(finite := _finite(column))}
    places = _places(path, centre)
    length, (least, most) = abs(places[0] - places[-1]), _LIPS_TO_BACK_MM
    if not least <= length <= most:
        problem = f"{length:.3g} mm from lips to tongue back along x; only {least:.0f} to {most:.0f} are possible"
        raise CorpusError(path, f"{problem}: wrong unit, wrong columns, or a lateral axis?")
    sign = 1.0 if places[0] > places[-1] else -1.0
    if not (np.diff(places) * sign < 0).all():
        listed = ", ".join(f"{place:.1f}" for place in places)
        raise CorpusError(path, f"lips, then tongue from tip to back, lie at x = {listed} mm: an impossible order")
    if not centre.get("ul_y", np.inf) > centre.get("ll_y", -np.inf):
        raise CorpusError(path, "the upper lip is not above the lower one: wrong columns, or an axis that points down?")
    return {name: sign * column if name.endswith("_x") else column for name, column in columns.items()}


def scaled(path: Path, values: Float[np.ndarray, "time column"], unit_mm: float) -> Float[np.ndarray, "time column"]:
    """Return values in mm; CorpusError if one of them is farther out than a sensor can be."""
    with np.errstate(over="ignore"):
        millimetres = values.astype(np.float64) * unit_mm
    if (farthest := np.max(np.abs(millimetres), initial=0, where=~np.isnan(millimetres))) > _MAX_POSITION_MM:
        raise CorpusError(path, f"a position of {farthest:.3g} mm: damaged, or a wrong unit?")
    return millimetres


def _places(path: Path, centre: Mapping[str, float]) -> list[float]:
    """Return the x of the lips, then of the available tongue sensors from tip to back."""
    lips = [centre[name] for name in ("ul_x", "ll_x") if name in centre]
    if not lips or not {"tb_x", "td_x"} & set(centre):
        raise CorpusError(
            path, "the direction of x needs a lip and the back or middle of the tongue, and one is missing"
        )
    return [sum(lips) / len(lips), *(centre[name] for name in ("tt_x", "tb_x", "td_x") if name in centre)]


def _finite(column: Float[np.ndarray, " time"]) -> Float[np.ndarray, " finite"]:
    return column[np.isfinite(column)]
