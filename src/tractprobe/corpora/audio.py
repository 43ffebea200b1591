"""Audio files in, one channel of float32 samples out."""

from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float

from tractprobe.errors import CorpusError
from tractprobe.files import check_regular

MAX_DURATION_S = 3600
MAX_RATE_HZ = 192_000
MAX_SAMPLES = MAX_DURATION_S * 48_000


def read_audio(path: Path, channel: int | None = None) -> tuple[Float[np.ndarray, " sample"], int]:
    """Read the samples (full scale 1) and rate (Hz) of one channel of a WAV or FLAC file.

    Which one, from 0, must be said if there are several. Decoded block by block: a header that promises more than the
    file holds allocates nothing.
    """
    check_regular(path)
    try:
        with soundfile.SoundFile(path) as file:
            return _decode(path, file, channel), int(file.samplerate)
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise CorpusError(path, f"not readable as audio: {error}") from None


def _decode(path: Path, file: soundfile.SoundFile, channel: int | None) -> Float[np.ndarray, " sample"]:
    if file.channels != 1 and channel is None:
        raise CorpusError(path, f"{file.channels} audio channels, and which holds the speech is not ours to guess")
    if not 0 <= (channel or 0) < file.channels:
        raise CorpusError(path, f"no audio channel {channel}; there are {file.channels}, from 0")
    if file.samplerate > MAX_RATE_HZ:
        raise CorpusError(path, f"a rate of {file.samplerate} Hz; at most {MAX_RATE_HZ} are read")
    limit = min(MAX_DURATION_S * file.samplerate, MAX_SAMPLES)
    blocks, count = [], 0
    while len(block := file.read(1 << 18, dtype="float32", always_2d=True)):
        blocks.append(block[:, channel or 0])
        count += len(block)
        if count > limit:
            raise CorpusError(path, f"longer than {limit / file.samplerate:.0f} s; cut it into utterances")
    if not blocks:
        raise CorpusError(path, "holds no audio")
    return np.concatenate(blocks)
