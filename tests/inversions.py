"""Lightning modules on a data module, without a run around them."""

from collections.abc import Sequence
from typing import Any

from tractprobe.data.datamodule import EmaData
from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.layers import Layers
from tractprobe.probes.gradient.inversion import Inversion, TrainingPolicy
from tractprobe.probes.gradient.truth import Truths, View
from tractprobe.probes.heads import Head
from tractprobe.probes.states import HeadInput, HiddenStates


def truths(data: EmaData, heads: int) -> Truths:
    """Return the truth of the data's own split."""
    speakers = {id_: entry.speaker for id_, entry in data.entries.items()}
    return Truths([View(data.split, data.scales())], speakers, heads)


def inversion(
    encoder: Encoder, head: Head, data: EmaData, read: Sequence[Layers], *, identity: str = "", **training: Any
) -> Inversion:
    """Return a module whose heads read some layers each."""
    return Inversion(
        HiddenStates(encoder, data.layers, "float16", data.states),
        head,
        inputs=[HeadInput.of(layers) for layers in read],
        truths=truths(data, len(read)),
        groups=data.groups,
        targets=data.targets,
        training=TrainingPolicy(**training),
        identity=identity,
    )
