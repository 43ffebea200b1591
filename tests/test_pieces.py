"""Pieces of long waves: statistics of a whole wave from a stream, and encoders that are told them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from head_files import RATE_HZ, about_of, noise, random_ridge
from test_encoder_padding import save_w2v_bert
from test_encoders import FAMILY, models  # noqa: F401 (a fixture)

from tractprobe.encoders.mel import LogMel
from tractprobe.encoders.pretrained import pretrained
from tractprobe.encoders.untrained import untrained
from tractprobe.inversion.head_file import write_head
from tractprobe.inversion.inverter import load_head
from tractprobe.signals.pieces import RunningCovariance


@pytest.mark.parametrize("size", [1, 7, 2000])
def test_moments_of_a_stream_are_those_of_the_whole(size: int):
    rows = torch.randn(1003, 3, dtype=torch.float64) @ torch.randn(3, 3, dtype=torch.float64) + 1e6
    moments = RunningCovariance.none(3)
    for block in rows.split(size):
        moments = moments.of_more(block).of_more(block[:0])
    assert moments.count == 1003
    np.testing.assert_allclose(moments.mean, rows.mean(dim=0), rtol=1e-14)
    np.testing.assert_allclose(moments.covariance, np.cov(rows.T.numpy(), bias=True), rtol=1e-7)


@pytest.mark.parametrize("name", [*FAMILY, "w2v-bert"])
def test_a_wave_that_is_told_its_own_statistics_is_as_before(models: dict[str, Path], name: str, tmp_path: Path):  # noqa: F811
    encoder = pretrained(str(save_w2v_bert(tmp_path) if name == "w2v-bert" else models[name]))
    wave = torch.from_numpy(noise(3.011)) + 0.1
    (expected,) = encoder([wave])
    for size in (977, len(wave)):
        whole = encoder.survey(wave.split(size))
        assert (encoder.piece(wave, whole) - expected).abs().max() < 1e-4
    (after,) = encoder([wave])
    assert torch.equal(after, expected)  # nothing stays behind


@pytest.mark.parametrize("name", ["hubert base", "hubert large", "w2v-bert"])
def test_half_a_wave_is_normalised_by_the_whole(models: dict[str, Path], name: str, tmp_path: Path):  # noqa: F811
    """Twice as loud, its other half changes what comes out where the model normalises, unless it is told."""
    encoder = pretrained(str(save_w2v_bert(tmp_path) if name == "w2v-bert" else models[name]))
    wave = torch.from_numpy(noise(2))
    loud = torch.cat([wave, 4 * torch.from_numpy(noise(2, 1))])
    alone, told = encoder.piece(wave, None), encoder.piece(wave, encoder.survey([loud]))
    assert (told - alone).abs().max() > 0.01


def test_spectra_ask_for_no_survey():
    def unread() -> Any:
        raise AssertionError("was read")
        yield

    assert LogMel().survey(unread()) is None


def test_what_enters_the_blocks_is_equal_in_pieces(tmp_path: Path):
    """Layer 0 of a model with a group norm sees no further than its positional convolution, but for the statistics."""
    settings = {"layers": 2, "width": 48, "channels": 16}
    encoder = untrained(**settings).truncate(0)
    about = about_of(encoder)
    about["encoder"]["settings"] = {"_target_": "tractprobe.encoders.untrained.untrained", **settings}
    about["encoder"]["identity"] = untrained(**settings).identity
    write_head(tmp_path / "f.safetensors", random_ridge(48), about)
    wave = noise(11)
    whole = load_head(tmp_path / "f.safetensors", encoder=encoder)(wave, RATE_HZ).values
    near, far = (
        load_head(tmp_path / "f.safetensors", encoder=encoder, chunk_s=2, context_s=s)(wave, RATE_HZ).values
        for s in (0.5, 1.3)
    )
    np.testing.assert_allclose(far, whole, atol=1e-4)
    assert np.abs(near - whole).max() > 1e-3
