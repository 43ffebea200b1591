"""What one head gains over another: differences of r within speakers, with intervals."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tractprobe.layers import Label, order
from tractprobe.results import Row, speaker_means
from tractprobe.statistics import Estimate, mean_over_speakers

_OF_GRADIENTS = ("together=", "objective.", "optimizer.", "schedule.", "trainer.", "patience=", "data.", "head.")
Cells = Mapping[tuple[str, str], float]


@dataclass(frozen=True)
class Difference:
    """A head's r minus that of a baseline, on the same encoder, layer, split, speakers and held-out values.

    ``difference`` is the mean over speakers and then languages of the difference within a speaker, with a 95 % interval
    from a bootstrap over speakers.
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

    Positions only. What shapes the training by gradients (and so cannot be the same for a closed-form head) may differ
    between the two, nothing else.
    """
    kinds: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row["target"] == "ema":
            kind = (row["model"], row["head"], row["split"], row["material"], row["settings"])
            kinds.setdefault(kind, []).append(row)
    found = []
    for (model, head, split, material, settings), own in kinds.items():
        others = kinds.get((model, baseline, split, material, _shared(settings)))
        if head == baseline or others is None:
            continue
        about = (model, head, settings, split)
        layers = sorted({row["layer"] for row in own} & {row["layer"] for row in others}, key=order)
        for layer in layers:
            pair = [[row for row in some if row["layer"] == layer] for some in (own, others)]
            found += _difference(about, layer, *pair)
    return sorted(found, key=lambda one: (one.model, one.head, one.settings, order(one.layer)))


def _shared(settings: str) -> str:
    """Return settings without those of training by gradients."""
    return " ".join(one for one in settings.split(" ") if not one.startswith(_OF_GRADIENTS))


def _difference(
    about: tuple[str, str, str, str], layer: Label, own: Sequence[Row], others: Sequence[Row]
) -> list[Difference]:
    held_out = tuple(sorted({row["held_out"] for row in own} & {row["held_out"] for row in others}))
    one, other = _cells(own, held_out), _cells(others, held_out)
    both = sorted(one.keys() & other.keys())
    if not both:
        return []
    r, baseline = (mean_over_speakers({key: some[key] for key in both}) for some in (one, other))
    gained = mean_over_speakers({key: one[key] - other[key] for key in both})
    return [Difference(*about, held_out, layer, r, baseline, gained)]


def _cells(rows: Iterable[Row], held_out: Sequence[str]) -> Cells:
    return speaker_means(row for row in rows if row["held_out"] in held_out)


def table(found: Sequence[Difference], baseline: str) -> str:
    """Return differences as a text table."""
    lines = [["model", "head", "layer", "held out", "r", f"r of {baseline}", "difference", "n"]]
    for one in found:
        head = f"{one.head} ({one.settings})" if one.settings else one.head
        numbers = (str(one.r), str(one.baseline), str(one.difference), str(one.difference.n))
        lines.append([one.model, head, str(one.layer), " ".join(one.held_out), *numbers])
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    title = f"r minus that of {baseline}, within speakers; 95 % intervals over speakers"
    return "\n".join([title, *("  ".join(cells).rstrip() for cells in padded)])
