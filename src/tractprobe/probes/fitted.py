"""Fitted heads: what was learned for a problem, how it scores, and what it predicts for any wave."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.data.batches import frame_times_s
from tractprobe.data.features import side_by_side_at
from tractprobe.data.scales import SpeakerScale
from tractprobe.encoders.encoder import Wave
from tractprobe.encoders.layers import Label
from tractprobe.probes.heads import Head
from tractprobe.probes.problem import Problem
from tractprobe.probes.states import HiddenStates
from tractprobe.runs.building import build
from tractprobe.runs.head_store import packed, read_checked
from tractprobe.runs.result import FitReport, ScoreRow
from tractprobe.system.errors import ConfigError, RunError, first_line
from tractprobe.system.files import atomic

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Fitted:
    """Heads that were fitted to a problem, one for each of its inputs.

    Attributes
    ----------
    scales
        Mean and deviation that each speaker's targets were standardised by.
    report
        What was chosen on the validation part.
    score
        Returns the test set's scores, one row for each input, speaker and channel.
    """

    problem: Problem
    states: HiddenStates
    head: Head
    scales: Mapping[str, SpeakerScale]
    report: FitReport
    score: Callable[[], list[ScoreRow]]

    def rows(self) -> list[ScoreRow]:
        """Return the test set's scores; RunError if there are none."""
        rows = self.score()
        if not rows:
            raise RunError("no frame of the test set has a target; check targets and split")
        return rows

    def predict(self, wave: Wave) -> Float[Tensor, "head time channel"]:
        """Return what each head predicts for a 16 kHz wave, in standard deviations from a speaker's mean.

        Frame k is centred at ``problem.encoder.geometry.times_s``; ``in_units`` gives the channels' units.

        Raises
        ------
        RunError
            The heads also read features that a wave alone does not give.
        """
        if self.states.features:
            names = ", ".join(self.states.features)
            raise RunError(f"the heads also read {names}, which a wave alone does not give; see example")
        return self._read_out(self.states.encode(wave.to(_device(self.states.encoder))))

    @torch.no_grad()
    def _read_out(
        self,
        states: Shaped[Tensor, "layer time width"],
        features: Float[Tensor, "time width_of_features"] | None = None,
    ) -> Float[Tensor, "head time channel"]:
        device = _device(self.head)
        features = None if features is None else features[None].to(device)
        read = self.states.read_by(self.head, self.problem.inputs, states[:, None].to(device), features)
        return self.head.eval()(read)[:, 0]

    def in_units(self, standardised: Float[Tensor, "*any channel"], speaker: str) -> Float[np.ndarray, "*any channel"]:
        """Return predictions in the channels' units, with the mean and deviation of a speaker of the problem."""
        scale = self.scales[speaker]
        return standardised.cpu().double().numpy() * scale.sd + scale.mean

    def example(self, utterance_id: str, label: Label) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return frame times in s, predictions and truth (time, channel) in the channels' units, NaN where unknown."""
        times_s, predicted, measured = self.read_out(utterance_id)
        return times_s, predicted[self.problem.labels.index(label)], measured

    def read_out(
        self, utterance_id: str
    ) -> tuple[Float[np.ndarray, " time"], Float[np.ndarray, "head time channel"], Float[np.ndarray, "time channel"]]:
        """Return frame times in s, what heads predict, and the truth, in the channels' units, NaN where unknown."""
        problem = self.problem
        entry = problem.entries[utterance_id]
        (corpus,) = (corpus for corpus in problem.corpora if corpus.name == entry.corpus)
        encoder, reader = problem.encoder, self.states.caches[corpus.name] if self.states.caches else None
        times_s = frame_times_s(entry, encoder.geometry, encoder.count_frames, reader)
        states = self._states(corpus, entry, len(times_s))
        features = side_by_side_at(tuple(self.states.features.values()), corpus, entry, times_s)
        read = torch.from_numpy(features).nan_to_num() if self.states.features else None
        in_units = self.in_units(self._read_out(states, read), entry.speaker)
        in_units[:, np.isnan(features).any(axis=1)] = np.nan
        return times_s, in_units, problem.targets.at(corpus, entry, times_s)

    def _states(self, corpus: PreparedCorpus, entry: Entry, frames: int) -> Shaped[Tensor, "layer time width"]:
        states = self.states
        if not states.layers:
            return states.none(frames)
        if states.caches is not None:
            return states.stored(corpus.name, entry.id)
        return states.encode(torch.from_numpy(corpus.audio(entry.id)).to(_device(states.encoder)))

    def examples(self, most: int) -> list[str]:
        """Return the first test utterance of each of the first speakers, always the same."""
        entries, test = self.problem.entries, self.problem.split.test
        by_speaker = {entries[id_].speaker: id_ for id_ in sorted(test, reverse=True)}
        return [by_speaker[speaker] for speaker in sorted(by_speaker)[:most]]

    def scaled_by_own_test_frames(self) -> list[str]:
        """Return the speakers whose means and scales come, at least in part, from their own test frames."""
        return sorted(name for name, scale in self.scales.items() if scale.from_test.any())

    def plain_scales(self) -> dict[str, Any]:
        """Return the scales that turn each speaker's predictions into units; None for a channel that cannot be used."""
        speakers = {name: scale.plain() for name, scale in sorted(self.scales.items())}
        return {"channels": [channel.name for channel in self.problem.targets.channels], "speakers": speakers}

    def save_heads(self, path: Path) -> str:
        """Write the heads with their channels, unit, inputs and identity; return the SHA-256 of the file."""
        weights = {name: value.detach().cpu().contiguous() for name, value in self.head.state_dict().items()}
        content = packed(weights, _card(self.problem))
        with atomic(path) as temporary:
            temporary.write_bytes(content)
        return hashlib.sha256(content).hexdigest()


def new_head(problem: Problem, problems: int = 1) -> Head:
    """Return untrained heads for some problems that differ in their splits only."""
    node, first = problem.settings.head, problem.inputs[0]
    if problem.combines_layers:
        if first.features:
            raise ConfigError(
                f"a head that adds up layers cannot read {', '.join(first.features)}; choose another head"
            )
        count, width = len(first.layers), problem.encoder.width
    else:
        count, width = len(problem.inputs) * problems, _width(problem)
    return build(node, num_layers=count, width=width, num_channels=len(problem.targets.channels))


def _width(problem: Problem) -> int:
    """Return how wide each input is; ConfigError if they differ, as heads of one bank cannot."""
    widths = {read.label: read.width(problem.encoder, problem.features) for read in problem.inputs}
    if len(set(widths.values())) > 1:
        each = ", ".join(f"{name}: {width}" for name, width in widths.items())
        raise ConfigError(f"inputs of one problem must be equally wide, not {each}; fit them one after another")
    return next(iter(widths.values()))


def load_heads(problem: Problem, path: Path, recorded: str | None = None) -> Head:
    """Read the heads of a finished run; RunError if the file is not theirs, or is damaged.

    Parameters
    ----------
    recorded
        The file's SHA-256 in ``result.json``.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    head, again = new_head(problem), "remove the folder to fit them again"
    try:
        content, card, vouched = read_checked(path, recorded)
        head.load_state_dict(load(content))
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise RunError(f"{path}: not the heads of this run ({first_line(error)}); {again}") from None
    if card != json.loads(json.dumps(_card(problem))):
        raise RunError(f"{path}: the heads of another run, as their channels, layers or identity say; {again}")
    if not vouched:
        log.info("%s was written by an earlier version, without a checksum: damage would not be noticed", path)
    return head


def _card(problem: Problem) -> dict[str, Any]:
    channels = problem.targets.channels
    return {
        "channels": [channel.name for channel in channels],
        "units": [channel.unit for channel in channels],
        "target": "standardised per speaker",
        "layers": list(problem.labels),
        "identity": problem.own_identity,
    }


def _device(module: nn.Module) -> torch.device:
    return next((tensor.device for tensor in chain(module.parameters(), module.buffers())), torch.device("cpu"))
