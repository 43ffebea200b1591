"""What one head gains over another: differences of r within speakers, with intervals."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tractprobe.encoders.layers import Label, order
from tractprobe.runs.estimate import Estimate, mean_over_speakers
from tractprobe.runs.result import Row, speaker_means
from tractprobe.system.errors import RunError

_OF_GRADIENTS = ("together=", "objective.", "optimizer.", "schedule.", "trainer.", "patience=", "data.", "head.")
_PAIRED = ("held_out", "language", "speaker", "channel")


@dataclass(frozen=True)
class Difference:
    """A head's r minus that of a baseline, on the same encoder, layer, split, held-out values, speakers and channels.

    Seeds are averaged first, then channels. ``difference`` is the mean over speakers and then languages
    of the difference within a speaker, with a 95 % interval from a bootstrap over speakers.
    """

    model: str
    head: str
    settings: str
    split: str
    held_out: tuple[str, ...]
    layer: Label
    r: Estimate
    baseline: Estimate
    difference: Estimate


def differences(rows: Sequence[Row], baseline: str) -> list[Difference]:
    """Compare every other head with a baseline, by its short name, wherever both were run.

    Positions only, and of channels those that have an r under both heads. What shapes the
    training by gradients (and so cannot be the same for a closed-form head) may differ between the two, nothing else: a
    baseline of the same settings goes before the one of the shipped.
    """
    kinds: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row["target"] == "ema":
            kind = (row["model"], row["head"], row["split"], row["material"], row["settings"])
            kinds.setdefault(kind, []).append(row)
    found = []
    for (model, head, split, material, settings), own in kinds.items():
        others = _baseline(kinds, (model, baseline, split, material), settings)
        if head == baseline or others is None:
            continue
        about = (model, head, settings, split)
        layers = sorted({row["layer"] for row in own} & {row["layer"] for row in others}, key=order)
        for layer in layers:
            pair = [[row for row in some if row["layer"] == layer] for some in (own, others)]
            found += _difference(about, layer, *pair)
    return sorted(found, key=lambda one: (one.model, one.head, one.settings, order(one.layer)))


def _baseline(kinds: dict[tuple[str, ...], list[Row]], about: tuple[str, ...], settings: str) -> list[Row] | None:
    """Return the rows of a baseline under the same settings, or under the shipped ones of training by gradients."""
    same = kinds.get((*about, settings))
    return kinds.get((*about, _shared(settings))) if same is None else same


def _shared(settings: str) -> str:
    """Return settings without those of training by gradients."""
    return " ".join(one for one in settings.split(" ") if not one.startswith(_OF_GRADIENTS))


def _difference(
    about: tuple[str, str, str, str], layer: Label, own: Sequence[Row], others: Sequence[Row]
) -> list[Difference]:
    both = _paired(own) & _paired(others)
    if not both:
        return []
    one, other = _cells(own, both), _cells(others, both)
    gained = mean_over_speakers({key: one[key] - other[key] for key in one})
    held_out = tuple(sorted({pair[0] for pair in both}))
    return [Difference(*about, held_out, layer, mean_over_speakers(one), mean_over_speakers(other), gained)]


def _paired(rows: Sequence[Row]) -> set[tuple[str, ...]]:
    """Return what of two heads can be set against each other, seeds apart."""
    return {tuple(row[name] for name in _PAIRED) for row in rows if row["r"] is not None}


def _cells(rows: Sequence[Row], both: Collection[tuple[str, ...]]) -> dict[tuple[str, str], float]:
    """Return (language, speaker) to the mean r of what both heads have."""
    by_pair: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row["r"] is not None and (pair := tuple(row[name] for name in _PAIRED)) in both:
            by_pair.setdefault(pair, []).append(row)
    return speaker_means({**some[0], "r": math.fsum(row["r"] for row in some) / len(some)} for some in by_pair.values())


def table(found: Sequence[Difference], baseline: str) -> str:
    """Return differences as a text table; RunError if there are none."""
    if not found:
        raise RunError(
            f"no other head was run on what {baseline} was run on: the same encoder, layers, split, settings"
        )
    lines = [["model", "head", "layer", "held out", "r", f"r of {baseline}", "difference", "n"]]
    for one in found:
        head = f"{one.head} ({one.settings})" if one.settings else one.head
        numbers = (str(one.r), str(one.baseline), str(one.difference), str(one.difference.n))
        lines.append([one.model, head, str(one.layer), " ".join(one.held_out), *numbers])
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    title = f"r minus that of {baseline}, within speakers; 95 % intervals over speakers"
    return "\n".join([title, *("  ".join(cells).rstrip() for cells in padded)])
