"""What a report shows of encoders that differ in the language they heard: who they are, figures, and caveats."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tractprobe.evidence.methods.raised_together import Together
from tractprobe.evidence.methods.upbringing import Encoder
from tractprobe.evidence.record import Band, Column, Evidence, Figure, Finding, Series, Table
from tractprobe.evidence.statistics.findings import undefined
from tractprobe.evidence.statistics.inference import differences, effect
from tractprobe.runs.estimate import Estimate, Scores

_MOST_LINES = 12


@dataclass(frozen=True, eq=False)
class Joined:
    """What encoders say together.

    Attributes
    ----------
    evidence
        Findings, tables and figures of all encoders together.
    own
        By the encoder's name, what is said of it alone.
    refused
        By the encoder's name, why it is no part of the experiment.
    """

    evidence: Evidence
    own: Mapping[str, tuple[Finding, ...]]
    refused: Mapping[str, str]

    @classmethod
    def of(cls, together: Together) -> "Joined":
        """Put together what is shown."""
        there = bool(together.units)
        tables = (_encoders(together), *([_scores(together)] if there else []))
        figures = tuple(_figures(together)) if there else ()
        own = {each.label: together.own(each) if there else () for each in together.experiment.encoders}
        evidence = Evidence(together.findings(), tables, figures, (), tuple(_caveats(together)))
        return cls(evidence, own, together.experiment.refused)

    def findings_of(self, label: str) -> tuple[Finding, ...]:
        """Return what is known of an encoder of the experiment; of others, why nothing is."""
        if label not in self.own and (reason := self.refused.get(label)):
            return tuple(undefined(each.name, reason, each.unit, each.over) for each in self.evidence.findings)
        return (*self.evidence.findings, *self.own.get(label, ()))


def _encoders(together: Together) -> Table:
    """Return who is compared, and what differs besides the language."""
    rows = []
    for each in together.experiment.encoders:
        raised = each.raised
        rows.append({
            "encoder": each.label, "part": each.part, "heard": " ".join(each.heard) or "nothing",
            "hours_of_data": raised.hours_of_data if raised else None,
            "hours_heard": raised.hours_heard if raised else None, "updates": raised.updates if raised else None,
            "iteration": raised.iteration if raised else None, "parameters": raised.parameters if raised else None,
            "seed": raised.seed if raised else None, "differs": together.experiment.else_different(each),
        })  # fmt: skip
    columns = (
        Column("encoder"), Column("part", "", "part in the experiment"), Column("heard"),
        Column("hours_of_data", "h", "hours of data"), Column("hours_heard", "h", "hours heard"), Column("updates"),
        Column("iteration"), Column("parameters"), Column("seed"),
        Column("differs", "", "what else differs from the first"),
    )  # fmt: skip
    return Table("encoders", "Encoders of the experiment", columns, tuple(rows))


def _scores(together: Together) -> Table:
    """Return r of each encoder by heads of each language in each language, which are the columns."""
    languages, rows = sorted({language for language, _ in together.units}), []
    for each in together.experiment.encoders:
        r = together.r(each)
        for place, head in enumerate(together.heads):
            own = dict(zip(together.units, r[place].tolist(), strict=True))
            means = {language: effect(_in(language, own)).mean for language in languages}
            rows.append({"encoder": each.label, "heard": " ".join(each.heard), "head": head} | means)
    columns = (Column("encoder"), Column("heard", "", "encoder heard"), Column("head", "", "heads heard"))
    tested = tuple(Column(language, "r", f"in {language}") for language in languages)
    title = "r by the languages of encoder, heads and test"
    return Table("factorial", title, (*columns, *tested), tuple(rows))


def _figures(together: Together) -> Iterator[Figure]:
    yield from _advantage(together)
    yield from _by_language(together)
    yield _bars(together)
    yield _curves(together)


def _advantage(together: Together) -> Iterator[Figure]:
    """Yield the effect of a match at every layer."""
    names = {"test is of the language heard": [], "heads and test are of the language heard": []}
    for layer in together.layers():
        crossing = together.crossing(layer)
        if crossing is None:
            return
        each = crossing.effects([crossing.match()])[0], crossing.effects(list(crossing.matches().values()))[2]
        for points, found in zip(names.values(), each, strict=True):
            points.append(_point(_number(layer), found.estimate() if found is not None else None))
    margin = together.margin_r
    if any(point[1] is not None for points in names.values() for point in points):
        series = tuple(Series(name, tuple(points)) for name, points in names.items())
        title = "What it adds to r that the encoder heard the language, at every layer"
        yield Figure("native", title, "layer", "difference in r", series, "lines",
                     Band(f"margin of ± {margin:g}", -margin, margin))  # fmt: skip


def _by_language(together: Together) -> Iterator[Figure]:
    """Yield r of each encoder in each language, minus the mean of encoders of one language, and minus its own mean."""
    family = together.experiment.of_part("one language")
    if len(family) < 2:
        return
    mean, series = together.scores(family), []
    for each in together.experiment.encoders:
        if each.part in ("one language", "several languages", "babble"):
            own = differences(together.scores([each]), mean)
            languages = sorted({language for language, _ in own})
            level = effect(own).mean
            own = {unit: value - level for unit, value in own.items()}
            points = [_point(language, effect(_in(language, own))) for language in languages]
            series.append(Series(_short(each), tuple(points)))
    title = "r beyond what encoder and language are like otherwise, by what the encoder heard (rows)"
    yield Figure("by_language", title, "tested on", "difference in r", tuple(series), "matrix")


def _bars(together: Together) -> Figure:
    points = [_point(each.label, effect(together.scores([each]), fisher=True)) for each in together.experiment.encoders]
    title = "r on speech of new speakers, over heads of every language"
    return Figure("encoders", title, "encoder", "r", (Series("r", tuple(points)),), "bars")


def _curves(together: Together) -> Figure:
    """Return r of each encoder against its layers, over heads of every language."""
    series = []
    for each in together.experiment.encoders[:_MOST_LINES]:
        points = [_point(_number(layer), effect(together.scores([each], layer), fisher=True)) for layer in each.layers]
        series.append(Series(each.label, tuple(points)))
    title = "r against the layer, over heads of every language"
    return Figure("layers", title, "layer", "r", tuple(series))


def _caveats(together: Together) -> Iterator[str]:
    experiment = together.experiment
    yield from (f"{reason}." for reason in experiment.refused.values())
    if together.left_out:
        yield f"{together.left_out} tested languages and speakers that not all encoders have are left out."
    if together.crossing() is not None:
        yield (
            "Intervals of what a match adds are over speakers, or over encoders and languages where those are wider; "
            "native_by_chance says how often languages dealt to these encoders at random do as well. Intervals of "
            "differences between kinds of encoders allow for how much encoders of one language differ from each other."
        )
        yield "Intervals at layers each hold by themselves, not all together."
    if experiment.unbalanced_seeds:
        yield "Encoders of different languages were raised with different seeds, so seeds differ with languages."


def _short(encoder: Encoder) -> str:
    return encoder.heard[0] if encoder.part == "one language" else encoder.part.replace(" languages", "")


def _number(layer: str) -> int | str:
    return int(layer) if layer.isdecimal() else layer


def _point(x: object, reached: Estimate | None) -> list[object]:
    return [x, None, None, None] if reached is None else [x, reached.mean, reached.low, reached.high]


def _in(language: str, scores: Scores) -> dict[tuple[str, str], float]:
    return {unit: value for unit, value in scores.items() if unit[0] == language}
