"""Channels that heads read backwards: mistakes in a corpus that the scores of others' heads show.

A mean over channels hides them: heads that learned elsewhere read every x of a mirrored corpus at a negative r and
every y at a positive one, and the mean is about 0.
"""

import math
from collections.abc import Iterable, Mapping

from tractprobe.runs.result import Row
from tractprobe.signals.channels import ARTICULATORS, CHANNELS
from tractprobe.system.printable import one_line

STRONGLY = -0.2
"""r of channels that are read backwards; good recordings of other corpora are read at .3 and more in the mean."""

LEAST_FRAMES = 250
"""Fewer frames of a speaker's channel, of all languages together, may have any r."""


def read_backwards(rows: Iterable[Row]) -> list[str]:
    """Return a line for each speaker whose every x, every y, or both axes of a sensor have a strongly negative r.

    Positions are judged at the layer that reads most, whatever the sign.
    """
    own = [row for row in rows if row["target"] == "ema" and row["r"] is not None]
    layers = dict.fromkeys(row["layer"] for row in own)
    if not layers:
        return []
    best = max(
        layers, key=lambda layer: _mean((row["r"] ** 2, row["n_frames"]) for row in own if row["layer"] == layer)
    )
    scores: dict[str, dict[str, list[tuple[float, int]]]] = {}
    for row in (row for row in own if row["layer"] == best and row["channel"] in CHANNELS):
        scores.setdefault(row["speaker"], {}).setdefault(row["channel"], []).append((row["r"], row["n_frames"]))
    found = []
    for speaker, channels in sorted(scores.items()):
        known = {name: of for name, of in channels.items() if sum(frames for _, frames in of) >= LEAST_FRAMES}
        r = {name: _mean(of) for name, of in known.items()}
        if told := _backwards(r):
            corpus = speaker.partition("/")[0]
            advice = f"tractprobe audit {corpus} --against <head of other corpora> tells more"
            found.append(one_line(f"{speaker} is read backwards in {told}, layer {best}: wrong sign? {advice}"))
    return found


def _backwards(r: Mapping[str, float]) -> str:
    """Name the axes, or else the sensors, of which every channel is read backwards."""
    axes = {f"every {axis}": [value for name, value in r.items() if name.endswith(f"_{axis}")] for axis in "xy"}
    sensors = {
        f"both axes of {sensor}": [r[name] for axis in "xy" if (name := f"{sensor}_{axis}") in r]
        for sensor in ARTICULATORS
    }
    for groups in (axes, sensors):
        negative = {name: values for name, values in groups.items() if len(values) > 1 and max(values) <= STRONGLY}
        if negative:
            return " and ".join(f"{name} (r {min(of):.2f} to {max(of):.2f})" for name, of in negative.items())
    return ""


def _mean(weighted: Iterable[tuple[float, int]]) -> float:
    """Return the mean of values, weighted by frames."""
    each = list(weighted)
    return math.fsum(value * frames for value, frames in each) / sum(frames for _, frames in each)
