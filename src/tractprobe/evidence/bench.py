"""What analyses work on: prepared corpora, an encoder's cached states, and ridge heads from moments for any splits.

Nothing is encoded twice: states are kept on disk by encoder and corpus, moments by all that determines them.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from omegaconf import OmegaConf

from tractprobe.corpora.languages import is_language
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.data.axes import CROSSED, OF_EVERY_UTTERANCE
from tractprobe.data.batches import frame_times_s
from tractprobe.data.features import FrameFeatures
from tractprobe.data.splits import Split, SplitRule
from tractprobe.data.targets import Targets
from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.layers import Label
from tractprobe.encoders.raised import Raised
from tractprobe.evidence.record import DoesNotApply
from tractprobe.probes.fitted import Fitted
from tractprobe.probes.heads.ridge import Ridge
from tractprobe.probes.linear.accumulate import partition, sum_groups
from tractprobe.probes.linear.fit import fit, fit_divisions
from tractprobe.probes.linear.moment_store import MomentStore
from tractprobe.probes.linear.selection import Division
from tractprobe.probes.opening import each_held_out
from tractprobe.probes.problem import Problem
from tractprobe.probes.states import HeadInput, HiddenStates
from tractprobe.runs.building import build
from tractprobe.runs.configuration import Plain, conf_dir, plain
from tractprobe.runs.result import ScoreRow
from tractprobe.runs.settings import Node, Settings
from tractprobe.runs.stated import raised_of
from tractprobe.runs.trainer import device_of
from tractprobe.system.errors import ConfigError
from tractprobe.system.registry import names_of

_RANDOM = {  # how an encoder's twin with random weights is asked for, by what makes the encoder
    "tractprobe.encoders.builtin": "random_seed",
    "tractprobe.encoders.pretrained.pretrained": "random_seed",
    "tractprobe.encoders.untrained.random_weights": "seed",
    "tractprobe.encoders.untrained.untrained": "seed",
}


@dataclass(frozen=True, eq=False)
class Prediction:
    """One utterance as heads read it, frame by frame, in the channels' units.

    Attributes
    ----------
    predicted
        NaN at frames without the features that the heads also read.
    measured
        NaN where the target is unknown.
    """

    entry: Entry
    times_s: Float[np.ndarray, " time"]
    predicted: Float[np.ndarray, "label time channel"]
    measured: Float[np.ndarray, "time channel"]


class Bench:
    """An encoder on some corpora, with all that the settings of a run say about targets, heads and precision.

    Parameters
    ----------
    settings
        Of a closed-form head; what they hold out plays no part.

    Raises
    ------
    ConfigError
        The head is none that is fitted in closed form, or it adds up layers.
    """

    def __init__(self, settings: Settings):
        if not settings.closed_form:
            raise ConfigError("analyses need a closed-form head: give head=ridge")
        self.settings, self.problem = settings, _problem(settings)
        self.device = device_of(settings)

    @property
    def corpora(self) -> tuple[PreparedCorpus, ...]:
        """The corpora that speech is in, opened; all of them if it is in none."""
        spoken = {entry.corpus for entry in self.entries.values()}
        return tuple(corpus for corpus in self.all_corpora if corpus.name in spoken) or self.all_corpora

    @property
    def all_corpora(self) -> tuple[PreparedCorpus, ...]:
        """The corpora, opened, those of babble alone, too."""
        return self.problem.corpora

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """Every utterance of a language by its id: what is of none (zxx, babble) is nothing that languages share."""
        return {id_: entry for id_, entry in self.problem.entries.items() if is_language(entry.language)}

    @property
    def all_entries(self) -> Mapping[str, Entry]:
        """Every utterance by its id, babble too."""
        return self.problem.entries

    @property
    def encoder(self) -> Encoder:
        """The encoder, frozen."""
        return self.problem.encoder

    @cached_property
    def raised(self) -> Raised | None:
        """What the encoder was raised on, as its folder says; ``None`` if nothing is known.

        With drawn weights (``model.random_seed``) it is the untrained twin.
        """
        return raised_of(self.settings.model)

    @property
    def inputs(self) -> tuple[HeadInput, ...]:
        """What the settings' heads read: each layer, or those that ``layer`` names."""
        return self.problem.inputs

    @property
    def labels(self) -> tuple[Label, ...]:
        """What tables call each of these inputs."""
        return self.problem.labels

    @property
    def seed(self) -> int:
        """The seed of splits and of whatever else is drawn."""
        return self.settings.seed

    def corpus_of(self, entry: Entry) -> PreparedCorpus:
        """Return the corpus that an utterance is from."""
        return next(corpus for corpus in self.all_corpora if corpus.name == entry.corpus)

    def rule(self, by: str, **changes: Any) -> SplitRule:
        """Return the rule that holds out languages, speakers, corpora, sentences, labels or cells, as in conf/split.

        Parameters
        ----------
        changes
            Of its arguments.
        """
        simple = by in (*OF_EVERY_UTTERANCE, "sentence")
        return build(_option("split", by if simple else "crossed" if CROSSED in by else "label") | {"by": by} | changes)

    def splits(self, by: str = "language", **changes: Any) -> dict[str, Split]:
        """Return each value that can be held out, with its split."""
        rule, entries = self.rule(by, **changes), list(self.entries.values())
        if not entries:
            raise DoesNotApply(f"corpora={self.settings.corpora}: no utterance is of a language (all are zxx)")
        values = rule.values(entries)
        if len(values) < 2:
            raise DoesNotApply(f"corpora={self.settings.corpora}: there is one {by} only, {values[0]}; nothing is left")
        return {value: rule(entries, value, self.seed) for value in values}

    def targets(self, *sets: Any) -> Targets:
        """Return targets of the corpora, by name or as they are, under the settings' smoothing."""
        return Targets(sets, build(self.settings.ema)).over(self.corpora)

    @cached_property
    def _states(self) -> HiddenStates:
        return self.problem.states(self.device)

    def encode(self) -> None:
        """Encode what is not cached, so that whatever follows only reads."""
        _ = self._states

    def _posed(
        self, targets: Targets | None, inputs: Sequence[HeadInput] | None, features: Sequence[FrameFeatures]
    ) -> tuple[Problem, HiddenStates]:
        """Return the problem of predicting some targets from some inputs, and the states that these read."""
        problem = replace(self.problem, targets=targets or self.problem.targets)
        if inputs is None and not features:
            return problem, self._states
        problem = problem.reading(inputs or self.inputs, features)
        return problem, problem.states(self.device)

    def fit(
        self,
        splits: Sequence[Split],
        targets: Targets | None = None,
        inputs: Sequence[HeadInput] | None = None,
        features: Sequence[FrameFeatures] = (),
        kept_apart: Sequence[Split] = (),
    ) -> list[Fitted]:
        """Fit a head for each input under each split, from one pass over the frames.

        Parameters
        ----------
        targets
            What is predicted; the settings' targets by default.
        inputs
            All equally wide; by default each layer.
        features
            What inputs can read besides layers.
        kept_apart
            Further splits for which the same moments are to do.
        """
        problem, states = self._posed(targets, inputs, features)
        problems = [replace(problem, split=split) for split in splits]
        further = [split for split in splits if not any(split is kept for kept in kept_apart)]
        return fit(problems, states, self.device, [*further, *kept_apart])

    def rows(
        self,
        splits: Sequence[Split],
        inputs: Sequence[HeadInput],
        targets: Targets | None = None,
        features: Sequence[FrameFeatures] = (),
    ) -> dict[Label, list[ScoreRow]]:
        """Return the test scores of each input under some splits, as ``fit`` does, where inputs differ in width."""
        problem, states = self._posed(targets, inputs, features)
        store, rule = self._summed(problem, states, splits), self._ridge(problem)
        divisions = [Division.of(split, store, problem.targets.as_they_are) for split in splits]
        by_input: dict[Label, list[ScoreRow]] = {}
        for read in inputs:
            solved = fit_divisions(store, str(read.label), divisions, rule, self.device)
            by_input[read.label] = [
                row
                for division, (_, scores) in zip(divisions, solved, strict=True)
                for row in scores.rows((read.label,), tuple(division.test), problem.targets.channels)
            ]
        return by_input

    def _ridge(self, problem: Problem) -> Ridge:
        """Return the settings' head, by whose penalties heads of any width are fitted."""
        rule = build(self.settings.head, num_layers=1, width=1, num_channels=len(problem.targets.channels))
        assert isinstance(rule, Ridge)
        return rule

    def moments(
        self,
        splits: Sequence[Split],
        targets: Targets | None = None,
        inputs: Sequence[HeadInput] | None = None,
        features: Sequence[FrameFeatures] = (),
    ) -> MomentStore:
        """Return the moments of the groups that some splits need, as ``fit`` adds them up."""
        problem, states = self._posed(targets, inputs, features)
        return self._summed(problem, states, splits)

    def _summed(self, problem: Problem, states: HiddenStates, splits: Sequence[Split]) -> MomentStore:
        return sum_groups(
            states,
            problem.corpora,
            partition(problem.corpora, splits),
            problem.targets,
            problem.inputs,
            self.settings.paths.cache / "sums",
            self.settings.data,
            self.device,
        )

    def predictions(
        self, fitted: Fitted, ids: Sequence[str], labels: Sequence[Label] | None = None
    ) -> Iterator[Prediction]:
        """Yield what heads read of utterances, frame by frame; of all their inputs, or of those that are named."""
        rows = [fitted.problem.labels.index(label) for label in labels or fitted.problem.labels]
        for id_ in ids:
            times_s, predicted, measured = fitted.read_out(id_)
            yield Prediction(fitted.problem.entries[id_], times_s, predicted[rows], measured)

    def times_s(self, utterance_id: str) -> Float[np.ndarray, " time"]:
        """Return the centres of an utterance's frames, in s from the start of its audio."""
        entry, caches = self.all_entries[utterance_id], self._states.caches
        reader = caches[entry.corpus] if caches else None
        return frame_times_s(entry, self.encoder.geometry, self.encoder.count_frames, reader)

    def states_of(
        self, utterance_id: str, layers: Sequence[int] | None = None
    ) -> Float[np.ndarray, "layer time width"]:
        """Return an utterance's states, float32, of all layers that are read, or of some of these."""
        entry, states = self.all_entries[utterance_id], self._states
        if states.caches is not None:
            values = states.stored(entry.corpus, utterance_id)
        else:
            values = states.encode(torch.from_numpy(self.corpus_of(entry).audio(utterance_id)).to(self.device))
        chosen = [states.layers.index(layer) for layer in (states.layers if layers is None else layers)]
        return values[chosen].float().cpu().numpy()

    def other(self, model: Plain, layer: Any = "all") -> "Bench":
        """Return the same corpora and settings with another encoder."""
        raw = self.settings.raw | {"model": dict(model), "layer": layer}
        return Bench(Settings.of(raw))

    def on(self, corpora: Sequence[PreparedCorpus]) -> "Bench":
        """Return the same encoder on other views of the corpora, such as disturbed ones; splits are the caller's.

        Raises
        ------
        ConfigError
            The states were computed elsewhere, of other audio.
        """
        if self.settings.model.target in names_of("states"):
            label = self.settings.id.model
            raise DoesNotApply(f"{label} is a folder of features: no other audio than the corpora's can be encoded")
        there = {entry.id for corpus in corpora for entry in corpus.entries}
        identity = self.problem.identity | {"corpora": {corpus.name: corpus.content_hash for corpus in corpora}}
        split = self.problem.split.within(there)
        other = copy(self)
        for cached in ("_states", "entries"):
            other.__dict__.pop(cached, None)
        other.problem = replace(self.problem, corpora=tuple(corpora), split=split, identity=identity)
        return other

    def option(self, name: str) -> Plain:
        """Return an encoder's settings as its option in conf/model has them."""
        return _option("model", name)

    def twin(self, seed: int) -> "Bench | None":
        """Return the bench of the encoder's architecture with random weights; ``None`` if it has no weights."""
        argument = _RANDOM.get(self.settings.model.target)
        if argument is None:
            return None
        model = self.settings.model.plain
        about = dict(model.get("about") or {}) | {"training": "none", "languages": [], "hours": 0, "labelled_hours": 0}
        label = f"{self.settings.id.model}_random{seed}"
        return self.other(model | {argument: seed, "about": about, "label": label}, self.settings.layer)


def is_validated(fitted: Fitted) -> bool:
    """Whether a layer can be chosen by validation, or need not be."""
    r = fitted.report["best_validation_r"]
    return len(r) == 1 or any(value is not None for value in r)


def chosen_layer(fitted: Fitted) -> Label:
    """Return the input that validation finds best, the first of equals; ConfigError where nothing was validated."""
    if not is_validated(fitted):
        raise ConfigError("too few speakers and sentences to choose a layer by validation: give layer=<number>")
    r = fitted.report["best_validation_r"]
    defined = [(value, -place) for place, value in enumerate(r) if value is not None]
    return fitted.problem.labels[-max(defined)[1]] if defined else fitted.problem.labels[0]


def _problem(settings: Settings) -> Problem:
    """Return the problem of the first value that can be held out; where there is only one, that of new sentences."""
    first, *_ = each_held_out(settings)
    try:
        return Problem.of(first)
    except ConfigError as error:
        if "nothing to learn from" not in str(error):
            raise
    kept = {name: settings.split.arguments[name] for name in ("disjoint_text",)}
    by_sentence = Node.of("split", _option("split", "sentence") | kept | {"folds": 2})
    return Problem.of(replace(first, split=by_sentence, held_out="fold0"))


def _option(group: str, name: str) -> Plain:
    file = conf_dir() / group / f"{name}.yaml"
    if not file.is_file():
        raise ConfigError(f"{group}={name}: there is no such option")
    loaded = OmegaConf.load(file)
    return plain(loaded)  # type: ignore[arg-type]
