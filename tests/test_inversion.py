"""Audio of any length to movements: pieces, rates, and what is no audio."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import real
from head_files import RATE_HZ, about_of, noise, random_ridge

from tractprobe.data.scales import SpeakerScale
from tractprobe.encoders.mel import LogMel
from tractprobe.encoders.untrained import untrained
from tractprobe.inversion.head_file import HeadFile, read_head, write_head
from tractprobe.inversion.inverter import Inverter, load_head
from tractprobe.probes.heads.mlp import Mlp
from tractprobe.signals.audio import resampled
from tractprobe.signals.pieces import overlapping
from tractprobe.signals.track import Track
from tractprobe.system.errors import EncoderError, HeadError


@pytest.mark.parametrize(("core", "reach", "step", "seen"), [(10, 3, 4, 7), (10, 0, 1, 1), (5, 20, 3, 5), (1, 0, 7, 9)])
@pytest.mark.parametrize("block", [1, 13, 5000])
def test_overlapping_pieces_have_each_frame_once(core: int, reach: int, step: int, seen: int, block: int):
    stream = torch.arange(1003)
    frames = stream.unfold(0, seen, step).sum(dim=1)
    found, longest = [], 0
    for piece, own in overlapping(stream.split(block), core, reach, step, seen):
        found.append(piece.unfold(0, seen, step).sum(dim=1)[own])
        longest = max(longest, len(piece))
    assert torch.equal(torch.cat(found), frames)
    assert longest < (core + 2 * reach + core) * step + seen


@pytest.mark.parametrize("settings", [{"context": 2}, {"context": 0, "deltas": 2}, {"window_s": 0.3, "every": 3}])
def test_a_spectrum_in_pieces_is_that_of_one_pass(tmp_path: Path, settings: dict[str, Any]):
    encoder = LogMel(bands=20, **settings)
    about = about_of(encoder)
    about["encoder"]["settings"] = {"_target_": "tractprobe.encoders.mel.LogMel", "bands": 20, **settings}
    write_head(tmp_path / "f.safetensors", random_ridge(encoder.width), about)
    wave = noise(7.3)
    whole = load_head(tmp_path / "f.safetensors", chunk_s=60)(wave, RATE_HZ)
    for chunk_s in (0.1, 3.1):
        parts = load_head(tmp_path / "f.safetensors", chunk_s=chunk_s, context_s=0)(wave, RATE_HZ)
        assert parts.values.shape == whole.values.shape == (encoder.count_frames(len(wave)), 12)
        np.testing.assert_allclose(parts.values, whole.values, atol=1e-4)


@pytest.mark.parametrize("kind", ["Conv", "Transformer"])
def test_a_head_that_sees_neighbours_gets_them(head: Path, mel: LogMel, kind: str):
    from tractprobe.probes import heads

    settings = {"Conv": {"hidden": 8, "dilations": [1, 2]}, "Transformer": {"hidden": 8, "depth": 2, "window": 6}}[kind]
    bank = getattr(heads, kind)(1, 100, 12, **settings).eval()
    file = HeadFile(**{**vars(read_head(head)), "head": bank})
    wave, scale = noise(5), SpeakerScale(np.zeros(12), np.ones(12), np.zeros(12, bool))
    whole = Inverter(file, mel, scale, chunk_s=60)(wave, RATE_HZ).values
    parts = Inverter(file, mel, scale, chunk_s=0.5)(wave, RATE_HZ).values
    np.testing.assert_allclose(parts, whole, atol=1e-4)
    bank.context_frames = 0  # too little is not enough
    assert np.abs(Inverter(file, mel, scale, chunk_s=0.5)(wave, RATE_HZ).values - whole).max() > 1e-3


def test_memory_does_not_grow_with_the_audio(head: Path, mel: LogMel):
    """No piece is longer for a longer wave, and no block is kept."""
    seen: list[int] = []

    class Counting(LogMel):
        def encode(self, waves: Any) -> Any:
            seen.append(len(waves[0]))
            return super().encode(waves)

    inverter = load_head(head, encoder=Counting(bands=20, context=2), chunk_s=1.0)
    track = inverter.of_blocks(lambda: (noise(0.7, seed) for seed in range(60)), RATE_HZ)
    assert len(track.values) == mel.count_frames(60 * 11200)
    assert max(seen) < 2.1 * RATE_HZ and len(seen) > 35


def test_what_is_freed_of_a_piece_is_given_back(head: Path, mel: LogMel, monkeypatch: pytest.MonkeyPatch):
    """Otherwise resident memory grows by 1.2 GB an hour with ``model=mel`` (``benchmarks/long.py`` measures it)."""
    given: list[bool] = []
    monkeypatch.setattr("tractprobe.inversion.inverter.give_back", lambda: given.append(True))
    inverter = load_head(head, encoder=mel, chunk_s=1.0)
    inverter(noise(20), RATE_HZ)
    assert len(given) == 19
    inverter(noise(0.5), RATE_HZ)  # of a wave in one piece nothing stays behind
    assert len(given) == 19


def test_attention_gets_context_and_short_audio_is_one_piece(tmp_path: Path):
    encoder = untrained(layers=2, width=48, channels=16)
    about = about_of(encoder)
    settings = {"_target_": "tractprobe.encoders.untrained.untrained", "layers": 2, "width": 48, "channels": 16}
    about["encoder"]["settings"] = settings
    write_head(tmp_path / "f.safetensors", random_ridge(48), about)
    wave = noise(6)
    (states,) = encoder([torch.from_numpy(np.round(wave * 32768) / 32768).float()])
    expected = states[2].double().numpy() @ random_ridge(48)["weight"][0].numpy() * 2 + 1
    whole = load_head(tmp_path / "f.safetensors")(wave, RATE_HZ).values
    np.testing.assert_allclose(whole, expected, atol=1e-4)
    parts = [load_head(tmp_path / "f.safetensors", chunk_s=2, context_s=s)(wave, RATE_HZ).values for s in (0, 1.5)]
    errors = [np.abs(part - whole).mean() for part in parts]
    assert parts[0].shape == whole.shape and 1e-4 < errors[1] < errors[0]


def test_whisper_in_pieces_is_whisper_in_its_own_windows(tmp_path: Path):
    """A real encoder: its windows of 30 s are encoded by themselves in any case."""
    from tractprobe.encoders.pretrained import pretrained

    encoder = pretrained(str(real("TRACTPROBE_MODELS", "whisper-tiny.en-encoder"))).truncate(1)
    whole_encoder = pretrained(str(real("TRACTPROBE_MODELS", "whisper-tiny.en-encoder")))
    about = about_of(whole_encoder) | {"layer": 1}
    write_head(tmp_path / "f.safetensors", random_ridge(384), about)
    wave = noise(61.3)
    track = load_head(tmp_path / "f.safetensors", encoder=encoder, chunk_s=10)(wave, RATE_HZ)
    (states,) = encoder([torch.from_numpy(np.round(wave * 32768) / 32768).float()])
    expected = states[1].double().numpy() @ random_ridge(384)["weight"][0].numpy() * 2 + 1
    np.testing.assert_allclose(track.values, expected, atol=1e-4)


@pytest.mark.parametrize("rate_hz", [8000, 22050, 44100, 48000])
def test_audio_is_resampled_as_corpora_are_whatever_the_blocks(rate_hz: int):
    from tractprobe.signals.audio import to_pcm16

    wave = noise(2, rate_hz=rate_hz) * 0.5
    expected = to_pcm16(wave, rate_hz) / 32768
    blocks = (wave[start : start + 7001] for start in range(0, len(wave), 7001))
    np.testing.assert_array_equal(np.concatenate(list(resampled(blocks, rate_hz))), expected.astype(np.float32))


WAVES: dict[str, tuple[Any, float, str]] = {
    "integers": (np.zeros(16000, np.int16), 16000, "floats, full scale 1; not int16"),
    "two channels": (np.zeros((16000, 2)), 16000, r"shape \(16000, 2\)"),
    "not finite": (np.array([0.0, np.nan] * 8000), 16000, "peak of nan"),
    "integers as floats": (np.full(16000, 20000.0), 16000, "peak of 20000; .* full scale 1"),
    "too short": (np.zeros(399), 16000, "shorter than one frame of 25 ms"),
    "none": (np.zeros(0), 16000, "shorter than one frame"),
    "no rate": (np.zeros(16000), 0, "audio at 0 Hz"),
    "a rate that would blow it up": (np.zeros(16000), 1, "audio at 1 Hz; expected 1000 to 10000000 Hz"),
}


@pytest.mark.parametrize("case", WAVES)
def test_what_is_no_wave_is_named(head: Path, case: str):
    wave, rate_hz, problem = WAVES[case]
    with pytest.raises(EncoderError, match=problem):
        load_head(head)(wave, rate_hz)


def test_a_track_at_another_rate_is_on_its_multiples():
    times_s = 199.5 / 16000 + np.arange(100) / 50
    wave = np.stack([np.sin(2 * np.pi * 3 * times_s), np.cos(2 * np.pi * 2 * times_s)], axis=1)
    track = Track(wave, 50.0, times_s[0], ("a", "b"))
    fine = track.resampled(100)
    assert fine.start_s == 0.02 and fine.times_s[-1] == pytest.approx(1.99) and fine.rate_hz == 100
    inner = slice(5, -5)
    np.testing.assert_allclose(fine.values[inner, 0], np.sin(2 * np.pi * 3 * fine.times_s)[inner], atol=2e-3)
    fast = Track(np.sin(2 * np.pi * 18 * times_s)[:, None], 50.0, times_s[0], ("a",))
    assert np.abs(fast.resampled(20).values[10:-10]).max() < 0.05  # would otherwise come back as 2 Hz


def test_states_that_are_not_finite_are_named_whatever_the_storage(head: Path):
    class Failing(LogMel):
        def encode(self, waves: Any) -> Any:
            states = super().encode(waves)
            states[0][0, 3] = torch.nan
            return states

    inverter = load_head(head, encoder=Failing(bands=20, context=2))
    with pytest.raises(EncoderError, match=r"^mel: layer 0 holds NaN or infinity"):
        inverter(noise(1), RATE_HZ)


def test_a_head_that_predicts_no_number_is_refused(head: Path, mel: LogMel):
    """Infinities of both signs add up to NaN, which would be written as a missing value."""
    bank = Mlp(1, 100, 12, hidden=8).eval()
    with torch.no_grad():
        for value in bank.parameters():
            value.mul_(1e38)
    file = HeadFile(**{**vars(read_head(head)), "head": bank})
    scale = SpeakerScale(np.zeros(12), np.ones(12), np.zeros(12, bool))
    with pytest.raises(HeadError, match="predicts infinite positions"):
        Inverter(file, mel, scale)(noise(1), RATE_HZ)
