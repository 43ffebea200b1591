"""Audio files in, one channel of float32 samples out."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from jaxtyping import Float, Int16

from tractprobe.signals.completeness import check_complete, check_decoded
from tractprobe.signals.sphere import MAGIC, opened_sphere
from tractprobe.system.contents import kind_of_content
from tractprobe.system.errors import CorpusError, EncoderError
from tractprobe.system.files import check_regular

RATE_HZ = 16000
"""The rate of prepared audio, and of the input of encoders."""

MAX_DURATION_S = 3600
MAX_RATE_HZ = 192_000
MAX_SAMPLES = MAX_DURATION_S * 48_000
_LEAST_RATE_HZ, _GREATEST_RATE_HZ = 1000, 10_000_000  # below, a block would become millions of samples
_LOUDEST = 100.0
_BLOCK, _GROWTH = 1 << 18, 1 << 22  # samples

Block = Float[np.ndarray, " _sample"]


def read_audio(
    path: Path, channel: int | None = None, setting: str | None = None
) -> tuple[Float[np.ndarray, " sample"], int]:
    """Read the samples (full scale 1) and rate (Hz) of one channel of a WAV, FLAC, SPHERE or other audio file.

    If there are several channels, ``channel`` must say which, counted from 0. The file is decoded block by block into
    the array that is returned, so a header that promises more than the file contains allocates nothing.

    Parameters
    ----------
    setting
        What chooses the channel, for the error if none is chosen: ``corpus.audio_channel=`` or ``--channel ``.

    Raises
    ------
    CorpusError
        The file is no audio, has other channels, or is shorter than its header says.
    """
    with opened_audio(path, channel, setting) as audio:
        limit = min(MAX_DURATION_S * audio.rate_hz, MAX_SAMPLES)
        samples, count = np.empty(0, np.float32), 0
        for block in audio.blocks:
            if (end := count + len(block)) > limit:
                raise CorpusError(path, f"longer than {limit / audio.rate_hz:.0f} s; cut it into utterances")
            if end > len(samples):  # large arrays grow in place
                samples.resize(count + max(len(block), min(count, _GROWTH)), refcheck=False)
            samples[count:end] = block
            count = end
        if not count:
            raise CorpusError(path, "contains no audio")
        samples.resize(count, refcheck=False)
        return samples, audio.rate_hz


@dataclass(frozen=True)
class AudioBlocks:
    """An audio file of any length, to be read once from its start.

    Attributes
    ----------
    num_samples
        Number of samples according to the header.
    """

    blocks: Iterator[Float[np.ndarray, " sample"]]
    rate_hz: int
    num_samples: int


@contextmanager
def opened_audio(path: Path, channel: int | None = None, setting: str | None = None) -> Iterator[AudioBlocks]:
    """Yield one channel of an audio file, to be read block by block; parameters and errors are ``read_audio``'s."""
    check_regular(path)
    with _opened(path) as file:
        _check(path, file, channel, setting)
        yield AudioBlocks(_blocks(path, file, channel or 0), int(file.samplerate), file.frames)


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    name: Any = path if sys.platform == "win32" else os.fsencode(path)  # bytes: names need not be UTF-8
    with ExitStack() as stack:
        with _naming(path):
            content = stack.enter_context(open(name, "rb"))
            if content.read(len(MAGIC)) == MAGIC:
                sphere = opened_sphere(path, content)
                samples: Any = sphere.samples
                file = soundfile.SoundFile(
                    samples, "r", sphere.rate_hz, sphere.channels, sphere.subtype, sphere.endian, "RAW"
                )
            else:
                file = soundfile.SoundFile(name)
        stack.enter_context(file)
        if file.format != "RAW":
            check_complete(path, file)
        yield file


def _blocks(path: Path, file: soundfile.SoundFile, channel: int) -> Iterator[Block]:
    count = 0
    while True:
        with _naming(path):
            block = file.read(_BLOCK, dtype="float32", always_2d=True)
        if not len(block):
            break
        count += len(block)
        yield block[:, channel]
    check_decoded(path, file, count)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        problem = f"not readable as audio: {getattr(error, 'error_string', error)}"
        kind = kind_of_content(path)
        raise CorpusError(path, f"{problem} It holds {kind}" if kind else problem) from None


def _check(path: Path, file: soundfile.SoundFile, channel: int | None, setting: str | None) -> None:
    if file.channels != 1 and channel is None:
        problem = f"has {file.channels} audio channels"
        keep = "expected one; keep the speech: sox IN OUT remix 1"
        choice = f"say which of them holds the speech, from 0: {setting}0" if setting else keep
        raise CorpusError(path, f"{problem}; {choice}")
    if not 0 <= (channel or 0) < file.channels:
        chosen = f" ({setting}{channel})" if setting else ""
        raise CorpusError(path, f"no audio channel {channel}{chosen}; there are {file.channels}, counted from 0")
    if file.samplerate > MAX_RATE_HZ:
        raise CorpusError(path, f"a rate of {file.samplerate} Hz; the highest supported is {MAX_RATE_HZ} Hz")


def to_pcm16(audio: Float[np.ndarray, " sample"], rate_hz: int) -> Int16[np.ndarray, " resampled"]:
    """Resample to 16 kHz (soxr, high quality) and round to 16 bits; 16-bit audio at 16 kHz is returned bit for bit.

    Audio that exceeds full scale is scaled down as a whole rather than clipped. It goes through block by block, so that
    an hour needs no more memory than its result.
    """
    pcm, peak = _rounded(audio, rate_hz, 1.0)
    return pcm if peak <= 32768 else _rounded(audio, rate_hz, 32767 / peak)[0]


def _rounded(
    audio: Float[np.ndarray, " sample"], rate_hz: int, factor: float
) -> tuple[Int16[np.ndarray, " resampled"], float]:
    """Return audio times a factor at 16 kHz and 16 bits, and its peak before that, in steps of 16 bits."""
    pcm = np.empty(len(audio) * RATE_HZ // rate_hz + 2, np.int16)
    count, peak = 0, 0.0
    for block in _scaled(audio, rate_hz):
        peak = max(peak, float(np.abs(block).max()))
        pcm[count : count + len(block)] = np.clip(np.round(block * factor), -32768, 32767)
        count += len(block)
    return pcm[:count], peak


def _scaled(audio: Float[np.ndarray, " sample"], rate_hz: int) -> Iterator[Block]:
    """Yield audio at 16 kHz with full scale 32768, in float64, block by block."""
    stream = None if rate_hz == RATE_HZ else soxr.ResampleStream(rate_hz, RATE_HZ, 1, audio.dtype.name, quality="HQ")
    for first in range(0, len(audio), _BLOCK):
        block = audio[first : first + _BLOCK]
        if stream is not None:
            block = stream.resample_chunk(np.ascontiguousarray(block), last=first + _BLOCK >= len(audio))
        if len(block):
            yield block.astype(np.float64) * 32768


def resampled(blocks: Iterable[Block], rate_hz: float) -> Iterator[Block]:
    """Resample a wave to 16 kHz and round it to 16 bits, block by block, as the preparation of corpora does.

    Unlike there, a wave beyond full scale is not scaled down, because its peak is not known until its end.
    """
    if not _LEAST_RATE_HZ <= rate_hz <= _GREATEST_RATE_HZ:
        raise EncoderError(f"audio at {rate_hz} Hz; expected {_LEAST_RATE_HZ} to {_GREATEST_RATE_HZ} Hz")
    stream = None if rate_hz == RATE_HZ else soxr.ResampleStream(rate_hz, RATE_HZ, 1, dtype="float32", quality="HQ")
    for block in blocks:
        if not np.isfinite(peak := np.abs(block).max(initial=0)) or peak > _LOUDEST:
            raise EncoderError(f"audio with a peak of {peak:g}; expected finite samples with full scale 1")
        block = np.ascontiguousarray(block, np.float32)
        yield _as_16_bit(block if stream is None else stream.resample_chunk(block))
    if stream is not None:
        yield _as_16_bit(stream.resample_chunk(np.zeros(0, np.float32), last=True))


def _as_16_bit(block: Block) -> Block:
    return np.round(block.astype(np.float64) * 32768).astype(np.float32) / 32768
