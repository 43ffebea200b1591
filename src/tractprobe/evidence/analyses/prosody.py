"""Source and prosody: what each layer holds of pitch, voicing, loudness and speech rate, and what phones do not tell.

The movements of larynx and lungs are articulation, too, and what a transcript throws away. Heads are tested in
languages that they never heard. Beyond phones::

    R²(states and transcript) - max(0, R²(transcript))

on frames that have a phone, where the transcript is the phone, how far it has got, and its neighbours
(``data.transcript.TimedPhones``). A transcript that predicts worse than the mean explains nothing, not less than that:
otherwise its errors would count as what states add.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.prosodic import TRANSCRIPT, Decoded, Material
from tractprobe.evidence.record import Column, Evidence, Figure, Finding, Level, Series, Table
from tractprobe.evidence.statistics.effects import Cells, finding, none
from tractprobe.evidence.statistics.inference import effect
from tractprobe.runs.result import ScoreRow
from tractprobe.system.errors import ConfigError

MEASURES = {
    "f0": ("f0_st",),
    "voicing": ("voicing",),
    "loudness": ("loudness_db",),
    "rate": ("phones_per_s", "nuclei_per_s"),
}
"""What findings are about, and the channels of each."""

_SHARES = ("states", TRANSCRIPT, "both", "beyond_phones", "beyond_states", "common")


@dataclass(frozen=True)
class Prosody:
    """What each layer holds of pitch, voicing, loudness and speech rate, and how much of it phones do not tell.

    Attributes
    ----------
    controls
        Options of conf/model; findings are about the first.
    twins
        Encoders of the same architecture with random weights.
    margin_r
        A difference that would matter; how many speakers it takes to find one is told.
    """

    controls: Sequence[str] = ("mel",)
    twins: int = 1
    margin_r: float = 0.03
    name: ClassVar[str] = "prosody"
    version: ClassVar[int] = 1

    def __post_init__(self):
        if not self.controls or self.twins < 0 or not self.margin_r > 0:
            raise ConfigError("analysis: expected one control or more, 0 twins or more and a margin above 0")

    def __call__(self, bench: Bench) -> Evidence:
        """Return r by layer and at chosen layers, and R² beyond phones; ConfigError if there is nothing to decode."""
        material = Material.of(bench)
        own = Decoded.of(material.bench, material)
        others = {name: Decoded.of(each, material) for name, each in self._others(bench, material).items()}
        return _Report(self, material, own, others).evidence()

    def _others(self, bench: Bench, material: Material) -> dict[str, Bench]:
        """Return the encoders to compare with, other than the encoder itself, on the same corpora."""
        found: dict[str, Bench | None] = {name: bench.other(bench.option(name)) for name in self.controls}
        found |= {f"random weights, seed {seed}": bench.twin(seed) for seed in range(self.twins)}
        return {
            name: material.placed(each)
            for name, each in found.items()
            if each is not None and each.encoder.identity != bench.encoder.identity
        }


@dataclass(frozen=True, eq=False)
class _Report:
    """Findings, tables and figures."""

    settings: Prosody
    material: Material
    own: Decoded
    others: Mapping[str, Decoded]

    def evidence(self) -> Evidence:
        findings = [each for name in MEASURES for each in (*self._r(name), *self._beyond_phones(name))]
        tables = (self._layer_table(), self._table(), self._share_table())
        return Evidence(tuple(findings), tables, (self._figure(),), tuple(self._rows()), self._caveats())

    @property
    def _acoustics(self) -> Decoded | None:
        return self.others.get(self.settings.controls[0])

    @property
    def _twins(self) -> list[Decoded]:
        return [each for name, each in self.others.items() if name.startswith("random weights")]

    def _absent(self, name: str) -> str:
        """Return why a measure is missing; an empty text if it is there."""
        needed = "rate" if name == "rate" else "source"
        if needed in self.material.sets:
            return ""
        if needed == "rate":
            return "there are no phone labels"
        return "the corpora were prepared without source channels (source_channels=true)"

    def _r(self, name: str) -> list[Finding]:
        """Return r at the chosen layers, and beyond acoustics and random weights."""
        says = f"r of {_what(name)} in languages that heads never heard, at the layer that validation chose"
        names = (name, f"{name}_beyond_acoustics", f"{name}_beyond_twin")
        if why := self._absent(name):
            return [none(each, f"{says}: undefined, {why}") for each in names]
        own, control = _cells(self.own.r, name), self._acoustics
        found = [finding(name, says, own)]
        mel = self.settings.controls[0]
        beyond = f"r of {_what(name)} minus that of {mel}"
        if control is None:
            found.append(none(names[1], f"{beyond}: undefined, the encoder is {mel} itself"))
        else:
            found.append(self._difference(names[1], beyond, own, _cells(control.r, name)))
        random = f"r of {_what(name)} minus that of the same architecture with random weights"
        if not self._twins:
            found.append(none(names[2], f"{random}: undefined, there are none, or analysis.twins=0"))
        else:
            twins = Cells.mean(_cells(twin.r, name) for twin in self._twins)
            found.append(self._difference(names[2], random, own, twins))
        return [_without_articulators(each) for each in found]

    def _difference(self, name: str, says: str, one: Cells, other: Cells) -> Finding:
        return finding(name, says, one.minus(other), tested=True, margin=self.settings.margin_r)

    def _beyond_phones(self, name: str) -> list[Finding]:
        """Return what states say beyond a transcript with times, and what acoustics say beyond it."""
        mel = self.settings.controls[0]
        says = f"R² of {_what(name)} that states add to phone, position in it and neighbours"
        theirs = f"R² of {_what(name)} that {mel} adds to phone, position in it and neighbours"
        names = (f"{name}_beyond_phones", f"{name}_beyond_phones_acoustics")
        why = self._absent(name) or ("" if self.own.r2 else "no language has phones in both training and test")
        if why:
            texts = zip(names, (says, theirs), strict=True)
            return [none(each, f"{text}: undefined, {why}", "R²") for each, text in texts]
        found = [self._r2(names[0], says, self.own, name)]
        if self._acoustics is None:
            found.append(none(names[1], f"{theirs}: undefined, the encoder is {mel} itself", "R²"))
        else:
            found.append(self._r2(names[1], theirs, self._acoustics, name))
        return found

    def _r2(self, finding_name: str, says: str, decoded: Decoded, name: str) -> Finding:
        found = finding(finding_name, says, _shares(decoded, name)["beyond_phones"], tested=True)
        return replace(_without_articulators(found), unit="R²")

    def _names(self) -> list[str]:
        """Return the measures that there are."""
        return [name for name in MEASURES if not self._absent(name)]

    def _layer_table(self) -> Table:
        names = ("measure", "layer", "r", "low", "high", "chosen")
        rows = []
        for name in self._names():
            picked = [choice.get(channel) for choice in self.own.choices for channel in MEASURES[name]]
            for label in self.own.fits.rows[0]:
                numbers = _numbers(_cells(self.own.fits.of(label), name))
                rows.append(dict(zip(names, (name, label, *numbers, picked.count(label)), strict=True)))
        columns = [Column(name, "r" if name in ("r", "low", "high") else "") for name in names[:-1]]
        chosen = Column("chosen", "", "splits and channels that it was chosen for")
        return Table("layers", "r of each layer in held-out languages", (*columns, chosen), tuple(rows))

    def _table(self) -> Table:
        rows = []
        for name in self._names():
            for who, decoded in {"the encoder": self.own, **self.others}.items():
                row: dict[str, Any] = {"measure": name, "who": who}
                rows.append(row | dict(zip(("r", "low", "high"), _numbers(_cells(decoded.r, name)), strict=True)))
        columns = (Column("measure"), Column("who"), Column("r", "r"), Column("low", "r"), Column("high", "r"))
        return Table("encoders", "r at the layers that validation chose, in held-out languages", columns, tuple(rows))

    def _share_table(self) -> Table:
        rows = []
        for name in self._names():
            for who, decoded in {"the encoder": self.own, **self.others}.items():
                if decoded.r2:
                    shares = {way: _numbers(cells, fisher=False)[0] for way, cells in _shares(decoded, name).items()}
                    rows.append({"measure": name, "who": who, **shares})
        columns = (Column("measure"), Column("who"), *(Column(way, "R²", way.replace("_", " ")) for way in _SHARES))
        return Table(
            "shares", "R² of states, of a transcript with times and of both, at frames in phones", columns, tuple(rows)
        )

    def _figure(self) -> Figure:
        rows = self._layer_table().rows
        series = tuple(
            Series(
                name, tuple([row["layer"], row["r"], row["low"], row["high"]] for row in rows if row["measure"] == name)
            )
            for name in self._names()
        )
        levels = []
        if self._acoustics is not None:
            of_mel = {name: _numbers(_cells(self._acoustics.r, name))[0] for name in self._names()}
            levels = [Level(f"{name}, {self.settings.controls[0]}", r) for name, r in of_mel.items() if r is not None]
        return Figure(
            "layers", "Source and prosody by layer, in held-out languages", "layer", "r", series, levels=tuple(levels)
        )

    def _rows(self) -> list[dict[str, Any]]:
        rows = []
        for name in self._names():
            measured = {(name, "r"): _cells(self.own.r, name)}
            if self.own.r2:
                measured[f"{name}_beyond_phones", "R²"] = _shares(self.own, name)["beyond_phones"]
            rows += [
                {"condition": condition, "quantity": unit, "language": language, "speaker": speaker, "r": value}
                for (condition, unit), cells in measured.items()
                for (language, speaker), value in sorted(cells.of_speakers().items())
            ]
        return rows

    def _caveats(self) -> tuple[str, ...]:
        origins: dict[str, int] = {}
        for entry in self.material.bench.entries.values():
            if (origin := self.material.bench.corpus_of(entry).source_origin(entry.id)) is not None:
                origins[origin] = origins.get(origin, 0) + 1
        said = list(self.material.lacking)
        if origins:
            told = ", ".join(f"{origin} in {count} utterances" for origin, count in sorted(origins.items()))
            said.append(f"pitch and voicing: {told}; what is estimated from the audio is acoustics, as is loudness")
        one = "states and transcript share one penalty for each channel, so what states add is if anything too small"
        return (*said, *([one] if self.own.r2 else []))


def _what(name: str) -> str:
    return {"f0": "pitch (semitones)", "voicing": "voicing", "loudness": "loudness (dB)",
            "rate": "local speech rate (phones and nuclei per second)"}[name]  # fmt: skip


def _cells(rows: Sequence[ScoreRow], name: str) -> Cells:
    """Return r of a measure's channels; one without any frame that varies has no row, and counts as lost."""
    own = [row for row in rows if row["channel"] in MEASURES[name]]
    there, found = {(row["language"], row["speaker"]) for row in own}, Cells.of(own)
    return Cells(found.values, found.lost + len(there) * len(MEASURES[name]) - len(own))


def _shares(decoded: Decoded, name: str) -> dict[str, Cells]:
    """Return R² of states, transcript and both, what each adds to the other, and what both explain."""
    of = {
        way: Cells({key: r2 for key, r2 in cells.values.items() if key[2] in MEASURES[name]})
        for way, cells in decoded.r2.items()
    }
    told = Cells({key: max(0.0, r2) for key, r2 in of[TRANSCRIPT].values.items()}, of[TRANSCRIPT].lost)
    beyond_phones, beyond_states = of["both"].minus(told), of["both"].minus(of["states"])
    return of | {
        "beyond_phones": beyond_phones,
        "beyond_states": beyond_states,
        "common": of["states"].minus(beyond_phones),
    }


def _numbers(cells: Cells, *, fisher: bool = True) -> list[float | None]:
    values = cells.of_speakers()
    if not values:
        return [None, None, None]
    estimate = effect(values, fisher=fisher)
    return [estimate.mean, estimate.low, estimate.high]


def _without_articulators(found: Finding) -> Finding:
    """Leave out the parts that are channels: here these are no articulators."""
    return replace(found, by=tuple(part for part in found.by if part.kind != "articulator"))
