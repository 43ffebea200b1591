"""Movements from states, from a transcript with and without times, and from states and transcript together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tractprobe.corpora.phone_features import phone_features, values_of
from tractprobe.data.phone_labels import PhoneLabels
from tractprobe.data.phone_targets import InPhones
from tractprobe.data.splits import Split
from tractprobe.data.targets import Positions, Targets
from tractprobe.data.transcript import PhoneString, TimedPhones, average_durations
from tractprobe.encoders.layers import Label
from tractprobe.evidence.bench import Bench, chosen_layer
from tractprobe.evidence.methods.partition import Explained, Unit, band_sizes
from tractprobe.probes.fitted import Fitted
from tractprobe.probes.heads.ridge import Ridge
from tractprobe.probes.linear.fit import Solution, fit_divisions
from tractprobe.probes.linear.moment_store import MomentStore
from tractprobe.probes.linear.selection import Division
from tractprobe.probes.states import HeadInput
from tractprobe.runs.building import build
from tractprobe.system.errors import RunError
from tractprobe.system.progress import progress

STATES, TIMED, BOTH, STRING = MODELS = ("states", "timed_phones", "both", "phone_string")
_FOLDS = 2  # of each split, that penalties of transcripts, wide as these are, are chosen on
SEEN, UNSEEN = "phones in training", "phones not in training"
_AGREE_R = 0.01  # what rounding of stored states may change


@dataclass(frozen=True, eq=False)
class Transcribed:
    """What each model explains of the movements, by (language, speaker) and class of phones.

    Attributes
    ----------
    classes
        By name, the classes of frames that they are made of: manners of phones, of which the last is whatever has none,
        and whether training has the phone.
    layers
        The layer that validation chose in each split.
    weights
        Of the heads on that layer, which project states on standardised positions.
    penalties
        By split, the typical penalty of states and of phones by themselves, which set the ratio of both.
    """

    explained: Explained
    classes: Mapping[str, tuple[int, ...]]
    layers: Mapping[str, Label]
    weights: Mapping[str, Float[Tensor, "width channel"]]
    penalties: Mapping[str, tuple[float, float]]

    def r(self, unit: Unit) -> dict[str, float]:
        """Return each model's mean r over the channels that are defined for all; NaN without any."""
        r = self.explained.r(unit)
        defined = np.isfinite(r).all(axis=0)
        means = r[:, defined].mean(axis=1) if defined.any() else np.full(len(r), np.nan)
        return dict(zip(MODELS, means.tolist(), strict=True))

    def r2(self, unit: Unit, channels: Sequence[int] | None = None, of_class: str | None = None) -> dict[str, float]:
        """Return each model's R² over some channels and a class of frames; NaN where nothing varies."""
        classes = None if of_class is None else self.classes[of_class]
        return dict(zip(MODELS, self.explained.r2(unit, channels, classes).tolist(), strict=True))

    def frames(self, of_class: str | None = None) -> int:
        """Return how many test frames there are."""
        classes = None if of_class is None else self.classes[of_class]
        return sum(self.explained.frames(unit, classes) for unit in self.explained.sums)


@dataclass(frozen=True, eq=False)
class _Heads:
    """The four heads of one split, with what they read."""

    solutions: Mapping[str, tuple[Float[np.ndarray, "width channel"], Float[np.ndarray, " channel"]]]
    string: PhoneString

    def predict(self, states: np.ndarray, timed: np.ndarray, string: np.ndarray) -> Float[np.ndarray, "model t c"]:
        read = {STATES: states, TIMED: timed, BOTH: np.concatenate([states, timed], axis=1), STRING: string}
        return np.stack([read[name] @ self.solutions[name][0] + self.solutions[name][1] for name in MODELS])


def transcribed(bench: Bench, splits: Mapping[str, Split], phones: Sequence[str]) -> Transcribed:
    """Fit the four models in each split, at the frames that have a phone, and sum up what they predict of its test."""
    smoothing = build(bench.settings.ema)
    targets = Targets([InPhones(Positions(smoothing))], smoothing)
    fits = dict(zip(splits, bench.fit(list(splits.values()), targets), strict=True))
    layers = {value: chosen_layer(fitted) for value, fitted in fits.items()}
    timed = TimedPhones(tuple(phones))
    store = _moments(bench, splits, targets, timed, layers)
    divisions = {value: _division(split, store, targets) for value, split in splits.items()}
    alone = _solved(store, TIMED, list(divisions.values()), bench)
    manners = (*values_of(phones)["manner"], "other")
    explained = Explained(len(MODELS), 2 * len(manners), len(targets.channels))
    penalties = {
        value: (_typical(_alphas(fits[value], layers[value])), _typical(of_phones.alpha.cpu().numpy()))
        for value, of_phones in zip(splits, alone, strict=True)
    }
    both = _both(bench, store, divisions, layers, penalties, [_width_of(next(iter(fits.values()))), timed.width])
    for (value, split), of_phones in zip(splits.items(), alone, strict=True):
        fitted, label = fits[value], layers[value]
        string, of_string = _from_string(bench, split, targets, phones)
        solutions = {TIMED: of_phones, BOTH: both[value], STRING: of_string}
        heads = _Heads(
            {STATES: _weights_of(fitted, label)}
            | {name: (each.weight.cpu().numpy(), each.bias.cpu().numpy()) for name, each in solutions.items()},
            string,
        )
        _add_test(explained, bench, split, fitted, label, heads, timed, manners)
        _check_agreement(explained, fitted, label)
    weights = {value: torch.from_numpy(_weights_of(fitted, layers[value])[0]) for value, fitted in fits.items()}
    return Transcribed(explained, _classes(manners), layers, weights, penalties)


def _classes(manners: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the numbers that ``_classes_at`` gives, by what they have in common."""
    of_manner = {name: (2 * number, 2 * number + 1) for number, name in enumerate(manners)}
    return of_manner | {SEEN: tuple(range(0, 2 * len(manners), 2)), UNSEEN: tuple(range(1, 2 * len(manners), 2))}


def _joint(label: Label) -> str:
    return f"{label}+{TIMED}"


def _moments(
    bench: Bench, splits: Mapping[str, Split], targets: Targets, timed: TimedPhones, layers: Mapping[str, Label]
) -> MomentStore:
    """Return the moments of the transcript alone, and beside each layer that some split chose."""
    inputs = [HeadInput(TIMED, (), (timed.name,))]
    for read in bench.inputs:
        if read.label in layers.values():
            inputs.append(HeadInput(_joint(read.label), read.layers, (timed.name,)))
    return bench.moments(list(splits.values()), targets, inputs, [timed])


def _both(
    bench: Bench,
    store: MomentStore,
    divisions: Mapping[str, Division],
    layers: Mapping[str, Label],
    penalties: Mapping[str, tuple[float, float]],
    widths: Sequence[int],
) -> dict[str, Solution]:
    """Fit states and timed phones together, at each split's layer and ratio of penalties."""
    found = {}
    for label in dict.fromkeys(layers.values()):
        values = [value for value in divisions if layers[value] == label]
        sizes = [torch.from_numpy(band_sizes(widths, penalties[value])) for value in values]
        solved = _solved(store, _joint(label), [divisions[value] for value in values], bench, sizes)
        found |= dict(zip(values, solved, strict=True))
    return found


def _division(split: Split, store: MomentStore, targets: Targets) -> Division:
    return Division.of(replace(split, folds=split.folds[:_FOLDS]), store, targets.as_they_are)


def _solved(
    store: MomentStore, name: str, divisions: Sequence[Division], bench: Bench, sizes: Sequence[Tensor] | None = None
) -> list[Solution]:
    settings = build(bench.settings.head, num_layers=1, width=store.widths[name], num_channels=store.count.shape[1])
    assert isinstance(settings, Ridge)
    return [solution for solution, _ in fit_divisions(store, name, divisions, settings, bench.device, sizes)]


def _from_string(bench: Bench, split: Split, targets: Targets, phones: Sequence[str]) -> tuple[PhoneString, Solution]:
    """Fit what a transcript without times carries, by durations of the split's own development side."""
    durations_s, overall_s = average_durations(bench.corpora, split.development)
    string = PhoneString(tuple(phones), durations_s, overall_s)
    store = bench.moments([split], targets, [HeadInput(STRING, (), (string.name,))], [string])
    (solution,) = _solved(store, STRING, [_division(split, store, targets)], bench)
    return string, solution


def _add_test(
    explained: Explained,
    bench: Bench,
    split: Split,
    fitted: Fitted,
    label: Label,
    heads: _Heads,
    timed: TimedPhones,
    manners: Sequence[str],
) -> None:
    """Add a split's test frames, standardised by the speakers' scales."""
    (read,) = (read for read in bench.inputs if read.label == label)
    for id_ in progress(split.test, "movements in the test", unit="utterance"):
        entry, times_s = bench.entries[id_], bench.times_s(id_)
        corpus, scale = bench.corpus_of(entry), fitted.scales[entry.speaker]
        described = timed.at(corpus, entry, times_s)
        used = np.isfinite(described).all(axis=1)
        if not used.any():
            continue
        states = np.concatenate(list(bench.states_of(id_, read.layers)), axis=-1)[used].astype(np.float64)
        string = heads.string.at(corpus, entry, times_s)[used]
        measured = (fitted.problem.targets.at(corpus, entry, times_s)[used] - scale.mean) / scale.sd
        predicted = heads.predict(states, described[used].astype(np.float32), string.astype(np.float32))
        classes = _classes_at(PhoneLabels.of(corpus, entry), times_s[used], manners, heads.string.known)
        explained.add((entry.language, entry.speaker), classes, measured, predicted)


def _classes_at(
    labels: PhoneLabels, times_s: Float[np.ndarray, " time"], manners: Sequence[str], known: frozenset[str]
) -> Int[np.ndarray, " time"]:
    """Return twice the manner of each frame's phone, the last one for none, and 1 more for a phone not in training."""
    number = {name: place for place, name in enumerate(manners[:-1])}
    codes = [
        2 * number.get(phone_features(label).get("manner", ""), len(manners) - 1) + (label not in known)
        for label in labels.ipa
    ]
    return np.array(codes)[labels.phone_at(times_s)]


def _check_agreement(explained: Explained, fitted: Fitted, label: Label) -> None:
    """Compare r over the frames with the engine's, from moments; RunError if these are not of the same frames."""
    channels = [channel.name for channel in fitted.problem.targets.channels]
    for row in fitted.rows():
        unit = (row["language"], row["speaker"])
        if row["layer"] == label and row["r"] is not None and unit in explained.sums:
            r = explained.r(unit)[MODELS.index(STATES), channels.index(row["channel"])]
            if not abs(r - row["r"]) < _AGREE_R:
                found = f"r of {row['channel']} is {r:.3f} over frames and {row['r']:.3f} from moments"
                raise RunError(f"{row['speaker']}, {row['language']}: {found}: please report this")


def _weights_of(fitted: Fitted, label: Label) -> tuple[np.ndarray, np.ndarray]:
    head, index = fitted.head, fitted.problem.labels.index(label)
    assert isinstance(head, Ridge)
    return head.weight[index].cpu().numpy(), head.bias[index].cpu().numpy()


def _width_of(fitted: Fitted) -> int:
    assert isinstance(fitted.head, Ridge)
    return fitted.head.weight.shape[1]


def _alphas(fitted: Fitted, label: Label) -> np.ndarray:
    alphas = fitted.report.get("alpha", [])[fitted.problem.labels.index(label)]
    return np.array([np.nan if alpha is None else alpha for alpha in alphas], dtype=float)


def _typical(alphas: np.ndarray) -> float:
    """Return the geometric middle of the channels' penalties."""
    return float(np.exp(np.nanmedian(np.log(alphas))))
