"""How read-outs and states move when one thing about the production of speech is changed and nothing else.

Heads are linear, so the read-out of the changed wave minus that of the base is Wᵀ(x' - x), without any offset. What it
should be is known exactly: the synthesiser's own change of positions, low-passed like the targets that heads learned.
Both are kept in standard deviations of the speaker's channels, by which channels can be compared; times a speaker's
deviations they are mm.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tractprobe.corpora.ipa import SILENCE, to_ipa
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.texts import letters
from tractprobe.corpora.readers.interventions import ARTICULATOR, F0, InterventionSet, Pair
from tractprobe.corpora.utterance import Utterance
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
_LEAST_SD_MM, _SAME_MM = 1e-3, 1e-3


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
        What heads read, at the chosen layer, that were fitted to movements of another time; of each such time.
    states
        Root mean square over features by which states moved, in deviations of the features in the corpora's speech.
    true
        What the positions did, in deviations; ``None`` if they cannot be compared with the base's.
    spoken
        Whether a frame lies in a phone of the base utterance.
    """

    pair: Pair
    speaker: str
    language: str
    times_s: Float[np.ndarray, " frame"]
    sd_mm: Float[np.ndarray, " channel"]
    moved: Float[np.ndarray, "layer frame channel"]
    shuffled: Float[np.ndarray, "draw frame channel"]
    states: Float[np.ndarray, "layer frame"]
    true: Float[np.ndarray, "frame channel"] | None
    spoken: Bool[np.ndarray, " frame"]

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
        cls, name: str, bench: Bench, heard: InterventionSet, shifts_s: Sequence[float] = (), only: Sequence[Pair] = ()
    ) -> "Reader":
        """Fit heads, and have them read some pairs, by default all.

        Parameters
        ----------
        shifts_s
            Heads are also fitted to each speaker's movements shifted in a circle by so much, each time anew.
        """
        if bench.settings.model.target in names_of("states"):
            raise DoesNotApply(f"{bench.settings.id.model} is a folder of features: no other audio can be encoded")
        split = _split(bench)
        targets = bench.targets("ema")
        (fitted,) = bench.fit([split], targets)
        chosen = fitted.problem.labels.index(chosen_layer(fitted))
        shuffled = [_weights(bench.fit([split], _shifted(bench, shift_s))[0])[chosen] for shift_s in shifts_s]
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


def known_speakers(corpora: Sequence[PreparedCorpus], learned: Iterable[str], heard: InterventionSet) -> dict[str, str]:
    """Return the speakers of interventions whom heads have learned from, with their full names in a corpus.

    A name alone tells nothing: the corpus that has it must say the same generator, or have the same palate.
    """
    by_name, found = {corpus.name: corpus for corpus in corpora}, {}
    for full in sorted(learned):
        name, _, speaker = full.partition("/")
        generator = str(by_name[name].description.get("generator") or "")
        same = generator == heard.generator if generator else False
        if same or _is_same_palate(by_name[name].palates.get(speaker), heard.palates.get(speaker)):
            found.setdefault(speaker, full)
    return found


def _is_same_palate(kept: np.ndarray | None, measured: np.ndarray | None) -> bool:
    """Whether a prepared palate, of which some points are kept, is one that was measured."""
    if kept is None or measured is None or not len(kept) or len(kept) > len(measured):
        return False
    measured = measured[np.isfinite(measured).all(axis=1)]
    distances_mm = np.linalg.norm(kept[:, None] - measured[None], axis=2).min(axis=1, initial=np.inf)
    return bool((distances_mm < _SAME_MM).all())


def scales(fitted: Fitted, heard: InterventionSet) -> dict[str, Float[np.ndarray, " channel"]]:
    """Return each speaker's deviations, mm: those that heads learned with, or for a new speaker of the bases."""
    full = known_speakers(fitted.problem.corpora, fitted.scales, heard)
    known = {speaker: fitted.scales[name].sd for speaker, name in full.items()}
    found = {}
    for speaker in sorted({base.speaker for base in heard.bases.values()}):
        smoothing = fitted.problem.targets.smoothing
        own = [smoothing(base.measured).values for base in heard.bases.values() if base.speaker == speaker]
        sd = np.nanstd(np.concatenate(own), axis=0) if speaker not in known else known[speaker]
        found[speaker] = np.where(sd >= _LEAST_SD_MM, sd, np.nan)
    return found


def spread(courses: Sequence[Course], most: int) -> list[Pair]:
    """Return at most so many pairs of pitch, or of articulators whose movement can be told.

    As many of each language, speaker and thing that is moved, but for one; which ones, the hashes of their ids decide,
    so that neither their order nor the names of speakers do.
    """
    cells: dict[tuple[str, ...], list[tuple[str, Pair]]] = {}
    for course in courses:
        pair = course.pair
        if pair.kind == F0 or (pair.kind == ARTICULATOR and course.tells):
            cell = (course.language, course.speaker, pair.kind, pair.moved)
            cells.setdefault(cell, []).append((hashlib.sha256(pair.id.encode()).hexdigest(), pair))
    turns = [
        (turn, hashed, pair)
        for each in cells.values()
        for turn, (hashed, pair) in enumerate(sorted(each, key=lambda one: one[0]))
    ]
    return [pair for *_, pair in sorted(turns, key=lambda one: one[:2])[:most]]


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
    shuffled: Sequence[Float[Tensor, "width channel"]]
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
        others = np.zeros((len(self.shuffled), *read.shape[1:]))
        for draw, weights in enumerate(self.shuffled):
            others[draw] = (moved[self.chosen] @ weights).numpy()
        states = (moved / self.deviations[:, None]).square().mean(dim=2).sqrt().numpy()
        true = true_course(self.heard, pair, times_s[inside], self.bench.problem.targets.smoothing)
        true = None if true is None else true / sd
        usable = np.isfinite(sd)
        read[..., ~usable] = np.nan
        spoken = in_phones(base, times_s[inside])
        return Course(pair, base.speaker, base.language, times_s[inside], sd, read, others, states, true, spoken)


def in_phones(base: Utterance, times_s: Float[np.ndarray, " frame"]) -> Bool[np.ndarray, " frame"]:
    """Return which times lie in a phone of an utterance; silence is none."""
    found = np.zeros(len(times_s), bool)
    for phone in base.phones:
        if to_ipa(base.phone_set, phone.label) != SILENCE:
            found |= (times_s >= phone.start_s) & (times_s < phone.end_s)
    return found


def true_course(
    heard: InterventionSet, pair: Pair, times_s: Float[np.ndarray, " frame"], smoothing: Smoothing
) -> Float[np.ndarray, "frame channel"] | None:
    """Return the exact change of positions (mm) at some times, low-passed as targets are; ``None`` without one."""
    track = heard.movement(pair)
    return None if track is None else np.nan_to_num(smoothing(track).at(times_s))
