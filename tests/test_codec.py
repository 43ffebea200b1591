"""Codecs as encoders: latents and codebooks are those of an untouched codec, frames lie where they are decoded to."""

import numpy as np
import pytest
import torch
from transformers import AutoModel, DacConfig, EncodecConfig, MimiConfig

from tractprobe.encoders.codec import Codec
from tractprobe.encoders.frames import FrameGeometry
from tractprobe.encoders.pretrained import pretrained
from tractprobe.inversion.export import frames_of
from tractprobe.system.errors import EncoderError, RunError

CONFIGS = {
    "mimi": lambda: MimiConfig(
        num_filters=4, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, head_dim=16,
        intermediate_size=32, codebook_size=16, codebook_dim=16, num_quantizers=4,
        vector_quantization_hidden_dimension=16, upsample_groups=32,
    ),
    "encodec": lambda: EncodecConfig(
        num_filters=4, hidden_size=16, codebook_size=16, codebook_dim=16, target_bandwidths=[1.2]
    ),
    "dac": lambda: DacConfig(
        encoder_hidden_size=4, decoder_hidden_size=32, codebook_size=16, codebook_dim=4, n_codebooks=3,
        downsampling_ratios=[2, 4, 5, 8], upsampling_ratios=[8, 5, 4, 2],
    ),
}  # fmt: skip


def model_of(kind: str):
    """A small codec whose codebooks hold something: those of untrained ones are empty."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = AutoModel.from_config(CONFIGS[kind]())
        for name, buffer in model.named_buffers():
            if name.endswith(("codebook.embed", "codebook.embed_sum")):
                buffer.normal_()
            if name.endswith("cluster_usage"):
                buffer.fill_(1.0)
    return model.eval()


@pytest.fixture(scope="module", params=list(CONFIGS))
def codec(request) -> Codec:
    return Codec(model_of(request.param), request.param, {})


@pytest.fixture(scope="module")
def wave() -> torch.Tensor:
    return torch.randn(16_123, generator=torch.Generator().manual_seed(0)) * 0.1


def test_states_are_the_latents_and_what_each_depth_decodes_to(codec: Codec, wave: torch.Tensor):
    (states,) = codec([wave])
    assert states.shape == (codec.depth + 1, codec.count_frames(len(wave)), codec.width)
    model, kind = codec.model, codec.model.config.model_type
    samples = torch.from_numpy(codec._resampled(wave.numpy()))[None, None]
    with torch.no_grad():
        if kind == "dac":
            latents = model.encoder(samples)
            decoded = [model.quantizer(latents, n_quantizers=depth)[0] for depth in range(1, 4)]
        elif kind == "mimi":
            latents = model.encoder(samples).latents
            codes = [model.encode(samples, num_quantizers=depth).audio_codes for depth in range(1, 5)]
            decoded = [model.quantizer.decode(each) for each in codes]
        else:
            latents = model.encoder(samples)
            codes = model.encode(samples, bandwidth=1.2).audio_codes[0]
            decoded = [model.quantizer.decode(codes.transpose(0, 1))]
    expected = torch.stack([latents, *decoded])[:, 0].transpose(1, 2)
    depths = [0, *range(1, codec.depth + 1)] if kind != "encodec" else [0, codes.shape[1]]
    np.testing.assert_allclose(states[depths].numpy(), expected.numpy(), atol=1e-5)


def test_tokens_are_transformers_own(codec: Codec, wave: torch.Tensor):
    samples = torch.from_numpy(codec._resampled(wave.numpy()))[None, None]
    with torch.no_grad():
        output = codec.model.encode(samples)
    codes = output.audio_codes.reshape(-1, *output.audio_codes.shape[-2:])[-1]
    own = codec.tokens(wave)
    np.testing.assert_array_equal(own[: len(codes)].numpy(), codes.numpy())


def test_each_further_codebook_comes_closer_to_the_latents(wave: torch.Tensor):
    codec = Codec(model_of("encodec"), "encodec", {})
    (states,) = codec([wave])
    assert states[1:].flatten(1).std(dim=1).min() > 0  # codebooks hold something
    same = codec.tokens(wave)
    assert same.shape == (codec.depth, states.shape[1]) and same.unique().numel() > 3


def test_frames_lie_in_the_middle_of_what_they_are_decoded_to(codec: Codec):
    hop_s = codec.hop / codec.rate_hz
    times = codec.geometry.times_s(5)
    np.testing.assert_allclose(times, (np.arange(5) + 0.5) * hop_s - 0.5 / codec.rate_hz, atol=1e-9)
    assert codec.count_frames(0) == 0 and codec.count_frames(1) == 1
    assert codec.count_frames(16_000) == -(-codec.rate_hz // codec.hop)


def test_a_wave_is_encoded_the_same_whatever_stands_beside_it(codec: Codec, wave: torch.Tensor):
    alone, beside = codec([wave])[0], codec([wave[:9000], wave])[1]
    assert torch.equal(alone, beside)


def test_fewer_codebooks_are_the_same_to_the_bit(wave: torch.Tensor):
    whole = Codec(model_of("mimi"), "mimi", {})([wave])[0]
    cut = Codec(model_of("mimi"), "mimi", {}).truncate(2)
    assert torch.equal(cut([wave])[0], whole[:3]) and cut.identity["deepest"] == 2


def test_a_codec_of_symmetric_convolutions_agrees_with_their_centre():
    from tractprobe.encoders.frames import Convolution

    stack = [Convolution(7, 1, 3)]
    for stride in (2, 4, 8):  # even: padding is half the stride
        stack += [Convolution(2 * stride, stride, stride // 2)]
    stack += [Convolution(3, 1, 1)]
    by_field = FrameGeometry.of(stack)
    assert by_field.stride == 64 and by_field.first == (64 - 1) / 2


def test_a_head_file_takes_frames_that_lie_on_samples():
    frames = {kind: Codec(model_of(kind), kind, {}).geometry for kind in CONFIGS}
    assert frames_of(frames["mimi"], "mimi")["stride"] == 1280 and frames_of(frames["dac"], "dac")["stride"] == 320
    with pytest.raises(RunError, match=r"213\.33 samples"):
        frames_of(frames["encodec"], "encodec")


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_codecs_are_read_from_folders_as_other_models_are(kind: str, tmp_path, wave: torch.Tensor):
    model = model_of(kind)
    model.save_pretrained(tmp_path)
    loaded = pretrained(str(tmp_path), label=kind)
    assert isinstance(loaded, Codec)
    assert torch.equal(loaded([wave])[0], Codec(model, kind, {})([wave])[0])


def test_a_preprocessor_of_another_rate_is_refused(tmp_path):
    from transformers import EncodecFeatureExtractor

    model_of("encodec").save_pretrained(tmp_path)
    EncodecFeatureExtractor(sampling_rate=48_000).save_pretrained(tmp_path)
    with pytest.raises(EncoderError, match="sampling_rate"):
        pretrained(str(tmp_path))


def test_codecs_of_normalised_chunks_are_refused():
    model = AutoModel.from_config(
        EncodecConfig(num_filters=4, hidden_size=16, codebook_size=16, codebook_dim=16, normalize=True)
    )
    with pytest.raises(EncoderError, match="24 kHz"):
        Codec(model, "encodec", {})
