"""From a finished run to a head file: one layer, with everything that is needed without the run."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tractprobe.encoders.frames import FrameGeometry
from tractprobe.encoders.layers import Label
from tractprobe.inversion.head_header import HeadDescription
from tractprobe.runs.configuration import Plain
from tractprobe.runs.estimate import Scores, mean_over_speakers
from tractprobe.runs.head_store import read_checked
from tractprobe.runs.result import HEADS, METRICS, RESULT, Row, RunResult, chosen_layer, read_result, speaker_means
from tractprobe.system.errors import RunError, first_line
from tractprobe.system.registry import names_of
from tractprobe.system.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

LICENCE = (
    "These weights were fitted on the corpora and on states of the encoder that are named here; what their licences "
    "say of derived works applies."
)
_CORRELATIONS = ("r", "ccc")
log = logging.getLogger(__name__)
_AGAIN = "remove it and run the command again, which starts from the cached states"


def export(run: Path, layer: Label | None = None, output: Path | None = None) -> Path:
    """Write a head file of one layer of a finished run and return its path.

    Without ``layer`` it is the best by validation, never by test; without ``output`` the file is
    ``head-layer<N>.safetensors`` in the run's directory.

    Raises
    ------
    RunError
        There is no finished run, no such layer, no validation to choose by, or the output exists.
    """
    result = read_result(run)
    if result["settings"].get("model", {}).get("_target_") in names_of("states"):
        raise RunError(f"{run} read features that were computed elsewhere: there is no encoder to invert audio with")
    content, layers, channels = _described(run, result)
    layer = _chosen(run, result, layers, layer)
    output = output or run / f"head-layer{layer}.safetensors"
    if output.exists():
        raise RunError(f"{output} exists already; remove it or give --output")
    from tractprobe.inversion.head_file import write_head  # imports torch, after everything else is checked

    try:
        about = _about(run, result, layer, channels)
    except (LookupError, TypeError, AttributeError) as error:
        raise RunError(f"{run / RESULT} was not written by this version ({error!r}); {_AGAIN}") from None
    write_head(output, _tensors(content, layers.index(layer)), about)
    return output


def _described(run: Path, result: RunResult) -> tuple[bytes, list[Label], list[dict[str, str]]]:
    """Return a run's heads as they lie in their file, the layers that are their first axis, and their channels."""
    from safetensors import SafetensorError, deserialize

    path = run / HEADS
    try:
        content, card, vouched = read_checked(path, result.get("heads_sha256"))
        lengths = {tensor["shape"][0] for _, tensor in deserialize(content)}
        layers = list(card["layers"])
        targets = result["settings"]["targets"]
        channels = [{"name": name, "unit": unit} for name, unit in zip(card["channels"], card["units"], strict=True)]
    except (OSError, SafetensorError, LookupError, TypeError, ValueError) as error:
        raise _not_the_heads(path, error) from None
    identity = {key: value for key, value in result["identity"].items() if key != "versions"}
    if card["identity"] != identity or lengths != {len(layers)}:
        raise RunError(f"{path}: the heads of another run, as their layers or identity say; {_AGAIN}")
    if not vouched:
        log.warning("%s was written by an earlier version, without a checksum: damage would not be noticed", path)
    each = [channel | {"target": target} for channel, target in zip(channels, _sets(path, targets), strict=True)]
    return content, layers, each


def _tensors(content: bytes, index: int) -> "dict[str, Tensor]":
    """Return the tensors of one of a run's heads."""
    from safetensors.torch import load

    return {name: value[index : index + 1] for name, value in load(content).items()}


def _not_the_heads(path: Path, error: Exception) -> RunError:
    return RunError(f"{path}: not the heads of this run ({first_line(error)}); {_AGAIN}")


def _sets(path: Path, targets: Sequence[str]) -> list[str]:
    """Return the set that each channel is of; RunError where channels are those of the run's corpora."""
    from tractprobe.data.targets import Targets

    made = Targets(targets)
    if of_corpora := [each.name for each in made.sets if not each.channels]:
        names = ", ".join(of_corpora)
        raise RunError(
            f"{path}: heads of {names} belong to the run's corpora and cannot be exported; leave {names} out"
        )
    return [channel.target for channel in made.channels]


def _chosen(run: Path, result: RunResult, layers: Sequence[Label], asked: Label | None) -> Label:
    """Return the layer that is asked for, the only one, or the best by validation."""
    if asked is not None and asked not in layers:
        raise RunError(f"{run} has no layer {asked}; it has {', '.join(map(str, layers))}")
    if asked is not None or len(layers) == 1:
        return layers[0] if asked is None else asked
    chosen = chosen_layer(result)
    if chosen is None:
        raise RunError(f"{run} has no validation r to choose among layers {', '.join(map(str, layers))}; give --layer")
    return chosen


def frames_of(geometry: FrameGeometry, label: str) -> dict[str, Any]:
    """Return where frames lie, as head files say it; RunError if they lie between samples at 16 kHz."""
    if not float(geometry.stride).is_integer():
        raise RunError(
            f"frames of {label} are {geometry.stride:.2f} samples at 16 kHz apart; a head file takes whole samples, as "
            "those of a codec of 12.5 or 50 frames a second"
        )
    return {"stride": int(geometry.stride), "first": geometry.first, "field": geometry.field}


def _about(run: Path, result: RunResult, layer: Label, channels: list[dict[str, str]]) -> HeadDescription:
    from tractprobe.runs.building import build

    identity, settings = result["identity"], result["settings"]
    encoder, rows = build(settings["model"]), [row for row in result["scores"] if row["layer"] == layer]
    if encoder.identity != identity["encoder"]:
        raise RunError(f"the encoder has changed since {run}: {encoder.identity} now, {identity['encoder']} then")
    geometry, model = encoder.geometry, {key: value for key, value in settings["model"].items() if key != "about"}
    frames = frames_of(geometry, encoder.label)
    return {
        "channels": channels,
        "head": settings["head"],
        "layer": layer,
        "encoder": {
            "label": encoder.label,
            "settings": model,
            "identity": identity["encoder"],
            "width": encoder.width,
            "about": settings["model"].get("about"),
        },
        "frames": {**frames, "rate_hz": geometry.rate_hz, "of_samples_per_s": 16000},
        "storage": settings["features"]["storage"],
        "ema": settings["ema"],
        "speakers": _speakers(run, result, [channel["name"] for channel in channels]),
        "corpora": identity["corpora"],
        "run": {key: identity[key] for key in ("model", "layer", "head", "split", "held_out", "seed", "differences")},
        "means": _means(rows),
        "scores": rows,
        "scaled_by_own_test_frames": result["scaled_by_own_test_frames"],
        "versions": {**identity["versions"], "exported_by": __version__},
        "licence": LICENCE,
    }


def _speakers(run: Path, result: RunResult, channels: list[str]) -> Plain:
    """Return the means and deviations of training speakers, from frames that were not tested."""
    scales = result.get("scales")
    if not scales or scales["channels"] != channels:
        raise RunError(f"{run / RESULT} does not hold its speakers' means and scales; {_AGAIN}")
    kept = {}
    for name, scale in scales["speakers"].items():
        mean, sd = (
            [None if tested else value for value, tested in zip(scale[what], scale["from_test"], strict=True)]
            for what in ("mean", "sd")
        )
        if any(value is not None for value in mean):
            kept[name] = {"mean": mean, "sd": sd}
    if not kept:
        raise RunError(f"{run}: no speaker has a mean and scale from frames that were not tested")
    return kept


def _means(rows: Sequence[Row]) -> Plain:
    """Return each target's test scores, averaged as in tables, with intervals and n."""
    means = {}
    for target in dict.fromkeys(row["target"] for row in rows):
        same = [row for row in rows if row["target"] == target]
        one_unit = len({row["unit"] for row in same}) == 1
        values = {name: speaker_means(same, name) for name in METRICS if one_unit or name != "rmse"}
        means[target] = {name: _mean(name, scores) for name, scores in values.items() if scores}
    return means


def _mean(metric: str, scores: Scores) -> Plain:
    estimate = mean_over_speakers(scores, fisher=metric in _CORRELATIONS)
    return {name: getattr(estimate, name) for name in ("mean", "low", "high", "n")}
