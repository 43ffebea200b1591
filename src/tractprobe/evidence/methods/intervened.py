"""How read-outs and states move when one thing about the production of speech is changed and nothing else.

Heads are linear, so the read-out of the changed wave minus that of the base is Wᵀ(x' - x), without any offset. What it
should be is known exactly: the synthesiser's own change of positions, low-passed like the targets that heads learned.
Both are kept in standard deviations of the speaker's channels, by which channels can be compared; times a speaker's
deviations they are mm.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tractprobe.corpora.prepared.texts import letters
from tractprobe.corpora.readers.interventions import InterventionSet, Pair
from tractprobe.data.control_targets import Shifted
from tractprobe.data.splits import Split
from tractprobe.data.targets import Targets
from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.layers import Label
from tractprobe.evidence.bench import Bench, chosen_layer
from tractprobe.evidence.methods.erasure import states_of_groups
from tractprobe.evidence.record import DoesNotApply
from tractprobe.probes.fitted import Fitted
from tractprobe.probes.heads.ridge import Ridge
from tractprobe.probes.linear.selection import Division
from tractprobe.signals.audio import RATE_HZ
from tractprobe.signals.channels import CHANNELS
from tractprobe.signals.smoothing import Smoothing
from tractprobe.system.errors import ConfigError
from tractprobe.system.progress import progress
from tractprobe.system.registry import names_of

SENSORS: Mapping[str, tuple[str, ...]] = {
    "tongue_tip": ("tt",), "tongue_body": ("td", "tb"), "lip_aperture": ("ul", "ll"), "lip_protrusion": ("ul", "ll"),
    "jaw": ("li",),
}  # fmt: skip
"""Whose channels are a moved articulator's own; the velum has none."""

_TOGETHER = 8  # waves that are encoded at a time
_LEAST_SD_MM = 1e-3


@dataclass(frozen=True, eq=False)
class Course:
    """One pair as heads read it, changed minus base, at each frame of the utterance.

    Attributes
    ----------
    sd_mm
        The speaker's deviations.
    moved
        What heads read, in deviations; NaN for a channel that they do not know.
    shuffled
        What heads read, at the chosen layer, that were fitted to movements of another time.
    states
        Root mean square over features by which states moved, in deviations of the features in the corpora's speech.
    true
        What the positions did, in deviations; ``None`` if they cannot be compared with the base's.
    """

    pair: Pair
    speaker: str
    language: str
    times_s: Float[np.ndarray, " frame"]
    sd_mm: Float[np.ndarray, " channel"]
    moved: Float[np.ndarray, "layer frame channel"]
    shuffled: Float[np.ndarray, "frame channel"] | None
    states: Float[np.ndarray, "layer frame"]
    true: Float[np.ndarray, "frame channel"] | None

    @cached_property
    def own(self) -> list[int]:
        """The columns of the moved articulator's own channels; none of the velum, and of what is no articulator."""
        return channels_of(SENSORS.get(self.pair.moved, ()))

    @cached_property
    def tells(self) -> bool:
        """Whether own channels are read, and truly moved."""
        if self.true is None or not self.own:
            return False
        known = np.isfinite(self.moved[0, 0, self.own]).any()
        return bool(known and np.abs(np.nan_to_num(self.true[:, self.own])).max() > 0)

    def within(self, margin_s: float = 0.0) -> Bool[np.ndarray, " frame"]:
        """Return the frames of the window, and of a margin on either side."""
        start_s, end_s = self.pair.window_s
        return (self.times_s >= start_s - margin_s - 1e-9) & (self.times_s <= end_s + margin_s + 1e-9)


@dataclass(frozen=True, eq=False)
class Reader:
    """Heads on every layer of an encoder, fitted to all of the corpora, and what they read of interventions.

    Attributes
    ----------
    name
        What tables call it.
    chosen
        The place of the layer that validation chose.
    """

    name: str
    bench: Bench
    fitted: Fitted
    chosen: int
    courses: tuple[Course, ...]

    @property
    def labels(self) -> tuple[Label, ...]:
        return self.fitted.problem.labels

    @classmethod
    def of(
        cls, name: str, bench: Bench, heard: InterventionSet, shift_s: float | None = None, only: Sequence[Pair] = ()
    ) -> "Reader":
        """Fit heads, and have them read some pairs, by default all.

        Parameters
        ----------
        shift_s
            If given, heads are also fitted to each speaker's movements shifted in a circle by so much.
        """
        if bench.settings.model.target in names_of("states"):
            raise DoesNotApply(f"{bench.settings.id.model} is a folder of features: no other audio can be encoded")
        split = _split(bench)
        targets = bench.targets("ema")
        (fitted,) = bench.fit([split], targets)
        chosen = fitted.problem.labels.index(chosen_layer(fitted))
        shuffled = None
        if shift_s is not None:
            shuffled = _weights(bench.fit([split], _shifted(bench, shift_s))[0])[chosen]
        deviations = _deviations(bench, split)
        measured = _Measure(bench, heard, _weights(fitted), chosen, shuffled, deviations, scales(fitted, heard))
        return cls(name, bench, fitted, chosen, tuple(measured.courses(only or heard.pairs)))


@lru_cache(maxsize=64)
def channels_of(sensors: tuple[str, ...]) -> list[int]:
    """Return the columns of some sensors' channels."""
    return [place for place, name in enumerate(CHANNELS) if name.partition("_")[0] in sensors]


def _split(bench: Bench) -> Split:
    """Return the split that learns from everything and tests nothing, with the usual folds to choose on."""
    rule = bench.rule("language")
    return rule.of_sides(sorted(bench.entries.values(), key=lambda entry: entry.id), (), bench.seed)


def _shifted(bench: Bench, shift_s: float) -> Targets:
    return bench.targets(Shifted(bench.problem.targets.smoothing, shift_s))


def _weights(fitted: Fitted) -> Float[Tensor, "layer width channel"]:
    """Return the heads' weights; NaN for a channel that no frame had."""
    assert isinstance(fitted.head, Ridge)
    known = fitted.head.bias.isfinite()[:, None]
    return torch.where(known, fitted.head.weight, torch.nan).cpu()


def _deviations(bench: Bench, split: Split) -> Float[Tensor, "layer width"]:
    """Return each feature's standard deviation over the corpora's speech; infinite for one that does not vary."""
    store = bench.moments([split], bench.targets("ema"))
    division = Division.of(split, store)
    each = []
    for label in bench.labels:
        n, x, xx = states_of_groups(store, store.layer(str(label)), division.development)
        mean, squares = x / n, xx.diagonal() / n
        variance = squares - mean.square()
        each.append(torch.where(variance > 1e-12 * squares, variance.clamp(min=1e-300).sqrt(), torch.inf))
    return torch.stack(each)


def scales(fitted: Fitted, heard: InterventionSet) -> dict[str, Float[np.ndarray, " channel"]]:
    """Return each speaker's deviations, mm: those that heads learned with, or for a new speaker of the bases."""
    known = {name.partition("/")[2]: scale.sd for name, scale in fitted.scales.items()}
    found = {}
    for speaker in sorted({base.speaker for base in heard.bases.values()}):
        smoothing = fitted.problem.targets.smoothing
        own = [smoothing(base.track).values for base in heard.bases.values() if base.speaker == speaker]
        sd = np.nanstd(np.concatenate(own), axis=0) if speaker not in known else known[speaker]
        found[speaker] = np.where(sd >= _LEAST_SD_MM, sd, np.nan)
    return found


def spread(heard: InterventionSet, kinds: Sequence[str], most: int) -> list[Pair]:
    """Return at most so many pairs of some kinds, as many of each speaker and of each thing that is moved."""
    waiting: dict[tuple[str, ...], list[Pair]] = {}
    for pair in heard.pairs:
        if pair.kind in kinds:
            cell = (heard.bases[pair.base].speaker, pair.kind, pair.moved, pair.direction)
            waiting.setdefault(cell, []).append(pair)
    turns = [(turn, cell) for cell, pairs in waiting.items() for turn in range(len(pairs))]
    return [waiting[cell][turn] for turn, cell in sorted(turns)[:most]]


def check_texts(bench: Bench, heard: InterventionSet) -> None:
    """Raise ConfigError if heads learned from a sentence that is intervened in."""
    learned = {letters(entry.text): entry.id for entry in bench.entries.values() if letters(entry.text)}
    both = [(base.id, learned[letters(base.text)]) for base in heard.bases.values() if letters(base.text) in learned]
    if both:
        base, entry = both[0]
        raise ConfigError(
            f"{len(both)} of {len(heard.bases)} base utterances say a sentence that the corpora hold (the first: "
            f"{base}, as {entry}): heads would be tested on what they learned from"
        )


@dataclass(frozen=True, eq=False)
class _Measure:
    bench: Bench
    heard: InterventionSet
    weights: Float[Tensor, "layer width channel"]
    chosen: int
    shuffled: Float[Tensor, "width channel"] | None
    deviations: Float[Tensor, "layer width"]
    scales: Mapping[str, Float[np.ndarray, " channel"]]

    def courses(self, chosen: Sequence[Pair]) -> Iterator[Course]:
        """Yield some pairs as they are read."""
        by_base: dict[str, list[Pair]] = {}
        for pair in chosen:
            by_base.setdefault(pair.base, []).append(pair)
        for base, pairs in progress(by_base.items(), f"interventions: {self.bench.encoder.label}", unit="utterance"):
            own = self._states([self.heard.bases[base].audio])[0]
            for first in range(0, len(pairs), _TOGETHER):
                some = pairs[first : first + _TOGETHER]
                for pair, states in zip(some, self._states(map(self.heard.changed, some)), strict=True):
                    yield self._course(pair, states - own)

    @torch.no_grad()
    def _states(self, waves: Iterable[np.ndarray]) -> list[Float[Tensor, "layer _time width"]]:
        encoder: Encoder = self.bench.encoder
        layers = [layer for read in self.bench.inputs for layer in read.layers]
        on_device = [torch.from_numpy(np.ascontiguousarray(wave)).to(self.bench.device) for wave in waves]
        return [states[layers].cpu().double() for states in encoder.to(self.bench.device)(on_device)]

    def _course(self, pair: Pair, moved: Float[Tensor, "layer time width"]) -> Course:
        base = self.heard.bases[pair.base]
        times_s = self.bench.encoder.geometry.times_s(moved.shape[1])
        inside = (times_s >= 0) & (times_s < len(base.audio) / RATE_HZ)  # some encoders pad
        moved = moved[:, torch.from_numpy(inside)]
        sd = self.scales[base.speaker]
        read = torch.einsum("ltw,lwc->ltc", moved, self.weights).numpy()
        others = None if self.shuffled is None else (moved[self.chosen] @ self.shuffled).numpy()
        states = (moved / self.deviations[:, None]).square().mean(dim=2).sqrt().numpy()
        true = true_course(self.heard, pair, times_s[inside], self.bench.problem.targets.smoothing)
        true = None if true is None else true / sd
        usable = np.isfinite(sd)
        read[..., ~usable] = np.nan
        return Course(pair, base.speaker, base.language, times_s[inside], sd, read, others, states, true)


def true_course(
    heard: InterventionSet, pair: Pair, times_s: Float[np.ndarray, " frame"], smoothing: Smoothing
) -> Float[np.ndarray, "frame channel"] | None:
    """Return the exact change of positions (mm) at some times, low-passed as targets are; ``None`` without one."""
    track = heard.movement(pair)
    return None if track is None else np.nan_to_num(smoothing(track).at(times_s))


def correlations(bench: Bench) -> Float[np.ndarray, "channel channel"]:
    """Return how channels correlate within speakers over the corpora's frames: what usually moves together.

    NaN for a channel that the corpora lack.
    """
    targets = bench.targets("ema")
    by_speaker: dict[str, list[np.ndarray]] = {}
    for entry in bench.entries.values():
        values = targets.at(bench.corpus_of(entry), entry, bench.times_s(entry.id))
        by_speaker.setdefault(entry.speaker, []).append(values)
    total, count = np.zeros((len(CHANNELS),) * 2), np.zeros((len(CHANNELS),) * 2)
    for each in by_speaker.values():
        values = np.concatenate(each)
        with np.errstate(invalid="ignore", divide="ignore"):
            known = np.isfinite(values)
            frames = known.sum(axis=0)
            centred = np.where(known, values - np.nansum(values, axis=0) / frames, 0.0)
            scaled = np.nan_to_num(centred / np.sqrt((centred**2).sum(axis=0) / frames))
        total += scaled.T @ scaled
        count += known.astype(float).T @ known
    with np.errstate(invalid="ignore", divide="ignore"):
        together = total / count
        return together / np.sqrt(np.outer(together.diagonal(), together.diagonal()))
