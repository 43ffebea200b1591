"""What one head gains over another: differences of r within speakers, with intervals."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from tractprobe.corpora.languages import is_language
from tractprobe.encoders.layers import Label, order
from tractprobe.evidence.tables.condition import Condition
from tractprobe.evidence.tables.means import pooled
from tractprobe.evidence.tables.table import aligned
from tractprobe.runs.estimate import Estimate, mean_over_speakers
from tractprobe.runs.result import MOMENTS, Row, speaker_means
from tractprobe.system.errors import RunError
from tractprobe.system.printable import one_line
from tractprobe.system.registry import did_you_mean

_OF_GRADIENTS = ("together", "objective", "optimizer", "schedule", "trainer", "patience", "data", "head")
_PAIRED = ("held_out", "language", "speaker", "channel")


@dataclass(frozen=True)
class Difference:
    """A head's r minus that of a baseline, on the same encoder, layer, split, held-out values, speakers and channels.

    Folds are pooled and seeds averaged first, then channels. ``difference`` is the mean over speakers and then
    languages of the difference within a speaker, with a 95 % t interval over speakers.
    """

    model: str
    head: str
    settings: Condition
    split: str
    held_out: tuple[str, ...]
    layer: Label
    r: Estimate
    baseline: Estimate
    difference: Estimate


def differences(rows: Sequence[Row], baseline: str) -> list[Difference]:
    """Compare every other head with a baseline, by its short name, wherever both were run.

    Only positions are compared, and only channels that have an r under both heads. Settings of training by gradients,
    which a closed-form head does not have, may differ between the two; nothing else may. A baseline under the same
    settings takes precedence over one under the shipped settings.
    """
    heads = {row["head"] for row in rows}
    if baseline not in heads:
        raise RunError(f"--against {baseline}: these runs have no such head{did_you_mean(baseline, heads)}")
    kinds: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if row["target"] == "ema":
            kind = (row["model"], row["head"], row["split"], row["material"], row["at_once"], row["settings"])
            kinds.setdefault(kind, []).append(row)
    compared = []
    for (model, head, split, material, at_once, settings), own in kinds.items():
        others = _baseline(kinds, (model, baseline, split, material), at_once, settings)
        if head == baseline or others is None:
            continue
        labels = (model, head, settings, split)
        layers = sorted({row["layer"] for row in own} & {row["layer"] for row in others}, key=order)
        for layer in layers:
            pair = [[row for row in rows_of_head if row["layer"] == layer] for rows_of_head in (own, others)]
            compared += _difference(labels, layer, *pair)
    return sorted(compared, key=lambda each: (each.model, each.head, each.settings, order(each.layer)))


def _baseline(
    kinds: dict[tuple[Any, ...], list[Row]], labels: tuple[str, ...], at_once: bool, settings: Condition
) -> list[Row] | None:
    """Return the rows of a baseline under the same settings, or under the shipped settings of training by gradients.

    Those of a run that, like the other head's, has all layers or one come first.
    """
    for condition in (settings, settings.without(*_OF_GRADIENTS)):
        for way in (at_once, not at_once):
            if (rows := kinds.get((*labels, way, condition))) is not None:
                return rows
    return None


def _difference(
    labels: tuple[str, str, Condition, str], layer: Label, own: Sequence[Row], others: Sequence[Row]
) -> list[Difference]:
    both = _paired(own) & _paired(others)
    both = {pair for pair in both if is_language(pair[_PAIRED.index("language")])} or both  # which means are over
    if not both:
        return []
    r, baseline = _by_speaker(own, others, both)
    gained = mean_over_speakers({key: r[key] - baseline[key] for key in r})
    held_out = tuple(sorted({pair[0] for pair in both}))
    means = [mean_over_speakers(values, fisher=True) for values in (r, baseline)]
    return [Difference(*labels, held_out, layer, means[0], means[1], gained)]


def _paired(rows: Sequence[Row]) -> set[tuple[str, ...]]:
    """Return what of a head can be compared with another's, whatever the seed."""
    return {tuple(row[name] for name in _PAIRED) for row in rows if row["r"] is not None}


def _by_speaker(
    own: Sequence[Row], others: Sequence[Row], both: Collection[tuple[str, ...]]
) -> list[dict[tuple[str, str], float]]:
    """Return (language, speaker) to the mean r of each head over what both have, of folds in the same way."""
    sides = [[row for row in rows if tuple(row[name] for name in _PAIRED) in both] for rows in (own, others)]
    means = [pooled(rows) for rows in sides]
    if any(row.get("averaged") for rows in means for row in rows):  # the sums of one side's folds are not known
        means = [pooled({**row, **dict.fromkeys(MOMENTS)} for row in rows) for rows in sides]
    return [speaker_means(rows) for rows in means]


def table(compared: Sequence[Difference], baseline: str) -> str:
    """Return differences as a text table; RunError if there are none."""
    if not compared:
        raise RunError(f"no other head was run on the same encoder, layers, split and settings as {baseline}")
    lines = [["model", "head", "layer", "held out", "r", f"r of {baseline}", "difference", "n"]]
    for each in compared:
        head = f"{each.head} ({each.settings})" if each.settings else each.head
        numbers = (str(each.r), str(each.baseline), str(each.difference), str(each.difference.n))
        lines.append([each.model, head, str(each.layer), " ".join(each.held_out), *numbers])
    title = f"r minus that of {baseline}, within speakers; 95 % intervals over speakers"
    return "\n".join([one_line(title), *aligned(lines)])
