"""w2v-BERT 2.0: a conformer on pairs of filter-bank frames."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from tractprobe.encoders.encoder import Encoder, States, Wave
from tractprobe.encoders.execution import Execution
from tractprobe.encoders.frames import Convolution, FrameGeometry, count_frames
from tractprobe.signals.audio import RATE_HZ
from tractprobe.signals.pieces import RunningCovariance, overlapping
from tractprobe.system.errors import EncoderError

# Kaldi's filter bank, 25 ms every 10 ms without padding, then two frames concatenated.
_STACK = [Convolution(400, 160), Convolution(2, 2)]
_VARIANCE_FLOOR = 1e-7
_SURVEYED = 1 << 10


class W2vBert(Encoder):
    """A frozen w2v-BERT. Its extractor brings each filter to zero mean and unit variance over the wave.

    Its convolutions are causal and its attention is masked, so padding has no effect.
    """

    def __init__(
        self,
        model: nn.Module,
        extractor: Any,
        label: str,
        identity: dict[str, Any],
        execution: Execution = Execution(),  # noqa: B008 (frozen)
    ):
        config: Any = model.config
        if config.add_adapter or config.use_intermediate_ffn_before_adapter:
            raise EncoderError("the model has an adapter, so its last layer has a different frame rate: not supported")
        geometry = FrameGeometry.of(_STACK)
        super().__init__(
            label, config.num_hidden_layers + 1, config.hidden_size, geometry, identity | execution.identity
        )
        self.model: Any = model
        self.extractor, self.dtype = extractor, execution.torch_dtype
        execution.apply(model, self.model.encoder.layers)
        self.freeze()

    def count_frames(self, num_samples: int) -> int:
        return count_frames(_STACK, num_samples)

    def encode(self, waves: Sequence[Wave]) -> list[States]:
        return self._states(waves, None)

    def survey(self, blocks: Iterable[Wave]) -> RunningCovariance:
        """Read a wave once to get mean and variance of each filter over the whole."""
        spectra, filters = _STACK[0], RunningCovariance.none(self.extractor.num_mel_bins)
        for piece, own_frames in overlapping(blocks, _SURVEYED, 0, spectra.stride, spectra.kernel):
            extracted = self.extractor(
                [piece.numpy()], sampling_rate=RATE_HZ, return_tensors="pt", do_normalize_per_mel_bins=False
            )
            frames = extracted.input_features[0].unflatten(1, (2, -1)).flatten(0, 1)
            frames = frames[: count_frames([spectra], len(piece))]  # the extractor pads an odd number of frames
            filters = filters.of_more(frames[own_frames])
        return filters

    def encode_piece(self, wave: Wave, whole: RunningCovariance) -> States:
        return self._states([wave], whole)[0]

    def _states(self, waves: Sequence[Wave], whole: RunningCovariance | None) -> list[States]:
        counts = [self.count_frames(len(wave)) for wave in waves]
        if not all(counts):
            shortest = min(len(wave) for wave in waves)
            raise EncoderError(f"{shortest} samples are fewer than the {self.geometry.field} of one frame")
        extracted = self.extractor(
            [wave.cpu().numpy() for wave in waves],
            sampling_rate=RATE_HZ,
            return_tensors="pt",
            do_normalize_per_mel_bins=whole is None,
        )
        spectra = extracted.input_features
        if whole is not None:
            variance = whole.scatter.diagonal() / (whole.count - 1)
            mean, sd = whole.mean.repeat(2), torch.sqrt(variance + _VARIANCE_FLOOR).repeat(2)
            spectra = ((spectra - mean) / sd).float()
        output = self.model(
            spectra.to(waves[0].device, self.dtype),
            attention_mask=extracted.attention_mask.to(waves[0].device),
            output_hidden_states=True,
            return_dict=True,
        )
        layers = torch.stack([*(output.hidden_states or ())[: self.num_layers - 1], output.last_hidden_state]).float()
        return [layers[:, index, :count] for index, count in enumerate(counts)]

    def _cut(self, blocks: int) -> None:
        self.model.encoder.layers = self.model.encoder.layers[:blocks]
