"""Audio files as recorders, copies and archives leave them."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tractprobe.signals.audio import read_audio
from tractprobe.system.errors import CorpusError

RATE_HZ = 16000
SOUND = (np.random.default_rng(0).standard_normal(32000) * 3000).astype(np.int16)


def encoded(format_: str, subtype: str | None = None, sound: np.ndarray = SOUND) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, sound, RATE_HZ, format=format_, subtype=subtype)
    return content.getvalue()


def with_data_size(size: int, content: bytes) -> bytes:
    assert content[36:40] == b"data"
    return content[:40] + struct.pack("<I", size) + content[44:]


def of(path: Path, content: bytes) -> np.ndarray:
    path.write_bytes(content)
    audio, rate_hz = read_audio(path)
    assert rate_hz == RATE_HZ
    return audio


FORMATS = (
    ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("WAV", "ALAW"), ("WAV", "IMA_ADPCM"), ("WAVEX", "PCM_16"),
    ("RF64", "PCM_16"), ("W64", "PCM_16"), ("FLAC", "PCM_16"), ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("OGG", "VORBIS"),
    ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("NIST", "PCM_16"),
)  # fmt: skip


@pytest.mark.parametrize("form", FORMATS, ids=" ".join)
def test_a_file_cut_short_is_refused_in_every_format(tmp_path: Path, form: tuple[str, str]):
    whole = encoded(*form)
    assert len(of(tmp_path / "whole", whole)) == pytest.approx(len(SOUND), rel=0.05)  # ADPCM fills its last block
    with pytest.raises(CorpusError, match=r"cut\.wav.*(cut short|lost sync)"):
        of(tmp_path / "cut.wav", whole[: len(whole) * 6 // 10])


def test_a_flac_cut_between_two_of_its_frames_is_refused(tmp_path: Path):
    whole = encoded("FLAC", "PCM_16")
    with pytest.raises(CorpusError, match=r"cut\.flac"):
        of(tmp_path / "cut.flac", whole[: whole.index(b"\xff\xf8", 9000)])


WAV = encoded("WAV", "PCM_16")
KILLED = {
    "a size of 0": with_data_size(0, WAV),
    "sizes of 0": with_data_size(0, WAV[:4] + b"\0" * 4 + WAV[8:]),
    "AU of size 0": (au := encoded("AU", "PCM_16"))[:8] + b"\0" * 4 + au[12:],
    "FLAC of unknown length": (flac := encoded("FLAC", "PCM_16"))[:21]
    + bytes([flac[21] & 0xF0])
    + b"\0" * 4
    + flac[26:],
}


@pytest.mark.parametrize("case", KILLED)
def test_what_a_killed_recorder_leaves_is_named_with_its_repair(tmp_path: Path, case: str):
    with pytest.raises(CorpusError, match=r"x\.wav: its header does not say how much.*ffmpeg"):
        of(tmp_path / "x.wav", KILLED[case])


def test_an_empty_recording_contains_no_audio(tmp_path: Path):
    for form in (("WAV", "PCM_16"), ("AU", "PCM_16")):
        with pytest.raises(CorpusError, match="contains no audio"):
            of(tmp_path / "x", encoded(*form, sound=SOUND[:0]))


SOUND_HEADERS: dict[str, Callable[[bytes], bytes]] = {
    "written into a pipe": lambda wav: with_data_size(0xFFFFFFFF, wav),
    "written into a pipe by sox": lambda wav: with_data_size(0x7FFFF000, wav),
    "the header counted as sound": lambda wav: with_data_size(len(wav), wav),
    "more after the sound": lambda wav: wav + b"LIST" + struct.pack("<I", 4) + b"INFO",
    "the last block of a buffer was not written": lambda wav: with_data_size(len(wav) + 2692, wav),
    "nonsense after the sound": lambda wav: wav + b"junk" * 10,
}


@pytest.mark.parametrize("case", SOUND_HEADERS)
def test_sloppy_headers_of_whole_files_are_none_of_our_business(tmp_path: Path, case: str):
    audio = of(tmp_path / "x.wav", SOUND_HEADERS[case](WAV))
    np.testing.assert_array_equal(audio, SOUND.astype(np.float32) / 32768)


@pytest.mark.parametrize("subtype", ["PCM_16", "ALAW", "ULAW"])
@pytest.mark.parametrize("channel", [0, 1])
def test_sphere_files_with_two_channels_and_telephone_codes_are_read(tmp_path: Path, subtype: str, channel: int):
    stereo = np.stack([SOUND, SOUND[::-1]], axis=1)
    path = tmp_path / "x.sph"
    path.write_bytes(encoded("NIST", subtype, stereo))
    audio, rate_hz = read_audio(path, channel)
    assert rate_hz == RATE_HZ
    np.testing.assert_array_equal(audio, soundfile.read(path, dtype="float32")[0][:, channel])
    with pytest.raises(CorpusError, match=r"2 audio channels.*--channel 0"):
        read_audio(path, setting="--channel ")


CONTENTS = {
    "HDF5": b"\x89HDF\r\n\x1a\n" + b"\0" * 999,
    "MAT v5": b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + b" " * 999,
    "MATLAB file of version 7.3": b"MATLAB 7.3 MAT-file" + b" " * 999,
    "Git LFS.*git lfs pull": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "m4a.*ffmpeg": b"\0\0\0\x20ftypM4A " + b"\0" * 99,
    "web page": b"<!DOCTYPE html><html><body>404",
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_a_file_that_is_no_audio_says_what_it_holds(tmp_path: Path, kind: str):
    with pytest.raises(CorpusError, match=rf"x\.wav: not readable as audio.*{kind}"):
        of(tmp_path / "x.wav", CONTENTS[kind])
