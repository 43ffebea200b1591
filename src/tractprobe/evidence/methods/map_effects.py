"""What maps between speakers amount to: shares and gains with intervals, tables, figures and tidy scores."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tractprobe.encoders.layers import Label
from tractprobe.evidence.methods.affine import Family
from tractprobe.evidence.methods.mapped import Mapped, Pair, Way
from tractprobe.evidence.methods.voices import RELATIONS
from tractprobe.evidence.record import Column, Figure, Finding, Level, Part, Series, Table
from tractprobe.evidence.statistics.findings import finding, undefined
from tractprobe.evidence.statistics.inference import differences, effect
from tractprobe.evidence.statistics.shares import share
from tractprobe.runs.estimate import Estimate, Scores
from tractprobe.signals.channels import ARTICULATORS

_OVER = "mean over channels, a target's sources, target speakers, languages"
_COLUMNS = (
    *(Column("reading"), Column("family"), Column("minutes", "min")),
    *(Column("r", "r"), Column("low", "r"), Column("high", "r")),
    *(
        Column("rmse", "mm", "RMSE"),
        Column("rmse_about_means", "mm", "RMSE without static offsets"),
        Column("speakers"),
    ),
)

_Ways = tuple[Way, Way]


@dataclass(frozen=True, eq=False)
class MapEffects:
    """Effects of maps of an encoder's read-outs, and of a control's.

    Attributes
    ----------
    of_control
        ``None`` if the encoder is the control.
    margin_r
        The difference that speakers needed are counted for.
    """

    of_encoder: Mapped
    of_control: Mapped | None
    control: str
    margin_r: float

    @property
    def fewest(self) -> float:
        """The fewest minutes."""
        return min(way.minutes for way in self.of_encoder.ways() if way.minutes)

    def way(self, family: Family, reading: str = "head") -> Way:
        """Return a way to read, with a map of the fewest minutes if it has a map, or is a head of these."""
        return Way(reading, family, 0.0 if family == "identity" and reading != "own" else self.fewest)

    def findings(self) -> list[Finding]:
        """Return the effects that rules judge by, and those that qualify them."""
        k = f"{self.fewest:g} min"
        floor, affine, own = self.way("identity"), self.way("affine"), self.way("identity", "own")
        offset, scale, shuffled = self.way("offset"), self.way("scale"), self.way("affine", "shuffled")
        way = f"the way from the source's read-out as it is to the target's own ridge of {k} that an affine map goes"
        removed = f"share of the error that an affine map of {k} removes which its offset alone removes"
        other = "from a head that was fitted to movements of other times"
        return [
            self._share("affine_share", f"share, in r, of {way}", "r", (affine, floor), (own, floor)),
            self._share("affine_share_rmse", f"share, in mm, of {way}", "rmse", (floor, affine), (floor, own)),
            self._share("offset_share", removed, "rmse", (floor, offset), (floor, affine)),
            self._gain(
                "mixing_gain", f"r of an affine map of {k} minus r with offsets and scales alone", affine, scale
            ),
            self._gain("affine_over_own", f"r of an affine map of {k} minus r of the target's own ridge", affine, own),
            self._gain("beyond_shuffled", f"r of an affine map of {k} minus the same {other}", affine, shuffled),
            self._beyond_control(k),
            self._offset_error(floor),
        ]

    def _beyond_control(self, k: str) -> Finding:
        says = f"r of an affine map of {k} minus the same from read-outs of {self.control or 'a control'}"
        if self.of_control is None:
            reason = f"the encoder is {self.control} itself" if self.control else "analysis.control is empty"
            return undefined("beyond_mel_affine", f"{says}: {reason}", "r", _OVER)
        affine = self.way("affine")
        beyond = differences(self.of_encoder.scores(affine), self.of_control.scores(affine))
        return finding("beyond_mel_affine", says, beyond, "r", _OVER, self.margin_r)

    def _offset_error(self, floor: Way) -> Finding:
        says = "RMSE of the source's read-out as it is minus RMSE without the speakers' static offsets"
        scores = [self.of_encoder.scores(floor, metric) for metric in ("rmse", "rmse_about_means")]
        return finding("offset_error", says, differences(*scores), "mm", _OVER)

    def _difference(self, ways: _Ways, metric: str, **among: Any) -> dict[tuple[str, str], float]:
        return differences(*(self.of_encoder.scores(way, metric, **among) for way in ways))

    def _gain(self, name: str, says: str, one: Way, other: Way) -> Finding:
        def reached(**among: Any) -> Estimate | None:
            return _mean(self._difference((one, other), "r", **among))

        parts = self._parts(reached, related=other.reading != "own")
        return finding(name, says, self._difference((one, other), "r"), "r", _OVER, self.margin_r, parts)

    def _share(self, name: str, says: str, metric: str, part: _Ways, whole: _Ways) -> Finding:
        def reached(**among: Any) -> Estimate | None:
            return share(self._difference(part, metric, **among), self._difference(whole, metric, **among))

        values, estimate = self._difference(part, metric), reached()
        means = [_mean(self._difference(ways, metric)) for ways in (part, whole)]
        numbers = " of ".join("undefined" if one is None else f"{one.mean:.3f}" for one in means)
        if estimate is None:
            return undefined(
                name, f"{says}: {numbers}, which may be 0 or less, so that there is no share", "share", _OVER
            )
        parts = self._parts(reached, related=False)
        return finding(name, f"{says}: {numbers}", values, "share", _OVER, by=parts, estimate=estimate)

    def _parts(self, reached: Callable[..., Estimate | None], related: bool) -> tuple[Part, ...]:
        """Return an effect by language, articulator and, where both sides have sources, what pairs have in common."""
        pairs = {pair for _, pair in self.of_encoder.sums if pair.source is not pair.target}
        asked: list[tuple[str, str, dict[str, Any]]] = []
        for language in sorted({pair.language for pair in pairs}):
            asked.append(("language", language, {"among": lambda pair, of=language: pair.language == of}))
        for number, articulator in enumerate(ARTICULATORS):
            asked.append(("articulator", articulator, {"channels": [2 * number, 2 * number + 1]}))
        for kind in RELATIONS if related else ():
            for value in sorted({pair.source.relations(pair.target)[kind] for pair in pairs} - {"unknown"}):
                asked.append((f"{kind} of the pair", value, {"among": _related(kind, value)}))
        each = [(kind, value, reached(**among)) for kind, value, among in asked]
        return tuple(Part(kind, value, one.mean, one.low, one.high, one.n) for kind, value, one in each if one)

    def tables(self) -> tuple[Table, ...]:
        """Return r and errors of every way, of pairs by what they have in common, and the layers that were read."""
        rows = [_row(reading, way, of) for reading, way, of in self._every_way()]
        ways = (self.way("identity"), self.way("scale"), self.way("affine"))
        related = [
            {"relation": kind, "is": value, **row}
            for kind in RELATIONS
            for value in ("same", "partly", "different")
            for way in ways
            if (row := _row("head", way, self.of_encoder, _related(kind, value)))
        ]
        layers: list[Label] = list(self.of_encoder.layers.values())
        counted = tuple({"layer": layer, "heads": layers.count(layer)} for layer in sorted(set(layers), key=str))
        return (
            Table("families", "Read-outs of other speakers, by family of maps", _COLUMNS, tuple(filter(None, rows))),
            Table("relations", "The same by what source and target have in common",
                  (Column("relation"), Column("is"), *_COLUMNS), tuple(related)),
            Table("layers", "Layers that each source's validation chose", (Column("layer"), Column("heads")), counted),
        )  # fmt: skip

    def _every_way(self) -> list[tuple[str, Way, Mapped]]:
        """Return what each way is called, itself, and where its sums are."""
        own = [(way.reading, way, self.of_encoder) for way in self.of_encoder.ways()]
        if self.of_control is None:
            return own
        read = [way for way in self.of_control.ways() if way.reading == "head"]
        return own + [(f"head on {self.control}", way, self.of_control) for way in read]

    def figures(self) -> tuple[Figure, ...]:
        """Return r and error against minutes, by family."""
        return self._figure("r", "r"), self._figure("rmse", "RMSE (mm)")

    def _figure(self, metric: str, title: str) -> Figure:
        shown: dict[str, list[list[Any]]] = {}
        for reading, way, of in self._every_way():
            if way.minutes and (reading in ("own", "head") or way.family == "affine"):
                name = {"own": "own ridge", "head": way.family}.get(reading, f"affine, {reading}")
                reached = effect(of.scores(way, metric))
                shown.setdefault(name, []).append([way.minutes, reached.mean, reached.low, reached.high])
        levels = {"as it is": self.way("identity"), "the target's own head": self.way("identity", "within")}
        return Figure(
            metric, f"{title} on other speakers, by minutes of their movements", "minutes", title,
            tuple(Series(name, tuple(points)) for name, points in shown.items()),
            levels=tuple(Level(text, effect(self.of_encoder.scores(way, metric)).mean) for text, way in levels.items()),
        )  # fmt: skip

    def rows(self) -> tuple[dict[str, Any], ...]:
        """Return each target's scores by way."""
        return tuple(
            {"condition": f"{reading}, {way.family}", "minutes": way.minutes, "language": language, "speaker": speaker,
             "r": r, "rmse_mm": of.scores(way, "rmse")[language, speaker]}
            for reading, way, of in self._every_way()
            for (language, speaker), r in sorted(of.scores(way).items())
        )  # fmt: skip

    def caveats(self) -> tuple[str, ...]:
        """Say at how many speakers each number of minutes is looked, and what is undefined."""
        own = [way for way in self.of_encoder.ways() if way.reading == "own"]
        counts = {way.minutes: len({speaker for _, speaker in self.of_encoder.scores(way)}) for way in own}
        told = ["Speakers by minutes: " + ", ".join(f"{minutes:g} min {n}" for minutes, n in counts.items()) + "."]
        if lost := self.of_encoder.undefined(self.way("affine")):
            told.append(f"r is undefined in {lost} channels of pairs, which are left out of means.")
        return tuple(told)


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
    errors = {metric: effect(of.scores(way, metric, among=among)).mean for metric in ("rmse", "rmse_about_means")}
    return {"reading": reading, "family": way.family, "minutes": way.minutes, "r": reached.mean, "low": reached.low,
            "high": reached.high, **errors, "speakers": reached.n}  # fmt: skip
