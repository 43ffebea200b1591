"""What a report shows of a 2 x 2: tables, figures, and what a reader has to know to distrust them."""

from collections import Counter
from collections.abc import Iterator, Sequence

from tractprobe.data.crossed import BOTH, CONDITIONS, LANGUAGE_ONLY, NEITHER, SPEAKER_ONLY, Arm
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.factorial import Factorial
from tractprobe.evidence.record import Column, Figure, Series, Table
from tractprobe.evidence.statistics.inference import effect

CONTRASTS = {"new": (LANGUAGE_ONLY, NEITHER), "known": (BOTH, SPEAKER_ONLY)}
"""Of new and of known speakers: heads that know the language, and heads that do not."""


def by_condition(scores: Factorial) -> Table:
    """Return r and errors under each condition, over all languages and in each."""
    rows = []
    for condition in scores.conditions:
        cells = scores.cells(condition)
        errors = scores.cells(condition, metric="error").of_speakers() if scores.unit_of_error else {}
        for language in ("all", *sorted({language for language, _ in scores.units})):
            values = {key: value for key, value in cells.of_speakers().items() if language in ("all", key[0])}
            if values:
                reached = effect(values, fisher=True)
                error = effect({key: errors[key] for key in values}).mean if errors else None
                rows.append({"condition": condition.name, "language": language, "r": reached.mean, "low": reached.low,
                             "high": reached.high, "error": error, "speakers": reached.n})  # fmt: skip
    columns = (
        Column("condition"), Column("language"), Column("r", "r"), Column("low", "r"), Column("high", "r"),
        Column("error", scores.unit_of_error, "error, static offsets aside"), Column("speakers"),
    )  # fmt: skip
    return Table("conditions", "r by what the heads know, over known utterances of one set", columns, tuple(rows))


def training(arms: Sequence[Arm]) -> Table:
    """Return how many minutes the training sets of each condition have, and of what."""
    rows = []
    for condition in CONDITIONS:
        own = [arm for arm in arms if arm.condition == condition]
        shares = [arm.shares(unit) for arm in own for unit in arm.tested]
        for fold in sorted({arm.fold for arm in own}):
            minutes = [arm.minutes for arm in own if arm.fold == fold]
            rows.append({"condition": condition.name, "fold": fold, "sets": len(minutes), "least": min(minutes),
                         "most": max(minutes), "of_language": sum(language for language, _ in shares) / len(shares),
                         "of_speaker": sum(speaker for _, speaker in shares) / len(shares)})  # fmt: skip
    columns = (
        Column("condition"), Column("fold", "", "fold of sentences"), Column("sets", "", "training sets"),
        Column("least", "min", "minutes, the fewest"), Column("most", "min", "minutes, the most"),
        Column("of_language", "min", "of the test language, on average"),
        Column("of_speaker", "min", "of the test speaker, on average"),
    )  # fmt: skip
    return Table("training", "What heads learned from", columns, tuple(rows))


def layers(scores: Factorial) -> Table:
    """Return r of each layer under each condition."""
    rows = []
    for layer in scores.labels:
        for condition in scores.conditions:
            if values := scores.cells(condition, layer).of_speakers():
                reached = effect(values, fisher=True)
                rows.append({"layer": layer, "condition": condition.name, "r": reached.mean, "low": reached.low,
                             "high": reached.high})  # fmt: skip
    columns = (Column("layer"), Column("condition"), Column("r", "r"), Column("low", "r"), Column("high", "r"))
    return Table("layers", "r of each layer by what the heads know", columns, tuple(rows))


def profile(scores: Factorial) -> Figure:
    """Return r against the layer, a line for each condition."""
    rows = layers(scores).rows
    series = tuple(
        Series(
            condition.name,
            tuple(
                [row["layer"], row["r"], row["low"], row["high"]] for row in rows if row["condition"] == condition.name
            ),
        )
        for condition in scores.conditions
    )
    return Figure("layers", "r against the layer, by what the heads know", "layer", "r", series)


def choices(scores: Factorial) -> Table:
    """Return how often validation chose each layer."""
    count = Counter(scores.layer_of.values())
    rows = tuple({"layer": layer, "times": count[layer]} for layer in scores.labels if layer in count)
    title = "Layers that validation chose, by the heads that know least of each language and speaker in each fold"
    return Table("choices", title, (Column("layer"), Column("times", "", "times chosen")), rows)


def bars(scores: Factorial) -> Figure:
    """Return r under each condition."""
    points = []
    for condition in scores.conditions:
        reached = effect(scores.cells(condition).of_speakers(), fisher=True)
        points.append([condition.name, reached.mean, reached.low, reached.high])
    title = "r by what the heads know, at equal minutes on the same utterances"
    return Figure("conditions", title, "heads", "r", (Series("r", tuple(points)),), "bars")


def caveats(scores: Factorial, arms: Sequence[Arm], bench: Bench) -> Iterator[str]:
    """Yield what a reader has to know to distrust the findings."""
    minutes = [arm.minutes for arm in arms]
    by_fold = [[arm.minutes for arm in arms if arm.fold == fold] for fold in {arm.fold for arm in arms}]
    apart = max(max(own) / min(own) - 1 for own in by_fold)
    speakers, languages = ({unit[place] for unit in scores.units} for place in (1, 0))
    yield (
        f"Heads learn from {min(minutes):.1f} to {max(minutes):.1f} minutes, as many as the smallest condition of a "
        f"fold of sentences has; within folds, minutes differ by up to {100 * apart:.0f} %, as whole blocks are drawn. "
        f"More minutes may change what a language adds. {len(speakers)} speakers are the unit of every interval."
    )
    yield (
        "Heads that know the language have heard one language more, and heads that know the speaker one group of "
        "speakers more, in the same minutes."
    )
    for pair in CONTRASTS.values():
        if not scores.difference(*pair).values:
            yield f"Of the four conditions not all exist: {scores.lacking(*pair)}."
    corpora = {language: {entry.corpus for entry in bench.entries.values() if entry.language == language}
               for language in languages}  # fmt: skip
    if len(bench.corpora) > 1 and (confounded := sorted(name for name, own in corpora.items() if len(own) == 1)):
        yield f"{', '.join(confounded)} are of one corpus each: device and laboratory are known with the language."
    lost, count = scores.undefined()
    if lost:
        yield f"r is undefined in {lost} of {count} channels of folds, which are left out under every condition."
