"""Encoders of the wav2vec 2.0 family as transformers has them: HuBERT, WavLM, data2vec-audio, UniSpeech too."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from tractprobe.encoders import Encoder, States, Wave
from tractprobe.errors import EncoderError
from tractprobe.frames import Convolution, FrameGeometry

FAMILY = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat", "wav2vec2-conformer")
_VARIANCE_FLOOR = 1e-7

# Where padding is known not to be heard (tested); in all others waves never share a pass. It is heard by group norm,
# whose statistics span the padded length, by data2vec's stack of positional convolutions and by the conformer's.
_PADDABLE = ("wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat")


class Wav2Vec2(Encoder):
    """A model of the family, frozen.

    ``normalise`` says whether waves are brought to zero mean and unit variance first, as the model was trained to
    expect (``do_normalize`` of its preprocessor).
    """

    def __init__(self, model: nn.Module, label: str, normalise: bool, identity: dict[str, Any]):
        config: Any = model.config
        if getattr(config, "add_adapter", False):
            raise EncoderError("a model with an adapter on top, whose last layer has a frame rate of its own")
        stack = [
            Convolution(kernel, stride) for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True)
        ]
        geometry = FrameGeometry.of(stack)
        super().__init__(label, config.num_hidden_layers + 1, config.hidden_size, geometry, identity)
        self.model: Any = model
        self.stack, self.normalise = stack, normalise
        self.pads = config.model_type in _PADDABLE and _only_layer_norms(config)
        self.freeze()

    def count_frames(self, num_samples: int) -> int:
        for layer in self.stack:
            num_samples = max(0, (num_samples - layer.kernel) // layer.stride + 1)
        return num_samples

    def encode(self, waves: Sequence[Wave]) -> list[States]:
        for wave in waves:
            if not self.count_frames(len(wave)):
                raise EncoderError(f"{len(wave)} samples are fewer than the {self.geometry.field} of one frame")
        waves = [_standardise(wave) for wave in waves] if self.normalise else list(waves)
        if self.pads:
            return self._together(waves)
        return [states for wave in waves for states in self._together([wave])]

    def _together(self, waves: Sequence[Wave]) -> list[States]:
        padded = nn.utils.rnn.pad_sequence(list(waves), batch_first=True)
        lengths = torch.tensor([len(wave) for wave in waves], device=padded.device)
        mask = torch.arange(padded.shape[1], device=padded.device) < lengths[:, None] if len(waves) > 1 else None
        output = self.model(padded, attention_mask=mask, output_hidden_states=True)
        layers = torch.stack([*output.hidden_states[: self.num_layers - 1], output.last_hidden_state])
        return [layers[:, index, : self.count_frames(len(wave))] for index, wave in enumerate(waves)]


def _only_layer_norms(config: Any) -> bool:
    return config.feat_extract_norm == "layer" and not getattr(config, "conv_pos_batch_norm", False)


def _standardise(wave: Wave) -> Wave:
    return (wave - wave.mean()) / torch.sqrt(wave.var(unbiased=False) + _VARIANCE_FLOOR)
