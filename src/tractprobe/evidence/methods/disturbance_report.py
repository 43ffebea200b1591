"""From what encoders read of disturbed speech to findings, tables and figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tractprobe.encoders.layers import Label, order
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.listening import Listener
from tractprobe.evidence.record import Column, Evidence, Figure, Finding, Level, Series, Table
from tractprobe.evidence.statistics.effects import Cells, finding, none
from tractprobe.evidence.statistics.inference import effect
from tractprobe.runs.result import ScoreRow
from tractprobe.signals.disturbances import Disturbance, Noise, Reversed, Room, Telephone, Vocoded

SYMMETRIC = "mel_frame"
"""Acoustics without a direction of time: one frame, whose window is symmetric. It should lose nothing by reversal."""

TWIN = "random weights, seed"
_FIXED, _REFITTED = "as they are", "fitted to it"


@dataclass
class Heard:
    """What was read in one condition: r by listener, of heads as they are, and of heads that were fitted to it.

    Attributes
    ----------
    rows
        The encoder's own, at every layer.
    """

    condition: Disturbance | None
    fixed: dict[str, Cells] = field(default_factory=dict)
    refitted: dict[str, Cells] = field(default_factory=dict)
    rows: list[ScoreRow] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What tables call it."""
        return "undisturbed" if self.condition is None else self.condition.name

    def by(self, view: str) -> dict[str, Cells]:
        """Return what heads read as they are, or fitted to it."""
        return self.fixed if view == _FIXED else self.refitted


@dataclass(frozen=True, eq=False)
class Report:
    """Findings, tables and figures.

    Attributes
    ----------
    listeners
        The encoder itself first.
    heard
        Undisturbed speech first.
    left_out
        Names of conditions that could not be heard.
    unheard
        Languages of which no utterance was drawn.
    utterances
        How many were listened to.
    controls
        The first is acoustics in findings.
    """

    bench: Bench
    listeners: Mapping[str, Listener]
    heard: Sequence[Heard]
    left_out: Sequence[str]
    unheard: Sequence[str]
    utterances: int
    controls: Sequence[str]
    reference_snr_db: float
    margin_r: float

    def evidence(self) -> Evidence:
        """Return all of it."""
        findings = [
            finding("r_undisturbed", "r of these utterances before they are disturbed", self.base.fixed[self.own])
        ]
        findings += [each for family in self._families() for each in self._of_family(*family)]
        findings += [*self._of_twins(), self._check()]
        figures = (self._noise(), self._losses(), self._layers())
        return Evidence(tuple(findings), (self._table(),), figures, tuple(self._rows()), tuple(self._caveats()))

    @property
    def own(self) -> str:
        """The encoder's name among the listeners."""
        return next(iter(self.listeners))

    @property
    def base(self) -> Heard:
        """Undisturbed speech."""
        return self.heard[0]

    def _base_of(self, each: Heard) -> Heard:
        """Return what a condition is compared with: the vocoder alone for another pitch or tract."""
        if isinstance(each.condition, Vocoded) and each.condition != Vocoded():
            return next(other for other in self.heard if other.condition == Vocoded())
        return self.base

    def _lost(self, heard: Sequence[Heard], name: str, view: str = _FIXED) -> Cells | None:
        """Return the loss of r, averaged over conditions; ``None`` if this listener heard none of them."""
        pairs = [(self._base_of(each).by(view), each.by(view)) for each in heard]
        if not pairs or any(name not in before or name not in after for before, after in pairs):
            return None
        return Cells.mean(before[name].minus(after[name]) for before, after in pairs)

    def _families(self) -> list[tuple[str, str, str, list[Heard]]]:
        """Return (name, its end, what is done, conditions) of what findings are about."""
        reference = self.reference_snr_db
        noises = [
            each for each in self.heard if isinstance(each.condition, Noise) and each.condition.snr_db == reference
        ]
        voices = [(each, each.condition) for each in self.heard if isinstance(each.condition, Vocoded)]
        kinds = " and ".join(each.name.partition(" ")[0] for each in noises)
        return [
            ("reversal", "", "by playing speech and movements backwards", self._of(Reversed)),
            ("noise", f"_{reference:g}db", f"in {kinds} noise at {reference:g} dB", noises),
            ("telephone", "", "over a telephone line (300 to 3400 Hz, µ-law)", self._of(Telephone)),
            ("room", "", "in a room", self._of(Room)),
            ("vocoder", "", "by a vocoder that changes nothing", [each for each, how in voices if how == Vocoded()]),
            ("pitch", "", "by another pitch, against the vocoder alone",
             [each for each, how in voices if how.semitones]),
            ("tract_length", "", "by a shorter or longer tract, against the vocoder alone",
             [each for each, how in voices if how.tract_length != 1]),
        ]  # fmt: skip

    def _of(self, kind: type) -> list[Heard]:
        return [each for each in self.heard if isinstance(each.condition, kind)]

    def _of_family(self, name: str, at: str, how: str, heard: Sequence[Heard]) -> list[Finding]:
        """Return the loss, acoustics' own loss, the difference, and the loss of heads that are fitted to it."""
        acoustics = self.controls[0]
        says = f"loss of r {how}"
        own, theirs, refitted = (
            self._lost(heard, self.own), self._lost(heard, acoustics), self._lost(heard, self.own, _REFITTED)
        )  # fmt: skip
        absent = "there is no such condition"
        if self.left_out and name in ("vocoder", "pitch", "tract_length"):
            absent = "pyworld is not installed"
        if heard:
            absent = f"the encoder is {acoustics} itself"
        return [
            self._loss(f"{name}_loss{at}", says, own, absent),
            self._loss(f"{name}_loss{at}_acoustics", f"{says}, of {acoustics}", theirs, absent),
            self._loss(f"{name}{at}_beyond_acoustics", f"{says}, beyond what {acoustics} loses",
                       own.minus(theirs) if own and theirs else None, absent, self.margin_r),
            self._loss(f"{name}_loss{at}_refitted", f"{says}, of heads that are fitted to it", refitted, absent),
        ]  # fmt: skip

    def _of_twins(self) -> list[Finding]:
        """Return what reversal costs an encoder without learned weights, and what it costs the encoder beyond that."""
        of_each = [self._lost(self._of(Reversed), name) for name in self.listeners if name.startswith(TWIN)]
        of_twins = Cells.mean(each for each in of_each if each) if any(of_each) else None
        own = self._lost(self._of(Reversed), self.own)
        beyond = own.minus(of_twins) if own and of_twins else None
        says = f"loss of r by playing backwards, of the same architecture with random weights ({len(of_each)} drawn)"
        other = "loss of r by playing backwards, beyond that of the same architecture with random weights"
        absent = "the encoder has no other weights, or analysis.twins=0"
        return [
            self._loss("reversal_loss_twin", says, of_twins, absent),
            self._loss("reversal_beyond_twin", other, beyond, absent, self.margin_r),
        ]

    def _check(self) -> Finding:
        says = f"loss of r by playing backwards, of {SYMMETRIC}, to which directions of time are the same: about 0"
        lost = self._lost(self._of(Reversed), SYMMETRIC)
        return self._loss("reversal_check", says, lost, "the encoder is that control itself")

    def _loss(self, name: str, says: str, lost: Cells | None, absent: str, margin: float | None = None) -> Finding:
        if lost is None:
            return none(name, f"{says}: undefined, {absent}")
        return finding(name, says, lost, tested=True, margin=margin)

    def _everywhere(self) -> list[str]:
        """Return those who heard every condition."""
        return [name for name in self.listeners if name in self.base.refitted]

    def _losses(self) -> Figure:
        series = [
            Series(name, tuple([each.name, *_numbers(self._lost([each], name))] for each in self.heard[1:]))
            for name in self._everywhere()
        ]
        return Figure(
            "losses", "Loss of r by each disturbance, of heads as they are", "", "loss of r", tuple(series), "bars"
        )

    def _noise(self) -> Figure:
        series, levels = [], []
        for name in self._everywhere():
            before = _numbers(self.base.fixed[name], fisher=True)[0]
            levels += [] if before is None else [Level(f"{name}, undisturbed", before)]
            curves: dict[str, list[list[Any]]] = {}
            for each in self._of(Noise):
                assert isinstance(each.condition, Noise)
                point = [each.condition.snr_db, *_numbers(each.fixed[name], fisher=True)]
                curves.setdefault(each.condition.kind, []).append(point)
            series += [Series(f"{name}, {kind}", tuple(sorted(points))) for kind, points in curves.items()]
        x = "signal-to-noise ratio (dB)"
        return Figure("noise", "r in noise, of heads as they are", x, "r", tuple(series), levels=tuple(levels))

    def _layers(self) -> Figure:
        series = []
        for each in (self.base, *self._of(Reversed)):
            by_layer: dict[Label, list[ScoreRow]] = {}
            for row in each.rows:
                by_layer.setdefault(row["layer"], []).append(row)
            points = [
                [layer, *_numbers(Cells.of(by_layer[layer]), fisher=True)] for layer in sorted(by_layer, key=order)
            ]
            series.append(Series(each.name, tuple(points)))
        return Figure("reversal_layers", "r of undisturbed and reversed speech by layer", "layer", "r", tuple(series))

    def _table(self) -> Table:
        controls = [name for name in self._everywhere() if name != self.own]
        names = ("r", "r_low", "r_high", "loss", "loss_low", "loss_high")
        columns = [Column("condition"), Column("against"), Column("heads"), *(Column(name, "r") for name in names)]
        for name in controls:
            columns += [Column(f"r_{name}", "r", f"r of {name}"), Column(f"loss_{name}", "r", f"loss of {name}")]
            beyond = f"beyond_{name}"
            columns += [Column(beyond, "r", f"loss beyond {name}"), Column(f"{beyond}_low", "r")]
            columns += [Column(f"{beyond}_high", "r")]
        rows = [self._table_row(each, view, controls) for view in (_FIXED, _REFITTED) for each in self.heard]
        return Table("conditions", "r and its loss in each condition", tuple(columns), tuple(rows))

    def _table_row(self, each: Heard, view: str, controls: Sequence[str]) -> dict[str, Any]:
        disturbed = each is not self.base
        own = self._lost([each], self.own, view) if disturbed else None
        row: dict[str, Any] = {"condition": each.name, "heads": view}
        row["against"] = self._base_of(each).name if disturbed else None
        row |= _named(("r", "r_low", "r_high"), _numbers(each.by(view)[self.own], fisher=True))
        row |= _named(("loss", "loss_low", "loss_high"), _numbers(own))
        for name in controls:
            theirs = self._lost([each], name, view) if disturbed else None
            row[f"r_{name}"] = _numbers(each.by(view)[name], fisher=True)[0]
            row[f"loss_{name}"] = _numbers(theirs)[0]
            beyond = own.minus(theirs) if own and theirs else None
            row |= _named((f"beyond_{name}", f"beyond_{name}_low", f"beyond_{name}_high"), _numbers(beyond))
        return row

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {"condition": each.name, "heads": view, "language": language, "speaker": speaker, "r": r}
            for each in self.heard
            for view in (_FIXED, _REFITTED)
            for (language, speaker), r in sorted(each.by(view)[self.own].of_speakers().items())
        ]

    def _caveats(self) -> list[str]:
        said = [
            f"r is over {self.utterances} of {len(self.bench.entries)} utterances (analysis.utterances_per_speaker), "
            "the same before and after; heads as they are were fitted to all undisturbed utterances of the other "
            "languages, heads that are fitted to a condition, undisturbed speech among them, to these few alone",
            "movements are those of the undisturbed speech: people who speak in noise move otherwise",
        ]
        if self.unheard:
            said.append(f"so few are drawn that none is of {', '.join(self.unheard)}")
        if self.left_out:
            said.append(
                f"pyworld is not installed (pip install 'tractprobe[source]'), so these are left out: "
                f"{', '.join(self.left_out)}"
            )
        return said


def _numbers(cells: Cells | None, *, fisher: bool = False) -> list[float | None]:
    """Return a mean over channels, speakers and languages with its interval; three times ``None`` without any."""
    values = cells.of_speakers() if cells else {}
    if not values:
        return [None, None, None]
    estimate = effect(values, fisher=fisher)
    return [estimate.mean, estimate.low, estimate.high]


def _named(names: Sequence[str], numbers: Sequence[float | None]) -> dict[str, Any]:
    return dict(zip(names, numbers, strict=True))
