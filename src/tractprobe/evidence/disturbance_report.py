"""From what encoders read of disturbed speech to findings, tables and figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from tractprobe.encoders.layers import Label, order
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.inference import effect, speakers_needed
from tractprobe.evidence.listening import Cells, Listener, cells, lost, over_channels
from tractprobe.evidence.record import Column, Evidence, Figure, Finding, Level, Part, Series, Table
from tractprobe.runs.estimate import Estimate
from tractprobe.runs.result import ScoreRow
from tractprobe.signals.disturbances import Disturbance, Noise, Reversed, Room, Telephone, Vocoded

SYMMETRIC = "mel_frame"
"""Acoustics without a direction of time: one frame, whose window is symmetric. It should lose nothing by reversal."""

Differences = dict[tuple[str, str, str], float]
_FIXED, _REFITTED = "heads as they are", "heads fitted to it"


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
        return "undisturbed" if self.condition is None else self.condition.name

    def by(self, view: str) -> dict[str, Cells]:
        return self.fixed if view == _FIXED else self.refitted


class Settings(Protocol):
    """What the report needs to know of the analysis."""

    reference_snr_db: float
    controls: Sequence[str]
    margin_r: float


@dataclass(frozen=True)
class Family:
    """Conditions that make up one finding, their losses averaged."""

    name: str
    says: str
    heard: Sequence[Heard]
    base: Heard
    at: str = ""


class Report:
    """Findings, tables and figures.

    Parameters
    ----------
    heard
        Undisturbed speech first.
    left_out
        Names of conditions that could not be heard.
    """

    def __init__(
        self,
        settings: Settings,
        bench: Bench,
        listeners: Mapping[str, Listener],
        heard: Sequence[Heard],
        left_out: Sequence[str],
        utterances: int,
    ):
        self.settings, self.bench, self.listeners = settings, bench, listeners
        self.heard, self.left_out, self.utterances = list(heard), list(left_out), utterances
        self.own, *_ = listeners
        self.acoustics = settings.controls[0]
        self.base = self.heard[0]
        self.vocoded = next((each for each in self.heard if each.condition == Vocoded()), self.base)

    def evidence(self) -> Evidence:
        findings = [self._undisturbed()]
        for family in self._families():
            findings += self._findings(family)
        findings += self._reversal_alone()
        figures = (self._noise(), self._losses(), self._layers())
        return Evidence(tuple(findings), (self._table(),), figures, tuple(self._rows()), tuple(self._caveats()))

    def _families(self) -> list[Family]:
        """Return what findings are about; a family of which a condition is left out has none of it."""
        reference = self.settings.reference_snr_db

        def of(*kinds: type) -> list[Heard]:
            return [each for each in self.heard if isinstance(each.condition, kinds)]

        noises = [each for each in of(Noise) if getattr(each.condition, "snr_db", None) == reference]
        voices = [(each, each.condition) for each in self.heard if isinstance(each.condition, Vocoded)]
        pitch = [each for each, voice in voices if voice.semitones]
        length = [each for each, voice in voices if voice.tract_length != 1]
        control = [each for each, voice in voices if voice == Vocoded()]
        kinds = " and ".join(each.condition.kind for each in noises if isinstance(each.condition, Noise))
        return [
            Family("reversal", "by playing speech and movements backwards", of(Reversed), self.base),
            Family("noise", f"in {kinds} noise at {reference:g} dB", noises, self.base, f"_{reference:g}db"),
            Family("telephone", "over a telephone (300 to 3400 Hz, 8 kHz, µ-law)", of(Telephone), self.base),
            Family("room", "in a room", of(Room), self.base),
            Family("vocoder", "by a vocoder that changes nothing", control, self.base),
            Family("pitch", "by another pitch, against the vocoder alone", pitch, self.vocoded),
            Family("tract_length", "by a shorter or longer tract, against the vocoder alone", length, self.vocoded),
        ]

    def _losses(self) -> Figure:
        series = []
        for name in self._hears_all():
            points = []
            for each in self.heard[1:]:
                base = self.vocoded if isinstance(each.condition, Vocoded) and each is not self.vocoded else self.base
                estimate = _effect(self._lost([each], base, name))
                points.append([each.name, *_numbers(estimate)])
            series.append(Series(name, tuple(points)))
        return Figure(
            "losses", "Loss of r by each disturbance, heads as they are", "", "loss of r", tuple(series), "bars"
        )

    def _noise(self) -> Figure:
        series, levels = [], []
        for name in self._hears_all():
            levels.append(Level(f"{name}, undisturbed", _mean(self.base.fixed[name])))
            for kind in dict.fromkeys(self._noise_kinds()):
                points = [
                    [each.condition.snr_db, *_numbers(_r(each.fixed[name]))]
                    for each in self.heard
                    if isinstance(each.condition, Noise) and each.condition.kind == kind
                ]
                series.append(Series(f"{name}, {kind}", tuple(sorted(points))))
        title = "r in noise, heads as they are"
        return Figure("noise", title, "signal-to-noise ratio (dB)", "r", tuple(series), levels=tuple(levels))

    def _noise_kinds(self) -> list[str]:
        return [each.condition.kind for each in self.heard if isinstance(each.condition, Noise)]

    def _layers(self) -> Figure:
        series = []
        for each in self.heard:
            if each.condition is None or each.condition.is_reversed:
                by_layer: dict[Label, list[ScoreRow]] = {}
                for row in each.rows:
                    by_layer.setdefault(row["layer"], []).append(row)
                points = [[layer, *_numbers(_r(cells(by_layer[layer])))] for layer in sorted(by_layer, key=order)]
                series.append(Series(each.name, tuple(points)))
        return Figure("reversal_layers", "r of undisturbed and reversed speech by layer", "layer", "r", tuple(series))

    def _hears_all(self) -> list[str]:
        return [name for name in self.listeners if name in self.base.refitted]

    def _lost(self, heard: Sequence[Heard], base: Heard, name: str, view: str = _FIXED) -> Differences:
        """Return the loss of r, averaged over conditions, of each channel of a speaker that all of them have."""
        if not heard or any(name not in each.by(view) for each in (*heard, base)):
            return {}
        losses = [lost(base.by(view)[name], each.by(view)[name]) for each in heard]
        return {
            key: float(np.mean([loss[key] for loss in losses]))
            for key in losses[0]
            if all(key in loss for loss in losses)
        }

    def _undisturbed(self) -> Finding:
        estimate = _r(self.base.fixed[self.own])
        says = "r of the undisturbed utterances that are disturbed below, at the layer that validation chose"
        return self._finding("r_undisturbed", says, estimate)

    def _findings(self, family: Family) -> list[Finding]:
        """Return a family's loss, acoustics' own loss, the difference, and the loss of heads that are fitted to it."""
        name, at, says = family.name, family.at, family.says
        loss = self._lost(family.heard, family.base, self.own)
        acoustic = self._lost(family.heard, family.base, self.acoustics)
        refitted = self._lost(family.heard, family.base, self.own, _REFITTED)
        alone = self.acoustics if self.acoustics in self.listeners else None
        beyond = {key: value - acoustic[key] for key, value in loss.items() if key in acoustic}
        why = self._why(family, alone)
        return [
            self._finding(f"{name}_loss{at}", f"loss of r {says}", _effect(loss), loss, family, why=why[0]),
            self._finding(f"{name}_loss{at}_acoustics", f"loss of r {says}, of {self.acoustics}", _effect(acoustic),
                          acoustic, family, why=why[1]),
            self._finding(f"{name}{at}_beyond_acoustics", f"loss of r {says} beyond what {self.acoustics} loses",
                          _effect(beyond), beyond, family, decide=True, why=why[1]),
            self._finding(f"{name}_loss{at}_refitted", f"loss of r {says} that is left when heads are fitted to it",
                          _effect(refitted), refitted, family, why=why[0]),
        ]  # fmt: skip

    def _why(self, family: Family, alone: str | None) -> tuple[str, str]:
        """Return why the encoder has no loss, and why acoustics have none, if so."""
        absent = "" if family.heard else self._absent(family.name)
        return absent, absent or ("" if alone else f"the encoder is {self.acoustics} itself")

    def _absent(self, name: str) -> str:
        if name in ("vocoder", "pitch", "tract_length") and self.left_out:
            return "pyworld is not installed"
        return "the analysis has no such condition"

    def _reversal_alone(self) -> list[Finding]:
        """Return what reversal costs without learned weights, and without a direction of time."""
        heard = [each for each in self.heard if isinstance(each.condition, Reversed)]
        found = []
        twins = [name for name in self.listeners if name.startswith("twin ")]
        own = self._lost(heard, self.base, self.own)
        of_twins = [self._lost(heard, self.base, name) for name in twins]
        of_twin = {key: float(np.mean([each[key] for each in of_twins])) for key in own
                   if of_twins and all(key in each for each in of_twins)}  # fmt: skip
        beyond = {key: own[key] - value for key, value in of_twin.items()}
        why = "" if twins else "the encoder has no weights, or analysis.twins=0"
        count = f"the same architecture with random weights ({len(twins)} seeds)" if len(twins) > 1 else \
            "the same architecture with random weights"  # fmt: skip
        found.append(self._finding("reversal_loss_twin", f"loss of r by playing backwards, of {count}",
                                   _effect(of_twin), why=why))  # fmt: skip
        found.append(self._finding("reversal_beyond_twin", f"loss of r by playing backwards beyond that of {count}",
                                   _effect(beyond), beyond, decide=True, why=why))  # fmt: skip
        symmetric = self._lost(heard, self.base, SYMMETRIC)
        says = f"loss of r by playing backwards, of {SYMMETRIC}, which has no direction of time: a check, about 0"
        why = "" if SYMMETRIC in self.listeners else "the encoder is that control itself"
        found.append(self._finding("reversal_check", says, _effect(symmetric), why=why))
        return found

    def _finding(
        self,
        name: str,
        says: str,
        estimate: Estimate | None,
        losses: Differences | None = None,
        family: Family | None = None,
        *,
        decide: bool = False,
        why: str = "",
    ) -> Finding:
        if estimate is None or why:
            return Finding(
                name, f"{says}: undefined, {why or 'no channel has an r in both'}", None, None, None, "r", "", {}
            )
        margin = self.settings.margin_r if decide else None
        needed = speakers_needed(over_channels(losses), margin, aim="superiority") if losses and margin else None
        count = {"speakers": estimate.n, "languages": estimate.languages, "utterances": self.utterances}
        over = "mean over channels, speakers, languages"
        by = tuple(self._parts(losses)) if losses else ()
        return Finding(name, says, estimate.mean, estimate.low, estimate.high, "r", over, count, needed=needed, by=by)

    def _parts(self, losses: Differences) -> list[Part]:
        parts = []
        for kind, place in (("language", 0), ("speaker", 1)):
            for value in sorted({key[place] for key in losses}):
                estimate = _effect({key: loss for key, loss in losses.items() if key[place] == value})
                parts.append(_part(kind, value, estimate, alone=kind == "speaker"))
        for articulator in dict.fromkeys(key[2].rpartition("_")[0] or key[2] for key in losses):
            own = {key: loss for key, loss in losses.items() if (key[2].rpartition("_")[0] or key[2]) == articulator}
            parts.append(_part("articulator", articulator, _effect(own)))
        return parts

    def _table(self) -> Table:
        controls = [name for name in self._hears_all() if name != self.own]
        columns = [Column("condition"), Column("heads"), Column("r", "r", self.own), Column("r_low", "r"),
                   Column("r_high", "r"), Column("loss", "r"), Column("loss_low", "r"), Column("loss_high", "r")]  # fmt: skip
        for name in controls:
            columns += [Column(f"r_{name}", "r", name), Column(f"loss_{name}", "r", f"loss of {name}"),
                        Column(f"beyond_{name}", "r", f"loss beyond {name}"), Column(f"beyond_{name}_low", "r"),
                        Column(f"beyond_{name}_high", "r")]  # fmt: skip
        rows = [self._table_row(each, view, controls) for view in (_FIXED, _REFITTED) for each in self.heard]
        return Table("conditions", "r and its loss in each condition", tuple(columns), tuple(rows))

    def _table_row(self, each: Heard, view: str, controls: Sequence[str]) -> dict[str, Any]:
        own = self._lost([each], self.base, self.own, view) if each is not self.base else {}
        row: dict[str, Any] = {"condition": each.name, "heads": view}
        row |= dict(zip(("r", "r_low", "r_high"), _numbers(_r(each.by(view)[self.own])), strict=True))
        row |= dict(zip(("loss", "loss_low", "loss_high"), _numbers(_effect(own)), strict=True))
        for name in controls:
            theirs = self._lost([each], self.base, name, view) if each is not self.base else {}
            beyond = _effect({key: loss - theirs[key] for key, loss in own.items() if key in theirs})
            row |= {f"r_{name}": _numbers(_r(each.by(view)[name]))[0], f"loss_{name}": _numbers(_effect(theirs))[0]}
            names = (f"beyond_{name}", f"beyond_{name}_low", f"beyond_{name}_high")
            row |= dict(zip(names, _numbers(beyond), strict=True))
        return row

    def _rows(self) -> list[dict[str, Any]]:
        rows = []
        for each in self.heard:
            for view in (_FIXED, _REFITTED):
                defined = {key: r for key, r in each.by(view)[self.own].items() if r is not None}
                rows += [
                    {"condition": each.name, "heads": view, "language": language, "speaker": speaker, "r": r}
                    for (language, speaker), r in sorted(over_channels(defined).items())
                ]
        return rows

    def _caveats(self) -> list[str]:
        entries = self.bench.entries
        said = [f"r is over {self.utterances} of {len(entries)} utterances (analysis.utterances_per_speaker), undisturbed "
                "and disturbed ones the same; heads as they are were fitted to all undisturbed utterances of the other "
                "languages, heads fitted to a condition to these few alone"]  # fmt: skip
        said.append("movements are those of the undisturbed speech: speakers in noise would move otherwise")
        if self.left_out:
            said.append(
                f"pyworld is not installed (pip install 'tractprobe[source]'): left out {', '.join(self.left_out)}"
            )
        undefined = sum(r is None for each in self.heard for view in (_FIXED, _REFITTED)
                        for r in each.by(view)[self.own].values())  # fmt: skip
        if undefined:
            said.append(f"{undefined} r of a channel of a speaker are undefined and left out, from the pair of both")
        return said


def _r(own: Cells) -> Estimate | None:
    values = over_channels({key: r for key, r in own.items() if r is not None})
    return effect(values, fisher=True) if values else None


def _mean(own: Cells) -> float:
    estimate = _r(own)
    return 0.0 if estimate is None else estimate.mean


def _effect(losses: Differences) -> Estimate | None:
    return effect(over_channels(losses)) if losses else None


def _numbers(estimate: Estimate | None) -> list[float | None]:
    return [None, None, None] if estimate is None else [estimate.mean, estimate.low, estimate.high]


def _part(kind: str, name: str, estimate: Estimate | None, *, alone: bool = False) -> Part:
    if estimate is None:
        return Part(kind, name, None)
    return Part(kind, name, estimate.mean, *((None, None) if alone else (estimate.low, estimate.high)), estimate.n)
