"""Raised in: r of heads of every language on every language, for an encoder of which it is known what it heard.

One encoder's half of the controlled experiment. The other half is where records meet: encoders that differ in the
language they heard alone are compared by ``evidence.methods.upbringing``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

from tractprobe.corpora.languages import is_language
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.data.blocks import Dealing
from tractprobe.data.phone_labels import phones_of_languages
from tractprobe.data.taught import Taught, TaughtRule
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.in_turn import fitted_in_turn
from tractprobe.evidence.methods.taught_scores import CHOSEN, TaughtScores
from tractprobe.evidence.methods.upbringing import CELLS, DISTANCES, UPBRINGING, told
from tractprobe.evidence.record import Column, DoesNotApply, Evidence, Figure, Finding, Series, Table
from tractprobe.evidence.statistics.effects import OVER
from tractprobe.evidence.statistics.findings import finding, undefined
from tractprobe.evidence.statistics.inference import differences, effect
from tractprobe.runs.estimate import Scores
from tractprobe.system.errors import ConfigError

SAME, OTHER = "heads of the tested language", "heads of other languages"


@dataclass(frozen=True)
class RaisedIn(Dealing):
    """R of heads of each language on each language, for new speakers, at every layer, with what the encoder heard.

    Attributes
    ----------
    margin_r
        A difference in r below this, in either direction, counts as none.
    """

    margin_r: float = 0.03
    name: ClassVar[str] = "raised_in"
    version: ClassVar[int] = 1

    def __post_init__(self):
        if not self.margin_r > 0:
            raise ConfigError(f"analysis.margin_r={self.margin_r}: must be above 0")
        super().__post_init__()

    @property
    def rule(self) -> TaughtRule:
        """How heads are taught and tested."""
        return TaughtRule(**self.dealing)

    def __call__(self, bench: Bench) -> Evidence:
        """Return r by head's language, tested language and layer, and what the encoder was raised on."""
        entries = list(bench.entries.values())
        _check(entries)
        heads = self.rule(entries, bench.seed)
        scores = TaughtScores.of(heads, fitted_in_turn(bench, [head.split for head in heads]), bench.labels)
        same, other = scores.of_heads(same=True), scores.of_heads(same=False)
        return Evidence(
            findings=tuple(self._findings(same, other)),
            tables=(*_upbringing(bench), _matrix(scores), _layers(scores), _taught(heads), _choices(scores),
                    *_distances(bench), _cells(scores)),
            figures=(_profile(scores), _squares(scores)),
            rows=tuple(
                {"condition": name, "language": language, "speaker": speaker, "r": r}
                for name, values in ((SAME, same), (OTHER, other))
                for (language, speaker), r in values.items()
            ),
            caveats=tuple(_caveats(scores, heads, bench)),
        )  # fmt: skip

    def _findings(self, same: Scores, other: Scores) -> Iterator[Finding]:
        for name, heads, values in (("r_same", SAME, same), ("r_other", OTHER, other)):
            says = f"r of {heads}, for new speakers"
            if not values:
                yield undefined(name, f"{says}: no language has two speakers", "r", OVER)
                continue
            yield finding(name, says, values, "r", OVER, estimate=effect(values, fisher=True))
        says = f"r of {SAME} minus the mean r of {OTHER}, for new speakers, at equal minutes"
        yield finding("head_language_effect", says, differences(same, other), "r", OVER, self.margin_r)


def _check(entries: Sequence[Entry]) -> None:
    languages = {entry.language for entry in entries}
    if len(languages) < 2:
        raise DoesNotApply(f"heads of one language on another need two languages; there are {len(languages)}")
    if len({entry.speaker for entry in entries}) < 2:
        raise DoesNotApply("heads are tested on new speakers; there is one speaker only")


def _upbringing(bench: Bench) -> tuple[Table, ...]:
    """Return what the encoder was raised on, as far as its folder says."""
    if bench.raised is None:
        return ()
    rows = tuple({"fact": name, "value": value} for name, value in told(bench.raised).items())
    return (Table(UPBRINGING, "What the encoder was raised on", (Column("fact"), Column("value")), rows),)


def _matrix(scores: TaughtScores) -> Table:
    """Return r of each pair of languages at the chosen layers."""
    rows = []
    for head in scores.languages:
        for tested in scores.languages:
            if values := scores.of_pair(head, tested):
                reached = effect(values, fisher=True)
                rows.append({"head": head, "test": tested, "r": reached.mean, "low": reached.low,
                             "high": reached.high, "speakers": reached.n})  # fmt: skip
    columns = (
        Column("head", "", "heads heard"), Column("test", "", "tested on"), Column("r", "r"), Column("low", "r"),
        Column("high", "r"), Column("speakers"),
    )  # fmt: skip
    return Table("matrix", "r by the language that heads heard and the language that is tested", columns, tuple(rows))


def _layers(scores: TaughtScores) -> Table:
    rows = []
    for layer in scores.layers:
        for name, same in ((SAME, True), (OTHER, False)):
            if values := scores.of_heads(same=same, layer=layer):
                reached = effect(values, fisher=True)
                rows.append({"layer": layer, "heads": name, "r": reached.mean, "low": reached.low,
                             "high": reached.high})  # fmt: skip
    columns = (Column("layer"), Column("heads"), Column("r", "r"), Column("low", "r"), Column("high", "r"))
    return Table("layers", "r of each layer; chosen: by each head's validation", columns, tuple(rows))


def _profile(scores: TaughtScores) -> Figure:
    rows = [row for row in _layers(scores).rows if row["layer"] != CHOSEN]
    numbers = all(row["layer"].isdecimal() for row in rows)
    series = tuple(
        Series(name, tuple([int(row["layer"]) if numbers else row["layer"], row["r"], row["low"], row["high"]]
                           for row in rows if row["heads"] == name))
        for name in (SAME, OTHER)
    )  # fmt: skip
    return Figure("layers", "r against the layer, for new speakers", "layer", "r", series)


def _squares(scores: TaughtScores) -> Figure:
    rows = _matrix(scores).rows
    series = tuple(
        Series(head, tuple([row["test"], row["r"], row["low"], row["high"]] for row in rows if row["head"] == head))
        for head in scores.languages
    )
    return Figure("matrix", "r of heads of a language (rows) on a language (columns)", "tested on", "r", series,
                  "matrix")  # fmt: skip


def _taught(heads: Sequence[Taught]) -> Table:
    """Return what heads of each language learned from."""
    rows = []
    for language in sorted({head.language for head in heads}):
        own = [head for head in heads if head.language == language]
        minutes, speakers = ([getattr(head, name) for head in own] for name in ("minutes", "speakers"))
        rows.append({"language": language, "heads": len(own), "least": min(minutes), "most": max(minutes),
                     "fewest": min(map(len, speakers)), "most_speakers": max(map(len, speakers))})  # fmt: skip
    columns = (
        Column("language", "", "heads heard"), Column("heads"), Column("least", "min", "minutes, the fewest"),
        Column("most", "min", "minutes, the most"), Column("fewest", "", "speakers, the fewest"),
        Column("most_speakers", "", "speakers, the most"),
    )  # fmt: skip
    return Table("taught", "What heads learned from", columns, tuple(rows))


def _choices(scores: TaughtScores) -> Table:
    rows = tuple(
        {"language": language, "layer": layer, "times": scores.choices[language, layer]}
        for language in scores.languages
        for layer in scores.layers
        if (language, layer) in scores.choices
    )
    columns = (Column("language", "", "heads heard"), Column("layer"), Column("times", "", "times chosen"))
    return Table("choices", "Layers that the heads' validation chose", columns, rows)


def _distances(bench: Bench) -> tuple[Table, ...]:
    """Return how far languages lie apart: the share of their phones, of all corpora here, that only one of two has."""
    phones = phones_of_languages(bench.corpora)
    rows = tuple(
        {
            "one": one,
            "other": other,
            "distance": 1 - len(phones[one] & phones[other]) / len(phones[one] | phones[other]),
        }
        for one, other in combinations(sorted(phones), 2)
    )
    title = "Phones that only one of two languages has, as a share of those that either has (Jaccard)"
    columns = (Column("one"), Column("other"), Column("distance"))
    return (Table(DISTANCES, title, columns, rows),) if rows else ()


def _cells(scores: TaughtScores) -> Table:
    columns = (
        Column("layer"), Column("head", "", "heads heard"), Column("test", "", "tested on"), Column("speaker"),
        Column("r", "r"), Column("channels"),
    )  # fmt: skip
    return Table(CELLS, "r of every speaker by layer, heads and tested language", columns, scores.rows())


def _caveats(scores: TaughtScores, heads: Sequence[Taught], bench: Bench) -> Iterator[str]:
    minutes = [head.minutes for head in heads]
    yield (
        f"Heads learn from {min(minutes):.1f} to {max(minutes):.1f} minutes of one language, by speakers who are not "
        "tested; where the tested speaker speaks that language, there is one speaker less to learn from."
    )
    if lacking := sorted({unit[0] for unit in scores.channels} - {unit[0] for unit in scores.of_heads(same=True)}):
        yield f"Nothing is known of {', '.join(lacking)}, where a tested speaker is the only one."
    if scores.lost:
        yield f"{scores.lost} channels of tested speakers are undefined under some head, and left out under all."
    if bench.raised is None:
        yield "What this encoder was raised on is not known here: its folder has no pretraining.json."
    elif any(not is_language(language) for language in bench.raised.languages):
        yield "This encoder was raised on babble (zxx), which is no language."
