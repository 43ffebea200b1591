"""Controls: what of a score the sound, the architecture, the width, the voice, chance and memorised phones explain."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from tractprobe.data.control_targets import Control
from tractprobe.data.phone_targets import InPhones
from tractprobe.data.splits import Split
from tractprobe.data.targets import Positions
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.acoustics import matched, projections, seen_by_layer_0
from tractprobe.evidence.methods.null import Null, ShiftedScores, reads
from tractprobe.evidence.methods.reached import Reached
from tractprobe.evidence.record import Band, Column, Evidence, Figure, Finding, Level, Series, Table
from tractprobe.evidence.statistics.effects import OVER, Cells, finding, finding_over_draws, none, point, rows_of
from tractprobe.evidence.statistics.inference import effect
from tractprobe.probes.states import HeadInput
from tractprobe.system.errors import ConfigError, RunError, TractprobeError, first_line

_SAME = 2e-3  # in r: heads of float32 on states of float16, against moments of float64

Conditions = dict[str, Cells]
Drawn = tuple[list[Cells], str]
"""What a control reaches, once or in several draws, and what the encoder's excess over it is."""


@dataclass(frozen=True)
class Controls:
    """What an encoder's r exceeds: acoustics, architecture, width, voice, chance and memorised phones.

    Everything is linear, held out by language, and paired by speaker and channel. Layers, and the best of several
    controls, are chosen by validation inside each split.

    Attributes
    ----------
    acoustics
        Options of conf/model; those that end in ``_matched`` take the context and width of the encoder's layer 0.
    voice
        Options of conf/model that know no spectrum.
    random_seeds
        How many times the architecture's weights are drawn; the seeds are 1, 2, ..., without the encoder's own.
    projections
        How many random projections of acoustics are drawn.
    shifts
        How many random circular shifts there are of each speaker's test utterances in a language.
    shift_s
        What each exceeds, in s, in both directions.
    control_seed
        Of the random positions of phones.
    margin_r
        The true difference at which ``needed`` counts speakers.
    """

    acoustics: Sequence[str] = ("mel", "mel_matched", "mfcc", "mfcc_matched")
    voice: Sequence[str] = ("f0_energy_matched",)
    random_seeds: int = 3
    projections: int = 3
    shifts: int = 2000
    shift_s: float = 1.0
    control_seed: int = 0
    margin_r: float = 0.03
    name: ClassVar[str] = "controls"
    version: ClassVar[int] = 1

    def __post_init__(self):
        if not self.acoustics or min(self.random_seeds, self.projections) < 0:
            raise ConfigError("analysis.acoustics: at least one; analysis.random_seeds and projections: none or more")
        if self.shifts < 1000 or not self.shift_s > 0 or not self.margin_r > 0:
            raise ConfigError("analysis.shifts: at least 1000; analysis.shift_s and margin_r: above 0")

    def __call__(self, bench: Bench) -> Evidence:
        """Return the encoder's r beside that of each control, and what it exceeds each by."""
        return _Comparison(self, bench).evidence()


class _Comparison:
    """An encoder and its controls under the same splits."""

    def __init__(self, asked: Controls, bench: Bench):
        self.asked, self.bench = asked, bench
        self.splits: Mapping[str, Split] = bench.splits("language")
        self.caveats: list[str] = []
        self.random: list[Reached] = []

    def evidence(self) -> Evidence:
        own = Reached.of(self.bench, self.splits)
        findings = [finding("r", "r of positions in languages that heads never heard, at the chosen layer", own.cells)]
        conditions: Conditions = {"encoder": own.cells}
        for name, control in {
            "acoustics": self.acoustics(), "random": self.twins(), "projection": self.projected(), "voice": self.voice()
        }.items():  # fmt: skip
            if isinstance(control, str):
                findings.append(none(f"beyond_{name}", control))
            else:
                draws, says = control
                conditions[name] = Cells.mean(draws)
                findings.append(self.beyond(f"beyond_{name}", says, own.cells, draws))
        null, mismatched = self.by_chance(own)
        findings += [self.null_finding(own, null), self.mismatched_finding(own, mismatched, conditions)]
        findings.append(self.selectivity(conditions))
        tables = (_conditions_table(own.cells, conditions), *([null.table()] if null else []))
        return Evidence(
            tuple(findings), tables, (self.figure(own, conditions, null),), rows_of(conditions), tuple(self.caveats)
        )

    def beyond(self, name: str, says: str, own: Cells, draws: Sequence[Cells]) -> Finding:
        """Return what the encoder exceeds a control by, of which there is one or there are several random draws."""
        if name in ("beyond_random", "beyond_projection"):
            return finding_over_draws(name, says, own, draws, self.asked.margin_r)
        (control,) = draws
        return finding(name, says, own.minus(control), tested=True, margin=self.asked.margin_r)

    def acoustics(self) -> Drawn:
        """Return the best spectrum of each split."""
        encoder, each = self.bench.encoder, []
        for name in self.asked.acoustics:
            option = self.bench.option(name)
            option = matched(option, encoder) if name.endswith("_matched") else option
            each.append(Reached.of(self.bench.other(option), self.splits))
        best = Reached.best_of(each)
        seen_s = seen_by_layer_0(encoder)
        self.caveats.append(
            f"layer 0 sees {1000 * seen_s:.0f} ms of sound, which is the context of _matched acoustics; later layers "
            "may see the whole utterance"
            if seen_s is not None
            else "what layer 0 sees is not known: _matched acoustics see 2.565 s, as that of wav2vec 2.0"
        )
        won = ", ".join(f"{model} in {count}" for model, count in Counter(best.models.values()).most_common())
        return (
            [best.cells],
            f"r of the encoder minus that of the best of {len(each)} spectra (by validation: {won} splits)",
        )

    def twins(self) -> Drawn | str:
        """Return the mean over draws of the architecture's weights, each at its own best layer."""
        arguments = self.bench.settings.model.arguments
        own = arguments.get("random_seed", arguments.get("seed"))  # no draw is the encoder itself
        for seed in [seed for seed in range(1, self.asked.random_seeds + 2) if seed != own][: self.asked.random_seeds]:
            twin = self.bench.twin(seed)
            if twin is None:
                return f"{self.bench.settings.id.model} has no weights that could be drawn"
            self.random.append(Reached.of(twin, self.splits))
        if not self.random:
            return "no random weights were drawn (analysis.random_seeds=0)"
        says = f"r of the encoder minus that of its architecture with random weights, mean of {len(self.random)} draws"
        return [each.cells for each in self.random], says

    def projected(self) -> Drawn | str:
        """Return the mean over random projections of a spectrum to the encoder's width."""
        features = projections(self.bench.encoder, range(1, self.asked.projections + 1))
        if not features:
            return "no random projections were drawn (analysis.projections=0)"
        inputs = [HeadInput(feature.name, (), (feature.name,)) for feature in features]
        fits = self.bench.fit(list(self.splits.values()), inputs=inputs, features=features)
        of_splits = dict(zip(self.splits, fits, strict=True))
        each = [Reached(of_splits, dict.fromkeys(self.splits, feature.name)).cells for feature in features]
        says = (
            f"r of the encoder minus that of {features[0].width} random projections of log-mel frames within "
            f"{features[0].window_s:.3g} s, mean of {len(each)} draws"
        )
        return each, says

    def voice(self) -> Drawn | str:
        """Return the best of what pitch, voicing and loudness tell."""
        try:
            each = [Reached.of(self.bench.other(self.bench.option(name)), self.splits) for name in self.asked.voice]
        except TractprobeError as error:  # pyworld is an extra
            self.caveats.append(f"no control by pitch and loudness: {first_line(error)}")
            return f"pitch and loudness could not be read: {first_line(error)}"
        if not each:
            return "no control by pitch and loudness was asked for (analysis.voice=[])"
        return [Reached.best_of(each).cells], "r of the encoder minus that of pitch, voicing and loudness"

    def by_chance(self, own: Reached) -> tuple[Null | None, Cells]:
        """Return r of the test's predictions against shifted movements, and against those of other sentences."""
        shifted = ShiftedScores(self.asked.shifts, self.asked.shift_s, self.bench.seed)
        channels = [channel.name for channel in self.bench.problem.targets.channels]
        mismatched: dict[tuple[str, str, str], float] = {}
        alone = 0
        for value, fitted in own.fits.items():
            for read in reads(self.bench, fitted):
                shifted.include(read, own.chosen[value], self.bench.encoder.geometry.rate_hz)
                r = read.mismatched()
                alone += r is None
                if r is not None:
                    of_chosen = r[read.labels.index(own.chosen[value])]
                    for channel, number in zip(channels, of_chosen.tolist(), strict=True):
                        if number == number:
                            mismatched[read.key.language, read.key.speaker, channel] = number
        if alone:
            self.caveats.append(
                f"{alone} speakers in a language have one test sentence only, which no other mismatches"
            )
        return shifted.null(self.bench.labels, channels), Cells(mismatched)

    def null_finding(self, own: Reached, null: Null | None) -> Finding:
        """Return what shifted movements give, with p of what the encoder reaches."""
        if null is None:
            return none("null", f"no speaker has enough test speech to be shifted by more than {self.asked.shift_s} s")
        if null.left_out:
            names = ", ".join(f"{speaker} in {language}" for language, speaker in null.left_out)
            self.caveats.append(f"too little test speech to be shifted, so not in the null: {names}")
        else:
            self.check_agreement(own, null)
        mean, low, high = null.band(null.chosen)
        says = (
            f"r against movements shifted in a circle by more than {self.asked.shift_s:g} s within a speaker's test "
            f"utterances of a language, {self.asked.shifts} times, each drawn from at least {null.fewest} shifts; "
            "p is of the encoder's r at the chosen layer, by the largest of all layers and channels"
        )
        values = own.cells.of_speakers()
        count = {"shifts": self.asked.shifts, "speakers": len({key[1] for key in values}), "languages": len(own.fits)}
        p = float(null.p[null.chosen])
        return Finding("null", says, mean, low, high, "r", OVER, count, p=p if p == p else None)

    def check_agreement(self, own: Reached, null: Null) -> None:
        """Compare r from frames with r from moments; RunError if they are not the same number."""
        from_moments, from_frames = effect(own.cells.of_speakers()).mean, float(null.observed[null.chosen])
        if not abs(from_moments - from_frames) < _SAME:
            raise RunError(f"r is {from_moments:.4f} from moments but {from_frames:.4f} from frames: this is a mistake")

    def mismatched_finding(self, own: Reached, mismatched: Cells, conditions: Conditions) -> Finding:
        """Return what the speaker's movements in other sentences give."""
        if not mismatched.values:
            return none("mismatched", "no speaker has two test sentences in a language")
        conditions["mismatched"] = mismatched
        gained = effect(own.cells.minus(mismatched).of_speakers()).mean
        says = (
            "r against the same speaker's movements in other sentences, with starts and ends aligned; "
            f"the encoder exceeds it by {gained:.3f}"
        )
        return finding("mismatched", says, mismatched)

    def selectivity(self, conditions: Conditions) -> Finding:
        """Return r of movements minus r of fixed random positions per phone, at the same frames and layer."""
        smoothing = self.bench.problem.targets.smoothing
        try:
            targets = self.bench.targets(InPhones(Positions(smoothing)), Control(smoothing, self.asked.control_seed))
            fits = Reached.of(self.bench, self.splits, targets)
            cells = {name: Cells.of(fits.rows(name)) for name in targets.names}
        except TractprobeError as error:
            return none("selectivity", f"no control task: {first_line(error)}")
        movements, control = (cells[name] for name in targets.names)
        if not control.values:
            return none("selectivity", "no control task: the corpora have no phone labels")
        conditions |= {"movements_in_phones": movements, "control_task": control}
        says = (
            "r of movements minus r of a control task: a fixed random position for each third of each phone, smoothed "
            "as movements are (Hewitt & Liang 2019); the same frames, layers and heads"
        )
        return finding("selectivity", says, movements.minus(control), tested=True, margin=self.asked.margin_r)

    def figure(self, own: Reached, conditions: Conditions, null: Null | None) -> Figure:
        """Return r against the layer, with controls as levels and the null as a band."""
        label = self.bench.settings.id.model
        series = [Series(label, tuple(point(layer, own.cells_at(layer)) for layer in self.bench.labels))]
        if self.random:
            drawn = [Cells.mean(each.cells_at(layer) for each in self.random) for layer in self.bench.labels]
            points = tuple(point(layer, cells) for layer, cells in zip(self.bench.labels, drawn, strict=True))
            series.append(Series("random weights", points))
        texts = {"acoustics": "best acoustics", "projection": "random projections", "voice": "pitch and loudness",
                 "mismatched": "other sentences", "control_task": "control task"}  # fmt: skip
        levels = [
            Level(text, effect(conditions[name].of_speakers()).mean)
            for name, text in texts.items()
            if name in conditions and conditions[name].values
        ]
        band = None
        if null is not None:
            _, low, high = null.band(null.chosen)
            band = Band("95 % of circular shifts", low, high)
        title = "r in languages that heads never heard, beside controls"
        return Figure("layers", title, "layer", "r", tuple(series), "lines", band, tuple(levels))


def _conditions_table(own: Cells, conditions: Conditions) -> Table:
    """Return r of each condition, and what the encoder exceeds it by."""
    columns = (
        Column("condition"), Column("r", "r"), Column("low", "r"), Column("high", "r"),
        Column("exceeded", "r", "encoder - it"), Column("exceeded_low", "r", "low"),
        Column("exceeded_high", "r", "high"), Column("speakers"), Column("languages"),
    )  # fmt: skip
    rows = []
    for name, cells in conditions.items():
        row = dict(zip(("condition", "r", "low", "high"), point(name, cells), strict=True))
        difference = own.minus(cells)
        if name != "encoder" and difference.values:
            gained = effect(difference.of_speakers())
            row |= {"exceeded": gained.mean, "exceeded_low": gained.low, "exceeded_high": gained.high}
        rows.append(row | {unit: cells.count()[unit] for unit in ("speakers", "languages")})
    return Table("conditions", "r of the encoder and of its controls", columns, tuple(rows))
