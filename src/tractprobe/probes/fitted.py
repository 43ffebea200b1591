"""Fitted heads: what was learned for a problem, how it scores, and what it predicts for any wave."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from tractprobe.data.datamodule import frame_times_s
from tractprobe.data.scales import SpeakerScale
from tractprobe.encoders.encoder import Wave
from tractprobe.encoders.layers import Label
from tractprobe.probes.heads import Head
from tractprobe.probes.problem import Problem
from tractprobe.probes.states import HiddenStates, read_by_heads
from tractprobe.runs.building import build
from tractprobe.runs.result import FitReport, ScoreRow
from tractprobe.system.errors import RunError, first_line
from tractprobe.system.files import atomic


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
            raise RunError("not one frame of the test set has a target")
        return rows

    def predict(self, wave: Wave) -> Float[Tensor, "head time channel"]:
        """Return what each head predicts for a 16 kHz wave, in standard deviations from a speaker's mean.

        Frame k is centred at ``problem.encoder.geometry.times_s``; ``in_units`` gives the channels' units.
        """
        return self._read_out(self.states.encode(wave.to(_device(self.states.encoder))))

    @torch.no_grad()
    def _read_out(self, states: Shaped[Tensor, "layer time width"]) -> Float[Tensor, "head time channel"]:
        states = states[:, None].to(_device(self.head))
        return self.head.eval()(read_by_heads(states, self.states.layers, self.head, self.problem.inputs))[:, 0]

    def in_units(self, standardised: Float[Tensor, "*any channel"], speaker: str) -> Float[np.ndarray, "*any channel"]:
        """Return predictions in the channels' units, with the mean and deviation of a speaker of the problem."""
        scale = self.scales[speaker]
        return standardised.cpu().double().numpy() * scale.sd + scale.mean

    def example(self, utterance_id: str, label: Label) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return frame times in s, predictions and truth (time, channel) in the channels' units, NaN where unknown."""
        problem = self.problem
        entry = problem.entries[utterance_id]
        (corpus,) = (corpus for corpus in problem.corpora if corpus.name == entry.corpus)
        encoder, reader = problem.encoder, self.states.caches[corpus.name] if self.states.caches else None
        times_s = frame_times_s(entry, encoder.geometry, encoder.count_frames, reader)
        if reader is None:
            predicted = self.predict(torch.from_numpy(corpus.audio(entry.id)))
        else:
            cached = reader.read(entry.id, self.states.layers)
            predicted = self._read_out(torch.from_numpy(cached))
        in_units = self.in_units(predicted[problem.labels.index(label)], entry.speaker)
        return times_s, in_units, problem.targets.at(corpus, entry, times_s)

    def examples(self, most: int) -> list[str]:
        """Return the first test utterance of each of the first speakers, always the same."""
        entries, test = self.problem.entries, self.problem.split.test
        by_speaker = {entries[id_].speaker: id_ for id_ in sorted(test, reverse=True)}
        return [by_speaker[speaker] for speaker in sorted(by_speaker)[:most]]

    def scaled_by_own_test_frames(self) -> list[str]:
        """Return the speakers whose means and scales come, at least in part, from their own test frames."""
        return sorted(name for name, scale in self.scales.items() if scale.from_test.any())

    def plain_scales(self) -> dict[str, Any]:
        """Return what each speaker's numbers in units were made with; None for a channel that cannot be used."""
        known = {name: scale.plain() for name, scale in sorted(self.scales.items())}
        return {"channels": [channel.name for channel in self.problem.targets.channels], "speakers": known}

    def save_heads(self, path: Path) -> None:
        """Write the heads with their channels, unit, inputs and identity."""
        from safetensors.torch import save

        weights = {name: value.detach().cpu().contiguous() for name, value in self.head.state_dict().items()}
        with atomic(path) as temporary:
            temporary.write_bytes(save(weights, metadata={"tractprobe": json.dumps(_card(self.problem))}))


def new_head(problem: Problem, problems: int = 1) -> Head:
    """Return the heads of some problems that are alike, before they have learned anything."""
    node, layers, width = problem.settings.head, len(problem.inputs[0].layers), problem.encoder.width
    if problem.combines_layers:
        count = layers
    else:
        count, width = len(problem.inputs) * problems, width * layers  # side by side
    return build(node, num_layers=count, width=width, num_channels=len(problem.targets.channels))


def load_heads(problem: Problem, path: Path) -> Head:
    """Read the heads of a finished run; RunError if the file is not theirs."""
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    head = new_head(problem)
    try:
        with safe_open(path, "pt") as file:
            card = json.loads((file.metadata() or {}).get("tractprobe", "null"))
        head.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise RunError(f"{path}: not the heads of this run: {first_line(error)}") from None
    if card != json.loads(json.dumps(_card(problem))):
        raise RunError(f"{path}: the heads of another run, by the channels, layers and identity that they name")
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
