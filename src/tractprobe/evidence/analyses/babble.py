"""Babble: whether heads that learned languages read sounds that belong to none, and the reverse."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tractprobe.data.splits import Split
from tractprobe.encoders.layers import Label
from tractprobe.evidence.bench import Bench, chosen_layer
from tractprobe.evidence.methods.acoustics import matched
from tractprobe.evidence.methods.babble import OF_ANY_KIND, SPEECH, Babbled, Case, minutes_learned
from tractprobe.evidence.methods.reached import Reached
from tractprobe.evidence.record import Column, Evidence, Figure, Finding, Series, Table
from tractprobe.evidence.statistics.effects import Cells, finding, finding_over_draws, none, point, rows_of
from tractprobe.runs.configuration import Plain
from tractprobe.system.errors import ConfigError

Conditions = Mapping[tuple[str, str], Cells]
"""What was learned and what is tested, to r of each speaker and channel."""

_KINDS = {
    "babble_a": "babble near speech",
    "babble_b": "babble through the whole space of the tract",
    "babble_c": "phones in orders that no language has",
}


@dataclass(frozen=True)
class Babble:
    """Whether heads that learned languages read sounds that belong to none, and the reverse, as far as acoustics allow.

    Attributes
    ----------
    acoustics
        Options of conf/model; those that end in ``_matched`` take the context and width of the encoder's layer 0. The
        encoder is compared with the best by validation in each condition.
    random_seeds
        How many times the architecture's weights are drawn.
    folds
        Into how many parts sentences and stretches of babble are dealt; each part is tested once.
    train_min
        Minutes that every head learns from; ``None`` for as many as there are of both speech and babble.
    validation_folds
        Divisions by which each head's layer and penalty are chosen.
    margin_r
        What an encoder may lose beyond acoustics and still count as losing as little; also the difference in r that
        speakers needed are counted for.
    """

    acoustics: Sequence[str] = ("mel", "mel_matched", "mfcc", "mfcc_matched")
    random_seeds: int = 2
    folds: int = 3
    train_min: float | None = None
    validation_folds: int = 3
    margin_r: float = 0.03
    name: ClassVar[str] = "babble"
    version: ClassVar[int] = 1

    def __post_init__(self):
        if not self.acoustics or self.folds < 2 or self.random_seeds < 0 or not self.margin_r > 0:
            raise ConfigError(
                "analysis=babble: at least one of acoustics, 2 folds, no negative random_seeds, margin_r above 0"
            )

    def __call__(self, bench: Bench) -> Evidence:
        """Return r of heads on speech and on babble, what is lost from one to the other, and what acoustics lose."""
        rule = bench.rule("sentence", validation_folds=self.validation_folds)
        splits = Babbled(self.folds, self.train_min)(list(bench.all_entries.values()), rule, bench.seed)
        own = _Heads.of(bench, splits)
        spectra = [_Heads.of(bench.other(self._acoustics(bench, name)), splits) for name in self.acoustics]
        acoustics = _cells(_best(spectra))
        twins = [_Heads.of(twin, splits) for twin in self._twins(bench)]
        read = _Read(_cells(own), acoustics, [_cells(twin) for twin in twins], self.margin_r)
        return Evidence(
            tuple(read.findings()),
            (read.table(bench.settings.id.model),),
            (self._by_layer(bench, own), read.bars(bench.settings.id.model)),
            read.rows(),
            tuple(_caveats(bench, splits, twins)),
        )

    def _acoustics(self, bench: Bench, name: str) -> Plain:
        option = bench.option(name)
        return matched(option, bench.encoder) if name.endswith("_matched") else option

    def _twins(self, bench: Bench) -> list[Bench]:
        """Return draws of the architecture's weights, none of which is the encoder itself."""
        arguments = bench.settings.model.arguments
        own = arguments.get("random_seed", arguments.get("seed"))
        seeds = [seed for seed in range(1, self.random_seeds + 2) if seed != own][: self.random_seeds]
        return [twin for seed in seeds if (twin := bench.twin(seed)) is not None]

    def _by_layer(self, bench: Bench, own: "_Heads") -> Figure:
        """Return r against the layer, of heads that learned speech and of those that learned babble."""
        series = []
        for learned, tested in (
            (SPEECH, OF_ANY_KIND),
            (OF_ANY_KIND, OF_ANY_KIND),
            (OF_ANY_KIND, SPEECH),
            (SPEECH, SPEECH),
        ):
            points = tuple(point(layer, _of(own.cells_at(layer), learned, tested)) for layer in bench.labels)
            series.append(Series(f"{learned} to {tested}", points))
        return Figure("layers", "r by what heads learned and what they read", "layer", "r", tuple(series))


@dataclass(frozen=True, eq=False)
class _Heads:
    """An encoder's heads in every case."""

    reached: Mapping[Case, Reached]

    @classmethod
    def of(cls, bench: Bench, splits: Mapping[Case, Split]) -> "_Heads":
        fits = dict(zip(splits, bench.fit(list(splits.values())), strict=True))
        return cls({case: Reached({str(case): fit}, {str(case): chosen_layer(fit)}) for case, fit in fits.items()})

    def cells_at(self, label: Label | None = None) -> Conditions:
        """Return r by condition at one layer, or at those that validation chose; folds are pooled over frames."""
        conditions: dict[tuple[str, str], dict[str, Reached]] = {}
        for case, reached in self.reached.items():
            conditions.setdefault(case.condition, {})[str(case)] = reached
        together: dict[tuple[str, str], Cells] = {}
        for condition, each in conditions.items():
            fits = {name: reached.fits[name] for name, reached in each.items()}
            chosen = {name: reached.chosen[name] for name, reached in each.items()}
            together[condition] = Cells.of(Reached(fits, chosen).rows(label=label))
        return together


def _best(several: Sequence[_Heads]) -> _Heads:
    """Return in each case what validation finds best."""
    return _Heads({case: Reached.best_of([heads.reached[case] for heads in several]) for case in several[0].reached})


def _cells(heads: _Heads) -> Conditions:
    return heads.cells_at(None)


def _of(cells: Conditions, learned: str, tested: str) -> Cells:
    """Return a condition's cells; those of babble are means over its kinds."""
    if tested == OF_ANY_KIND:
        return Cells.mean(own for (of, on), own in cells.items() if of == learned and on != SPEECH)
    return cells[learned, tested]


class _Read:
    """Scores of an encoder, of acoustics and of random weights in the same conditions."""

    def __init__(self, own: Conditions, acoustics: Conditions, random: Sequence[Conditions], margin_r: float):
        self.own, self.acoustics, self.random, self.margin_r = own, acoustics, random, margin_r
        self.kinds = sorted({tested for _, tested in own if tested != SPEECH})

    def findings(self) -> Iterator[Finding]:
        """Yield what each head reads, what it loses, and both beside acoustics and random weights."""
        heads = {SPEECH: "heads that learned speech", OF_ANY_KIND: "heads that learned babble"}
        for learned, tested, name in (
            (SPEECH, OF_ANY_KIND, "babble"), (OF_ANY_KIND, OF_ANY_KIND, "babble_own"),
            (OF_ANY_KIND, SPEECH, "speech"), (SPEECH, SPEECH, "speech_own"),
        ):  # fmt: skip
            yield finding(f"{name}_r", f"r on {tested} of {heads[learned]}", _of(self.own, learned, tested))
        for kind in self.kinds:
            says = f"r on {_KINDS.get(kind, kind)} of heads that learned speech"
            yield finding(f"{kind}_r", says, self.own[SPEECH, kind])
            yield from self._beside_acoustics(kind, SPEECH, OF_ANY_KIND, _KINDS.get(kind, kind))
        for target, other in ((OF_ANY_KIND, SPEECH), (SPEECH, OF_ANY_KIND)):
            yield from self._of_target(target, other)

    def _of_target(self, target: str, other: str) -> Iterator[Finding]:
        """Yield what it costs to have learned the other, and how that compares with acoustics and random weights."""
        says = f"r on {target} of heads that learned {target} minus r of heads that learned {other}"
        yield finding(f"{target}_loss", says, self._loss(self.own, target, other), tested=True, margin=self.margin_r)
        yield from self._beside_acoustics(target, other, target, target)
        name = f"{target}_beyond_random"
        if not self.random:
            yield none(name, "the encoder has no weights that could be drawn, or none were (analysis.random_seeds=0)")
            return
        says = (
            f"r on {target} of heads that learned {other}: of the encoder minus of its architecture with random weights"
        )
        draws = [_of(each, other, target) for each in self.random]
        yield finding_over_draws(name, says, _of(self.own, other, target), draws, self.margin_r)

    def _beside_acoustics(self, tested: str, other: str, itself: str, title: str) -> Iterator[Finding]:
        """Yield by how much the encoder reads what is tested better than a spectrum, and how much less it loses.

        Parameters
        ----------
        other, itself
            What heads learned: the other, and what the tested is of.
        """
        says = f"r on {title} of heads that learned {other}: of the encoder minus of the best spectrum"
        gained = _of(self.own, other, tested).minus(_of(self.acoustics, other, tested))
        yield finding(f"{tested}_beyond_acoustics", says, gained, tested=True, margin=self.margin_r)
        own, spectrum = (
            _of(cells, itself, tested).minus(_of(cells, other, tested)) for cells in (self.own, self.acoustics)
        )
        says = f"what the best spectrum loses on {title} by having learned {other} minus what the encoder loses"
        kept = spectrum.minus(own)
        yield finding(f"{tested}_kept_over_acoustics", says, kept, tested=True, margin=self.margin_r)

    @staticmethod
    def _loss(cells: Conditions, target: str, other: str) -> Cells:
        return _of(cells, target, target).minus(_of(cells, other, target))

    def _encoders(self, model: str) -> dict[str, Conditions]:
        each: dict[str, Conditions] = {model: self.own, "acoustics": self.acoustics}
        if self.random:
            each["random weights"] = {key: Cells.mean(draw[key] for draw in self.random) for key in self.own}
        return each

    def table(self, model: str) -> Table:
        """Return r of everything by what was learned and what is tested."""
        columns = (
            Column("learned"), Column("tested"), Column("features"), Column("r", "r"), Column("low", "r"),
            Column("high", "r"), Column("speakers"), Column("languages"),
        )  # fmt: skip
        rows = []
        for learned, tested in self.own:
            for features, cells in self._encoders(model).items():
                _, r, low, high = point(None, cells[learned, tested])
                row = {"learned": learned, "tested": tested, "features": features, "r": r, "low": low, "high": high}
                count = cells[learned, tested].count()
                rows.append(row | {unit: count[unit] for unit in ("speakers", "languages")})
        return Table("conditions", "r by what heads learned and what they read", columns, tuple(rows))

    def bars(self, model: str) -> Figure:
        """Return r of each condition, for the encoder and what it is compared with."""
        series = tuple(
            Series(name, tuple(point(f"{learned} to {tested}", cells[learned, tested]) for learned, tested in self.own))
            for name, cells in self._encoders(model).items()
        )
        return Figure("conditions", "r by what heads learned and what they read", "heads", "r", series, "bars")

    def rows(self) -> tuple[dict[str, Any], ...]:
        """Return each speaker's r in every condition."""
        return rows_of({f"{learned} to {tested}": cells for (learned, tested), cells in self.own.items()})


def _caveats(bench: Bench, splits: Mapping[Case, Split], twins: Sequence[object]) -> Iterator[str]:
    learned = minutes_learned(splits, bench.all_entries)
    told = ", ".join(f"{name} {low:.1f} to {high:.1f} min" for name, (low, high) in learned.items())
    yield f"Heads learn from equally many minutes: {told}. Speakers are known in every condition."
    yield "Babble comes from the synthesiser that made the speech: what is shared is its physics, and also its noise."
    yield (
        "Kind a moves between postures of the corpus' own sentences and kind c has its phones, so heads that learned "
        "babble have met both; only kind b, on which the claim rests, is free of them."
    )
    if not twins:
        yield "Nothing is compared with random weights."
