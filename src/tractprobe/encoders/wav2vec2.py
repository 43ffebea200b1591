"""Encoders of the wav2vec 2.0 family in transformers, including HuBERT, WavLM, data2vec-audio and UniSpeech."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tractprobe.encoders.encoder import Encoder, States, Wave
from tractprobe.encoders.execution import Execution
from tractprobe.encoders.frames import Convolution, FrameGeometry, count_frames
from tractprobe.encoders.padding import Padding, Statistics
from tractprobe.signals.pieces import RunningCovariance, overlapping
from tractprobe.system.errors import EncoderError

FAMILY = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat", "wav2vec2-conformer")
_VARIANCE_FLOOR = 1e-7
_SURVEYED = 1 << 15


@dataclass(frozen=True)
class Whole:
    """Statistics of a whole wave that the model needs: of its samples, and of the first convolution's output.

    Attributes
    ----------
    mean, sd
        Of the samples; 0 and 1 if the model does not expect standardised waves.
    channels
        Mean and variance of each channel of the first convolution, for standardised samples; ``None`` for a model
        without a group norm.
    """

    mean: float
    sd: float
    channels: Statistics | None


class Wav2Vec2(Encoder):
    """A frozen model of the family.

    ``normalise`` says whether waves are first brought to zero mean and unit variance, as the model was trained to
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
            raise EncoderError("the model has an adapter, so its last layer has a different frame rate: not supported")
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
        return self._states([_standardise(wave) for wave in waves] if self.normalise else list(waves))

    def survey(self, blocks: Iterable[Wave]) -> Whole | None:
        """Read a wave once to get the statistics of the whole.

        Because the first convolution is linear, mean and variance of its channels follow from mean and covariance
        (kernel x kernel) of the windows that it sees.
        """
        if not self.normalise and not self.padding.normed:
            return None
        kernel, stride = self.stack[0].kernel, self.stack[0].stride
        samples, windows = RunningCovariance.none(1), RunningCovariance.none(kernel)

        def counted() -> Iterator[Wave]:
            nonlocal samples
            for block in blocks:
                samples = samples.of_more(block[:, None])
                yield block

        for piece, own_frames in overlapping(counted(), _SURVEYED, 0, stride, kernel):
            windows = windows.of_more(piece.unfold(0, kernel, stride)[own_frames])
        mean, sd = 0.0, 1.0
        if self.normalise:
            mean, sd = float(samples.mean), float(torch.sqrt(samples.covariance + _VARIANCE_FLOOR))
        return Whole(mean, sd, self._channels(windows, mean, sd) if self.padding.normed else None)

    def _channels(self, windows: RunningCovariance, mean: float, sd: float) -> Statistics:
        first = self.model.feature_extractor.conv_layers[0].conv
        weight = first.weight[:, 0].cpu().double()
        means = weight @ ((windows.mean - mean) / sd)
        if first.bias is not None:
            means = means + first.bias.cpu().double()
        return means, ((weight @ windows.covariance) * weight).sum(dim=1) / sd**2

    def encode_piece(self, wave: Wave, whole: Whole) -> States:
        with self.padding.within(whole.channels):
            return self._states([(wave - whole.mean) / whole.sd])[0]

    def _states(self, waves: list[Wave]) -> list[States]:
        lengths = [len(wave) for wave in waves]
        padded = nn.utils.rnn.pad_sequence(waves, batch_first=True)
        ends = torch.tensor(lengths, device=padded.device)[:, None]
        mask = torch.arange(padded.shape[1], device=padded.device) < ends if len(set(lengths)) > 1 else None
        with self.padding.of(lengths):
            output = self.model(padded.to(self.dtype), attention_mask=mask, output_hidden_states=True, return_dict=True)
        layers = torch.stack([*(output.hidden_states or ())[: self.num_layers - 1], output.last_hidden_state]).float()
        return [layers[:, index, : self.count_frames(length)] for index, length in enumerate(lengths)]

    def _cut(self, blocks: int) -> None:
        encoder = self.model.encoder
        encoder.layers = encoder.layers[:blocks]
        config = self.model.config
        if getattr(config, "do_stable_layer_norm", False) or config.model_type == "wav2vec2-conformer":
            encoder.layer_norm = nn.Identity()  # it follows the last block; in other models it precedes the first


def _standardise(wave: Wave) -> Wave:
    return (wave - wave.mean()) / torch.sqrt(wave.var(unbiased=False) + _VARIANCE_FLOOR)
