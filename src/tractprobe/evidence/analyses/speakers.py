"""Speakers: whether one speaker's read-out needs only an affine map to become another's, and how much of a map it needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tractprobe.data.control_targets import Shifted
from tractprobe.encoders.layers import Label
from tractprobe.evidence.affine import Family
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.findings import finding, undefined
from tractprobe.evidence.inference import differences, effect
from tractprobe.evidence.mapped import Mapped, Pair, Way, mapped
from tractprobe.evidence.record import Column, Evidence, Figure, Finding, Level, Part, Series, Table
from tractprobe.evidence.shares import share
from tractprobe.evidence.templates import templates
from tractprobe.evidence.voices import RELATIONS, Voice, parts_of, roles_of, sources_of, voices_of
from tractprobe.runs.building import build
from tractprobe.runs.estimate import Estimate, Scores
from tractprobe.signals.channels import ARTICULATORS
from tractprobe.system.errors import ConfigError

_METRICS = ("r", "rmse", "rmse_about_means")
_OVER = "targets: mean over channels, then over a target's sources, speakers, languages"


@dataclass(frozen=True)
class Speakers:
    """Whether one speaker's read-out becomes another's by an affine map, and which part of the map it takes.

    Attributes
    ----------
    minutes
        Of the target's movements that maps are fitted to; those that speakers have are used.
    control
        The encoder, by its option, whose read-outs are mapped likewise; empty for none.
    most_sources
        Sources of a target, drawn in turn from those of its gender, language and corpus, and others.
    validation_folds
        Divisions by which each head's layer and penalty are chosen.
    shift_s
        From when a shuffled head's movements are.
    margin_r
        The difference in r that speakers needed are counted for.
    least_tokens, least_phones
        Of a phone, and that two speakers share, for patterns of phones to be compared.
    """

    minutes: Sequence[float] = (0.5, 1.0, 2.0, 5.0, 10.0)
    control: str = "mel"
    most_sources: int = 8
    validation_folds: int = 3
    shift_s: float = 11.0
    margin_r: float = 0.03
    least_tokens: int = 3
    least_phones: int = 8

    name: ClassVar[str] = "speakers"
    version: ClassVar[int] = 1

    def __post_init__(self):
        if not self.minutes or min(self.minutes) <= 0 or self.most_sources < 1:
            raise ConfigError("analysis.minutes and analysis.most_sources must be above 0")

    def __call__(self, bench: Bench) -> Evidence:
        """Return r and errors by family of maps and minutes, what maps and controls gain, and templates of phones."""
        minutes = sorted(map(float, self.minutes))
        voices = voices_of(list(bench.entries.values()), least_s=60 * minutes[0] * 2.6)
        parts, rule = parts_of(bench), bench.rule("sentence", validation_folds=self.validation_folds)
        roles = roles_of(voices, parts, minutes, rule, bench.seed)
        sources = {target: sources_of(target, list(roles), self.most_sources, bench.seed) for target in roles}
        shuffled = Shifted(build(bench.settings.ema), self.shift_s)
        targets = bench.targets("ema", shuffled)
        of_encoder = mapped(bench, roles, sources, targets)
        of_control = None
        if self.control and self.control != bench.settings.id.model:
            other = bench.other(bench.option(self.control))
            of_control = mapped(other, roles, sources, targets, with_own=False)
        results = _Results(of_encoder, of_control, self.control, self.margin_r)
        template = templates(bench, of_encoder, list(roles), parts, self.least_tokens, self.least_phones)
        return Evidence(
            (*results.findings(), *template.findings),
            (*results.tables(), *template.tables),
            results.figures(),
            results.rows(),
            (*self._caveats(bench, voices, list(roles), results), *template.caveats),
        )

    def _caveats(
        self, bench: Bench, voices: Sequence[Voice], used: Sequence[Voice], results: "_Results"
    ) -> tuple[str, ...]:
        told = [
            "A pair is one source and one target; a target's sources are averaged first, since speakers are the unit.",
            "Heads, maps and tests have no sentence in common; maps are in mm.",
        ]
        if left := sorted({voice.speaker for voice in voices} - {voice.speaker for voice in used}):
            told.append(f"Too little speech to take part: {', '.join(left)}.")
        if len(used) == len({voice.speaker for voice in used}) and any(len(voice.languages) > 1 for voice in used):
            told.append("Speakers of several languages have too little speech to be compared across languages.")
        if not any(voice.gender for voice in used):
            told.append("The corpora do not state the speakers' gender.")
        if lost := results.of_encoder.undefined(results.way("affine")):
            told.append(f"r is undefined in {lost} channels of pairs, which are left out of means.")
        return tuple(told)


@dataclass(frozen=True, eq=False)
class _Results:
    """What the sums of pairs amount to."""

    of_encoder: Mapped
    of_control: Mapped | None
    control: str
    margin_r: float

    @property
    def fewest(self) -> float:
        """The fewest minutes."""
        return min(way.minutes for way in self.of_encoder.ways() if way.minutes)

    def way(self, family: Family, reading: str = "head", minutes: float | None = None) -> Way:
        """Return a way to read, by default with a map of the fewest minutes."""
        if family == "identity" and reading != "own":
            return Way(reading, family, 0.0)
        return Way(reading, family, self.fewest if minutes is None else minutes)

    def findings(self) -> list[Finding]:
        """Return the effects that rules judge by, and those that qualify them."""
        k = f"{self.fewest:g} min"
        floor, affine, own = self.way("identity"), self.way("affine"), self.way("identity", "own")
        offset, scale = self.way("offset"), self.way("scale")
        says = (
            f"how much of the way from the source's read-out as it is to a ridge of the target's own {k} an affine map "
        )
        found = [
            self._share("affine_share", says + "fitted to these goes, in r", "r", (affine, floor), (own, floor)),
            self._share("affine_share_rmse", says + "fitted to these goes, in mm", "rmse", (floor, affine), (floor, own)),
            self._share("offset_share", f"how much of what an affine map of {k} takes from the error its offset alone takes",
                        "rmse", (floor, offset), (floor, affine)),
            self._gain("mixing_gain", f"r of an affine map of {k} minus r with scales and offsets alone", affine, scale),
            self._gain("affine_over_own", f"r of an affine map of {k} minus r of the target's own ridge of {k}", affine, own),
            self._gain("beyond_shuffled", f"r of an affine map of {k} minus the same from a head that was fitted to movements "
                       "of other times", affine, self.way("affine", "shuffled")),
            self._gain("offset_error", "error that the speakers' static offsets are: RMSE of the source's read-out as it is "
                       "minus RMSE about the means", floor, floor, ("rmse", "rmse_about_means")),
        ]  # fmt: skip
        return [*found, self._beyond_control()]

    def _beyond_control(self) -> Finding:
        says = f"r of an affine map of {self.fewest:g} min minus the same from read-outs of {self.control}"
        if self.of_control is None:
            reason = f"the encoder is {self.control} itself" if self.control else "analysis.control is empty"
            return undefined("beyond_mel_affine", f"{says}: {reason}", "r", _OVER)
        affine = self.way("affine")
        return finding("beyond_mel_affine", says, differences(self.of_encoder.scores(affine), self.of_control.scores(affine)),
                       "r", _OVER, self.margin_r)  # fmt: skip

    def _difference(
        self, one: Way, other: Way, metrics: tuple[str, str] = ("r", "r"), **among: Any
    ) -> dict[tuple[str, str], float]:
        return differences(
            self.of_encoder.scores(one, metrics[0], **among), self.of_encoder.scores(other, metrics[1], **among)
        )

    def _gain(self, name: str, says: str, one: Way, other: Way, metrics: tuple[str, str] = ("r", "r")) -> Finding:
        by = self._parts(
            lambda **among: _mean(self._difference(one, other, metrics, **among)), own="own" in other.reading
        )
        unit = "r" if metrics[0] == "r" else "mm"
        return finding(
            name, says, self._difference(one, other, metrics), unit, _OVER, self.margin_r if unit == "r" else None, by
        )

    def _share(self, name: str, says: str, metric: str, part: tuple[Way, Way], whole: tuple[Way, Way]) -> Finding:
        def reached(**among: Any) -> Estimate | None:
            return share(*(self._difference(*ways, (metric, metric), **among) for ways in (part, whole)))

        estimate = reached()
        parts = [self._difference(*ways, (metric, metric)) for ways in (part, whole)]
        means = [effect(values).mean for values in parts]
        if estimate is None:
            told = f"{says}: undefined, since the way itself is {means[1]:+.3f}, which may be 0 or less"
            return undefined(name, f"{told} ({means[0]:+.3f} of it)", "", _OVER)
        return finding(name, f"{says}: {means[0]:.3f} of {means[1]:.3f}", parts[0], "", _OVER, estimate=estimate,
                       by=self._parts(reached, own=True))  # fmt: skip

    def _parts(self, reached: Callable[..., Estimate | None], own: bool) -> tuple[Part, ...]:
        """Return an effect by language, articulator and, unless it compares with the target's own head, relation."""
        pairs = {pair for _, pair in self.of_encoder.sums if pair.source is not pair.target}
        asked: list[tuple[str, str, dict[str, Any]]] = []
        for language in sorted({pair.language for pair in pairs}):
            asked.append(("language", language, {"among": lambda pair, of=language: pair.language == of}))
        for number, articulator in enumerate(ARTICULATORS):
            asked.append(("articulator", articulator, {"channels": [2 * number, 2 * number + 1]}))
        if not own:
            for kind in RELATIONS:
                for value in sorted({pair.source.relations(pair.target)[kind] for pair in pairs} - {"unknown"}):
                    asked.append((kind, value, {"among": _related(kind, value)}))
        each = [(kind, value, reached(**among)) for kind, value, among in asked]
        return tuple(
            Part(kind, value, one.mean, one.low, one.high, one.n) for kind, value, one in each if one is not None
        )

    def tables(self) -> tuple[Table, ...]:
        """Return r and errors of every way, and of pairs by what they have in common."""
        columns = (Column("reading"), Column("family"), Column("minutes", "min"), Column("r", "r"), Column("low", "r"),
                   Column("high", "r"), Column("rmse", "mm", "RMSE"),
                   Column("rmse_about_means", "mm", "RMSE about means"), Column("speakers"))  # fmt: skip
        rows = [row for reading, way, of in self._every_way() if (row := _row(reading, way, of))]
        related = [
            {"relation": kind, "is": value, **row}
            for kind in RELATIONS
            for value in ("same", "partly", "different")
            for way in (self.way("identity"), self.way("scale"), self.way("affine"))
            if (row := _row("head", way, self.of_encoder, _related(kind, value)))
        ]
        return (
            Table("families", "r and RMSE of read-outs of other speakers, by family of maps", columns, tuple(rows)),
            Table("relations", "The same by what source and target have in common",
                  (Column("relation"), Column("is"), *columns), tuple(related)),
            Table("layers", "Layers that validation chose for the sources' heads",
                  (Column("layer"), Column("heads")), tuple(_counted(list(self.of_encoder.layers.values())))),
        )  # fmt: skip

    def _every_way(self) -> list[tuple[str, Way, Mapped]]:
        of_control = [(f"{self.control}'s {way.reading}", way, self.of_control) for way in
                      (self.of_control.ways() if self.of_control else ()) if way.reading == "head"]  # fmt: skip
        return [(way.reading, way, self.of_encoder) for way in self.of_encoder.ways()] + of_control

    def figures(self) -> tuple[Figure, ...]:
        """Return r and error against minutes, by family."""
        return tuple(self._figure(metric, title) for metric, title in (("r", "r"), ("rmse", "RMSE (mm)")))

    def _figure(self, metric: str, title: str) -> Figure:
        ways = [(reading, way, of) for reading, way, of in self._every_way() if way.minutes]
        shown: dict[str, list[list[Any]]] = {}
        for reading, way, of in ways:
            if reading == "own" or reading == "head" or way.family == "affine":
                name = {"own": "own ridge", "head": way.family}.get(reading, f"affine, {reading}")
                reached = effect(of.scores(way, metric))
                shown.setdefault(name, []).append([way.minutes, reached.mean, reached.low, reached.high])
        levels = [("as it is", self.way("identity")), ("own head", self.way("identity", "within"))]
        return Figure(
            metric, f"{title} on other speakers, by minutes of theirs", "minutes", title,
            tuple(Series(name, tuple(points)) for name, points in shown.items()), "lines", None,
            tuple(Level(text, effect(self.of_encoder.scores(way, metric)).mean) for text, way in levels),
        )  # fmt: skip

    def rows(self) -> tuple[dict[str, Any], ...]:
        """Return scores of each target by way."""
        found = []
        for reading, way, of in self._every_way():
            r, rmse = of.scores(way), of.scores(way, "rmse")
            for language, speaker in sorted(r):
                found.append({"condition": f"{reading}: {way.family}, {way.minutes:g} min", "minutes": way.minutes,
                              "language": language, "speaker": speaker, "r": r[language, speaker],
                              "rmse_mm": rmse[language, speaker]})  # fmt: skip
        return tuple(found)


def _mean(values: Scores) -> Estimate | None:
    return effect(values) if values else None


def _related(kind: str, value: str) -> Callable[[Pair], bool]:
    return lambda pair: pair.source.relations(pair.target)[kind] == value


def _row(
    reading: str, way: Way, of: Mapped, among: Callable[[Pair], bool] = lambda pair: True
) -> dict[str, Any] | None:
    if not (r := of.scores(way, among=among)):
        return None
    reached = effect(r)
    errors = {metric: effect(of.scores(way, metric, among=among)).mean for metric in _METRICS[1:]}
    return {"reading": reading, "family": way.family, "minutes": way.minutes, "r": reached.mean, "low": reached.low,
            "high": reached.high, **errors, "speakers": reached.n}  # fmt: skip


def _counted(layers: Sequence[Label]) -> list[dict[str, Any]]:
    return [{"layer": layer, "heads": layers.count(layer)} for layer in sorted(set(layers), key=str)]
