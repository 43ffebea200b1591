"""Tokens: what discrete units, and the codebooks of codecs, keep of movements, voice and phones.

Systems that translate speech directly work on such tokens, others on a transcript. Both throw something away. Heads of
one kind read the states, the tokens, the transcript (phones with their times, and neighbours), and tokens beside the
transcript. What these have beyond the transcript is what transcription destroys and tokens keep.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from tractprobe.data.phone_labels import phone_counts
from tractprobe.data.phone_targets import InPhones
from tractprobe.data.splits import Split
from tractprobe.data.targets import SETS, Targets
from tractprobe.data.transcript import TimedPhones
from tractprobe.encoders.codec import Codec
from tractprobe.encoders.layers import Label
from tractprobe.evidence.bench import Bench, chosen_layer
from tractprobe.evidence.methods.units import Centroids, Units, count_of_frames, fitted_units
from tractprobe.evidence.record import Column, Evidence, Figure, Finding, Level, Series, Table
from tractprobe.evidence.statistics.effects import Cells, finding, none
from tractprobe.evidence.statistics.findings import finding as of_scores
from tractprobe.evidence.statistics.shares import share
from tractprobe.probes.states import HeadInput
from tractprobe.runs.result import Row, ScoreRow
from tractprobe.system.errors import ConfigError

log = logging.getLogger(__name__)

STATES, TRANSCRIPT, BOTH = "states", "transcript", "{}+transcript"
_SETS = {"ema": "movements", "source": "voice", "features": "phone features"}


@dataclass(frozen=True)
class Tokens:
    """How much of what states hold is left in discrete units, and what of it a transcript lacks.

    Attributes
    ----------
    units
        Numbers of k-means units; for a codec, depths of codebooks are compared instead.
    beside
        Which of these are also read beside the transcript.
    layer
        Whose states are put into units; ``None``: the one that validation chooses in each split.
    least_frames_per_unit, frames_per_unit
        Numbers of units for which there are fewer frames to learn from are left out, and named; no more are used.
    iterations
        Of k-means.
    """

    units: Sequence[int] = (50, 100, 500, 2000)
    beside: Sequence[int] = (100,)
    layer: int | None = None
    least_frames_per_unit: int = 10
    frames_per_unit: int = 100
    iterations: int = 20
    name: ClassVar[str] = "tokens"
    version: ClassVar[int] = 1

    def __post_init__(self):
        if not self.units or min(self.units) < 2 or len(set(self.units)) < len(self.units):
            raise ConfigError(f"analysis.units={list(self.units)}: expected different numbers of 2 or more")
        if not set(self.beside) <= set(self.units):
            raise ConfigError(f"analysis.beside={list(self.beside)}: expected numbers of analysis.units")
        if min(self.least_frames_per_unit, self.frames_per_unit, self.iterations) < 1:
            raise ConfigError("analysis: expected 1 or more frames per unit, and iterations")

    def __call__(self, bench: Bench) -> Evidence:
        """Return r of heads that read states, tokens, transcript, and tokens beside transcript."""
        splits = bench.splits("language")
        phones = sorted(set().union(*(phone_counts(corpus) for corpus in bench.corpora)))
        targets = _targets(bench, labelled=bool(phones))
        if isinstance(bench.encoder, Codec):
            read, caveats = dict(_of_codec(bench, splits, targets)), list[str]()
        else:
            read, caveats = self._of_units(bench, splits, targets, phones)
        if phones:
            timed = TimedPhones(tuple(phones))
            fits = bench.fit(list(splits.values()), targets, [HeadInput(TRANSCRIPT, (), (timed.name,))], [timed])
            read[TRANSCRIPT] = [row for fit in fits for row in fit.rows()]
        else:
            caveats.append("Corpora without phones have no transcript to compare with, and no phone features.")
        if "source" not in targets.names:
            caveats.append(
                "Corpora prepared without source_channels=true have no pitch, voicing and loudness to decode."
            )
        return Evidence(
            tuple(_findings(read, targets)),
            (_table(read, targets),),
            tuple(_figure(read, name) for name in targets.names),
            tuple(_tidy(read)),
            tuple(caveats),
        )

    def _of_units(
        self, bench: Bench, splits: Mapping[str, Split], targets: Targets, phones: Sequence[str]
    ) -> tuple[dict[str, list[Row]], list[str]]:
        """Return rows by what was read: states, numbers of units, and these beside the transcript."""
        fits = dict(zip(splits, bench.fit(list(splits.values()), targets), strict=True))
        layers = {value: chosen_layer(fit) if self.layer is None else self.layer for value, fit in fits.items()}
        states: list[Row] = [row for value, fit in fits.items() for row in fit.rows() if row["layer"] == layers[value]]
        read: dict[str, list[Row]] = {STATES: states}
        counts, left_out = self._possible(bench, splits)
        for value, split in splits.items():
            layer = bench.inputs[bench.labels.index(layers[value])].layers
            if len(layer) != 1:
                raise ConfigError(f"layer={layers[value]}: units are of one layer; give layer=all or one number")
            log.info("%s units of layer %d, without %s", ", ".join(map(str, counts)), layer[0], value)
            for name, rows in self._of_split(bench, split, targets, phones, layer[0], counts).items():
                read.setdefault(str(name), []).extend(rows)
        said = (
            f"{', '.join(map(str, left_out))} units were left out: fewer than {self.least_frames_per_unit} frames each"
        )
        chosen = ", ".join(f"{layer} without {value}" for value, layer in layers.items())
        fitted = "Units were fitted to the frames that heads learned from, anew for each held-out language"
        return read, [f"{fitted}; layers: {chosen}.", *([f"{said}."] if left_out else [])]

    def _of_split(
        self, bench: Bench, split: Split, targets: Targets, phones: Sequence[str], layer: int, counts: Sequence[int]
    ) -> Mapping[Label, list[ScoreRow]]:
        """Return rows of units that were fitted to what one split develops on, alone and beside the transcript."""
        fitted = [self._fitted(bench, layer, split, count) for count in counts]
        units, timed = [Units(bench, layer, centroids) for centroids in fitted], TimedPhones(tuple(phones))
        inputs = [HeadInput(each.name, (), (each.name,)) for each in units]
        if phones:
            beside = [each for each in units if each.width in self.beside]
            inputs += [HeadInput(BOTH.format(each.name), (), (each.name, timed.name)) for each in beside]
        return bench.rows([split], inputs, targets, [*units, *([timed] if phones else [])])

    def _fitted(self, bench: Bench, layer: int, split: Split, count: int) -> Centroids:
        return fitted_units(bench, layer, split.development, count, self.frames_per_unit, self.iterations)

    def _possible(self, bench: Bench, splits: Mapping[str, Split]) -> tuple[list[int], list[int]]:
        """Return which numbers of units there are frames for in every split, and which not."""
        frames = min(count_of_frames(bench, split.development) for split in splits.values())
        counts = [count for count in sorted(self.units) if count * self.least_frames_per_unit <= frames]
        if not counts:
            raise ConfigError(f"analysis.units={list(self.units)}: {frames} frames to learn from are too few for any")
        return counts, [count for count in sorted(self.units) if count not in counts]


def _targets(bench: Bench, *, labelled: bool) -> Targets:
    """Return movements, voice and phone features, as far as the corpora have them; all where there are phones."""
    names = ["ema"] + ["source"] * all(corpus.source_origins for corpus in bench.corpora)
    if not labelled:
        return bench.targets(*names)
    smoothing = bench.problem.targets.smoothing
    return bench.targets(*(InPhones(SETS[name](smoothing)) for name in names), "features")


def _of_codec(bench: Bench, splits: Mapping[str, Split], targets: Targets) -> Iterator[tuple[str, list[Row]]]:
    """Yield rows by what was read: latents, and what the first, the first two and so on codebooks decode to."""
    if bench.labels != tuple(range(bench.encoder.num_layers)):
        raise ConfigError("layer: depths of a codec are compared with each other; give layer=all")
    rows = [row for fit in bench.fit(list(splits.values()), targets) for row in fit.rows()]
    for layer in bench.labels:
        yield (f"codebooks{layer}" if layer else STATES), [row for row in rows if row["layer"] == layer]


def _cells(rows: Sequence[Row], target: str) -> Cells:
    return Cells.of(row for row in rows if row["target"] == target)


def _is_tokens(name: str) -> bool:
    return name not in (STATES, TRANSCRIPT) and not name.endswith("+transcript")


def _findings(read: Mapping[str, Sequence[Row]], targets: Targets) -> Iterator[Finding]:
    for target in targets.names:
        what = _SETS[target]
        states, own = _cells(read[STATES], target), target if target != "ema" else "movements"
        yield finding(f"{own}_states", f"r of {what} from states, in held-out languages", states)
        for name in filter(_is_tokens, read):
            tokens = _cells(read[name], target)
            yield finding(f"{own}_{name}", f"r of {what} from {_said(name)} alone", tokens)
            yield finding(
                f"{own}_lost_{name}", f"r of {what} from {_said(name)} minus r from states", tokens.minus(states),
                tested=True, margin=0.03,
            )  # fmt: skip
            yield _kept(
                f"{own}_kept_{name}", f"r of {what} from {_said(name)} as a share of r from states", tokens, states
            )
            if (both := BOTH.format(name)) in read:
                says = f"r of {what} from {_said(name)} beside the transcript minus r from the transcript alone"
                gained = _cells(read[both], target).minus(_cells(read[TRANSCRIPT], target))
                yield finding(f"{own}_beyond_transcript_{name}", says, gained, tested=True, margin=0.03)
        if TRANSCRIPT in read:
            transcript = _cells(read[TRANSCRIPT], target)
            yield finding(f"{own}_transcript", f"r of {what} from phones with their times, and neighbours", transcript)


def _kept(name: str, says: str, tokens: Cells, states: Cells) -> Finding:
    """Return the mean r of tokens as a share of the mean r of states, over the speakers that have both."""
    kept, held = tokens.of_speakers(), states.of_speakers()
    reached = share(kept, held)
    if reached is None:
        return none(name, f"{says}; r from states may be 0, so that there is nothing to have a share of", "share")
    return of_scores(name, says, kept, "share", "means over speakers, then languages", estimate=reached)


def _said(name: str) -> str:
    if name.startswith("codebooks"):
        count = name.removeprefix("codebooks")
        return "the first codebook" if count == "1" else f"the first {count} codebooks"
    return f"{name.removeprefix('units')} units"


def _table(read: Mapping[str, Sequence[Row]], targets: Targets) -> Table:
    columns = [Column("input")]
    rows: list[dict] = [{"input": name.replace("units", "units ")} for name in read]
    for target in targets.names:
        columns += [
            Column(target, "r", _SETS[target]),
            Column(f"{target}_low", "r", "low"),
            Column(f"{target}_high", "r", "high"),
        ]
        for row, name in zip(rows, read, strict=True):
            reached = finding("", "", _cells(read[name], target))
            row |= {target: reached.value, f"{target}_low": reached.low, f"{target}_high": reached.high}
    return Table("inputs", "r in held-out languages by what heads read", tuple(columns), tuple(rows))


def _figure(read: Mapping[str, Sequence[Row]], target: str) -> Figure:
    def point(name: str) -> list:
        reached = finding("", "", _cells(read[name], target))
        return [name.removeprefix("units").removeprefix("codebooks"), reached.value, reached.low, reached.high]

    series = [Series("tokens", tuple(point(name) for name in filter(_is_tokens, read)))]
    beside = [name for name in read if name.endswith("+transcript")]
    if beside:
        points = ([name.removesuffix("+transcript").removeprefix("units"), *point(name)[1:]] for name in beside)
        series.append(Series("tokens beside the transcript", tuple(points)))
    levels = [
        Level(name, point(name)[1]) for name in (STATES, TRANSCRIPT) if name in read and point(name)[1] is not None
    ]
    title, x = f"r of {_SETS[target]} from tokens", "codebooks" if "codebooks1" in read else "units"
    return Figure(f"tokens_{target}", title, x, "r", tuple(series), "points", levels=tuple(levels))


def _tidy(read: Mapping[str, Sequence[Row]]) -> Iterator[dict]:
    for name, rows in read.items():
        for target in dict.fromkeys(row["target"] for row in rows):
            for (language, speaker), r in _cells(rows, target).of_speakers().items():
                yield {"condition": name, "target": target, "language": language, "speaker": speaker, "r": r}
