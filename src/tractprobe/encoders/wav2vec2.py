"""Encoders of the wav2vec 2.0 family as transformers has them: HuBERT, WavLM, data2vec-audio, UniSpeech too."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from tractprobe.encoders import Encoder, States, Wave
from tractprobe.encoders.execution import Execution
from tractprobe.encoders.padding import Padding
from tractprobe.errors import EncoderError
from tractprobe.frames import Convolution, FrameGeometry, count_frames

FAMILY = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat", "wav2vec2-conformer")
_VARIANCE_FLOOR = 1e-7


class Wav2Vec2(Encoder):
    """A model of the family, frozen.

    ``normalise`` says whether waves are brought to zero mean and unit variance first, as the model was trained to
    expect (``do_normalize`` of its preprocessor).
    """

    def __init__(
        self,
        model: nn.Module,
        label: str,
        normalise: bool,
        identity: dict[str, Any],
        execution: Execution = Execution(),  # noqa: B008 (frozen)
    ):
        config: Any = model.config
        if getattr(config, "add_adapter", False):
            raise EncoderError("a model with an adapter on top, whose last layer has a frame rate of its own")
        stack = [
            Convolution(kernel, stride) for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True)
        ]
        geometry = FrameGeometry.of(stack)
        identity = identity | {"normalise": normalise} | execution.identity
        super().__init__(label, config.num_hidden_layers + 1, config.hidden_size, geometry, identity)
        self.model: Any = model
        self.stack, self.normalise, self.dtype = stack, normalise, execution.torch_dtype
        self.padding = Padding(model, stack)
        execution.apply(model, self.model.encoder.layers)
        self.freeze()

    def count_frames(self, num_samples: int) -> int:
        return count_frames(self.stack, num_samples)

    def encode(self, waves: Sequence[Wave]) -> list[States]:
        for wave in waves:
            if not self.count_frames(len(wave)):
                raise EncoderError(f"{len(wave)} samples are fewer than the {self.geometry.field} of one frame")
        waves = [_standardise(wave) for wave in waves] if self.normalise else list(waves)
        lengths = [len(wave) for wave in waves]
        padded = nn.utils.rnn.pad_sequence(waves, batch_first=True)
        ends = torch.tensor(lengths, device=padded.device)[:, None]
        mask = torch.arange(padded.shape[1], device=padded.device) < ends if len(set(lengths)) > 1 else None
        with self.padding.of(lengths):
            output = self.model(padded.to(self.dtype), attention_mask=mask, output_hidden_states=True)
        layers = torch.stack([*(output.hidden_states or ())[: self.num_layers - 1], output.last_hidden_state]).float()
        return [layers[:, index, : self.count_frames(length)] for index, length in enumerate(lengths)]

    def _cut(self, blocks: int) -> None:
        encoder = self.model.encoder
        encoder.layers = encoder.layers[:blocks]
        config = self.model.config
        if getattr(config, "do_stable_layer_norm", False) or config.model_type == "wav2vec2-conformer":
            encoder.layer_norm = nn.Identity()  # it comes behind the last block; in other models before the first


def _standardise(wave: Wave) -> Wave:
    return (wave - wave.mean()) / torch.sqrt(wave.var(unbiased=False) + _VARIANCE_FLOOR)
